/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front of the route stage: one look-up for each domain however many ask (C23), and answers only from the
 * loop, so that a caller never finds itself inside its own callback. What is remembered between look-ups are
 * DNS answers; a result made of remembered answers costs a few microseconds, so results need no memory of
 * their own, and a new configuration regroups everything at once.
 *
 * Invariants: a domain being looked up is in the tree `flights` (unless the configuration changed meanwhile)
 * with all who wait for it; a flight is in `ready` from the moment its result is there until its waiters have
 * been called.
 */
#include "route/route.h"

#include "route/alloc.h"
#include "route/dns.h"
#include "route/mx.h"
#include "route/unwanted.h"

#include <assert.h>
#include <event2/event.h>
#include <search.h>
#include <string.h>
#include <sys/queue.h>

#define FLIGHT_MAGIC 0x464c4947u
#define TEXT_MAX     8192

struct waiter {
	struct waiter *next;
	route_done *done;
	void *arg;
};

struct flight {
	uint32_t magic;
	struct route *route;
	TAILQ_ENTRY(flight) all;
	STAILQ_ENTRY(flight) link;
	bool is_listed; /* in the tree */
	struct mx *mx;
	struct route_result *result;
	struct waiter *waiters, **last;
	char domain[DOMAIN_MAX];
};

struct txt {
	struct dns_wait wait; /* first: the callback gets it */
	struct route *route;
	TAILQ_ENTRY(txt) all;
	STAILQ_ENTRY(txt) link;
	struct dns_answer *answer;
	route_txt_done *done;
	void *arg;
};

TAILQ_HEAD(flight_list, flight);
STAILQ_HEAD(flight_line, flight);
TAILQ_HEAD(txt_list, txt);
STAILQ_HEAD(txt_line, txt);

struct route {
	struct event_base *base;
	const struct clock *clock;
	const struct conf *conf;
	struct dns *dns;
	struct unwanted_own *own;
	void *flights; /* tree by domain, for tsearch(3) */
	struct flight_list all_flights;
	struct flight_line ready;
	struct txt_list all_txts;
	struct txt_line ready_txts;
	struct event *ready_event;
};

/* --- look-ups of domains --- */

static int
by_domain(const void *a, const void *b)
{
	return strcmp(((const struct flight *)a)->domain, ((const struct flight *)b)->domain);
}

static void
unlist(struct flight *f)
{
	if (f->is_listed)
		tdelete(f, &f->route->flights, by_domain);
	f->is_listed = false;
}

static void
flight_destroy(struct flight *f)
{
	struct waiter *w, *next;

	unlist(f);
	TAILQ_REMOVE(&f->route->all_flights, f, all);
	mx_abandon(&f->mx);
	for (w = f->waiters; w != NULL; w = next) {
		next = w->next;
		free(w);
	}
	route_unref(f->result);
	f->magic = 0;
	free(f);
}

static void
land(struct flight *f, struct route_result *take_result)
{
	f->mx = NULL;
	f->result = take_result;
	STAILQ_INSERT_TAIL(&f->route->ready, f, link);
	event_active(f->route->ready_event, EV_TIMEOUT, 1);
}

static void
on_result(void *arg, struct route_result *take_result)
{
	struct flight *f = arg;

	assert(f->magic == FLIGHT_MAGIC);
	land(f, take_result);
}

static struct flight *
take_off(struct route *r, const char *domain, size_t len)
{
	struct flight *f = route_alloc(sizeof(*f));
	const struct mx_context context = {r->dns, r->clock, r->own};
	struct route_result *result;

	f->magic = FLIGHT_MAGIC;
	f->route = r;
	f->last = &f->waiters;
	memcpy(f->domain, domain, len);
	TAILQ_INSERT_TAIL(&r->all_flights, f, all);
	if (tsearch(f, &r->flights, by_domain) == NULL)
		abort(); /* as in route_alloc */
	f->is_listed = true;
	result = mx_start(&context, r->conf, f->domain, on_result, f, &f->mx);
	if (result != NULL)
		land(f, result);
	return f;
}

void
route_lookup(struct route *r, const char *domain, route_done *done, void *arg)
{
	struct waiter *w = route_alloc(sizeof(*w));
	size_t len = strnlen(domain, DOMAIN_MAX - 1);
	struct flight key = {0}, **found, *f;

	memcpy(key.domain, domain, len);
	found = tfind(&key, &r->flights, by_domain);
	f = found != NULL ? *found : take_off(r, domain, len);
	w->done = done;
	w->arg = arg;
	*f->last = w;
	f->last = &w->next;
}

/* --- look-ups of texts --- */

static void
txt_destroy(struct txt *t)
{
	TAILQ_REMOVE(&t->route->all_txts, t, all);
	dns_answer_unref(&t->answer);
	free(t);
}

static void
txt_ready(struct txt *t, struct dns_answer *take_answer)
{
	t->answer = take_answer;
	STAILQ_INSERT_TAIL(&t->route->ready_txts, t, link);
	event_active(t->route->ready_event, EV_TIMEOUT, 1);
}

