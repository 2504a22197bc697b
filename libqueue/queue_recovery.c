/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two things are learned at two speeds. Connections that fail are a matter of seconds: the window of
 * connections halves at once and grows with every message. What the site wants no more of is a matter of
 * hours: the caps on rate and connections, and the steps up from a pause, move by stretches of good outcomes.
 *
 * Invariants: a pause has an end, at most pause_us away; outside of a pause there is at least one connection
 * and one per mille of the rates, so a lane can always find out that it is well again; a cap grows by half of
 * the way to where it was refused, so it gets there only by patience.
 */
#include "queue_recovery.h"

#include "queue_bytes.h"
#include "queue_retry.h"

#define SEC INT64_C(1000000)

enum { VERSION = 1, WHOLE = 1000, PART_OF_GROWTH = 16, PATIENCE_FIRST = 4 };

const struct queue_recovery_policy queue_recovery_defaults = {
	.connections = 10,
	.connections_start = 4,
	.good_count = 10,
	.good_us = 60 * SEC,
	.pause_first_us = 300 * SEC,
	.pause_max_us = INT64_C(4) * 3600 * SEC,
	.dead_count = 5,
	.dead_first_us = 60 * SEC,
	.dead_max_us = 3600 * SEC,
	.keep = 875,
};

/* Per mille of what full is. */
static const uint32_t shares[QUEUE_RECOVERY_STEPS] = {[QUEUE_RECOVERY_FULL] = WHOLE,
	[QUEUE_RECOVERY_HALF] = 500,
	[QUEUE_RECOVERY_QUARTER] = 250,
	[QUEUE_RECOVERY_PROBE] = 100,
	[QUEUE_RECOVERY_PAUSED] = 0};

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t
share_of(uint32_t n, uint32_t per_mille)
{
	uint64_t share = (uint64_t)n * per_mille / WHOLE;

	return share > 0 ? (uint32_t)share : 1;
}

static uint32_t
capped(const struct queue_recovery_cap *c, uint32_t most)
{
	return c->now > 0 ? least(c->now, most) : most;
}

static uint32_t
window_of(const struct queue_recovery *r, const struct queue_recovery_policy *p)
{
	return least(r->window > 0 ? r->window : p->connections_start, p->connections);
}

static uint32_t
factor_of(const struct queue_recovery *r)
{
	return share_of(capped(&r->factor, WHOLE), shares[r->step]);
}

/* Connections but for the window. A lane whose rates have no limit is slowed by its connections alone.
 * Rounded up, or a lane that needs two would be held at one. */
static uint32_t
allowed(const struct queue_recovery *r, const struct queue_recovery_policy *p)
{
	uint64_t most = capped(&r->connections, p->connections);

	if (r->step == QUEUE_RECOVERY_PROBE)
		return 1;
	return (uint32_t)((most * factor_of(r) + WHOLE - 1) / WHOLE);
}

struct queue_recovery_view
queue_recovery_view(const struct queue_recovery *r, const struct queue_recovery_policy *p)
{
	struct queue_recovery_view v = {
		.step = r->step, .reason = r->reason, .is_one_at_a_time = r->step == QUEUE_RECOVERY_PROBE};

	assert(p->connections > 0 && p->connections_start > 0);
	if (r->step == QUEUE_RECOVERY_PAUSED) {
		v.until_us = r->until_us;
		return v;
	}
	v.factor = factor_of(r);
	v.connections = least(allowed(r, p), window_of(r, p));
	return v;
}

/* --- caps --- */

/* Refused at `at`. */
static void
cap_cut(struct queue_recovery_cap *c, uint32_t at, uint32_t keep)
{
	c->refused = at;
	c->now = share_of(at, keep);
}

/* By half of the way to where it was refused, while that is a step worth the name. */
static bool
cap_approach(struct queue_recovery_cap *c)
{
	uint32_t half = c->now > 0 && c->refused > c->now ? (c->refused - c->now) / 2 : 0;

	if (half <= c->refused / (2 * PART_OF_GROWTH))
		return false;
	c->now += half;
	return true;
}

