/* SPDX-License-Identifier: Apache-2.0 */
/* What mail waits for: every answer brought about by a schedule that does wait for it; then the tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_list.h"
#include "queue_sched_why.h"

/* A host of which everything is limited as a case says. Mail of user "u1", job "j1" for domain d1. */
struct world {
	struct host h;
	struct queue_limits limits[QUEUE_LEVEL_COUNT];
	struct queue_rate rates[QUEUE_LEVEL_COUNT];
	struct queue_session *session;
	struct queue_lease *lease;
};

static void
stream_limits(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	struct world *w = QUEUE_OF((struct host *)arg, struct world, h);

	*out = (struct queue_stream_policy){
		3, 2, &w->limits[QUEUE_LEVEL_STREAM], &w->limits[QUEUE_LEVEL_USER]};
}

static void
world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	host_init(&w->h);
	w->h.policy.lane = &w->limits[QUEUE_LEVEL_LANE];
	w->h.policy.site = &w->limits[QUEUE_LEVEL_SITE];
	w->h.fake.sources[7].limits = &w->limits[QUEUE_LEVEL_SOURCE];
	w->h.fake.pool.limits = &w->limits[QUEUE_LEVEL_POOL];
	w->h.conf.stream = stream_limits;
	w->h.conf.limits = &w->limits[QUEUE_LEVEL_ALL];
	queue_sched_reconfigured(w->h.q, &w->h.conf, w->h.now_us);
}

static void
limit(struct world *w, enum queue_level level, enum queue_unit unit, int64_t count, int64_t per_us)
{
	w->rates[level] = (struct queue_rate){count, per_us};
	w->limits[level].units[unit].rates = &w->rates[level];
	w->limits[level].units[unit].count = 1;
	queue_sched_reconfigured(w->h.q, &w->h.conf, w->h.now_us);
}

static void
limit_connections(struct world *w, enum queue_level level, uint32_t count)
{
	w->limits[level].connections = count;
	queue_sched_reconfigured(w->h.q, &w->h.conf, w->h.now_us);
}

static void
add_class(struct world *w, int domain, enum queue_class klass)
{
	struct queue_message m = {.id = ++w->h.last_id,
		.arrived_us = w->h.now_us,
		.klass = klass,
		.user = {"u1", 2},
		.job = {"j1", 2}};
	struct queue_sched_rcpt r = {.domain = name_of("d", domain)};

	assert_int_equal(queue_sched_add(w->h.q, &m, &r, 1, NULL, w->h.now_us), QUEUE_OK);
}

static void
add(struct world *w)
{
	add_class(w, 1, QUEUE_CLASS_NORMAL);
}

/* Until nothing is ordered; notes are on disk at once, sessions stay as they are. */
static void
settle_down(struct world *w)
{
	struct queue_order o;

	while ((o = host_next(&w->h)).kind != QUEUE_ORDER_NONE) {
		if (o.kind == QUEUE_ORDER_NOTE)
			queue_sched_noted(w->h.q, o.noting, false, w->h.now_us);
		if (o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE) {
			w->session = o.session;
			w->lease = o.lease;
		}
	}
}

/* One recipient is on its way over a session that is open. */
static void
open_one(struct world *w)
{
	add(w);
	settle_down(w);
	assert_non_null(w->session);
	queue_sched_session_ready(w->h.q, w->session, false);
}

static void
deliver(struct world *w)
{
	host_settle(&w->h, w->lease, QUEUE_VERDICT_DELIVERED);
}

static void
pause(struct world *w, enum queue_pause_kind kind, const char *name)
{
	assert_int_equal(queue_sched_pause(w->h.q, kind, blob_of(name), 7, w->h.now_us + HOUR,
				 blob_of("asked"), w->h.now_us),
		QUEUE_OK);
}

/* --- the cases: what is done before --- */

static void
going(struct world *w, int arg)
{
	open_one(w);
	deliver(w);
	settle_down(w);
	add(w);
}

static void
leased(struct world *w, int arg)
{
	open_one(w);
}

static void
retry(struct world *w, int arg)
{
	open_one(w);
	host_settle(&w->h, w->lease, QUEUE_VERDICT_LATER);
}

static void
held(struct world *w, int arg)
{
	struct queue_filter all = host_filter();

	add(w);
	assert_int_equal(host_hold(&w->h, &all, true), 1);
}

static void
paused(struct world *w, int arg)
{
	static const char *const names[] = {"", "d1", "site1", "", "j1", "u1"};

	pause(w, (enum queue_pause_kind)arg, names[arg]);
	add(w);
	settle_down(w);
}

