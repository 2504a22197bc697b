/* SPDX-License-Identifier: Apache-2.0 */
/* conf: what is accepted and with which values, and what a reload changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "queue_warmup.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* --- what is accepted --- */

static void
test_empty(void **state)
{
	const struct conf *c = must_load(*state, "");

	assert_int_equal(c->listen_count, 1);
	assert_string_equal(c->listens[0].name, "submission");
	assert_int_equal(c->listens[0].endpoints.count, 2);
	assert_int_equal(c->listens[0].endpoints.items[0].family, AF_INET);
	assert_int_equal(c->listens[0].endpoints.items[1].family, AF_INET6);
	assert_int_equal(c->listens[0].nets.count, 2);
	assert_int_equal(c->listens[0].auth, CONF_AUTH_OPTIONAL);
	assert_int_equal(c->source_count, 1);
	assert_string_equal(c->sources[0].name, "default");
	assert_false(c->sources[0].has_v4 || c->sources[0].has_v6);
	assert_int_equal(conf_source_find(c, "default", 7), 0);
	assert_int_equal(c->user_count + c->pool_count + c->dkim_count + c->domain_count + c->route_count, 0);
	assert_int_equal(c->memory_max, 512 * 1048576);
	assert_int_equal(c->delivery.retry.count, 6);
	assert_int_equal(c->delivery.retry.us[0], INT64_C(300000000));
	assert_int_equal(c->delivery.expire, INT64_C(4) * 86400 * 1000000);
	assert_int_equal(c->delivery.tls, CONF_TLS_MAY);
	assert_int_equal(c->delivery.port, 25);
	assert_string_equal(c->spool_dir, "/var/spool/mtad");
	assert_int_equal(c->job_headers.count, 2);
	assert_string_equal(c->job_headers.items[1], "X-Mtad-Job");
	assert_string_equal(c->class_headers.items[0], "X-Mtad-Class");
	assert_string_equal(c->schedule_headers.items[1], "X-Mtad-Schedule");
	assert_true(c->hostname[0] != '\0');
	assert_memory_equal(c->bounce_from, "MAILER-DAEMON@", 14);
	conf_unref(c);
}

/* Design 9 in full, on few lines, with everything that needs no quotes. */
static const char design[] = HOST
	"listen submission { address = 127.0.0.1:587  networks = { 127.0.0.0/8 }  auth = optional }\n"
	"listen other { address = { [::1]:2525, *:2526, run/x.sock } networks = {} accept-rate = 100/s }\n"
	"source ip-a { address = 192.0.2.10  ehlo = A.mta1.Example.com. }\n"
	"source ip-b { address = { 192.0.2.11, 2001:db8::11 } }\n"
	"pool marketing { sources = { ip-b, ip-a } }\n"
	"user shop { password-file = secrets/shop  pool = marketing  senders = { @Example.com, Me@B\xc3\xbc"
	"cher.example } }\n"
	"dkim example.com { selector = s1  key = keys/k }\n"
	"dkim example.com { selector = s2  key = keys/k }\n"
	"dkim *.example.com { selector = s1  key = \"keys/k\" }\n"
	"provider google { mx = { *.google.com, \"*.googlemail.com\" } domains = gmail.com connections = 20 "
	"tls = encrypt }\n"
	"domain \"*\" { connections = 7  messages-per-connection = 100  expire = 2d retry = { 1m, 1h30m } }\n"
	"domain *.example.net { connections = 3 }\ndomain *.b.example.net { connections = 4 }\n"
	"domain B.example.net { connections = 5 }\ndomain gmail.com { idle = 0s }\n"
	"route smart { domains = { \"*\" } hosts = { a.example:26|[2001:db8::1]:27, 192.0.2.1 } user = me "
	"password-file = "
	"secrets/smarthost }\n"
	"route local { domains = { intern.example, *.intern.example } hosts = b.example tls = none }\n";

