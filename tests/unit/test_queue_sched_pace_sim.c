/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits, pools and streams in thousands of small seeded worlds: settings at random and changed under way,
 * mail that is delivered, deferred, refused and returned, connections that fail, pauses, a clock that is set,
 * and crashes that lose what had not reached the disk. An observer counts what receivers see
 * (queue_observer.h): no limit is ever passed, and whenever nothing is under way, a limit or a pause explains
 * it.
 *
 * A failing seed is printed as the command that repeats it: PACE_SIM_SEED=n test_queue_sched_pace_sim
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue_settings.h"

enum {
	SEEDS = 10000,
	STEPS = 50,
	DRAIN_STEPS = 4000,
	MESSAGES = 120,
	SESSIONS = 16,
	LEASES = 32,
	NOTES = 128,
	NOTE_KEY = 200,
	NOTE_VALUE = 600,
};
#define NEVER (INT64_MAX / 2)

struct m_rcpt {
	uint8_t domain, attempts;
	bool is_live, is_leased;
	uint32_t sticky; /* source + 1 */
	bool is_strict;  /* it waits for that source alone */
	int64_t due_us;  /* real */
};
struct m_message {
	uint8_t stream, count;
	uint32_t pool, bytes;
	struct m_rcpt rcpts[SET_RCPTS];
};
struct m_session {
	struct queue_session *s;
	int gates[OBS_OF_SESSION];
	uint32_t source;
	uint8_t site, leases, given;
	bool is_ready, can_overlap, is_closing, is_used;
	int64_t idle_us; /* real: since when */
};
struct m_lease {
	struct queue_lease *l;
	struct m_session *session;
	size_t taking;
	uint32_t counted, open;
	uint8_t stream;
};
struct m_note {
	char key[NOTE_KEY];
	uint8_t value[NOTE_VALUE];
	size_t key_len, value_len;
	struct queue_noting *noting;
};
struct world {
	struct queue_sched *q;
	struct settings *settings;
	struct observer seen;
	uint64_t random, seed;
	uint32_t sites, sources, pools, domains, streams, users, density;
	bool has_jumps, has_crashes, is_draining, all_paused;
	int64_t retry_us[2];
	struct m_message messages[MESSAGES + 1]; /* by id */
	queue_id last_id;
	uint32_t live, session_count, lease_count, asked;
	uint8_t site_of[SET_DOMAINS], class_of[OBS_STREAMS], user_of[OBS_STREAMS];
	bool is_asked[SET_DOMAINS], site_paused[OBS_SITES], source_paused[OBS_SOURCES],
		user_paused[OBS_USERS], user_paused_at[OBS_USERS * OBS_SITES];
	int64_t lane_waits_us[OBS_LANES]; /* real */
	struct m_session sessions[SESSIONS];
	struct m_lease leases[LEASES];
	uint32_t disk_count, pending_first, pending_count;
	struct m_note disk[NOTES], pending[NOTES]; /* pending: a ring, in the order of the orders */
};

static uint32_t
rnd(struct world *w, uint32_t n)
{
	return chance(&w->random, n);
}

