/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources and sender domains that warm up at once, in small seeded worlds: mail of several authors over
 * several sources to two groups of sites, delivered, deferred, refused and left uncertain, reloads that take
 * plans away and give others, operators, and crashes that lose what had not reached the disk. An observer
 * counts by the days of the calendar what arrived and what is under way: with no lease does a day pass its
 * cap, of either kind; whatever waits has a time to be woken; and in the end all of it goes.
 *
 * A failing seed is printed as the command that repeats it: WARM_SIM_SEED=n test_queue_sched_warm_sim
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue_names.h"
#include "queue_sched_why.h"
#include "queue_settings.h"
#include "queue_sources.h"

enum {
	SEEDS = 150,
	STEPS = 250,
	DRAIN_STEPS = 20000,
	MESSAGES = 150,
	RCPTS = 4,
	DOMAINS = 6, /* half of them in either group */
	SESSIONS = 8,
	LEASES = 16,
	NOTES = 16,
	DAYS = 90,
	NEW = 1,
	WARM = 2,
	STAGES = 5,
};
#define MIDNIGHT (START - START % DAY)

/* What warms up: the source, and two of the authors' domains; towards either group. */
enum { NAMES = 3, GROUPS = 2, UNITS = NAMES * GROUPS };
static const char *const names[NAMES] = {"source1", "@a.test", "@b.test"}, *const groups[GROUPS] = {
										   "one", "two"};
static const struct {
	const char *domain;
	int name; /* 0: none */
} authors[] = {{"a.test", 1}, {"news.a.test", 1}, {"b.test", 2}, {"old.test", 0}};
enum { AUTHORS = sizeof(authors) / sizeof(authors[0]) };

struct m_message {
	uint8_t author, klass, count;
	uint8_t domains[RCPTS];
	bool is_live[RCPTS];
};
struct m_lease {
	struct queue_lease *l;
	struct queue_session *session;
	int units[2]; /* -1: it counts for none */
};
struct m_note {
	char key[200], value[4096];
	size_t key_len, value_len;
	struct queue_noting *noting;
};
struct world {
	struct queue_sched *q;
	struct queue_sched_conf conf;
	struct fake_sources fake;
	struct queue_policy policy;
	struct queue_pool_member members[2];
	struct queue_warmup_plan *plans[NAMES];
	int64_t retry_us[1], now_us;
	uint64_t seed, random;
	bool is_draining;
	struct m_message messages[MESSAGES + 1];
	queue_id last_id;
	uint32_t live;
	struct m_lease leases[LEASES];
	struct queue_session *sessions[SESSIONS];
	int64_t arrived[UNITS][DAYS], open[UNITS];
	struct m_note disk[NOTES], pending[NOTES];
	uint32_t disk_count, pending_count;
};

