/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways and flows: whose mail goes next, and over which sources it may.
 *
 * Fairness. The users of a class take turns, each for as many recipients as it has weight; a message with
 * more recipients than that is paid for by turns left out (a deficit round robin with a quantum of the weight
 * and debts). What a user is let go is shared in the same manner by its streams. A user with one flow on a
 * way has its turns by that flow alone, one with several by a party. Mail without a user is a user's too.
 * Urgent mail goes first, but for one turn in URGENT_RUN + 1 that is left to the others; normal mail leaves
 * one in NORMAL_RUN + 1 to bulk. So no class starves.
 *
 * Sources. The options of a way take turns by weight among those whose lane can take mail: an option that
 * has all its connections at work leaves its turn to the others, or the slowest would hold up all.
 *
 * Invariants: a flow with runnable cells is paused, or it is in the ring of its party, or of its way if it
 * has none, or waits at a gate, and is counted in turn_count. A party whose ring is not empty is in
 * way->turns, or waits at a gate. way->ready is the sum over the rings of its flows that are not paused. An
 * option is in way->able while its lane is able or has not been made; and for a while when it is not, see
 * lane_unable(). A way is in queue_sched.active while it has somebody in turns and in able, unless it waits.
 */
#include "queue_sched_int.h"

#include <assert.h>

enum { URGENT_RUN = 15, NORMAL_RUN = 4 };

/* --- ways --- */

static bool
has_turns(const struct sched_way *way)
{
	int i;

	for (i = 0; i < SCHED_CLASSES; i++)
		if (!queue_link_is_alone(&way->turns[i]))
			return true;
	return false;
}

void
sched_way_kick(struct queue_sched *q, struct sched_way *way, bool at_front)
{
	if (way->waiter.gate != NULL || !has_turns(way) || queue_link_is_alone(&way->able))
		return;
	if (!queue_link_is_alone(&way->turn)) {
		if (!at_front)
			return;
		queue_link_remove(&way->turn);
	}
	if (at_front)
		queue_link_front(&q->active, &way->turn);
	else
		queue_link_back(&q->active, &way->turn);
}

static size_t
options_bytes(uint32_t count)
{
	return count * sizeof(struct sched_option);
}

static void
options_fini(struct queue_sched *q, struct sched_option *options, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		queue_link_remove(&options[i].able);
		sched_option_detach(q, &options[i]);
	}
	if (options != NULL)
		sched_free(q, options, options_bytes(count));
}

/* The sources of a choice: one, or those of a pool. The ring begins with the pool's next in turn, so that a
 * thousand sites with one message each do not all take the first. */
static struct sched_option *
options_create(struct queue_sched *q, struct sched_choice choice, uint32_t *out_count)
{
	struct queue_pool_member one = {.source = choice.source - 1, .weight = 1};
	const struct queue_pool_member *members = &one;
	struct sched_option *options;
	uint32_t count = 1, i;

	if (choice.source == 0) {
		members = q->conf.pools[choice.pool].members;
		count = q->conf.pools[choice.pool].member_count;
	}
	if ((options = sched_alloc(q, options_bytes(count))) == NULL)
		return NULL;
	for (i = 0; i < count; i++) {
		options[i] = (struct sched_option){.source = members[i].source,
			.weight = members[i].weight,
			.credit = members[i].weight};
		queue_link_init(&options[i].able);
		queue_link_init(&options[i].of_lane);
	}
	*out_count = count;
	return options;
}

/* Who begins: as often as its weight says. */
static uint32_t
first_option(struct queue_sched *q, const struct sched_option *options, uint32_t count)
{
	uint64_t sum = 0, at;
	uint32_t i;

	for (i = 0; i < count; i++)
		sum += options[i].weight;
	assert(sum > 0);
	at = q->first_option++ % sum;
	for (i = 0; at >= options[i].weight; i++)
		at -= options[i].weight;
	return i;
}

