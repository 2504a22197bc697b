/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_RESOLVER_H
#define MTAD_ROUTE_RESOLVER_H
/*
 * resolver - one question until some resolver answers it, or until all have had their tries
 *
 * Each resolver has its own c-ares channel with a single try, so that the choice of the next one is ours:
 * one that stays silent is asked last for a while, one that says SERVFAIL, REFUSED or nonsense is not asked
 * again for the same name. At most RESOLVER_WINDOW questions that may be answered any moment are under way,
 * and RESOLVER_SLOW_MAX slow ones; the others wait in line.
 *
 * Owner    struct dns, on the queue thread.
 * Memory   one small object a question.
 * Fails    every question is answered exactly once, from the loop, never inside resolver_ask; after
 *          resolver_destroy none is. Without any usable configuration 127.0.0.1:53 is asked, as libc does.
 * Spec     RFC 1035 7, RFC 6891, RFC 7766 (TCP after truncation, by c-ares), RFC 9520 (failures are not
 *          hammered).
 */
#include "base/clock.h"
#include "conf/conf.h"
#include "route/dns_packet.h"

#define RESOLVER_SERVERS_MAX 8
#define RESOLVER_WINDOW      500  /* 10,000 under way overflow the socket's buffer and run into timeouts */
#define RESOLVER_SLOW_MAX    5000 /* more that have not been answered for a while */

struct event_base;
struct resolver;

struct resolver_answer {
	struct dns_packet *packet; /* NOERROR or NXDOMAIN; NULL: nobody had an answer */
	const char *why;           /* without packet, and for NXDOMAIN: "SERVFAIL from 127.0.0.1:53" */
};
/* The answer is borrowed until the callback returns. */
typedef void resolver_done(void *owner, void *arg, const struct resolver_answer *answer);

struct resolver_conf {
	struct event_base *base;
	const struct clock *clock;
	const char *resolv_path; /* "/etc/resolv.conf", asked for when dns-servers is not set */
	resolver_done *done;
	void *owner;
};
struct resolver *resolver_create(const struct resolver_conf *rc, const struct conf *conf);
void resolver_destroy(struct resolver **rp);
/* True when the set of resolvers has changed. Questions under way start again at the new ones. */
bool resolver_reconfigure(struct resolver *r, const struct conf *conf);

/* `name` as dns_packet_parse wants it; false: it cannot be asked for, and done will not be called. */
bool resolver_ask(struct resolver *r, const char *name, uint16_t type, void *arg);

struct resolver_stats {
	uint64_t queries, answers, timeouts, servfails, nxdomains, in_flight, waiting;
	uint32_t window;
};
void resolver_stats(const struct resolver *r, struct resolver_stats *out);
/* "127.0.0.1:53"; NULL past the last. */
const char *resolver_server(const struct resolver *r, uint32_t index);
#endif
