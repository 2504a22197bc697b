/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lane learns from answers and failures (queue_recovery), and what rules lay on it.
 *
 * A lane that knows something keeps it on disk and outlives its mail by a day: a site that wanted less will
 * want less in an hour too, whether there was mail meanwhile or not.
 *
 * Invariants: the factor of lane->gate is that of its recovery; a lane is able only when it is not paused;
 * profile_gate exists while profile has limits.
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>

#define KEEP_US (INT64_C(24) * 3600 * 1000000)

/* --- what it may use --- */

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t
sched_lane_connections_max(const struct queue_lane *lane)
{
	if (lane->own != NULL && lane->own->connections > 0)
		return lane->own->connections;
	return lane->policy->connections > 0 ? lane->policy->connections : 1;
}

/* Connections that the settings allow. */
static uint32_t
connections_of(const struct queue_lane *lane)
{
	uint32_t max = sched_lane_connections_max(lane);

	if (lane->profile != NULL && lane->profile->connections > 0)
		max = least(max, lane->profile->connections);
	return max;
}

static struct queue_recovery_policy
policy_of(const struct queue_lane *lane)
{
	struct queue_recovery_policy p = queue_recovery_defaults;
	uint32_t start = lane->policy->connections_start;

	p.connections = connections_of(lane);
	p.connections_start = start > 0 ? start : p.connections;
	return p;
}

uint32_t
sched_lane_connections(const struct queue_lane *lane)
{
	struct queue_recovery_policy p = policy_of(lane);
	struct queue_recovery_view v = queue_recovery_view(&lane->recovery, &p);

	return v.step == QUEUE_RECOVERY_PAUSED ? 0 : least(v.connections, p.connections);
}

uint32_t
sched_lane_messages_max(const struct queue_lane *lane)
{
	uint32_t max = lane->own != NULL && lane->own->has_messages_per_connection
			       ? lane->own->messages_per_connection
			       : lane->policy->messages_per_connection;
	uint32_t own = lane->profile != NULL ? lane->profile->messages_per_connection : 0;

	return own > 0 && (max == 0 || own < max) ? own : max;
}

/* A probe: no message before the last is answered. */
bool
sched_lane_is_careful(const struct queue_lane *lane)
{
	return lane->recovery.step == QUEUE_RECOVERY_PROBE;
}

bool
sched_lane_is_stopped(const struct queue_lane *lane)
{
	return lane->recovery.step == QUEUE_RECOVERY_PAUSED;
}

/* It knows something worth keeping. */
bool
sched_lane_is_learned(const struct queue_lane *lane)
{
	return lane->recovery.reason != QUEUE_RECOVERY_NOTHING || lane->profile != NULL;
}

/* INT64_MAX: nothing comes by time. */
int64_t
sched_lane_health_us(const struct queue_lane *lane)
{
	int64_t at_us = queue_recovery_next_us(&lane->recovery);

	if (lane->profile != NULL && lane->profile_until_us < at_us)
		at_us = lane->profile_until_us;
	if (sched_lane_is_learned(lane) && queue_link_is_alone(&lane->options) && lane->sessions == 0 &&
		queue_retry_add(lane->recovery.changed_us, KEEP_US) < at_us)
		at_us = queue_retry_add(lane->recovery.changed_us, KEEP_US);
	return at_us;
}

/* --- changes --- */

static void
close_surplus(struct queue_sched *q, struct queue_lane *lane)
{
	uint32_t max = sched_lane_connections(lane);

	lane->surplus = lane->sessions > max ? lane->sessions - max : 0;
	while (lane->surplus > 0 && !queue_link_is_alone(&lane->idle))
		sched_session_order_close(q, QUEUE_OF(lane->idle.prev, struct queue_session, place));
}

static void
take_effect(struct queue_sched *q, struct queue_lane *lane)
{
	struct queue_recovery_policy p = policy_of(lane);
	struct queue_recovery_view v = queue_recovery_view(&lane->recovery, &p);

	sched_gate_set_factor(q, lane->gate, v.factor > 0 ? v.factor : 1);
	close_surplus(q, lane);
	if (lane->noting.is_under_way)
		lane->noting.is_again = true;
	else
		sched_note_want(q, &lane->noting);
	sched_lane_arm(q, lane);
	if (v.step != QUEUE_RECOVERY_PAUSED)
		sched_lane_able(q, lane, false);
}