#define CHECK(w, what)                                                                                       \
	do {                                                                                                 \
		if (!(what)) {                                                                               \
			print_error("PACE_SIM_SEED=%llu test_queue_sched_pace_sim: %s:%d\n",                 \
				(unsigned long long)(w)->seed, __FILE__, __LINE__);                          \
			fail_msg("%s", #what);                                                               \
		}                                                                                            \
	} while (0)

static void
check_seen(struct world *w)
{
	const struct observer *o = &w->seen;

	if (o->wrong == NULL)
		return;
	print_error("PACE_SIM_SEED=%llu test_queue_sched_pace_sim: gate %d, unit %d, window %d\n",
		(unsigned long long)w->seed, o->wrong_gate, o->wrong_unit, o->wrong_window);
	fail_msg("%s", o->wrong);
}

static int64_t
now(const struct world *w)
{
	return w->seen.real_us + w->seen.offset_us;
}

/* --- settings --- */

static const struct queue_policy *
on_policy(void *arg, struct queue_blob domain, struct queue_blob site)
{
	struct world *w = arg;
	int d = number_of(domain), s = number_of(site);

	return &w->settings->policies[d < 0 ? SET_DOMAINS : d][s < 0 ? OBS_SITES : s];
}

static uint32_t
on_random(void *arg)
{
	return rnd(arg, UINT32_MAX);
}

static void
on_body_unref(void *arg, void *body)
{
	CHECK((struct world *)arg, body == NULL);
}

static void
on_stream(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	struct world *w = arg;

	CHECK(w, w->class_of[number_of(job)] == klass && w->user_of[number_of(job)] == number_of(user));
	*out = (struct queue_stream_policy){.weight = w->settings->weights[number_of(job)],
		.user_weight = 1 + (uint32_t)number_of(user) % 3,
		.limits = limits_of(w->settings, OF_STREAM + number_of(job)),
		.user_limits = limits_of(w->settings, OF_USER + number_of(user))};
}

static void
change_settings(struct world *w, bool is_lifted)
{
	const struct settings_wanted want = {.sources = w->sources,
		.pools = w->pools,
		.connections_total = 2 + rnd(w, SESSIONS - 2),
		.percent = w->density,
		.retry_us = w->retry_us,
		.retry_count = 2,
		.is_lifted = is_lifted};
	struct queue_sched_conf *conf;

	w->settings = settings_create(&w->random, &want, w->settings);
	assert_non_null(w->settings);
	conf = &w->settings->conf;
	conf->policy = on_policy;
	conf->random = on_random;
	conf->body_unref = on_body_unref;
	conf->stream = on_stream;
	conf->arg = w;
}

static void
reload(struct world *w, bool is_lifted)
{
	struct settings *old = w->settings;

	if (w->sources < OBS_SOURCES && rnd(w, 4) == 0)
		w->sources++;
	if (w->pools < OBS_POOLS && rnd(w, 4) == 0)
		w->pools++;
	change_settings(w, is_lifted);
	queue_sched_reconfigured(w->q, &w->settings->conf, now(w));
	free(old);
	settings_observe(w->settings, &w->seen);
}

/* --- mail --- */

static uint32_t
pool_of(const struct world *w, const struct m_message *m, const struct m_rcpt *r)
{
	return m->pool > 0 ? m->pool : w->settings->policies[r->domain][w->site_of[r->domain]].pool;
}

static void
queue_message(struct world *w, queue_id id)
{
	const struct m_message *m = &w->messages[id];
	struct queue_sched_rcpt rcpts[SET_RCPTS];
	char names[SET_RCPTS][8];
	uint32_t count = 0, i;
	struct queue_message meta = {.id = id,
		.arrived_us = now(w),
		.body_bytes = m->bytes,
		.user = name_of("user", w->user_of[m->stream]),
		.job = name_of("job", m->stream),
		.klass = w->class_of[m->stream]};

	for (i = 0; i < m->count; i++) {
		const struct m_rcpt *r = &m->rcpts[i];

		if (!r->is_live)
			continue;
		rcpts[count] = (struct queue_sched_rcpt){.n = (uint16_t)i,
			.attempts = r->attempts,
			.due_us = r->due_us > 0 ? r->due_us + w->seen.offset_us : 0,
			.sticky_source = r->sticky,
			.flags = r->is_strict ? QUEUE_RCPT_UNCERTAIN : 0,
			.pool = m->pool,
			.domain = {names[i], (size_t)snprintf(names[i], sizeof(names[i]), "d%d", r->domain)}};
		count++;
	}
	if (count == 0)
		return;
	if (meta.klass == QUEUE_CLASS_URGENT)
		w->seen.urgent_until_us = w->seen.real_us + DAY;
	assert_int_equal(queue_sched_add(w->q, &meta, rcpts, count, NULL, now(w)), QUEUE_OK);
}

static void
add_message(struct world *w)
{
	struct m_message *m = &w->messages[++w->last_id];
	uint32_t i;

	*m = (struct m_message){.stream = (uint8_t)rnd(w, w->streams),
		.count = (uint8_t)(1 + (rnd(w, 2) == 0 ? rnd(w, SET_RCPTS) : 0)),
		.pool = rnd(w, 3) == 0 ? rnd(w, w->pools) : 0,
		.bytes = 100 + rnd(w, OBS_BODY_MAX - 100)};
	for (i = 0; i < m->count; i++)
		m->rcpts[i] = (struct m_rcpt){.domain = (uint8_t)rnd(w, w->domains), .is_live = true};
	w->live += m->count;
	queue_message(w, w->last_id);
}

static void
answer_route(struct world *w, uint32_t d)
{
	struct queue_route route = {.kind = QUEUE_ROUTE_SITE, .until_us = now(w) + rnd(w, 100) * MINUTE};

	if (rnd(w, 20) == 0)
		w->site_of[d] = (uint8_t)rnd(w, w->sites);
	w->is_asked[d] = false;
	w->asked--;
	route.site = name_of("site", w->site_of[d]);
	assert_int_equal(queue_sched_routed(w->q, name_of("d", (int)d), &route, now(w)), QUEUE_OK);
}

/* --- settling --- */

static enum queue_verdict_kind
choose_verdict(struct world *w, const struct m_lease *ml)
{
	uint32_t r = rnd(w, 100);

	if (!ml->session->is_ready)
		return r < 50 ? QUEUE_VERDICT_RETURN : QUEUE_VERDICT_LATER;
	if (w->is_draining || r < 50)
		return QUEUE_VERDICT_DELIVERED;
	if (r < 70)
		return QUEUE_VERDICT_LATER;
	if (r < 75)
		return QUEUE_VERDICT_UNCERTAIN;
	return r < 90 ? QUEUE_VERDICT_FAILED : QUEUE_VERDICT_RETURN;
}

/* It goes by its own source now; unless strict, not while that is paused. */
static bool
is_bound_to_source(const struct world *w, const struct m_rcpt *r)
{
	return r->sticky > 0 && (r->is_strict || !w->source_paused[r->sticky - 1]);
}

static void
settle_one(struct world *w, struct m_lease *ml, uint32_t i, enum queue_verdict_kind kind)
{
	struct m_message *m = &w->messages[queue_lease_message(ml->l)];
	struct m_rcpt *r = &m->rcpts[queue_lease_rcpt(ml->l, i)];
	struct queue_verdict v = {.kind = kind,
		.wait_us = rnd(w, 2) * rnd(w, 300) * SEC,
		.code = rnd(w, 2) == 0 ? 451 : 0,
		.reply = blob_of("451 busy")};
	bool is_bound = is_bound_to_source(w, r);
	bool counts = kind != QUEUE_VERDICT_RETURN &&
		      (!w->settings->conf.counts_deliveries || kind == QUEUE_VERDICT_DELIVERED);
	struct queue_settled out;

	queue_sched_settle(w->q, ml->l, i, &v, now(w), &out);
	r->is_leased = false;
	ml->counted += counts;
	ml->open--;
	if (!counts)
		obs_give_back(&w->seen, ml->taking, QUEUE_UNIT_RECIPIENTS, 1);
	if (ml->open == 0 && ml->counted == 0) {
		obs_give_back(&w->seen, ml->taking, QUEUE_UNIT_MESSAGES, 1);
		obs_give_back(&w->seen, ml->taking, QUEUE_UNIT_BYTES, m->bytes);
	}
	switch (out.kind) {
	case QUEUE_VERDICT_UNCERTAIN:
		r->sticky = ml->session->source + 1;
		r->is_strict = true;
		r->attempts = (uint8_t)out.attempts;
		r->due_us = out.due_us - w->seen.offset_us;
		return;
	case QUEUE_VERDICT_LATER:
		if (v.code != 0 && !is_bound && w->settings->pools[pool_of(w, m, r)].member_count > 1)
			r->sticky = ml->session->source + 1;
		r->attempts = (uint8_t)out.attempts;
		r->due_us = out.due_us - w->seen.offset_us;
		return;
	case QUEUE_VERDICT_RETURN:
		return;
	default:
		r->is_live = false;
		w->live--;
		return;
	}
}

static void
settle_lease(struct world *w, struct m_lease *ml)
{
	const int gates[] = {OBS_STREAM + ml->stream, OBS_USER + w->user_of[ml->stream]};
	enum queue_verdict_kind all = choose_verdict(w, ml);
	uint32_t count = queue_lease_rcpt_count(ml->l), i;

	for (i = 0; i < count; i++)
		settle_one(w, ml, i, rnd(w, 3) == 0 ? choose_verdict(w, ml) : all);
	queue_sched_lease_done(w->q, ml->l, now(w));
	obs_connected(&w->seen, gates, 2, -1);
	if (--ml->session->leases == 0)
		ml->session->idle_us = w->seen.real_us;
	w->lease_count--;
	ml->l = NULL;
}

static void
close_session(struct world *w, struct m_session *s)
{
	bool failed = !s->is_ready;
	int64_t wait_us = failed ? rnd(w, 60) * SEC : 0, *lane_us = &w->lane_waits_us[s->gates[0]];
	int i;

	for (i = 0; i < LEASES; i++)
		if (w->leases[i].l != NULL && w->leases[i].session == s)
			settle_lease(w, &w->leases[i]);
	CHECK(w, s->leases == 0);
	if (*lane_us < w->seen.real_us + wait_us)
		*lane_us = w->seen.real_us + wait_us;
	obs_connected(&w->seen, s->gates, OBS_OF_SESSION, -1);
	s->is_used = false;
	w->session_count--;
	queue_sched_session_closed(w->q, s->s, failed ? QUEUE_SESSION_FAILED : QUEUE_SESSION_OVER, wait_us,
		blob_of("refused"), now(w));
}

/* --- orders --- */

static bool
has_source(const struct world *w, uint32_t pool, uint32_t source)
{
	const struct queue_pool *p = &w->settings->pools[pool];
	uint32_t i;

	for (i = 0; i < p->member_count; i++)
		if (p->members[i].source == source)
			return true;
	return false;
}

static bool
may_use(const struct world *w, const struct m_message *m, const struct m_rcpt *r, uint32_t source)
{
	return is_bound_to_source(w, r) ? source == r->sticky - 1 : has_source(w, pool_of(w, m, r), source);
}

static void
check_rcpt(struct world *w, const struct queue_order *o, const struct m_message *m, struct m_rcpt *r)
{
	int site = number_of(o->site);

	CHECK(w, r->is_live && !r->is_leased && w->site_of[r->domain] == site);
	CHECK(w, r->due_us <= w->seen.real_us || w->has_jumps);
	CHECK(w, !w->all_paused && !w->site_paused[site] && !w->source_paused[o->source]);
	CHECK(w, !w->user_paused[w->user_of[m->stream]]);
	CHECK(w, !w->user_paused_at[w->user_of[m->stream] * OBS_SITES + site]);
	CHECK(w, may_use(w, m, r, o->source));
	CHECK(w, queue_lease_rcpt_count(o->lease) <=
			 w->settings->policies[r->domain][site].rcpts_per_transaction);
	r->is_leased = true;
}

static void
take_lease(struct world *w, const struct queue_order *o, struct m_session *s)
{
	const struct m_message *m = &w->messages[queue_lease_message(o->lease)];
	const struct m_rcpt *first = &m->rcpts[queue_lease_rcpt(o->lease, 0)];
	struct obs_taking t = {.at_us = w->seen.real_us};
	int pool = OBS_POOL + (int)pool_of(w, m, first), i;
	int gates[OBS_OF_LEASE] = {s->site * OBS_SOURCES + (int)s->source, OBS_SITE + s->site,
		OBS_SOURCE + (int)s->source, pool, OBS_ALL, OBS_STREAM + m->stream,
		OBS_USER + w->user_of[m->stream]};
	uint32_t k;

	for (i = 0; i < LEASES && w->leases[i].l != NULL; i++)
		;
	CHECK(w, i < LEASES && w->seen.taken < OBS_TAKINGS);
	for (k = 0; k < queue_lease_rcpt_count(o->lease); k++)
		check_rcpt(w, o, m,
			&w->messages[queue_lease_message(o->lease)].rcpts[queue_lease_rcpt(o->lease, k)]);
	memcpy(t.gates, gates, sizeof(gates));
	t.n[QUEUE_UNIT_CONNECTIONS] = o->kind == QUEUE_ORDER_OPEN;
	t.n[QUEUE_UNIT_MESSAGES] = 1;
	t.n[QUEUE_UNIT_RECIPIENTS] = queue_lease_rcpt_count(o->lease);
	t.n[QUEUE_UNIT_BYTES] = m->bytes;
	if (o->kind == QUEUE_ORDER_OPEN) {
		memcpy(s->gates, gates, sizeof(s->gates));
		obs_connected(&w->seen, gates, OBS_OF_SESSION, 1);
	}
	obs_connected(&w->seen, gates + OBS_OF_SESSION, OBS_OF_LEASE - OBS_OF_SESSION, 1);
	w->leases[i] = (struct m_lease){.l = o->lease,
		.session = s,
		.stream = m->stream,
		.open = queue_lease_rcpt_count(o->lease),
		.taking = obs_take(&w->seen, &t, w->class_of[m->stream] == QUEUE_CLASS_URGENT)};
	w->lease_count++;
	s->leases++;
	s->given++;
	check_seen(w);
}

static void
on_open(struct world *w, const struct queue_order *o)
{
	int site = number_of(o->site), i;
	struct m_session *s = NULL;
	uint32_t in_lane = 0;

	for (i = 0; i < SESSIONS; i++) {
		if (!w->sessions[i].is_used)
			s = s == NULL ? &w->sessions[i] : s;
		else if (w->sessions[i].site == site && w->sessions[i].source == o->source)
			in_lane++;
	}
	CHECK(w, s != NULL && w->session_count < w->settings->conf.connections_total);
	CHECK(w, in_lane < w->settings->policies[number_of(o->domain)][site].connections);
	CHECK(w, w->lane_waits_us[site * OBS_SOURCES + (int)o->source] <= w->seen.real_us);
	*s = (struct m_session){.s = o->session, .source = o->source, .site = (uint8_t)site, .is_used = true};
	w->session_count++;
	queue_session_set_user(o->session, s);
	take_lease(w, o, s);
}

static void
on_give(struct world *w, const struct queue_order *o)
{
	struct m_session *s = queue_session_user(o->session);
	uint32_t max = w->settings->policies[number_of(o->domain)][s->site].messages_per_connection;

	CHECK(w, s->is_used && s->is_ready && !s->is_closing);
	CHECK(w, s->leases == 0 || (s->leases == 1 && s->can_overlap));
	CHECK(w, max == 0 || s->given < max);
	take_lease(w, o, s);
}

static void
on_note(struct world *w, const struct queue_order *o)
{
	struct m_note *n = &w->pending[(w->pending_first + w->pending_count++) % NOTES];

	CHECK(w, w->pending_count < NOTES && o->note.len <= NOTE_KEY && o->value.len <= NOTE_VALUE);
	CHECK(w, memcmp(o->note.ptr, QUEUE_SCHED_NOTES, sizeof(QUEUE_SCHED_NOTES) - 1) == 0);
	memcpy(n->key, o->note.ptr, o->note.len);
	memcpy(n->value, o->value.ptr, o->value.len);
	n->key_len = o->note.len;
	n->value_len = o->value.len;
	n->noting = o->noting;
}

static void
carry_out(struct world *w, const struct queue_order *o)
{
	struct m_session *s;

	switch (o->kind) {
	case QUEUE_ORDER_RESOLVE:
		CHECK(w, !w->is_asked[number_of(o->domain)]);
		w->is_asked[number_of(o->domain)] = true;
		w->asked++;
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
	case QUEUE_ORDER_NOTE:
		on_note(w, o);
		return;
	case QUEUE_ORDER_REJECT:
	case QUEUE_ORDER_EXPIRE:
		CHECK(w, !"an order without reason");
		return;
	case QUEUE_ORDER_NONE:
		return;
	}
}

static void
drain_orders(struct world *w)
{
	struct queue_order o;
	int i;

	for (i = 0; i < 2000; i++) {
		queue_sched_next(w->q, now(w), &o);
		if (o.kind == QUEUE_ORDER_NONE)
			return;
		carry_out(w, &o);
	}
	CHECK(w, !"orders without end");
}

/* --- the disk, and crashes --- */

static void
to_disk(struct world *w, const struct m_note *n)
{
	uint32_t i;

	for (i = 0; i < w->disk_count; i++)
		if (w->disk[i].key_len == n->key_len && memcmp(w->disk[i].key, n->key, n->key_len) == 0)
			break;
	CHECK(w, i < NOTES);
	if (n->value_len > 0) {
		w->disk[i] = *n;
		w->disk_count += i == w->disk_count;
	} else if (i < w->disk_count) {
		w->disk[i] = w->disk[--w->disk_count];
	}
}

static void
note_done(struct world *w)
{
	struct m_note *n = &w->pending[w->pending_first];
	bool failed = rnd(w, 10) == 0;

	w->pending_first = (w->pending_first + 1) % NOTES;
	w->pending_count--;
	if (!failed)
		to_disk(w, n);
	queue_sched_noted(w->q, n->noting, failed, now(w));
}

/* Some of what was under way has reached the disk. */
static void
crash(struct world *w)
{
	uint32_t i, reached = rnd(w, w->pending_count + 1);
	queue_id id;

	for (i = 0; i < reached; i++)
		to_disk(w, &w->pending[(w->pending_first + i) % NOTES]);
	w->pending_count = 0;
	queue_sched_destroy(&w->q);
	obs_crashed(&w->seen);
	w->seen.urgent_until_us = 0;
	w->session_count = w->lease_count = w->asked = 0;
	memset(w->sessions, 0, sizeof(w->sessions));
	memset(w->leases, 0, sizeof(w->leases));
	memset(w->is_asked, 0, sizeof(w->is_asked));
	memset(w->lane_waits_us, 0, sizeof(w->lane_waits_us));
	memset(w->site_paused, 0, sizeof(w->site_paused));
	memset(w->source_paused, 0, sizeof(w->source_paused));
	memset(w->user_paused, 0, sizeof(w->user_paused));
	memset(w->user_paused_at, 0, sizeof(w->user_paused_at));
	w->all_paused = false;
	w->seen.real_us += rnd(w, 2) * rnd(w, 600) * SEC;
	assert_int_equal(queue_sched_create(&w->settings->conf, &w->q), QUEUE_OK);
	for (i = 0; i < w->disk_count; i++)
		assert_int_equal(queue_sched_restore(w->q,
					 (struct queue_blob){w->disk[i].value, w->disk[i].value_len}, now(w)),
			QUEUE_OK);
	for (id = 1; id <= w->last_id; id++) {
		for (i = 0; i < w->messages[id].count; i++)
			w->messages[id].rcpts[i].is_leased = false;
		queue_message(w, id);
	}
}

/* --- the far ends, and operators --- */

static void
move_session(struct world *w, struct m_session *s)
{
	int i;

	if (s->is_closing || (!w->is_draining && rnd(w, 10) == 0)) {
		close_session(w, s);
		return;
	}
	if (!s->is_ready) {
		s->is_ready = true;
		s->can_overlap = rnd(w, 2) == 0;
		s->idle_us = w->seen.real_us;
		queue_sched_session_ready(w->q, s->s, s->can_overlap);
		return;
	}
	for (i = 0; i < LEASES; i++)
		if (w->leases[i].l != NULL && w->leases[i].session == s) {
			settle_lease(w, &w->leases[i]);
			return;
		}
}

static void
move_world(struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->domains; i++)
		if (w->is_asked[i] && rnd(w, 2) == 0)
			answer_route(w, i);
	for (i = 0; i < SESSIONS; i++)
		if (w->sessions[i].is_used && rnd(w, 2) == 0)
			move_session(w, &w->sessions[i]);
	while (w->pending_count > 0 && rnd(w, 3) > 0)
		note_done(w);
}

