/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf: the examples of RFC 7208 appendix A, cases after the test suite of the openspf project, limits, and
 * records that want to keep us busy. Every case is run by rounds, one answer after the other.
 */
#include "intake/spf.h"

#include "auth_fixture.h"
#include "intake/spf_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define REQUIRE_ROUNDS 60

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, strlen(text)};
}

static enum auth_outcome
check(const char *zone, const char *client, const char *helo, const char *mail_from, struct spf_answer *out)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool is_v6 = inet_pton(AF_INET, client, &v4.sin_addr) != 1;
	struct spf_question q = {
		is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, slice(helo), slice(mail_from)};
	struct auth_facts facts = {0};
	int rounds = 0;

	if (is_v6)
		assert_int_equal(inet_pton(AF_INET6, client, &v6.sin6_addr), 1);
	while (!spf_check(&q, &facts, out)) {
		assert_true(rounds++ < REQUIRE_ROUNDS);
		assert_true(fixture_answer_all(zone, &facts)); /* each round asks for something */
	}
	auth_facts_fini(&facts);
	return out->outcome;
}

/* --- RFC 7208 appendix A --------------------------------------------------------------------------- */

static const char appendix[] = "example.com MX 10 mail-a.example.com\n"
			       "example.com MX 20 mail-b.example.com\n"
			       "example.com A 192.0.2.10\nexample.com A 192.0.2.11\n"
			       "amy.example.com A 192.0.2.65\nbob.example.com A 192.0.2.66\n"
			       "mail-a.example.com A 192.0.2.129\nmail-b.example.com A 192.0.2.130\n"
			       "example.org MX 10 mail-c.example.org\n"
			       "mail-c.example.org A 192.0.2.140\n"
			       "10.2.0.192.in-addr.arpa PTR example.com\n"
			       "11.2.0.192.in-addr.arpa PTR example.com\n"
			       "65.2.0.192.in-addr.arpa PTR amy.example.com\n"
			       "66.2.0.192.in-addr.arpa PTR bob.example.com\n"
			       "129.2.0.192.in-addr.arpa PTR mail-a.example.com\n"
			       "130.2.0.192.in-addr.arpa PTR mail-b.example.com\n"
			       "140.2.0.192.in-addr.arpa PTR mail-c.example.org\n"
			       "4.0.0.10.in-addr.arpa PTR bob.example.com\n"
			       "mary.mobile-users._spf.example.com A 127.0.0.2\n"
			       "15.15.168.192.joel.remote-users._spf.example.com A 127.0.0.2\n";

static const struct {
	const char *record, *client, *local;
	enum auth_outcome want;
} examples[] = {
	{"+all", "192.0.2.200", "x", AUTH_PASS},
	{"a -all", "192.0.2.10", "x", AUTH_PASS},
	{"a -all", "192.0.2.11", "x", AUTH_PASS},
	{"a -all", "192.0.2.65", "x", AUTH_FAIL},
	{"a:example.org -all", "192.0.2.10", "x", AUTH_FAIL},
	{"mx -all", "192.0.2.129", "x", AUTH_PASS},
	{"mx -all", "192.0.2.130", "x", AUTH_PASS},
	{"mx -all", "192.0.2.10", "x", AUTH_FAIL},
	{"mx:example.org -all", "192.0.2.140", "x", AUTH_PASS},
	{"mx mx:example.org -all", "192.0.2.140", "x", AUTH_PASS},
	{"mx/30 mx:example.org/30 -all", "192.0.2.131", "x", AUTH_PASS},
	{"mx/30 mx:example.org/30 -all", "192.0.2.143", "x", AUTH_PASS},
	{"mx/30 mx:example.org/30 -all", "192.0.2.144", "x", AUTH_FAIL},
	{"ptr -all", "192.0.2.65", "x", AUTH_PASS},
	{"ptr -all", "192.0.2.140", "x", AUTH_FAIL},
	{"ptr -all", "10.0.0.4", "x", AUTH_FAIL}, /* says it is bob, who has another address */
	{"ip4:192.0.2.128/28 -all", "192.0.2.129", "x", AUTH_PASS},
	{"ip4:192.0.2.128/28 -all", "192.0.2.65", "x", AUTH_FAIL},
	{"mx exists:%{l}.mobile-users._spf.%{d} -all", "192.0.2.1", "mary", AUTH_PASS},
	{"mx exists:%{l}.mobile-users._spf.%{d} -all", "192.0.2.1", "fred", AUTH_FAIL},
	{"mx exists:%{ir}.%{l}.remote-users._spf.%{d} -all", "192.168.15.15", "joel", AUTH_PASS},
	{"mx exists:%{ir}.%{l}.remote-users._spf.%{d} -all", "192.168.15.16", "joel", AUTH_FAIL},
};

