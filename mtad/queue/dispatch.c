/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue thread decides nothing about mail by itself: the schedule (libqueue) decides, this file carries
 * out.
 *
 * Invariants: every lease the schedule hands out becomes exactly one job; every job comes back through
 * dispatch_job_done(), where the lease is settled, and is freed in on_recorded() or, when nothing has to be
 * recorded, at once. A session's `closed` is passed on only when none of its jobs is out.
 */
#include "queue/dispatch_impl.h"

#include "base/descriptors.h"
#include "deliver/outbound.h"
#include "feedback/status.h"
#include "queue/bounce.h"
#include "queue/feedback.h"
#include "queue/react.h"
#include "queue/spool.h"
#include "route/route.h"

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct queue_blob
dispatch_text(const char *s)
{
	size_t len = 0;

	while (s[len] != '\0')
		len++;
	return (struct queue_blob){s, len};
}

void
dispatch_blob_text(char *buf, size_t max, struct queue_blob b)
{
	snprintf(buf, max, "%.*s", (int)b.len, (const char *)b.ptr);
}

/* The schedule notices by itself when the clock was set back; of a step ahead it can only be told. A short
 * one is not worth walking the queue: some mail is due a little early. */
int64_t
dispatch_now(struct dispatch *d)
{
	int64_t step_us, now_us = clock_watch_now(&d->clock_watch, d->clock, &step_us);

	if (step_us == 0)
		return now_us;
	if (step_us >= CLOCK_AHEAD_US)
		queue_sched_clock_ahead(d->sched, step_us);
	overrides_shift(d->overrides, step_us);
	log_event(d->log, LOG_EVENT_clock_set, "by=%+lldms", (long long)step_us / 1000);
	return now_us;
}

/* --- the schedule's settings --- */

const char *
dispatch_source_name(const struct dispatch *d, uint32_t source)
{
	return pace_source_name(d->settings.pace, source);
}

static uint32_t
on_random(void *arg)
{
	struct dispatch *d = arg;

	return clock_random(d->clock);
}

static void
on_body_unref(void *arg, void *body)
{
	message_unref(body);
}

/* False: no memory, and the old settings stay in force. */
static bool
sched_conf(struct dispatch *d, const struct conf *c, struct queue_sched_conf *out)
{
	*out = (struct queue_sched_conf){
		.random = on_random,
		.body_unref = on_body_unref,
		.on_lane = dispatch_on_lane,
		.on_warmup = dispatch_on_warmup_day,
		.on_guard = dispatch_on_guard,
		.on_quota = dispatch_on_quota,
		.arg = d,
		.connections_total = (uint32_t)descriptors_share(c->connections_total).outbound,
	};
	return settings_apply(&d->settings, c, out);
}

/* --- the way back: verdicts to the schedule and the spool --- */

/* Whether a recipient that will wait is old enough for a delay notice and has had none. */
struct delay_question {
	struct dispatch *d;
	int64_t now_us;
	bool is_due;
};

/* When a delay notice is due: at the time its message has asked for, else at the age its domain has. */
static int64_t
notice_us(struct dispatch *d, const struct queue_view *v)
{
	const struct conf_delivery *c = policy_delivery_of(d->settings.policy, v->domain, v->site);
	int64_t from_us = v->release_us > v->arrived_us ? v->release_us : v->arrived_us;

	if (v->notice_us != 0)
		return v->notice_us;
	return c->delay_notice > 0 ? from_us + c->delay_notice : INT64_MAX;
}

static bool
ask_delay(void *arg, const struct queue_view *v)
{
	struct delay_question *ask = arg;

	ask->is_due = (v->flags & QUEUE_RCPT_DELAY_SENT) == 0 && ask->now_us >= notice_us(ask->d, v);
	return false;
}

