/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_DNS_PACKET_H
#define MTAD_ROUTE_DNS_PACKET_H
/*
 * dns_packet - questions as bytes, and what an answer says to the question asked
 *
 * Owner    the caller: pure functions on its bytes.
 * Memory   one struct dns_packet (about 30 KB, reused for every answer); no allocation. At most
 *          DNS_RECORDS_MAX records.
 * Thread   any.
 * Fails    negative enum dns_packet_err; *out is then without meaning except `rcode`. A record that makes
 *          no sense is skipped and counted, a packet that makes none is refused whole.
 * Spec     RFC 1035 4, RFC 2181 8, RFC 2308 2-5, RFC 6891 6.1.3, RFC 3596, RFC 6840 5.7 (AD in questions).
 */
#include "base/domain.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_MX = 15,
	DNS_TYPE_TXT = 16,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_OPT = 41,
};

enum dns_rcode {
	DNS_RCODE_NOERROR = 0,
	DNS_RCODE_FORMERR = 1,
	DNS_RCODE_SERVFAIL = 2,
	DNS_RCODE_NXDOMAIN = 3,
	DNS_RCODE_NOTIMP = 4,
	DNS_RCODE_REFUSED = 5,
};

enum dns_packet_err {
	DNS_PACKET_EMALFORMED = -1, /* lengths past the end, compression that runs forward, no header ... */
	DNS_PACKET_EMISMATCH = -2,  /* not an answer, or to another question */
	DNS_PACKET_ETRUNCATED = -3, /* TC: not the whole answer */
	DNS_PACKET_ECHAIN = -4,     /* CNAMEs in a loop or longer than DNS_CHAIN_MAX */
};

#define DNS_QUERY_MAX   300  /* bytes of a question with OPT */
#define DNS_RECORDS_MAX 100  /* of one answer; the rest is counted and ignored */
#define DNS_CHAIN_MAX   10   /* CNAMEs followed */
#define DNS_UDP_BYTES   1232 /* what fits every path without fragments (DNS flag day 2020) */
#define DNS_TEXT_MAX    (DNS_RECORDS_MAX * DOMAIN_MAX)

struct dns_record {
	uint16_t preference; /* MX */
	uint16_t text_bytes; /* MX, PTR, TXT: without the NUL */
	union {
		struct in_addr v4;
		struct in6_addr v6;
		uint32_t text; /* offset in the packet's text: MX or PTR name ("" for "."), joined strings of
				  a TXT */
	};
};

struct dns_packet {
	uint16_t rcode;    /* extended with the OPT's bits */
	bool is_authentic; /* AD: to be believed only from a trusted resolver (RFC 4035 4.9.3) */
	bool has_soa;
	uint16_t chain_count;   /* CNAMEs followed */
	char alias[DOMAIN_MAX]; /* where they led; the question's name without any */
	uint32_t ttl_s; /* least of chain and records; of a negative answer min(SOA TTL, SOA minimum), 0: no
			   SOA */
	uint16_t record_count;
	uint32_t skipped_count; /* of the right name and type, but nonsense */
	uint32_t ignored_count; /* beyond DNS_RECORDS_MAX or DNS_TEXT_MAX */
	uint32_t text_bytes;
	struct dns_record records[DNS_RECORDS_MAX];
	char text[DNS_TEXT_MAX];
};

/* Recursion desired, AD set. Returns the bytes written; 0 when `name` cannot be asked for (RFC 1035 2.3.4).
 */
size_t dns_packet_write_query(
	uint8_t buf[DNS_QUERY_MAX], const char *name, uint16_t type, uint16_t id, bool has_edns);

/* `name` in lower case without trailing dot. 0: *out is whole, whatever its rcode. */
int dns_packet_parse(
	const uint8_t *in, size_t in_bytes, const char *name, uint16_t type, struct dns_packet *out);

/* "SERVFAIL", or "RCODE" for what has no name here. */
const char *dns_rcode_text(uint16_t rcode);
const char *dns_type_text(uint16_t type);
#endif