static void
test_design(void **state)
{
	const struct folder *f = *state;
	const struct conf *c;
	char path[128];

	put_secrets(f, "");
	c = must_load(f, design);
	assert_string_equal(c->hostname, "mta1.example.com");
	assert_int_equal(c->listen_count, 2);
	snprintf(path, sizeof(path), "%s/mtad.conf:2", f->path);
	assert_string_equal(c->listens[0].at, path);
	assert_int_equal(c->listens[1].accept_rate.count, 100);
	assert_int_equal(c->listens[1].accept_rate.per_us, 1000000);
	assert_int_equal(c->sources[0].has_v4, true);
	assert_int_equal(c->sources[0].has_v6, false);
	assert_int_equal(ntohl(c->sources[1].v4.sin_addr.s_addr), 0xc000020b);
	assert_string_equal(c->sources[0].ehlo, "a.mta1.example.com");
	assert_string_equal(c->sources[1].ehlo, "mta1.example.com");
	assert_int_equal(c->pools[0].source_index[0], 1);
	assert_int_equal(c->pools[0].source_index[1], 0);
	assert_int_equal(conf_pool_find(c, "marketing", 9), 0);
	assert_int_equal(conf_pool_find(c, "market", 6), -1);
	assert_int_equal(c->dkim_count, 3);
	snprintf(path, sizeof(path), "%s/keys/k", f->path);
	assert_string_equal(c->dkims[0].key, path);
	assert_memory_equal(conf_user_find(c, "shop", 4)->password_hash, HASH, sizeof(HASH) - 2);
	assert_null(conf_user_find(c, "Shop", 4));
	assert_string_equal(c->users[0].senders.items[0], "@example.com");
	assert_string_equal(c->users[0].senders.items[1], "Me@xn--bcher-kva.example");
	conf_unref(c);
}

static void
test_endpoints(void **state)
{
	static const struct {
		const char *text;
		int count, family;
	} cases[] = {
		{"127.0.0.1:587", 1, AF_INET},
		{"[::1]:587", 1, AF_INET6},
		{"*:587", 2, AF_INET},
		{"/run/x", 1, AF_UNIX},
		{"127.0.0.1", 0, 0},
		{"127.0.0.1:0", 0, 0},
		{"127.0.0.1:65536", 0, 0},
		{"127.0.0.1:-1", 0, 0},
		{"127.0.0.1:25x", 0, 0},
		{"::1:587", 0, 0},
		{"[::1]", 0, 0},
		{"[127.0.0.1]:25", 0, 0},
		{"localhost:25", 0, 0},
		{":25", 0, 0},
		{"", 0, 0},
	};
	struct conf_endpoint e[2];
	struct conf_why why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (conf_value_endpoint(cases[i].text, e, &why) != cases[i].count)
			fail_msg("endpoint \"%s\"", cases[i].text);
		if (cases[i].count > 0)
			assert_int_equal(e[0].family, cases[i].family);
	}
}

static void
test_units(void **state)
{
	static const struct {
		char kind;
		const char *text;
		int64_t want; /* -1: refused */
	} cases[] = {
		{'d', "5m", 300000000},
		{'d', "1h30m", INT64_C(5400000000)},
		{'d', "500ms", 500000},
		{'d', "2D", INT64_C(172800000000)},
		{'d', "0", 0},
		{'d', "0s", 0},
		{'d', "5", -1},
		{'d', "00", -1},
		{'d', "", -1},
		{'d', "m", -1},
		{'d', "5m5", -1},
		{'d', "5 m", -1},
		{'d', "-5m", -1},
		{'d', "1.5h", -1},
		{'d', "5mm", -1},
		{'d', "5w", -1},
		{'d', "99999999999d", -1},
		{'d', "9223372036854775808s", -1},
		{'d', "100000000d100000000d", -1},
		{'b', "10MB", 10485760},
		{'b', "10mb", 10485760},
		{'b', "1B", 1},
		{'b', "1TB", INT64_C(1099511627776)},
		{'b', "0", 0},
		{'b', "10", -1},
		{'b', "10M", -1},
		{'b', "9999999999TB", -1},
		{'c', "10", 10},
		{'c', "9223372036854775807", INT64_MAX},
		{'c', "9223372036854775808", -1},
		{'c', "10s", -1},
		{'c', "1e3", -1},
		{'c', "+1", -1},
		{'c', "", -1},
		{'r', "100/s", 100},
		{'r', "20000/d", 20000},
		{'r', "0/s", -1},
		{'r', "100", -1},
		{'r', "100/", -1},
		{'r', "100/ms", -1},
		{'r', "100/s2", -1},
		{'r', "-1/s", -1},
		{'r', "9999999999/s", -1},
		{'r', "300/10m", 300},
		{'r', "100/S", 100},
		{'r', "100/1h30m", 100},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text = cases[i].text;
		struct conf_rate rate = {-7, 0};
		struct conf_why why;
		int64_t n = -7;
		bool is_good = cases[i].kind == 'd'   ? conf_value_duration(text, &n, &why)
			       : cases[i].kind == 'b' ? conf_value_bytes(text, &n, &why)
			       : cases[i].kind == 'c' ? conf_value_count(text, &n, &why)
						      : conf_value_rate(CONF_TYPE_RATE, text, &rate, &why);

		if (cases[i].kind == 'r')
			n = rate.count;
		if (is_good != (cases[i].want >= 0) || n != (is_good ? cases[i].want : -7))
			fail_msg("%c \"%s\" gave %d, %lld", cases[i].kind, text, is_good, (long long)n);
		if (!is_good)
			assert_true(why.text[0] != '\0');
	}
}

