/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for operators. Nothing here changes the schedule; sums are taken from the cells when asked for, so
 * that the way of the mail does not pay for them.
 */
#include "queue_sched_int.h"

#include <assert.h>

/* A table may be asked for each second, and a cell may have a million that wait. */
enum { WAITING_SCAN = 4096 };

static int64_t
due_us(struct queue_link *l)
{
	return QUEUE_OF(l, struct sched_rcpt, link)->due_us;
}

/* The earliest of the waiting; looked for only when the one known has gone, and from both ends: at the front
 * are those that have waited longest, at the back those that came last. */
int64_t
sched_cell_next_us(struct sched_cell *cell)
{
	struct queue_link *list = &cell->lists[SCHED_WAITING], *front = list->next, *back = list->prev;
	int i;

	if (cell->counts[SCHED_WAITING] == 0 || cell->next_due_us != 0)
		return cell->counts[SCHED_WAITING] == 0 ? INT64_MAX : cell->next_due_us;
	cell->next_due_us = INT64_MAX;
	for (i = 0; i < WAITING_SCAN && front != list; i++, front = front->next, back = back->prev) {
		if (due_us(front) < cell->next_due_us)
			cell->next_due_us = due_us(front);
		if (due_us(back) < cell->next_due_us)
			cell->next_due_us = due_us(back);
	}
	return cell->next_due_us;
}

static int64_t
earlier(int64_t oldest_us, const struct queue_link *ages)
{
	int64_t arrived_us;

	if (queue_link_is_alone(ages))
		return oldest_us;
	arrived_us = sched_message_of(QUEUE_OF(ages->next, struct sched_rcpt, age))->arrived_us;
	return arrived_us < oldest_us ? arrived_us : oldest_us;
}

static int64_t
domain_oldest_us(const struct sched_domain *d)
{
	int64_t oldest_us = INT64_MAX;
	int i;

	for (i = 0; i < 2; i++)
		oldest_us = earlier(earlier(oldest_us, &d->ages[i]), &d->timed_ages[i]);
	return oldest_us;
}

uint64_t
sched_walk_next(const struct queue_map *m, uint64_t at)
{
	uint64_t bit;

	/* Counts from the highest bit downwards. When the table doubles, a bucket becomes two that follow
	 * each other in this order; so the buckets that were visited stay those before `at`. */
	for (bit = (m->mask + 1) / 2; (at & bit) != 0; bit /= 2)
		at &= ~bit;
	return at | bit;
}

/* Ready, but a pause or a missing route keeps it: as queue_view.state says it of one recipient. */
static void
add_ready(const struct queue_sched *q, const struct sched_cell *cell, struct queue_domain_view *out)
{
	uint64_t ready = cell->counts[SCHED_READY];

	out->ready += ready;
	if (sched_cell_is_paused(q, cell))
		out->paused += ready;
	else if (cell->flow == NULL)
		out->unrouted += ready;
	else if (ready > 0 && sched_stream_is_used_up(q, cell->stream))
		out->quota += ready;
}

static void
domain_view(const struct queue_sched *q, const struct sched_domain *d, struct queue_domain_view *out)
{
	struct queue_link *c;

	*out = (struct queue_domain_view){
		.domain = {d->name, d->name_len},
		.site = {d->site != NULL ? d->site->name : "", d->site != NULL ? d->site->name_len : 0},
		.why = sched_text_blob(d->why),
		.next_us = INT64_MAX,
		.oldest_us = domain_oldest_us(d),
		.last_reply = sched_text_blob(d->reply),
		.last_code = d->reply_code,
		.is_paused = d->is_paused || (d->site != NULL && d->site->is_paused),
		.is_resolving = d->is_resolving,
	};
	for (c = d->cells.next; c != &d->cells; c = c->next) {
		struct sched_cell *cell = QUEUE_OF(c, struct sched_cell, of_domain);

		add_ready(q, cell, out);
		out->waiting += cell->counts[SCHED_WAITING];
		out->leased += cell->counts[SCHED_LEASED];
		out->held += cell->counts[SCHED_HELD];
		if (sched_cell_next_us(cell) < out->next_us)
			out->next_us = sched_cell_next_us(cell);
	}
	if (out->waiting == 0)
		out->next_us = 0;
	if (out->oldest_us == INT64_MAX)
		out->oldest_us = 0;
}

bool
queue_sched_domain_find(struct queue_sched *q, struct queue_blob domain, struct queue_domain_view *out)
{
	const struct sched_domain *d = sched_domain_find(q, domain);

	if (d == NULL)
		return false;
	domain_view(q, d, out);
	return true;
}