/* The site of d1, or another. */
static void
paused_at_site(struct world *w, int arg)
{
	char name[] = "u1\0site?";

	name[7] = (char)('0' + arg);
	assert_int_equal(queue_sched_pause(w->h.q, QUEUE_PAUSE_USER, (struct queue_blob){name, 8}, 0,
				 w->h.now_us + HOUR, blob_of("asked"), w->h.now_us),
		QUEUE_OK);
	add(w);
	settle_down(w);
	if (arg == 1)
		return;
	add(w);
	settle_down(w);
}

static void
resolving(struct world *w, int arg)
{
	w->h.is_manual = true;
	add(w);
	host_expect(&w->h, QUEUE_ORDER_RESOLVE);
}

static void
unrouted(struct world *w, int arg)
{
	w->h.route[1] = QUEUE_ROUTE_WAIT;
	w->h.route_us = MINUTE;
	add(w);
	settle_down(w);
}

static void
rate(struct world *w, int arg)
{
	limit(w, (enum queue_level)arg, QUEUE_UNIT_MESSAGES, 1, HOUR);
	going(w, 0);
	settle_down(w);
}

static void
short_rate(struct world *w, int arg)
{
	limit(w, (enum queue_level)arg, QUEUE_UNIT_RECIPIENTS, 1, 30 * SEC);
	going(w, 0);
	settle_down(w);
}

static void
connect_rate(struct world *w, int arg)
{
	limit(w, (enum queue_level)arg, QUEUE_UNIT_CONNECTIONS, 1, HOUR);
	open_one(w);
	add(w);
	settle_down(w);
}

static void
connections(struct world *w, int arg)
{
	limit_connections(w, (enum queue_level)arg, 1);
	open_one(w);
	add(w);
	settle_down(w);
}

static void
kept_for_urgent(struct world *w, int arg)
{
	w->h.policy.urgent_percent = 50;
	limit_connections(w, QUEUE_LEVEL_SITE, 2);
	add_class(w, 2, QUEUE_CLASS_URGENT);
	settle_down(w);
	add(w);
	settle_down(w);
}

static void
busy(struct world *w, int arg)
{
	w->h.policy.connections = 1;
	open_one(w);
	add(w);
	settle_down(w);
}

/* The second connection is kept for urgent mail, of which there was some. */
static void
busy_but_for_urgent(struct world *w, int arg)
{
	w->h.policy.connections = 2;
	w->h.policy.urgent_percent = 50;
	add_class(w, 2, QUEUE_CLASS_URGENT);
	settle_down(w);
	queue_sched_session_ready(w->h.q, w->session, false);
	add(w);
	settle_down(w);
}

static void
opening(struct world *w, int arg)
{
	w->h.policy.connections = (uint32_t)arg;
	add(w);
	settle_down(w);
	add(w);
	settle_down(w);
}

static void
backoff(struct world *w, int arg)
{
	add(w);
	settle_down(w);
	host_settle(&w->h, w->lease, QUEUE_VERDICT_RETURN);
	host_close(&w->h, w->session, true, MINUTE);
	settle_down(w);
}

static void
total(struct world *w, int arg)
{
	w->h.conf.connections_total = 1;
	queue_sched_reconfigured(w->h.q, &w->h.conf, w->h.now_us);
	add_class(w, 2, QUEUE_CLASS_NORMAL);
	settle_down(w);
	add(w);
	settle_down(w);
}

static void
disk(struct world *w, int arg)
{
	limit(w, (enum queue_level)arg, QUEUE_UNIT_MESSAGES, 100, HOUR);
	add(w);
	host_expect(&w->h, QUEUE_ORDER_NOTE);
	host_expect(&w->h, QUEUE_ORDER_NONE);
}

#define HOUR_END (START - START % HOUR + HOUR)

#define TOMORROW (START - START % DAY + DAY)

/* A rule has paused the lane. */
static void
stopped(struct world *w, int arg)
{
	struct queue_reaction r = {.pause_us = HOUR, .why = blob_of("rule x"), .begun_us = w->h.now_us};

	open_one(w);
	host_settle(&w->h, w->lease, QUEUE_VERDICT_DELIVERED);
	assert_true(queue_sched_react(w->h.q, w->session, &r, w->h.now_us));
	add(w);
	settle_down(w);
}

