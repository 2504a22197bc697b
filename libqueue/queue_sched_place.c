/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects a recipient hangs from are found or made here, and freed when nothing hangs from them; and
 * where domains lead.
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_MAX = 200,      /* bytes kept of a reply or a reason */
	OBJECT_OVERHEAD = 8, /* of each object, for the estimate of the memory used */
};
/* An empty domain keeps its route and last reply so long, for the next message to it. */
#define LINGER_US (INT64_C(600) * 1000000)
/* A route is not asked for more often than this, whatever its time to live says. */
#define ROUTE_MIN_US INT64_C(1000000)
/* After a route that could not be taken for lack of memory. */
#define ROUTE_AGAIN_US INT64_C(60000000)

void *
sched_alloc(struct queue_sched *q, size_t size)
{
	void *p = queue_slabs_alloc(&q->slabs, size);

	if (p != NULL)
		q->bytes += size + OBJECT_OVERHEAD;
	return p;
}

void
sched_free(struct queue_sched *q, void *p, size_t size)
{
	assert(q->bytes >= size + OBJECT_OVERHEAD);
	q->bytes -= size + OBJECT_OVERHEAD;
	queue_slabs_free(&q->slabs, p, size);
}

/* --- texts and names --- */

/* Without memory the text is empty: it is for an operator to read and decides nothing. */
void
sched_text_set(struct queue_sched *q, struct sched_text **t, struct queue_blob b)
{
	uint16_t len = (uint16_t)(b.len < TEXT_MAX ? b.len : TEXT_MAX);

	if (*t != NULL && (*t)->room < len)
		sched_text_free(q, t);
	if (*t == NULL && len > 0) {
		if ((*t = sched_alloc(q, sizeof(**t) + len)) == NULL)
			return;
		(*t)->room = len;
	}
	if (*t == NULL)
		return;
	(*t)->len = len;
	if (len > 0)
		memcpy((*t)->bytes, b.ptr, len);
}

void
sched_text_free(struct queue_sched *q, struct sched_text **t)
{
	if (*t != NULL)
		sched_free(q, *t, sizeof(**t) + (*t)->room);
	*t = NULL;
}

struct queue_blob
sched_text_blob(const struct sched_text *t)
{
	return t == NULL ? (struct queue_blob){"", 0} : (struct queue_blob){t->bytes, t->len};
}

bool
sched_name_is(const char *name, size_t len, struct queue_blob b)
{
	return len == b.len && (len == 0 || memcmp(name, b.ptr, len) == 0);
}

/* --- messages and streams --- */

struct sched_message *
sched_message_of(struct sched_rcpt *r)
{
	return QUEUE_OF(r - r->index, struct sched_message, rcpts);
}

struct sched_message *
sched_message_find(const struct queue_sched *q, queue_id id)
{
	struct queue_map_node *n = queue_map_find(&q->messages, id);

	return n == NULL ? NULL : QUEUE_OF(n, struct sched_message, node);
}

/* Behind the last @. */
static struct queue_blob
domain_of(struct queue_blob address)
{
	const char *p = address.ptr;
	size_t at = address.len;

	while (at > 0 && p[at - 1] != '@')
		at--;
	return at > 0 ? (struct queue_blob){p + at, address.len - at} : (struct queue_blob){"", 0};
}

static size_t
stream_bytes(const struct sched_stream *s)
{
	return sizeof(*s) + s->user_len + s->job_len + s->sender_len + s->from_len;
}

/* What readers and receiving sites know its author by; of a message that tells no author, its sender. */
static struct queue_blob
from_domain(const struct queue_message *m)
{
	return m->from_domain.len > 0 ? m->from_domain : domain_of(m->sender);
}

static bool
stream_is(const struct sched_stream *s, const struct queue_message *m)
{
	const char *sender = s->names + s->user_len + s->job_len;

	return s->klass == m->klass && sched_name_is(s->names, s->user_len, m->user) &&
	       sched_name_is(s->names + s->user_len, s->job_len, m->job) &&
	       sched_name_is(sender, s->sender_len, domain_of(m->sender)) &&
	       sched_name_is(sender + s->sender_len, s->from_len, from_domain(m));
}

