/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of messages and recipients: added, leased, settled, ended.
 *
 * Invariants: a recipient ends exactly once, in queue_sched_settle (or with the whole schedule). A message
 * lives until its last recipient has ended and its last lease is done. body_unref is called once for each
 * body: on eviction, or when the message goes. Nothing that settles can run out of memory: what it needs was
 * reserved when the message was added.
 */
#include "queue_sched.h"

#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <stdlib.h>

/* After urgent mail some room is kept for more of it so long. */
#define URGENT_KEEP_US (INT64_C(24) * 3600 * 1000000)

/* --- create and destroy --- */

static struct queue_map *
map_at(struct queue_sched *q, size_t i)
{
	struct queue_map *maps[] = {&q->messages, &q->users, &q->streams, &q->cells, &q->flows, &q->parties,
		&q->ways, &q->domains, &q->sites, &q->lanes, &q->gates, &q->pauses, &q->guards};

	return i < sizeof(maps) / sizeof(maps[0]) ? maps[i] : NULL;
}

static void
init_lists(struct queue_sched *q)
{
	struct queue_link *lists[] = {&q->all_streams, &q->sessions, &q->leases, &q->fresh, &q->todo,
		&q->active, &q->open, &q->guards_due, &q->unwritten, &q->starved_none, &q->starved_more,
		&q->closing, &q->idle};
	size_t i;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		queue_link_init(lists[i]);
	queue_heap_init(&q->rcpt_timers);
	queue_heap_init(&q->domain_timers);
	queue_heap_init(&q->lane_timers);
	queue_heap_init(&q->gate_timers);
	queue_heap_init(&q->pause_timers);
	queue_heap_init(&q->guard_timers);
}

/* A sanitizer watches what malloc() gives. */
#ifdef QUEUE_SANITIZED
#define SLAB_BYTES 0
#else
#define SLAB_BYTES QUEUE_SLAB_BYTES
#endif

int
queue_sched_create(const struct queue_sched_conf *conf, struct queue_sched **out)
{
	struct queue_sched *q = calloc(1, sizeof(*q));
	size_t i;

	if (q == NULL)
		return QUEUE_ENOMEM;
	q->conf = *conf;
	q->seed = (uint64_t)conf->random(conf->arg) << 32 | conf->random(conf->arg);
	init_lists(q);
	queue_slabs_init(&q->slabs, SLAB_BYTES);
	for (i = 0; map_at(q, i) != NULL; i++)
		if (queue_map_init(map_at(q, i)) < 0) {
			while (i > 0)
				queue_map_fini(map_at(q, --i));
			free(q);
			return QUEUE_ENOMEM;
		}
	if (!sched_limits_apply(q)) {
		queue_sched_destroy(&q);
		return QUEUE_ENOMEM;
	}
	*out = q;
	return QUEUE_OK;
}

static size_t
message_bytes(uint32_t rcpt_count)
{
	struct sched_message *m;

	return sizeof(*m) + rcpt_count * sizeof(m->rcpts[0]);
}

static void
drop_body(struct queue_sched *q, struct sched_message *m)
{
	void *body = m->body;

	queue_link_remove(&m->fresh);
	m->body = NULL;
	if (body != NULL)
		q->conf.body_unref(q->conf.arg, body);
}

static void
message_free(struct queue_sched *q, struct sched_message *m)
{
	drop_body(q, m);
	queue_map_remove(&q->messages, &m->node);
	sched_free(q, m, message_bytes(m->rcpt_count));
}

static void
destroy_messages(struct queue_sched *q)
{
	struct queue_map_node *n, *next;
	uint32_t i;

	for (n = queue_map_each(&q->messages, NULL); n != NULL; n = next) {
		struct sched_message *m = QUEUE_OF(n, struct sched_message, node);

		next = queue_map_each(&q->messages, n);
		for (i = 0; i < m->rcpt_count; i++)
			if (m->rcpts[i].state != SCHED_ENDED)
				sched_rcpt_move(q, &m->rcpts[i], SCHED_ENDED);
		message_free(q, m);
	}
}

