/* SPDX-License-Identifier: Apache-2.0 */
/* route: each row of the DNS fault catalogue as one case, against a scripted resolver on loopback. */
#include "route/route.h"

#include "base/log.h"
#include "skewed_clock.h"
#include "test_route_server.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#define SUMMARY_MAX  4096
#define RESULT_TEXTS 16

/* Everything a test needs; one for the whole file, cleared between tests. */
static struct lab {
	struct server server, second;
	struct event_base *base;
	const struct conf *conf;
	struct route *route;
	FILE *log_file;
	struct log *log;
	char file[64];
} lab;

static const struct conf *
load(const char *text)
{
	const struct conf *c;
	FILE *f = fopen(lab.file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	c = conf_load(lab.file, stderr);
	assert_non_null(c);
	return c;
}

static const char rest_of_conf[] =
	"domain \"*\" { port = 2525 }\n"
	"domain open.test { allow-private = yes }\n"
	"domain open2.test { allow-private = yes }\n"
	"domain \"v4only.test\" { family = v4 }\n"
	"domain \"v6only.test\" { family = v6 }\n"
	"domain \"port.test\" { port = 26 }\n"
	"domain \"strict.test\" { tls = verify }\n"
	"domain \"limited.test\" { rate = 10/m }\n"
	"domain \"asleep.test\" { quiet-hours = \"22:00-07:00 UTC\" }\n"
	"domain \"unloved.test\" { refuse = \"not there\" }\n"
	"provider bigmail { mx = { \"*.bigmail.test\" } domains = { \"bigmail-own.test\" } port = 2626 }\n"
	"provider traps { mx = { \"*.trap.test\" } refuse = \"a misspelling of a domain\" }\n"
	"route relay { domains = { \"relayed.test\", \"*.relayed.test\" } hosts = { "
	"\"relay1.test:587|relay2.test\", "
	"\"127.0.0.9:2500\" } }\n"
	"route lost { domains = { \"lost.test\" } hosts = { \"nowhere.test\" } }\n"
	"route shaky { domains = { \"shaky.test\" } hosts = { \"servfail.test\" } }\n"
	"listen submission { address = { \"127.0.0.1:2527\" } networks = { \"127.0.0.0/8\" } }\n";

static const struct conf *
load_with(const char *servers, const char *more)
{
	char text[4096];

	snprintf(text, sizeof(text),
		"hostname = mta.test\ndns-timeout = 300ms\ndns-tries = 2\ndns-retry = 5s\ndns-servers = { %s "
		"}\n%s%s",
		servers, more, rest_of_conf);
	return load(text);
}

static const char zone[] =
	"one.test 300 MX 10 mx1.one.test\n"
	"mx1.one.test 600 A 5.5.5.1\n"
	"two.test 300 MX 20 mx2.two.test\ntwo.test 300 MX 10 mx1.two.test\n"
	"mx1.two.test 300 A 5.5.5.1\nmx1.two.test 300 AAAA 2600::1\nmx2.two.test 300 A 5.5.5.2\n"
	"twin.test 300 MX 10 MX1.two.test\ntwin.test 300 MX 20 mx2.two.test\n"
	"mood.test 0 MOOD NONE\n"
	"implicit.test 300 A 5.5.5.3\nimplicit.test 300 AAAA 2600::3\n"
	"bare.test 300 TXT nothing-else\n"
	"mxfail.test 0 MOOD SERVFAIL MX\nmxfail.test 300 A 5.5.5.4\n"
	"mxsilent.test 0 MOOD SILENT MX\nmxsilent.test 300 A 5.5.5.4\n"
	"servfail.test 0 MOOD SERVFAIL\nrefused.test 0 MOOD REFUSED\nnotimp.test 0 MOOD NOTIMP\n"
	"formerr.test 0 MOOD FORMERR\n"
	"oldserver.test 0 MOOD NO_EDNS\noldserver.test 300 MX 10 mx1.one.test\n"
	"big.test 0 MOOD TRUNCATE\nbig.test 300 MX 10 mx1.one.test\n"
	"cut.test 0 MOOD CUT\ncut.test 300 MX 10 mx1.one.test\n"
	"spoofed.test 0 MOOD IMPOSTORS\nspoofed.test 300 MX 10 mx1.one.test\n"
	"garbage.test 0 MOOD GARBAGE\n"
	"shortmx.test 300 MXHEX 00\nshortmx.test 300 MX 10 mx1.one.test\nshortmx.test 300 MXHEX 000a\n"
	"onlyshort.test 300 MXHEX 00\nonlyshort.test 300 A 5.5.5.5\n"
	"alias.test 300 CNAME real.test\nreal.test 300 MX 10 mx1.one.test\n"
	"halfalias.test 0 MOOD ALIAS\nhalfalias.test 300 CNAME real.test\n"
	"loop.test 300 CNAME loop2.test\nloop2.test 300 CNAME loop.test\n"
	"halfloop.test 0 MOOD ALIAS\nhalfloop.test 300 CNAME halfloop2.test\n"
	"halfloop2.test 0 MOOD ALIAS\nhalfloop2.test 300 CNAME halfloop.test\n"
	"mxcname.test 300 MX 10 cn.mxcname.test\ncn.mxcname.test 300 CNAME mx1.one.test\n"
	"halfgone.test 300 MX 5 gone.test\nhalfgone.test 300 MX 10 mx1.one.test\n"
	"halfshaky.test 300 MX 5 servfail.test\nhalfshaky.test 300 MX 10 mx1.one.test\n"
	"v6shaky.test 300 MX 10 a.v6shaky.test\na.v6shaky.test 0 MOOD SERVFAIL AAAA\na.v6shaky.test 300 A "
	"5.5.5.6\n"
	"allgone.test 300 MX 5 gone.test\nallgone.test 300 MX 10 gone2.test\n"
	"goneshaky.test 300 MX 5 gone.test\ngoneshaky.test 300 MX 10 servfail.test\n"
	"nullmx.test 300 MX 0 .\n"
	"nullmix.test 300 MX 0 .\nnullmix.test 300 MX 10 mx1.one.test\n"
	"local.test 300 MX 10 localhost.test\nlocalhost.test 300 A 127.0.0.1\n"
	"localmix.test 300 MX 10 localhost.test\nlocalmix.test 300 MX 20 mx1.one.test\n"
	"mapped.test 300 MX 10 mapped-mx.test\nmapped-mx.test 300 AAAA ::ffff:127.0.0.1\n"
	"implocal.test 300 A 10.1.2.3\n"
	"open.test 300 MX 10 localhost.test\n"
	"self.test 300 MX 5 mx1.one.test\nself.test 300 MX 10 MTA.test\nself.test 300 MX 10 mx2.two.test\n"
	"self.test 300 MX 20 mx1.two.test\n"
	"selfbest.test 300 MX 10 mta.test\nselfbest.test 300 MX 20 mx1.one.test\n"
	"mxip.test 300 MX 10 5.5.5.7\n"
	"mxipmix.test 300 MX 10 5.5.5.7\nmxipmix.test 300 MX 20 mx1.one.test\n"
	"odd.test 300 MXHEX 000a0361206200\nodd.test 300 MX 20 mx1.one.test\n"
	"equal.test 300 MX 10 e1.test\nequal.test 300 MX 10 e2.test\nequal.test 300 MX 10 e3.test\n"
	"e1.test 300 A 5.5.6.1\ne2.test 300 A 5.5.6.2\ne3.test 300 A 5.5.6.3\n"
	"customer.test 300 MX 10 in1.bigmail.test\nin1.bigmail.test 300 A 5.5.5.8\n"
	"bigmail-own.test 300 MX 10 mx1.one.test\n"
	"onetest.test 300 MX 10 mx.trap.test\nmx.trap.test 300 A 5.5.5.8\n"
	"halftrap.test 300 MX 10 mx1.one.test\nhalftrap.test 300 MX 20 mx.trap.test\n"
	"unloved.test 300 MX 10 mx1.one.test\n"
	"v4only.test 300 MX 10 mx1.two.test\nv6only.test 300 MX 10 mx1.two.test\n"
	"port.test 300 MX 10 mx1.one.test\n"
	"strict.test 300 MX 10 mx1.one.test\n"
	"limited.test 300 MX 10 mx1.one.test\nasleep.test 300 MX 10 mx1.one.test\n"
	"relay1.test 300 A 10.0.0.1\nrelay2.test 300 A 10.0.0.2\n"
	"dup.test 300 MX 20 mx1.one.test\ndup.test 300 MX 10 mx1.one.test\n"
	"ttl0.test 0 MX 10 ttl0mx.test\nttl0mx.test 0 A 5.5.5.9\n"
	"ttl31.test 2147483648 MX 10 ttl31mx.test\nttl31mx.test 4294967295 A 5.5.5.9\n"
	"ttlmax.test 2147483647 MX 10 ttlmaxmx.test\nttlmaxmx.test 2147483647 A 5.5.5.9\n"
	"key._domainkey.test 300 TXT v=DKIM1; p=abc\n"
	"xn--bcher-kva.test 300 MX 10 mx1.one.test\n";

static int
group_setup(void **state)
{
	server_start(&lab.server, zone);
	server_start(&lab.second, zone);
	assert_non_null(lab.log_file = tmpfile());
	lab.log = log_create(CONF_LOG_STDERR, CONF_LOG_WARN, fileno(lab.log_file));
	assert_non_null(lab.log);
	snprintf(lab.file, sizeof(lab.file), "/tmp/test_route.%d.conf", (int)getpid());
	return 0;
}

static int
group_teardown(void **state)
{
	server_stop(&lab.server);
	server_stop(&lab.second);
	log_destroy(&lab.log);
	fclose(lab.log_file);
	unlink(lab.file);
	return 0;
}

static void
lab_open(const struct conf *take_conf)
{
	lab.conf = take_conf;
	skew_us = 0;
	lab.base = event_base_new();
	lab.route = route_create(lab.base, &skewed_clock, lab.conf, lab.log);
	assert_non_null(lab.route);
}

static int
setup(void **state)
{
	lab.server.zone = lab.second.zone = zone;
	lab.server.mood = lab.second.mood = MOOD_NONE;
	lab.server.query_count = lab.second.query_count = 0;
	lab.server.tcp_count = lab.server.ad_count = lab.server.watched_count = 0;
	lab.server.watched = NULL;
	rewind(lab.log_file);
	assert_int_equal(ftruncate(fileno(lab.log_file), 0), 0);
	lab_open(load_with(lab.server.text, ""));
	return 0;
}

static int
teardown(void **state)
{
	route_destroy(&lab.route);
	event_base_free(lab.base);
	conf_unref(lab.conf);
	return 0;
}

/* --- asking --- */

struct asked {
	unsigned wanted, came;
	struct route_result *result;
};

static void
on_done(void *arg, const char *domain, struct route_result *result)
{
	struct asked *a = arg;

	a->came++;
	if (a->result == NULL)
		a->result = route_ref(result);
	if (a->came == a->wanted)
		event_base_loopbreak(lab.base);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	fail_msg("no answer within 20 s");
}

static void
spin(void)
{
	struct timeval limit = {20, 0};
	struct event *late = evtimer_new(lab.base, on_late, NULL);

	event_add(late, &limit);
	event_base_dispatch(lab.base);
	event_free(late);
}

static struct route_result *
ask(const char *domain)
{
	struct asked a = {.wanted = 1};

	route_lookup(lab.route, domain, on_done, &a);
	assert_int_equal(a.came, 0); /* never inside */
	spin();
	assert_int_equal(a.came, 1);
	return a.result;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
address_text(const struct route_address *a, char out[80])
{
	char text[INET6_ADDRSTRLEN];

	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->v4.sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof(text));
	snprintf(out, 80, "%s %u", text,
		ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port));
}

