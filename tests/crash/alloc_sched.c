/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schedule when memory runs out. A small host adds mail, answers every order and does what operators do;
 * what a recipient is owed is counted beside it. A message that was added must end, each recipient once,
 * whatever failed in between; one that was refused must leave nothing behind.
 */
#include "alloc_failure.h"
#include "queue_sched.h"
#include "queue_sources.h"
#include "starve.h"

#include <stdio.h>
#include <string.h>

enum {
	MESSAGES = 70, /* more than the maps have buckets for at first */
	RCPTS = 3,
	DOMAINS = 66,
	SITES = 9,
	ORDERS_MAX = 20000, /* of one round; more is a schedule that turns on the spot */
};

#define SEC    INT64_C(1000000)
#define MINUTE (60 * SEC)
#define START  (INT64_C(1800000000) * SEC)

#define BLOB(text) ((struct queue_blob){.ptr = (text), .len = sizeof(text) - 1})

static const int64_t retry_us[] = {MINUTE, 5 * MINUTE};
/* Wide: they cost memory and keep nothing. */
static const struct queue_rate wide[] = {{1000000, SEC}, {100000, 3600 * 24 * SEC}};
static const struct queue_limits limits = {
	.connections = 1000,
	.units = {[QUEUE_UNIT_MESSAGES] = {wide, 2}, [QUEUE_UNIT_BYTES] = {wide, 1}},
};

static const struct queue_policy policy = {
	.retry_us = retry_us,
	.retry_count = 2,
	.expire_us = 3600 * 24 * SEC,
	.uncertain_retry_us = MINUTE,
	.connections = 4,
	.messages_per_connection = 10,
	.rcpts_per_transaction = 2,
	.idle_us = SEC,
	.lane = &limits,
	.site = &limits,
};

static struct {
	struct queue_sched *q;
	struct queue_sched_conf conf;
	struct fake_sources fake;
	struct queue_pool pools[2];
	struct queue_pool_member members[3];
	int64_t now_us;
	uint32_t random;
	bool has_reloads; /* they put in order what may have been left in disorder */
	bool is_added[MESSAGES], has_body[MESSAGES];
	uint8_t ends[MESSAGES][RCPTS], tries[MESSAGES][RCPTS];
} w;

/* Without memory it may be refused; with it, never. */
static bool
went(int err)
{
	must(err == QUEUE_OK || (err == QUEUE_ENOMEM && starve_is_on()));
	return err == QUEUE_OK;
}

/* --- the host --- */

static const struct queue_policy *
policy_of(void *arg, struct queue_blob domain, struct queue_blob site)
{
	return &policy;
}

/* Reached by the mail that fails: it goes slowly, and goes. */
static const struct queue_guard_conf *
guard_of(void *arg, struct queue_blob user)
{
	static const struct queue_guard_conf guard = {.window_us = 3600 * 24 * SEC,
		.volume_min = 10,
		.limit_ppm = {{0, 10000, 20000, QUEUE_GUARD_PPM},
			{0, QUEUE_GUARD_PPM, QUEUE_GUARD_PPM, QUEUE_GUARD_PPM}}};

	return &guard;
}

static uint32_t
number_of(struct queue_blob b)
{
	const char *p = b.ptr;
	uint32_t n = 0;

	must(b.len > 1);
	for (size_t i = 1; i < b.len; i++)
		n = n * 10 + (uint32_t)(p[i] - '0');
	return n;
}

/* With more room than is needed, so that only the gates are in the way. */
static const struct queue_warmup_plan *
warmup_of(void *arg, uint32_t source, struct queue_blob site, struct queue_blob *out_group)
{
	static const int64_t volumes[] = {1000000};
	static const struct queue_warmup_plan plan = {
		.volumes = volumes, .count = 1, .hold_ppm = {1000000, 1000000, 1000000, 1000000}};

	*out_group = BLOB("all");
	return source % 2 == 0 ? NULL : &plan;
}

static const struct queue_warmup_plan *
sender_warmup_of(void *arg, struct queue_blob domain, struct queue_blob site, struct queue_blob *out_sender,
	struct queue_blob *out_group)
{
	*out_sender = BLOB("@f1");
	return warmup_of(arg, number_of(domain), site, out_group);
}

static void
stream_of(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	*out = (struct queue_stream_policy){
		.weight = 2, .user_weight = 3, .limits = &limits, .user_limits = &limits};
}

static uint32_t
next_random(void *arg)
{
	return w.random = w.random * 1664525 + 1013904223;
}

static void
unref(void *arg, void *b)
{
	bool *has_body = b;

	must(*has_body);
	*has_body = false;
}