static void
tell(struct queue_sched *q, const struct queue_lane *lane, const struct queue_recovery_change *change)
{
	struct queue_lane_change c = {.site = {lane->site->name, lane->site->name_len},
		.source = lane->source,
		.why = sched_text_blob(lane->why),
		.from = change->from,
		.to = change->to};

	if (q->conf.on_lane != NULL)
		q->conf.on_lane(q->conf.arg, &c);
}

static void
changed(struct queue_sched *q, struct queue_lane *lane, const struct queue_recovery_change *change)
{
	tell(q, lane, change);
	if (change->to.reason == QUEUE_RECOVERY_NOTHING)
		sched_text_free(q, &lane->why);
	take_effect(q, lane);
}

void
sched_lane_fact(struct queue_sched *q, struct queue_lane *lane, const struct queue_recovery_fact *fact)
{
	struct queue_recovery_policy p = policy_of(lane);
	struct queue_recovery_change change;

	if (queue_recovery_feed(&lane->recovery, &p, fact, q->now_us, &change))
		changed(q, lane, &change);
}

void
sched_lane_signal(struct queue_sched *q, struct queue_lease *l, const struct queue_verdict *v)
{
	static const enum queue_recovery_kind kinds[] = {[QUEUE_SIGNAL_ANSWERED] = QUEUE_RECOVERY_ANSWERED,
		[QUEUE_SIGNAL_FAILED] = QUEUE_RECOVERY_FAILED,
		[QUEUE_SIGNAL_SLOWER] = QUEUE_RECOVERY_SLOWER,
		[QUEUE_SIGNAL_CROWDED] = QUEUE_RECOVERY_CROWDED};
	struct queue_recovery_fact fact = {.begun_us = l->taken_us, .keep = v->keep};

	if (v->kind == QUEUE_VERDICT_DELIVERED) {
		if (l->is_good)
			return;
		l->is_good = true;
		fact.kind = QUEUE_RECOVERY_GOOD;
	} else if (v->kind == QUEUE_VERDICT_RETURN || v->kind == QUEUE_VERDICT_DROPPED ||
		   v->signal == QUEUE_SIGNAL_NONE) {
		return;
	} else {
		assert(v->signal < QUEUE_SIGNAL_NONE);
		fact.kind = kinds[v->signal];
	}
	sched_lane_fact(q, l->session->lane, &fact);
}

/* --- profiles --- */

static const struct queue_profile *
profile_find(const struct queue_sched *q, struct queue_blob name)
{
	uint32_t i;

	for (i = 0; i < q->conf.profile_count; i++)
		if (sched_name_is(q->conf.profiles[i].name.ptr, q->conf.profiles[i].name.len, name))
			return &q->conf.profiles[i];
	return NULL;
}

static bool
set_profile_gate(struct queue_sched *q, struct queue_lane *lane)
{
	const struct sched_gate_spec spec = {
		.level = QUEUE_LEVEL_PROFILE,
		.a = {lane->site->name, lane->site->name_len},
		.b = sched_source_name(q, lane->source),
		.limits = lane->profile != NULL ? lane->profile->limits : NULL,
		.connections = lane->sessions,
	};

	return sched_gate_set(q, &lane->profile_gate, &spec);
}

/* Without memory for its rates nothing goes out until there is some. */
static void
set_profile(
	struct queue_sched *q, struct queue_lane *lane, const struct queue_profile *profile, int64_t until_us)
{
	lane->profile = profile;
	lane->profile_until_us = profile != NULL ? until_us : 0;
	sched_text_free(q, &lane->profile_name);
	if (profile != NULL)
		sched_text_set(q, &lane->profile_name, profile->name);
	if (!set_profile_gate(q, lane))
		q->lacks_limits = true;
}

bool
sched_lane_set_profile_limits(struct queue_sched *q, struct queue_lane *lane)
{
	return set_profile_gate(q, lane);
}

/* The profiles are others now: it has the one of the same name, if there is one. */
void
sched_lane_reconfigured(struct queue_sched *q, struct queue_lane *lane)
{
	if (lane->profile != NULL)
		lane->profile = profile_find(q, sched_text_blob(lane->profile_name));
	close_surplus(q, lane);
	sched_lane_arm(q, lane);
	if (!sched_lane_is_stopped(lane))
		sched_lane_able(q, lane, false);
}

/* With the whole schedule: nothing is kept in memory. */
void
sched_lane_forget(struct queue_sched *q, struct queue_lane *lane)
{
	lane->recovery = (struct queue_recovery){0};
	lane->profile = NULL;
	lane->noting.is_under_way = lane->noting.is_on_disk = false;
	queue_link_remove(&lane->noting.link);
}

/* --- time --- */