/* Several at once: sorted, and printed as they are read again. */
static void
test_rates(void **state)
{
	static const struct {
		enum conf_type type;
		const char *words[4], *want; /* behind "!": why not */
	} cases[] = {
		{CONF_TYPE_RATES, {NULL}, ""},
		{CONF_TYPE_RATES, {"100/s"}, "100/s"},
		{CONF_TYPE_RATES, {"20000/d", "5000/h", "300/10m", "100/s"},
			"100/s, 300/10m, 5000/h, 20000/d"},
		{CONF_TYPE_RATES, {"1/90s", "1/24h", "1/1h", "1/31d"}, "1/90s, 1/h, 1/d, 1/31d"},
		{CONF_TYPE_RATES, {"1000000000/s"}, "1000000000/s"},
		{CONF_TYPE_BYTE_RATES, {"500GB/d", "10MB/s"}, "10MB/s, 500GB/d"},
		{CONF_TYPE_BYTE_RATES, {"1000B/2s"}, "1000B/2s"},
		{CONF_TYPE_BYTE_RATES, {"1000000000000000B/s"}, "976562500000KB/s"},
		{CONF_TYPE_RATES, {"5/m", "6/60s"},
			"!\"6/60s\" is a second rate for one window; keep the smaller"},
		{CONF_TYPE_RATES, {"1/h", "0/s"},
			"!\"0/s\" would never send; to stop use `mtactl pause`, for no limit write {}"},
		{CONF_TYPE_RATES, {"0"},
			"!\"0\" would never send; to stop use `mtactl pause`, for no limit write {}"},
		{CONF_TYPE_BYTE_RATES, {"0B/d"},
			"!\"0B/d\" would never send; to stop use `mtactl pause`, for no limit write {}"},
		{CONF_TYPE_RATE, {"0/s"}, "!\"0/s\" would accept nothing; leave the line out for no limit"},
		{CONF_TYPE_RATES, {"100"}, "!\"100\" is no rate; write 100/s or 300/10m (s, m, h, d)"},
		{CONF_TYPE_RATES, {"100/"}, "!\"100/\" is no rate; write 100/s or 300/10m (s, m, h, d)"},
		{CONF_TYPE_RATES, {"100/hour"},
			"!\"100/hour\" is no rate; write 100/s or 300/10m (s, m, h, d)"},
		{CONF_TYPE_RATES, {"100/s/s"},
			"!\"100/s/s\" is no rate; write 100/s or 300/10m (s, m, h, d)"},
		{CONF_TYPE_RATES, {"100/10"},
			"!\"100/10\": the window has no unit; write 100/s or 300/10m (s, m, h, d)"},
		{CONF_TYPE_RATES, {"100/ms"}, "!\"100/ms\": a window is from 1s to 31d"},
		{CONF_TYPE_RATES, {"100/0s"}, "!\"100/0s\": a window is from 1s to 31d"},
		{CONF_TYPE_RATES, {"100/32d"}, "!\"100/32d\": a window is from 1s to 31d"},
		{CONF_TYPE_RATES, {"1000000001/d"}, "!\"1000000001/d\" is too large; at most 1000000000"},
		{CONF_TYPE_RATES, {"-1/d"}, "!\"-1\" is negative; write a whole number such as 10"},
		{CONF_TYPE_RATES, {"10MB/s"},
			"!\"10MB\": a whole number stands here, without unit or fraction"},
		{CONF_TYPE_BYTE_RATES, {"910TB/d"}, "!\"910TB/d\" is too large; at most 909TB"},
		{CONF_TYPE_BYTE_RATES, {"10/s"},
			"!\"10\" has no unit; write a size such as 50MB (B, KB, MB, GB, TB)"},
		{CONF_TYPE_BYTE_RATES, {"10MB"},
			"!\"10MB\" is no rate; write 10MB/s or 500GB/d (B, KB, MB, GB, TB; s, m, h, d)"},
	};
	struct conf_arena a = {0};
	const struct conf_value_env env = {&a, "/"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct conf_row row = {.field = "rate", .type = cases[i].type};
		const char *want = cases[i].want;
		union {
			struct conf_rate one;
			struct conf_rates many;
		} value = {0};
		struct conf_why why = {""};
		size_t count = 0;

		while (count < 4 && cases[i].words[count] != NULL)
			count++;
		if (conf_value_store(&env, &row, cases[i].words, count, &value, &why) != (want[0] != '!'))
			fail_msg("\"%s\": %s", cases[i].words[0], why.text);
		assert_string_equal(want[0] == '!' ? why.text : conf_value_print(&a, &row, &value),
			want + (want[0] == '!'));
	}
	conf_arena_fini(&a);
}

