/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_RESOLVER_SERVERS_H
#define MTAD_ROUTE_RESOLVER_SERVERS_H
/*
 * resolver_servers - which resolvers to ask: from dns-servers, or from the nameserver lines of resolv.conf
 *
 * Nothing else of resolv.conf is used: a search list would send mail to names nobody wrote.
 *
 * Owner    the caller. Memory: fixed. Thread: any.
 * Fails    never: what cannot be read is skipped, and without any server it is 127.0.0.1:53.
 */
#include "conf/conf.h"

#define RESOLVER_SERVER_TEXT_MAX 64

struct resolver_address {
	int family;
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
	uint16_t port;
	char text[RESOLVER_SERVER_TEXT_MAX]; /* "127.0.0.1:53", "[::1]:53" */
};

/* "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:53". */
bool resolver_address_parse(const char *text, size_t len, struct resolver_address *out);
/* Fills at most max; returns how many (1 or more). */
uint32_t resolver_servers_read(
	const struct conf *conf, const char *resolv_path, struct resolver_address *out, uint32_t max);
#endif