static void
destroy_places(struct queue_sched *q)
{
	struct queue_map_node *n, *next;

	for (n = queue_map_each(&q->lanes, NULL); n != NULL; n = next) {
		next = queue_map_each(&q->lanes, n);
		QUEUE_OF(n, struct queue_lane, node)->wait_until_us = 0;
		sched_lane_forget(q, QUEUE_OF(n, struct queue_lane, node));
		sched_lane_release(q, QUEUE_OF(n, struct queue_lane, node));
	}
	for (n = queue_map_each(&q->domains, NULL); n != NULL; n = next) {
		next = queue_map_each(&q->domains, n);
		QUEUE_OF(n, struct sched_domain, node)->is_resolving = false;
		sched_domain_free(q, QUEUE_OF(n, struct sched_domain, node));
	}
}

/* Also with sessions and leases out: then the host has forgotten them, or never will use them again. */
void
queue_sched_destroy(struct queue_sched **qp)
{
	struct queue_sched *q = *qp;
	struct sched_way *way;
	size_t i;

	*qp = NULL;
	if (q == NULL)
		return;
	while (!queue_link_is_alone(&q->leases)) {
		struct queue_lease *l = QUEUE_OF(q->leases.next, struct queue_lease, all);

		for (i = 0; i < SCHED_WARMUPS; i++)
			if (l->warm_gates[i] != NULL)
				l->warm_gates[i]->refs--;
		sched_lease_free(q, l);
	}
	while (!queue_link_is_alone(&q->sessions)) {
		struct queue_session *s = QUEUE_OF(q->sessions.next, struct queue_session, all);

		queue_link_remove(&s->place);
		queue_link_remove(&s->idle);
		queue_link_remove(&s->all);
		s->lane->sessions--;
		way = s->way;
		sched_free(q, s, sizeof(*s));
		if (way != NULL) {
			way->opening--;
			sched_way_release(q, way);
		}
	}
	destroy_messages(q);
	destroy_places(q);
	sched_limits_fini(q);
	sched_gates_free(q);
	sched_pauses_free(q);
	sched_guards_free(q);
	assert(q->bytes == 0 && q->rcpts == 0 && q->sites.count == 0 && q->streams.count == 0);
	for (i = 0; map_at(q, i) != NULL; i++)
		queue_map_fini(map_at(q, i));
	queue_heap_fini(&q->rcpt_timers);
	queue_heap_fini(&q->domain_timers);
	queue_heap_fini(&q->lane_timers);
	queue_heap_fini(&q->gate_timers);
	queue_heap_fini(&q->pause_timers);
	queue_heap_fini(&q->guard_timers);
	queue_slabs_fini(&q->slabs);
	free(q);
}

/* --- settings --- */

static void
lane_reconfigured(struct queue_sched *q, struct queue_lane *lane)
{
	struct queue_blob site = {lane->site->name, lane->site->name_len};

	/* Until it carries mail of a domain again, the settings of the site. */
	lane->policy = q->conf.policy(q->conf.arg, (struct queue_blob){"", 0}, site);
	sched_lane_find_own(q, lane);
	sched_lane_reconfigured(q, lane);
}

void
queue_sched_reconfigured(struct queue_sched *q, const struct queue_sched_conf *conf, int64_t now_us)
{
	struct queue_map_node *n;
	uint32_t i;

	q->conf = *conf;
	/* The old policies may be gone already: new ones before anything looks at them, the clock included.
	 */
	for (n = queue_map_each(&q->domains, NULL); n != NULL; n = queue_map_each(&q->domains, n))
		sched_domain_set_policy(q, QUEUE_OF(n, struct sched_domain, node));
	sched_warm_find_plans(q);
	for (n = queue_map_each(&q->lanes, NULL); n != NULL; n = queue_map_each(&q->lanes, n))
		lane_reconfigured(q, QUEUE_OF(n, struct queue_lane, node));
	sched_clock(q, now_us);
	sched_guards_reconfigured(q);
	(void)sched_limits_apply(q); /* without memory next() tries again before it orders anything */
	for (n = queue_map_each(&q->cells, NULL); n != NULL; n = queue_map_each(&q->cells, n))
		sched_cell_reroute(q, QUEUE_OF(n, struct sched_cell, node));
	for (n = queue_map_each(&q->messages, NULL); n != NULL; n = queue_map_each(&q->messages, n)) {
		struct sched_message *m = QUEUE_OF(n, struct sched_message, node);

		for (i = 0; i < m->rcpt_count; i++)
			if (m->rcpts[i].is_timed)
				sched_rcpt_arm(q, &m->rcpts[i]);
	}
	for (n = queue_map_each(&q->domains, NULL); n != NULL; n = queue_map_each(&q->domains, n))
		sched_domain_arm(q, QUEUE_OF(n, struct sched_domain, node));
}