static void
test_rates_order(void **state)
{
	static const char *const words[] = {
		"9/d", "3/s", "4/s", "5/2s", "1/m", "1/2m", "1/3m", "1/4m", "1/5m"};
	const struct conf_row row = {.field = "rate", .type = CONF_TYPE_RATES};
	struct conf_arena a = {0};
	const struct conf_value_env env = {&a, "/"};
	struct conf_rates rates = {0};
	struct conf_why why;

	assert_true(conf_value_store(&env, &row, words, 2, &rates, &why));
	assert_int_equal(rates.count, 2);
	assert_int_equal(rates.items[0].count, 3);
	assert_int_equal(rates.items[0].per_us, 1000000);
	assert_int_equal(rates.items[1].count, 9);
	assert_int_equal(rates.items[1].per_us, INT64_C(86400000000));
	assert_false(conf_value_store(&env, &row, words, 9, &rates, &why));
	assert_string_equal(why.text, "9 rates; at most 8 are possible");
	assert_int_equal(rates.count, 2);
	conf_arena_fini(&a);
}

static void
test_networks(void **state)
{
	static const struct {
		const char *network, *address;
		int want; /* -1: no network */
	} cases[] = {
		{"10.0.0.0/8", "10.255.0.1", 1},
		{"10.0.0.0/8", "11.0.0.1", 0},
		{"10.0.0.0/9", "10.128.0.0", 0},
		{"192.0.2.7", "192.0.2.7", 1},
		{"192.0.2.7", "192.0.2.6", 0},
		{"10.0.0.0/8", "::ffff:10.1.2.3", 1},
		{"::ffff:10.0.0.0/104", "10.1.2.3", 1},
		{"fd00::/8", "fd12::1", 1},
		{"fd00::/8", "fe80::1", 0},
		{"::/0", "192.0.2.1", 1},
		{"0.0.0.0/0", "2001:db8::1", 0},
		{"0.0.0.0/0", "203.0.113.9", 1},
		{"10.0.0.1/8", "", -1},
		{"10.0.0.0/33", "", -1},
		{"10.0.0.0/", "", -1},
		{"10.0.0.0/-1", "", -1},
		{"10.0.0/8", "", -1},
		{"fd00::/129", "", -1},
		{"localhost", "", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_network n;
		struct conf_networks list = {&n, 1};
		struct sockaddr_in v4 = {.sin_family = AF_INET};
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
		struct conf_why why;
		bool is_v4 = inet_pton(AF_INET, cases[i].address, &v4.sin_addr) == 1;

		if (conf_value_network(cases[i].network, &n, &why) != (cases[i].want >= 0))
			fail_msg("network \"%s\"", cases[i].network);
		if (cases[i].want < 0)
			continue;
		inet_pton(AF_INET6, cases[i].address, &v6.sin6_addr);
		if (conf_network_has(&list, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6) !=
			(cases[i].want == 1))
			fail_msg("\"%s\" in \"%s\"", cases[i].address, cases[i].network);
	}
}

static void
test_find_and_merge(void **state)
{
	static const struct {
		const char *domain;
		int connections;
		const char *block;
	} cases[] = {
		{"example.org", 7, "*"},
		{"a.example.net", 3, "*.example.net"},
		{"example.net", 7, "*"},
		{"x.b.example.net", 4, "*.b.example.net"},
		{"x.y.b.example.net", 4, "*.b.example.net"},
		{"b.example.net", 5, "b.example.net"},
		{".example.net", 7, "*"},
		{"net", 7, "*"},
		{"gmail.com", 7, "gmail.com"},
	};
	const struct conf *c;
	struct conf_delivery d;

	put_secrets(*state, "");
	c = must_load(*state, design);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct conf_domain *found =
			conf_domain_find(c, cases[i].domain, text_len(cases[i].domain));

		assert_non_null(found);
		assert_string_equal(found->name, cases[i].block);
		conf_delivery_merge(c, found, NULL, &d);
		assert_int_equal(d.connections, cases[i].connections);
		assert_int_equal(d.expire, INT64_C(2) * 86400 * 1000000);
	}
	/* A provider wins over domain "*", also when that is what conf_domain_find gave; a domain wins over
	 * both. */
	assert_ptr_equal(conf_provider_of_mx(c, "alt1.google.com", 15), &c->providers[0]);
	assert_null(conf_provider_of_mx(c, "google.com", 10));
	assert_ptr_equal(conf_provider_of_domain(c, "gmail.com", 9), &c->providers[0]);
	conf_delivery_merge(c, conf_domain_find(c, "x", 1), &c->providers[0], &d);
	assert_int_equal(d.connections, 20);
	assert_int_equal(d.tls, CONF_TLS_ENCRYPT);
	conf_delivery_merge(c, conf_domain_find(c, "b.example.net", 13), &c->providers[0], &d);
	assert_int_equal(d.connections, 5);
	assert_int_equal(d.tls, CONF_TLS_ENCRYPT);
	conf_delivery_merge(c, conf_domain_find(c, "gmail.com", 9), NULL, &d);
	assert_int_equal(d.idle, 0);
	conf_delivery_merge(c, NULL, NULL, &d);
	assert_int_equal(d.connections, 7);
	assert_int_equal(d.is_set, c->delivery.is_set);
	conf_unref(c);
}