static void
pause_something(struct world *w, bool may_pause)
{
	static const enum queue_pause_kind kinds[] = {
		QUEUE_PAUSE_ALL, QUEUE_PAUSE_SITE, QUEUE_PAUSE_SOURCE, QUEUE_PAUSE_USER, QUEUE_PAUSE_USER};
	bool *flags[] = {&w->all_paused, w->site_paused, w->source_paused, w->user_paused, w->user_paused_at};
	uint32_t counts[] = {1, OBS_SITES, OBS_SOURCES, OBS_USERS, OBS_USERS * OBS_SITES}, kind = rnd(w, 5),
		 i = rnd(w, counts[kind]);
	struct queue_blob name = name_of(kind == 1 ? "site" : "user", (int)i);
	char both[48];

	if (kind == 4)
		name = (struct queue_blob){both, (size_t)snprintf(both, sizeof(both), "user%u%csite%u",
							 i / OBS_SITES, 0, i % OBS_SITES)};

	if (kinds[kind] == QUEUE_PAUSE_SOURCE && i % 2 == 1) { /* these are down instead */
		flags[kind][i] = may_pause && !flags[kind][i] && i < w->sources;
		if (i < w->sources)
			queue_sched_source_down(w->q, i, flags[kind][i], now(w));
		return;
	}
	if (flags[kind][i] || !may_pause) {
		CHECK(w, queue_sched_resume(w->q, kinds[kind], name, i, now(w)) == flags[kind][i]);
		flags[kind][i] = false;
		return;
	}
	assert_int_equal(
		queue_sched_pause(w->q, kinds[kind], name, i, INT64_MAX, blob_of("tests"), now(w)), QUEUE_OK);
	flags[kind][i] = true;
}

