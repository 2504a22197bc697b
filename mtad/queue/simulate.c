/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic is the schedule's own: here is only a host that never fails and a clock that does not wait.
 *
 * Invariants: the clock never goes back, and jumps no further than the schedule wants to be called; a session
 * has one lease at most (nothing overlaps: the time of a transaction is the time until the next can begin).
 * Messages are made in portions, so that there are always more than connections can take and never as many
 * as are queued; the group of a message is its body.
 */
#include "queue/simulate_impl.h"

#include "queue/operate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	MESSAGES_MAX = 200000, /* in the schedule, over all groups */
	DEPTH_MIN = 32,
	DEPTH_MAX = 4096,
	RCPTS_A_MESSAGE_MAX = 1000,
	DUE_STEPS = 8, /* in which a bucket of due times comes */
	SEED = 2463534242,
};

#define DAY_US (INT64_C(86400) * 1000000)

struct model_route {
	struct queue_blob domain, site;
};
enum model_event_kind { EVENT_READY, EVENT_DONE, EVENT_DUE };
struct model_session {
	struct model_session *prev, *next;
	struct queue_session *session;
	struct queue_lease *lease;
	const struct simulate_row *row;
};
struct model_event {
	int64_t at_us;
	enum model_event_kind kind;
	struct model_session *session; /* READY, DONE */
	struct model_group *group;     /* DUE */
	uint8_t bucket, step;
};

/* --- the queue --- */

struct simulate_queue *
simulate_create(int64_t now_us)
{
	struct simulate_queue *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->now_us = now_us;
	return s;
}

static void
records_free(struct simulate_records *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		free(list->items[i].bytes);
	free(list->items);
}

void
simulate_destroy(struct simulate_queue **sp)
{
	struct simulate_queue *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	records_free(&s->records);
	records_free(&s->notes);
	free(s->groups);
	free(s->rows);
	free(s->pauses);
	free(s);
}

/* Room for one more; NULL: no memory, and what is there stays. */
static void *
grow(void *items, size_t count, size_t *max, size_t bytes)
{
	size_t more = *max > 0 ? *max * 2 : 64;
	void *grown;

	if (count < *max)
		return items;
	if ((grown = reallocarray(items, more, bytes)) != NULL)
		*max = more;
	return grown;
}

bool
simulate_add_group(struct simulate_queue *s, const struct simulate_group *g)
{
	struct simulate_group *grown = grow(s->groups, s->group_count, &s->group_max, sizeof(*grown));

	assert(g->row < s->row_count && g->rcpts_a_message > 0);
	if (grown == NULL)
		return false;
	s->groups = grown;
	s->groups[s->group_count++] = *g;
	return true;
}

bool
simulate_add_row(struct simulate_queue *s, const struct simulate_row *r)
{
	struct simulate_row *grown = grow(s->rows, s->row_count, &s->row_max, sizeof(*grown));

	assert(r->transaction_us > 0 && r->connect_us > 0);
	if (grown == NULL)
		return false;
	s->rows = grown;
	s->rows[s->row_count++] = *r;
	return true;
}

bool
simulate_add_pause(struct simulate_queue *s, const struct simulate_pause *p)
{
	struct simulate_pause *grown = grow(s->pauses, s->pause_count, &s->pause_max, sizeof(*grown));

	if (grown == NULL)
		return false;
	s->pauses = grown;
	s->pauses[s->pause_count++] = *p;
	return true;
}

/* A copy of it, at the end of a list. */
static bool
keep(struct simulate_records *list, struct queue_blob name, struct queue_blob value)
{
	struct simulate_record *grown = grow(list->items, list->count, &list->max, sizeof(*grown));

	if (grown == NULL)
		return false;
	list->items = grown;
	grown += list->count;
	if ((grown->bytes = malloc(name.len + value.len + 1)) == NULL)
		return false;
	if (name.len > 0)
		memcpy(grown->bytes, name.ptr, name.len);
	if (value.len > 0)
		memcpy(grown->bytes + name.len, value.ptr, value.len);
	grown->name_len = name.len;
	grown->len = value.len;
	list->count++;
	return true;
}

bool
simulate_add_record(struct simulate_queue *s, struct queue_blob value)
{
	return keep(&s->records, (struct queue_blob){"", 0}, value);
}

