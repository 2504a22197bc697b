/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must survive the process, as notes in the spool: the windows of limits, and what lanes have learned.
 *
 *   "pace/" letter name (cut, with a hash, where it is too long for a key), value:
 *   u8 version  u8 kind  u16 length  name, then
 *   warm   record of queue_warmup
 *   gate   u8 level  u8 count  { u8 unit  i64 window length  i64 begin  i64 used } ...
 *   guard  record of queue_guard; the name begins with the kind of pause, a digit
 *   lane   i64 profile until  u8 length  profile  u16 length  why  record of queue_recovery
 * A name is two with a zero between them. An empty value: nothing any more.
 */
#include "queue_bytes.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <string.h>

enum {
	VERSION = 1,
	KEY_NAME_MAX = 170,
	HASH_DIGITS = 16,
	METERS_MAX = 32,
	PROFILE_NAME_MAX = 200,
	WHY_MAX = 200,
};
static const char level_letters[QUEUE_LEVEL_COUNT + 1] = "lsaptugfw";
static const char lane_letter = 'r', guard_letter = 'b';

/* --- the key --- */

static struct queue_blob
note_key(struct queue_sched *q, char letter, struct queue_blob name)
{
	static const char prefix[] = QUEUE_SCHED_NOTES, digits[] = "0123456789abcdef";
	size_t len = sizeof(prefix) - 1, kept = name.len, i;
	uint64_t hash = queue_map_hash(0, name);

	if (kept > KEY_NAME_MAX)
		kept = KEY_NAME_MAX - HASH_DIGITS;
	memcpy(q->note_key, prefix, len);
	q->note_key[len++] = letter;
	memcpy(q->note_key + len, name.ptr, kept);
	len += kept;
	for (i = 0; kept < name.len && i < HASH_DIGITS; i++)
		q->note_key[len++] = digits[hash >> 4 * i & 15];
	return (struct queue_blob){q->note_key, len};
}

/* --- writing --- */

static uint8_t *
put_text(uint8_t *p, int len_bytes, struct queue_blob text)
{
	p = queue_bytes_write(p, text.len, len_bytes);
	if (text.len > 0)
		memcpy(p, text.ptr, text.len);
	return p + text.len;
}

static struct queue_blob
cut(struct queue_blob b, size_t max)
{
	return (struct queue_blob){b.ptr, b.len < max ? b.len : max};
}

static uint8_t *
put_head(struct queue_sched *q, enum sched_note_kind kind, struct queue_blob name)
{
	uint8_t *p = queue_bytes_write(q->note_value, VERSION, 1);

	return put_text(queue_bytes_write(p, kind, 1), 2, name);
}

static struct queue_blob
value_to(const struct queue_sched *q, const uint8_t *end)
{
	assert(end <= q->note_value + sizeof(q->note_value));
	return (struct queue_blob){q->note_value, (size_t)(end - q->note_value)};
}

static struct queue_blob
gate_value(struct queue_sched *q, const struct sched_gate *g, bool is_now)
{
	uint8_t *p = put_head(q, SCHED_NOTE_GATE, (struct queue_blob){g->name, g->name_len}), *count;
	uint32_t i;

	p = queue_bytes_write(p, g->level, 1);
	count = p;
	p = queue_bytes_write(p, 0, 1);
	for (i = 0; i < g->meter_count; i++) {
		const struct queue_meter *m = &g->meters[i];

		if (!queue_rate_is_long(&m->rate) || queue_meter_over_us(m) <= q->now_us)
			continue;
		p = queue_bytes_write(p, m->unit, 1);
		p = queue_bytes_write(p, (uint64_t)m->rate.per_us, 8);
		p = queue_bytes_write(p, (uint64_t)m->at_us, 8);
		p = queue_bytes_write(p, (uint64_t)(is_now ? m->used : m->asked), 8);
		++*count;
	}
	return value_to(q, p);
}

/* Into buf, which has room for two names. */
static struct queue_blob
lane_name(const struct queue_sched *q, const struct queue_lane *lane, char buf[2 * SCHED_NAME_MAX])
{
	struct queue_blob source = cut(sched_source_name(q, lane->source), SCHED_NAME_MAX - 1);
	size_t len = lane->site->name_len;

	memcpy(buf, lane->site->name, len);
	buf[len++] = '\0';
	if (source.len > 0)
		memcpy(buf + len, source.ptr, source.len);
	return (struct queue_blob){buf, len + source.len};
}