/* No wait is longer, after the clock was set ahead, than the schedule has any. */
static void
cut_waits(struct world *w)
{
	queue_id id;
	int i;

	for (id = 1; id <= w->last_id; id++)
		for (i = 0; i < w->messages[id].count; i++) {
			struct m_rcpt *r = &w->messages[id].rcpts[i];
			int64_t wait_us = obs_later(w->retry_us[r->attempts > 1], MINUTE) * 120 / 100;

			if (r->due_us > w->seen.real_us + wait_us)
				r->due_us = w->seen.real_us + wait_us;
		}
}

static void
set_clock(struct world *w)
{
	int64_t step_us = 3 * SEC + rnd(w, rnd(w, 2) == 0 ? 86400 : 100) * SEC;

	drain_orders(w); /* the schedule sees the step by the time of the call before */
	w->seen.jumps++;
	if (rnd(w, 2) == 0) {
		queue_sched_clock_ahead(w->q, step_us);
		w->seen.offset_us += step_us;
		cut_waits(w);
	} else {
		w->seen.offset_us -= step_us;
	}
	drain_orders(w);
}

static void
operate(struct world *w)
{
	uint32_t r = rnd(w, 100);

	if (r < 6)
		pause_something(w, true);
	else if (r < 16)
		pause_something(w, false);
	else if (r < 20)
		reload(w, false);
	else if (r < 25 && w->has_jumps)
		set_clock(w);
	else if (r < 28 && w->has_crashes)
		crash(w);
}

