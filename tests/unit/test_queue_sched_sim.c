/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seeded world around the schedule: sites that accept, defer, fail and drop connections, operators who
 * pause, hold, retry and delete at random, settings that change and a clock that jumps. After every step a
 * model that knows nothing of the schedule's insides checks what must be true whatever happened.
 *
 * A failing seed is printed as the command that repeats it: SCHED_SIM_SEED=n test_queue_sched_sim
 */
#include "sched_sim_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t
rnd(struct world *w, uint32_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 20) % n;
}

#define CHECK(w, what)                                                                                       \
	do {                                                                                                 \
		if (!(what)) {                                                                               \
			print_error("SCHED_SIM_SEED=%llu test_queue_sched_sim: %s:%d\n",                     \
				(unsigned long long)(w)->seed, __FILE__, __LINE__);                          \
			fail_msg("%s", #what);                                                               \
		}                                                                                            \
	} while (0)

/* --- what the schedule asks its host for --- */

static const struct queue_policy *
on_policy(void *arg, struct queue_blob domain, struct queue_blob site)
{
	struct world *w = arg;
	int d = number_of(domain), s = number_of(site);

	return &w->policies[d < 0 ? 0 : d][s < 0 ? SITES : s];
}

static uint32_t
on_random(void *arg)
{
	return rnd(arg, UINT32_MAX);
}

static void
on_body_unref(void *arg, void *body)
{
	struct world *w = arg;
	struct m_message *m = body;

	CHECK(w, m->has_body);
	m->has_body = false;
	w->bodies--;
}

static void
set_policies(struct world *w)
{
	int d, s;

	for (d = 0; d < DOMAINS; d++) {
		int64_t expire_us = (int64_t)(1 + rnd(w, 48)) * HOUR;

		for (s = 0; s <= SITES; s++)
			w->policies[d][s] = (struct queue_policy){
				.retry_us = w->retry_us,
				.retry_count = 4,
				.expire_us = expire_us,
				.uncertain_retry_us = 2 * HOUR,
				.connections = 1 + (uint32_t)s % 3,
				.messages_per_connection = (uint32_t)s % 4,
				.rcpts_per_transaction = 1 + (uint32_t)(s + d) % 5,
				.idle_us = (s % 3) * 10 * SEC,
			};
	}
}

/* --- the model --- */

static struct m_message *
message(struct world *w, queue_id id)
{
	CHECK(w, id >= 1 && id <= w->last_id);
	return &w->messages[id];
}

static int64_t
expires_us(const struct world *w, const struct m_message *m, const struct m_rcpt *r)
{
	int64_t at_us = m->arrived_us + w->policies[r->domain][0].expire_us;

	return m->expire_us != 0 && m->expire_us < at_us ? m->expire_us : at_us;
}

static bool
is_paused(const struct world *w, const struct m_message *m, const struct m_rcpt *r)
{
	return w->all_paused || w->domains[r->domain].is_paused || w->user_paused[m->user] ||
	       w->job_paused[m->job];
}

/* Whatever call carries the time tells the schedule about jumps; the model sees them the same way. */
static int64_t
now(struct world *w)
{
	if (w->now_us - w->last_us > HOUR)
		w->grace_us = w->now_us + 10 * MINUTE;
	w->last_us = w->now_us;
	return w->now_us;
}

static void
set_back(struct world *w, int64_t delta_us)
{
	queue_id id;
	int i;

	w->now_us -= delta_us;
	w->last_us -= delta_us;
	w->grace_us -= delta_us;
	for (i = 0; i < DOMAINS; i++)
		w->domains[i].answer_us -= delta_us;
	for (id = 1; id <= w->last_id; id++) {
		struct m_message *m = &w->messages[id];

		if (m->arrived_us > w->now_us)
			m->arrived_us = w->now_us;
		for (i = 0; i < m->count; i++)
			if (m->rcpts[i].due_us > 0)
				m->rcpts[i].due_us -= delta_us;
	}
}

static void
end_rcpt(struct world *w, struct m_rcpt *r)
{
	CHECK(w, r->is_live && r->is_leased);
	r->is_live = false;
	r->is_leased = false;
	w->live--;
	w->leased--;
}

/* --- facts --- */

static void
add_message(struct world *w)
{
	struct queue_sched_rcpt rcpts[RCPTS];
	struct m_message *m = &w->messages[++w->last_id];
	struct queue_message meta = {.id = w->last_id};
	char domains[RCPTS][16];
	uint32_t i, sticky = rnd(w, 4) == 0 ? 1 + rnd(w, SOURCES) : 0;

	CHECK(w, w->last_id < MESSAGES);
	*m = (struct m_message){.arrived_us = w->now_us,
		.user = (uint8_t)rnd(w, NAMES),
		.job = (uint8_t)rnd(w, NAMES),
		.count = (uint8_t)(1 + (rnd(w, 3) == 0 ? rnd(w, RCPTS) : 0)),
		.has_body = rnd(w, 2) == 0};
	if (rnd(w, 10) == 0)
		m->arrived_us -= rnd(w, 3600) * SEC; /* read at start */
	if (rnd(w, 10) == 0)
		m->expire_us = w->now_us + (rnd(w, 7200) - 100) * SEC;
	meta.arrived_us = m->arrived_us;
	meta.expire_us = m->expire_us;
	meta.user = name_of("user", m->user);
	meta.job = name_of("job", m->job);
	for (i = 0; i < m->count; i++) {
		struct m_rcpt *r = &m->rcpts[i];

		*r = (struct m_rcpt){.domain = (uint8_t)rnd(w, DOMAINS), .is_live = true, .sticky = sticky};
		r->is_held = rnd(w, 20) == 0;
		r->due_us = rnd(w, 10) == 0 ? w->now_us + rnd(w, 3600) * SEC : 0;
		rcpts[i] = (struct queue_sched_rcpt){.n = (uint16_t)(i * 3),
			.flags = r->is_held ? QUEUE_RCPT_HELD : 0,
			.due_us = r->due_us,
			.sticky_source = sticky,
			.domain = {domains[i],
				(size_t)snprintf(domains[i], sizeof(domains[i]), "d%d", r->domain)}};
	}
	for (i = 0; i < m->count; i++) { /* a domain that was forgotten has no route any more */
		struct queue_domain_view v;

		if (!queue_sched_domain_find(w->q, rcpts[i].domain, &v))
			w->domains[m->rcpts[i].domain].site = -1;
	}
	w->live += m->count;
	w->bodies += m->has_body;
	assert_int_equal(
		queue_sched_add(w->q, &meta, rcpts, m->count, m->has_body ? m : NULL, now(w)), QUEUE_OK);
	/* The same id again is refused and changes nothing. */
	if (rnd(w, 50) == 0)
		assert_int_equal(queue_sched_add(w->q, &meta, rcpts, m->count, NULL, now(w)), QUEUE_EINVAL);
}

static void
answer_route(struct world *w, int d)
{
	struct queue_route route = {.kind = QUEUE_ROUTE_SITE, .until_us = w->now_us + rnd(w, 7200) * SEC};
	int site = rnd(w, 20) == 0 ? (int)rnd(w, SITES) : d % SITES;

	if (!w->is_draining && rnd(w, 10) == 0)
		route.kind = rnd(w, 4) == 0 ? QUEUE_ROUTE_FAIL : QUEUE_ROUTE_WAIT;
	if (route.kind == QUEUE_ROUTE_SITE)
		route.site = name_of("site", site);
	else
		route.why = name_of("why", d);
	w->domains[d].is_asked = false;
	w->domains[d].site = route.kind == QUEUE_ROUTE_SITE ? site : -1;
	assert_int_equal(queue_sched_routed(w->q, name_of("d", d), &route, now(w)), QUEUE_OK);
}

static struct m_lease *
keep_lease(struct world *w, struct queue_lease *l, struct m_session *s)
{
	int i;

	for (i = 0; i < LEASES && w->leases[i].l != NULL; i++)
		;
	CHECK(w, i < LEASES);
	w->leases[i] = (struct m_lease){l, s};
	return &w->leases[i];
}

static enum queue_verdict_kind
choose_verdict(struct world *w, const struct m_lease *ml, enum queue_order_kind order)
{
	uint32_t r = rnd(w, 100);

	if (rnd(w, 30) == 0 && !w->is_draining)
		return QUEUE_VERDICT_RETURN;
	if (order == QUEUE_ORDER_EXPIRE)
		return QUEUE_VERDICT_EXPIRED;
	if (order == QUEUE_ORDER_REJECT)
		return QUEUE_VERDICT_FAILED;
	if (ml->session == NULL)
		return QUEUE_VERDICT_DROPPED;
	if (!ml->session->is_ready) /* the connection failed */
		return r < 50 ? QUEUE_VERDICT_RETURN : QUEUE_VERDICT_LATER;
	if (w->is_draining || r < 60)
		return QUEUE_VERDICT_DELIVERED;
	if (r < 85)
		return QUEUE_VERDICT_LATER;
	return r < 90 ? QUEUE_VERDICT_UNCERTAIN : QUEUE_VERDICT_FAILED;
}

static void
check_due(struct world *w, const struct m_lease *ml, const struct m_rcpt *r, const struct queue_verdict *v,
	const struct queue_settled *out)
{
	int64_t wait_us = w->retry_us[r->attempts < 4 ? r->attempts - 1 : 3], spread_us = 0;

	if (v->kind == QUEUE_VERDICT_UNCERTAIN)
		wait_us = 2 * HOUR;
	if (v->wait_us > 0 && v->kind == QUEUE_VERDICT_LATER)
		wait_us = v->wait_us;
	else
		spread_us = wait_us * JITTER / 100;
	CHECK(w, out->due_us >= w->now_us + wait_us - spread_us);
	CHECK(w, out->due_us <= w->now_us + wait_us + spread_us);
	CHECK(w, ml->session != NULL || v->kind != QUEUE_VERDICT_UNCERTAIN);
}

static void
settle_one(struct world *w, struct m_lease *ml, uint32_t i, enum queue_verdict_kind kind, bool *last)
{
	struct queue_verdict v = {.kind = kind, .reply = blob_of("451 no"), .code = 451};
	queue_id id = queue_lease_message(ml->l);
	struct m_message *m = message(w, id);
	struct m_rcpt *r = &m->rcpts[queue_lease_rcpt(ml->l, i) / 3];
	int64_t now_us = now(w);
	struct queue_settled out;
	uint32_t live = 0, k;

	if (rnd(w, 5) == 0)
		v.wait_us = rnd(w, 3600) * SEC;
	CHECK(w, queue_lease_attempts(ml->l, i) == r->attempts);
	queue_sched_settle(w->q, ml->l, i, &v, now_us, &out);
	CHECK(w, out.n == queue_lease_rcpt(ml->l, i));
	if (kind == QUEUE_VERDICT_LATER || kind == QUEUE_VERDICT_UNCERTAIN)
		r->attempts++;
	if (out.kind == QUEUE_VERDICT_LATER || out.kind == QUEUE_VERDICT_UNCERTAIN) {
		CHECK(w, out.kind == kind && !r->is_doomed && out.attempts == r->attempts);
		check_due(w, ml, r, &v, &out);
		CHECK(w, out.due_us <= expires_us(w, m, r) || now_us < w->grace_us);
		r->due_us = out.due_us;
		if (kind == QUEUE_VERDICT_UNCERTAIN)
			r->strict = ml->session->source + 1;
	}
	if (kind == QUEUE_VERDICT_LATER && out.kind == QUEUE_VERDICT_EXPIRED)
		CHECK(w, now_us >= w->grace_us);
	if (out.kind == QUEUE_VERDICT_LATER || out.kind == QUEUE_VERDICT_UNCERTAIN ||
		out.kind == QUEUE_VERDICT_RETURN) {
		CHECK(w, !r->is_doomed);
		r->is_leased = false;
		w->leased--;
	} else {
		end_rcpt(w, r);
	}
	for (k = 0; k < m->count; k++)
		live += m->rcpts[k].is_live;
	CHECK(w, out.is_last == (live == 0));
	*last = out.is_last;
}

static void
settle_lease(struct world *w, struct m_lease *ml, enum queue_order_kind order)
{
	struct m_message *m = message(w, queue_lease_message(ml->l));
	uint32_t count = queue_lease_rcpt_count(ml->l), i;
	enum queue_verdict_kind all = choose_verdict(w, ml, order);
	bool last = false;

	for (i = 0; i < count; i++)
		settle_one(w, ml, i,
			rnd(w, 3) == 0 && all != QUEUE_VERDICT_EXPIRED ? choose_verdict(w, ml, order) : all,
			&last);
	queue_sched_lease_done(w->q, ml->l, now(w));
	if (last)
		CHECK(w, !m->has_body);
	if (ml->session != NULL)
		ml->session->leases--;
	ml->l = NULL;
}

/* --- orders --- */

/* Where it must go from: what only would rather use a source again takes another while that is paused. */
static uint32_t
source_of(const struct world *w, const struct m_rcpt *r)
{
	bool is_kept = r->sticky > 0 && !w->source_paused[r->sticky - 1];

	return r->strict > 0 ? r->strict - 1 : is_kept ? r->sticky - 1 : w->fake.member.source;
}

/* What every lease must be, and the model's marks. */
static void
take_lease(struct world *w, const struct queue_order *o, struct m_session *s)
{
	struct queue_lease *l = o->lease;
	struct m_message *m = message(w, queue_lease_message(l));
	uint32_t i;

	CHECK(w, queue_lease_rcpt_count(l) > 0);
	CHECK(w, queue_lease_body(l) == (m->has_body ? m : NULL));
	for (i = 0; i < queue_lease_rcpt_count(l); i++) {
		struct m_rcpt *r = &m->rcpts[queue_lease_rcpt(l, i) / 3];

		CHECK(w, r->is_live && !r->is_leased);
		r->is_leased = true;
		w->leased++;
		if (o->kind == QUEUE_ORDER_EXPIRE) {
			CHECK(w, expires_us(w, m, r) <= w->now_us && w->now_us >= w->grace_us);
			continue;
		}
		CHECK(w, !r->is_held && r->due_us <= w->now_us && !is_paused(w, m, r));
		if (o->kind == QUEUE_ORDER_REJECT) {
			CHECK(w, w->domains[r->domain].site == -1 && number_of(o->domain) == r->domain);
			CHECK(w, number_of(o->why) == r->domain);
			continue;
		}
		CHECK(w, w->domains[r->domain].site == s->site && number_of(o->site) == s->site);
		CHECK(w, s->source == source_of(w, r));
		CHECK(w, !w->site_paused[s->site] && !w->source_paused[s->source]);
		CHECK(w, !w->job_paused_at[m->job * SITES + s->site]);
		CHECK(w, queue_lease_rcpt_count(l) <= w->policies[r->domain][s->site].rcpts_per_transaction);
	}
}

static void
on_open(struct world *w, const struct queue_order *o)
{
	uint32_t site = (uint32_t)number_of(o->site), in_lane = 0;
	struct m_session *s = NULL;
	int i;

	for (i = 0; i < SESSIONS; i++) {
		if (!w->sessions[i].is_used)
			s = s == NULL ? &w->sessions[i] : s;
		else if (w->sessions[i].site == site && w->sessions[i].source == o->source)
			in_lane++;
	}
	CHECK(w, s != NULL && w->session_count < w->conf.connections_total);
	CHECK(w, in_lane < w->policies[number_of(o->domain)][site].connections);
	*s = (struct m_session){
		.s = o->session, .source = o->source, .site = (uint8_t)site, .is_used = true, .leases = 1};
	w->session_count++;
	queue_session_set_user(o->session, s);
	take_lease(w, o, s);
	keep_lease(w, o->lease, s);
}

static void
on_give(struct world *w, const struct queue_order *o)
{
	struct m_session *s = queue_session_user(o->session);

	CHECK(w, s->is_used && s->is_ready && !s->is_closing);
	CHECK(w, s->leases == 0 || (s->leases == 1 && s->can_overlap));
	s->leases++;
	take_lease(w, o, s);
	keep_lease(w, o->lease, s);
}

static void
carry_out(struct world *w, const struct queue_order *o)
{
	struct m_session *s;
	int d;

	switch (o->kind) {
	case QUEUE_ORDER_RESOLVE:
		d = number_of(o->domain);
		CHECK(w, !w->domains[d].is_asked);
		w->domains[d].is_asked = true;
		w->domains[d].answer_us = w->now_us + rnd(w, 5) * SEC;
		return;
	case QUEUE_ORDER_OPEN:
		on_open(w, o);
		return;
	case QUEUE_ORDER_GIVE:
		on_give(w, o);
		return;
	case QUEUE_ORDER_CLOSE:
		s = queue_session_user(o->session);
		CHECK(w, s->is_used && s->is_ready && !s->is_closing && s->leases == 0);
		s->is_closing = true;
		return;
	case QUEUE_ORDER_REJECT:
	case QUEUE_ORDER_EXPIRE:
		take_lease(w, o, NULL);
		settle_lease(w, keep_lease(w, o->lease, NULL), o->kind);
		return;
	case QUEUE_ORDER_NOTE: /* this world has no limits */
	case QUEUE_ORDER_NONE:
		CHECK(w, o->kind == QUEUE_ORDER_NONE);
		return;
	}
}

static void
drain_orders(struct world *w)
{
	struct queue_order o;
	int i;

	for (i = 0; i < ORDERS_MAX; i++) {
		queue_sched_next(w->q, now(w), &o);
		if (o.kind == QUEUE_ORDER_NONE)
			return;
		carry_out(w, &o);
	}
	CHECK(w, !"orders without end");
}

/* --- the far ends --- */

static void
close_session(struct world *w, struct m_session *s)
{
	bool failed = !s->is_ready;
	int i;

	for (i = 0; i < LEASES; i++)
		if (w->leases[i].l != NULL && w->leases[i].session == s)
			settle_lease(w, &w->leases[i], QUEUE_ORDER_GIVE);
	CHECK(w, s->leases == 0);
	s->is_used = false;
	w->session_count--;
	queue_sched_session_closed(w->q, s->s, failed ? QUEUE_SESSION_FAILED : QUEUE_SESSION_OVER,
		failed ? rnd(w, 300) * SEC : 0, name_of("refused by ", s->site), now(w));
}

static void
move_session(struct world *w, struct m_session *s)
{
	bool fails = !w->is_draining && rnd(w, 8) == 0;
	int i;

	if (s->is_closing || fails) {
		close_session(w, s);
		return;
	}
	if (!s->is_ready) {
		s->is_ready = true;
		s->can_overlap = s->site % 2 == 0;
		queue_sched_session_ready(w->q, s->s, s->can_overlap);
		return;
	}
	for (i = 0; i < LEASES; i++)
		if (w->leases[i].l != NULL && w->leases[i].session == s) {
			settle_lease(w, &w->leases[i], QUEUE_ORDER_GIVE);
			return;
		}
}

static void
move_world(struct world *w)
{
	int i;

	for (i = 0; i < DOMAINS; i++)
		if (w->domains[i].is_asked && w->domains[i].answer_us <= w->now_us)
			answer_route(w, i);
	for (i = 0; i < SESSIONS; i++)
		if (w->sessions[i].is_used && rnd(w, 2) == 0)
			move_session(w, &w->sessions[i]);
}

/* --- operators --- */

static void
choose_filter(struct world *w, struct queue_filter *f)
{
	*f = (struct queue_filter){.n = -1};
	switch (rnd(w, 7)) {
	case 0:
		f->id = 1 + rnd(w, (uint32_t)w->last_id + 2);
		f->n = rnd(w, 2) == 0 ? -1 : (int32_t)rnd(w, RCPTS) * 3;
		break;
	case 1:
		f->domain = name_of("d", (int)rnd(w, DOMAINS + 1));
		break;
	case 2:
		f->site = name_of("site", (int)rnd(w, SITES + 1));
		break;
	case 3:
		f->user = name_of("user", (int)rnd(w, NAMES));
		break;
	case 4:
		f->job = name_of("job", (int)rnd(w, NAMES));
		f->domain = name_of("d", (int)rnd(w, DOMAINS));
		break;
	case 5:
		f->job = name_of("job", (int)rnd(w, NAMES));
		f->waiting_only = true;
		break;
	default:
		f->user = name_of("user", (int)rnd(w, NAMES));
		f->held_only = true;
		break;
	}
}

static bool
filter_has(const struct world *w, const struct queue_filter *f, queue_id id, const struct m_rcpt *r)
{
	const struct m_message *m = &w->messages[id];

	return (f->id == 0 || (f->id == id && (f->n < 0 || f->n / 3 == r - m->rcpts))) &&
	       (f->domain.len == 0 || number_of(f->domain) == r->domain) &&
	       (f->site.len == 0 || number_of(f->site) == w->domains[r->domain].site) &&
	       (f->user.len == 0 || number_of(f->user) == m->user) &&
	       (f->job.len == 0 || number_of(f->job) == m->job);
}

static uint32_t
model_count(const struct world *w, const struct queue_filter *f, bool held_only)
{
	uint32_t count = 0;
	queue_id id;
	int i;

	for (id = 1; id <= w->last_id; id++)
		for (i = 0; i < w->messages[id].count; i++) {
			const struct m_rcpt *r = &w->messages[id].rcpts[i];

			count += r->is_live && filter_has(w, f, id, r) && (!held_only || r->is_held);
		}
	return count;
}

static bool
on_held(void *arg, const struct queue_view *v)
{
	struct world *w = arg;
	struct m_rcpt *r = &message(w, v->id)->rcpts[v->n / 3];

	CHECK(w, r->is_live && r->is_held == ((v->flags & QUEUE_RCPT_HELD) == 0));
	r->is_held = !r->is_held;
	return true;
}

static bool
on_retried(void *arg, const struct queue_view *v)
{
	struct world *w = arg;

	message(w, v->id)->rcpts[v->n / 3].due_us = 0;
	return true;
}

static void
remove_some(struct world *w, const struct queue_filter *f)
{
	struct queue_walk walk = {.limit = 1 + rnd(w, 20)};
	struct queue_filter portion = *f;
	struct queue_lease *l;
	uint64_t busy = 0, marked;
	uint32_t i, expected = 0;
	queue_id id;

	portion.walk = &walk;
	while (!walk.is_end) {
		l = queue_sched_take(w->q, &portion, &marked);
		busy += marked;
		if (l == NULL)
			continue;
		id = queue_lease_message(l);
		for (i = 0; i < queue_lease_rcpt_count(l); i++) {
			struct m_rcpt *r = &message(w, id)->rcpts[queue_lease_rcpt(l, i) / 3];

			CHECK(w, r->is_live && !r->is_leased && filter_has(w, f, id, r));
			r->is_leased = true;
			w->leased++;
		}
		settle_lease(w, keep_lease(w, l, NULL), QUEUE_ORDER_NONE);
		if (busy == 0 && rnd(w, 30) == 0)
			return;
	}
	/* What is left of the filter is on its way, and marked. */
	for (id = 1; id <= w->last_id; id++)
		for (i = 0; i < w->messages[id].count; i++) {
			struct m_rcpt *r = &w->messages[id].rcpts[i];

			if (!r->is_live || !filter_has(w, f, id, r) || (f->held_only && !r->is_held) ||
				f->waiting_only)
				continue;
			CHECK(w, r->is_leased);
			r->is_doomed = true;
			expected++;
		}
	CHECK(w, busy == expected);
}

static void
pause_something(struct world *w)
{
	static const char *const names[] = {"", "d", "site", "", "job", "user", "job"};
	bool *flags[] = {&w->all_paused, NULL, w->site_paused, w->source_paused, w->job_paused,
		w->user_paused, w->job_paused_at};
	uint32_t counts[] = {1, DOMAINS, SITES, SOURCES, NAMES, NAMES, NAMES * SITES}, which = rnd(w, 7);
	enum queue_pause_kind kind = which == 6 ? QUEUE_PAUSE_JOB : which;
	uint32_t i = rnd(w, counts[which]);
	bool *flag = kind == QUEUE_PAUSE_DOMAIN ? &w->domains[i].is_paused : &flags[which][i];
	struct queue_blob name =
		names[kind][0] == '\0' ? (struct queue_blob){"", 0} : name_of(names[kind], (int)i);
	char both[48];

	if (which == 6)
		name = (struct queue_blob){
			both, (size_t)snprintf(both, sizeof(both), "job%u%csite%u", i / SITES, 0, i % SITES)};
	if (*flag || w->is_draining || rnd(w, 3) == 0) {
		CHECK(w, queue_sched_resume(w->q, kind, name, i, now(w)) == *flag);
		*flag = false;
		return;
	}
	assert_int_equal(
		queue_sched_pause(w->q, kind, name, i, INT64_MAX, (struct queue_blob){"tests", 5}, now(w)),
		QUEUE_OK);
	*flag = true;
}

static void
reconfigure(struct world *w)
{
	w->conf.connections_total = 3 + rnd(w, 10);
	fake_sources_default(&w->fake, rnd(w, SOURCES), &w->conf);
	if (rnd(w, 2) == 0)
		set_policies(w);
	queue_sched_reconfigured(w->q, &w->conf, now(w));
}

static void
operate(struct world *w)
{
	struct queue_filter f;
	uint64_t n;

	choose_filter(w, &f);
	switch (rnd(w, 8)) {
	case 0:
		pause_something(w);
		return;
	case 1:
		if (!f.held_only && !f.waiting_only) {
			n = queue_sched_hold(w->q, &f, true, now(w), on_held, w);
			CHECK(w, n <= model_count(w, &f, false));
			CHECK(w, model_count(w, &f, true) == model_count(w, &f, false));
		}
		return;
	case 2:
	case 3:
		queue_sched_hold(w->q, &f, false, now(w), on_held, w);
		CHECK(w, f.waiting_only || model_count(w, &f, true) == 0);
		return;
	case 4:
		f.waiting_only = true;
		queue_sched_each(w->q, &f, 0, on_retried, w);
		n = queue_sched_count(w->q, &f);
		CHECK(w, queue_sched_retry(w->q, &f, now(w)) == n);
		CHECK(w, queue_sched_count(w->q, &f) == 0);
		return;
	case 5:
		if (rnd(w, 4) == 0)
			remove_some(w, &f);
		return;
	case 6:
		queue_sched_evict(w->q, rnd(w, 4));
		return;
	default:
		reconfigure(w);
		return;
	}
}

/* --- what must be true after every step --- */

static bool
on_view(void *arg, const struct queue_view *v)
{
	static const char *const names[] = {"ready", "waiting", "leased", "held", "paused", "unrouted"};
	struct world *w = arg;
	struct m_message *m = message(w, v->id);
	struct m_rcpt *r = &m->rcpts[v->n / 3];
	int state;

	for (state = 0; state < 6 && strcmp(names[state], v->state) != 0; state++)
		;
	CHECK(w, state < 6);
	CHECK(w, r->is_live && !r->is_seen);
	r->is_seen = true;
	w->seen++;
	w->states[state]++;
	CHECK(w, (state == 2) == r->is_leased);
	CHECK(w, r->is_held == ((v->flags & QUEUE_RCPT_HELD) != 0));
	CHECK(w, (state == 3) == (r->is_held && !r->is_leased));
	CHECK(w, v->attempts == r->attempts);
	CHECK(w, v->expire_us == expires_us(w, m, r));
	CHECK(w, v->arrived_us == m->arrived_us && v->arrived_us <= w->now_us);
	/* After the orders: nothing stays over its limit, whatever state it is in. */
	CHECK(w, r->is_leased || v->expire_us > w->now_us || w->now_us < w->grace_us);
	CHECK(w, state != 1 || v->due_us > w->now_us);
	return true;
}

static int64_t
oldest_us(const struct world *w, int domain)
{
	int64_t oldest_us = 0;
	queue_id id;
	uint32_t i;

	for (id = 1; id <= w->last_id; id++)
		for (i = 0; i < w->messages[id].count; i++)
			if (w->messages[id].rcpts[i].is_live && w->messages[id].rcpts[i].domain == domain &&
				(oldest_us == 0 || w->messages[id].arrived_us < oldest_us))
				oldest_us = w->messages[id].arrived_us;
	return oldest_us;
}

static bool
on_domain(void *arg, const struct queue_domain_view *v)
{
	struct world *w = arg;
	struct queue_filter f = {.n = -1, .domain = v->domain};

	w->states[0] += v->ready;
	w->states[1] += v->waiting;
	w->states[2] += v->leased;
	w->states[3] += v->held;
	CHECK(w, queue_sched_count(w->q, &f) == v->ready + v->waiting + v->leased + v->held);
	CHECK(w, (v->waiting > 0) == (v->next_us > w->now_us));
	CHECK(w, v->oldest_us == oldest_us(w, number_of(v->domain)));
	return true;
}

static void
check_views(struct world *w)
{
	const struct queue_filter all = {.n = -1};
	struct queue_sched_stats st;
	queue_id id;
	int i;

	w->seen = 0;
	memset(w->states, 0, sizeof(w->states));
	queue_sched_each(w->q, &all, 0, on_view, w);
	CHECK(w, w->seen == w->live);
	for (id = w->last_id > 2000 ? w->last_id - 2000 : 1; id <= w->last_id; id++)
		for (i = 0; i < w->messages[id].count; i++)
			w->messages[id].rcpts[i].is_seen = false;
	queue_sched_stats(w->q, &st);
	CHECK(w, st.rcpts == w->live && st.leased == w->leased && st.sessions == w->session_count);
	CHECK(w, st.ready == w->states[0] + w->states[4] + w->states[5]);
	CHECK(w, st.waiting == w->states[1] && st.leased == w->states[2] && st.held == w->states[3]);
	memset(w->states, 0, sizeof(w->states));
	queue_sched_each_domain(w->q, on_domain, w);
	CHECK(w, st.ready == w->states[0] && st.waiting == w->states[1]);
	CHECK(w, st.leased == w->states[2] && st.held == w->states[3]);
	CHECK(w, queue_sched_count(w->q, &all) == w->live);
}

/* --- the run --- */

static void
advance(struct world *w)
{
	int64_t wake_us = queue_sched_wake_us(w->q);
	uint32_t r = rnd(w, 200);

	CHECK(w, w->live == 0 || wake_us <= w->now_us + HOUR / 2);
	CHECK(w, wake_us > w->now_us); /* all orders were given */
	if (w->has_jumps && !w->is_draining && r == 0) {
		w->now_us += (int64_t)rnd(w, 400) * HOUR;
		return;
	}
	if (w->has_jumps && !w->is_draining && r == 1) {
		set_back(w, 3 * SEC + (int64_t)rnd(w, 100) * HOUR);
		/* The schedule learns of it with the next call. */
		w->last_us = w->now_us;
		return;
	}
	if (r < 100)
		w->now_us += rnd(w, 1000) * 1000;
	else if (r < 150)
		w->now_us += rnd(w, 60) * SEC;
	else
		w->now_us = wake_us < w->now_us + 20 * MINUTE ? wake_us : w->now_us + 20 * MINUTE;
}

static void
step(struct world *w)
{
	uint32_t i, n = rnd(w, 4);

	for (i = 0; i < n && w->live < LIVE_MAX && !w->is_draining; i++)
		add_message(w);
	move_world(w);
	if (rnd(w, 10) == 0 && !w->is_draining)
		operate(w);
	drain_orders(w);
	check_views(w);
	advance(w);
}

static void
lift_everything(struct world *w)
{
	const struct queue_filter all = {.n = -1};
	int i;

	w->is_draining = true;
	queue_sched_hold(w->q, &all, false, now(w), on_held, w);
	for (i = 0; i < 3000; i++)
		pause_something(w);
}

static struct world *
world_create(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	int i;

	assert_non_null(w);
	w->messages = calloc(MESSAGES, sizeof(w->messages[0]));
	assert_non_null(w->messages);
	w->seed = seed;
	w->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	w->has_jumps = seed % 3 == 0;
	w->now_us = w->last_us = START;
	memcpy(w->retry_us, (int64_t[]){5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR}, sizeof(w->retry_us));
	set_policies(w);
	for (i = 0; i < DOMAINS; i++)
		w->domains[i].site = -1;
	w->conf = (struct queue_sched_conf){on_policy, on_random, on_body_unref, w, 8, JITTER};
	fake_sources_default(&w->fake, 0, &w->conf);
	assert_int_equal(queue_sched_create(&w->conf, &w->q), QUEUE_OK);
	return w;
}

static void
world_destroy(struct world *w)
{
	queue_sched_destroy(&w->q);
	CHECK(w, w->bodies == 0);
	free(w->messages);
	free(w);
}

static void
run(uint64_t seed)
{
	struct world *w = world_create(seed);
	struct queue_sched_stats st;
	int i;

	for (i = 0; i < STEPS; i++)
		step(w);
	lift_everything(w);
	for (i = 0; i < 20000 && (w->live > 0 || w->session_count > 0); i++)
		step(w);
	CHECK(w, w->live == 0 && w->leased == 0 && w->session_count == 0 && w->bodies == 0);
	for (i = 0; i < 200; i++) { /* and the domains go when their routes do */
		w->now_us += 10 * MINUTE;
		move_world(w);
		drain_orders(w);
	}
	queue_sched_stats(w->q, &st);
	CHECK(w, st.domains == 0 && st.sites == 0 && st.messages == 0);
	CHECK(w, queue_sched_wake_us(w->q) == INT64_MAX);
	world_destroy(w);
}

/* Torn down in the middle of everything: nothing leaks, every body is let go. */
static void
run_and_drop(uint64_t seed)
{
	struct world *w = world_create(seed);
	int i;

	for (i = 0; i < 200; i++)
		step(w);
	assert_true(w->leased > 0 || w->live > 0);
	world_destroy(w);
}

static void
test_seeds(void **state)
{
	const char *one = getenv("SCHED_SIM_SEED");

	for (uint64_t seed = 1; one == NULL && seed <= SEEDS; seed++)
		run(seed);
	if (one != NULL)
		run(strtoull(one, NULL, 10));
}

static void
test_drop(void **state)
{
	for (uint64_t seed = 100; seed < 120; seed++)
		run_and_drop(seed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds), cmocka_unit_test(test_drop)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