static void
options_enter(struct queue_sched *q, struct sched_way *way, struct sched_option *options, uint32_t count)
{
	uint32_t first = count > 1 ? first_option(q, options, count) : 0, i;

	way->options = options;
	way->option_count = count;
	for (i = 0; i < count; i++) {
		struct sched_option *o = &options[(first + i) % count];

		o->way = way;
		queue_link_back(&way->able, &o->able);
	}
}

/* The pool has other sources now. Sessions of those that left go when they are idle. */
bool
sched_way_reconfigure(struct queue_sched *q, struct sched_way *way)
{
	struct sched_option *old = way->options;
	uint32_t old_count = way->option_count, count;
	struct sched_option *fresh = options_create(q, way->choice, &count);

	if (fresh == NULL)
		return false;
	options_enter(q, way, fresh, count);
	options_fini(q, old, old_count);
	sched_way_kick(q, way, false);
	return true;
}

static uint64_t
way_hash(const struct sched_site *site, struct sched_choice choice)
{
	return queue_map_mix(site->node.hash, (uint64_t)choice.pool << 32 | choice.source);
}

static struct sched_way *
way_find(const struct queue_sched *q, const struct sched_site *site, struct sched_choice choice)
{
	struct queue_map_node *n = queue_map_find(&q->ways, way_hash(site, choice));

	for (; n != NULL; n = queue_map_find_next(n)) {
		struct sched_way *way = QUEUE_OF(n, struct sched_way, node);

		if (way->site == site && way->choice.pool == choice.pool &&
			way->choice.source == choice.source)
			return way;
	}
	return NULL;
}

static struct sched_way *
way_get(struct queue_sched *q, struct sched_site *site, struct sched_choice choice)
{
	struct sched_way *way = way_find(q, site, choice);
	struct sched_option *options;
	uint32_t count;
	int i;

	if (way != NULL)
		return way;
	if ((way = sched_alloc(q, sizeof(*way))) == NULL)
		return NULL;
	if ((options = options_create(q, choice, &count)) == NULL) {
		sched_free(q, way, sizeof(*way));
		return NULL;
	}
	way->site = site;
	way->choice = choice;
	way->waiter.kind = SCHED_WAITS_WAY;
	queue_link_init(&way->waiter.link);
	queue_link_init(&way->of_site);
	queue_link_init(&way->able);
	queue_link_init(&way->turn);
	for (i = 0; i < SCHED_CLASSES; i++)
		queue_link_init(&way->turns[i]);
	options_enter(q, way, options, count);
	queue_link_back(&site->ways, &way->of_site);
	queue_map_insert(&q->ways, &way->node, way_hash(site, choice));
	return way;
}

void
sched_way_release(struct queue_sched *q, struct sched_way *way)
{
	if (way->flow_count > 0 || way->opening > 0)
		return;
	assert(way->ready == 0 && way->turn_count == 0);
	sched_gate_leave(q, &way->waiter);
	queue_link_remove(&way->turn);
	queue_map_remove(&q->ways, &way->node);
	/* While the site still has the way: it may go with its last lane. */
	options_fini(q, way->options, way->option_count);
	queue_link_remove(&way->of_site);
	sched_site_release(q, way->site);
	sched_free(q, way, sizeof(*way));
}

bool
sched_way_is_paused(const struct queue_sched *q, const struct sched_way *way)
{
	uint32_t i;

	if (way->site->is_paused)
		return true;
	for (i = 0; i < way->option_count; i++)
		if (!sched_source_is_paused(q, way->options[i].source))
			return false;
	return true;
}

bool
sched_way_has_session(const struct sched_way *way)
{
	uint32_t i;

	for (i = 0; i < way->option_count; i++)
		if (way->options[i].lane != NULL && way->options[i].lane->sessions > 0)
			return true;
	return false;
}

/* --- flows --- */

static bool
has_something(const struct sched_flow *f)
{
	return !queue_link_is_alone(&f->cells);
}

/* Of what a user has on a way in one class: its party, or its only flow. */
static uint64_t
party_hash(const struct sched_way *way, const struct sched_stream *s)
{
	return queue_map_mix(way->node.hash, s->user->node.hash + s->klass);
}