/* --- nothing stalls --- */

static bool
is_quiet(const struct world *w)
{
	int i;

	for (i = 0; i < SESSIONS; i++)
		if (w->sessions[i].is_used && (!w->sessions[i].is_ready || w->sessions[i].is_closing))
			return false;
	return w->lease_count == 0 && w->pending_count == 0 && w->asked == 0 && !w->all_paused;
}

/* Idle sessions go after their time at the latest, when others need their place. */
static int64_t
room_us(const struct world *w, int gate)
{
	const struct obs_gate *g = &w->seen.gates[gate];
	int64_t at_us = 0;
	int i, k;

	if (g->connections_max == 0 ||
		g->connections + obs_reserve(&w->seen, g, g->connections_max, false) < g->connections_max)
		return 0;
	for (i = 0; i < SESSIONS; i++)
		for (k = 0; k < OBS_OF_SESSION && w->sessions[i].is_used; k++)
			if (w->sessions[i].gates[k] == gate)
				at_us = obs_later(at_us, w->sessions[i].idle_us + SET_IDLE_MAX);
	return at_us;
}

/* When this mail can leave by this source, at the latest. */
static int64_t
by_source_us(const struct world *w, const struct m_message *m, const struct m_rcpt *r, uint32_t source)
{
	int site = w->site_of[r->domain], pool = OBS_POOL + (int)pool_of(w, m, r), i, u;
	const int gates[OBS_OF_LEASE] = {site * OBS_SOURCES + (int)source, OBS_SITE + site,
		OBS_SOURCE + (int)source, pool, OBS_ALL, OBS_STREAM + m->stream,
		OBS_USER + w->user_of[m->stream]};
	bool is_urgent = w->class_of[m->stream] == QUEUE_CLASS_URGENT, has_session = false;
	int64_t at_us = 0;

	for (i = 0; i < SESSIONS; i++)
		has_session = has_session || (w->sessions[i].is_used && w->sessions[i].gates[0] == gates[0]);
	for (i = 0; i < OBS_OF_LEASE; i++)
		for (u = 0; u < QUEUE_UNIT_COUNT && gates[i] >= 0; u++)
			if (u != QUEUE_UNIT_CONNECTIONS || (!has_session && i < OBS_OF_SESSION))
				at_us = obs_later(at_us, obs_ready_us(&w->seen, gates[i], u, is_urgent));
	for (i = 0; i < OBS_OF_SESSION && !has_session; i++)
		if (gates[i] >= 0)
			at_us = obs_later(at_us, room_us(w, gates[i]));
	return has_session ? at_us : obs_later(at_us, w->lane_waits_us[gates[0]]);
}