static struct queue_blob
lane_value(struct queue_sched *q, const struct queue_lane *lane)
{
	const struct queue_profile *profile = lane->profile;
	char name[2 * SCHED_NAME_MAX];
	uint8_t *p = put_head(q, SCHED_NOTE_LANE, lane_name(q, lane, name));

	p = queue_bytes_write(p, (uint64_t)lane->profile_until_us, 8);
	p = put_text(
		p, 1, profile != NULL ? cut(profile->name, PROFILE_NAME_MAX) : (struct queue_blob){"", 0});
	p = put_text(p, 2, cut(sched_text_blob(lane->why), WHY_MAX));
	queue_recovery_encode(&lane->recovery, p);
	return value_to(q, p + QUEUE_RECOVERY_RECORD_BYTES);
}

static struct queue_blob
warm_value(struct queue_sched *q, struct sched_gate *g, bool is_last)
{
	uint8_t *p = put_head(q, SCHED_NOTE_WARM, (struct queue_blob){g->name, g->name_len});

	assert(p + QUEUE_WARMUP_RECORD_MAX <= q->note_value + sizeof(q->note_value));
	return value_to(q, p + queue_warmup_encode(g->warm, is_last, p));
}

/* Into buf, which has room for three names. */
static struct queue_blob
guard_name(const struct sched_guard *g, char buf[3 * SCHED_NAME_MAX])
{
	assert(g->name_len < 3 * SCHED_NAME_MAX);
	buf[0] = (char)('0' + g->kind);
	memcpy(buf + 1, g->name, g->name_len);
	return (struct queue_blob){buf, g->name_len + 1U};
}

static struct queue_blob
guard_value(struct queue_sched *q, const struct sched_guard *g)
{
	char name[3 * SCHED_NAME_MAX];
	uint8_t *p = put_head(q, SCHED_NOTE_GUARD, guard_name(g, name));

	queue_guard_encode(&g->guard, p);
	return value_to(q, p + QUEUE_GUARD_RECORD_BYTES);
}

/* --- as it stands --- */

struct queue_blob
sched_note_gate_now(struct queue_sched *q, const struct sched_gate *g)
{
	struct queue_warmup warm;
	uint8_t *p;

	if (g->warm == NULL)
		return sched_gate_is_spent(q, g) ? (struct queue_blob){"", 0} : gate_value(q, g, true);
	if (g->warm->day == QUEUE_WARMUP_NO_DAY)
		return (struct queue_blob){"", 0};
	/* Encoding takes down what was asked of the disk; here nothing is. */
	warm = *g->warm;
	warm.is_storing = false;
	p = put_head(q, SCHED_NOTE_WARM, (struct queue_blob){g->name, g->name_len});
	return value_to(q, p + queue_warmup_encode(&warm, true, p));
}

struct queue_blob
sched_note_lane_now(struct queue_sched *q, const struct queue_lane *lane)
{
	return sched_lane_is_learned(lane) ? lane_value(q, lane) : (struct queue_blob){"", 0};
}

struct queue_blob
sched_note_guard_now(struct queue_sched *q, const struct sched_guard *g)
{
	return sched_guard_is_over(q, g) ? (struct queue_blob){"", 0} : guard_value(q, g);
}

/* --- orders --- */

static bool
order_gate(struct queue_sched *q, struct sched_gate *g, struct queue_order *out)
{
	bool is_end = g->refs == 0 && g->warm == NULL && sched_gate_is_spent(q, g);

	if (!is_end && !sched_gate_ask(q, g))
		return false;
	g->noting.is_removal = is_end;
	out->note = note_key(q, level_letters[g->level], (struct queue_blob){g->name, g->name_len});
	if (g->warm != NULL)
		out->value = warm_value(q, g, false);
	else
		out->value = is_end ? (struct queue_blob){"", 0} : gate_value(q, g, false);
	return true;
}

static bool
order_lane(struct queue_sched *q, struct queue_lane *lane, struct queue_order *out)
{
	bool is_end = !sched_lane_is_learned(lane);
	char name[2 * SCHED_NAME_MAX];

	if (is_end && !lane->noting.is_on_disk)
		return false;
	lane->noting.is_removal = is_end;
	out->note = note_key(q, lane_letter, lane_name(q, lane, name));
	out->value = is_end ? (struct queue_blob){"", 0} : lane_value(q, lane);
	return true;
}

static bool
order_guard(struct queue_sched *q, struct sched_guard *g, struct queue_order *out)
{
	bool is_end = sched_guard_is_over(q, g);
	char name[3 * SCHED_NAME_MAX];

	if (is_end && !g->noting.is_on_disk)
		return false;
	g->noting.is_removal = is_end;
	out->note = note_key(q, guard_letter, guard_name(g, name));
	out->value = is_end ? (struct queue_blob){"", 0} : guard_value(q, g);
	return true;
}

