/* SPDX-License-Identifier: Apache-2.0 */
/* dns_packet: answers as resolvers and attackers write them, each whole, cut at every position and with every
 * byte wrong. */
#include "route/dns_packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A packet under construction. */
struct packet {
	uint8_t bytes[65535];
	size_t len;
};

static struct dns_packet out;

static void
put(struct packet *p, const void *bytes, size_t len)
{
	assert_true(p->len + len <= sizeof(p->bytes));
	memcpy(p->bytes + p->len, bytes, len);
	p->len += len;
}

static void
put16(struct packet *p, unsigned value)
{
	const uint8_t b[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	put(p, b, 2);
}

static void
put32(struct packet *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p, value & 0xffff);
}

static void
put_name(struct packet *p, const char *name)
{
	while (*name != '\0') {
		uint8_t len = (uint8_t)strcspn(name, ".");

		put(p, &len, 1);
		put(p, name, len);
		name += len + (name[len] == '.');
	}
	put(p, "", 1);
}

static void
begin(struct packet *p, unsigned flags, const char *name, uint16_t type)
{
	p->len = 0;
	put16(p, 0x1234);
	put16(p, flags);
	put16(p, 1);
	put16(p, 0);
	put32(p, 0);
	put_name(p, name);
	put16(p, type);
	put16(p, 1);
}

/* section: 0 answer, 1 authority, 2 additional */
static void
put_rr(struct packet *p, int section, const char *name, uint16_t type, uint32_t ttl_s)
{
	p->bytes[7 + 2 * section]++;
	if (p->bytes[7 + 2 * section] == 0)
		p->bytes[6 + 2 * section]++;
	put_name(p, name);
	put16(p, type);
	put16(p, 1);
	put32(p, ttl_s);
}

static void
put_a(struct packet *p, const char *name, uint32_t ttl_s, uint32_t address)
{
	put_rr(p, 0, name, DNS_TYPE_A, ttl_s);
	put16(p, 4);
	put32(p, address);
}

static void
put_mx(struct packet *p, const char *name, uint32_t ttl_s, unsigned preference, const char *mx)
{
	size_t at;

	put_rr(p, 0, name, DNS_TYPE_MX, ttl_s);
	at = p->len;
	put16(p, 0);
	put16(p, preference);
	put_name(p, mx);
	p->bytes[at + 1] = (uint8_t)(p->len - at - 2);
}

static void
put_cname(struct packet *p, const char *name, uint32_t ttl_s, const char *target)
{
	size_t at;

	put_rr(p, 0, name, DNS_TYPE_CNAME, ttl_s);
	at = p->len;
	put16(p, 0);
	put_name(p, target);
	p->bytes[at + 1] = (uint8_t)(p->len - at - 2);
}

static void
put_soa(struct packet *p, const char *zone, uint32_t ttl_s, uint32_t minimum_s)
{
	size_t at;

	put_rr(p, 1, zone, DNS_TYPE_SOA, ttl_s);
	at = p->len;
	put16(p, 0);
	put_name(p, "ns.example");
	put_name(p, "root.example");
	for (int i = 0; i < 4; i++)
		put32(p, 7777);
	put32(p, minimum_s);
	p->bytes[at + 1] = (uint8_t)(p->len - at - 2);
}

/* Every prefix is refused, and no single wrong byte leads outside (the sanitizer watches). */
static void
maul(const struct packet *p, const char *name, uint16_t type)
{
	for (size_t len = 0; len < p->len; len++) {
		uint8_t *exact = malloc(len + 1);

		memcpy(exact, p->bytes, len);
		assert_true(dns_packet_parse(exact, len, name, type, &out) < 0);
		free(exact);
	}
	for (size_t i = 0; i < p->len; i++) {
		static const uint8_t wrong[] = {0x00, 0x01, 0x3f, 0x40, 0x7f, 0xc0, 0xff};
		uint8_t *exact = malloc(p->len);

		for (size_t k = 0; k < sizeof(wrong); k++) {
			memcpy(exact, p->bytes, p->len);
			exact[i] = wrong[k];
			(void)dns_packet_parse(exact, p->len, name, type, &out);
			assert_true(out.record_count <= DNS_RECORDS_MAX);
		}
		free(exact);
	}
}