/* "HOSTS site | mx1.test/10: 5.5.5.1 25, 2600::1 25 | ..." with the addresses of a host sorted; "FAIL 5.1.2".
 */
static void
summarise(const struct route_result *r, char *out)
{
	static const char *const kinds[] = {"HOSTS", "WAIT", "FAIL"};
	size_t at = (size_t)snprintf(
		out, SUMMARY_MAX, "%s %s", kinds[r->kind], r->kind == ROUTE_HOSTS ? r->site : r->esc);

	assert_int_equal(r->kind != ROUTE_HOSTS, r->why[0] != '\0');
	for (uint32_t h = 0; h < r->host_count; h++) {
		char texts[RESULT_TEXTS][80];
		uint32_t n = 0;

		at += (size_t)snprintf(
			out + at, SUMMARY_MAX - at, " | %s/%u:", r->hosts[h].name, r->hosts[h].preference);
		for (uint32_t i = 0; i < r->address_count && n < RESULT_TEXTS; i++)
			if (r->addresses[i].host == h)
				address_text(&r->addresses[i], texts[n++]);
		qsort(texts, n, sizeof(texts[0]), by_text);
		for (uint32_t i = 0; i < n; i++)
			at += (size_t)snprintf(
				out + at, SUMMARY_MAX - at, "%s %s", i > 0 ? "," : "", texts[i]);
	}
}