static void
test_routes(void **state)
{
	const struct conf *c;
	const struct conf_route *r;

	put_secrets(*state, "");
	c = must_load(*state, design);
	r = conf_route_find(c, "anything.example", 16);
	assert_string_equal(r->name, "smart");
	assert_int_equal(r->host_count, 3);
	assert_string_equal(r->host_list[0].name, "a.example");
	assert_int_equal(r->host_list[0].port, 26);
	assert_string_equal(r->host_list[1].name, "2001:db8::1");
	assert_int_equal(r->host_list[1].port, 27);
	assert_int_equal(r->host_list[1].preference, r->host_list[0].preference);
	assert_string_equal(r->host_list[2].name, "192.0.2.1");
	assert_int_equal(r->host_list[2].port, 0);
	assert_true(r->host_list[2].preference > r->host_list[1].preference);
	assert_string_equal(r->password, "a-secret-of-at-least-32-characters");
	assert_int_equal(r->tls, CONF_TLS_VERIFY);
	r = conf_route_find(c, "a.intern.example", 16);
	assert_string_equal(r->name, "local");
	assert_int_equal(r->tls, CONF_TLS_NONE);
	conf_unref(c);
	c = must_load(*state, HOST "route r { domains = a.example hosts = b.example }");
	assert_null(conf_route_find(c, "b.example", 9));
	assert_int_equal(conf_route_find(c, "a.example", 9)->tls, CONF_TLS_UNSET);
	conf_unref(c);
}

/* Cut anywhere, and with any one byte gone: always an answer, and never one that reads beyond. */
static void
test_cut(void **state)
{
	size_t len = sizeof(design) - 1;
	char *said;

	put_secrets(*state, "");
	for (size_t n = 0; n <= len; n++) {
		char *copy = malloc(n + 1);

		assert_non_null(copy);
		memcpy(copy, design, n);
		conf_unref(load_bytes(*state, copy, n, &said));
		free(said);
		if (n > 0) {
			memmove(copy, design + 1, n - 1);
			memcpy(copy, design, n / 2);
			conf_unref(load_bytes(*state, copy, n - 1, &said));
			free(said);
		}
		free(copy);
	}
}

/* --- reload --- */