#define CHECK(w, what)                                                                                       \
	do {                                                                                                 \
		if (!(what)) {                                                                               \
			print_error("WARM_SIM_SEED=%llu test_queue_sched_warm_sim: %s:%d\n",                 \
				(unsigned long long)(w)->seed, __FILE__, __LINE__);                          \
			fail_msg("%s", #what);                                                               \
		}                                                                                            \
	} while (0)

static uint32_t
rnd(struct world *w, uint32_t n)
{
	return chance(&w->random, n);
}

static int
today(const struct world *w)
{
	return (int)((w->now_us - MIDNIGHT) / DAY);
}

/* --- what the schedule asks --- */

static int
group_of(struct queue_blob site)
{
	struct queue_blob two = blob_of(groups[1]), one = blob_of(groups[0]);

	if (site.len == one.len && memcmp(site.ptr, one.ptr, one.len) == 0)
		return 0;
	if (site.len == two.len && memcmp(site.ptr, two.ptr, two.len) == 0)
		return 1;
	return number_of(site) % GROUPS;
}

static const struct queue_policy *
on_policy(void *arg, struct queue_blob domain, struct queue_blob site)
{
	return &((struct world *)arg)->policy;
}

static uint32_t
on_random(void *arg)
{
	return rnd(arg, UINT32_MAX);
}

static void
on_body_unref(void *arg, void *body)
{
}

static const struct queue_warmup_plan *
on_warmup(void *arg, uint32_t source, struct queue_blob site, struct queue_blob *out_group)
{
	const struct world *w = arg;

	*out_group = blob_of(groups[group_of(site)]);
	return source == NEW ? w->plans[0] : NULL;
}

static int
name_of_author(struct queue_blob domain)
{
	for (int i = 0; i < AUTHORS; i++)
		if (domain.len == strlen(authors[i].domain) &&
			memcmp(domain.ptr, authors[i].domain, domain.len) == 0)
			return authors[i].name;
	return 0;
}

static const struct queue_warmup_plan *
on_sender_warmup(void *arg, struct queue_blob domain, struct queue_blob site, struct queue_blob *out_sender,
	struct queue_blob *out_group)
{
	const struct world *w = arg;
	int name = name_of_author(domain);

	*out_group = blob_of(groups[group_of(site)]);
	*out_sender = blob_of(names[name]);
	return name > 0 ? w->plans[name] : NULL;
}

/* Each time in other memory: the old ones are gone when the schedule learns of the new. */
static void
new_plans(struct world *w, bool may_lack)
{
	static const int64_t volumes[STAGES] = {8, 16, 30, 60, 120};

	for (int i = 0; i < NAMES; i++) {
		free(w->plans[i]);
		w->plans[i] = NULL;
		if (may_lack && rnd(w, 4) == 0)
			continue;
		w->plans[i] = malloc(sizeof(*w->plans[i]));
		assert_non_null(w->plans[i]);
		*w->plans[i] = (struct queue_warmup_plan){.volumes = volumes + rnd(w, 2),
			.count = STAGES - 1,
			.hold_ppm = {100000, 10000, 50000, 1000}};
	}
}

/* --- the observer --- */

struct asked {
	int name, group;
	const struct queue_warmup *warmup;
	const struct queue_warmup_plan *plan;
};

static bool
find_view(void *arg, const struct queue_warmup_view *v)
{
	struct asked *a = arg;

	if (v->source.len != strlen(names[a->name]) ||
		memcmp(v->source.ptr, names[a->name], v->source.len) != 0 || group_of(v->group) != a->group)
		return true;
	a->warmup = v->warmup;
	a->plan = v->plan;
	return false;
}

static void
check_unit(struct world *w, int name, int group)
{
	struct asked a = {.name = name, .group = group};
	int unit = name * GROUPS + group;

	queue_sched_each_warmup(w->q, find_view, &a);
	CHECK(w, a.warmup != NULL && a.plan == w->plans[name]);
	CHECK(w, today(w) < DAYS);
	CHECK(w, a.warmup->is_warm || w->arrived[unit][today(w)] + w->open[unit] <= a.warmup->cap);
	CHECK(w, a.warmup->leased >= w->open[unit]);
}

/* --- mail --- */

static void
queue_message(struct world *w, queue_id id)
{
	const struct m_message *m = &w->messages[id];
	struct queue_message meta = {.id = id,
		.arrived_us = w->now_us,
		.body_bytes = 1000,
		.sender = blob_of("v@bounces.test"),
		.from_domain = blob_of(authors[m->author].domain),
		.klass = m->klass};
	struct queue_sched_rcpt rcpts[RCPTS];
	uint32_t count = 0;

	for (int i = 0; i < m->count; i++)
		if (m->is_live[i])
			rcpts[count++] = (struct queue_sched_rcpt){
				.n = (uint16_t)i, .domain = name_of("d", m->domains[i])};
	if (count > 0)
		assert_int_equal(queue_sched_add(w->q, &meta, rcpts, count, NULL, w->now_us), QUEUE_OK);
}

static void
add_message(struct world *w)
{
	struct m_message *m = &w->messages[++w->last_id];

	*m = (struct m_message){.author = (uint8_t)rnd(w, AUTHORS),
		.klass = (uint8_t)rnd(w, 3),
		.count = (uint8_t)(1 + rnd(w, RCPTS))};
	for (int i = 0; i < m->count; i++) {
		/* Often the same, so that there is something to cut. */
		m->domains[i] = (uint8_t)(rnd(w, 2) == 0 && i > 0 ? m->domains[i - 1] : rnd(w, DOMAINS));
		m->is_live[i] = true;
	}
	w->live += m->count;
	queue_message(w, w->last_id);
}

static void
settle_lease(struct world *w, struct m_lease *ml)
{
	static const enum queue_verdict_kind kinds[] = {QUEUE_VERDICT_DELIVERED, QUEUE_VERDICT_DELIVERED,
		QUEUE_VERDICT_DELIVERED, QUEUE_VERDICT_LATER, QUEUE_VERDICT_UNCERTAIN, QUEUE_VERDICT_FAILED,
		QUEUE_VERDICT_RETURN};
	struct m_message *m = &w->messages[queue_lease_message(ml->l)];

	for (uint32_t i = 0; i < queue_lease_rcpt_count(ml->l); i++) {
		struct queue_verdict v = {.kind = kinds[w->is_draining ? 0 : rnd(w, 7)],
			.code = 451,
			.reply = blob_of("451 busy")};
		bool counts = v.kind == QUEUE_VERDICT_DELIVERED || v.kind == QUEUE_VERDICT_UNCERTAIN;
		uint16_t n = queue_lease_rcpt(ml->l, i);
		struct queue_settled out;

		queue_sched_settle(w->q, ml->l, i, &v, w->now_us, &out);
		for (int k = 0; k < 2; k++)
			if (ml->units[k] >= 0) {
				w->open[ml->units[k]]--;
				w->arrived[ml->units[k]][today(w)] += counts;
			}
		if (out.kind == QUEUE_VERDICT_DELIVERED || out.kind == QUEUE_VERDICT_FAILED) {
			m->is_live[n] = false;
			w->live--;
		}
	}
	queue_sched_lease_done(w->q, ml->l, w->now_us);
	ml->l = NULL;
}

static void
take_lease(struct world *w, const struct queue_order *o)
{
	const struct m_message *m = &w->messages[queue_lease_message(o->lease)];
	int group = group_of(o->site), name = authors[m->author].name, i = 0;
	uint32_t count = queue_lease_rcpt_count(o->lease);
	struct m_lease *ml;

	while (i < LEASES && w->leases[i].l != NULL)
		i++;
	CHECK(w, i < LEASES);
	ml = &w->leases[i];
	*ml = (struct m_lease){.l = o->lease, .session = o->session, .units = {-1, -1}};
	if (o->source == NEW && w->plans[0] != NULL)
		ml->units[0] = group;
	if (name > 0 && w->plans[name] != NULL)
		ml->units[1] = name * GROUPS + group;
	for (int k = 0; k < 2; k++)
		if (ml->units[k] >= 0) {
			w->open[ml->units[k]] += count;
			check_unit(w, ml->units[k] / GROUPS, group);
		}
}

/* --- orders, the disk, crashes --- */

static void
carry_out(struct world *w, const struct queue_order *o)
{
	struct queue_route route = {.kind = QUEUE_ROUTE_SITE, .until_us = w->now_us + 400 * DAY};
	struct m_note *n;
	int i = 0;

	switch (o->kind) {
	case QUEUE_ORDER_RESOLVE:
		route.site = name_of("site", number_of(o->domain));
		assert_int_equal(queue_sched_routed(w->q, o->domain, &route, w->now_us), QUEUE_OK);
		return;
	case QUEUE_ORDER_OPEN:
		while (i < SESSIONS && w->sessions[i] != NULL)
			i++;
		CHECK(w, i < SESSIONS);
		w->sessions[i] = o->session;
		take_lease(w, o);
		queue_sched_session_ready(w->q, o->session, rnd(w, 2) == 0);
		return;
	case QUEUE_ORDER_GIVE:
		take_lease(w, o);
		return;
	case QUEUE_ORDER_CLOSE:
		while (w->sessions[i] != o->session)
			i++;
		w->sessions[i] = NULL;
		queue_sched_session_closed(w->q, o->session, false, 0, blob_of(""), w->now_us);
		return;
	case QUEUE_ORDER_NOTE:
		CHECK(w, w->pending_count < NOTES && o->value.len <= sizeof(n->value));
		n = &w->pending[w->pending_count++];
		memcpy(n->key, o->note.ptr, o->note.len);
		memcpy(n->value, o->value.ptr, o->value.len);
		n->key_len = o->note.len;
		n->value_len = o->value.len;
		n->noting = o->noting;
		return;
	default:
		CHECK(w, o->kind == QUEUE_ORDER_NONE);
	}
}

static void
drain_orders(struct world *w)
{
	struct queue_order o = {.kind = QUEUE_ORDER_CLOSE};

	for (int i = 0; i < 2000 && o.kind != QUEUE_ORDER_NONE; i++) {
		queue_sched_next(w->q, w->now_us, &o);
		carry_out(w, &o);
	}
	CHECK(w, o.kind == QUEUE_ORDER_NONE);
}

static void
to_disk(struct world *w, const struct m_note *n)
{
	uint32_t i = 0;

	while (i < w->disk_count &&
		(w->disk[i].key_len != n->key_len || memcmp(w->disk[i].key, n->key, n->key_len) != 0))
		i++;
	CHECK(w, i < NOTES);
	w->disk[i] = *n;
	w->disk_count += i == w->disk_count;
}

static void
notes_done(struct world *w, bool may_fail)
{
	struct m_note done[NOTES];
	uint32_t count = w->pending_count;

	memcpy(done, w->pending, count * sizeof(done[0]));
	w->pending_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		bool failed = may_fail && rnd(w, 10) == 0;

		if (!failed)
			to_disk(w, &done[i]);
		queue_sched_noted(w->q, done[i].noting, failed, w->now_us);
	}
}