static int
parse(const struct packet *p, const char *name, uint16_t type)
{
	maul(p, name, type);
	return dns_packet_parse(p->bytes, p->len, name, type, &out);
}

static void
test_query(void **state)
{
	static const uint8_t want[] =
		"\x12\x34\x01\x20\0\1\0\0\0\0\0\1\7example\3com\0\0\x0f\0\1\0\0\x29\x04\xd0"
		"\0\0\0\0\0\0";
	uint8_t buf[DNS_QUERY_MAX];

	assert_int_equal(
		dns_packet_write_query(buf, "example.com", DNS_TYPE_MX, 0x1234, true), sizeof(want) - 1);
	assert_memory_equal(buf, want, sizeof(want) - 1);
	assert_int_equal(
		dns_packet_write_query(buf, "example.com", DNS_TYPE_MX, 0x1234, false), sizeof(want) - 12);
}

static void
test_query_refused(void **state)
{
	static const char *const refused[] = {"", ".", "a..b", ".a", "a.",
		"a234567890123456789012345678901234567890123456789012345678901234.example"};
	uint8_t buf[DNS_QUERY_MAX];
	char name[DOMAIN_MAX];

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(dns_packet_write_query(buf, refused[i], DNS_TYPE_A, 1, true), 0);
	memset(name, 'a', sizeof(name));
	for (size_t i = 60; i < sizeof(name); i += 61)
		name[i] = '.';
	name[254] = '\0';
	assert_int_equal(dns_packet_write_query(buf, name, DNS_TYPE_A, 1, true), 0);
	name[253] = '\0';
	assert_int_equal(dns_packet_write_query(buf, name, DNS_TYPE_A, 1, true), 12 + 255 + 4 + 11);
}

static void
test_mx(void **state)
{
	static struct packet p;

	begin(&p, 0x81a0, "Example.COM", DNS_TYPE_MX);
	put_mx(&p, "example.com", 300, 10, "MX1.example.com");
	put_mx(&p, "EXAMPLE.com", 200, 20, "mx2.example.com");
	put_a(&p, "elsewhere.example", 10, 1);
	assert_int_equal(parse(&p, "example.com", DNS_TYPE_MX), 0);
	assert_true(out.is_authentic);
	assert_int_equal(out.rcode, DNS_RCODE_NOERROR);
	assert_int_equal(out.record_count, 2);
	assert_int_equal(out.ttl_s, 200);
	assert_int_equal(out.records[0].preference, 10);
	assert_string_equal(out.text + out.records[0].text, "mx1.example.com");
	assert_string_equal(out.text + out.records[1].text, "mx2.example.com");
	assert_int_equal(out.skipped_count, 0);
}

static void
test_null_mx(void **state)
{
	static struct packet p;

	begin(&p, 0x8180, "example.com", DNS_TYPE_MX);
	put_mx(&p, "example.com", 300, 0, "");
	assert_int_equal(parse(&p, "example.com", DNS_TYPE_MX), 0);
	assert_false(out.is_authentic);
	assert_int_equal(out.record_count, 1);
	assert_string_equal(out.text + out.records[0].text, "");
}

static void
test_compression(void **state)
{
	static struct packet p;

	begin(&p, 0x8180, "example.com", DNS_TYPE_MX);
	p.bytes[7] = 1;
	put16(&p, 0xc00c); /* owner: the question's name */
	put16(&p, DNS_TYPE_MX);
	put16(&p, 1);
	put32(&p, 60);
	put16(&p, 8);
	put16(&p, 5);
	put(&p, "\3mx1\xc0\x0c", 6);
	assert_int_equal(parse(&p, "example.com", DNS_TYPE_MX), 0);
	assert_int_equal(out.record_count, 1);
	assert_string_equal(out.text + out.records[0].text, "mx1.example.com");
}

static void
test_cname(void **state)
{
	static struct packet p;

	/* Out of order, as some servers rotate them. */
	begin(&p, 0x8180, "a.example", DNS_TYPE_A);
	put_a(&p, "c.example", 500, 0xc0000201);
	put_cname(&p, "b.example", 100, "C.example");
	put_cname(&p, "a.example", 400, "b.example");
	put_a(&p, "a.example", 1, 0x01010101 + 1);
	assert_int_equal(parse(&p, "a.example", DNS_TYPE_A), 0);
	assert_int_equal(out.chain_count, 2);
	assert_string_equal(out.alias, "c.example");
	assert_int_equal(out.record_count, 1);
	assert_int_equal(out.ttl_s, 100);
	assert_int_equal(ntohl(out.records[0].v4.s_addr), 0xc0000201);
}