static void
plan_delay_notice(struct dispatch *d, const struct job *job, struct job_rcpt *r, int64_t now_us)
{
	const struct queue_filter f = {.id = job->id, .n = r->n};
	struct delay_question ask = {d, now_us, false};

	if (r->verdict.kind != QUEUE_VERDICT_LATER)
		return;
	queue_sched_each(d->sched, &f, 1, ask_delay, &ask);
	if (ask.is_due)
		r->verdict.set_flags = QUEUE_RCPT_DELAY_SENT;
}

/* False: every recipient went back untried and nothing has to be recorded. */
static bool
settle(struct dispatch *d, struct job *job)
{
	int64_t now_us = dispatch_now(d);
	bool has_outcome = job->is_damaged, is_uncertain = false, is_told = false;
	uint32_t i;

	for (i = 0; i < job->rcpt_count; i++) {
		struct job_rcpt *r = &job->rcpts[i];

		r->verdict.reply = job_reply(job, i);
		r->verdict.code = r->code;
		plan_delay_notice(d, job, r, now_us);
		queue_sched_settle(d->sched, job->lease, i, &r->verdict, now_us, &r->settled);
		if (r->settled.is_own_limit) /* RFC 2852: whatever the last reply said */
			snprintf(r->esc, sizeof(r->esc), "5.4.7");
		has_outcome = has_outcome || r->settled.kind != QUEUE_VERDICT_RETURN;
		is_uncertain = is_uncertain || r->settled.kind == QUEUE_VERDICT_UNCERTAIN;
		is_told = is_told || r->verdict.signal != QUEUE_SIGNAL_NONE;
	}
	if (has_outcome && is_told)
		dispatch_remember_host(d, job, is_uncertain);
	queue_sched_lease_done(d->sched, job->lease, now_us);
	job->lease = NULL;
	return has_outcome;
}

/* A notification, or a message that is not in memory: work for a sign thread before the spool can record. */
static bool
needs_sign_thread(const struct job *job)
{
	return !job->is_damaged && (job->message == NULL || bounce_is_wanted(job));
}

void
dispatch_record(struct dispatch *d, struct job *job)
{
	struct worker *to = d->peers.spool;

	if (d->unrecorded++ == 0)
		d->recorded_us = clock_mono(d->clock);
	job->letter.kind = LETTER_RECORD;
	if (needs_sign_thread(job)) {
		job->letter.kind = LETTER_BOUNCE;
		to = d->peers.signs[d->next_sign++ % d->peers.sign_count];
	}
	worker_post(to, &job->letter);
}

void
dispatch_job_done(struct dispatch *d, struct job *job)
{
	if (job->outbound != NULL) {
		dispatch_react(d, job);
		job->outbound->jobs_out--;
		job->outbound = NULL;
		d->jobs_out--;
	}
	if (settle(d, job))
		dispatch_record(d, job);
	else
		job_free(job);
}

/* Adds a committed message; takes the reference. False: no memory. */
static bool
schedule(struct dispatch *d, struct message *m)
{
	struct queue_sched_rcpt few[16], *rcpts = few;
	uint32_t pool = settings_pool(&d->settings, m->meta.pool), i, count = 0, skipped = 0;
	int err;

	if (m->rcpt_count > sizeof(few) / sizeof(few[0]) &&
		(rcpts = malloc(m->rcpt_count * sizeof(*rcpts))) == NULL)
		return false;
	for (i = 0; i < m->rcpt_count; i++) {
		if (skipped < m->suppressed_count && m->suppressed[skipped].n == m->rcpts[i].n)
			skipped++;
		else
			rcpts[count++] = (struct queue_sched_rcpt){
				.n = m->rcpts[i].n, .domain = m->domains[i], .pool = pool};
	}
	err = queue_sched_add(d->sched, &m->meta, rcpts, count, m, dispatch_now(d));
	if (rcpts != few)
		free(rcpts);
	if (err == QUEUE_OK && memory_percent(d->memory) >= EVICT_PERCENT)
		(void)queue_sched_evict(d->sched, EVICT_COUNT);
	return err == QUEUE_OK;
}