static void
test_appendix(void **state)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		char zone[4096], from[64];
		struct spf_answer answer;

		snprintf(zone, sizeof(zone), "%sexample.com TXT v=spf1 %s\n", appendix, examples[i].record);
		snprintf(from, sizeof(from), "%s@example.com", examples[i].local);
		if (check(zone, examples[i].client, "h.test", from, &answer) != examples[i].want)
			fail_msg("%s from %s: %s", examples[i].record, examples[i].client,
				auth_outcome_text(answer.outcome));
		assert_string_equal(answer.domain, "example.com");
	}
}

/* --- macros ---------------------------------------------------------------------------------------- */

/* RFC 7208 7.4. */
static const struct {
	const char *text, *v4, *v6;
} macros[] = {
	{"%{s}.x", "strong-bad@email.example.com.x", NULL},
	{"%{o}", "email.example.com", NULL},
	{"%{d}", "email.example.com", NULL},
	{"%{d4}", "email.example.com", NULL},
	{"%{d3}", "email.example.com", NULL},
	{"%{d2}", "example.com", NULL},
	{"%{d1}", "com", NULL},
	{"%{dr}", "com.example.email", NULL},
	{"%{d2r}", "example.email", NULL},
	{"%{l}.x.y", "strong-bad.x.y", NULL},
	{"%{l-}.x.y", "strong.bad.x.y", NULL},
	{"%{lr}.x.y", "strong-bad.x.y", NULL},
	{"%{lr-}.x.y", "bad.strong.x.y", NULL},
	{"%{l1r-}.x.y", "strong.x.y", NULL},
	{"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com",
		"1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"},
	{"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com", NULL},
	{"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com", NULL},
	{"%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net", NULL},
	{"%{S}.x", "strong-bad%40email.example.com.x", NULL},
	{"a%%b%_c%-d.x.", "a%b c%20d.x", NULL},
	{"%{h}.%{p}", "h.test.unknown", NULL},
	{"%{d999}", "email.example.com", NULL},
};

static void
test_macros(void **state)
{
	struct spf_values v = {.sender = SMTP_LIT("strong-bad@email.example.com"),
		.local = SMTP_LIT("strong-bad"),
		.sender_domain = SMTP_LIT("email.example.com"),
		.domain = SMTP_LIT("email.example.com"),
		.helo = SMTP_LIT("h.test"),
		.client_name = SMTP_LIT("unknown")};

	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++) {
		char out[DOMAIN_MAX];

		v.is_v6 = false;
		snprintf(v.address, sizeof(v.address), "192.0.2.3");
		assert_int_equal(
			spf_macro_expand(slice(macros[i].text), &v, out), (int)slice(macros[i].v4).len);
		assert_string_equal(out, macros[i].v4);
		if (macros[i].v6 == NULL)
			continue;
		v.is_v6 = true;
		snprintf(v.address, sizeof(v.address),
			"2.0.0.1.0.d.b.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.c.b.0.1");
		assert_true(spf_macro_expand(slice(macros[i].text), &v, out) > 0);
		assert_string_equal(out, macros[i].v6);
	}
}