/* Past that; true: further than the site was ever seen to allow. */
static bool
cap_venture(struct queue_recovery_cap *c, uint32_t most)
{
	uint32_t step = c->now / PART_OF_GROWTH;

	if (c->now == 0)
		return false;
	/* Being allowed all of it is kept for one round more: a site may refuse just there. */
	if (c->now >= most) {
		*c = (struct queue_recovery_cap){0};
		return true;
	}
	c->now = least(c->now + (step > 0 ? step : 1), most);
	if (c->now <= c->refused)
		return false;
	c->refused = c->now;
	return true;
}

static bool
is_free(const struct queue_recovery *r)
{
	return r->factor.now == 0 && r->connections.now == 0;
}

static void
caps_grow(struct queue_recovery *r, const struct queue_recovery_policy *p)
{
	bool has_moved = cap_approach(&r->factor), is_further;

	has_moved |= cap_approach(&r->connections);
	if (has_moved || ++r->waited < r->wait)
		return;
	r->waited = 0;
	/* Without caps, only what was learned about waiting is left to forget. */
	if (is_free(r)) {
		r->wait = r->patience /= 2;
		return;
	}
	is_further = cap_venture(&r->factor, WHOLE);
	is_further |= cap_venture(&r->connections, p->connections);
	/* The last growth has stood the test of a whole wait. */
	if (is_further && r->is_further && r->wait > 1)
		r->wait /= 2;
	r->is_further = is_further;
	if (is_free(r)) {
		r->reason = QUEUE_RECOVERY_NOTHING;
		r->wait = r->patience;
	}
}

/* --- steps --- */

/* What was known to be good begins again. */
static void
begin_stretch(struct queue_recovery *r, int64_t now_us)
{
	r->good = 0;
	r->since_us = now_us;
}

static void
slowed(struct queue_recovery *r, int64_t now_us)
{
	begin_stretch(r, now_us);
	r->changed_us = now_us;
	r->waited = 0;
	r->is_proven = r->is_further = false;
}

static void
pause(struct queue_recovery *r, enum queue_recovery_reason reason, int64_t pause_us, int64_t now_us)
{
	slowed(r, now_us);
	r->step = QUEUE_RECOVERY_PAUSED;
	r->reason = (uint8_t)reason;
	r->pause_us = pause_us;
	r->until_us = queue_retry_add(now_us, pause_us);
	r->window = r->threshold = 1;
	r->round = 0;
}

/* The pause after one of `last_us`: twice as long, but for a rule's own that is above the bound already. */
static int64_t
next_pause(int64_t last_us, int64_t first_us, int64_t max_us)
{
	int64_t twice = queue_retry_add(last_us, last_us);

	assert(first_us > 0 && max_us >= first_us);
	if (twice > max_us)
		return last_us > max_us ? last_us : max_us;
	return twice > first_us ? twice : first_us;
}

static void
pause_again(struct queue_recovery *r, const struct queue_recovery_policy *p, int64_t now_us)
{
	bool is_dead = r->reason == QUEUE_RECOVERY_DEAD;

	pause(r, r->reason,
		next_pause(r->pause_us, is_dead ? p->dead_first_us : p->pause_first_us,
			is_dead ? p->dead_max_us : p->pause_max_us),
		now_us);
}