/* --- add --- */

/* The order of arrival is kept for nothing where it holds anyway: fresh mail follows fresh mail, and mail
 * read at start follows mail read at start. */
static void
start_ageing(struct queue_sched *q, struct sched_message *m, struct sched_rcpt *r)
{
	struct sched_domain *d = r->cell->domain;
	int i;

	for (i = 0; i < 2 && m->expire_us == 0 && m->release_us == 0; i++) {
		bool was_empty = queue_link_is_alone(&d->ages[i]);

		if (!was_empty && d->last_us[i] > m->arrived_us)
			continue;
		d->last_us[i] = m->arrived_us;
		queue_link_back(&d->ages[i], &r->age);
		if (was_empty)
			sched_domain_arm(q, d);
		return;
	}
	sched_start_timed(r);
}

static void
enter_rcpt(struct queue_sched *q, struct sched_message *m, struct sched_rcpt *r)
{
	const struct queue_policy *p = r->cell->domain->policy;
	int64_t latest_us = queue_retry_add(q->now_us, queue_retry_longest(p, q->conf.jitter_percent));

	if (r->attempts == 0 && m->release_us > q->now_us)
		r->due_us = m->release_us;
	else if (r->due_us > latest_us) /* written by a clock that was ahead: its wait begins again */
		r->due_us = queue_retry_add(q->now_us, queue_retry_wait(p, r->attempts));
	start_ageing(q, m, r);
	q->doubted += sched_is_expiry_held(q, sched_rcpt_expires_us(q, r));
	q->rcpts++;
	m->live++;
	if ((r->flags & QUEUE_RCPT_HELD) != 0)
		sched_rcpt_enter(q, r, SCHED_HELD);
	else
		sched_rcpt_enter(q, r, r->due_us > q->now_us ? SCHED_WAITING : SCHED_READY);
}

static bool
is_addable(const struct queue_sched *q, const struct queue_message *m, const struct queue_sched_rcpt *rcpts,
	uint32_t rcpt_count)
{
	uint32_t i;

	if (rcpt_count == 0 || rcpt_count > QUEUE_RCPTS_MAX || m->user.len > SCHED_NAME_MAX ||
		m->job.len > SCHED_NAME_MAX || m->from_domain.len > SCHED_NAME_MAX ||
		sched_message_find(q, m->id) != NULL)
		return false;
	for (i = 0; i < rcpt_count; i++)
		if (rcpts[i].domain.len > SCHED_NAME_MAX || rcpts[i].sticky_source > q->conf.source_count ||
			rcpts[i].pool >= q->conf.pool_count)
			return false;
	return true;
}

static uint32_t
sticky_of(const struct queue_sched_rcpt *r)
{
	bool is_strict = r->sticky_source > 0 && (r->flags & QUEUE_RCPT_UNCERTAIN) != 0;

	return r->sticky_source | (is_strict ? SCHED_STRICT : 0);
}

/* Finds every recipient its cell: all that can fail, and can be undone. */
static int
find_cells(struct queue_sched *q, struct sched_message *m, struct sched_stream *stream,
	const struct queue_sched_rcpt *rcpts)
{
	uint32_t i;

	for (i = 0; i < m->rcpt_count; i++) {
		struct sched_rcpt *r = &m->rcpts[i];
		struct sched_domain *d = sched_domain_get(q, rcpts[i].domain);

		if (d == NULL)
			break;
		if ((r->cell = sched_cell_get(q, d, stream, rcpts[i].pool, sticky_of(&rcpts[i]))) == NULL) {
			sched_domain_arm(q, d); /* if it is new, it goes again */
			break;
		}
		r->cell->rcpts++;
		r->index = (uint16_t)i;
		r->n = rcpts[i].n;
		r->attempts = rcpts[i].attempts;
		r->flags = rcpts[i].flags;
		r->due_us = rcpts[i].due_us;
		r->state = SCHED_ENDED;
		queue_link_init(&r->link);
		queue_link_init(&r->age);
	}
	if (i == m->rcpt_count)
		return QUEUE_OK;
	if (i == 0)
		sched_stream_release(q, stream); /* else it goes with its last cell, if it is new */
	while (i-- > 0) {
		m->rcpts[i].cell->rcpts--;
		sched_cell_release(q, m->rcpts[i].cell);
	}
	return QUEUE_ENOMEM;
}