/* Cut to 253 bytes at a dot; a name that no cut makes fit, and more text than any name, are refused. */
static void
test_macros_long(void **state)
{
	struct spf_values v = {.domain = SMTP_LIT("example.com")};
	char text[2000], label[260], out[DOMAIN_MAX];

	memset(label, 'a', sizeof(label));
	label[60] = '\0';
	snprintf(text, sizeof(text), "%s.%s.%s.%s.%s.%%{d}", label, label, label, label, label);
	assert_int_equal(spf_macro_expand(slice(text), &v, out), 3 * 61 + 60 - 61 + 12);
	assert_int_equal(memcmp(out, label, 60), 0);
	memset(text, 'a', 254);
	text[254] = '\0';
	assert_int_equal(spf_macro_expand(slice(text), &v, out), -1);
	text[0] = '\0';
	for (int i = 0; i < 120; i++)
		memcpy(text + 4 * i, "%{d}", 5);
	assert_int_equal(spf_macro_expand(slice(text), &v, out), -1);
}

/* --- after the openspf suite ----------------------------------------------------------------------- */

#define V4 "1.2.3.4"
#define V6 "2001:db8::1"

/* The record of e.test; names around it below. */
static const struct {
	const char *record, *client;
	enum auth_outcome want;
} records[] = {
	/* record and terms */
	{"", V4, AUTH_NEUTRAL},
	{"-all", V4, AUTH_FAIL},
	{"~all", V4, AUTH_SOFTFAIL},
	{"?all", V4, AUTH_NEUTRAL},
	{"  ALL   -all", V4, AUTH_PASS},
	{"-all.", V4, AUTH_PERMERROR},
	{"-all:foobar", V4, AUTH_PERMERROR},
	{"-all/8", V4, AUTH_PERMERROR},
	{"ip4:1.2.3.4 -all moo", V4, AUTH_PERMERROR},
	{"ip4:1.2.3.4 -all a:", V4, AUTH_PERMERROR},
	{"=all", V4, AUTH_PERMERROR},
	{"-", V4, AUTH_PERMERROR},
	{"1a=x -all", V4, AUTH_PERMERROR},
	{"+redirect=p.test", V4, AUTH_PERMERROR},
	{"default=pass moo.cow-far_out=%{c}man:dog/cat ip4:1.2.3.4 -all", V4, AUTH_PASS},
	{"moo=%abc -all", V4, AUTH_PERMERROR},
	{"moo=%{x} -all", V4, AUTH_PERMERROR},
	{"ip4:1.2.3.4\tip4:1.2.3.5 -all", V4, AUTH_PERMERROR},
	/* ip4, ip6 */
	{"ip4:1.1.1.1/0 -all", V4, AUTH_PASS},
	{"ip4:1.2.3.4/32 -all", V4, AUTH_PASS},
	{"ip4:1.2.3.5/31 -all", V4, AUTH_PASS},
	{"ip4:1.2.3.6/31 -all", V4, AUTH_FAIL},
	{"ip4:1.2.3.4/33 -all", V4, AUTH_PERMERROR},
	{"ip4:1.2.3.4/032 -all", V4, AUTH_PERMERROR},
	{"ip4:1.2.3.4/ -all", V4, AUTH_PERMERROR},
	{"ip4:1.2.3.4//32 -all", V4, AUTH_PERMERROR},
	{"ip4 -all", V4, AUTH_PERMERROR},
	{"ip4: -all", V4, AUTH_PERMERROR},
	{"ip4:1.2.3 -all", V4, AUTH_PERMERROR},
	{"ip4:1.2.3.4:8080 -all", V4, AUTH_PERMERROR},
	{"ip4=1.2.3.4 -all", V4, AUTH_PERMERROR},
	{"-ip4:1.2.3.4 ip6:::FFFF:1.2.3.4", V4, AUTH_FAIL},
	{"ip4:1.2.3.4 -all", "::ffff:1.2.3.4", AUTH_PASS},
	{"ip6:2001:db8::/0 -all", V6, AUTH_PASS},
	{"ip6:2001:db8::/0 -all", V4, AUTH_FAIL},
	{"ip6:2001:db8::/33 -all", V6, AUTH_PASS},
	{"ip6:2001:db8:8000::/33 -all", V6, AUTH_FAIL},
	{"ip6:2001:db8::1/128 -all", V6, AUTH_PASS},
	{"ip6:2001:db8::1/129 -all", V6, AUTH_PERMERROR},
	{"ip6 -all", V6, AUTH_PERMERROR},
	{"ip6:xyz -all", V6, AUTH_PERMERROR},
	/* a */
	{"a -all", V4, AUTH_PASS},
	{"a -all", V6, AUTH_PASS},
	{"a/24 -all", "1.2.3.77", AUTH_PASS},
	{"a/0 -all", "9.9.9.9", AUTH_PASS},
	{"a//0 -all", "2002::5", AUTH_PASS},
	{"a/24//64 -all", "2001:db8::77", AUTH_PASS},
	{"a//64 -all", "2001:db8:1::77", AUTH_FAIL},
	{"a/33 -all", V4, AUTH_PERMERROR},
	{"a//129 -all", V4, AUTH_PERMERROR},
	{"a/24/64 -all", V4, AUTH_PERMERROR},
	{"a: -all", V4, AUTH_PERMERROR},
	{"a:/24 -all", V4, AUTH_PERMERROR},
	{"a:nowhere.test -all", V4, AUTH_FAIL},
	{"a:111.222.33.44 -all", V4, AUTH_PERMERROR},
	{"a:foo.test.111 -all", V4, AUTH_PERMERROR},
	{"a:museum -all", V4, AUTH_PERMERROR},
	{"a:abc.test/24 -all", "1.2.3.77", AUTH_PASS},
	{"a:abc.test. -all", V4, AUTH_PASS},
	{"a:abc.-t -all", V4, AUTH_PERMERROR},
	{"a:abc.t- -all", V4, AUTH_PERMERROR},
	{"a:abc.a-b -all", V4, AUTH_PASS},
	{"A:ABC.TEST -all", V4, AUTH_PASS},
	{"a:fault.test -all", V4, AUTH_TEMPERROR},
	{"ip4:1.2.3.4 a:fault.test -all", V4, AUTH_PASS},
	/* mx */
	{"mx -all", V4, AUTH_PASS},
	{"mx:two.test -all", V4, AUTH_PASS},
	{"mx:null.test -all", V4, AUTH_FAIL},
	{"mx:nowhere.test -all", V4, AUTH_FAIL},
	{"mx:eleven.test -all", V4, AUTH_PERMERROR},
	{"mx:fault.test -all", V4, AUTH_TEMPERROR},
	{"mx:half.test -all", "9.9.9.9", AUTH_TEMPERROR},
	{"mx:half.test -all", V4, AUTH_PASS},
	{"mx//129 -all", V4, AUTH_PERMERROR},
	/* exists */
	{"exists:abc.test -all", V4, AUTH_PASS},
	{"exists:abc.test -all", V6, AUTH_PASS},
	{"exists:six.test -all", V6, AUTH_FAIL},
	{"exists -all", V4, AUTH_PERMERROR},
	{"exists: -all", V4, AUTH_PERMERROR},
	{"exists:abc.test/24 -all", V4, AUTH_PERMERROR},
	{"exists:fault.test -all", V4, AUTH_TEMPERROR},
	{"exists:%{i}.%{x}.test -all", V4, AUTH_PERMERROR},
	{"exists:%(ir).test -all", V4, AUTH_PERMERROR},
	{"exists:%{ir.test -all", V4, AUTH_PERMERROR},
	{"exists:%{i0}.test -all", V4, AUTH_PERMERROR},
	{"exists:%{c}.test -all", V4, AUTH_PERMERROR},
	{"exists:%{p}.test -all", V4, AUTH_PASS},
	{"exists:%{p}.test -all", "9.9.9.9", AUTH_FAIL},
	{"exists:%{p}.test -all", "7.7.7.7", AUTH_PASS}, /* its PTR faults: unknown.test */
	{"exists:%{h}.%{d} -all", V4, AUTH_FAIL},
	/* ptr */
	{"ptr -all", V4, AUTH_PASS},
	{"ptr:c.test -all", V4, AUTH_PASS},
	{"ptr:test -all", V4, AUTH_PERMERROR},
	{"ptr:other.test -all", V4, AUTH_FAIL},
	{"ptr/24 -all", V4, AUTH_PERMERROR},
	{"ptr: -all", V4, AUTH_PERMERROR},
	{"ptr -all", "7.7.7.7", AUTH_FAIL},
	/* include, redirect, exp */
	{"include:pass.test -all", V4, AUTH_PASS},
	{"?include:pass.test -all", V4, AUTH_NEUTRAL},
	{"include:fail.test ~all", V4, AUTH_SOFTFAIL},
	{"include:softfail.test -all", V4, AUTH_FAIL},
	{"include:neutral.test -all", V4, AUTH_FAIL},
	{"include:fault.test -all", V4, AUTH_TEMPERROR},
	{"include:bad.test -all", V4, AUTH_PERMERROR},
	{"include:nowhere.test -all", V4, AUTH_PERMERROR},
	{"include:twice.test -all", V4, AUTH_PERMERROR},
	{"include -all", V4, AUTH_PERMERROR},
	{"include: -all", V4, AUTH_PERMERROR},
	{"include:pass.test/24 -all", V4, AUTH_PERMERROR},
	{"include:domain.test -all", V4, AUTH_PASS}, /* a there is of domain.test */
	{"include:domain.test a -all", "1.2.3.5", AUTH_FAIL},
	{"include:neutral.test a -all", V4, AUTH_PASS}, /* and then e.test's again */
	{"redirect=pass.test", V4, AUTH_PASS},
	{"redirect=fail.test", V4, AUTH_FAIL},
	{"redirect=pass.test -all", V4, AUTH_FAIL},
	{"ip4:9.9.9.9 redirect=domain.test", V4, AUTH_PASS},
	{"redirect=nowhere.test", V4, AUTH_PERMERROR},
	{"redirect=fault.test", V4, AUTH_TEMPERROR},
	{"redirect=pass.test redirect=pass.test", V4, AUTH_PERMERROR},
	{"redirect", V4, AUTH_PERMERROR},
	{"redirect=", V4, AUTH_PERMERROR},
	{"-all exp=a.test exp=b.test", V4, AUTH_PERMERROR},
	{"-all exp=a.test", V4, AUTH_FAIL},
	{"-all exp=%{c}.test", V4, AUTH_PERMERROR},
	{"-all exp=a-all", V4, AUTH_PERMERROR},
	/* limits */
	{"include:e.test -all", V4, AUTH_PERMERROR},
	{"redirect=e.test", V4, AUTH_PERMERROR},
	{"include:loop.test -all", V4, AUTH_PERMERROR},
	{"include:tree0.test -all", V4, AUTH_PERMERROR},
	{"a:other.test a:other.test a:other.test a:other.test a:other.test a:other.test a:other.test "
	 "a:other.test "
	 "a:other.test a -all",
		V4, AUTH_PASS},
	{"a:other.test a:other.test a:other.test a:other.test a:other.test a:other.test a:other.test "
	 "a:other.test "
	 "a:other.test a:other.test a -all",
		V4, AUTH_PERMERROR},
	{"include:five.test include:five.test -all", V4, AUTH_PERMERROR},
	{"include:five.test a:other.test a:other.test a:other.test ~all", V4, AUTH_SOFTFAIL},
	{"a:n1.test a:n2.test ?all", V4, AUTH_NEUTRAL},
	{"a:n1.test a:n2.test exists:n3.test ?all", V4, AUTH_PERMERROR},
	{"include:void.test a:n3.test ?all", V4, AUTH_PERMERROR},
	{"include:%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}.x -all", V4, AUTH_PERMERROR},
};

