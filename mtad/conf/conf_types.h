/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_TYPES_H
#define MTAD_CONF_CONF_TYPES_H
/*
 * conf_types - what a value of the configuration is made of, where a number or a text is not enough
 *
 * Owner    the configuration; arrays live as long as it does. Thread: immutable.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct conf_list {
	const char *const *items;
	size_t count;
};
struct conf_durations {
	const int64_t *us;
	size_t count;
};
struct conf_rate {
	int64_t count; /* 0: no limit */
	int64_t per_us;
};
/* All of them hold: at most `count` of messages, connections, recipients or (BYTE_RATES) bytes in each window
 * of 1 s to 31 days. The shortest window first, each window once. Empty: no limit. */
#define CONF_RATES_MAX 8
struct conf_rates {
	const struct conf_rate *items;
	size_t count;
};
/* An address prefix. IPv4 is kept as IPv4; a mapped IPv6 client is compared as IPv4 (A53). */
struct conf_network {
	struct in6_addr address; /* v4 mapped into ::ffff:0:0/96 */
	int prefix;              /* of the 128 bits */
};
struct conf_networks {
	const struct conf_network *items;
	size_t count;
};
/* "*:587" gives two entries; a path gives family AF_UNIX. */
struct conf_endpoint {
	int family;
	struct sockaddr_storage address;
	socklen_t address_len;
	const char *text; /* as written */
};
struct conf_endpoints {
	const struct conf_endpoint *items;
	size_t count;
};
#endif
