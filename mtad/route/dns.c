/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache. An entry is one name and type; it is either resting (in the LRU list, with an answer) or being
 * asked for (not in the list, so it cannot be evicted, maybe with an old answer that may serve once more).
 *
 * Invariants: every entry is in exactly one bucket; `bytes` is the sum over resting answers; waiters are only
 * on entries being asked for; callbacks run when the entry is settled, so they may ask again.
 */
#include "route/dns.h"

#include "base/log.h"
#include "route/alloc.h"

#include <assert.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define BUCKETS_MIN 1024 /* a power of two */

static const int64_t second_us = 1000000;
static const int64_t ttl_min_s = 60, ttl_max_s = 86400, negative_max_s = 900;
static const int64_t stale_us = 3600 * second_us;
static const size_t dns_answer_bytes_mean = 512;

struct entry {
	struct entry *next; /* in its bucket */
	TAILQ_ENTRY(entry) lru;
	uint32_t hash;
	uint32_t epoch;
	uint16_t type;
	bool is_asked;
	struct dns_answer *answer; /* NULL: never had one */
	int64_t stale_until_us;
	struct dns_wait *waits; /* newest first */
	char name[];
};

TAILQ_HEAD(entry_list, entry);

struct dns {
	const struct clock *clock;
	struct log *log;
	struct resolver *resolver;
	uint32_t seed;
	uint32_t epoch; /* grows when other resolvers are asked: what the old ones said has to be asked again
			 */
	int64_t entries_max, retry_us;
	struct entry **buckets;
	size_t bucket_count;
	uint64_t entries;
	uint64_t resting; /* those the limit counts; the others are as many as domains wait for an answer */
	size_t bytes;
	uint64_t hits;
	struct entry_list lru; /* oldest first */
};

struct dns_answer *
dns_answer_ref(struct dns_answer *a)
{
	assert(a->refs > 0);
	a->refs++;
	return a;
}

void
dns_answer_unref(struct dns_answer **ap)
{
	struct dns_answer *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	assert(a->refs > 0);
	if (--a->refs == 0)
		free(a);
}

/* --- answers --- */

static struct dns_answer *
answer_create(uint16_t count, size_t text_bytes, const char *why)
{
	size_t why_bytes = why != NULL ? strnlen(why, DOMAIN_MAX) + 1 : 0;
	size_t head = sizeof(struct dns_answer) + count * sizeof(struct dns_item);
	struct dns_answer *a = route_alloc(head + text_bytes + why_bytes);

	a->refs = 1;
	a->count = count;
	a->bytes = head + text_bytes + why_bytes;
	a->why = "";
	if (why_bytes > 0)
		a->why = memcpy((char *)a + head + text_bytes, why, why_bytes);
	return a;
}

static void
copy_items(struct dns_answer *a, const struct dns_packet *p, uint16_t type)
{
	char *text = (char *)&a->items[p->record_count];

	if (p->text_bytes > 0)
		memcpy(text, p->text, p->text_bytes);
	for (uint16_t i = 0; i < p->record_count; i++) {
		const struct dns_record *record = &p->records[i];
		struct dns_item *item = &a->items[i];

		item->preference = record->preference;
		if (type == DNS_TYPE_A)
			item->v4 = record->v4;
		else if (type == DNS_TYPE_AAAA)
			item->v6 = record->v6;
		else
			item->text = text + record->text;
	}
}

/* The TTL within its bounds, with a tenth of spread either way. */
static int64_t
life_us(const struct dns *d, uint32_t ttl_s, int64_t max_s)
{
	int64_t spread_us, us;

	us = (ttl_s < ttl_max_s ? ttl_s : ttl_max_s) * second_us;
	spread_us = us / 5;
	us += (int64_t)((uint64_t)spread_us * clock_random(d->clock) >> 32) - spread_us / 2;
	if (us < ttl_min_s * second_us)
		return ttl_min_s * second_us;
	return us < max_s * second_us ? us : max_s * second_us;
}

static struct dns_answer *
answer_of(const struct dns *d, uint16_t type, const struct resolver_answer *in)
{
	const struct dns_packet *p = in->packet;
	int64_t now_us = clock_mono(d->clock);
	struct dns_answer *a;

	if (p == NULL) {
		a = answer_create(0, 0, in->why);
		a->kind = DNS_FAULT;
		a->expire_us = now_us + d->retry_us;
	} else if (p->rcode == DNS_RCODE_NXDOMAIN || p->record_count == 0) {
		a = answer_create(0, 0, p->rcode == DNS_RCODE_NXDOMAIN ? in->why : NULL);
		a->kind = p->rcode == DNS_RCODE_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
		a->expire_us = now_us + life_us(d, p->ttl_s, negative_max_s);
	} else {
		a = answer_create(p->record_count, p->text_bytes, NULL);
		a->kind = DNS_RECORDS;
		a->expire_us = now_us + life_us(d, p->ttl_s, ttl_max_s);
		copy_items(a, p, type);
	}
	return a;
}