static int64_t
leaves_us(const struct world *w, const struct m_message *m, const struct m_rcpt *r)
{
	int64_t at_us = NEVER, us;
	uint32_t source;

	if (w->user_paused[w->user_of[m->stream]] || w->site_paused[w->site_of[r->domain]] ||
		w->user_paused_at[w->user_of[m->stream] * OBS_SITES + w->site_of[r->domain]])
		return NEVER;
	for (source = 0; source < w->sources; source++) {
		if (may_use(w, m, r, source) && !w->source_paused[source] &&
			(us = by_source_us(w, m, r, source)) < at_us)
			at_us = us;
	}
	return at_us;
}

/* However long mail waits for a limit, no idle session waits with it. */
static void
check_idle(struct world *w)
{
	int i;

	for (i = 0; i < SESSIONS; i++) {
		const struct m_session *s = &w->sessions[i];

		if (s->is_used && s->is_ready && !s->is_closing && s->leases == 0)
			CHECK(w, w->seen.real_us <= s->idle_us + SET_IDLE_MAX + 5 * SEC);
	}
}

/* When the schedule wants to be asked again. */
static int64_t
wake_us(const struct world *w)
{
	int64_t us = queue_sched_wake_us(w->q);

	return us < NEVER ? us - w->seen.offset_us : NEVER;
}