static uint64_t
flow_hash(const struct sched_way *way, const struct sched_stream *s)
{
	return queue_map_mix(way->node.hash, s->node.hash);
}

static struct sched_party *
party_find(const struct queue_sched *q, const struct sched_way *way, const struct sched_stream *s)
{
	struct queue_map_node *n = queue_map_find(&q->parties, party_hash(way, s));

	for (; n != NULL; n = queue_map_find_next(n)) {
		struct sched_party *p = QUEUE_OF(n, struct sched_party, node);

		if (p->way == way && p->user == s->user && p->klass == s->klass)
			return p;
	}
	return NULL;
}

/* The only flow of the user of this stream, in its class. */
static struct sched_flow *
only_flow_find(const struct queue_sched *q, const struct sched_way *way, const struct sched_stream *s)
{
	struct queue_map_node *n = queue_map_find(&q->flows, party_hash(way, s));

	for (; n != NULL; n = queue_map_find_next(n)) {
		struct sched_flow *f = QUEUE_OF(n, struct sched_flow, node);

		if (f->way == way && f->party == NULL && f->stream->user == s->user &&
			f->stream->klass == s->klass)
			return f;
	}
	return NULL;
}

static struct sched_flow *
flow_find(const struct queue_sched *q, const struct sched_way *way, const struct sched_stream *s)
{
	struct sched_flow *only = only_flow_find(q, way, s);
	struct queue_map_node *n = queue_map_find(&q->flows, flow_hash(way, s));

	if (only != NULL)
		return only->stream == s ? only : NULL;
	for (; n != NULL; n = queue_map_find_next(n)) {
		struct sched_flow *f = QUEUE_OF(n, struct sched_flow, node);

		if (f->way == way && f->stream == s)
			return f;
	}
	return NULL;
}

struct sched_flow *
sched_flow_find(const struct queue_sched *q, const struct sched_site *site, struct sched_choice choice,
	const struct sched_stream *s)
{
	const struct sched_way *way = way_find(q, site, choice);

	return way != NULL ? flow_find(q, way, s) : NULL;
}

static void
turn_init(struct sched_turn *t, enum sched_waiter_kind kind)
{
	t->waiter.kind = (uint8_t)kind;
	queue_link_init(&t->link);
	queue_link_init(&t->waiter.link);
}