/* --- entries --- */

/* Seeded, so that nobody outside can fill one bucket. */
static uint32_t
hash_name(const struct dns *d, const char *name, size_t len, uint16_t type)
{
	uint64_t h = ((uint64_t)d->seed << 32 | type) ^ 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < len; i++) {
		h = (h ^ (uint8_t)name[i]) * 0xff51afd7ed558ccdu;
		h ^= h >> 29;
	}
	return (uint32_t)(h ^ h >> 32);
}

static void
grow(struct dns *d)
{
	size_t count = d->bucket_count * 2;
	struct entry **buckets = route_alloc(count * sizeof(*buckets));

	for (size_t i = 0; i < d->bucket_count; i++) {
		struct entry *e, *next;

		for (e = d->buckets[i]; e != NULL; e = next) {
			next = e->next;
			e->next = buckets[e->hash & (count - 1)];
			buckets[e->hash & (count - 1)] = e;
		}
	}
	free(d->buckets);
	d->buckets = buckets;
	d->bucket_count = count;
}

static struct entry *
entry_get(struct dns *d, const char *name, uint16_t type)
{
	size_t len = strnlen(name, DOMAIN_MAX - 1);
	uint32_t hash = hash_name(d, name, len, type);
	struct entry *e;

	for (e = d->buckets[hash & (d->bucket_count - 1)]; e != NULL; e = e->next)
		if (e->hash == hash && e->type == type && strncmp(e->name, name, len + 1) == 0)
			return e;
	if (d->entries >= d->bucket_count)
		grow(d);
	e = route_alloc(sizeof(*e) + len + 1);
	e->hash = hash;
	e->type = type;
	memcpy(e->name, name, len);
	e->next = d->buckets[hash & (d->bucket_count - 1)];
	d->buckets[hash & (d->bucket_count - 1)] = e;
	d->entries++;
	return e;
}