static void
refused(struct queue_recovery *r, const struct queue_recovery_policy *p, enum queue_recovery_kind kind,
	uint32_t keep, int64_t now_us)
{
	struct queue_recovery_view v = queue_recovery_view(r, p);

	r->failed = 0;
	if (r->step == QUEUE_RECOVERY_PROBE) {
		/* Refused at next to nothing: that is not about how much full is. */
		if (r->reason == QUEUE_RECOVERY_DEAD)
			r->pause_us = 0;
		r->reason = QUEUE_RECOVERY_REFUSED;
		pause_again(r, p, now_us);
		return;
	}
	r->reason = QUEUE_RECOVERY_REFUSED;
	if (kind == QUEUE_RECOVERY_CROWDED)
		cap_cut(&r->connections, v.connections, keep);
	else
		cap_cut(&r->factor, v.factor, keep);
	/* Refusals in a row are one finding. */
	if (r->patience == 0 || r->is_proven)
		r->patience = (uint8_t)least(
			r->patience == 0 ? PATIENCE_FIRST : r->patience * 2u, QUEUE_RECOVERY_PATIENCE_MAX);
	r->wait = r->patience;
	if (r->step > QUEUE_RECOVERY_FULL || (!r->is_proven && r->changed_us > 0))
		r->step++;
	slowed(r, now_us);
}

static void
failed(struct queue_recovery *r, const struct queue_recovery_policy *p, int64_t now_us)
{
	bool is_probe = r->step == QUEUE_RECOVERY_PROBE;

	if (is_probe && r->reason == QUEUE_RECOVERY_DEAD) {
		pause_again(r, p, now_us);
	} else if (++r->failed >= p->dead_count) {
		r->failed = 0;
		pause(r, QUEUE_RECOVERY_DEAD, p->dead_first_us, now_us);
	} else if (is_probe) {
		/* That says nothing about why it was paused: a short wait, and the next pause is no shorter
		 * for it. */
		int64_t last_us = r->pause_us;

		pause(r, r->reason, p->dead_first_us, now_us);
		r->pause_us = last_us > p->dead_first_us ? last_us : p->dead_first_us;
	} else {
		r->window = r->threshold = window_of(r, p) > 1 ? window_of(r, p) / 2 : 1;
		r->round = 0;
		begin_stretch(r, now_us);
		r->changed_us = now_us;
	}
}

static void
stretch(struct queue_recovery *r, const struct queue_recovery_policy *p, int64_t now_us)
{
	begin_stretch(r, now_us);
	r->is_proven = true;
	if (r->step > QUEUE_RECOVERY_FULL) {
		r->step--;
		return;
	}
	r->pause_us = r->pause_us / 2 >= p->pause_first_us ? r->pause_us / 2 : 0;
	if (r->patience > 0)
		caps_grow(r, p);
	else
		r->reason = QUEUE_RECOVERY_NOTHING;
}

/* One more with each message at first; after a failure, when all of them have taken one. Never past what is
 * allowed now, or a step up would let them all loose at once. */
static void
window_grow(struct queue_recovery *r, const struct queue_recovery_policy *p)
{
	r->window = window_of(r, p);
	r->round++;
	if (r->threshold > 0 && r->window >= r->threshold && r->round < r->window)
		return;
	r->round = 0;
	r->window = least(r->window + 1, allowed(r, p));
}

static void
answered(struct queue_recovery *r, const struct queue_recovery_policy *p, const struct queue_recovery_fact *f,
	int64_t now_us)
{
	r->failed = 0;
	if (r->step == QUEUE_RECOVERY_PAUSED || f->begun_us < r->changed_us)
		return;
	if (r->reason == QUEUE_RECOVERY_DEAD && r->step == QUEUE_RECOVERY_PROBE) {
		r->step = QUEUE_RECOVERY_FULL;
		r->reason = is_free(r) ? QUEUE_RECOVERY_NOTHING : QUEUE_RECOVERY_REFUSED;
		r->threshold = p->connections_start;
		r->pause_us = 0;
		begin_stretch(r, now_us);
	}
	if (f->kind != QUEUE_RECOVERY_GOOD)
		return;
	window_grow(r, p);
	if (++r->good >= p->good_count && now_us - r->since_us >= p->good_us)
		stretch(r, p, now_us);
}

/* --- the outside --- */

/* Whatever the clock did, nothing lies ahead but the end of a pause, and that no further than it was meant.
 */