static void
check_stall(struct world *w)
{
	int64_t wake = wake_us(w), by_us;
	queue_id id;
	int i;

	CHECK(w, wake > w->seen.real_us); /* all orders were given */
	if (wake <= w->seen.real_us + SEC || !is_quiet(w))
		return;
	for (id = 1; id <= w->last_id; id++)
		for (i = 0; i < w->messages[id].count; i++) {
			const struct m_message *m = &w->messages[id];
			const struct m_rcpt *r = &m->rcpts[i];

			if (!r->is_live)
				continue;
			by_us = r->due_us > w->seen.real_us ? r->due_us : leaves_us(w, m, r);
			CHECK(w, wake <= obs_later(by_us, w->seen.real_us) + SEC);
		}
}

/* --- the run --- */

static void
advance(struct world *w)
{
	uint32_t r = rnd(w, 100);

	if (r < 30)
		w->seen.real_us += rnd(w, 50) * 1000;
	else if (r < 60)
		w->seen.real_us += rnd(w, 3000) * 1000;
	else if (wake_us(w) < NEVER)
		w->seen.real_us = wake_us(w);
}

static void
step(struct world *w)
{
	move_world(w);
	if (!w->is_draining && rnd(w, 3) == 0)
		operate(w);
	drain_orders(w);
	check_stall(w);
	check_idle(w);
	advance(w);
}