static struct queue_blob
numbered(char text[16], char letter, uint32_t n)
{
	int len = snprintf(text, 16, "%c%u", letter, n);

	return (struct queue_blob){.ptr = text, .len = (size_t)len};
}

static bool
try_add(uint32_t i)
{
	char domains[RCPTS][16], user[16], job[16], from[16];
	struct queue_sched_rcpt rcpts[RCPTS];
	struct queue_message m = {
		.id = i + 1,
		.arrived_us = w.now_us - (i % 4) * MINUTE,
		.expire_us = i % 10 == 0 ? w.now_us + 3600 * SEC : 0,
		.user = numbered(user, 'u', i % 3),
		.job = numbered(job, 'j', i % 5),
		.from_domain = numbered(from, 'f', i % 2),
		.klass = i % 7 == 0,
	};

	for (uint16_t n = 0; n < RCPTS; n++)
		rcpts[n] = (struct queue_sched_rcpt){
			.n = n,
			.flags = (i + n) % 11 == 0 ? QUEUE_RCPT_HELD : 0,
			.due_us = (i + n) % 9 == 0 ? w.now_us + MINUTE : 0,
			.sticky_source = i % 13 == 0 ? 5 : 0,
			.pool = i % 3 == 0,
			.domain = numbered(domains[n], 'd', (i + n * 7) % DOMAINS),
		};
	w.has_body[i] = true;
	w.is_added[i] = went(queue_sched_add(w.q, &m, rcpts, RCPTS, &w.has_body[i], w.now_us));
	if (!w.is_added[i])
		w.has_body[i] = false;
	return w.is_added[i];
}

static void
add_all(void)
{
	for (uint32_t i = 0; i < MESSAGES; i++)
		if (!try_add(i))
			(void)try_add(i);
}

static void
settle(struct queue_lease *l, enum queue_verdict_kind first)
{
	uint32_t i = (uint32_t)queue_lease_message(l) - 1, count = queue_lease_rcpt_count(l);
	struct queue_verdict v = {.reply = BLOB("450 4.2.0 try later"), .code = 450};
	struct queue_settled settled;

	must(w.is_added[i]);
	for (uint32_t index = 0; index < count; index++) {
		uint16_t n = queue_lease_rcpt(l, index);

		/* The first verdict is what the ordeal wants, later ones end it. */
		v.kind = w.tries[i][n]++ == 0 ? first : QUEUE_VERDICT_DELIVERED;
		queue_sched_settle(w.q, l, index, &v, w.now_us, &settled);
		must(settled.n == n);
		switch (settled.kind) {
		case QUEUE_VERDICT_LATER:
		case QUEUE_VERDICT_UNCERTAIN:
		case QUEUE_VERDICT_RETURN:
			break;
		default:
			w.ends[i][n]++;
		}
		must(w.ends[i][n] <= 1);
	}
	queue_sched_lease_done(w.q, l, w.now_us);
}

static void
settle_sent(struct queue_lease *l)
{
	static const enum queue_verdict_kind kinds[] = {QUEUE_VERDICT_DELIVERED, QUEUE_VERDICT_LATER,
		QUEUE_VERDICT_UNCERTAIN, QUEUE_VERDICT_RETURN, QUEUE_VERDICT_FAILED};

	settle(l, kinds[queue_lease_message(l) % (sizeof kinds / sizeof kinds[0])]);
}

static void
answer_resolve(const struct queue_order *o)
{
	struct queue_route route = {.until_us = w.now_us + 10 * MINUTE, .why = BLOB("because")};
	uint32_t n = number_of(o->domain);
	char domain[16], site[16];

	if (n % 11 == 0 && w.now_us > START + MINUTE)
		route.kind = QUEUE_ROUTE_FAIL;
	else if (n % 13 == 1 && w.now_us < START + MINUTE)
		route.kind = QUEUE_ROUTE_WAIT;
	else
		route.site = numbered(site, 's', (n + (uint32_t)(w.now_us > START + MINUTE)) % SITES);
	if (route.kind == QUEUE_ROUTE_WAIT)
		route.until_us = w.now_us + 5 * SEC;
	(void)went(queue_sched_routed(w.q, numbered(domain, 'd', n), &route, w.now_us));
}

static void
answer_open(const struct queue_order *o)
{
	if (number_of(o->site) == 3 && w.now_us < START + MINUTE) {
		settle(o->lease, QUEUE_VERDICT_RETURN);
		queue_sched_session_closed(
			w.q, o->session, QUEUE_SESSION_FAILED, 3 * SEC, BLOB("refused"), w.now_us);
		return;
	}
	queue_sched_session_ready(w.q, o->session, number_of(o->site) % 2 == 0);
	settle_sent(o->lease);
}