bool
simulate_add_note(struct simulate_queue *s, struct queue_blob name, struct queue_blob value)
{
	return keep(&s->notes, name, value);
}

/* --- events --- */

static bool
is_before(const struct model_event *a, const struct model_event *b)
{
	return a->at_us < b->at_us;
}

static void
event_add(struct model *m, struct model_event e)
{
	struct model_event *grown = grow(m->events, m->event_count, &m->event_max, sizeof(*grown));
	size_t at = m->event_count;

	if (grown == NULL) {
		m->lacks_memory = true;
		return;
	}
	m->events = grown;
	m->event_count++;
	for (; at > 0 && is_before(&e, &m->events[(at - 1) / 2]); at = (at - 1) / 2)
		m->events[at] = m->events[(at - 1) / 2];
	m->events[at] = e;
}

static struct model_event
event_take(struct model *m)
{
	struct model_event first = m->events[0], last = m->events[--m->event_count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < m->event_count) {
		if (child + 1 < m->event_count && is_before(&m->events[child + 1], &m->events[child]))
			child++;
		if (!is_before(&m->events[child], &last))
			break;
		m->events[at] = m->events[child];
		at = child;
	}
	m->events[at] = last;
	return first;
}

static int64_t
event_next_us(const struct model *m)
{
	return m->event_count > 0 ? m->events[0].at_us : INT64_MAX;
}

/* --- mail --- */

static void
add_message(struct model *m, struct model_group *g)
{
	const struct simulate_group *of = g->of;
	uint32_t most = of->rcpts_a_message < RCPTS_A_MESSAGE_MAX ? of->rcpts_a_message : RCPTS_A_MESSAGE_MAX;
	uint32_t count = g->left < most ? (uint32_t)g->left : most, source = 0, i;
	struct queue_sched_rcpt rcpts[RCPTS_A_MESSAGE_MAX];
	struct queue_message meta = {.id = ++m->last_id,
		.arrived_us = m->now_us,
		.body_bytes = of->bytes,
		.sender = of->sender,
		.from_domain = of->from_domain,
		.user = of->user,
		.job = of->job,
		.klass = of->klass};
	struct queue_sched_rcpt rcpt = {.domain = of->domain,
		.pool = settings_pool(&m->settings, of->pool),
		.flags = of->is_strict ? QUEUE_RCPT_UNCERTAIN : 0};

	if (of->source.len > 0 &&
		pace_source_number(m->settings.pace, of->source.ptr, of->source.len, &source))
		rcpt.sticky_source = source + 1;
	for (i = 0; i < count; i++) {
		rcpts[i] = rcpt;
		rcpts[i].n = (uint16_t)i;
	}
	if (queue_sched_add(m->q, &meta, rcpts, count, g, m->now_us) != QUEUE_OK) {
		m->lacks_memory = true;
		return;
	}
	g->left -= count;
	g->queued++;
}

static void
feed(struct model *m, struct model_group *g)
{
	if (g->queued > m->depth / 2)
		return;
	while (g->left > 0 && g->queued < m->depth && !m->lacks_memory)
		add_message(m, g);
}

/* Step n of a bucket: a part of its recipients, at a time between the first and the last. */
static void
await_due(struct model *m, struct model_group *g, uint8_t bucket, uint8_t step)
{
	const struct queue_due_view *d = &g->of->due[bucket];

	if (d->rcpts == 0 || step == DUE_STEPS)
		return;
	event_add(m, (struct model_event){
			     .at_us = d->first_us + (d->last_us - d->first_us) / (DUE_STEPS - 1) * step,
			     .kind = EVENT_DUE,
			     .group = g,
			     .bucket = bucket,
			     .step = step});
}

static void
on_due(struct model *m, const struct model_event *e)
{
	uint64_t all = e->group->of->due[e->bucket].rcpts;

	e->group->left += all * (e->step + 1U) / DUE_STEPS - all * e->step / DUE_STEPS;
	await_due(m, e->group, e->bucket, (uint8_t)(e->step + 1));
	feed(m, e->group);
}

/* --- orders, and what becomes of them --- */

static int
compare_blobs(struct queue_blob a, struct queue_blob b)
{
	int diff = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return diff != 0 ? diff : (a.len > b.len) - (a.len < b.len);
}

static int
compare_routes(const void *a, const void *b)
{
	return compare_blobs(
		((const struct model_route *)a)->domain, ((const struct model_route *)b)->domain);
}