static const char around[] =
	"e.test A 1.2.3.4\ne.test AAAA 2001:db8::1\ne.test MX 10 c.test\nc.test A 1.2.3.4\nc.test A 1.2.3.9\n"
	"abc.test A 1.2.3.4\nabc.a-b A 1.2.3.4\nsix.test AAAA 2001:db8::1\nother.test A 8.8.8.8\n"
	"two.test MX 10 other.test\ntwo.test MX 20 abc.test\nnull.test MX 0 \n"
	"half.test MX 10 fault.test\nhalf.test MX 20 abc.test\n"
	"eleven.test MX 1 a.test\neleven.test MX 2 b.test\neleven.test MX 3 c.test\neleven.test MX 4 d.test\n"
	"eleven.test MX 5 f.test\neleven.test MX 6 g.test\neleven.test MX 7 h.test\neleven.test MX 8 i.test\n"
	"eleven.test MX 9 j.test\neleven.test MX 10 k.test\neleven.test MX 11 l.test\n"
	"fault.test FAULT A\nfault.test FAULT MX\nfault.test FAULT TXT\n"
	"4.3.2.1.in-addr.arpa PTR liar.e.test\n4.3.2.1.in-addr.arpa PTR c.test\n"
	"4.3.2.1.in-addr.arpa PTR host.e.test\nhost.e.test A 1.2.3.4\nliar.e.test A 6.6.6.6\n"
	"host.e.test.test A 127.0.0.1\nunknown.test AAAA ::1\n"
	"7.7.7.7.in-addr.arpa FAULT PTR\n"
	"pass.test TXT v=spf1 ip4:1.2.3.4\nfail.test TXT v=spf1 -all\nsoftfail.test TXT v=spf1 ~all\n"
	"neutral.test TXT v=spf1\nbad.test TXT v=spf1 a:\ntwice.test TXT v=spf1 +all\ntwice.test TXT v=spf1\n"
	"domain.test TXT v=spf1 a -all\ndomain.test A 1.2.3.4\nloop.test TXT v=spf1 include:e.test\n"
	"five.test TXT v=spf1 a:other.test a:other.test a:other.test a:other.test a:other.test ?all\n"
	"void.test TXT v=spf1 a:n1.test a:n2.test ?all\n"