void
sched_walk_table(const struct queue_map *m, struct queue_walk *walk,
	bool (*show)(void *arg, struct queue_map_node *n), void *arg)
{
	struct queue_map_node *n;
	uint32_t left = walk->limit;

	do {
		for (n = m->buckets[walk->at & m->mask]; n != NULL; n = n->next)
			if (!show(arg, n)) {
				walk->is_end = true;
				return;
			}
		walk->at = sched_walk_next(m, walk->at);
	} while (walk->at != 0 && --left > 0);
	walk->is_end = walk->at == 0;
}

/* The view of a node is made and shown. */
struct viewer {
	struct queue_sched *q;
	queue_sched_visit_domain *on_domain;
	queue_sched_visit_site *on_site;
	void *arg;
};

static bool
show_domain(void *arg, struct queue_map_node *n)
{
	const struct viewer *v = arg;
	struct queue_domain_view out;

	domain_view(v->q, QUEUE_OF(n, struct sched_domain, node), &out);
	return v->on_domain(v->arg, &out);
}

void
queue_sched_walk_domains(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_domain *visit, void *arg)
{
	struct viewer v = {.q = q, .on_domain = visit, .arg = arg};

	sched_walk_table(&q->domains, walk, show_domain, &v);
}

void
queue_sched_each_domain(struct queue_sched *q, queue_sched_visit_domain *visit, void *arg)
{
	struct queue_walk walk = {.limit = UINT32_MAX};

	while (!walk.is_end)
		queue_sched_walk_domains(q, &walk, visit, arg);
}

/* From its lanes, which are few; of domains it may have a million. */
static void
site_view(const struct queue_sched *q, const struct sched_site *s, struct queue_site_view *out)
{
	struct queue_link *l;

	*out = (struct queue_site_view){
		.site = {s->name, s->name_len},
		.last_reply = sched_text_blob(s->reply),
		.why = sched_text_blob(s->why),
		.domains = s->domain_count,
		.is_paused = s->is_paused,
		.transaction_us = s->transaction_us,
		.connect_us = s->connect_us,
		.delivered_per_hour = sched_tally_per_hour(&s->tally, q->now_us),
	};
	for (l = s->ways.next; l != &s->ways; l = l->next)
		out->ready += QUEUE_OF(l, struct sched_way, of_site)->ready;
	for (l = s->lanes.next; l != &s->lanes; l = l->next) {
		const struct queue_lane *lane = QUEUE_OF(l, struct queue_lane, of_site);

		out->sessions += lane->sessions;
		out->sessions_ready += lane->sessions - lane->opening;
		out->is_starved = out->is_starved || lane->starved_state != SCHED_FED;
		if (lane->wait_until_us > out->wait_until_us)
			out->wait_until_us = lane->wait_until_us;
	}
}

bool
queue_sched_site_find(struct queue_sched *q, struct queue_blob site, struct queue_site_view *out)
{
	const struct sched_site *s = sched_site_find(q, site);

	if (s == NULL)
		return false;
	site_view(q, s, out);
	return true;
}

static bool
show_site(void *arg, struct queue_map_node *n)
{
	const struct viewer *v = arg;
	struct queue_site_view out;

	site_view(v->q, QUEUE_OF(n, struct sched_site, node), &out);
	return v->on_site(v->arg, &out);
}

void
queue_sched_walk_sites(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_site *visit, void *arg)
{
	struct viewer v = {.q = q, .on_site = visit, .arg = arg};

	sched_walk_table(&q->sites, walk, show_site, &v);
}

void
queue_sched_stats(const struct queue_sched *q, struct queue_sched_stats *out)
{
	const struct queue_map *maps[] = {&q->messages, &q->users, &q->streams, &q->cells, &q->flows,
		&q->parties, &q->ways, &q->domains, &q->sites, &q->lanes, &q->gates, &q->pauses};
	const struct queue_heap *heaps[] = {
		&q->rcpt_timers, &q->domain_timers, &q->lane_timers, &q->gate_timers, &q->pause_timers};
	size_t i;

	*out = (struct queue_sched_stats){
		.messages = q->messages.count,
		.rcpts = q->rcpts,
		.ready = q->counts[SCHED_READY],
		.waiting = q->counts[SCHED_WAITING],
		.leased = q->counts[SCHED_LEASED],
		.held = q->counts[SCHED_HELD],
		.domains = q->domains.count,
		.sites = q->sites.count,
		.sessions = q->session_count,
		.doubted = q->doubted,
		.bytes = q->bytes,
	};
	for (i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		out->bytes += (maps[i]->mask + 1) * sizeof(maps[i]->buckets[0]);
	for (i = 0; i < sizeof(heaps) / sizeof(heaps[0]); i++)
		out->bytes += heaps[i]->room * sizeof(heaps[i]->entries[0]);
}