static void
expect(const char *domain, const char *want)
{
	char got[SUMMARY_MAX];
	struct route_result *r = ask(domain);

	summarise(r, got);
	if (strcmp(got, want) != 0)
		fail_msg("%s: got \"%s\" (%s), want \"%s\"", domain, got, r->why, want);
	route_unref(r);
}

static const struct {
	const char *name, *domain, *want;
} cases[] = {
	{"one exchanger", "one.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"two, sorted, both families", "two.test",
		"HOSTS mx1.two.test+f250b4f0 | mx1.two.test/10: 2600::1 2525, 5.5.5.1 2525 | "
		"mx2.two.test/20: 5.5.5.2 2525"},
	{"C27 the same set in other letters is the same site", "twin.test",
		"HOSTS mx1.two.test+f250b4f0 | mx1.two.test/10: 2600::1 2525, 5.5.5.1 2525 | "
		"mx2.two.test/20: 5.5.5.2 2525"},
	{"C1 NXDOMAIN fails", "nx.test", "FAIL 5.1.2"},
	{"C2 NODATA for MX is implicit MX", "implicit.test",
		"HOSTS implicit.test | implicit.test/0: 2600::3 2525, 5.5.5.3 2525"},
	{"C2 neither MX nor address", "bare.test", "FAIL 5.1.2"},
	{"C3 SERVFAIL is wait, not the address", "mxfail.test", "WAIT 4.4.3"},
	{"C3 timeout is wait, not the address", "mxsilent.test", "WAIT 4.4.3"},
	{"C4 REFUSED is wait", "refused.test", "WAIT 4.4.3"},
	{"C4 NOTIMP is wait", "notimp.test", "WAIT 4.4.3"},
	{"C4 FORMERR is wait", "formerr.test", "WAIT 4.4.3"},
	{"C4 FORMERR to EDNS alone is asked again without", "oldserver.test",
		"HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"C7 truncated, TCP works", "big.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"C7 truncated, TCP silent is wait", "cut.test", "WAIT 4.4.3"},
	{"C8 C9 wrong id, question, empty and noise are ignored", "spoofed.test",
		"HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"C9 garbage is wait", "garbage.test", "WAIT 4.4.3"},
	{"C10 short MX records are skipped", "shortmx.test",
		"HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"C10 nothing but short MX records is wait", "onlyshort.test", "WAIT 4.4.3"},
	{"C12 CNAME at the domain", "alias.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"C12 CNAME that the resolver leaves to us", "halfalias.test",
		"HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"C12 CNAME loop is wait", "loop.test", "WAIT 4.4.3"},
	{"C12 CNAME loop that the resolver leaves to us", "halfloop.test", "WAIT 4.4.3"},
	{"C13 MX target is a CNAME", "mxcname.test",
		"HOSTS cn.mxcname.test | cn.mxcname.test/10: 5.5.5.1 2525"},
	{"C14 one MX name NXDOMAIN, the other serves", "halfgone.test",
		"HOSTS gone.test+9b184350 | mx1.one.test/10: 5.5.5.1 2525"},
	{"C14 one MX name SERVFAIL, the other serves", "halfshaky.test",
		"HOSTS servfail.test+c548173d | mx1.one.test/10: 5.5.5.1 2525"},
	{"AAAA fails, A serves", "v6shaky.test", "HOSTS a.v6shaky.test | a.v6shaky.test/10: 5.5.5.6 2525"},
	{"C15 all MX names NXDOMAIN", "allgone.test", "FAIL 5.4.4"},
	{"C15 NXDOMAIN and SERVFAIL is wait", "goneshaky.test", "WAIT 4.4.3"},
	{"C16 Null MX", "nullmx.test", "FAIL 5.1.10"},
	{"C17 Null MX beside a real one", "nullmix.test",
		"HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"C18 loopback alone", "local.test", "FAIL 5.4.6"},
	{"C18 loopback beside a real one", "localmix.test",
		"HOSTS localhost.test+0d4087dc | mx1.one.test/20: 5.5.5.1 2525"},
	{"C18 mapped loopback", "mapped.test", "FAIL 5.4.6"},
	{"C18 private by implicit MX", "implocal.test", "FAIL 5.4.6"},
	{"C18 loopback where allow-private says so", "open.test",
		"HOSTS localhost.test | localhost.test/10: 127.0.0.1 2525"},
	{"C19 ourselves and what is not better", "self.test",
		"HOSTS mx1.one.test+8f17e022 | mx1.one.test/5: 5.5.5.1 2525"},
	{"C19 ourselves best", "selfbest.test", "FAIL 5.4.6"},
	{"C20 MX text is an address", "mxip.test", "FAIL 5.4.4"},
	{"C20 beside a name", "mxipmix.test", "HOSTS 5.5.5.7+ad56bd47 | mx1.one.test/20: 5.5.5.1 2525"},
	{"MX name with a blank", "odd.test", "HOSTS mx1.one.test | mx1.one.test/20: 5.5.5.1 2525"},
	{"C21 equal preferences", "equal.test",
		"HOSTS e1.test+5a4f5d42 | e1.test/10: 5.5.6.1 2525 | e2.test/10: 5.5.6.2 2525 | e3.test/10: "
		"5.5.6.3 2525"},
	{"a name listed twice counts once", "dup.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"C27 an A-label", "xn--bcher-kva.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"C28 a label of 64", "a234567890123456789012345678901234567890123456789012345678901234.test",
		"FAIL 5.1.2"},
	{"C28 an empty label", "a..test", "FAIL 5.1.2"},
	{"C28 nothing", "", "FAIL 5.1.2"},
	{"provider by MX, with its port", "customer.test",
		"HOSTS bigmail | in1.bigmail.test/10: 5.5.5.8 2626"},
	{"provider by domain", "bigmail-own.test", "HOSTS bigmail | mx1.one.test/10: 5.5.5.1 2626"},
	{"C33 an MX that is refused, not looked up", "onetest.test", "FAIL 5.7.1"},
	{"C33 a refused MX beside a better one", "halftrap.test",
		"HOSTS mx1.one.test+41c6c5a5 | mx1.one.test/10: 5.5.5.1 2525 | mx.trap.test/20: 5.5.5.8 "
		"2525"},
	{"C33 a domain that is refused", "unloved.test", "FAIL 5.7.1"},
	{"family v4", "v4only.test", "HOSTS mx1.two.test | mx1.two.test/10: 5.5.5.1 2525"},
	{"family v6", "v6only.test", "HOSTS mx1.two.test | mx1.two.test/10: 2600::1 2525"},
	{"a domain with a TLS setting of its own shares no session", "strict.test",
		"HOSTS mx1.one.test/verify:2525 | mx1.one.test/10: 5.5.5.1 2525"},
	{"a domain with limits of its own shares none", "limited.test",
		"HOSTS mx1.one.test@limited.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"a domain with quiet hours of its own shares none", "asleep.test",
		"HOSTS mx1.one.test@asleep.test | mx1.one.test/10: 5.5.5.1 2525"},
	{"port of the domain", "port.test", "HOSTS mx1.one.test/may:26 | mx1.one.test/10: 5.5.5.1 26"},
	{"literal v4", "[5.5.5.5]", "HOSTS [5.5.5.5] | [5.5.5.5]/0: 5.5.5.5 2525"},
	{"literal v6", "[IPv6:2600::5]", "HOSTS [IPv6:2600::5] | [IPv6:2600::5]/0: 2600::5 2525"},
	{"literal loopback", "[127.0.0.1]", "FAIL 5.4.6"},
	{"literal v6 without tag", "[2600::5]", "FAIL 5.1.2"},
	{"literal v4 with tag", "[IPv6:5.5.5.5]", "FAIL 5.1.2"},
	{"literal of nonsense", "[5.5.5]", "FAIL 5.1.2"},
	{"literal of nothing", "[]", "FAIL 5.1.2"},
	{"literal without end", "[5.5.5.5", "FAIL 5.1.2"},
	{"route, groups, ports, private allowed", "relayed.test",
		"HOSTS route:relay | relay1.test/0: 10.0.0.1 587 | relay2.test/0: 10.0.0.2 2525 | "
		"127.0.0.9/1: 127.0.0.9 2500"},
	{"route for a subdomain", "a.relayed.test",
		"HOSTS route:relay | relay1.test/0: 10.0.0.1 587 | relay2.test/0: 10.0.0.2 2525 | "
		"127.0.0.9/1: 127.0.0.9 2500"},
	{"route whose host is not there waits", "lost.test", "WAIT 4.4.4"},
	{"route whose host cannot be looked up waits", "shaky.test", "WAIT 4.4.3"},
};

static void
test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("  %s\n", cases[i].name);
		expect(cases[i].domain, cases[i].want);
	}
	/* And all of them again from memory: the same, without a question to the positive ones. */
	lab.server.query_count = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(cases[i].domain, cases[i].want);
	assert_int_equal(lab.server.query_count, 0);
}

/* techrisk 4: AD is asked for in every question. */
static void
test_ad(void **state)
{
	expect("one.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525");
	assert_int_equal(lab.server.query_count, 3);
	assert_int_equal(lab.server.ad_count, 3);
}

static void
test_fields(void **state)
{
	struct route_result *r = ask("customer.test");

	assert_int_equal(r->provider, 0);
	assert_int_equal(r->static_route, -1);
	route_unref(r);
	r = ask("relayed.test");
	assert_int_equal(r->static_route, 0);
	assert_int_equal(r->provider, -1);
	route_unref(r);
	r = ask("nx.test");
	assert_non_null(strstr(r->why, "NXDOMAIN from 127.0.0.1:"));
	assert_string_equal(r->site, "nx.test");
	route_unref(r);
	r = ask("servfail.test");
	assert_non_null(strstr(r->why, "SERVFAIL from 127.0.0.1:"));
	route_unref(r);
}

/* C21: among equals each comes first about as often; preference is never broken; a limit cuts the end. */
static void
test_C21_order(void **state)
{
	struct route_result *r = ask("equal.test");
	unsigned first[3] = {0};
	uint16_t order[8];

	for (int i = 0; i < 3000; i++) {
		assert_int_equal(route_order(r, &skewed_clock, CONF_FAMILY_ANY, order, 8), 3);
		first[r->addresses[order[0]].host]++;
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(first[i], 800, 1200);
	assert_int_equal(route_order(r, &skewed_clock, CONF_FAMILY_ANY, order, 2), 2);
	assert_int_equal(route_order(r, &skewed_clock, CONF_FAMILY_V6, order, 8), 0);
	route_unref(r);

	r = ask("two.test");
	for (int i = 0; i < 100; i++) {
		assert_int_equal(route_order(r, &skewed_clock, CONF_FAMILY_PREFER_V6, order, 8), 3);
		assert_int_equal(r->addresses[order[0]].any.sa_family, AF_INET6);
		assert_int_equal(r->addresses[order[2]].host, 1);
		assert_int_equal(route_order(r, &skewed_clock, CONF_FAMILY_PREFER_V4, order, 8), 3);
		assert_int_equal(r->addresses[order[0]].any.sa_family, AF_INET);
		assert_int_equal(route_order(r, &skewed_clock, CONF_FAMILY_V4, order, 8), 2);
	}
	route_unref(r);
}

/* C22: floor and ceiling of what holds how long. */
static void
test_C22_ttl(void **state)
{
	static const struct {
		const char *domain;
		int64_t min_s, max_s;
	} holds[] = {
		{"one.test", 270, 330},
		{"ttl0.test", 60, 60},
		{"ttlmax.test", 77760, 86400},
		{"ttl31.test", 60, 60}, /* RFC 2181 8: the sign bit set is 0 */
		{"nx.test", 270, 330},
		{"nullmx.test", 270, 330},
		{"servfail.test", 5, 5},
		{"[5.5.5.5]", 86400, 86400},
	};

	for (size_t i = 0; i < sizeof(holds) / sizeof(holds[0]); i++) {
		struct route_result *r = ask(holds[i].domain);
		int64_t left_us = r->expire_us - clock_now(&skewed_clock);

		print_message("  %s %ld s\n", holds[i].domain, (long)(left_us / second_us));
		assert_in_range(left_us, (holds[i].min_s - 2) * second_us, (holds[i].max_s + 1) * second_us);
		route_unref(r);
	}
}

/* C23 */
static void
test_C23_single_flight(void **state)
{
	struct asked a = {.wanted = 1000};

	lab.server.watched = "one.test";
	for (int i = 0; i < 1000; i++)
		route_lookup(lab.route, "one.test", on_done, &a);
	spin();
	assert_int_equal(a.came, 1000);
	assert_int_equal(lab.server.watched_count, 1);
	assert_int_equal(lab.server.query_count, 3);
	route_unref(a.result);
}

/* Different domains with the same exchangers share the questions for their addresses too. */
static void
test_shared_addresses(void **state)
{
	struct asked a = {.wanted = 2};

	lab.server.watched = "mx1.two.test";
	route_lookup(lab.route, "two.test", on_done, &a);
	route_lookup(lab.route, "twin.test", on_done, &a);
	spin();
	assert_int_equal(lab.server.watched_count, 2); /* A and AAAA */
	route_unref(a.result);
}

/* C31 and stale answers: new data after the TTL; the old for an hour while nobody can say; then wait. */
static void
test_C31_refresh(void **state)
{
	expect("one.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525");
	lab.server.zone = "one.test 300 MX 10 mx9.one.test\nmx9.one.test 300 A 5.5.5.99\n";
	expect("one.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525");
	skew_us = 700 * second_us;
	expect("one.test", "HOSTS mx9.one.test | mx9.one.test/10: 5.5.5.99 2525");
	lab.server.mood = MOOD_SERVFAIL;
	skew_us += 700 * second_us;
	expect("one.test", "HOSTS mx9.one.test | mx9.one.test/10: 5.5.5.99 2525");
	expect("nx.test", "WAIT 4.4.3");
	skew_us += 4000 * second_us;
	expect("one.test", "WAIT 4.4.3");
	lab.server.mood = MOOD_NONE;
	expect("one.test", "WAIT 4.4.3"); /* remembered for dns-retry */
	skew_us += 6 * second_us;
	expect("one.test", "HOSTS mx9.one.test | mx9.one.test/10: 5.5.5.99 2525");
	lab.server.zone = "other.test 300 A 5.5.5.1\n";
	skew_us += 400 * second_us;
	expect("one.test", "FAIL 5.1.2"); /* a clear no is believed at once */
	lab.server.mood = MOOD_SERVFAIL;
	skew_us += 400 * second_us;
	expect("one.test", "WAIT 4.4.3"); /* and an old no is not */
}

/* C19 by address: our own listener, reached through what a domain publishes. */
static void
test_C19_own_listener(void **state)
{
	teardown(NULL);
	lab_open(load_with(lab.server.text, "domain loopy.test { allow-private = yes port = 2527 }\n"));
	lab.server.zone = "loopy.test 300 MX 10 a.test\nloopy.test 300 MX 20 b.test\n"
			  "a.test 300 A 127.0.0.1\nb.test 300 A 127.0.0.2\n"
			  "open.test 300 MX 10 a.test\n";
	expect("loopy.test", "FAIL 5.4.6");
	expect("open.test", "HOSTS a.test | a.test/10: 127.0.0.1 2525"); /* another port is another server */
}

/* What was logged since the last time, without time stamp and level. */
static void
expect_logged(const char *want)
{
	char text[4096], *line;
	size_t len;

	rewind(lab.log_file);
	len = fread(text, 1, sizeof(text) - 1, lab.log_file);
	text[len] = '\0';
	assert_int_equal(ftruncate(fileno(lab.log_file), 0), 0);
	rewind(lab.log_file);
	line = strstr(text, "dns_odd");
	assert_string_equal(line != NULL ? line : text, want);
}

/* C11 */
static void
test_C11_many_records(void **state)
{
	static char many[400000];
	size_t at = 0;
	struct route_result *r;

	for (int i = 0; i < 1500; i++)
		at += (size_t)snprintf(
			many + at, sizeof(many) - at, "many.test 300 MX %d m%d.test\n", i, i % 300);
	for (int i = 0; i < 50; i++)
		for (int k = 0; k < 5; k++)
			at += (size_t)snprintf(
				many + at, sizeof(many) - at, "m%d.test 300 A 5.6.%d.%d\n", i, i, k + 1);
	for (int i = 0; i < 1500; i++)
		at += (size_t)snprintf(
			many + at, sizeof(many) - at, "manya.test 300 A 5.7.%d.%d\n", i / 250, i % 250 + 1);
	lab.server.zone = many;
	r = ask("many.test");
	assert_int_equal(r->kind, ROUTE_HOSTS);
	assert_int_equal(r->address_count, 200);
	assert_int_equal(r->host_count, 40);
	assert_string_equal(r->hosts[0].name, "m0.test");
	route_unref(r);
	expect_logged("dns_odd type=MX taken=100 too_many=1400 nonsense=0 name=\"many.test\"\n");
	r = ask("manya.test");
	assert_int_equal(r->kind, ROUTE_HOSTS);
	assert_int_equal(r->address_count, 100);
	route_unref(r);
	expect_logged("dns_odd type=A taken=100 too_many=1400 nonsense=0 name=\"manya.test\"\n");
}

/* C10: what was skipped is told once, not each time the answer is used. */
static void
test_C10_nonsense_is_told_once(void **state)
{
	static const char want[] = "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525";

	expect("shortmx.test", want);
	expect_logged("dns_odd type=MX taken=1 too_many=0 nonsense=2 name=\"shortmx.test\"\n");
	expect("shortmx.test", want);
	expect("one.test", want);
	expect_logged("");
}

/* New settings regroup what is remembered; other resolvers are asked again. */
static void
test_reconfigure(void **state)
{
	struct asked before = {.wanted = 2}, after = {.wanted = 1};
	const struct conf *old = lab.conf;
	char got[SUMMARY_MAX];

	expect("one.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525");
	route_lookup(lab.route, "two.test", on_done, &before);
	route_lookup(lab.route, "one.test", on_done, &before);
	lab.conf = load_with(lab.server.text,
		"domain one.test { port = 99 }\nprovider ones { mx = { \"*.one.test\" } }\n");
	route_reconfigure(lab.route, lab.conf);
	conf_unref(old);
	spin();
	assert_int_equal(before.came, 2);
	route_unref(before.result);
	lab.server.query_count = 0;
	route_lookup(lab.route, "one.test", on_done, &after);
	spin();
	summarise(after.result, got);
	assert_string_equal(got, "HOSTS ones/may:99 | mx1.one.test/10: 5.5.5.1 99");
	assert_int_equal(lab.server.query_count, 0); /* the answers are still true */
	route_unref(after.result);

	/* Other resolvers: what the old one said is asked again, and the failure of the new one is bridged.
	 */
	old = lab.conf;
	lab.conf = load_with(lab.second.text, "");
	route_reconfigure(lab.route, lab.conf);
	conf_unref(old);
	lab.second.query_count = 0;
	expect("one.test", "HOSTS mx1.one.test | mx1.one.test/10: 5.5.5.1 2525");
	assert_int_equal(lab.second.query_count, 3);
	assert_int_equal(lab.server.query_count, 0);
}

struct texts {
	char text[256], why[256];
};

static void
on_txt(void *arg, const char *text, const char *why)
{
	struct texts *t = arg;

	snprintf(t->text, sizeof(t->text), "%s", text != NULL ? text : "(none)");
	snprintf(t->why, sizeof(t->why), "%s", why);
	event_base_loopbreak(lab.base);
}

static void
test_txt(void **state)
{
	struct texts t;

	route_txt(lab.route, "key._domainkey.test", on_txt, &t);
	spin();
	assert_string_equal(t.text, "v=DKIM1; p=abc");
	lab.server.zone = "key._domainkey.test 300 TXT v=DKIM1; p=new\nkey._domainkey.test 300 TXT second\n";
	route_txt(lab.route, "key._domainkey.test", on_txt, &t);
	spin();
	assert_string_equal(t.text, "v=DKIM1; p=new\nsecond");
	route_txt(lab.route, "none._domainkey.test", on_txt, &t);
	spin();
	assert_string_equal(t.text, "(none)");
	assert_non_null(strstr(t.why, "NXDOMAIN"));
	route_txt(lab.route, "a..b", on_txt, &t);
	spin();
	assert_string_equal(t.text, "(none)");
}

static void
on_again(void *arg, const char *domain, struct route_result *result)
{
	struct asked *a = arg;

	if (++a->came < 50)
		route_lookup(lab.route, domain, on_again, arg);
	else
		event_base_loopbreak(lab.base);
}

/* A callback may ask again; whoever leaves with questions open leaves nothing behind (the sanitizer watches).
 */
static void
test_callbacks_and_end(void **state)
{
	struct asked a = {0};
	struct texts t;

	route_lookup(lab.route, "one.test", on_again, &a);
	spin();
	assert_int_equal(a.came, 50);
	route_lookup(lab.route, "one.test", on_done, &a);
	route_lookup(lab.route, "two.test", on_done, &a);
	route_lookup(lab.route, "mxsilent.test", on_done, &a);
	route_txt(lab.route, "key._domainkey.test", on_txt, &t);
	event_base_loop(lab.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	route_lookup(lab.route, "[5.5.5.5]", on_done, &a);
	route_unref(a.result);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cases, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C21_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C22_ttl, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C23_single_flight, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C31_refresh, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C19_own_listener, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C11_many_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C10_nonsense_is_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reconfigure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_txt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_callbacks_and_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