static const struct queue_warmup_plan *
warms_up(void *arg, uint32_t source, struct queue_blob site, struct queue_blob *out_group)
{
	static const int64_t volumes[] = {100};
	static const struct queue_warmup_plan plan = {.volumes = volumes,
		.count = 1,
		.hold_ppm = {1, 1, 1, 1},
		.start_day = (int32_t)(START / DAY) + 1};

	*out_group = blob_of("google");
	return &plan;
}

/* Not before tomorrow. */
static void
warming(struct world *w, int arg)
{
	w->h.conf.warmup = warms_up;
	queue_sched_reconfigured(w->h.q, &w->h.conf, w->h.now_us);
	add(w);
	settle_down(w);
}

/* All day, until midnight. */
static void
down(struct world *w, int arg)
{
	queue_sched_source_down(w->h.q, 7, true, w->h.now_us);
	add(w);
	settle_down(w);
}

static void
quiet(struct world *w, int arg)
{
	static const struct queue_hours_zone utc = {NULL, 0};
	static struct queue_hours_window today = {0, QUEUE_HOURS_DAY_MIN, 0, &utc};
	static const struct queue_hours hours = {&today, 1};

	today.days = (uint8_t)(1 << (START / DAY + 3) % 7);
	w->h.policy.hours = &hours;
	queue_sched_reconfigured(w->h.q, &w->h.conf, w->h.now_us);
	add(w);
	settle_down(w);
}