static void
order_resolve(struct model *m, const struct queue_order *o)
{
	const struct model_route key = {.domain = o->domain};
	const struct model_route *found =
		bsearch(&key, m->routes, m->s->group_count, sizeof(key), compare_routes);
	struct queue_route route = {.kind = QUEUE_ROUTE_SITE, .until_us = m->run->until_us + DAY_US};

	assert(found != NULL);
	route.site = found->site;
	if (queue_sched_routed(m->q, o->domain, &route, m->now_us) == QUEUE_ENOMEM)
		m->lacks_memory = true;
}

static void
await_answer(struct model *m, struct model_session *s)
{
	event_add(m, (struct model_event){
			     .at_us = m->now_us + s->row->transaction_us, .kind = EVENT_DONE, .session = s});
}

static const struct simulate_row *
row_of(const struct model *m, const struct queue_lease *l)
{
	const struct model_group *g = queue_lease_body(l);

	return &m->s->rows[g->of->row];
}

static void
order_open(struct model *m, const struct queue_order *o)
{
	struct model_session *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		m->lacks_memory = true;
		return;
	}
	*s = (struct model_session){NULL, m->sessions, o->session, o->lease, row_of(m, o->lease)};
	if (s->next != NULL)
		s->next->prev = s;
	m->sessions = s;
	queue_session_set_user(o->session, s);
	event_add(m, (struct model_event){
			     .at_us = m->now_us + s->row->connect_us, .kind = EVENT_READY, .session = s});
}

static void
order_give(struct model *m, const struct queue_order *o)
{
	struct model_session *s = queue_session_user(o->session);

	assert(s->lease == NULL);
	s->lease = o->lease;
	s->row = row_of(m, o->lease);
	await_answer(m, s);
}

static void
order_close(struct model *m, const struct queue_order *o)
{
	struct model_session *s = queue_session_user(o->session);

	assert(s->lease == NULL);
	queue_sched_session_closed(m->q, o->session, false, 0, (struct queue_blob){"", 0}, m->now_us);
	*(s->prev != NULL ? &s->prev->next : &m->sessions) = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	free(s);
}

/* Out of the schedule; returns the group it was of. */
static struct model_group *
end_lease(struct model *m, struct queue_lease *l, enum queue_verdict_kind kind)
{
	const struct queue_verdict v = {.kind = kind, .signal = QUEUE_SIGNAL_ANSWERED};
	uint32_t count = queue_lease_rcpt_count(l), i;
	struct model_group *g = queue_lease_body(l);
	struct queue_settled out;

	for (i = 0; i < count; i++) {
		queue_sched_settle(m->q, l, i, &v, m->now_us, &out);
		if (out.is_last)
			g->queued--;
	}
	queue_sched_lease_done(m->q, l, m->now_us);
	return g;
}

/* Too old by the settings: a simulation asks how long it would take, so it waits on as if it were fresh. */
static void
order_expire(struct model *m, struct queue_lease *l)
{
	uint32_t count = queue_lease_rcpt_count(l);
	struct model_group *g = end_lease(m, l, QUEUE_VERDICT_EXPIRED);

	g->left += count;
	feed(m, g);
}

/* All of it is gone from the queue, delivered or not. */
static void
settle(struct model *m, struct queue_lease *l, enum queue_verdict_kind kind)
{
	uint32_t count = queue_lease_rcpt_count(l);
	struct model_group *g = end_lease(m, l, kind);
	struct model_row *row = &m->rows[g->of->row];

	assert(row->left >= count);
	row->left -= count;
	m->left -= count;
	if (row->left == 0)
		row->empty_us = m->now_us;
	feed(m, g);
}

static void
on_event(struct model *m, const struct model_event *e)
{
	struct queue_lease *l;

	m->done++;
	switch (e->kind) {
	case EVENT_READY:
		queue_sched_session_ready(m->q, e->session->session, false);
		await_answer(m, e->session);
		return;
	case EVENT_DONE:
		l = e->session->lease;
		e->session->lease = NULL;
		settle(m, l, QUEUE_VERDICT_DELIVERED);
		return;
	case EVENT_DUE:
		on_due(m, e);
		return;
	}
}

