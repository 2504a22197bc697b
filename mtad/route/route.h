/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_ROUTE_H
#define MTAD_ROUTE_ROUTE_H
/*
 * route - from a destination domain to the hosts that take its mail
 *
 * A static route from the configuration wins; else MX with preference and random order inside it, implicit
 * MX only on a clean NODATA, Null MX, CNAME rules, addresses of all exchangers in parallel, unwanted
 * targets dropped (loopback, private, own). One query in flight for each name and type, answers cached by
 * their TTL within limits, negative ones too.
 *
 * Owner    the queue thread; all calls and callbacks there. c-ares and the caches are inside.
 * Memory   bounded by dns_cache_max entries; results are counted and immutable, so sessions may keep them
 *          in any thread.
 * Fails    every look-up is answered exactly once, never inside route_lookup itself (from the loop, so no
 *          re-entrance).
 * Spec     RFC 5321 5.1, RFC 7505, RFC 2308, RFC 9520, RFC 1035.
 */
#include "base/clock.h"
#include "conf/conf.h"

#include <stdatomic.h>
#include <sys/socket.h>

struct event_base;
struct log;
struct route;

enum route_kind {
	ROUTE_HOSTS,
	ROUTE_WAIT, /* SERVFAIL, timeout, REFUSED, bogus ...: ask again at expire_us (wall) */
	ROUTE_FAIL, /* NXDOMAIN, no mail host, Null MX, only unwanted targets: final */
};

struct route_address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	uint16_t host; /* index into hosts */
};
struct route_host {
	const char *name; /* lower case, no trailing dot: TLS name, log */
	uint16_t preference;
};

/* Immutable, counted. Addresses stand in the order in which they are to be tried (preference, random inside
 * it, the two families interleaved as the domain's `family` setting says). */
struct route_result {
	_Atomic uint32_t refs;
	enum route_kind kind;
	const char *site; /* name of the receiving system: provider, route or normalised MX set
			     ("mx1.example.com") */
	int provider;     /* index in the configuration's providers, -1: none */
	int static_route; /* index in conf->routes, -1: by DNS */
	struct route_host *hosts;
	uint32_t host_count;
	struct route_address *addresses;
	uint32_t address_count;
	int64_t expire_us; /* wall clock; the answer holds until then */
	const char *esc;   /* FAIL and WAIT: enhanced code such as "5.1.2", "5.1.10", "4.4.3" */
	const char *why; /* and words: "example.com has no MX and no address", "NXDOMAIN from 127.0.0.1:53" */
};
struct route_result *route_ref(struct route_result *r);
void route_unref(struct route_result *r); /* any thread */

/* `log` gets what was left out of answers. */
struct route *route_create(
	struct event_base *base, const struct clock *clock, const struct conf *conf, struct log *log);
/* Look-ups under way are forgotten, not answered. Not inside a callback. */
void route_destroy(struct route **rp);
/* New settings: resolvers, limits, routes, providers. Answers under way still come; cached results are
 * re-grouped. */
void route_reconfigure(struct route *r, const struct conf *conf);

/* `domain` is normalised (lower case A-label) or an address literal "[192.0.2.1]". The callback borrows
 * result (ref it). */
typedef void route_done(void *arg, const char *domain, struct route_result *result);
void route_lookup(struct route *r, const char *domain, route_done *done, void *arg);

/* Address lists are shuffled anew for every session: a copy of the order, preference kept, random inside it.
 * order[i] are indexes into addresses; returns how many (at most order_max). */
uint32_t route_order(const struct route_result *r, const struct clock *clock, enum conf_family family,
	uint16_t *order, uint32_t order_max);

struct route_stats {
	uint64_t queries, answers, timeouts, servfails, nxdomains, cache_hits, cache_entries, in_flight;
};
void route_stats(const struct route *r, struct route_stats *out);

/* TXT records of a name, for `mtactl dkim check`: each on a line of its own, its strings joined; or NULL with
 * why. Asks anew. Same callback rules. */
typedef void route_txt_done(void *arg, const char *text, const char *why);
void route_txt(struct route *r, const char *name, route_txt_done *done, void *arg);

/* True for addresses mail may not go to by DNS: loopback, private, link-local, multicast, documentation,
 * unspecified, mapped/NAT64 forms of those. */
bool route_is_unwanted(const struct sockaddr *address);
#endif