static void
on_txt(struct dns_wait *w, struct dns_answer *answer)
{
	txt_ready((struct txt *)w, dns_answer_ref(answer));
}

void
route_txt(struct route *r, const char *name, route_txt_done *done, void *arg)
{
	struct txt *t = route_alloc(sizeof(*t));
	struct dns_answer *answer;

	t->wait.done = on_txt;
	t->route = r;
	t->done = done;
	t->arg = arg;
	TAILQ_INSERT_TAIL(&r->all_txts, t, all);
	/* Whoever has just published a record wants to see that one. */
	answer = dns_get_fresh(r->dns, name, DNS_TYPE_TXT, &t->wait);
	if (answer != NULL)
		txt_ready(t, answer);
}

static void
txt_finish(struct txt *t)
{
	const struct dns_answer *a = t->answer;
	char text[TEXT_MAX];
	size_t at = 0;

	if (a->kind != DNS_RECORDS) {
		t->done(t->arg, NULL, a->kind == DNS_NODATA ? "no TXT record" : a->why);
		return;
	}
	text[0] = '\0';
	for (uint16_t i = 0; i < a->count && at < sizeof(text); i++)
		at += (size_t)snprintf(
			text + at, sizeof(text) - at, "%s%s", i > 0 ? "\n" : "", a->items[i].text);
	t->done(t->arg, text, "");
}

/* --- the loop --- */

static void
flight_finish(struct flight *f)
{
	struct waiter *w;

	unlist(f); /* whoever asks in a callback begins anew */
	for (w = f->waiters; w != NULL; w = w->next)
		w->done(w->arg, f->domain, f->result);
	flight_destroy(f);
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct route *r = arg;
	struct flight_line flights = STAILQ_HEAD_INITIALIZER(flights);
	struct txt_line txts = STAILQ_HEAD_INITIALIZER(txts);
	struct flight *f;
	struct txt *t;

	/* What becomes ready in the callbacks waits for the next turn, so that the loop gets to its sockets.
	 */
	STAILQ_CONCAT(&flights, &r->ready);
	STAILQ_CONCAT(&txts, &r->ready_txts);
	while ((f = STAILQ_FIRST(&flights)) != NULL) {
		STAILQ_REMOVE_HEAD(&flights, link);
		flight_finish(f);
	}
	while ((t = STAILQ_FIRST(&txts)) != NULL) {
		STAILQ_REMOVE_HEAD(&txts, link);
		txt_finish(t);
		txt_destroy(t);
	}
}

void
route_reconfigure(struct route *r, const struct conf *conf)
{
	const struct conf *old = r->conf;
	struct flight *f;

	/* Those under way answer those who asked, by the old settings; who asks from now on gets the new
	 * ones. */
	TAILQ_FOREACH(f, &r->all_flights, all)
	unlist(f);
	r->conf = conf_ref(conf);
	conf_unref(old);
	unwanted_own_reload(r->own, conf);
	dns_reconfigure(r->dns, conf);
}

struct route *
route_create(struct event_base *base, const struct clock *clock, const struct conf *conf, struct log *log)
{
	struct route *r = route_alloc(sizeof(*r));

	r->base = base;
	r->clock = clock;
	r->conf = conf_ref(conf);
	TAILQ_INIT(&r->all_flights);
	STAILQ_INIT(&r->ready);
	TAILQ_INIT(&r->all_txts);
	STAILQ_INIT(&r->ready_txts);
	r->own = unwanted_own_create(conf);
	r->dns = dns_create(base, clock, conf, log, "/etc/resolv.conf");
	r->ready_event = event_new(base, -1, 0, on_ready, r);
	if (r->dns == NULL || r->ready_event == NULL)
		route_destroy(&r);
	return r;
}

void
route_destroy(struct route **rp)
{
	struct route *r = *rp;
	struct flight *f;
	struct txt *t;

	*rp = NULL;
	if (r == NULL)
		return;
	dns_destroy(&r->dns);
	while ((f = TAILQ_FIRST(&r->all_flights)) != NULL)
		flight_destroy(f);
	while ((t = TAILQ_FIRST(&r->all_txts)) != NULL)
		txt_destroy(t);
	if (r->ready_event != NULL)
		event_free(r->ready_event);
	unwanted_own_destroy(&r->own);
	conf_unref(r->conf);
	free(r);
}

void
route_stats(const struct route *r, struct route_stats *out)
{
	struct dns_stats s;

	dns_stats(r->dns, &s);
	out->queries = s.resolver.queries;
	out->answers = s.resolver.answers;
	out->timeouts = s.resolver.timeouts;
	out->servfails = s.resolver.servfails;
	out->nxdomains = s.resolver.nxdomains;
	out->cache_hits = s.cache_hits;
	out->cache_entries = s.cache_entries;
	out->in_flight = s.resolver.in_flight;
}