static struct sched_user *
user_get(struct queue_sched *q, struct queue_blob name)
{
	uint64_t hash = queue_map_hash(q->seed, name);
	struct queue_map_node *n = queue_map_find(&q->users, hash);
	struct sched_user *u;

	for (; n != NULL; n = queue_map_find_next(n)) {
		u = QUEUE_OF(n, struct sched_user, node);
		if (sched_name_is(u->name, u->name_len, name))
			return u;
	}
	if ((u = sched_alloc(q, sizeof(*u) + name.len)) == NULL)
		return NULL;
	u->name_len = (uint16_t)name.len;
	if (name.len > 0)
		memcpy(u->name, name.ptr, name.len);
	queue_map_insert(&q->users, &u->node, hash);
	return u;
}

static void
user_release(struct queue_sched *q, struct sched_user *u)
{
	if (u->streams > 0)
		return;
	sched_gate_release(q, &u->gate);
	sched_guard_leave(&u->guard);
	queue_map_remove(&q->users, &u->node);
	sched_free(q, u, sizeof(*u) + u->name_len);
}

static struct sched_stream *
stream_create(struct queue_sched *q, struct sched_user *user, const struct queue_message *m)
{
	const struct queue_blob parts[] = {m->user, m->job, domain_of(m->sender), from_domain(m)};
	struct sched_stream *s =
		sched_alloc(q, sizeof(*s) + parts[0].len + parts[1].len + parts[2].len + parts[3].len);
	size_t at = 0, i;

	if (s == NULL)
		return NULL;
	s->klass = m->klass < SCHED_CLASSES ? (uint8_t)m->klass : QUEUE_CLASS_NORMAL;
	s->user_len = (uint16_t)parts[0].len;
	s->job_len = (uint16_t)parts[1].len;
	s->sender_len = (uint16_t)parts[2].len;
	s->from_len = (uint16_t)parts[3].len;
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); at += parts[i++].len)
		if (parts[i].len > 0)
			memcpy(s->names + at, parts[i].ptr, parts[i].len);
	s->user = user;
	sched_stream_find_guards(q, s);
	if (!sched_stream_set_limits(q, s)) {
		sched_gate_release(q, &s->gate);
		sched_guard_leave(&s->guard);
		sched_free(q, s, stream_bytes(s));
		return NULL;
	}
	return s;
}

struct sched_stream *
sched_stream_get(struct queue_sched *q, const struct queue_message *m)
{
	uint64_t of_domains = queue_map_mix(
		queue_map_hash(q->seed, domain_of(m->sender)), queue_map_hash(q->seed, from_domain(m)));
	uint64_t hash = queue_map_mix(queue_map_hash(q->seed, m->user),
		queue_map_mix(queue_map_hash(q->seed, m->job) + m->klass, of_domains));
	struct queue_map_node *n = queue_map_find(&q->streams, hash);
	struct sched_stream *s;
	struct sched_user *user;

	for (; n != NULL; n = queue_map_find_next(n)) {
		s = QUEUE_OF(n, struct sched_stream, node);
		if (stream_is(s, m))
			return s;
	}
	if ((user = user_get(q, m->user)) == NULL)
		return NULL;
	if ((s = stream_create(q, user, m)) == NULL) {
		user_release(q, user);
		return NULL;
	}
	user->streams++;
	sched_stream_ask_pauses(q, s);
	queue_link_init(&s->cells);
	queue_link_init(&s->all);
	queue_link_front(&q->all_streams, &s->all);
	queue_map_insert(&q->streams, &s->node, hash);
	return s;
}

void
sched_stream_release(struct queue_sched *q, struct sched_stream *s)
{
	struct sched_user *user = s->user;

	if (!queue_link_is_alone(&s->cells))
		return;
	sched_gate_release(q, &s->gate);
	sched_guard_leave(&s->guard);
	queue_link_remove(&s->all);
	queue_map_remove(&q->streams, &s->node);
	sched_free(q, s, stream_bytes(s));
	user->streams--;
	user_release(q, user);
}

/* --- domains and sites --- */

struct sched_domain *
sched_domain_find(const struct queue_sched *q, struct queue_blob name)
{
	struct queue_map_node *n = queue_map_find(&q->domains, queue_map_hash(q->seed, name));

	for (; n != NULL; n = queue_map_find_next(n)) {
		struct sched_domain *d = QUEUE_OF(n, struct sched_domain, node);

		if (sched_name_is(d->name, d->name_len, name))
			return d;
	}
	return NULL;
}