/* Some of what was under way has reached the disk. */
static void
crash(struct world *w)
{
	uint32_t reached = rnd(w, w->pending_count + 1);

	for (uint32_t i = 0; i < reached; i++)
		to_disk(w, &w->pending[i]);
	w->pending_count = 0;
	queue_sched_destroy(&w->q);
	memset(w->leases, 0, sizeof(w->leases));
	memset(w->sessions, 0, sizeof(w->sessions));
	memset(w->open, 0, sizeof(w->open));
	assert_int_equal(queue_sched_create(&w->conf, &w->q), QUEUE_OK);
	for (uint32_t i = 0; i < w->disk_count; i++)
		assert_int_equal(
			queue_sched_restore(
				w->q, (struct queue_blob){w->disk[i].value, w->disk[i].value_len}, w->now_us),
			QUEUE_OK);
	for (queue_id id = 1; id <= w->last_id; id++)
		queue_message(w, id);
}

static void
operate(struct world *w)
{
	const enum queue_warmup_act acts[] = {QUEUE_WARMUP_ACT_HOLD, QUEUE_WARMUP_ACT_RELEASE,
		QUEUE_WARMUP_ACT_SKIP, QUEUE_WARMUP_ACT_RESTART, QUEUE_WARMUP_ACT_FINISH};
	uint32_t r = rnd(w, 100);

	if (r < 3) {
		new_plans(w, true);
		queue_sched_reconfigured(w->q, &w->conf, w->now_us);
	} else if (r < 6) {
		crash(w);
	} else if (r < 10) {
		(void)queue_sched_warmup_act(w->q, blob_of(names[rnd(w, NAMES)]),
			blob_of(groups[rnd(w, GROUPS)]), acts[rnd(w, r == 9 ? 5 : 4)], blob_of("tests"),
			w->now_us);
	}
}