int
queue_sched_add(struct queue_sched *q, const struct queue_message *meta, const struct queue_sched_rcpt *rcpts,
	uint32_t rcpt_count, void *body, int64_t now_us)
{
	struct sched_stream *stream;
	struct sched_message *m;
	uint32_t i;
	int err;

	sched_clock(q, now_us);
	if (!is_addable(q, meta, rcpts, rcpt_count))
		return QUEUE_EINVAL;
	if ((err = queue_heap_reserve(&q->rcpt_timers, q->rcpts + rcpt_count)) < 0)
		return err;
	if ((m = sched_alloc(q, message_bytes(rcpt_count))) == NULL)
		return QUEUE_ENOMEM;
	m->arrived_us = meta->arrived_us < q->now_us ? meta->arrived_us : q->now_us;
	m->expire_us = meta->expire_us;
	m->body_bytes = meta->body_bytes < UINT32_MAX ? (uint32_t)meta->body_bytes : UINT32_MAX;
	m->lease_max = (meta->flags & QUEUE_MESSAGE_VERP) != 0 ? 1 : UINT32_MAX;
	m->notice_us = meta->notice_us;
	m->release_us = meta->release_us > m->arrived_us ? meta->release_us : 0;
	m->rcpt_count = rcpt_count;
	queue_link_init(&m->fresh);
	stream = sched_stream_get(q, meta);
	err = stream == NULL ? QUEUE_ENOMEM : find_cells(q, m, stream, rcpts);
	if (err < 0) {
		sched_free(q, m, message_bytes(rcpt_count));
		return err;
	}
	m->body = body;
	if (body != NULL)
		queue_link_back(&q->fresh, &m->fresh);
	queue_map_insert(&q->messages, &m->node, meta->id);
	if (stream->klass == QUEUE_CLASS_URGENT)
		q->urgent_until_us = queue_retry_add(q->now_us, URGENT_KEEP_US);
	for (i = 0; i < rcpt_count; i++)
		enter_rcpt(q, m, &m->rcpts[i]);
	if (m->release_us > q->now_us)
		drop_body(q, m); /* nobody will ask for it soon */
	return QUEUE_OK;
}

uint32_t
queue_sched_evict(struct queue_sched *q, uint32_t count)
{
	uint32_t done;

	for (done = 0; done < count && !queue_link_is_alone(&q->fresh); done++)
		drop_body(q, QUEUE_OF(q->fresh.next, struct sched_message, fresh));
	return done;
}

/* --- settle --- */

/* The last reply that was not a success, for the operator. Successes are not kept: they would be copied for
 * every mail and tell nothing. */
static void
keep_reply(struct queue_sched *q, const struct queue_lease *l, struct sched_domain *d,
	const struct queue_verdict *v)
{
	if (l->session == NULL || v->kind == QUEUE_VERDICT_DELIVERED || v->reply.len == 0)
		return;
	sched_text_set(q, &d->reply, v->reply);
	d->reply_code = v->code;
	sched_text_set(q, &l->session->lane->site->reply, v->reply);
}

/* One random number a lease: what goes back together comes back together, and is one transaction again. */
static int64_t
jitter(struct queue_sched *q, struct queue_lease *l, int64_t wait_us)
{
	if (!l->has_random)
		l->random = q->conf.random(q->conf.arg);
	l->has_random = true;
	return queue_retry_jitter(wait_us, q->conf.jitter_percent, l->random);
}