static bool
answer(const struct queue_order *o)
{
	switch (o->kind) {
	case QUEUE_ORDER_NONE:
		return false;
	case QUEUE_ORDER_RESOLVE:
		answer_resolve(o);
		break;
	case QUEUE_ORDER_OPEN:
		answer_open(o);
		break;
	case QUEUE_ORDER_GIVE:
		settle_sent(o->lease);
		break;
	case QUEUE_ORDER_CLOSE:
		queue_sched_session_closed(
			w.q, o->session, QUEUE_SESSION_OVER, 0, (struct queue_blob){0}, w.now_us);
		break;
	case QUEUE_ORDER_REJECT:
		settle(o->lease, QUEUE_VERDICT_FAILED);
		break;
	case QUEUE_ORDER_EXPIRE:
		settle(o->lease, QUEUE_VERDICT_EXPIRED);
		break;
	case QUEUE_ORDER_NOTE:
		queue_sched_noted(w.q, o->noting, false, w.now_us);
		break;
	}
	return true;
}

static void
work(int64_t wait_us)
{
	struct queue_order o;
	int orders = 0;

	w.now_us += wait_us;
	do {
		queue_sched_next(w.q, w.now_us, &o);
		must(orders++ < ORDERS_MAX);
	} while (answer(&o));
}

/* --- operators --- */

static bool
count_view(void *arg, const struct queue_view *v)
{
	must(v->id > 0 && v->id <= MESSAGES && w.is_added[v->id - 1] && w.ends[v->id - 1][v->n] == 0);
	++*(uint64_t *)arg;
	return true;
}

static bool
count_domain(void *arg, const struct queue_domain_view *v)
{
	*(uint64_t *)arg += v->ready + v->waiting + v->leased + v->held;
	return true;
}

static bool
count_site(void *arg, const struct queue_site_view *v)
{
	++*(uint64_t *)arg;
	return true;
}

static bool
count_pause(void *arg, const struct queue_pause_view *v)
{
	++*(uint64_t *)arg;
	return true;
}

static uint64_t
owed(void)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < MESSAGES; i++)
		for (uint16_t n = 0; n < RCPTS; n++)
			count += w.is_added[i] && w.ends[i][n] == 0;
	return count;
}

/* Every way of counting gives what is owed. */
static void
look(void)
{
	const struct queue_filter all = {.n = -1};
	struct queue_walk domain_walk = {.limit = 10}, site_walk = {.limit = 2};
	struct queue_sched_stats stats;
	uint64_t seen = 0, in_domains = 0, sites = 0;

	must(queue_sched_count(w.q, &all) == owed());
	queue_sched_each(w.q, &all, 0, count_view, &seen);
	must(seen == owed());
	while (!domain_walk.is_end)
		queue_sched_walk_domains(w.q, &domain_walk, count_domain, &in_domains);
	must(in_domains == owed());
	while (!site_walk.is_end)
		queue_sched_walk_sites(w.q, &site_walk, count_site, &sites);
	queue_sched_stats(w.q, &stats);
	must(stats.rcpts == owed() && stats.sites == sites);
}

static void
pause_some(void)
{
	int64_t until_us = w.now_us + MINUTE;
	bool is_paused;

	is_paused = went(queue_sched_pause(
		w.q, QUEUE_PAUSE_DOMAIN, BLOB("d5"), 0, INT64_MAX, BLOB("a reason"), w.now_us));
	is_paused &= went(
		queue_sched_pause(w.q, QUEUE_PAUSE_SITE, BLOB("s4"), 0, until_us, BLOB("why"), w.now_us));
	is_paused &=
		went(queue_sched_pause(w.q, QUEUE_PAUSE_JOB, BLOB("j2"), 0, until_us, BLOB("why"), w.now_us));
	is_paused &=
		went(queue_sched_pause(w.q, QUEUE_PAUSE_USER, BLOB("u9"), 0, until_us, BLOB(""), w.now_us));
	is_paused &= went(queue_sched_pause(
		w.q, QUEUE_PAUSE_JOB, BLOB("j1\0s2"), 0, until_us, BLOB("there"), w.now_us));
	if (is_paused) {
		uint64_t pauses = 0;

		queue_sched_each_pause(w.q, count_pause, &pauses);
		must(pauses == 5);
	}
}