static void
to_time(struct queue_recovery *r, int64_t now_us)
{
	assert(now_us >= 0);
	if (r->since_us > now_us)
		r->since_us = now_us;
	if (r->changed_us > now_us)
		r->changed_us = now_us;
	if (r->step != QUEUE_RECOVERY_PAUSED)
		return;
	if (r->until_us > queue_retry_add(now_us, r->pause_us))
		r->until_us = queue_retry_add(now_us, r->pause_us);
	if (r->until_us <= now_us) {
		r->step = QUEUE_RECOVERY_PROBE;
		r->changed_us = now_us;
		begin_stretch(r, now_us);
	}
}

static bool
has_changed(const struct queue_recovery *was, const struct queue_recovery *is,
	const struct queue_recovery_policy *p, struct queue_recovery_change *out)
{
	struct queue_recovery_view from = queue_recovery_view(was, p), to = queue_recovery_view(is, p);

	if (from.step == to.step && from.reason == to.reason && from.factor == to.factor &&
		from.until_us == to.until_us && was->connections.now == is->connections.now)
		return false;
	*out = (struct queue_recovery_change){from, to};
	return true;
}

/* Replies that want the same pause and were on their way when the first of them came make it no longer. */
static void
rule(struct queue_recovery *r, const struct queue_recovery_policy *p, const struct queue_recovery_fact *f,
	int64_t now_us)
{
	bool is_late = f->begun_us < r->changed_us;
	int64_t from_us = is_late ? r->changed_us : now_us, until_us = queue_retry_add(from_us, f->pause_us);

	if (r->step < QUEUE_RECOVERY_PROBE && !is_late)
		refused(r, p, QUEUE_RECOVERY_SLOWER, p->keep, now_us);
	r->failed = 0;
	if (until_us > now_us && (r->step != QUEUE_RECOVERY_PAUSED || until_us > r->until_us))
		pause(r, QUEUE_RECOVERY_RULE, until_us - now_us, now_us);
}

bool
queue_recovery_feed(struct queue_recovery *r, const struct queue_recovery_policy *p,
	const struct queue_recovery_fact *f, int64_t now_us, struct queue_recovery_change *out)
{
	const struct queue_recovery was = *r;

	to_time(r, now_us);
	switch (f->kind) {
	case QUEUE_RECOVERY_GOOD:
	case QUEUE_RECOVERY_ANSWERED:
		answered(r, p, f, now_us);
		break;
	case QUEUE_RECOVERY_FAILED:
		if (r->step != QUEUE_RECOVERY_PAUSED && f->begun_us >= r->changed_us)
			failed(r, p, now_us);
		break;
	case QUEUE_RECOVERY_SLOWER:
	case QUEUE_RECOVERY_CROWDED:
		if (r->step != QUEUE_RECOVERY_PAUSED && f->begun_us >= r->changed_us)
			refused(r, p, f->kind, f->keep > 0 ? least(f->keep, WHOLE) : p->keep, now_us);
		break;
	case QUEUE_RECOVERY_PAUSE:
		rule(r, p, f, now_us);
		break;
	}
	return has_changed(&was, r, p, out);
}

bool
queue_recovery_look(struct queue_recovery *r, const struct queue_recovery_policy *p, int64_t now_us,
	struct queue_recovery_change *out)
{
	const struct queue_recovery was = *r;

	to_time(r, now_us);
	return has_changed(&was, r, p, out);
}

int64_t
queue_recovery_next_us(const struct queue_recovery *r)
{
	return r->step == QUEUE_RECOVERY_PAUSED ? r->until_us : INT64_MAX;
}

bool
queue_recovery_clear(
	struct queue_recovery *r, const struct queue_recovery_policy *p, struct queue_recovery_change *out)
{
	const struct queue_recovery was = *r;

	*r = (struct queue_recovery){0};
	return has_changed(&was, r, p, out);
}

void
queue_recovery_shift(struct queue_recovery *r, int64_t step_us)
{
	r->since_us = queue_retry_move(r->since_us, step_us);
	r->changed_us = queue_retry_move(r->changed_us, step_us);
	r->until_us = queue_retry_move(r->until_us, step_us);
}