/* False: there is none. */
static bool
carry_out_one(struct model *m)
{
	struct queue_order o;

	queue_sched_next(m->q, m->now_us, &o);
	m->done++;
	switch (o.kind) {
	case QUEUE_ORDER_NONE:
		return false;
	case QUEUE_ORDER_RESOLVE:
		order_resolve(m, &o);
		return true;
	case QUEUE_ORDER_OPEN:
		order_open(m, &o);
		return true;
	case QUEUE_ORDER_GIVE:
		order_give(m, &o);
		return true;
	case QUEUE_ORDER_CLOSE:
		order_close(m, &o);
		return true;
	case QUEUE_ORDER_EXPIRE:
		order_expire(m, o.lease);
		return true;
	case QUEUE_ORDER_REJECT:
		settle(m, o.lease, QUEUE_VERDICT_FAILED);
		return true;
	case QUEUE_ORDER_NOTE:
		queue_sched_noted(m->q, o.noting, false, m->now_us);
		return true;
	}
	return false;
}

/* --- the run --- */

static void
note_half(struct model *m)
{
	size_t i;

	m->half_us = m->now_us;
	for (i = 0; i < m->s->row_count; i++)
		m->rows[i].half_left = m->rows[i].left;
}

/* Without memory for an order nothing more is asked: what the schedule holds is destroyed with it. */
static void
go(struct model *m)
{
	const struct simulate_run *run = m->run;
	int64_t next_us;

	while (m->left > 0 && m->done < run->events_max && !m->lacks_memory) {
		while (!m->lacks_memory && m->done < run->events_max && carry_out_one(m))
			;
		if (m->half_us == 0 && m->done >= run->events_max / 2)
			note_half(m);
		next_us = queue_sched_wake_us(m->q);
		if (event_next_us(m) < next_us)
			next_us = event_next_us(m);
		if (m->overrides->next_us < next_us)
			next_us = m->overrides->next_us;
		if (next_us <= m->now_us && event_next_us(m) > m->now_us)
			next_us = m->now_us + 1;
		if (next_us > run->until_us)
			return;
		simulate_sample(m, next_us);
		m->now_us = next_us > m->now_us ? next_us : m->now_us;
		simulate_settings_tick(m);
		while (event_next_us(m) <= m->now_us && !m->lacks_memory) {
			struct model_event e = event_take(m);

			on_event(m, &e);
		}
	}
}

static uint32_t
on_random(void *arg)
{
	struct model *m = arg;

	m->random ^= m->random << 13;
	m->random ^= m->random >> 17;
	m->random ^= m->random << 5;
	return m->random;
}

static void
on_body_unref(void *arg, void *body)
{
}

/* What is known; a source, site or limit that is there no more takes nothing with it. */
static bool
restore(struct model *m)
{
	const struct simulate_queue *s = m->s;
	static const struct queue_blob nothing = {"", 0};
	char at_site[DISPATCH_PAUSE_NAME_MAX + 1 + SIMULATE_NAME_MAX];
	uint32_t source;
	size_t i;

	for (i = 0; i < s->records.count; i++) {
		const struct simulate_record *r = &s->records.items[i];

		if (queue_sched_restore(m->q, (struct queue_blob){r->bytes, r->len}, m->now_us) ==
			QUEUE_ENOMEM)
			return false;
	}
	for (i = 0; i < s->pause_count; i++) {
		const struct simulate_pause *p = &s->pauses[i];
		struct queue_blob name = p->kind == QUEUE_PAUSE_SOURCE ? nothing : p->name;

		if (p->site.len > 0 && name.len + 1 + p->site.len <= sizeof(at_site))
			name = dispatch_at_site(at_site, sizeof(at_site), name, p->site);
		source = 0;
		if (p->kind == QUEUE_PAUSE_SOURCE &&
			!pace_source_number(m->settings.pace, p->name.ptr, p->name.len, &source))
			continue;
		if (queue_sched_pause(m->q, p->kind, name, source, p->until_us, p->reason, m->now_us) ==
			QUEUE_ENOMEM)
			return false;
	}
	return true;
}