static uint64_t
take_all(struct queue_filter f)
{
	struct queue_walk walk = {.limit = 10};
	uint64_t busy, taken = 0;
	struct queue_lease *l;

	f.walk = &walk;
	while (!walk.is_end) {
		l = queue_sched_take(w.q, &f, &busy);
		if (l == NULL && starve_is_on())
			break;
		if (l == NULL)
			continue;
		taken += queue_lease_rcpt_count(l);
		for (uint32_t i = 0; i < queue_lease_rcpt_count(l); i++)
			w.tries[queue_lease_message(l) - 1][queue_lease_rcpt(l, i)] = 0;
		settle(l, QUEUE_VERDICT_DROPPED);
	}
	return taken;
}

static void
operate(void)
{
	const struct queue_filter job = {.n = -1, .job = BLOB("j1")}, user = {.n = -1, .user = BLOB("u2")};
	const struct queue_filter one = {.n = 1, .id = 31}, all = {.n = -1};
	uint64_t changed = 0;

	look();
	(void)queue_sched_hold(w.q, &job, true, w.now_us, count_view, &changed);
	(void)queue_sched_retry(w.q, &user, w.now_us);
	(void)queue_sched_evict(w.q, 5);
	(void)take_all(one);
	if (w.has_reloads)
		queue_sched_reconfigured(w.q, &w.conf, w.now_us);
	work(SEC);
	(void)queue_sched_resume(w.q, QUEUE_PAUSE_DOMAIN, BLOB("d5"), 0, w.now_us);
	(void)queue_sched_hold(w.q, &all, false, w.now_us, count_view, &changed);
	look();
}

/* --- the ordeals --- */

static void
set_pools(void)
{
	fake_sources_default(&w.fake, 7, &w.conf);
	w.fake.sources[7].limits = &limits;
	for (uint32_t i = 0; i < 3; i++)
		w.members[i] = (struct queue_pool_member){.source = i, .weight = 1 + i};
	w.pools[0] = w.fake.pool;
	w.pools[1] = (struct queue_pool){BLOB("wide"), w.members, 3, &limits};
	w.conf.pools = w.pools;
	w.conf.pool_count = 2;
	w.conf.stream = stream_of;
	w.conf.guard = guard_of;
	w.conf.warmup = warmup_of;
	w.conf.sender_warmup = sender_warmup_of;
	w.conf.limits = &limits;
}

static bool
create(void)
{
	return went(queue_sched_create(&w.conf, &w.q));
}

static void
run_life(bool has_reloads)
{
	memset(&w, 0, sizeof w);
	w.has_reloads = has_reloads;
	w.now_us = START;
	w.conf = (struct queue_sched_conf){.policy = policy_of,
		.random = next_random,
		.body_unref = unref,
		.connections_total = 12,
		.jitter_percent = 10};
	set_pools();
	if (!create() && !create())
		return;
	pause_some();
	add_all();
	work(0);
	operate();
	for (int i = 0; i < 5; i++)
		work(2 * SEC);
	look();
	work(90 * SEC);
	look();
}

/* Nothing is queued any more; what is remembered for a while is forgotten in its time. */
static void
check_forgets(void)
{
	struct queue_sched_stats stats;

	for (int minutes = 0; minutes < 30; minutes++)
		work(MINUTE);
	queue_sched_stats(w.q, &stats);
	must(stats.messages == 0 && stats.domains == 0 && stats.sites == 0 && stats.sessions == 0);
}

static void
run_with_reloads(void)
{
	run_life(true);
}

static void
run_without(void)
{
	run_life(false);
}

static void
check_end(void)
{
	for (uint32_t i = 0; i < MESSAGES; i++)
		must(!w.has_body[i]);
	queue_sched_destroy(&w.q);
}

/* With memory again everything that is owed ends in its time. */
static void
check_goes_on(void)
{
	if (w.q == NULL)
		must(create());
	look();
	for (uint32_t i = 0; i < MESSAGES; i++)
		if (!w.is_added[i])
			must(try_add(i));
	operate();
	for (int minutes = 0; minutes < 120 && owed() > 0; minutes++)
		work(MINUTE);
	must(owed() == 0);
	check_forgets();
	check_end();
}

static void
check_drops(void)
{
	const struct queue_filter all = {.n = -1};
	uint64_t left = owed();

	if (w.q == NULL)
		return;
	must(take_all(all) == left && owed() == 0);
	check_forgets();
	check_end();
}

/* The end comes at once, with whatever is in there. */
static void
check_destroys(void)
{
	queue_sched_destroy(&w.q);
	check_end();
}

const struct ordeal sched_ordeals[] = {
	{"schedule, goes on", run_with_reloads, check_goes_on},
	{"schedule, emptied", run_without, check_drops},
	{"schedule, destroyed", run_without, check_destroys},
};
const size_t sched_ordeal_count = sizeof sched_ordeals / sizeof sched_ordeals[0];