static int64_t
next_due_us(struct queue_sched *q, struct queue_lease *l, const struct sched_rcpt *r,
	const struct queue_verdict *v)
{
	const struct queue_policy *p = r->cell->domain->policy;
	int64_t longest_us = queue_retry_longest(p, q->conf.jitter_percent), wait_us = v->wait_us;
	int64_t notice_us = l->message->notice_us;

	if (v->kind == QUEUE_VERDICT_UNCERTAIN)
		wait_us = jitter(q, l, p->uncertain_retry_us);
	else if (wait_us <= 0) {
		wait_us = jitter(q, l, queue_retry_wait(p, r->attempts));
		/* What its sender wants to hear of then is tried once more then: delivered in time, or told.
		 */
		if (notice_us > q->now_us && notice_us - q->now_us < wait_us)
			wait_us = notice_us - q->now_us;
	}
	return queue_retry_add(q->now_us, wait_us < longest_us ? wait_us : longest_us);
}

/* Another member of its pool that is not paused, the next one in order; its own when there is none. */
static uint32_t
next_of_pool(const struct queue_sched *q, const struct sched_cell *cell, uint32_t source)
{
	const struct queue_pool *p = &q->conf.pools[cell->pool > 0 ? cell->pool : cell->domain->policy->pool];
	uint32_t at = 0, i, next;

	while (at < p->member_count && p->members[at].source != source)
		at++;
	for (i = 1; i <= p->member_count; i++) {
		next = p->members[(at + i) % p->member_count].source;
		if (next != source && !sched_source_is_paused(q, next))
			return next;
	}
	return source;
}

/* The same again after an uncertain end, whatever happens to it; and after any reply, because who greylists
 * knows it by its address; another when the reply blames the address. */
static void
choose_source(struct queue_sched *q, const struct queue_lease *l, struct sched_rcpt *r,
	const struct queue_verdict *v)
{
	uint32_t source = l->session->lane->source, sticky = source + 1;
	struct sched_cell *cell;

	if (v->kind == QUEUE_VERDICT_UNCERTAIN)
		sticky |= SCHED_STRICT;
	else if (v->next_source)
		sticky = next_of_pool(q, r->cell, source) + 1;
	else if (v->code == 0 || r->cell->flow == NULL || r->cell->flow->way->option_count == 1)
		return;
	if (sticky == r->cell->sticky)
		return;
	/* Without memory it may take another source later: the lesser evil. */
	cell = sched_cell_get(q, r->cell->domain, r->cell->stream, r->cell->pool, sticky);
	if (cell != NULL)
		sched_rcpt_rehome(q, r, cell);
}

static void
settle_later(struct queue_sched *q, struct queue_lease *l, struct sched_rcpt *r,
	const struct queue_verdict *v, struct queue_settled *out)
{
	bool is_uncertain = v->kind == QUEUE_VERDICT_UNCERTAIN;
	int64_t expires_us;

	if (r->attempts < UINT16_MAX)
		r->attempts++;
	out->attempts = r->attempts;
	/* Whether the site has it is no clearer when nobody could ask. */
	if (is_uncertain)
		r->flags |= QUEUE_RCPT_UNCERTAIN;
	else if (v->signal != QUEUE_SIGNAL_NONE)
		r->flags &= (uint8_t)~QUEUE_RCPT_UNCERTAIN;
	r->flags |= v->set_flags;
	out->flags = r->flags;
	if (r->is_doomed) {
		out->kind = QUEUE_VERDICT_DROPPED;
		return;
	}
	r->due_us = next_due_us(q, l, r, v);
	expires_us = sched_rcpt_expires_us(q, r);
	if (r->due_us > expires_us && !sched_is_expiry_held(q, expires_us)) {
		out->kind = QUEUE_VERDICT_EXPIRED;
		out->is_own_limit = sched_rcpt_has_own_limit(q, r);
		return;
	}
	out->due_us = r->due_us;
	if (l->session != NULL)
		choose_source(q, l, r, v);
	sched_rcpt_move(q, r, (r->flags & QUEUE_RCPT_HELD) != 0 ? SCHED_HELD : SCHED_WAITING);
}

/* No attempt was made: back to where it came from. */
static void
settle_return(struct queue_sched *q, struct sched_rcpt *r, struct queue_settled *out)
{
	if (r->is_doomed)
		out->kind = QUEUE_VERDICT_DROPPED;
	else if ((r->flags & QUEUE_RCPT_HELD) != 0)
		sched_rcpt_move(q, r, SCHED_HELD);
	else if (r->due_us > q->now_us)
		sched_rcpt_move(q, r, SCHED_WAITING);
	else
		sched_rcpt_move_front(q, r);
}