static void
on_fresh(struct dispatch *d, struct message *m)
{
	if (schedule(d, m))
		return;
	m->letter.next = d->stalled != NULL ? &d->stalled->letter : NULL;
	d->stalled = m;
	d->stalled_until_us = clock_mono(d->clock) + STALLED_RETRY_US;
}

static void
schedule_stalled(struct dispatch *d)
{
	struct message *list = d->stalled, *next;

	if (list == NULL || clock_mono(d->clock) < d->stalled_until_us)
		return;
	d->stalled = NULL;
	for (; list != NULL; list = next) {
		next = (struct message *)list->letter.next;
		on_fresh(d, list);
	}
}

static void
on_recorded(struct dispatch *d, struct job *job)
{
	assert(d->unrecorded > 0);
	d->unrecorded--;
	d->recorded_us = clock_mono(d->clock);
	if (job->dsn != NULL) {
		on_fresh(d, job->dsn);
		job->dsn = NULL;
	}
	job_free(job);
}

/* --- leases --- */

void
dispatch_return_lease(struct dispatch *d, struct queue_lease *lease)
{
	struct queue_verdict v = {.kind = QUEUE_VERDICT_RETURN};
	struct queue_settled settled;
	uint32_t i;

	for (i = 0; i < queue_lease_rcpt_count(lease); i++)
		queue_sched_settle(d->sched, lease, i, &v, dispatch_now(d), &settled);
	queue_sched_lease_done(d->sched, lease, dispatch_now(d));
}

struct job *
dispatch_make_job(struct dispatch *d, struct queue_lease *lease)
{
	struct job *job = job_create(lease);

	if (job == NULL) {
		dispatch_return_lease(d, lease);
		return NULL;
	}
	job->started_us = dispatch_now(d);
	if (queue_lease_body(lease) != NULL)
		job->message = message_ref(queue_lease_body(lease));
	return job;
}

/* --- routes --- */

static void
on_routed(void *arg, const char *domain, struct route_result *result)
{
	struct dispatch *d = arg;
	char why[300];
	struct queue_route r = {.until_us = result->expire_us,
		.site = dispatch_text(result->site != NULL ? result->site : "")};

	r.kind = result->kind == ROUTE_HOSTS  ? QUEUE_ROUTE_SITE
		 : result->kind == ROUTE_FAIL ? QUEUE_ROUTE_FAIL
					      : QUEUE_ROUTE_WAIT;
	if (r.kind != QUEUE_ROUTE_SITE) {
		/* The enhanced code travels in front of the words; order_reject takes it off again. */
		snprintf(why, sizeof(why), "%s %s", result->esc, result->why);
		r.why = dispatch_text(why);
	}
	if (r.kind == QUEUE_ROUTE_WAIT)
		log_event(d->log, LOG_EVENT_dns_trouble, "domain=%s why=\"%s\"", domain, why);
	/* QUEUE_ENOTFOUND: its last recipient went while the answer was under way. */
	if (queue_sched_routed(d->sched, dispatch_text(domain), &r, dispatch_now(d)) == QUEUE_ENOMEM)
		log_event(d->log, LOG_EVENT_dns_trouble, "domain=%s why=\"out of memory\"", domain);
	dispatch_wake(d);
}

static void
order_resolve(struct dispatch *d, const struct queue_order *order)
{
	char domain[256];

	dispatch_blob_text(domain, sizeof(domain), order->domain);
	route_lookup(d->route, domain, on_routed, d);
}

/* "5.1.2 words": the code in front. */
static void
answer_reject(struct job *job, struct queue_blob why)
{
	const char *space = why.len > 0 ? memchr(why.ptr, ' ', why.len) : NULL;
	size_t code_len = space != NULL ? (size_t)(space - (const char *)why.ptr) : 0;
	char words[300], esc[sizeof(job->rcpts[0].esc)] = "5.4.4";

	if (code_len > 0 && code_len < sizeof(esc)) {
		memcpy(esc, why.ptr, code_len);
		esc[code_len] = '\0';
		why = (struct queue_blob){space + 1, why.len - code_len - 1};
	}
	dispatch_blob_text(words, sizeof(words), why);
	job_answer_all(job, QUEUE_VERDICT_FAILED, status_class_of_text(esc), esc, 0, words);
}