#define TREE(n, m)                                                                                           \
	"tree" #n ".test TXT v=spf1 include:tree" #m ".test include:tree" #m ".test include:tree" #m         \
	".test include:tree" #m ".test include:tree" #m ".test ?all\n"
	TREE(0, 1) TREE(1, 2) TREE(2, 3) TREE(3, 4) TREE(4, 5) TREE(5, 6) TREE(6, 7) TREE(7, 8)
		TREE(8, 9) "tree9.test TXT v=spf1 ?all\n";

static void
test_records(void **state)
{
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		bool is_unknown_there = strcmp(records[i].client, "7.7.7.7") == 0;
		char zone[8192];
		struct spf_answer answer;

		snprintf(zone, sizeof(zone), "%s%se.test TXT v=spf1 %s\ne.test TXT some other text\n", around,
			is_unknown_there ? "unknown.test A 127.0.0.1\n" : "", records[i].record);
		if (check(zone, records[i].client, "h.test", "u@e.test", &answer) != records[i].want)
			fail_msg("'%s' from %s: %s", records[i].record, records[i].client,
				auth_outcome_text(answer.outcome));
	}
}

/* --- whose record ---------------------------------------------------------------------------------- */

static const struct {
	const char *zone, *helo, *mail_from, *domain;
	enum auth_outcome want;
} senders[] = {
	{"e.test TXT v=spf1 -all\n", "h.test", "u@e.test", "e.test", AUTH_FAIL},
	{"e.test TXT V=SPF1 -all\n", "h.test", "u@E.TEST", "e.test", AUTH_FAIL},
	{"e.test TXT v=spf10 -all\n", "h.test", "u@e.test", "e.test", AUTH_NONE},
	{"e.test TXT v=spf1-all\n", "h.test", "u@e.test", "e.test", AUTH_NONE},
	{"e.test TXT  v=spf1 -all\n", "h.test", "u@e.test", "e.test", AUTH_NONE},
	{"e.test TXT v=spf1\n", "h.test", "u@e.test", "e.test", AUTH_NEUTRAL},
	{"e.test TXT v=spf1 -all\ne.test TXT v=spf1 +all\n", "h.test", "u@e.test", "e.test", AUTH_PERMERROR},
	{"e.test A 1.2.3.4\n", "h.test", "u@e.test", "e.test", AUTH_NONE},
	{"e.test FAULT TXT\n", "h.test", "u@e.test", "e.test", AUTH_TEMPERROR},
	{"h.test TXT v=spf1 -all\n", "h.test", "", "h.test", AUTH_FAIL},
	{"h.test TXT v=spf1 -all\n", "h.test", "u@e.test", "e.test", AUTH_NONE},
	{"h TXT v=spf1 -all\n", "h", "", "h", AUTH_NONE},
	{"", "[1.2.3.4]", "", "[1.2.3.4]", AUTH_NONE},
	{"", "", "", "", AUTH_NONE},
	{"", "h.test", "u@", "", AUTH_NONE},
	{"", "h.test", "u@a..test", "", AUTH_NONE},
	{"e.test TXT v=spf1 exists:%{l}.%{o} -all\npostmaster.e.test A 1.1.1.1\n", "h.test", "@e.test",
		"e.test", AUTH_PASS},
	{"h.test TXT v=spf1 exists:%{l}.%{o} -all\npostmaster.h.test A 1.1.1.1\n", "h.test", "", "h.test",
		AUTH_PASS},
	{"e.test TXT v=spf1 exists:%{L}.x.test -all\na%40b%2Bc.x.test A 1.1.1.1\n", "h.test", "a@b+c@e.test",
		"e.test", AUTH_PASS},
	{"xn--bcher-kva.test TXT v=spf1 -all\n", "h.test",
		"u@b\xc3\xbc"
		"cher.test",
		"xn--bcher-kva.test", AUTH_FAIL},
};

