/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_ZONE_H
#define MTASIM_ZONE_H
/*
 * mtasim_zone - a DNS query in, the scripted answer out; no sockets
 *
 * Owner    the caller; the script is borrowed for the call.
 * Memory   none; the answer goes into the caller's buffer.
 * Thread   any.
 * Fails    never: what is not a query gets no answer (length 0), what is odd gets FORMERR or NOTIMP.
 * Spec     RFC 1035 4, RFC 2181, RFC 2308 (negative answers carry an SOA), RFC 6891 (size), RFC 7505 (Null
 * MX).
 */
#include "mtasim_script.h"

enum { ZONE_ANSWER_MAX = 65535 };

enum zone_rcode {
	ZONE_NOERROR,
	ZONE_FORMERR,
	ZONE_SERVFAIL,
	ZONE_NXDOMAIN,
	ZONE_NOTIMP,
	ZONE_REFUSED,
	ZONE_RCODE_COUNT
};
enum zone_type {
	ZONE_A = 1,
	ZONE_CNAME = 5,
	ZONE_SOA = 6,
	ZONE_MX = 15,
	ZONE_TXT = 16,
	ZONE_AAAA = 28,
	ZONE_OPT = 41
};

struct zone_query {
	const uint8_t *bytes;
	size_t len;
	bool is_tcp;
	int64_t since_start_us; /* for faults that heal */
};

struct zone_fact {
	uint16_t type;
	enum zone_rcode rcode;
	bool is_truncated;
	bool is_empty;               /* NOERROR without an answer */
	int64_t delay_us;            /* answer so much later */
	const struct sim_site *site; /* whose name it was; NULL: nobody's */
};

/* Bytes of the answer in buf (at least ZONE_ANSWER_MAX long); 0: stay silent. */
size_t zone_answer(
	const struct sim_script *s, const struct zone_query *query, uint8_t *buf, struct zone_fact *out_fact);
#endif