static void
world_create(struct world *w, uint64_t seed)
{
	static struct obs_taking takings[OBS_TAKINGS];
	uint32_t i;

	memset(w, 0, offsetof(struct world, disk));
	w->seed = seed;
	w->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	(void)rnd(w, 2);
	w->sites = 1 + rnd(w, OBS_SITES);
	w->sources = 1 + rnd(w, OBS_SOURCES);
	w->pools = 1 + rnd(w, OBS_POOLS);
	w->domains = w->sites + rnd(w, SET_DOMAINS + 1 - w->sites);
	w->streams = 1 + rnd(w, OBS_STREAMS);
	w->users = 1 + rnd(w, OBS_USERS);
	w->density = 5 + rnd(w, 60);
	w->has_jumps = seed % 4 >= 2;
	w->has_crashes = seed % 4 % 2 == 1;
	w->retry_us[0] = 10 * SEC;
	w->retry_us[1] = 5 * MINUTE;
	w->seen.takings = takings;
	w->seen.real_us = w->seen.start_us = START + rnd(w, 86400) * SEC;
	w->seen.is_doubtful = w->has_jumps;
	for (i = 0; i < w->domains; i++)
		w->site_of[i] = (uint8_t)(i % w->sites);
	for (i = 0; i < w->streams; i++) {
		w->user_of[i] = (uint8_t)rnd(w, w->users);
		w->class_of[i] = (uint8_t)rnd(w, 3);
	}
	change_settings(w, false);
	settings_observe(w->settings, &w->seen);
	assert_int_equal(queue_sched_create(&w->settings->conf, &w->q), QUEUE_OK);
}

static void
run(struct world *w, uint64_t seed)
{
	int i;

	world_create(w, seed);
	for (i = 0; i < STEPS; i++) {
		if (i < STEPS / 2 && rnd(w, 2) == 0)
			add_message(w);
		step(w);
	}
	w->is_draining = true;
	for (i = 0; i < 2000; i++)
		pause_something(w, false);
	for (i = 0; i < STEPS / 2; i++)
		step(w);
	reload(w, true);
	for (i = 0; i < DRAIN_STEPS && (w->live > 0 || w->session_count > 0); i++)
		step(w);
	CHECK(w, w->live == 0 && w->session_count == 0 && w->lease_count == 0);
	queue_sched_destroy(&w->q);
	free(w->settings);
}

static void
test_seeds(void **state)
{
	const char *one = getenv("PACE_SIM_SEED"), *count = getenv("PACE_SIM_SEEDS");
	struct world *w = malloc(sizeof(*w));
	uint64_t seed, last = count != NULL ? strtoull(count, NULL, 10) : SEEDS;

	assert_non_null(w);
	if (one != NULL)
		run(w, strtoull(one, NULL, 10));
	for (seed = 1; one == NULL && seed <= last; seed++)
		run(w, seed);
	free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