static bool
order_of(struct queue_sched *q, struct queue_noting *n, struct queue_order *out)
{
	if (n->kind == SCHED_NOTE_GATE)
		return order_gate(q, QUEUE_OF(n, struct sched_gate, noting), out);
	if (n->kind == SCHED_NOTE_GUARD)
		return order_guard(q, QUEUE_OF(n, struct sched_guard, noting), out);
	return order_lane(q, QUEUE_OF(n, struct queue_lane, noting), out);
}

void
sched_note_want(struct queue_sched *q, struct queue_noting *n)
{
	if (!n->is_under_way && queue_link_is_alone(&n->link))
		queue_link_back(&q->unwritten, &n->link);
}

bool
sched_note_next(struct queue_sched *q, struct queue_order *out)
{
	while (!queue_link_is_alone(&q->unwritten)) {
		struct queue_noting *n = QUEUE_OF(q->unwritten.next, struct queue_noting, link);
		bool is_order = order_of(q, n, out);

		queue_link_remove(&n->link);
		if (!is_order) {
			if (n->kind == SCHED_NOTE_LANE)
				sched_lane_release(q, QUEUE_OF(n, struct queue_lane, noting));
			continue;
		}
		n->is_under_way = n->is_on_disk = true;
		n->is_again = false;
		out->kind = QUEUE_ORDER_NOTE;
		out->noting = n;
		return true;
	}
	return false;
}

/* What was asked for ahead and is not used is given back. */
static bool
settle_meters(struct queue_sched *q, struct sched_gate *g)
{
	bool any = false;
	uint32_t i;

	for (i = 0; i < g->meter_count; i++) {
		struct queue_meter *m = &g->meters[i];

		if (!queue_rate_is_long(&m->rate) || queue_meter_over_us(m) <= q->now_us ||
			m->asked <= m->used)
			continue;
		m->asked = m->written = m->used;
		any = true;
	}
	return any;
}

void
queue_sched_last_notes(struct queue_sched *q, queue_sched_visit_note *visit, void *arg, int64_t now_us)
{
	struct queue_map_node *n;

	sched_clock(q, now_us);
	for (n = queue_map_each(&q->gates, NULL); n != NULL; n = queue_map_each(&q->gates, n)) {
		struct sched_gate *g = QUEUE_OF(n, struct sched_gate, node);
		const struct queue_blob name = {g->name, g->name_len};

		if (g->warm != NULL)
			visit(arg, note_key(q, level_letters[g->level], name), warm_value(q, g, true));
		else if (settle_meters(q, g))
			visit(arg, note_key(q, level_letters[g->level], name), gate_value(q, g, false));
	}
}

void
queue_sched_noted(struct queue_sched *q, struct queue_noting *take_noting, bool failed, int64_t now_us)
{
	struct queue_noting *n = take_noting;

	sched_clock(q, now_us);
	assert(n->is_under_way);
	n->is_under_way = false;
	if (n->is_removal && !failed)
		n->is_on_disk = false;
	if (n->kind == SCHED_NOTE_GATE) {
		sched_gate_noted(q, QUEUE_OF(n, struct sched_gate, noting), failed);
		return;
	}
	if (n->kind == SCHED_NOTE_GUARD) {
		sched_guard_noted(q, QUEUE_OF(n, struct sched_guard, noting), failed);
		return;
	}
	if (failed || n->is_again)
		sched_note_want(q, n);
	sched_lane_release(q, QUEUE_OF(n, struct queue_lane, noting));
}

/* --- reading --- */

static struct queue_blob
get_text(struct queue_bytes *r, int len_bytes)
{
	size_t len = (size_t)queue_bytes_read_up_to(r, len_bytes, r->left);
	struct queue_blob text = {r->p, len};

	if (len > r->left)
		r->is_bad = true;
	if (r->is_bad)
		return (struct queue_blob){"", 0};
	r->p += len;
	r->left -= len;
	return text;
}

static void
split_name(struct queue_bytes *r, struct queue_blob name, struct queue_blob *out_a, struct queue_blob *out_b)
{
	const char *zero = name.len > 0 ? memchr(name.ptr, '\0', name.len) : NULL;

	*out_a = *out_b = (struct queue_blob){"", 0};
	if (zero == NULL) {
		r->is_bad = true;
		return;
	}
	*out_a = (struct queue_blob){name.ptr, (size_t)(zero - (const char *)name.ptr)};
	*out_b = (struct queue_blob){zero + 1, name.len - out_a->len - 1};
}

