/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue thread's end of outbound sessions: opened by a route that is looked up first, given jobs, told to
 * quit. Invariant: an outbound is released when its io thread has closed it and all its jobs have come back,
 * in whichever order.
 */
#include "queue/dispatch_impl.h"

#include "deliver/outbound.h"
#include "queue/react.h"
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
dispatch_remember_host(struct dispatch *d, const struct job *job, bool is_uncertain)
{
	struct uncertain_host *u = &d->hosts[job->id % HOSTS_REMEMBERED];

	if (is_uncertain) {
		u->id = job->id;
		snprintf(u->site, sizeof(u->site), "%s", job->site);
		snprintf(u->host, sizeof(u->host), "%s", job->host);
	} else if (u->id == job->id && (u->site[0] == '\0' || strcmp(u->site, job->site) == 0))
		u->id = 0;
}

static void
recall_host(const struct dispatch *d, struct job *job)
{
	const struct uncertain_host *u = &d->hosts[job->id % HOSTS_REMEMBERED];

	if (u->id == job->id)
		snprintf(job->host, sizeof(job->host), "%s", u->host);
}

/* A lane whose sessions fail is tried again after 1 s, 2 s, 4 s ... a minute: one lost connection must not
 * stop a site, and a dead one must not be asked all the time. A collision in the table only makes a wait
 * shorter or longer. */
static int64_t
lane_wait_us(struct dispatch *d, const struct outbound *o)
{
	const char *site = o->route->site;
	uint32_t hash = 2166136261u ^ o->source, shift;
	struct lane_failures *f;

	for (; *site != '\0'; site++)
		hash = (hash ^ (unsigned char)*site) * 16777619u;
	f = &d->failures[hash % LANES_REMEMBERED];
	if (f->hash != hash)
		*f = (struct lane_failures){hash, 0};
	if (o->end == QUEUE_SESSION_OVER) {
		f->count = 0;
		return 0;
	}
	/* Its lanes wait for the source, and go on when it is there. */
	if (o->end == QUEUE_SESSION_HINDERED && dispatch_is_source_down(d, o))
		return 0;
	shift = f->count < 6 ? f->count : 6;
	f->count++;
	return (INT64_C(1000000) << shift) < LANE_WAIT_MAX_US ? INT64_C(1000000) << shift : LANE_WAIT_MAX_US;
}

void
dispatch_release_if_over(struct dispatch *d, struct outbound *o)
{
	if (!o->is_closed || o->jobs_out > 0)
		return;
	queue_sched_session_closed(
		d->sched, o->session, o->end, lane_wait_us(d, o), dispatch_text(o->why), dispatch_now(d));
	o->letter.kind = LETTER_RELEASE;
	worker_post(o->io, &o->letter);
}

void
dispatch_on_closed(struct dispatch *d, struct outbound *o)
{
	o->is_closed = true;
	dispatch_react_to_end(d, o);
	queue_sched_session_ends(d->sched, o->session);
	dispatch_suspect_source(d, o);
	dispatch_release_if_over(d, o);
}

/* The look-up for a session to be opened; nearly always from the cache. */
static void
on_open_route(void *arg, const char *domain, struct route_result *result)
{
	struct outbound *o = arg;
	struct dispatch *d = o->dispatch;

	/* After a reload the numbers in the result belong to another configuration than the session's. */
	if (result->kind != ROUTE_HOSTS || d->is_stopping || o->conf != policy_conf(d->settings.policy)) {
		struct job *job = o->first;

		o->first = NULL;
		job_answer_all(
			job, QUEUE_VERDICT_RETURN, BOUNCE_CLASS_ROUTING_ERRORS, "4.4.3", 0, result->why);
		dispatch_job_done(d, job);
		queue_sched_session_closed(d->sched, o->session, QUEUE_SESSION_HINDERED, STALLED_RETRY_US,
			dispatch_text(result->why), dispatch_now(d));
		outbound_free(o);
		return;
	}
	o->route = route_ref(result);
	o->settings = *policy_delivery(d->settings.policy, dispatch_text(domain), result->provider);
	if (result->static_route >= 0 && o->conf->routes[result->static_route].tls != CONF_TLS_UNSET)
		o->settings.tls = o->conf->routes[result->static_route].tls;
	dispatch_look_up_source(d, o);
	recall_host(d, o->first);
	o->letter.kind = LETTER_OPEN;
	worker_post(o->io, &o->letter);
}

void
dispatch_open(struct dispatch *d, const struct queue_order *order)
{
	struct outbound *o = calloc(1, sizeof(*o));
	struct job *job = o != NULL ? dispatch_make_job(d, order->lease) : NULL;
	char domain[256];

	if (job == NULL) {
		if (o == NULL)
			dispatch_return_lease(d, order->lease);
		free(o);
		queue_sched_session_closed(d->sched, order->session, QUEUE_SESSION_HINDERED, STALLED_RETRY_US,
			dispatch_text("out of memory"), dispatch_now(d));
		return;
	}
	o->io = d->peers.ios[d->next_io++ % d->peers.io_count];
	o->queue = d->worker;
	o->dispatch = d;
	o->session = order->session;
	o->conf = conf_ref(policy_conf(d->settings.policy));
	o->rules = rules_ref(d->rules);
	o->classifier = classifier_ref(d->classifier);
	o->source = pace_source_index(d->settings.pace, order->source);
	o->first = job;
	o->jobs_out = 1;
	d->jobs_out++;
	job->outbound = o;
	queue_session_set_user(order->session, o);
	dispatch_blob_text(domain, sizeof(domain), order->domain);
	route_lookup(d->route, domain, on_open_route, o);
}

void
dispatch_give(struct dispatch *d, const struct queue_order *order)
{
	struct outbound *o = queue_session_user(order->session);
	struct job *job = dispatch_make_job(d, order->lease);

	if (job == NULL)
		return;
	recall_host(d, job);
	job->outbound = o;
	o->jobs_out++;
	d->jobs_out++;
	job->letter.kind = LETTER_JOB;
	worker_post(o->io, &job->letter);
}

void
dispatch_close(struct dispatch *d, const struct queue_order *order)
{
	struct outbound *o = queue_session_user(order->session);

	if (o->quit_posted || o->is_closed)
		return;
	o->quit_posted = true;
	o->quit.kind = LETTER_QUIT;
	worker_post(o->io, &o->quit);
}