static void
order_end(struct dispatch *d, const struct queue_order *order)
{
	struct job *job = dispatch_make_job(d, order->lease);

	if (job == NULL)
		return;
	if (order->kind == QUEUE_ORDER_REJECT)
		answer_reject(job, order->why);
	else
		job_answer_all(job, QUEUE_VERDICT_EXPIRED, BOUNCE_CLASS_MESSAGE_EXPIRED, "4.4.7", 0,
			"delivery time expired");
	dispatch_job_done(d, job);
}

/* What long limits have used. Without memory the schedule asks again, in a second. */
static bool
order_note(struct dispatch *d, const struct queue_order *order)
{
	if (dispatch_post_note(d, order->note, order->value, order->noting))
		return true;
	queue_sched_noted(d->sched, order->noting, true, dispatch_now(d));
	return false;
}

static void
on_noted(struct dispatch *d, struct note *n)
{
	if (n->is_last)
		d->last_notes_out--;
	else
		queue_sched_noted(d->sched, n->noting, false, dispatch_now(d));
	free(n);
}

/* --- the turn --- */

/* False: nothing more to order now. */
static bool
carry_out_one(struct dispatch *d)
{
	struct queue_order order;

	queue_sched_next(d->sched, dispatch_now(d), &order);
	switch (order.kind) {
	case QUEUE_ORDER_NONE:
		return false;
	case QUEUE_ORDER_RESOLVE:
		order_resolve(d, &order);
		return true;
	case QUEUE_ORDER_OPEN:
		dispatch_open(d, &order);
		return true;
	case QUEUE_ORDER_GIVE:
		dispatch_give(d, &order);
		return true;
	case QUEUE_ORDER_CLOSE:
		dispatch_close(d, &order);
		return true;
	case QUEUE_ORDER_REJECT:
	case QUEUE_ORDER_EXPIRE:
		order_end(d, &order);
		return true;
	case QUEUE_ORDER_NOTE:
		return order_note(d, &order);
	}
	return false;
}

static void
sleep_until(struct dispatch *d, int64_t due_us)
{
	int64_t wait_us = due_us == INT64_MAX ? STALLED_RETRY_US : due_us - dispatch_now(d);
	struct timeval tv;

	/* At least once a second: the wall clock may have been set. */
	if (wait_us > STALLED_RETRY_US)
		wait_us = STALLED_RETRY_US;
	if (wait_us < 500)
		wait_us = 500;
	tv.tv_sec = wait_us / 1000000;
	tv.tv_usec = wait_us % 1000000;
	event_add(d->wake, &tv);
}

void
dispatch_wake(struct dispatch *d)
{
	static const struct timeval at_once = {0, 0};

	event_add(d->wake, &at_once);
}

/* Bodies in flight are bounded by memory-max: cached ones go first, then no more leases until some have come
 * back. */
static bool
has_memory(struct dispatch *d)
{
	if (memory_percent(d->memory) >= EVICT_PERCENT)
		(void)queue_sched_evict(d->sched, EVICT_COUNT);
	return memory_percent(d->memory) < 100 || d->jobs_out == 0;
}

/* True while more leases would only add to what a crash repeats. */
static bool
is_spool_behind(const struct dispatch *d)
{
	return d->unrecorded >= UNRECORDED_MAX ||
	       (d->unrecorded > 0 && clock_mono(d->clock) - d->recorded_us >= UNRECORDED_US);
}

