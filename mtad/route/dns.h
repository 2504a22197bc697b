/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_DNS_H
#define MTAD_ROUTE_DNS_H
/*
 * dns - answers by name and type, remembered as long as they are true
 *
 * One question under way for each name and type, however many ask. A positive answer holds for its TTL
 * within 1 minute and 1 day, a negative one for what its SOA says within 1 and 15 minutes, a failure for
 * dns-retry; spread by a tenth so that what was learned together is not forgotten together. A positive
 * answer that cannot be renewed for a passing reason is used for one more hour.
 *
 * Owner    struct route, on the queue thread.
 * Memory   dns-cache-max answers of 512 bytes on average; the least recently used goes first. Answers are
 *          counted: whoever holds one keeps it.
 * Fails    never: what failed is an answer too (DNS_FAULT). A wait is answered exactly once, from the loop,
 *          unless dns is destroyed before.
 * Spec     RFC 1035 7.4, RFC 2181 5, RFC 2308, RFC 8767 (stale answers), RFC 9520.
 */
#include "route/resolver.h"

struct dns;
struct log;

enum dns_answer_kind {
	DNS_RECORDS,
	DNS_NODATA,   /* the name exists, without such a record */
	DNS_NXDOMAIN, /* there is no such name */
	DNS_FAULT,    /* nobody could say: timeout, SERVFAIL, REFUSED, nonsense ... */
};

struct dns_item {
	uint16_t preference;
	union {
		struct in_addr v4;
		struct in6_addr v6;
		const char *text; /* MX: the name, "" for "."; TXT: the strings joined */
	};
};

/* Not to be changed by the holder. */
struct dns_answer {
	uint32_t refs;
	enum dns_answer_kind kind;
	uint16_t count;
	size_t bytes;
	int64_t expire_us; /* monotonic */
	const char *why;   /* NXDOMAIN, FAULT: "NXDOMAIN from 127.0.0.1:53" */
	struct dns_item items[];
};
struct dns_answer *dns_answer_ref(struct dns_answer *a);
void dns_answer_unref(struct dns_answer **ap); /* NULL inside is fine */

/* Embedded in whoever waits. The callback borrows the answer. */
struct dns_wait {
	struct dns_wait *next;
	void (*done)(struct dns_wait *w, struct dns_answer *answer);
	void *arg;
};

struct dns *dns_create(struct event_base *base, const struct clock *clock, const struct conf *conf,
	struct log *log, const char *resolv_path);
void dns_destroy(struct dns **dp);
void dns_reconfigure(struct dns *d, const struct conf *conf);

/* The answer at once (the caller's reference) when it is known; else NULL, and w->done is called later. */
struct dns_answer *dns_get(struct dns *d, const char *name, uint16_t type, struct dns_wait *w);
/* The same without looking into the cache. */
struct dns_answer *dns_get_fresh(struct dns *d, const char *name, uint16_t type, struct dns_wait *w);

struct dns_stats {
	struct resolver_stats resolver;
	uint64_t cache_hits, cache_entries, cache_bytes;
};
void dns_stats(const struct dns *d, struct dns_stats *out);
const struct resolver *dns_resolver(const struct dns *d);
#endif