static void
test_cname_loop(void **state)
{
	static struct packet p;

	begin(&p, 0x8180, "a.example", DNS_TYPE_A);
	put_cname(&p, "a.example", 400, "b.example");
	put_cname(&p, "b.example", 400, "a.example");
	assert_int_equal(parse(&p, "a.example", DNS_TYPE_A), DNS_PACKET_ECHAIN);
}

static void
chain(struct packet *p, int links)
{
	char from[32], to[32];

	begin(p, 0x8180, "n0.example", DNS_TYPE_A);
	for (int i = 0; i < links; i++) {
		snprintf(from, sizeof(from), "n%d.example", i);
		snprintf(to, sizeof(to), "n%d.example", i + 1);
		put_cname(p, from, 60, to);
	}
	put_a(p, to, 60, 1);
}

static void
test_cname_bound(void **state)
{
	static struct packet p;

	chain(&p, DNS_CHAIN_MAX);
	assert_int_equal(parse(&p, "n0.example", DNS_TYPE_A), 0);
	assert_int_equal(out.record_count, 1);
	chain(&p, DNS_CHAIN_MAX + 1);
	assert_int_equal(parse(&p, "n0.example", DNS_TYPE_A), DNS_PACKET_ECHAIN);
}

static void
test_negative(void **state)
{
	static struct packet p;

	begin(&p, 0x8183, "nx.example", DNS_TYPE_MX);
	put_soa(&p, "example", 3600, 120);
	assert_int_equal(parse(&p, "nx.example", DNS_TYPE_MX), 0);
	assert_int_equal(out.rcode, DNS_RCODE_NXDOMAIN);
	assert_true(out.has_soa);
	assert_int_equal(out.ttl_s, 120);

	begin(&p, 0x8180, "nx.example", DNS_TYPE_MX);
	put_soa(&p, "example", 100, 7200);
	assert_int_equal(parse(&p, "nx.example", DNS_TYPE_MX), 0);
	assert_int_equal(out.rcode, DNS_RCODE_NOERROR);
	assert_int_equal(out.record_count, 0);
	assert_int_equal(out.ttl_s, 100);

	begin(&p, 0x8180, "nx.example", DNS_TYPE_MX);
	assert_int_equal(parse(&p, "nx.example", DNS_TYPE_MX), 0);
	assert_false(out.has_soa);
	assert_int_equal(out.ttl_s, 0);
}

/* Data of a wrong length: the record is skipped, its neighbours stand. */
static const struct {
	const char *name;
	uint16_t type;
	const char *data;
	size_t len;
} nonsense[] = {
	{"C10 MX of 0 bytes", DNS_TYPE_MX, "", 0},
	{"C10 MX of 1 byte", DNS_TYPE_MX, "\0", 1},
	{"C10 MX of 2 bytes", DNS_TYPE_MX, "\0\1", 2},
	{"MX with bytes after the name", DNS_TYPE_MX, "\0\1\1a\0\0", 6},
	{"MX with a name past its end", DNS_TYPE_MX, "\0\1\1a", 4},
	{"MX name with a blank", DNS_TYPE_MX, "\0\1\3a b\0", 7},
	{"MX name with a dot in a label", DNS_TYPE_MX, "\0\1\3a.b\0", 7},
	{"MX name with 8 bits", DNS_TYPE_MX, "\0\1\2\xc3\xa4\0", 6},
	{"PTR of 0 bytes", DNS_TYPE_PTR, "", 0},
	{"PTR with bytes after the name", DNS_TYPE_PTR, "\1a\0\0", 4},
	{"PTR with a name past its end", DNS_TYPE_PTR, "\4a", 2},
	{"PTR name with a blank", DNS_TYPE_PTR, "\3a b\0", 5},
	{"A of 3 bytes", DNS_TYPE_A, "\1\2\3", 3},
	{"A of 5 bytes", DNS_TYPE_A, "\1\2\3\4\5", 5},
	{"A of 0 bytes", DNS_TYPE_A, "", 0},
	{"AAAA of 4 bytes", DNS_TYPE_AAAA, "\1\2\3\4", 4},
	{"AAAA of 17 bytes", DNS_TYPE_AAAA, "\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\1", 17},
	{"TXT of 0 bytes", DNS_TYPE_TXT, "", 0},
	{"TXT with a fragment past its end", DNS_TYPE_TXT, "\5abc", 4},
};