static void
test_diff(void **state)
{
	static const struct {
		const char *from, *to, *said;
		int restarts;
	} diffs[] = {
		{"", "", "", 0},
		{"domain * { }", "", "", 0},
		{"domain * { retry = { 5m, 15m } }", "domain * { retry = 10m }",
			"domain \"*\": retry: 5m, 15m -> 10m (now)\n", 0},
		/* What is made of another setting changes with it. */
		{"", "spool-dir = /srv/x",
			"spool-dir: /var/spool/mtad -> /srv/x (needs a restart)\n"
			"unread-reports: /var/spool/mtad/unread -> /srv/x/unread (now)\n",
			1},
		{"domain a.example { }", "domain a.example { idle = 0s }",
			"domain \"a.example\": idle: not set -> 0s (now)\n", 0},
		{"domain a.example { }", "domain b.example { }",
			"domain \"a.example\": removed (now)\ndomain \"b.example\": added (now)\n", 0},
		{"dkim a.example { selector = s key = keys/k }",
			"dkim a.example { selector = t key = keys/k }",
			"dkim \"a.example s\": removed (now)\ndkim \"a.example t\": added (now)\n", 0},
		{"listen a { address = 127.0.0.1:25 }", "listen a { address = 127.0.0.1:26 tls = none }",
			"listen \"a\": address: 127.0.0.1:25 -> 127.0.0.1:26 (now)\nlisten "
			"\"a\": tls: may -> none (now)\n",
			0},
		{"listen a { address = 127.0.0.1:25 }", "listen b { address = 127.0.0.1:25 }",
			"listen \"a\": removed (now)\nlisten \"b\": added (now)\n", 0},
		{"", "run-as = root", "run-as: not set -> root (needs a restart)\n", 1},
		{"listen a { address = 127.0.0.1:25 }",
			"listen a { address = 127.0.0.1:25 accept-rate = 5/h }",
			"listen \"a\": accept-rate: not set -> 5/h (now)\n", 0},
		{"domain * { rate = 5/s }", "domain * { rate = { 20000/d, 5/s } }",
			"domain \"*\": rate: 5/s -> 5/s, 20000/d (now)\n", 0},
		{"domain * { rate = { 20000/d, 5/s } }", "domain * { rate = { 5/s, 20000/24h } }", "", 0},
		{"domain a.example { byte-rate = 5MB/s }", "domain a.example { byte-rate = {} }",
			"domain \"a.example\": byte-rate: 5MB/s -> not set (now)\n", 0},
		{"source s { } pool p { sources = s }",
			"source s { } pool p { sources = s:2 senders = @a.test }",
			"pool \"p\": sources: s -> s:2 (now)\npool \"p\": senders: not set -> @a.test "
			"(now)\n",
			0},
		{"stream s { }", "stream s { classes = bulk weight = 2 }",
			"stream \"s\": classes: not set -> bulk (now)\nstream \"s\": weight: 1 -> 2 (now)\n",
			0},
		{"source s { }", "source s { connections = 5 byte-rate = 1GB/h }",
			"source \"s\": connections: 0 -> 5 (now)\nsource \"s\": byte-rate: not set -> 1GB/h "
			"(now)\n",
			0},
		{"", "connect-rate-total = 9/s rates-count = deliveries",
			"connect-rate-total: not set -> 9/s (now)\nrates-count: attempts -> deliveries "
			"(now)\n",
			0},
		{"rule a { note = x } rule b { note = x }", "rule b { note = x } rule a { note = y }",
			"rule \"a\": stands further back (now)\nrule \"a\": note: x -> y (now)\n", 0},
		{"stream a { } stream b { } stream c { }",
			"stream c { } stream a { } stream b { weight = 2 }",
			"stream \"a\": stands further back (now)\nstream \"b\": stands further back "
			"(now)\nstream \"b\": weight: 1 -> 2 (now)\n",
			0},
		{"source a { } source b { }", "source b { } source a { }",
			"source \"b\": is the first now: mail that no pool is chosen for leaves from it "
			"(now)\n",
			0},
		{"source a { } source b { } source c { }", "source a { } source c { } source b { }", "", 0},
		{"rule a { note = x }", "rule b { note = x } rule a { note = x }",
			"rule \"b\": added (now)\n", 0},
		{"domain a.example { } domain b.example { }", "domain b.example { } domain a.example { }", "",
			0},
		{"memory-max = 1GB", "memory-max = 1536MB", "memory-max: 1GB -> 1536MB (now)\n", 0},
	};
	const struct folder *f = *state;

	put_secrets(f, "");
	for (size_t i = 0; i < sizeof(diffs) / sizeof(diffs[0]); i++) {
		char text[512], *said = NULL;
		const struct conf *from, *to;
		size_t len;
		FILE *out = open_memstream(&said, &len);

		snprintf(text, sizeof(text), HOST "%s", diffs[i].from);
		from = must_load(f, text);
		snprintf(text, sizeof(text), HOST "%s", diffs[i].to);
		to = must_load(f, text);
		assert_int_equal(conf_diff(from, to, out), diffs[i].restarts);
		fclose(out);
		assert_string_equal(said, diffs[i].said);
		free(said);
		conf_unref(from);
		conf_unref(to);
	}
}

/* A password is compared and never shown. */
static void
test_diff_secret(void **state)
{
	static const char text[] = HOST
		"route r { domains = { * } hosts = h.example user = u password-file = secrets/smarthost }";
	const struct conf *from, *to;
	char *said = NULL;
	size_t len;
	FILE *out = open_memstream(&said, &len);

	put_secrets(*state, "");
	from = must_load(*state, text);
	put_text(*state, "secrets/smarthost", "other\n", 0600);
	to = must_load(*state, text);
	assert_int_equal(conf_diff(from, to, out), 0);
	fclose(out);
	assert_string_equal(said, "route \"r\": the password is another (now)\n");
	free(said);
	conf_unref(from);
	conf_unref(to);
}