static void
turn(struct dispatch *d)
{
	int i;

	dispatch_end_overrides(d);
	if (d->spool_failed || d->is_stopping || is_spool_behind(d) || !has_memory(d)) {
		sleep_until(d, INT64_MAX);
		return;
	}
	for (i = 0; i < ORDERS_A_TURN; i++)
		if (!carry_out_one(d)) {
			sleep_until(d, queue_sched_wake_us(d->sched));
			return;
		}
	dispatch_wake(d);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct dispatch *d = arg;

	schedule_stalled(d);
	sources_check(d->sources, clock_mono(d->clock));
	turn(d);
}

/* Each batch puts the timer off, so what is stalled may not depend on that alone. */
static void
on_batch(void *arg)
{
	on_wake(-1, 0, arg);
}

/* --- letters --- */

static void
on_letter(void *arg, struct letter *l)
{
	struct dispatch *d = arg;
	struct outbound *o;
	struct job *job;

	switch ((enum letter_kind)l->kind) {
	case LETTER_FRESH:
		on_fresh(d, (struct message *)l);
		return;
	case LETTER_RECOVERED:
		dispatch_on_recovered(d, (struct recovered *)l);
		return;
	case LETTER_JOB_DONE:
		job = (struct job *)l;
		o = job->outbound;
		dispatch_job_done(d, job);
		if (o != NULL)
			dispatch_release_if_over(d, o);
		return;
	case LETTER_RECORDED:
		on_recorded(d, (struct job *)l);
		return;
	case LETTER_READY:
		o = outbound_of_ready(l);
		dispatch_suspect_source(d, o);
		queue_sched_session_ready(d->sched, o->session, o->can_overlap);
		return;
	case LETTER_CLOSED:
		dispatch_on_closed(d, outbound_of_closed(l));
		return;
	case LETTER_SPOOL_STATE:
		d->spool_failed = ((struct spool_state *)l)->is_failed;
		free(l);
		return;
	case LETTER_NOTED:
		on_noted(d, (struct note *)l);
		return;
	case LETTER_FEEDBACK_NEWS:
		queue_sched_feedback(d->sched, &((struct feedback_news *)l)->feedback, clock_now(d->clock));
		free(l);
		return;
	case LETTER_CALL:
		((struct call *)l)->run((struct call *)l);
		return;
	default:
		assert(!"a letter the queue thread does not take");
	}
}

const struct rules *
dispatch_rules(const struct dispatch *d)
{
	return d->rules;
}

struct classifier *
dispatch_classifier(const struct dispatch *d)
{
	return d->classifier;
}

struct queue_sched *
dispatch_sched(struct dispatch *d)
{
	return d->sched;
}

struct route *
dispatch_route(struct dispatch *d)
{
	return d->route;
}

const struct conf *
dispatch_current_conf(struct dispatch *d)
{
	return policy_conf(d->settings.policy);
}

bool
dispatch_is_recovering(const struct dispatch *d)
{
	return d->is_recovering;
}

bool
dispatch_apply(struct dispatch *d, const struct conf *conf)
{
	struct policy *fresh = policy_create(conf, d->settings.pace), *old = d->settings.policy;
	struct queue_sched_conf sc;

	if (fresh == NULL || !sched_conf(d, conf, &sc)) {
		policy_destroy(&fresh);
		return false;
	}
	d->settings.policy = fresh;
	queue_sched_reconfigured(d->sched, &sc, dispatch_now(d));
	policy_destroy(&old);
	dispatch_wake(d);
	return true;
}

bool
dispatch_reconfigure(struct dispatch *d, const struct conf *conf)
{
	struct sources *sources = dispatch_make_sources(d, conf);
	struct rules *rules = rules_create(conf);
	struct classifier *classifier = classifier_create(conf);

	if (sources == NULL || rules == NULL || classifier == NULL || !dispatch_apply(d, conf)) {
		sources_destroy(&sources);
		rules_unref(rules);
		classifier_unref(classifier);
		return false;
	}
	rules_unref(d->rules);
	d->rules = rules;
	classifier_unref(d->classifier);
	d->classifier = classifier;
	dispatch_use_sources(d, sources);
	dispatch_publish_quotas(d);
	route_reconfigure(d->route, conf);
	return true;
}