const char *
queue_recovery_step_text(enum queue_recovery_step step)
{
	static const char *const texts[] = {"full", "half", "quarter", "probe", "paused"};

	assert(step < QUEUE_RECOVERY_STEPS);
	return texts[step];
}

const char *
queue_recovery_reason_text(enum queue_recovery_reason reason)
{
	static const char *const texts[] = {
		"nothing", "the site asked for less", "a rule paused it", "the site does not answer"};

	assert(reason < QUEUE_RECOVERY_REASONS);
	return texts[reason];
}

/* --- the record: version, the seven small fields, the numbers, the times, as they stand in the struct --- */

void
queue_recovery_encode(const struct queue_recovery *r, uint8_t out[QUEUE_RECOVERY_RECORD_BYTES])
{
	const uint8_t small[] = {
		VERSION, r->step, r->reason, r->patience, r->wait, r->waited, r->is_proven, r->is_further};
	const uint32_t numbers[] = {r->window, r->threshold, r->round, r->factor.now, r->factor.refused,
		r->connections.now, r->connections.refused, r->good, r->failed};
	const int64_t times[] = {r->since_us, r->changed_us, r->until_us, r->pause_us};
	uint8_t *p = out;

	for (size_t i = 0; i < sizeof(small); i++)
		p = queue_bytes_write(p, small[i], 1);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		p = queue_bytes_write(p, numbers[i], 4);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		p = queue_bytes_write(p, (uint64_t)times[i], 8);
	assert(p == out + QUEUE_RECOVERY_RECORD_BYTES);
}

static struct queue_recovery_cap
read_cap(struct queue_bytes *b)
{
	struct queue_recovery_cap c;

	c.now = (uint32_t)queue_bytes_read_up_to(b, 4, INT32_MAX);
	c.refused = (uint32_t)queue_bytes_read_up_to(b, 4, INT32_MAX);
	return c;
}

int
queue_recovery_decode(struct queue_blob bytes, struct queue_recovery *out)
{
	struct queue_bytes b = {.p = bytes.ptr, .left = bytes.len};
	struct queue_recovery r;
	uint64_t version = queue_bytes_read(&b, 1);

	if (version > VERSION)
		return QUEUE_EVERSION;
	r.step = (uint8_t)queue_bytes_read_up_to(&b, 1, QUEUE_RECOVERY_STEPS - 1);
	r.reason = (uint8_t)queue_bytes_read_up_to(&b, 1, QUEUE_RECOVERY_REASONS - 1);
	r.patience = (uint8_t)queue_bytes_read_up_to(&b, 1, QUEUE_RECOVERY_PATIENCE_MAX);
	r.wait = (uint8_t)queue_bytes_read_up_to(&b, 1, QUEUE_RECOVERY_PATIENCE_MAX);
	r.waited = (uint8_t)queue_bytes_read_up_to(&b, 1, QUEUE_RECOVERY_PATIENCE_MAX);
	r.is_proven = queue_bytes_read_up_to(&b, 1, 1) == 1;
	r.is_further = queue_bytes_read_up_to(&b, 1, 1) == 1;
	r.window = (uint32_t)queue_bytes_read_up_to(&b, 4, INT32_MAX);
	r.threshold = (uint32_t)queue_bytes_read_up_to(&b, 4, INT32_MAX);
	r.round = (uint32_t)queue_bytes_read(&b, 4);
	r.factor = read_cap(&b);
	r.connections = read_cap(&b);
	r.good = (uint32_t)queue_bytes_read_up_to(&b, 4, INT32_MAX);
	r.failed = (uint32_t)queue_bytes_read_up_to(&b, 4, INT32_MAX);
	r.since_us = queue_bytes_read_time(&b);
	r.changed_us = queue_bytes_read_time(&b);
	r.until_us = queue_bytes_read_time(&b);
	r.pause_us = queue_bytes_read_time(&b);
	if (version < 1 || b.is_bad || b.left != 0)
		return QUEUE_EDAMAGED;
	*out = r;
	return 0;
}