void
sched_domain_set_policy(struct queue_sched *q, struct sched_domain *d)
{
	struct queue_blob site = {"", 0};

	if (d->site != NULL)
		site = (struct queue_blob){d->site->name, d->site->name_len};
	d->policy = q->conf.policy(q->conf.arg, (struct queue_blob){d->name, d->name_len}, site);
	assert(d->policy != NULL);
}

struct sched_domain *
sched_domain_get(struct queue_sched *q, struct queue_blob name)
{
	struct sched_domain *d = sched_domain_find(q, name);

	if (d != NULL)
		return d;
	if (name.len > SCHED_NAME_MAX || queue_heap_reserve(&q->domain_timers, q->domains.count + 1) < 0 ||
		(d = sched_alloc(q, sizeof(*d) + name.len)) == NULL)
		return NULL;
	d->name_len = (uint16_t)name.len;
	if (name.len > 0)
		memcpy(d->name, name.ptr, name.len);
	queue_link_init(&d->of_site);
	queue_link_init(&d->cells);
	queue_link_init(&d->runnable);
	queue_link_init(&d->ages[0]);
	queue_link_init(&d->ages[1]);
	queue_link_init(&d->timed_ages[0]);
	queue_link_init(&d->timed_ages[1]);
	queue_link_init(&d->todo);
	d->is_paused = sched_is_paused(q, QUEUE_PAUSE_DOMAIN, name, 0);
	queue_map_insert(&q->domains, &d->node, queue_map_hash(q->seed, name));
	sched_domain_set_policy(q, d);
	return d;
}

/* Its route has to be looked at: now, or when next() gets there. */
void
sched_domain_want(struct queue_sched *q, struct sched_domain *d)
{
	if (queue_link_is_alone(&d->todo) && !d->is_resolving)
		queue_link_back(&q->todo, &d->todo);
}

/* 200,000 of them may pass through in an hour. */
void
sched_domain_linger(struct queue_sched *q, struct sched_domain *d)
{
	int64_t linger_us = queue_retry_add(q->now_us, LINGER_US);

	if (!queue_link_is_alone(&d->cells))
		return;
	d->linger_us = d->until_us < linger_us ? d->until_us : linger_us;
	sched_domain_arm(q, d);
}

struct sched_site *
sched_site_find(const struct queue_sched *q, struct queue_blob name)
{
	struct queue_map_node *n = queue_map_find(&q->sites, queue_map_hash(q->seed, name));

	for (; n != NULL; n = queue_map_find_next(n)) {
		struct sched_site *s = QUEUE_OF(n, struct sched_site, node);

		if (sched_name_is(s->name, s->name_len, name))
			return s;
	}
	return NULL;
}

struct sched_site *
sched_site_get(struct queue_sched *q, struct queue_blob name)
{
	struct sched_site *s = sched_site_find(q, name);

	if (s != NULL)
		return s;
	if (name.len > SCHED_NAME_MAX || (s = sched_alloc(q, sizeof(*s) + name.len)) == NULL)
		return NULL;
	s->name_len = (uint16_t)name.len;
	memcpy(s->name, name.ptr, name.len);
	if (!sched_site_set_limits(q, s)) {
		sched_free(q, s, sizeof(*s) + name.len);
		return NULL;
	}
	queue_link_init(&s->domains);
	queue_link_init(&s->lanes);
	queue_link_init(&s->ways);
	s->is_paused = sched_is_paused(q, QUEUE_PAUSE_SITE, name, 0);
	queue_map_insert(&q->sites, &s->node, queue_map_hash(q->seed, name));
	return s;
}

void
sched_site_release(struct queue_sched *q, struct sched_site *s)
{
	if (!queue_link_is_alone(&s->domains) || !queue_link_is_alone(&s->lanes) ||
		!queue_link_is_alone(&s->ways) || s->is_pinned)
		return;
	sched_gate_release(q, &s->gate);
	sched_text_free(q, &s->why);
	sched_text_free(q, &s->reply);
	queue_map_remove(&q->sites, &s->node);
	sched_free(q, s, sizeof(*s) + s->name_len);
}

static void
domain_leave_site(struct queue_sched *q, struct sched_domain *d)
{
	struct sched_site *s = d->site;

	if (s == NULL)
		return;
	queue_link_remove(&d->of_site);
	d->site = NULL;
	s->domain_count--;
	sched_site_release(q, s);
}