/* --- the run --- */

static void
step(struct world *w)
{
	int64_t wake_us;
	bool is_busy = false;

	for (int i = 0; i < LEASES; i++) {
		if (w->leases[i].l != NULL && rnd(w, 2) == 0)
			settle_lease(w, &w->leases[i]);
		is_busy = is_busy || w->leases[i].l != NULL;
	}
	if (rnd(w, 3) > 0)
		notes_done(w, !w->is_draining);
	if (!w->is_draining)
		operate(w);
	drain_orders(w);
	wake_us = queue_sched_wake_us(w->q);
	CHECK(w, wake_us > w->now_us);
	if (!is_busy && w->pending_count == 0 && w->live > 0)
		CHECK(w, wake_us < w->now_us + 3 * DAY);
	if (w->is_draining && wake_us != INT64_MAX && rnd(w, 4) > 0)
		w->now_us = wake_us;
	else
		w->now_us += rnd(w, 20) * MINUTE;
}

static void
world_create(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	w->now_us = MIDNIGHT;
	w->retry_us[0] = 20 * MINUTE;
	w->policy =
		(struct queue_policy){w->retry_us, 1, 1000 * DAY, HOUR, 2, 5, 1 + rnd(w, RCPTS), 30 * SEC};
	w->conf = (struct queue_sched_conf){on_policy, on_random, on_body_unref, w, SESSIONS, 20};
	fake_sources_default(&w->fake, NEW, &w->conf);
	w->members[0] = (struct queue_pool_member){rnd(w, 4) > 0 ? NEW : WARM, 1 + rnd(w, 3)};
	w->members[1] = (struct queue_pool_member){w->members[0].source == NEW ? WARM : NEW, 1};
	w->fake.pool.members = w->members;
	w->fake.pool.member_count = 1 + rnd(w, 2);
	w->conf.warmup = on_warmup;
	w->conf.sender_warmup = on_sender_warmup;
	new_plans(w, false);
	assert_int_equal(queue_sched_create(&w->conf, &w->q), QUEUE_OK);
}

static void
run(struct world *w, uint64_t seed)
{
	world_create(w, seed);
	for (int i = 0; i < STEPS; i++) {
		if (w->last_id < MESSAGES && rnd(w, 2) == 0)
			add_message(w);
		step(w);
	}
	w->is_draining = true;
	for (int i = 0; i < NAMES * GROUPS; i++)
		(void)queue_sched_warmup_act(w->q, blob_of(names[i / GROUPS]), blob_of(groups[i % GROUPS]),
			QUEUE_WARMUP_ACT_RELEASE, blob_of("tests"), w->now_us);
	for (int i = 0; i < DRAIN_STEPS && w->live > 0; i++)
		step(w);
	CHECK(w, w->live == 0);
	queue_sched_destroy(&w->q);
	for (int i = 0; i < NAMES; i++)
		free(w->plans[i]);
}

static void
test_seeds(void **state)
{
	const char *one = getenv("WARM_SIM_SEED"), *count = getenv("WARM_SIM_SEEDS");
	struct world *w = malloc(sizeof(*w));
	uint64_t last = count != NULL ? strtoull(count, NULL, 10) : SEEDS;

	assert_non_null(w);
	if (one != NULL)
		run(w, strtoull(one, NULL, 10));
	for (uint64_t seed = 1; one == NULL && seed <= last; seed++)
		run(w, seed);
	free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