static bool
init(struct model *m)
{
	const struct simulate_queue *s = m->s;
	uint32_t share = (uint32_t)(MESSAGES_MAX / (s->group_count + 1));

	m->sched_conf = (struct queue_sched_conf){.random = on_random,
		.body_unref = on_body_unref,
		.arg = m,
		.connections_total = m->run->connections_total};
	m->random = SEED;
	m->now_us = m->sampled_us = s->now_us;
	m->depth = share < DEPTH_MIN ? DEPTH_MIN : share > DEPTH_MAX ? DEPTH_MAX : share;
	m->groups = calloc(s->group_count + 1, sizeof(m->groups[0]));
	m->rows = calloc(s->row_count + 1, sizeof(m->rows[0]));
	m->routes = calloc(s->group_count + 1, sizeof(m->routes[0]));
	return m->groups != NULL && m->rows != NULL && m->routes != NULL && simulate_settings_init(m) &&
	       queue_sched_create(&m->sched_conf, &m->q) == QUEUE_OK && restore(m);
}

static bool
begin_rows(struct model *m)
{
	size_t i;

	for (i = 0; i < m->s->row_count; i++) {
		m->rows[i].empty_us = m->now_us;
		if (m->s->rows[i].is_watched && (m->rows[i].reasons = calloc(SIMULATE_REASONS,
							 sizeof(struct simulate_reason))) == NULL)
			return false;
	}
	return true;
}

static bool
begin(struct model *m)
{
	size_t i;

	if (!begin_rows(m))
		return false;
	for (i = 0; i < m->s->group_count; i++) {
		const struct simulate_group *of = &m->s->groups[i];
		struct model_row *row = &m->rows[of->row];
		struct model_group *g = &m->groups[i];
		uint64_t all = of->ready;
		int b;

		*g = (struct model_group){.of = of, .next = row->groups, .left = of->ready};
		row->groups = g;
		m->routes[i] = (struct model_route){of->domain, of->sites[m->run->side]};
		for (b = 0; b < QUEUE_DUE_BUCKETS; b++) {
			all += of->due[b].rcpts;
			await_due(m, g, (uint8_t)b, 0);
		}
		row->left += all;
		m->left += all;
	}
	qsort(m->routes, m->s->group_count, sizeof(m->routes[0]), compare_routes);
	for (i = 0; i < m->s->group_count; i++)
		feed(m, &m->groups[i]);
	return !m->lacks_memory;
}

static void
tell_row(const struct model *m, const struct model_row *row, struct simulate_result *out)
{
	uint64_t done = row->half_left - row->left;
	bool is_cut = m->left > 0 && m->done >= m->run->events_max;
	__int128 more_us = INT64_MAX;

	simulate_limit(row, &out->limit);
	out->left = row->left;
	out->empty_us = row->empty_us - m->s->now_us;
	out->end = SIMULATE_EMPTY;
	if (row->left == 0)
		return;
	if (is_cut && m->half_us != 0 && done > 0)
		more_us = (__int128)(m->now_us - m->half_us) * row->left / done;
	out->end = m->now_us + more_us <= m->run->until_us ? SIMULATE_RECKONED : SIMULATE_LATER;
	out->empty_us = out->end == SIMULATE_LATER ? 0 : m->now_us + (int64_t)more_us - m->s->now_us;
}

static void
fini(struct model *m)
{
	struct model_session *next;
	size_t i;

	for (; m->sessions != NULL; m->sessions = next) {
		next = m->sessions->next;
		free(m->sessions);
	}
	for (i = 0; m->rows != NULL && i < m->s->row_count; i++)
		free(m->rows[i].reasons);
	if (m->q != NULL)
		queue_sched_destroy(&m->q);
	simulate_settings_fini(m);
	free(m->groups);
	free(m->rows);
	free(m->routes);
	free(m->events);
}

bool
simulate_run(const struct simulate_queue *s, const struct simulate_run *run, struct simulate_result *results,
	struct simulate_summary *out)
{
	struct model m = {.s = s, .run = run};
	bool ok = init(&m) && begin(&m);
	size_t i;

	assert(run->side < SIMULATE_SIDES && run->connections_total > 0);
	for (i = 0; ok && i < s->row_count; i++)
		results[i].rcpts = m.rows[i].left;
	if (ok)
		go(&m);
	ok = ok && !m.lacks_memory;
	for (i = 0; ok && i < s->row_count; i++)
		tell_row(&m, &m.rows[i], &results[i]);
	if (ok)
		*out = (struct simulate_summary){m.done, m.now_us, m.left > 0 && m.done >= run->events_max};
	fini(&m);
	return ok;
}