void
sched_domain_free(struct queue_sched *q, struct sched_domain *d)
{
	assert(queue_link_is_alone(&d->cells) && !d->is_resolving);
	assert(queue_link_is_alone(&d->ages[0]) && queue_link_is_alone(&d->ages[1]));
	assert(queue_link_is_alone(&d->timed_ages[0]) && queue_link_is_alone(&d->timed_ages[1]));
	domain_leave_site(q, d);
	queue_link_remove(&d->todo);
	queue_heap_set(&q->domain_timers, &d->timer, INT64_MAX);
	queue_map_remove(&q->domains, &d->node);
	sched_text_free(q, &d->why);
	sched_text_free(q, &d->reply);
	sched_free(q, d, sizeof(*d) + d->name_len);
}

/* --- lanes --- */

struct queue_lane *
sched_lane_get(struct queue_sched *q, struct sched_site *site, uint32_t source)
{
	uint64_t hash = queue_map_mix(site->node.hash, source);
	struct queue_map_node *n = queue_map_find(&q->lanes, hash);
	struct queue_lane *lane;

	for (; n != NULL; n = queue_map_find_next(n)) {
		lane = QUEUE_OF(n, struct queue_lane, node);
		if (lane->site == site && lane->source == source)
			return lane;
	}
	if (queue_heap_reserve(&q->lane_timers, q->lanes.count + 1) < 0 ||
		(lane = sched_alloc(q, sizeof(*lane))) == NULL)
		return NULL;
	lane->site = site;
	lane->source = source;
	sched_lane_find_own(q, lane);
	if (!sched_lane_set_limits(q, lane)) { /* the last, its warm-up, may be all there is no memory for */
		sched_gate_release(q, &lane->gate);
		sched_gate_release(q, &lane->profile_gate);
		sched_free(q, lane, sizeof(*lane));
		return NULL;
	}
	lane->policy = q->conf.policy(
		q->conf.arg, (struct queue_blob){"", 0}, (struct queue_blob){site->name, site->name_len});
	lane->is_able = true;
	lane->is_source_paused = sched_source_is_paused(q, source);
	lane->waiter.kind = SCHED_WAITS_LANE;
	lane->noting.kind = SCHED_NOTE_LANE;
	queue_link_init(&lane->noting.link);
	queue_link_init(&lane->waiter.link);
	queue_link_init(&lane->of_site);
	queue_link_init(&lane->options);
	queue_link_init(&lane->starved);
	queue_link_init(&lane->idle);
	queue_link_init(&lane->half);
	queue_link_back(&site->lanes, &lane->of_site);
	queue_map_insert(&q->lanes, &lane->node, hash);
	return lane;
}

/* What a lane has learned from a failed connection outlives its mail: it stays until the wait is over. */
void
sched_lane_release(struct queue_sched *q, struct queue_lane *lane)
{
	struct sched_site *site = lane->site;

	if (!queue_link_is_alone(&lane->options) || lane->sessions > 0)
		return;
	if (lane->wait_until_us > q->now_us || sched_lane_is_learned(lane)) {
		sched_lane_arm(q, lane);
		return;
	}
	if (lane->noting.is_under_way || !queue_link_is_alone(&lane->noting.link))
		return; /* it comes here again when that is done */
	sched_lane_health_fini(q, lane);
	sched_gate_leave(q, &lane->waiter);
	sched_lane_unstarve(q, lane);
	sched_gate_release(q, &lane->gate);
	queue_heap_set(&q->lane_timers, &lane->timer, INT64_MAX);
	queue_link_remove(&lane->of_site);
	queue_map_remove(&q->lanes, &lane->node);
	sched_free(q, lane, sizeof(*lane));
	sched_site_release(q, site);
}

void
sched_option_attach(struct sched_option *o, struct queue_lane *lane)
{
	assert(o->lane == NULL);
	o->lane = lane;
	queue_link_back(&lane->options, &o->of_lane);
}

void
sched_option_detach(struct queue_sched *q, struct sched_option *o)
{
	struct queue_lane *lane = o->lane;

	o->lane = NULL;
	queue_link_remove(&o->of_lane);
	if (lane != NULL)
		sched_lane_release(q, lane);
}

/* --- routes --- */

