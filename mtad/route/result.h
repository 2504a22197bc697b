/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_RESULT_H
#define MTAD_ROUTE_RESULT_H
/*
 * result - a struct route_result is written once, as a whole, into one piece of memory
 *
 * Owner    whoever holds a reference (route_ref, route_unref in route.h).
 * Memory   one allocation; at most RESULT_HOSTS_MAX hosts and RESULT_ADDRESSES_MAX addresses.
 * Thread   made on the queue thread, read on any.
 * Fails    never.
 */
#include "route/dns_packet.h"
#include "route/route.h"

#define RESULT_HOSTS_MAX     DNS_RECORDS_MAX
#define RESULT_ADDRESSES_MAX 200
#define RESULT_WHY_MAX       512

/* What is to be said. The pointers are borrowed until result_create returns. */
struct result_draft {
	enum route_kind kind;
	const char *site;
	int provider, static_route;
	int64_t expire_us;
	const char *esc;
	char why[RESULT_WHY_MAX];
	struct route_host hosts[RESULT_HOSTS_MAX]; /* best first */
	uint32_t host_count;
	struct route_address addresses[RESULT_ADDRESSES_MAX]; /* by host, best first */
	uint32_t address_count;
};

/* Puts the addresses into the order in which they are tried. */
struct route_result *result_create(
	const struct result_draft *draft, const struct clock *clock, enum conf_family family);
#endif