/* The rate is not known, only its window: as much as was used, until the settings say more. */
static void
get_meter(struct queue_bytes *r, struct queue_meter *m, int64_t now_us)
{
	enum queue_unit unit = (enum queue_unit)queue_bytes_read_up_to(r, 1, QUEUE_UNIT_COUNT - 1);
	struct queue_rate rate = {.count = 1, .per_us = queue_bytes_read_time(r)};
	int64_t at_us = queue_bytes_read_time(r), used = queue_bytes_read_time(r);

	if (!queue_rate_is_long(&rate))
		r->is_bad = true;
	if (r->is_bad)
		return;
	queue_meter_init(m, unit, rate);
	queue_meter_restore(m, at_us, used, now_us);
}

/* Gates of sources, pools and of all are there before their notes, with the meters of the settings. */
static int
restore_into(struct queue_sched *q, struct sched_gate *g, const struct queue_meter *meters, uint32_t count)
{
	uint32_t i, k;

	if (g->noting.is_on_disk)
		return QUEUE_EINVAL;
	g->noting.is_on_disk = true;
	for (i = 0; i < count; i++)
		for (k = 0; k < g->meter_count; k++)
			if (g->meters[k].unit == meters[i].unit &&
				g->meters[k].rate.per_us == meters[i].rate.per_us)
				queue_meter_restore(
					&g->meters[k], meters[i].at_us, meters[i].used, q->now_us);
	return QUEUE_OK;
}

static int
restore_gate(struct queue_sched *q, struct queue_bytes *r, struct queue_blob a, struct queue_blob b)
{
	enum queue_level level = (enum queue_level)queue_bytes_read_up_to(r, 1, QUEUE_LEVEL_COUNT - 1);
	uint32_t count = (uint32_t)queue_bytes_read_up_to(r, 1, METERS_MAX), i;
	struct queue_meter meters[METERS_MAX];
	struct sched_gate *g;

	for (i = 0; i < count; i++)
		get_meter(r, &meters[i], q->now_us);
	if (r->is_bad || r->left > 0)
		return QUEUE_EDAMAGED;
	if ((g = sched_gate_find(q, level, a, b)) != NULL)
		return restore_into(q, g, meters, count);
	if ((g = sched_gate_restore(q, level, a, b, count)) == NULL)
		return QUEUE_ENOMEM;
	for (i = 0; i < count; i++)
		g->meters[i] = meters[i];
	g->noting.is_on_disk = true;
	sched_gate_retire(q, g);
	return QUEUE_OK;
}

static int
restore_lane(struct queue_sched *q, struct queue_bytes *r, struct queue_blob site, struct queue_blob source)
{
	int64_t profile_until_us = queue_bytes_read_time(r);
	struct queue_blob profile = get_text(r, 1), why = get_text(r, 2);
	struct queue_recovery recovery;
	struct queue_lane *lane;
	int err;

	if (r->is_bad || r->left != QUEUE_RECOVERY_RECORD_BYTES)
		return QUEUE_EDAMAGED;
	if ((err = queue_recovery_decode((struct queue_blob){r->p, r->left}, &recovery)) < 0)
		return err;
	if ((lane = sched_lane_of_names(q, site, source)) == NULL)
		return QUEUE_EINVAL;
	lane->recovery = recovery;
	lane->noting.is_on_disk = true;
	sched_text_set(q, &lane->why, why);
	sched_lane_learned(q, lane, profile, profile_until_us);
	return QUEUE_OK;
}

int
queue_sched_restore(struct queue_sched *q, struct queue_blob value, int64_t now_us)
{
	struct queue_bytes r = {.p = value.ptr, .left = value.len};
	struct queue_blob name, a, b;
	uint64_t version, kind;

	sched_clock(q, now_us);
	version = queue_bytes_read(&r, 1);
	kind = queue_bytes_read_up_to(&r, 1, SCHED_NOTE_GUARD);
	name = get_text(&r, 2);
	split_name(&r, name, &a, &b);
	if (r.is_bad || version != VERSION)
		return r.is_bad ? QUEUE_EDAMAGED : QUEUE_EVERSION;
	if (kind == SCHED_NOTE_GUARD)
		return sched_guard_restore(q, name, (struct queue_blob){r.p, r.left});
	if (kind == SCHED_NOTE_WARM)
		return sched_warm_restore(q, a, b, (struct queue_blob){r.p, r.left});
	return kind == SCHED_NOTE_GATE ? restore_gate(q, &r, a, b) : restore_lane(q, &r, a, b);
}