/* A flow for every cell. Policies of the new site: its pool may be another. */
static bool
make_flows(struct queue_sched *q, struct sched_domain *d, struct sched_site *site)
{
	const struct queue_policy *old = d->policy;
	struct queue_link *l;
	bool ok = true;

	d->policy = q->conf.policy(q->conf.arg, (struct queue_blob){d->name, d->name_len},
		(struct queue_blob){site->name, site->name_len});
	for (l = d->cells.next; ok && l != &d->cells; l = l->next)
		ok = sched_cell_flow(q, site, QUEUE_OF(l, struct sched_cell, of_domain)) != NULL;
	for (l = d->cells.next; l != &d->cells; l = l->next) {
		struct sched_cell *cell = QUEUE_OF(l, struct sched_cell, of_domain);
		struct sched_flow *f = sched_flow_find(q, site, sched_cell_choice(q, cell), cell->stream);

		/* In the new flow before it is out of the old one: neither site may be freed under the cells.
		 */
		if (ok)
			sched_cell_set_flow(q, cell, f);
		else if (f != NULL)
			sched_flow_release(q, f);
	}
	d->policy = old;
	return ok;
}

/* All flows first, because that can fail; then nothing can. */
static int
domain_enter_site(struct queue_sched *q, struct sched_domain *d, struct queue_blob name)
{
	struct sched_site *site = name.len > 0 ? sched_site_get(q, name) : NULL;
	bool ok;

	if (site == NULL)
		return name.len > 0 ? QUEUE_ENOMEM : QUEUE_EINVAL;
	if (site == d->site)
		return QUEUE_OK;
	site->is_pinned = true;
	ok = make_flows(q, d, site);
	site->is_pinned = false;
	if (!ok) {
		sched_site_release(q, site);
		return QUEUE_ENOMEM;
	}
	domain_leave_site(q, d);
	queue_link_back(&site->domains, &d->of_site);
	site->domain_count++;
	d->site = site;
	return QUEUE_OK;
}

static void
domain_unroute(struct queue_sched *q, struct sched_domain *d)
{
	struct queue_link *l;

	for (l = d->cells.next; l != &d->cells; l = l->next)
		sched_cell_set_flow(q, QUEUE_OF(l, struct sched_cell, of_domain), NULL);
	domain_leave_site(q, d);
}

/* The age limit may differ where the domain goes now. */
static void
domain_new_policy(struct queue_sched *q, struct sched_domain *d)
{
	int64_t old_us = d->policy->expire_us;
	struct queue_link *l;
	int i;

	sched_domain_set_policy(q, d);
	for (i = 0; i < 2 && d->policy->expire_us != old_us; i++)
		for (l = d->timed_ages[i].next; l != &d->timed_ages[i]; l = l->next)
			sched_rcpt_arm(q, QUEUE_OF(l, struct sched_rcpt, age));
}

int
queue_sched_routed(
	struct queue_sched *q, struct queue_blob domain, const struct queue_route *route, int64_t now_us)
{
	struct sched_domain *d = sched_domain_find(q, domain);
	int64_t until_us = route->until_us;
	int err = QUEUE_OK;

	sched_clock(q, now_us);
	if (d == NULL)
		return QUEUE_ENOTFOUND;
	d->is_resolving = false;
	if (until_us < q->now_us + ROUTE_MIN_US)
		until_us = q->now_us + ROUTE_MIN_US;
	if (route->kind == QUEUE_ROUTE_SITE)
		err = domain_enter_site(q, d, route->site);
	else
		domain_unroute(q, d);
	if (err < 0)
		until_us = q->now_us + ROUTE_AGAIN_US; /* the old site, if any, goes on meanwhile */
	else if (route->kind == QUEUE_ROUTE_SITE)
		d->route = SCHED_ROUTE_SITE;
	else
		d->route = route->kind == QUEUE_ROUTE_FAIL ? SCHED_ROUTE_FAIL : SCHED_ROUTE_WAIT;
	if (err < 0 && d->site == NULL)
		d->route = SCHED_ROUTE_WAIT;
	d->until_us = until_us;
	sched_text_set(q, &d->why, route->why);
	domain_new_policy(q, d);
	if (d->site == NULL && !queue_link_is_alone(&d->runnable))
		sched_domain_want(q, d);
	sched_domain_linger(q, d);
	sched_domain_arm(q, d);
	return err;
}