void
dispatch_stop(struct dispatch *d)
{
	d->is_stopping = true;
}

bool
dispatch_is_idle(struct dispatch *d)
{
	struct queue_sched_stats st;

	queue_sched_stats(d->sched, &st);
	return st.leased == 0 && st.sessions == 0 && d->unrecorded == 0 &&
	       (!d->is_stopping || d->spool_failed || dispatch_last_notes(d));
}

/* --- life --- */

struct dispatch *
dispatch_create(const struct dispatch_conf *conf)
{
	struct worker_conf wc = {
		.name = "queue", .clock = conf->clock, .on_letter = on_letter, .on_batch = on_batch};
	struct dispatch *d = calloc(1, sizeof(*d));
	struct queue_sched_conf sc;
	struct sources *sources;
	int64_t step_us;

	if (d == NULL)
		return NULL;
	wc.arg = d;
	d->clock = conf->clock;
	(void)clock_watch_now(&d->clock_watch, d->clock, &step_us); /* a step from now on is one */
	d->log = conf->log;
	d->memory = conf->memory;
	d->store = conf->store;
	d->quotas = conf->quotas;
	d->is_recovering = true;
	if ((d->rules = rules_create(conf->conf)) == NULL ||
		(d->classifier = classifier_create(conf->conf)) == NULL ||
		(d->react = react_create()) == NULL || (d->overrides = overrides_create()) == NULL ||
		!settings_init(&d->settings, conf->conf) || (d->worker = worker_create(&wc)) == NULL ||
		(d->hosts = calloc(HOSTS_REMEMBERED, sizeof(d->hosts[0]))) == NULL ||
		(d->failures = calloc(LANES_REMEMBERED, sizeof(d->failures[0]))) == NULL ||
		(d->wake = event_new(worker_base(d->worker), -1, 0, on_wake, d)) == NULL) {
		dispatch_destroy(&d);
		return NULL;
	}
	if (!sched_conf(d, conf->conf, &sc) || queue_sched_create(&sc, &d->sched) < 0 ||
		(d->route = route_create(worker_base(d->worker), conf->clock, conf->conf, conf->log)) ==
			NULL ||
		!dispatch_restore_overrides(d) ||
		queue_store_scan_notes(conf->store, dispatch_text("pause/"), dispatch_restore_pause, d) < 0 ||
		queue_store_scan_notes(conf->store, dispatch_text(SANDBOX_NOTES), dispatch_restore_user, d) <
			0 ||
		queue_store_scan_notes(
			conf->store, dispatch_text(QUEUE_SCHED_NOTES), dispatch_restore_limit, d) < 0 ||
		(sources = dispatch_make_sources(d, conf->conf)) == NULL) {
		dispatch_destroy(&d);
		return NULL;
	}
	dispatch_use_sources(d, sources);
	dispatch_publish_quotas(d);
	return d;
}

void
dispatch_connect(struct dispatch *d, const struct dispatch_peers *peers)
{
	d->peers = *peers;
}

struct worker *
dispatch_worker(struct dispatch *d)
{
	return d->worker;
}

void
dispatch_destroy(struct dispatch **dp)
{
	struct dispatch *d = *dp;
	struct message *next;

	*dp = NULL;
	if (d == NULL)
		return;
	for (; d->stalled != NULL; d->stalled = next) {
		next = (struct message *)d->stalled->letter.next;
		message_unref(d->stalled);
	}
	if (d->sched != NULL)
		queue_sched_destroy(&d->sched);
	if (d->route != NULL)
		route_destroy(&d->route);
	if (d->wake != NULL)
		event_free(d->wake);
	worker_destroy(&d->worker);
	settings_fini(&d->settings);
	sources_destroy(&d->sources);
	free(d->overrides);
	react_destroy(&d->react);
	rules_unref(d->rules);
	classifier_unref(d->classifier);
	free(d->hosts);
	free(d->failures);
	free(d);
}