void
queue_sched_settle(struct queue_sched *q, struct queue_lease *l, uint32_t index,
	const struct queue_verdict *v, int64_t now_us, struct queue_settled *out)
{
	struct sched_message *m = l->message;
	struct sched_rcpt *r;

	sched_clock(q, now_us);
	assert(index < l->count && l->open > 0);
	r = &m->rcpts[l->index[index]];
	assert(r->state == SCHED_LEASED);
	l->open--;
	*out = (struct queue_settled){.kind = v->kind, .n = r->n, .attempts = r->attempts, .flags = r->flags};
	keep_reply(q, l, r->cell->domain, v);
	if (l->session != NULL) {
		sched_limits_settled(q, l, r->cell, v);
		sched_lane_signal(q, l, v);
		sched_guards_settled(q, l, r->cell->stream, v);
	}
	if (l->session != NULL && v->kind == QUEUE_VERDICT_DELIVERED)
		sched_tally_add(&l->session->lane->site->tally, q->now_us);
	switch (v->kind) {
	case QUEUE_VERDICT_LATER:
	case QUEUE_VERDICT_UNCERTAIN:
		settle_later(q, l, r, v, out);
		break;
	case QUEUE_VERDICT_RETURN:
		settle_return(q, r, out);
		break;
	case QUEUE_VERDICT_DELIVERED:
	case QUEUE_VERDICT_FAILED:
	case QUEUE_VERDICT_EXPIRED:
		out->is_own_limit = v->kind == QUEUE_VERDICT_EXPIRED && sched_rcpt_has_own_limit(q, r);
		/* An attempt by a session counts; an end without one does not. */
		if (l->session != NULL && v->kind != QUEUE_VERDICT_EXPIRED && r->attempts < UINT16_MAX)
			out->attempts = ++r->attempts;
		break;
	case QUEUE_VERDICT_DROPPED:
		break;
	}
	if (r->state == SCHED_LEASED)
		sched_rcpt_move(q, r, SCHED_ENDED);
	out->is_last = m->live == 0;
}

void
queue_sched_lease_done(struct queue_sched *q, struct queue_lease *take_lease, int64_t now_us)
{
	struct queue_lease *l = take_lease;
	struct sched_message *m = l->message;
	struct queue_session *s = l->session;

	sched_clock(q, now_us);
	assert(l->open == 0 && m->leases > 0);
	m->leases--;
	if (m->live == 0 && m->leases == 0)
		message_free(q, m);
	else if (m->leases == 0 && m->body != NULL && m->ready > 0)
		queue_link_back(&q->fresh, &m->fresh);
	else if (m->leases == 0)
		drop_body(q, m); /* all that is left waits: nobody will ask for it soon */
	if (s != NULL)
		sched_session_timed(q, s, l);
	sched_lease_free(q, l);
	if (s == NULL)
		return;
	assert(s->leases > 0 && s->lane->busy > 0);
	if (--s->leases == 0)
		s->lane->busy--;
	sched_session_place(q, s);
}

/* --- sessions and leases, for the host --- */

void
queue_session_set_user(struct queue_session *s, void *user)
{
	s->user = user;
}

void *
queue_session_user(const struct queue_session *s)
{
	return s->user;
}

queue_id
queue_lease_message(const struct queue_lease *l)
{
	return l->message->node.hash;
}

uint32_t
queue_lease_rcpt_count(const struct queue_lease *l)
{
	return l->count;
}

static const struct sched_rcpt *
rcpt_at(const struct queue_lease *l, uint32_t index)
{
	assert(index < l->count);
	return &l->message->rcpts[l->index[index]];
}

uint16_t
queue_lease_rcpt(const struct queue_lease *l, uint32_t index)
{
	return rcpt_at(l, index)->n;
}

uint16_t
queue_lease_attempts(const struct queue_lease *l, uint32_t index)
{
	return rcpt_at(l, index)->attempts;
}

void *
queue_lease_body(const struct queue_lease *l)
{
	return l->message->body;
}