static void
test_senders(void **state)
{
	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
		struct spf_answer answer;

		if (check(senders[i].zone, V4, senders[i].helo, senders[i].mail_from, &answer) !=
			senders[i].want)
			fail_msg("'%s' '%s': %s", senders[i].zone, senders[i].mail_from,
				auth_outcome_text(answer.outcome));
		assert_string_equal(answer.domain, senders[i].domain);
	}
}

/* One question more than the table takes: no result but temperror, and no waiting. */
static void
test_too_many_questions(void **state)
{
	char zone[4096];
	struct spf_answer answer;
	size_t len = (size_t)snprintf(
		zone, sizeof(zone), "e.test TXT v=spf1 mx:m.test mx:n.test mx:o.test -all\n");

	for (int i = 0; i < 8; i++)
		for (const char *c = "mno"; *c != '\0'; c++)
			len += (size_t)snprintf(zone + len, sizeof(zone) - len,
				"%c.test MX 10 %c%d.test\n%c%d.test A 8.8.8.8\n", *c, *c, i, *c, i);
	assert_int_equal(check(zone, V4, "h.test", "u@e.test", &answer), AUTH_TEMPERROR);
}

/* --- the table of facts ---------------------------------------------------------------------------- */

static void
test_facts(void **state)
{
	static const struct smtp_slice no_names[] = {SMTP_LIT(""), SMTP_LIT("."), SMTP_LIT("a..b"),
		SMTP_LIT("a b.test"), SMTP_LIT("a\\.test"), SMTP_LIT("\xff.test"), SMTP_LIT(".a")};
	struct auth_facts facts = {0};
	const struct auth_fact *first = auth_facts_get(&facts, SMTP_LIT("A.Test."), DNS_TYPE_A);

	assert_string_equal(first->name, "a.test");
	assert_ptr_equal(auth_facts_get(&facts, SMTP_LIT("a.test"), DNS_TYPE_A), first);
	assert_ptr_not_equal(auth_facts_get(&facts, SMTP_LIT("a.test"), DNS_TYPE_TXT), first);
	assert_int_equal(facts.count, 2);
	for (size_t i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++)
		assert_int_equal(auth_facts_get(&facts, no_names[i], DNS_TYPE_A)->kind, AUTH_FACT_ABSENT);
	assert_int_equal(facts.count, 2);
	fixture_answer("a.test A 1.2.3.4\n", &facts.list[0]);
	assert_int_equal(first->kind, AUTH_FACT_RECORDS);
	auth_facts_close(&facts);
	assert_int_equal(facts.list[1].kind, AUTH_FACT_FAULT);
	assert_int_equal(first->kind, AUTH_FACT_RECORDS);
	assert_int_equal(auth_facts_get(&facts, SMTP_LIT("new.test"), DNS_TYPE_A)->kind, AUTH_FACT_FAULT);
	auth_facts_fini(&facts);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_appendix),
		cmocka_unit_test(test_macros),
		cmocka_unit_test(test_macros_long),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_senders),
		cmocka_unit_test(test_too_many_questions),
		cmocka_unit_test(test_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