static void
entry_destroy(struct dns *d, struct entry *e)
{
	struct entry **at = &d->buckets[e->hash & (d->bucket_count - 1)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	dns_answer_unref(&e->answer);
	d->entries--;
	free(e);
}

static void
rest(struct dns *d, struct entry *e)
{
	e->is_asked = false;
	TAILQ_INSERT_TAIL(&d->lru, e, lru);
	d->resting++;
	d->bytes += e->answer->bytes;
}

static void
wake(struct dns *d, struct entry *e)
{
	TAILQ_REMOVE(&d->lru, e, lru);
	d->resting--;
	d->bytes -= e->answer->bytes;
}

static void
evict(struct dns *d)
{
	struct entry *e;

	while (((int64_t)d->resting > d->entries_max ||
		       d->bytes > (size_t)d->entries_max * dns_answer_bytes_mean) &&
		(e = TAILQ_FIRST(&d->lru)) != NULL) {
		wake(d, e);
		entry_destroy(d, e);
	}
}

/* An old positive answer stands in for a failure. A negative one does not: it might end mail that could be
 * delivered. */
static bool
may_stand_in(const struct dns *d, const struct entry *e, const struct dns_answer *fresh)
{
	return fresh->kind == DNS_FAULT && e->answer != NULL && e->answer->kind == DNS_RECORDS &&
	       clock_mono(d->clock) < e->stale_until_us;
}

static void
settle(struct dns *d, struct entry *e, struct dns_answer *take_answer)
{
	struct dns_wait *w = e->waits, *next, *in_order = NULL;
	struct dns_answer *a = take_answer;

	e->waits = NULL;
	e->epoch = d->epoch;
	if (may_stand_in(d, e, a)) {
		e->answer->expire_us = a->expire_us;
		dns_answer_unref(&a);
	} else {
		dns_answer_unref(&e->answer);
		e->answer = a;
		e->stale_until_us = a->expire_us + stale_us;
	}
	a = dns_answer_ref(e->answer);
	rest(d, e);
	evict(d); /* maybe of this entry itself, not of the answer */
	for (; w != NULL; w = next) {
		next = w->next;
		w->next = in_order;
		in_order = w;
	}
	for (w = in_order; w != NULL; w = next) {
		next = w->next; /* the wait may be gone after its callback */
		w->done(w, a);
	}
	dns_answer_unref(&a);
}

/* C10, C11: whoever wonders why a host is never tried finds it here, once for each answer. */
static void
tell_what_is_left_out(const struct dns *d, const struct entry *e, const struct dns_packet *p)
{
	char name[4 * DOMAIN_MAX];

	if (p == NULL || (p->skipped_count == 0 && p->ignored_count == 0))
		return;
	log_event(d->log, LOG_EVENT_dns_odd, "type=%s taken=%u too_many=%u nonsense=%u name=\"%s\"",
		dns_type_text(e->type), (unsigned)p->record_count, (unsigned)p->ignored_count,
		(unsigned)p->skipped_count,
		log_escape(name, sizeof(name), e->name, strnlen(e->name, DOMAIN_MAX)));
}

static void
on_resolved(void *owner, void *arg, const struct resolver_answer *in)
{
	struct dns *d = owner;
	struct entry *e = arg;

	assert(e->is_asked);
	tell_what_is_left_out(d, e, in->packet);
	settle(d, e, answer_of(d, e->type, in));
}

static struct dns_answer *
get(struct dns *d, const char *name, uint16_t type, struct dns_wait *w, bool is_fresh)
{
	struct entry *e = entry_get(d, name, type);
	bool is_resting = !e->is_asked && e->answer != NULL;

	if (is_resting && !is_fresh && e->epoch == d->epoch && clock_mono(d->clock) < e->answer->expire_us) {
		d->hits++;
		TAILQ_REMOVE(&d->lru, e, lru);
		TAILQ_INSERT_TAIL(&d->lru, e, lru);
		return dns_answer_ref(e->answer);
	}
	if (!e->is_asked) {
		if (!resolver_ask(d->resolver, name, type, e)) {
			struct dns_answer *a = answer_create(0, 0, "not a name the DNS can hold");

			assert(e->answer == NULL);
			entry_destroy(d, e);
			a->kind = DNS_NXDOMAIN;
			a->expire_us = clock_mono(d->clock) + negative_max_s * second_us;
			return a;
		}
		if (is_resting)
			wake(d, e);
		e->is_asked = true;
	}
	w->next = e->waits;
	e->waits = w;
	return NULL;
}

struct dns_answer *
dns_get(struct dns *d, const char *name, uint16_t type, struct dns_wait *w)
{
	return get(d, name, type, w, false);
}

struct dns_answer *
dns_get_fresh(struct dns *d, const char *name, uint16_t type, struct dns_wait *w)
{
	return get(d, name, type, w, true);
}

void
dns_reconfigure(struct dns *d, const struct conf *conf)
{
	if (resolver_reconfigure(d->resolver, conf))
		d->epoch++;
	d->entries_max = conf->dns_cache_max;
	d->retry_us = conf->dns_retry;
	evict(d);
}

struct dns *
dns_create(struct event_base *base, const struct clock *clock, const struct conf *conf, struct log *log,
	const char *resolv_path)
{
	struct dns *d = route_alloc(sizeof(*d));
	const struct resolver_conf rc = {base, clock, resolv_path, on_resolved, d};

	d->clock = clock;
	d->log = log;
	d->seed = clock_random(clock);
	d->entries_max = conf->dns_cache_max;
	d->retry_us = conf->dns_retry;
	d->bucket_count = BUCKETS_MIN;
	d->buckets = route_alloc(d->bucket_count * sizeof(d->buckets[0]));
	TAILQ_INIT(&d->lru);
	d->resolver = resolver_create(&rc, conf);
	if (d->resolver == NULL)
		dns_destroy(&d);
	else if (conf->dns_servers.count == 0 && access(resolv_path, R_OK) != 0)
		log_event(log, LOG_EVENT_resolver_missing, "file=%s asked=127.0.0.1", resolv_path);
	return d;
}

void
dns_destroy(struct dns **dp)
{
	struct dns *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	resolver_destroy(&d->resolver);
	for (size_t i = 0; i < d->bucket_count; i++) {
		struct entry *e, *next;

		for (e = d->buckets[i]; e != NULL; e = next) {
			next = e->next;
			dns_answer_unref(&e->answer);
			free(e);
		}
	}
	free(d->buckets);
	free(d);
}

void
dns_stats(const struct dns *d, struct dns_stats *out)
{
	resolver_stats(d->resolver, &out->resolver);
	out->cache_hits = d->hits;
	out->cache_entries = d->resting;
	out->cache_bytes = d->bytes;
}

const struct resolver *
dns_resolver(const struct dns *d)
{
	return d->resolver;
}