static struct sched_party *
party_create(struct queue_sched *q, struct sched_way *way, const struct sched_stream *s)
{
	struct sched_party *p = sched_alloc(q, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->way = way;
	p->user = s->user;
	p->klass = s->klass;
	queue_link_init(&p->flows);
	turn_init(&p->turn, SCHED_WAITS_PARTY);
	queue_map_insert(&q->parties, &p->node, party_hash(way, s));
	return p;
}

static void
party_release(struct queue_sched *q, struct sched_party *p)
{
	if (p->flow_count > 0)
		return;
	assert(queue_link_is_alone(&p->flows) && queue_link_is_alone(&p->turn.link));
	assert(p->turn.waiter.gate == NULL);
	queue_map_remove(&q->parties, &p->node);
	sched_free(q, p, sizeof(*p));
}

/* Into the ring of its way. */
static void
enter_turns(struct queue_sched *q, struct sched_way *way, uint8_t klass, struct sched_turn *t, bool at_front)
{
	struct queue_link *ring = &way->turns[klass];
	bool is_first_urgent = klass == QUEUE_CLASS_URGENT && queue_link_is_alone(ring);

	queue_link_remove(&t->link);
	if (at_front)
		queue_link_front(ring, &t->link);
	else
		queue_link_back(ring, &t->link);
	/* Lanes may wait for what only urgent mail need not wait for. */
	if (is_first_urgent)
		sched_way_try_lanes(q, way);
	sched_way_kick(q, way, at_front);
}

/* It has something to send again: what was not used before is not saved. */
static void
turn_begins(struct sched_turn *t)
{
	if (t->credit > 0)
		t->credit = 0;
}

/* The flow may go: its party too, unless that waits. A flow that was woken goes at once, for others may take
 * its place at the gate; the party pays for it later. */
static void
flow_enters(struct queue_sched *q, struct sched_flow *f, bool at_front)
{
	struct sched_party *p = f->party;
	bool has_turn;

	if (p == NULL) {
		enter_turns(q, f->way, f->stream->klass, &f->turn, at_front);
		return;
	}
	if (at_front)
		queue_link_front(&p->flows, &f->turn.link);
	else
		queue_link_back(&p->flows, &f->turn.link);
	if (p->turn.waiter.gate != NULL)
		return;
	has_turn = !queue_link_is_alone(&p->turn.link);
	if (at_front && has_turn)
		p->turn.is_on_account = true;
	if (at_front || !has_turn)
		enter_turns(q, f->way, p->klass, &p->turn, at_front);
}

/* The user has a second flow on the way: the first becomes one of a party that has its place and its credit.
 */
static void
join_first(struct queue_sched *q, struct sched_party *p, struct sched_flow *f)
{
	bool has_turn = !queue_link_is_alone(&f->turn.link);

	p->flow_count++;
	p->turn.credit = f->turn.credit;
	f->turn.credit = 0;
	f->party = p;
	queue_map_remove(&q->flows, &f->node);
	queue_map_insert(&q->flows, &f->node, flow_hash(f->way, f->stream));
	if (has_turn) {
		queue_link_front(&f->turn.link, &p->turn.link);
		queue_link_remove(&f->turn.link);
		queue_link_front(&p->flows, &f->turn.link);
	}
}

static struct sched_flow *
flow_create(struct queue_sched *q, struct sched_way *way, struct sched_stream *s)
{
	struct sched_flow *only = only_flow_find(q, way, s), *f = sched_alloc(q, sizeof(*f));
	struct sched_party *p = party_find(q, way, s);

	if (f == NULL)
		return NULL;
	if (only != NULL && (p = party_create(q, way, s)) == NULL) {
		sched_free(q, f, sizeof(*f));
		return NULL;
	}
	if (only != NULL)
		join_first(q, p, only);
	f->way = way;
	f->stream = s;
	f->party = p;
	queue_link_init(&f->cells);
	turn_init(&f->turn, SCHED_WAITS_FLOW);
	f->paused = sched_flow_ask_pauses(q, f);
	way->flow_count++;
	if (p != NULL)
		p->flow_count++;
	queue_map_insert(&q->flows, &f->node, p != NULL ? flow_hash(way, s) : party_hash(way, s));
	return f;
}

struct sched_flow *
sched_flow_get(
	struct queue_sched *q, struct sched_site *site, struct sched_choice choice, struct sched_stream *s)
{
	struct sched_way *way = way_get(q, site, choice);
	struct sched_flow *f;

	if (way == NULL)
		return NULL;
	if ((f = flow_find(q, way, s)) == NULL && (f = flow_create(q, way, s)) == NULL)
		sched_way_release(q, way);
	return f;
}

void
sched_flow_release(struct queue_sched *q, struct sched_flow *f)
{
	struct sched_way *way = f->way;

	if (f->cell_count > 0)
		return;
	sched_gate_release(q, &f->warm_gate);
	assert(!has_something(f) && f->turn.waiter.gate == NULL && queue_link_is_alone(&f->turn.link));
	queue_map_remove(&q->flows, &f->node);
	if (f->party != NULL) {
		f->party->flow_count--;
		party_release(q, f->party);
	}
	sched_free(q, f, sizeof(*f));
	way->flow_count--;
	sched_way_release(q, way);
}

/* Nothing to send on this way: its lanes wait for nothing. */
static void
way_rests(struct queue_sched *q, struct sched_way *way)
{
	uint32_t i;

	sched_gate_leave(q, &way->waiter);
	queue_link_remove(&way->turn);
	for (i = 0; i < way->option_count; i++)
		if (way->options[i].lane != NULL)
			sched_lane_rests(q, way->options[i].lane);
}

static void
turn_ends(struct queue_sched *q, struct sched_turn *t)
{
	sched_gate_leave(q, &t->waiter);
	queue_link_remove(&t->link);
	t->is_on_account = false;
}

/* It has something to send, and is not paused. */
static void
flow_goes(struct queue_sched *q, struct sched_flow *f)
{
	sched_flow_count(f, f->ready);
	turn_begins(&f->turn);
	if (f->party != NULL && queue_link_is_alone(&f->party->flows))
		turn_begins(&f->party->turn);
	f->way->turn_count++;
	flow_enters(q, f, false);
}

static void
flow_rests(struct queue_sched *q, struct sched_flow *f)
{
	struct sched_way *way = f->way;

	assert(way->ready >= f->ready);
	sched_flow_count(f, -(int64_t)f->ready);
	turn_ends(q, &f->turn);
	if (f->party != NULL && queue_link_is_alone(&f->party->flows))
		turn_ends(q, &f->party->turn);
	if (--way->turn_count == 0)
		way_rests(q, way);
}

void
sched_flow_pause(struct queue_sched *q, struct sched_flow *f, uint16_t paused)
{
	bool was_paused = f->paused != 0;

	f->paused = paused;
	if (was_paused == (paused != 0) || !has_something(f))
		return;
	if (was_paused)
		flow_goes(q, f);
	else
		flow_rests(q, f);
}

void
sched_flow_ready(struct queue_sched *q, struct sched_flow *f, int by)
{
	f->ready += (uint32_t)by;
	if (f->paused != 0)
		return;
	sched_flow_count(f, by);
	if (by > 0)
		sched_way_kick(q, f->way, false);
}

void
sched_flow_start(struct queue_sched *q, struct sched_cell *cell)
{
	struct sched_flow *f = cell->flow;
	bool was_empty = !has_something(f);

	queue_link_back(&f->cells, &cell->ring);
	if (!was_empty) {
		sched_flow_ready(q, f, (int)cell->counts[SCHED_READY]);
		return;
	}
	assert(f->ready == 0);
	f->ready = cell->counts[SCHED_READY];
	if (f->paused == 0)
		flow_goes(q, f);
}

void
sched_flow_stop(struct queue_sched *q, struct sched_cell *cell)
{
	struct sched_flow *f = cell->flow;

	assert(f->ready >= cell->counts[SCHED_READY]);
	queue_link_remove(&cell->ring);
	if (f->paused == 0 && !has_something(f))
		flow_rests(q, f);
	else if (f->paused == 0)
		sched_flow_count(f, -(int64_t)cell->counts[SCHED_READY]);
	f->ready -= cell->counts[SCHED_READY];
}

void
sched_flow_wake(struct queue_sched *q, struct sched_flow *f)
{
	flow_enters(q, f, true);
}

void
sched_party_wake(struct queue_sched *q, struct sched_party *p)
{
	enter_turns(q, p->way, p->klass, &p->turn, true);
}

/* --- whose turn --- */

static bool
is_party(const struct sched_turn *t)
{
	return t->waiter.kind == SCHED_WAITS_PARTY;
}

static struct sched_flow *
flow_of(struct sched_turn *t)
{
	return QUEUE_OF(t, struct sched_flow, turn);
}

static struct sched_party *
party_of(struct sched_turn *t)
{
	return QUEUE_OF(t, struct sched_party, turn);
}

/* An only flow has its turns as its user. */
static uint32_t
weight_of(struct sched_turn *t)
{
	if (is_party(t))
		return party_of(t)->user->weight;
	return flow_of(t)->party != NULL ? flow_of(t)->stream->weight : flow_of(t)->stream->user->weight;
}

/* True: the gate is shut, and it waits there now. */
static bool
waits_at(struct queue_sched *q, struct sched_turn *t, struct sched_gate *g, uint8_t klass)
{
	bool is_urgent = klass == QUEUE_CLASS_URGENT;

	if (sched_gate_lets(q, g, SCHED_WANT_MAIL, is_urgent))
		return false;
	queue_link_remove(&t->link);
	sched_gate_wait(q, g, &t->waiter, SCHED_WANT_MAIL, is_urgent);
	return true;
}

/* Its stream, user or sender domain is at a limit. */
static bool
turn_waits(struct queue_sched *q, struct sched_turn *t)
{
	const struct sched_stream *s;

	if (is_party(t))
		return waits_at(q, t, party_of(t)->user->gate, party_of(t)->klass);
	s = flow_of(t)->stream;
	return waits_at(q, t, s->gate, s->klass) || waits_at(q, t, flow_of(t)->warm_gate, s->klass) ||
	       (flow_of(t)->party == NULL && waits_at(q, t, s->user->gate, s->klass));
}

/* A visit gives the weight; who is in debt is passed over. */
static bool
has_credit(const struct queue_link *ring, struct sched_turn *t)
{
	if (t->credit > 0 || t->is_on_account)
		return true;
	if (ring->next == ring->prev)
		t->credit = 0; /* alone: nobody to wait for */
	t->credit += weight_of(t);
	return t->credit > 0;
}

/* The first that may go, of a ring of flows and parties. */
static struct sched_flow *
next_of_ring(struct queue_sched *q, struct queue_link *ring)
{
	struct sched_flow *f;

	while (!queue_link_is_alone(ring)) {
		struct sched_turn *t = QUEUE_OF(ring->next, struct sched_turn, link);

		if (turn_waits(q, t))
			continue;
		if (!has_credit(ring, t)) {
			queue_link_remove(&t->link);
			queue_link_back(ring, &t->link);
			continue;
		}
		/* One level deeper and no more: the ring of a party has only flows. */
		if ((f = is_party(t) ? next_of_ring(q, &party_of(t)->flows) : flow_of(t)) != NULL)
			return f;
		t->is_on_account = false;
		queue_link_remove(&t->link); /* all of them wait */
	}
	return NULL;
}

struct sched_flow *
sched_flow_urgent(struct queue_sched *q, struct sched_way *way)
{
	return next_of_ring(q, &way->turns[QUEUE_CLASS_URGENT]);
}

struct sched_flow *
sched_flow_other(struct queue_sched *q, struct sched_way *way)
{
	bool bulk_first = way->normal_run >= NORMAL_RUN;
	enum queue_class first = bulk_first ? QUEUE_CLASS_BULK : QUEUE_CLASS_NORMAL;
	enum queue_class second = bulk_first ? QUEUE_CLASS_NORMAL : QUEUE_CLASS_BULK;
	struct sched_flow *f = next_of_ring(q, &way->turns[first]);

	return f != NULL ? f : next_of_ring(q, &way->turns[second]);
}

bool
sched_way_prefers_urgent(const struct sched_way *way)
{
	return way->urgent_run < URGENT_RUN;
}

static void
turn_served(struct queue_link *ring, struct sched_turn *t, uint32_t rcpts)
{
	t->credit -= rcpts;
	t->is_on_account = false;
	if (t->credit > 0 || queue_link_is_alone(&t->link))
		return;
	queue_link_remove(&t->link);
	queue_link_back(ring, &t->link);
}

void
sched_flow_served(struct queue_sched *q, struct sched_flow *f, uint32_t rcpts)
{
	struct sched_way *way = f->way;
	enum queue_class klass = (enum queue_class)f->stream->klass;

	if (klass == QUEUE_CLASS_URGENT)
		way->urgent_run += way->urgent_run < URGENT_RUN;
	else
		way->urgent_run = 0;
	if (klass == QUEUE_CLASS_NORMAL)
		way->normal_run += way->normal_run < NORMAL_RUN;
	else if (klass == QUEUE_CLASS_BULK)
		way->normal_run = 0;
	if (f->party == NULL) {
		turn_served(&way->turns[klass], &f->turn, rcpts);
		return;
	}
	turn_served(&f->party->flows, &f->turn, rcpts);
	turn_served(&way->turns[klass], &f->party->turn, rcpts);
}