bool
sched_lane_clear(struct queue_sched *q, struct queue_lane *lane)
{
	bool had_profile = lane->profile != NULL;
	struct queue_recovery_policy p = policy_of(lane);
	struct queue_recovery_change change;

	set_profile(q, lane, NULL, 0);
	if (queue_recovery_clear(&lane->recovery, &p, &change))
		changed(q, lane, &change);
	else if (had_profile)
		take_effect(q, lane);
	else
		return false;
	return true;
}

void
sched_lane_look(struct queue_sched *q, struct queue_lane *lane)
{
	struct queue_recovery_policy p = policy_of(lane);
	struct queue_recovery_change change;

	if (lane->profile != NULL && lane->profile_until_us <= q->now_us) {
		set_profile(q, lane, NULL, 0);
		take_effect(q, lane);
	}
	if (queue_recovery_look(&lane->recovery, &p, q->now_us, &change))
		changed(q, lane, &change);
	/* Nobody has used it for a day. */
	if (sched_lane_is_learned(lane) && queue_link_is_alone(&lane->options) && lane->sessions == 0 &&
		queue_retry_add(lane->recovery.changed_us, KEEP_US) <= q->now_us)
		(void)sched_lane_clear(q, lane);
}

/* As read from disk: what it was when it was written, in force from now on. */
void
sched_lane_learned(
	struct queue_sched *q, struct queue_lane *lane, struct queue_blob profile, int64_t until_us)
{
	set_profile(q, lane, until_us > q->now_us ? profile_find(q, profile) : NULL, until_us);
	sched_lane_look(q, lane);
	take_effect(q, lane);
	sched_lane_release(q, lane);
}

/* --- for the host --- */

bool
queue_sched_react(
	struct queue_sched *q, struct queue_session *s, const struct queue_reaction *r, int64_t now_us)
{
	const struct queue_profile *profile = r->profile.len > 0 ? profile_find(q, r->profile) : NULL;
	struct queue_recovery_fact fact = {.begun_us = r->begun_us, .keep = r->keep, .pause_us = r->pause_us};
	struct queue_lane *lane = s->lane;

	sched_clock(q, now_us);
	if (r->why.len > 0)
		sched_text_set(q, &lane->why, r->why);
	if (profile != NULL) {
		set_profile(q, lane, profile, queue_retry_add(q->now_us, r->profile_us));
		take_effect(q, lane);
	}
	if (r->keep > 0 || r->is_crowded) {
		fact.kind = r->is_crowded ? QUEUE_RECOVERY_CROWDED : QUEUE_RECOVERY_SLOWER;
		sched_lane_fact(q, lane, &fact);
	}
	if (r->pause_us > 0) {
		fact.kind = QUEUE_RECOVERY_PAUSE;
		sched_lane_fact(q, lane, &fact);
	}
	return r->profile.len == 0 || profile != NULL;
}

uint32_t
queue_sched_clear(struct queue_sched *q, struct queue_blob site, uint32_t source, int64_t now_us)
{
	struct sched_site *s = sched_site_find(q, site);
	struct queue_link *l, *next;
	uint32_t count = 0;

	sched_clock(q, now_us);
	for (l = s != NULL ? s->lanes.next : NULL; s != NULL && l != &s->lanes; l = next) {
		struct queue_lane *lane = QUEUE_OF(l, struct queue_lane, of_site);

		next = l->next;
		if (source == UINT32_MAX || lane->source == source)
			count += sched_lane_clear(q, lane);
	}
	return count;
}

struct queue_lane *
sched_lane_of_names(struct queue_sched *q, struct queue_blob site, struct queue_blob source)
{
	struct sched_site *s = NULL;
	struct queue_lane *lane = NULL;
	uint32_t i;

	for (i = 0; i < q->conf.source_count; i++)
		if (sched_name_is(q->conf.sources[i].name.ptr, q->conf.sources[i].name.len, source))
			break;
	if (i == q->conf.source_count || site.len == 0 || (s = sched_site_get(q, site)) == NULL)
		return NULL;
	if ((lane = sched_lane_get(q, s, i)) == NULL)
		sched_site_release(q, s);
	return lane;
}

void
sched_lane_health_fini(struct queue_sched *q, struct queue_lane *lane)
{
	assert(!lane->noting.is_under_way);
	queue_link_remove(&lane->noting.link);
	sched_gate_release(q, &lane->profile_gate);
	sched_gate_release(q, &lane->warm_gate);
	sched_text_free(q, &lane->profile_name);
	sched_text_free(q, &lane->why);
}