static const struct {
	const char *name;
	void (*prepare)(struct world *w, int arg);
	int arg;
	enum queue_why why;
	enum queue_level level;
	const char *about, *reason;
	int64_t until_us;
	uint32_t count;
} cases[] = {
	{"going", going, 0, QUEUE_WHY_GOING, 0, "", "", 0, 0},
	{"leased", leased, 0, QUEUE_WHY_LEASED, 0, "", "", 0, 0},
	{"retry", retry, 0, QUEUE_WHY_RETRY, 0, "", "451 busy", START + 5 * MINUTE, 0},
	{"held", held, 0, QUEUE_WHY_HELD, 0, "", "", 0, 0},
	{"all paused", paused, QUEUE_PAUSE_ALL, QUEUE_WHY_PAUSED, 0, "", "asked", START + HOUR, 0},
	{"domain paused", paused, QUEUE_PAUSE_DOMAIN, QUEUE_WHY_PAUSED, 0, "d1", "asked", START + HOUR, 0},
	{"site paused", paused, QUEUE_PAUSE_SITE, QUEUE_WHY_PAUSED, 0, "site1", "asked", START + HOUR, 0},
	{"source paused", paused, QUEUE_PAUSE_SOURCE, QUEUE_WHY_PAUSED, 0, "", "asked", START + HOUR, 0},
	{"source down", down, 0, QUEUE_WHY_DOWN, 0, "", "", INT64_MAX, 0},
	{"job paused", paused, QUEUE_PAUSE_JOB, QUEUE_WHY_PAUSED, 0, "j1", "asked", START + HOUR, 0},
	{"user paused", paused, QUEUE_PAUSE_USER, QUEUE_WHY_PAUSED, 0, "u1", "asked", START + HOUR, 0},
	{"user paused at the site", paused_at_site, 1, QUEUE_WHY_PAUSED, 0, "u1", "asked", START + HOUR, 0},
	{"user paused at another site", paused_at_site, 2, QUEUE_WHY_OPENING, 0, "", "", 0, 1},
	{"route is looked up", resolving, 0, QUEUE_WHY_ROUTE, 0, "", "", 0, 0},
	{"no route", unrouted, 0, QUEUE_WHY_ROUTE, 0, "", "trouble 1", START + MINUTE, 0},
	{"rate of the lane", rate, QUEUE_LEVEL_LANE, QUEUE_WHY_RATE, QUEUE_LEVEL_LANE, "site1", "", HOUR_END,
		0},
	{"rate of the site", rate, QUEUE_LEVEL_SITE, QUEUE_WHY_RATE, QUEUE_LEVEL_SITE, "site1", "", HOUR_END,
		0},
	{"rate of the source", rate, QUEUE_LEVEL_SOURCE, QUEUE_WHY_RATE, QUEUE_LEVEL_SOURCE, "source7", "",
		HOUR_END, 0},
	{"rate of the pool", rate, QUEUE_LEVEL_POOL, QUEUE_WHY_RATE, QUEUE_LEVEL_POOL, "default", "",
		HOUR_END, 0},
	{"rate of the stream", rate, QUEUE_LEVEL_STREAM, QUEUE_WHY_RATE, QUEUE_LEVEL_STREAM, "u1/j1", "",
		HOUR_END, 0},
	{"rate of the user", rate, QUEUE_LEVEL_USER, QUEUE_WHY_RATE, QUEUE_LEVEL_USER, "u1", "", HOUR_END, 0},
	{"rate of all", rate, QUEUE_LEVEL_ALL, QUEUE_WHY_RATE, QUEUE_LEVEL_ALL, "", "", HOUR_END, 0},
	{"short rate", short_rate, QUEUE_LEVEL_LANE, QUEUE_WHY_RATE, QUEUE_LEVEL_LANE, "site1", "",
		START + 30 * SEC, 0},
	{"connections in a time", connect_rate, QUEUE_LEVEL_SITE, QUEUE_WHY_RATE, QUEUE_LEVEL_SITE, "site1",
		"", HOUR_END, 0},
	{"connections in a time of the pool", connect_rate, QUEUE_LEVEL_POOL, QUEUE_WHY_RATE,
		QUEUE_LEVEL_POOL, "default", "", HOUR_END, 0},
	{"connections of the site", connections, QUEUE_LEVEL_SITE, QUEUE_WHY_CONNECTIONS, QUEUE_LEVEL_SITE,
		"site1", "", 0, 1},
	{"connections of the source", connections, QUEUE_LEVEL_SOURCE, QUEUE_WHY_CONNECTIONS,
		QUEUE_LEVEL_SOURCE, "source7", "", 0, 1},
	{"connections of the pool", connections, QUEUE_LEVEL_POOL, QUEUE_WHY_CONNECTIONS, QUEUE_LEVEL_POOL,
		"default", "", 0, 1},
	{"transactions of the stream", connections, QUEUE_LEVEL_STREAM, QUEUE_WHY_CONNECTIONS,
		QUEUE_LEVEL_STREAM, "u1/j1", "", 0, 1},
	{"transactions of the user", connections, QUEUE_LEVEL_USER, QUEUE_WHY_CONNECTIONS, QUEUE_LEVEL_USER,
		"u1", "", 0, 1},
	{"connections kept for urgent mail", kept_for_urgent, 0, QUEUE_WHY_CONNECTIONS, QUEUE_LEVEL_SITE,
		"site1", "", 0, 2},
	{"busy", busy, 0, QUEUE_WHY_BUSY, 0, "", "", 0, 1},
	{"busy but for urgent mail", busy_but_for_urgent, 0, QUEUE_WHY_BUSY, 0, "", "", 0, 1},
	{"opening", opening, 5, QUEUE_WHY_OPENING, 0, "", "", 0, 1},
	{"opening all it may", opening, 1, QUEUE_WHY_OPENING, 0, "", "", 0, 1},
	{"backoff", backoff, 0, QUEUE_WHY_BACKOFF, 0, "", "refused", START + MINUTE, 0},
	{"stopped by a rule", stopped, 0, QUEUE_WHY_STOPPED, 0, "", "rule x", START + HOUR, 0},
	{"warming up", warming, 0, QUEUE_WHY_WARMUP, QUEUE_LEVEL_WARMUP, "google", "", TOMORROW, 0},
	{"quiet", quiet, 0, QUEUE_WHY_QUIET, 0, "", "", TOMORROW, 0},
	{"total", total, 0, QUEUE_WHY_TOTAL, 0, "", "", 0, 1},
	{"disk, lane", disk, QUEUE_LEVEL_LANE, QUEUE_WHY_DISK, QUEUE_LEVEL_LANE, "site1", "", 0, 0},
	{"disk, stream", disk, QUEUE_LEVEL_STREAM, QUEUE_WHY_DISK, QUEUE_LEVEL_STREAM, "u1/j1", "", 0, 0},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

/* The reason with the text it borrows. */
struct seen {
	struct queue_reason r;
	char name[32], reason[32];
	int count;
};

static void
see(struct seen *s, const struct queue_reason *r)
{
	s->r = *r;
	s->count++;
	snprintf(s->name, sizeof(s->name), "%.*s", (int)r->name.len, (const char *)r->name.ptr);
	snprintf(s->reason, sizeof(s->reason), "%.*s", (int)r->reason.len, (const char *)r->reason.ptr);
}

/* Those that are away say nothing about those that wait. */
static bool
on_reason(void *arg, const struct queue_reason *r)
{
	struct seen *s = arg;

	if (r->why != QUEUE_WHY_LEASED || s->count == 0)
		see(s, r);
	return true;
}

static bool
on_rcpt(void *arg, uint16_t n, const struct queue_reason *r)
{
	assert_int_equal(n, 0);
	see(arg, r);
	return true;
}

static void
check(size_t i, const char *of, const struct seen *s)
{
	const char *reason = s->r.why == QUEUE_WHY_RETRY ? s->reason : cases[i].reason;

	if (s->r.why != cases[i].why || strcmp(s->name, cases[i].about) != 0 ||
		llabs(s->r.until_us - cases[i].until_us) > SEC / 100 ||
		/* jitter */ s->r.count != cases[i].count || strcmp(s->reason, reason) != 0 ||
		s->r.is_at_site != (cases[i].prepare == paused_at_site && cases[i].arg == 1) ||
		s->r.rcpts != 1 || s->r.level != cases[i].level)
		fail_msg("%s, %s: why %d, level %d, \"%s\", \"%s\", until %+lld s, count %u, %llu recipients",
			cases[i].name, of, s->r.why, s->r.level, s->name, s->reason,
			(long long)((s->r.until_us - START) / SEC), s->r.count,
			(unsigned long long)s->r.rcpts);
}

static bool
add_up(void *arg, const struct queue_reason *r)
{
	*(uint64_t *)arg += r->rcpts;
	return true;
}

/* A site is the sum of its domains, d1 and perhaps d2. */
static void
check_site(struct world *w)
{
	uint64_t domains = 0, site = 0;
	struct queue_walk walk = {.limit = 1};
	struct queue_domain_view v;
	int i;

	for (i = 1; i <= 2; i++)
		if (queue_sched_domain_find(w->h.q, name_of("d", i), &v) && v.site.len == 5 &&
			memcmp(v.site.ptr, "site1", 5) == 0)
			(void)queue_sched_why_domain(w->h.q, name_of("d", i), add_up, &domains);
	while (!walk.is_end)
		queue_sched_walk_why(w->h.q, blob_of("site1"), &walk, add_up, &site);
	assert_int_equal(site, domains);
}

static void
test_every_reason(void **state)
{
	bool met[QUEUE_WHY_COUNT] = {0};
	size_t i;

	for (i = 0; i < CASES; i++) {
		struct seen domain = {0}, rcpt = {0};
		struct queue_walk walk = {.limit = 1};
		struct world w;

		world_init(&w);
		w.h.site[2] = 1 + 1; /* d2 goes to site1 too, but for */
		if (cases[i].prepare == total)
			w.h.site[2] = 0;
		cases[i].prepare(&w, cases[i].arg);
		assert_true(queue_sched_why_domain(w.h.q, blob_of("d1"), on_reason, &domain));
		check(i, "domain", &domain);
		assert_string_equal(domain.reason, cases[i].reason);
		while (!walk.is_end)
			assert_true(queue_sched_why_message(w.h.q, w.h.last_id, &walk, on_rcpt, &rcpt));
		assert_int_equal(rcpt.count, 1);
		check(i, "message", &rcpt);
		check_site(&w);
		met[cases[i].why] = true;
		host_fini(&w.h);
	}
	for (i = 0; i < QUEUE_WHY_COUNT; i++)
		if (!met[i] && i != QUEUE_WHY_SCHEDULED)
			fail_msg("no case for %zu", i);
}

/* --- more than one --- */

static void
test_scheduled(void **state)
{
	struct queue_message m = {.id = 1, .arrived_us = START, .release_us = START + HOUR};
	const struct queue_sched_rcpt rcpts[2] = {{.domain = {"d1", 2}}, {.n = 1, .domain = {"d2", 2}}};
	struct queue_walk walk = {.limit = 1};
	struct seen s = {0};
	struct world w;

	world_init(&w);
	assert_int_equal(queue_sched_add(w.h.q, &m, rcpts, 1, NULL, START), QUEUE_OK);
	assert_true(queue_sched_why_message(w.h.q, 1, &walk, on_rcpt, &s));
	assert_int_equal(s.r.why, QUEUE_WHY_SCHEDULED);
	assert_int_equal(s.r.until_us, START + HOUR);
	assert_true(queue_sched_why_domain(w.h.q, blob_of("d1"), on_reason, &s));
	assert_int_equal(s.r.why, QUEUE_WHY_RETRY);
	host_fini(&w.h);
}

static void
test_unknown(void **state)
{
	struct queue_walk walk = {.limit = 9}, of_site = {.limit = 9};
	struct seen s = {0};
	struct world w;

	world_init(&w);
	add(&w);
	assert_false(queue_sched_why_domain(w.h.q, blob_of("d3"), on_reason, &s));
	assert_false(queue_sched_why_message(w.h.q, 77, &walk, on_rcpt, &s));
	assert_true(walk.is_end);
	queue_sched_walk_why(w.h.q, blob_of("site3"), &of_site, on_reason, &s);
	assert_true(of_site.is_end);
	assert_int_equal(s.count, 0);
	host_fini(&w.h);
}

static bool
count_rcpt(void *arg, uint16_t n, const struct queue_reason *r)
{
	assert_int_equal(n, (*(int *)arg)++);
	return true;
}

/* A message in portions: each recipient once, those that have ended not at all. */
static void
test_message_in_portions(void **state)
{
	struct queue_walk walk = {.limit = 3};
	int portions = 0, count = 0;
	struct world w;

	world_init(&w);
	assert_int_equal(host_add_job(&w.h, 1, 10, "", ""), QUEUE_OK);
	for (; !walk.is_end; portions++)
		assert_true(queue_sched_why_message(w.h.q, w.h.last_id, &walk, count_rcpt, &count));
	assert_int_equal(portions, 4);
	assert_int_equal(count, 10);
	host_fini(&w.h);
}

/* Of two lanes the one that may be first: a pause without end says less than a window that ends. */
static void
test_the_lane_that_may_be_first(void **state)
{
	struct queue_pool_member members[2] = {{3, 1}, {4, 1}};
	struct seen s = {0};
	struct world w;

	world_init(&w);
	w.h.fake.pool.members = members;
	w.h.fake.pool.member_count = 2;
	w.h.fake.sources[4].limits = &w.limits[QUEUE_LEVEL_SOURCE];
	limit(&w, QUEUE_LEVEL_SOURCE, QUEUE_UNIT_MESSAGES, 1, HOUR);
	assert_int_equal(
		queue_sched_pause(w.h.q, QUEUE_PAUSE_SOURCE, blob_of(""), 3, INT64_MAX, blob_of(""), START),
		QUEUE_OK);
	add(&w);
	settle_down(&w);
	deliver(&w);
	add(&w);
	settle_down(&w);
	assert_true(queue_sched_why_domain(w.h.q, blob_of("d1"), on_reason, &s));
	assert_int_equal(s.r.why, QUEUE_WHY_RATE);
	assert_string_equal(s.name, "source4");
	assert_int_equal(s.r.source, 4);
	assert_int_equal(s.r.sources, 2);
	assert_memory_equal(s.r.pool.ptr, "default", s.r.pool.len);
	assert_memory_equal(s.r.site.ptr, "site1", s.r.site.len);
	/* Without the other pause nothing keeps it. */
	assert_true(queue_sched_resume(w.h.q, QUEUE_PAUSE_SOURCE, blob_of(""), 3, START));
	assert_true(queue_sched_why_domain(w.h.q, blob_of("d1"), on_reason, &s));
	assert_int_equal(s.r.why, QUEUE_WHY_GOING);
	host_fini(&w.h);
}

/* --- tables --- */

enum { LANES = 40 };
struct lanes {
	int met[LANES], portions;
	struct queue_lane_view last;
};

static bool
on_lane(void *arg, const struct queue_lane_view *v)
{
	struct lanes *l = arg;

	l->met[number_of(v->site)]++;
	l->last = *v;
	return true;
}

static void
test_lanes(void **state)
{
	struct queue_walk walk = {.limit = 4};
	struct lanes l = {0};
	struct world w;
	int i;

	world_init(&w);
	w.h.policy.connections = 1;
	for (i = 0; i < LANES; i++)
		host_add(&w.h, i);
	settle_down(&w);
	for (i = 0; i < LANES; i++)
		host_add(&w.h, i);
	settle_down(&w);
	for (; !walk.is_end; l.portions++)
		queue_sched_walk_lanes(w.h.q, &walk, on_lane, &l);
	for (i = 0; i < LANES; i++)
		assert_int_equal(l.met[i], 1);
	assert_true(l.portions > 4);
	assert_int_equal(l.last.source, 7);
	assert_int_equal(l.last.sessions, 1);
	assert_int_equal(l.last.opening, 1);
	assert_int_equal(l.last.busy, 1);
	assert_int_equal(l.last.connections_max, 1);
	assert_int_equal(l.last.ready, 1);
	assert_int_equal(l.last.reason.why, QUEUE_WHY_OPENING);
	host_fini(&w.h);
}

struct streams {
	uint64_t ready[QUEUE_CLASS_COUNT], leased[QUEUE_CLASS_COUNT], held[QUEUE_CLASS_COUNT];
	enum queue_why why[QUEUE_CLASS_COUNT];
};

static bool
on_stream(void *arg, const struct queue_stream_view *v)
{
	struct streams *s = arg;

	assert_int_equal(v->user.len, 2);
	assert_memory_equal(v->user.ptr, "u1", 2);
	assert_int_equal(v->job.len, 2);
	assert_memory_equal(v->job.ptr, "j1", 2);
	assert_int_equal(v->weight, 3);
	assert_int_equal(v->user_weight, 2);
	s->ready[v->klass] += v->ready;
	s->leased[v->klass] += v->leased;
	s->held[v->klass] += v->held;
	s->why[v->klass] = v->reason.why;
	return true;
}

static struct streams
streams(struct world *w)
{
	struct queue_walk walk = {.limit = 2};
	struct streams s = {0};

	while (!walk.is_end)
		queue_sched_walk_streams(w->h.q, &walk, on_stream, &s);
	return s;
}

static void
test_streams(void **state)
{
	struct queue_filter of_d5 = host_filter();
	struct streams s;
	struct world w;
	int i;

	world_init(&w);
	limit_connections(&w, QUEUE_LEVEL_STREAM, 1);
	for (i = 0; i < 6; i++)
		add_class(&w, i, QUEUE_CLASS_NORMAL);
	add_class(&w, 1, QUEUE_CLASS_BULK);
	of_d5.domain = blob_of("d5");
	assert_int_equal(host_hold(&w.h, &of_d5, true), 1);
	settle_down(&w);
	s = streams(&w);
	assert_int_equal(s.ready[QUEUE_CLASS_NORMAL], 4);
	assert_int_equal(s.leased[QUEUE_CLASS_NORMAL], 1);
	assert_int_equal(s.held[QUEUE_CLASS_NORMAL], 1);
	assert_int_equal(s.leased[QUEUE_CLASS_BULK], 1);
	assert_int_equal(s.ready[QUEUE_CLASS_URGENT], 0);
	assert_int_equal(s.why[QUEUE_CLASS_NORMAL], QUEUE_WHY_CONNECTIONS);
	pause(&w, QUEUE_PAUSE_JOB, "j1");
	assert_int_equal(streams(&w).why[QUEUE_CLASS_NORMAL], QUEUE_WHY_PAUSED);
	host_fini(&w.h);
}

struct limits {
	int count;
	char name[32], source[32];
	struct queue_limit_view of[QUEUE_LEVEL_COUNT]; /* of messages or recipients */
	struct queue_limit_view at_once[QUEUE_LEVEL_COUNT];
};

static bool
on_limit(void *arg, const struct queue_limit_view *v)
{
	struct limits *l = arg;

	l->count++;
	if (v->rate.per_us == 0)
		l->at_once[v->level] = *v;
	else
		l->of[v->level] = *v;
	if (v->level == QUEUE_LEVEL_LANE)
		snprintf(l->source, sizeof(l->source), "%.*s", (int)v->source.len,
			(const char *)v->source.ptr);
	if (v->level == QUEUE_LEVEL_STREAM)
		snprintf(l->name, sizeof(l->name), "%.*s", (int)v->name.len, (const char *)v->name.ptr);
	return true;
}

static struct limits
limits(struct world *w)
{
	struct queue_walk walk = {.limit = 2};
	struct limits l = {0};

	while (!walk.is_end)
		queue_sched_walk_limits(w->h.q, &walk, on_limit, &l);
	return l;
}

static void
test_limits(void **state)
{
	struct limits l;
	struct world w;
	int i;

	world_init(&w);
	limit(&w, QUEUE_LEVEL_LANE, QUEUE_UNIT_MESSAGES, 3, HOUR);
	limit(&w, QUEUE_LEVEL_STREAM, QUEUE_UNIT_RECIPIENTS, 1, 10 * SEC);
	limit_connections(&w, QUEUE_LEVEL_SOURCE, 2);
	l = limits(&w);
	assert_int_equal(l.count, 2); /* nothing of lanes or streams that are not there */
	assert_int_equal(l.at_once[QUEUE_LEVEL_ALL].rate.count, 100);
	for (i = 0; i < 3; i++)
		add(&w);
	settle_down(&w);
	l = limits(&w);
	assert_int_equal(l.count, 4);
	assert_string_equal(l.name, "u1/j1");
	assert_int_equal(l.of[QUEUE_LEVEL_STREAM].klass, QUEUE_CLASS_NORMAL);
	assert_string_equal(l.source, "source7");
	assert_int_equal(l.of[QUEUE_LEVEL_LANE].used, 1);
	assert_int_equal(l.of[QUEUE_LEVEL_LANE].left, 2);
	assert_int_equal(l.of[QUEUE_LEVEL_LANE].until_us, HOUR_END);
	assert_int_equal(l.of[QUEUE_LEVEL_LANE].waiters, 0);
	assert_int_equal(l.of[QUEUE_LEVEL_STREAM].left, 0);
	assert_int_equal(l.of[QUEUE_LEVEL_STREAM].until_us, START + 10 * SEC);
	assert_int_equal(l.of[QUEUE_LEVEL_STREAM].waiters, 1);
	assert_int_equal(l.at_once[QUEUE_LEVEL_SOURCE].used, 1);
	assert_int_equal(l.at_once[QUEUE_LEVEL_SOURCE].left, 1);
	assert_int_equal(l.at_once[QUEUE_LEVEL_ALL].used, 1);
	host_fini(&w.h);
}

static void
test_source(void **state)
{
	struct queue_source_view v;
	struct world w;

	world_init(&w);
	limit_connections(&w, QUEUE_LEVEL_SOURCE, 1);
	queue_sched_source_view(w.h.q, 7, &v);
	assert_int_equal(v.reason.why, QUEUE_WHY_GOING);
	assert_int_equal(v.connections_max, 1);
	open_one(&w);
	queue_sched_source_view(w.h.q, 7, &v);
	assert_int_equal(v.sessions, 1);
	assert_int_equal(v.reason.why, QUEUE_WHY_CONNECTIONS);
	pause(&w, QUEUE_PAUSE_SOURCE, "");
	queue_sched_source_view(w.h.q, 7, &v);
	assert_int_equal(v.reason.why, QUEUE_WHY_PAUSED);
	queue_sched_source_view(w.h.q, 6, &v);
	assert_int_equal(v.reason.why, QUEUE_WHY_GOING);
	assert_int_equal(v.connections_max, 0);
	host_fini(&w.h);
}

/* --- how fast --- */

static uint64_t
per_hour(struct world *w)
{
	struct queue_site_view v;

	assert_true(queue_sched_site_find(w->h.q, blob_of("site1"), &v));
	return v.delivered_per_hour;
}

/* `count` recipients, one each `step_us`. */
static void
deliver_evenly(struct world *w, int count, int64_t step_us)
{
	int i;

	for (i = 0; i < count; i++) {
		w->h.now_us += step_us;
		add(w);
		settle_down(w);
		queue_sched_session_ready(w->h.q, w->session, false);
		deliver(w);
		queue_sched_session_ends(w->h.q, w->session);
		host_close(&w->h, w->session, false, 0);
	}
}

static bool
is_near(uint64_t v, uint64_t want)
{
	return v + want / 20 >= want && v <= want + want / 20;
}

static void
test_rate_of_deliveries(void **state)
{
	struct world w;

	world_init(&w);
	host_add(&w.h, 1);
	settle_down(&w);
	assert_int_equal(per_hour(&w), 0);
	host_settle(&w.h, w.lease, QUEUE_VERDICT_LATER); /* no delivery */
	queue_sched_session_ready(w.h.q, w.session, false);
	queue_sched_session_ends(w.h.q, w.session);
	host_close(&w.h, w.session, false, 0);
	assert_int_equal(per_hour(&w), 0);
	deliver_evenly(&w, 10, SEC / 2);
	assert_true(per_hour(&w) <= 600); /* of five seconds nothing is concluded */
	deliver_evenly(&w, 300, SEC / 2);
	assert_true(is_near(per_hour(&w), 7200)); /* right after two minutes already */
	deliver_evenly(&w, 600, 2 * SEC);
	assert_true(per_hour(&w) > 1800 && per_hour(&w) < 2700);
	/* Half of what is known goes in five minutes, whether it is asked or not. */
	w.h.now_us += 300 * SEC;
	settle_down(&w);
	assert_true(per_hour(&w) > 850 && per_hour(&w) < 1200);
	/* Set back, nothing fades. */
	w.h.now_us -= DAY;
	settle_down(&w);
	assert_true(per_hour(&w) > 850 && per_hour(&w) < 2700);
	host_fini(&w.h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_reason),
		cmocka_unit_test(test_scheduled),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_message_in_portions),
		cmocka_unit_test(test_the_lane_that_may_be_first),
		cmocka_unit_test(test_lanes),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_rate_of_deliveries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