static void
test_references(void **state)
{
	const struct conf *c = must_load(*state, HOST);

	assert_ptr_equal(conf_ref(c), c);
	conf_unref(c);
	assert_string_equal(c->hostname, "mta1.example.com");
	conf_unref(c);
	conf_unref(NULL);
}

/* G16: a hosting company. Quadratic work would not end within the time of a test. */
static void
test_many(void **state)
{
	const struct folder *f = *state;
	char *text = NULL, path[128], name[32];
	size_t len;
	FILE *out = open_memstream(&text, &len);
	const struct conf *c;

	put_secrets(f, "");
	fputs(HOST, out);
	for (int i = 0; i < 50000; i++)
		fprintf(out, "domain d%d.example { connections = %d }\n", i, i % 50 + 1);
	for (int i = 0; i < 10000; i++)
		fprintf(out, "dkim d%d.example { selector = s key = keys/k }\n", i);
	fclose(out);
	put_file(f, "mtad.conf", text, len, 0600);
	free(text);
	snprintf(path, sizeof(path), "%s/mtad.conf", f->path);
	c = conf_load(path, stderr);
	assert_non_null(c);
	assert_int_equal(c->domain_count, 50000);
	assert_int_equal(c->dkim_count, 10000);
	for (int i = 0; i < 50000; i++) {
		const struct conf_domain *d =
			conf_domain_find(c, name, (size_t)snprintf(name, sizeof(name), "d%d.example", i));

		assert_ptr_equal(d, &c->domains[i]);
		assert_int_equal(d->delivery.connections, i % 50 + 1);
	}
	conf_unref(c);
}

/* mtactl has to find a daemon that runs, also while its file is being edited. */
static void
test_control_socket(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"", "/run/mtad/control"},
		{"control-socket = /x/y\n", "/x/y"},
		{"hostnam = a\ncontrol-socket = /x/y\ndkim a.test { selector = s key = absent.pem }\n",
			"/x/y"},
	};
	const struct folder *f = *state;
	char path[512], *said = NULL, *socket;
	size_t said_len;
	FILE *out = open_memstream(&said, &said_len);

	snprintf(path, sizeof(path), "%s/socket.conf", f->path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put_text(f, "socket.conf", rows[i].text, 0600);
		socket = conf_path(path, "control-socket", out);
		assert_non_null(socket);
		assert_string_equal(socket, rows[i].want);
		free(socket);
	}
	fflush(out);
	assert_string_equal(said, "");
	/* Not said in a file with errors: it might be in the line that is wrong. */
	assert_null(conf_path(path, "accounting-json", out));
	put_text(f, "socket.conf", "accounting-json = /x/y.jsonl\n", 0600);
	socket = conf_path(path, "accounting-json", out);
	assert_string_equal(socket, "/x/y.jsonl");
	free(socket);
	assert_null(conf_path("/nowhere/mtad.conf", "control-socket", out));
	put_text(f, "socket.conf", "control-socket = /x/y\ndomain * {\n", 0600);
	assert_null(conf_path(path, "control-socket", out));
	fclose(out);
	assert_non_null(strstr(said, "and no accounting-json that can be read\n"));
	assert_non_null(strstr(said, "/nowhere/mtad.conf: cannot be opened: No such file or directory\n"));
	assert_non_null(strstr(said, "socket.conf: has errors, mtad -t says them, and no control-socket"));
	free(said);
}

