/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_DNS_H
#define MTASIM_DNS_H
/*
 * mtasim_dns - the sockets of the DNS server: UDP and TCP on one port
 *
 * Owner    main. Thread: the base's.
 * Memory   a few KB for each TCP connection (at most 500) and each answer that is held back (at most 10,000).
 * Fails    at create, with errno.
 */
#include "mtasim_zone.h"

struct event_base;
struct dns;

struct dns_counts {
	uint64_t udp, tcp, mx, address, other;
	uint64_t answered, empty, truncated, silent;
	uint64_t rcodes[ZONE_RCODE_COUNT];
};

struct dns *dns_create(
	struct event_base *base, const struct sim_script *s, const struct sockaddr_in *address);
void dns_destroy(struct dns **dp);
const struct dns_counts *dns_counts(const struct dns *d);
#endif