static void
test_nonsense(void **state)
{
	static struct packet p;

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		print_message("  %s\n", nonsense[i].name);
		begin(&p, 0x8180, "x.example", nonsense[i].type);
		put_rr(&p, 0, "x.example", nonsense[i].type, 60);
		put16(&p, (unsigned)nonsense[i].len);
		put(&p, nonsense[i].data, nonsense[i].len);
		put_rr(&p, 0, "x.example", DNS_TYPE_TXT, 60);
		put16(&p, 3);
		put(&p, "\2ok", 3);
		/* Some of these run into the next record by themselves, so not every cut is an error: no
		 * maul(). */
		assert_int_equal(dns_packet_parse(p.bytes, p.len, "x.example", nonsense[i].type, &out), 0);
		assert_int_equal(out.skipped_count, 1);
		assert_int_equal(out.record_count, nonsense[i].type == DNS_TYPE_TXT);
	}
}

static void
test_ptr(void **state)
{
	static struct packet p;

	begin(&p, 0x8180, "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR);
	put_rr(&p, 0, "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, 60);
	put16(&p, 11);
	put(&p, "\1A\7example\0", 11);
	assert_int_equal(parse(&p, "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR), 0);
	assert_int_equal(out.record_count, 1);
	assert_int_equal(out.records[0].text_bytes, 9);
	assert_string_equal(out.text + out.records[0].text, "a.example");
	assert_string_equal(dns_type_text(DNS_TYPE_PTR), "PTR");
}

static void
test_txt(void **state)
{
	static struct packet p;
	static uint8_t many[1 + 255 + 1 + 1 + 3];

	many[0] = 255;
	memset(many + 1, 'k', 255);
	many[256] = 0; /* an empty fragment */
	many[257] = 2;
	many[258] = '\n';
	many[259] = 'z';
	begin(&p, 0x8180, "s._domainkey.example", DNS_TYPE_TXT);
	put_rr(&p, 0, "s._domainkey.example", DNS_TYPE_TXT, 60);
	put16(&p, 260);
	put(&p, many, 260);
	assert_int_equal(parse(&p, "s._domainkey.example", DNS_TYPE_TXT), 0);
	assert_int_equal(out.record_count, 1);
	assert_int_equal(out.records[0].text_bytes, 257);
	assert_string_equal(out.text + out.records[0].text + 254, "k?z");
}

static void
test_cap(void **state)
{
	static struct packet p;

	begin(&p, 0x8180, "x.example", DNS_TYPE_A);
	for (uint32_t i = 0; i < 2300; i++) /* what fits into 64 KB */
		put_a(&p, "x.example", 60, i);
	assert_int_equal(dns_packet_parse(p.bytes, p.len, "x.example", DNS_TYPE_A, &out), 0);
	assert_int_equal(out.record_count, DNS_RECORDS_MAX);
	assert_int_equal(out.ignored_count, 2300 - DNS_RECORDS_MAX);
}

static void
test_ttl(void **state)
{
	static struct packet p;

	begin(&p, 0x8180, "x.example", DNS_TYPE_A);
	put_a(&p, "x.example", 0x80000000, 1);
	assert_int_equal(dns_packet_parse(p.bytes, p.len, "x.example", DNS_TYPE_A, &out), 0);
	assert_int_equal(out.ttl_s, 0);
	begin(&p, 0x8180, "x.example", DNS_TYPE_A);
	put_a(&p, "x.example", 0x7fffffff, 1);
	assert_int_equal(dns_packet_parse(p.bytes, p.len, "x.example", DNS_TYPE_A, &out), 0);
	assert_int_equal(out.ttl_s, 0x7fffffff);
}

/* RFC 6891 6.1.3: BADVERS is 16, of which the header has 0. */
static void
test_extended_rcode(void **state)
{
	static struct packet p;

	begin(&p, 0x8180, "x.example", DNS_TYPE_A);
	put_rr(&p, 2, "", DNS_TYPE_OPT, 0x01000000);
	put16(&p, 0);
	assert_int_equal(parse(&p, "x.example", DNS_TYPE_A), 0);
	assert_int_equal(out.rcode, 16);
}

static const struct {
	const char *name;
	const char *bytes;
	size_t len;
	int want;
} refused[] = {
	{"nothing", "", 0, DNS_PACKET_EMALFORMED},
	{"C9 a header cut", "\0\1\x81\x80\0\1\0\0\0\0\0", 11, DNS_PACKET_EMALFORMED},
	{"a question, not an answer", "\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", 19, DNS_PACKET_EMISMATCH},
	{"another opcode", "\0\1\xa1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", 19, DNS_PACKET_EMISMATCH},
	{"no question", "\0\1\x81\x80\0\0\0\0\0\0\0\0", 12, DNS_PACKET_EMISMATCH},
	{"two questions", "\0\1\x81\x80\0\2\0\0\0\0\0\0\1a\0\0\1\0\1\1a\0\0\1\0\1", 26, DNS_PACKET_EMISMATCH},
	{"C8 another name", "\0\1\x81\x80\0\1\0\0\0\0\0\0\1b\0\0\1\0\1", 19, DNS_PACKET_EMISMATCH},
	{"C8 another type", "\0\1\x81\x80\0\1\0\0\0\0\0\0\1a\0\0\2\0\1", 19, DNS_PACKET_EMISMATCH},
	{"another class", "\0\1\x81\x80\0\1\0\0\0\0\0\0\1a\0\0\1\0\3", 19, DNS_PACKET_EMISMATCH},
	{"TC", "\0\1\x83\x80\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", 19, DNS_PACKET_ETRUNCATED},
	{"C9 a name that points at itself", "\0\1\x81\x80\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", 18,
		DNS_PACKET_EMALFORMED},
	{"C9 a pointer forward", "\0\1\x81\x80\0\1\0\0\0\0\0\0\xc0\x0e\1a\0\0\1\0\1", 21,
		DNS_PACKET_EMALFORMED},
	{"a pointer into the header", "\0\1\x81\x80\0\1\0\0\0\0\0\0\xc0\x02\0\1\0\1", 18,
		DNS_PACKET_EMALFORMED},
	{"C9 a label that runs into its own pointer", "\0\1\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\1\0\1\2bc\xc0\x13",
		24, DNS_PACKET_EMALFORMED},
	{"a label type nobody uses", "\0\1\x81\x80\0\1\0\0\0\0\0\0\x41\0\0\1\0\1", 17, DNS_PACKET_EMALFORMED},
	{"an answer promised but absent", "\0\1\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\1\0\1", 19,
		DNS_PACKET_EMALFORMED},
	{"data past the end", "\0\1\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\1\0\5\1\2\3\4",
		35, DNS_PACKET_EMALFORMED},
};

static void
test_refused(void **state)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		uint8_t *exact = malloc(refused[i].len + 1);

		print_message("  %s\n", refused[i].name);
		memcpy(exact, refused[i].bytes, refused[i].len);
		assert_int_equal(
			dns_packet_parse(exact, refused[i].len, "a", DNS_TYPE_A, &out), refused[i].want);
		free(exact);
	}
}

/* A name of 255 octets is read, one of 256 is not. */
static void
test_name_length(void **state)
{
	static struct packet p;
	char name[DOMAIN_MAX] = "";

	for (int i = 0; i < 4; i++)
		memset(name + i * 64, 'a' + i, 63);
	name[63] = name[127] = name[191] = '.';
	name[253] = '\0';
	begin(&p, 0x8180, name, DNS_TYPE_A);
	assert_int_equal(dns_packet_parse(p.bytes, p.len, name, DNS_TYPE_A, &out), 0);
	name[253] = 'd';
	name[254] = '\0';
	begin(&p, 0x8180, name, DNS_TYPE_A);
	assert_int_equal(dns_packet_parse(p.bytes, p.len, name, DNS_TYPE_A, &out), DNS_PACKET_EMALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_query_refused),
		cmocka_unit_test(test_mx),
		cmocka_unit_test(test_null_mx),
		cmocka_unit_test(test_compression),
		cmocka_unit_test(test_cname),
		cmocka_unit_test(test_cname_loop),
		cmocka_unit_test(test_cname_bound),
		cmocka_unit_test(test_negative),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_ptr),
		cmocka_unit_test(test_txt),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_extended_rcode),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_name_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