static void
test_distance(void **state)
{
	assert_int_equal(conf_word_distance("retry", "retry"), 0);
	assert_int_equal(conf_word_distance("retyr", "retry"), 1);
	assert_int_equal(conf_word_distance("retries", "retry"), 3);
	assert_int_equal(conf_word_distance("", "abc"), 3);
	assert_int_equal(conf_word_distance("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "a"), 9);
}

/* Who goes by which curve, with which limits. */
static void
test_warmup(void **state)
{
	const struct conf *c = must_load(*state,
		HOST "source a { address = 127.0.0.1 warmup = mine warmup-start = 2026-11-01 }\n"
		     "source b { address = 127.0.0.2 warmup = gentle }\n"
		     "source c { address = 127.0.0.3 warmup = steady }\n"
		     "source d { address = 127.0.0.4 }\n"
		     "warmup mine { volumes = { 10, 20, 20 } hold-complained = 0.25% }\n"
		     "warmup steady { hold-deferred = 12.5% }\n");
	const struct conf_warmup *mine = c->sources[0].warmup_plan, *gentle = c->sources[1].warmup_plan,
				 *steady = c->sources[2].warmup_plan;

	assert_int_equal(c->sources[0].warmup_start_day, 20758);
	assert_ptr_equal(mine, &c->warmups[0]);
	assert_int_equal(mine->volumes.count, 3);
	assert_int_equal(mine->volumes.items[1], 20);
	assert_int_equal(mine->hold_complained, 2500);
	assert_int_equal(mine->hold_deferred, QUEUE_WARMUP_DEFERRED_PPM);
	assert_string_equal(gentle->name, "gentle");
	assert_int_equal(gentle->volumes.items[0], 100);
	assert_int_equal(gentle->hold_deferred, QUEUE_WARMUP_DEFERRED_PPM);
	assert_int_equal(gentle->hold_blocked, QUEUE_WARMUP_BLOCKED_PPM);
	assert_int_equal(gentle->hold_bounced, QUEUE_WARMUP_BOUNCED_PPM);
	assert_int_equal(gentle->hold_complained, QUEUE_WARMUP_COMPLAINED_PPM);
	assert_int_equal(c->sources[1].warmup_start_day, 0);
	assert_ptr_equal(steady, &c->warmups[1]);
	assert_int_equal(steady->volumes.items[0], 200);
	assert_int_equal(steady->hold_deferred, 125000);
	assert_null(c->sources[3].warmup_plan);
	conf_unref(c);
}

/* Sender domains go by curves as sources do; who is in which block. */
static void
test_sender(void **state)
{
	static const struct {
		const char *domain, *want; /* NULL: none */
	} cases[] = {
		{"example.com", "@example.com"},
		{"bounces.example.com", "@example.com"},
		{"a.b.example.com", "@example.com"},
		{"news.example.com", "@news.example.com"},
		{"x.news.example.com", "@news.example.com"},
		{"xn--mller-kva.example", "@xn--mller-kva.example"},
		{"ample.com", NULL},
		{"notexample.com", NULL},
		{"com", NULL},
		{".", NULL},
		{"", NULL},
	};
	const struct conf *c =
		must_load(*state, HOST "sender Example.COM. { warmup = mine warmup-start = 2026-11-01 }\n"
				       "sender news.example.com { }\n"
				       "sender m\303\274ller.example { warmup = gentle }\n"
				       "warmup mine { volumes = { 10, 20 } }\n");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct conf_sender *s = conf_sender_find(c, cases[i].domain, strlen(cases[i].domain));

		if (cases[i].want == NULL)
			assert_null(s);
		else
			assert_string_equal(s->warmup_name, cases[i].want);
	}
	assert_string_equal(c->senders[0].name, "example.com");
	assert_ptr_equal(c->senders[0].warmup_plan, &c->warmups[0]);
	assert_int_equal(c->senders[0].warmup_start_day, 20758);
	assert_null(c->senders[1].warmup_plan);
	assert_string_equal(c->senders[2].warmup_plan->name, "gentle");
	conf_unref(c);
}

static void
test_warmup_diff(void **state)
{
	const struct conf *from =
		must_load(*state, HOST "source a { warmup = w }\nwarmup w { volumes = { 5, 9 } }");
	const struct conf *to = must_load(*state,
		HOST "source a { warmup = w }\nwarmup w { volumes = { 5, 10 } hold-complained = 0.25% }");
	char *said = NULL;
	FILE *out = open_memstream(&said, &(size_t){0});

	assert_int_equal(conf_diff(from, to, out), 0);
	fclose(out);
	assert_string_equal(said,
		"warmup \"w\": volumes: 5, 9 -> 5, 10 (now)\nwarmup \"w\": hold-complained: 0.1% -> "
		"0.25% (now)\n");
	free(said);
	conf_unref(from);
	conf_unref(to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_empty),
		WITH_FOLDER(test_design),
		WITH_FOLDER(test_warmup),
		WITH_FOLDER(test_sender),
		WITH_FOLDER(test_warmup_diff),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_rates_order),
		cmocka_unit_test(test_networks),
		WITH_FOLDER(test_find_and_merge),
		WITH_FOLDER(test_routes),
		WITH_FOLDER(test_cut),
		WITH_FOLDER(test_diff),
		WITH_FOLDER(test_diff_secret),
		WITH_FOLDER(test_references),
		WITH_FOLDER(test_many),
		WITH_FOLDER(test_control_socket),
		cmocka_unit_test(test_distance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
