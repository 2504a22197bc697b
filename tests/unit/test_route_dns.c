/* SPDX-License-Identifier: Apache-2.0 */
/* dns and resolver: which resolver is asked when, what is remembered, and that all of it stays bounded. */
#include "route/dns.h"
#include "route/resolver_servers.h"
#include "skewed_clock.h"
#include "test_route_server.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct lab {
	struct server first, second;
	struct event_base *base;
	const struct conf *conf;
	struct dns *dns;
	unsigned open; /* answers still to come */
	enum dns_answer_kind last;
	char last_why[DOMAIN_MAX];
	char file[64], resolv[64];
} lab;

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* `servers` as in the file: "127.0.0.1:1, 127.0.0.1:2"; "" leaves it to resolv.conf. */
static void
lab_open_timeout(const char *servers, const char *more, const char *timeout)
{
	char text[1024], list[256] = "";

	if (servers[0] != '\0')
		snprintf(list, sizeof(list), "dns-servers = { %s }\n", servers);
	snprintf(text, sizeof(text),
		"hostname = mta.test\ndns-timeout = %s\ndns-tries = 2\ndns-retry = 5s\n%s%s", timeout, list,
		more);
	write_file(lab.file, text);
	lab.conf = conf_load(lab.file, stderr);
	assert_non_null(lab.conf);
	skew_us = 0;
	lab.open = 0;
	lab.base = event_base_new();
	lab.dns = dns_create(lab.base, &skewed_clock, lab.conf, NULL, lab.resolv);
	assert_non_null(lab.dns);
}

static void
lab_open(const char *servers, const char *more)
{
	lab_open_timeout(servers, more, "300ms");
}

static int
group_setup(void **state)
{
	server_start(&lab.first, "");
	server_start(&lab.second, "");
	snprintf(lab.file, sizeof(lab.file), "/tmp/test_route_dns.%d.conf", (int)getpid());
	snprintf(lab.resolv, sizeof(lab.resolv), "/tmp/test_route_dns.%d.resolv", (int)getpid());
	return 0;
}

static int
group_teardown(void **state)
{
	server_stop(&lab.first);
	server_stop(&lab.second);
	unlink(lab.file);
	unlink(lab.resolv);
	return 0;
}

static int
setup(void **state)
{
	lab.first.zone = lab.second.zone = "*.zone 300 A 5.5.5.5\n";
	lab.first.mood = lab.second.mood = MOOD_NONE;
	lab.first.query_count = lab.second.query_count = 0;
	lab.first.tcp_count = lab.first.watched_count = 0;
	lab.first.watched = NULL;
	return 0;
}

static int
teardown(void **state)
{
	dns_destroy(&lab.dns);
	event_base_free(lab.base);
	conf_unref(lab.conf);
	return 0;
}

/* --- asking --- */

struct slot {
	struct dns_wait wait;
	int64_t took_us;
	bool has_answer;
	enum dns_answer_kind kind;
	char why[DOMAIN_MAX];
};

static void
note(struct slot *s, const struct dns_answer *a)
{
	s->has_answer = true;
	s->kind = a->kind;
	s->took_us += clock_mono(clock_real());
	snprintf(s->why, sizeof(s->why), "%s", a->why);
}

static void
on_done(struct dns_wait *w, struct dns_answer *answer)
{
	struct slot *s = (struct slot *)w;

	assert_false(s->has_answer);
	note(s, answer);
	assert_true(lab.open > 0);
	if (--lab.open == 0)
		event_base_loopbreak(lab.base);
}

static void
begin(struct slot *s, const char *name)
{
	struct dns_answer *a;

	memset(s, 0, sizeof(*s));
	s->wait.done = on_done;
	s->took_us = -clock_mono(clock_real());
	a = dns_get(lab.dns, name, DNS_TYPE_A, &s->wait);
	if (a == NULL)
		lab.open++;
	else
		note(s, a);
	dns_answer_unref(&a);
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
	if (lab.open > 0)
		event_base_dispatch(lab.base);
	event_free(late);
}

static struct slot
ask(const char *name)
{
	struct slot s;

	begin(&s, name);
	spin();
	assert_true(s.has_answer);
	return s;
}

static struct resolver_stats
stats(void)
{
	struct dns_stats s;

	dns_stats(lab.dns, &s);
	assert_int_equal(s.resolver.waiting + s.resolver.in_flight, 0);
	return s.resolver;
}

static void
both_servers(char out[128])
{
	snprintf(out, 128, "\"%s\", \"%s\"", lab.first.text, lab.second.text);
}

static void
open_both(void)
{
	char servers[128];

	both_servers(servers);
	lab_open(servers, "");
}

/* C5: everybody silent. Failures are remembered, and once the silence is known one round has to do. */
static void
test_C5_all_silent(void **state)
{
	struct slot s;

	open_both();
	lab.first.mood = lab.second.mood = MOOD_SILENT;
	s = ask("a.zone");
	assert_int_equal(s.kind, DNS_FAULT);
	assert_non_null(strstr(s.why, "no answer from 127.0.0.1:"));
	assert_int_equal(stats().queries, 4); /* 2 tries of 2 */
	s = ask("a.zone");
	assert_int_equal(stats().queries, 4); /* remembered */
	(void)ask("b.zone");
	(void)ask("c.zone");
	lab.first.query_count = lab.second.query_count = 0;
	s = ask("d.zone");
	assert_int_equal(s.kind, DNS_FAULT);
	assert_int_equal(lab.first.query_count + lab.second.query_count, 2);
	skew_us = 6 * second_us;
	lab.first.mood = MOOD_NONE;
	assert_int_equal(ask("d.zone").kind, DNS_NXDOMAIN);
	assert_int_equal(ask("e.zone").kind, DNS_NXDOMAIN);
}

/* C6: the first is dead. The second answers, the dead one is soon left alone, probed, and taken back. */
static void
first_is_dead(void)
{
	struct slot s[40];
	char name[32];

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "a%d.zone", i);
		assert_int_equal(ask(name).kind, DNS_NXDOMAIN);
	}
	lab.first.query_count = 0;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "b%d.zone", i);
		begin(&s[i], name);
	}
	spin();
	for (int i = 0; i < 40; i++) {
		assert_int_equal(s[i].kind, DNS_NXDOMAIN);
		assert_true(s[i].took_us < 250000);
	}
	assert_int_equal(lab.first.query_count, 0);
	skew_us += 31 * second_us;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "c%d.zone", i);
		begin(&s[i], name);
	}
	spin();
	for (int i = 0; i < 40; i++)
		assert_int_equal(s[i].kind, DNS_NXDOMAIN);
}

static void
test_C6_first_silent(void **state)
{
	open_both();
	lab.first.mood = MOOD_SILENT;
	first_is_dead();
	assert_int_equal(lab.first.query_count, 1); /* the probe */
	lab.first.mood = MOOD_NONE;
	skew_us += 31 * second_us;
	(void)ask("d.zone");
	assert_int_equal(lab.first.query_count, 2);
	lab.second.query_count = 0;
	(void)ask("e.zone");
	assert_int_equal(lab.first.query_count, 3); /* it is first again */
	assert_int_equal(lab.second.query_count, 0);
}

/* C6 with a closed port, which says so at once. */
static void
test_C6_first_closed(void **state)
{
	struct server gone;
	char servers[128];

	server_start(&gone, "");
	server_stop(&gone);
	snprintf(servers, sizeof(servers), "\"%s\", \"%s\"", gone.text, lab.second.text);
	lab_open(servers, "");
	assert_true(ask("quick.zone").took_us < 250000);
	first_is_dead();
}

/* C4: a resolver that refuses or fails is not asked twice, the next one is. */
static void
test_C4_next_resolver(void **state)
{
	static const enum mood moods[] = {MOOD_SERVFAIL, MOOD_REFUSED, MOOD_NOTIMP, MOOD_GARBAGE};
	char name[32];

	open_both();
	for (size_t i = 0; i < sizeof(moods) / sizeof(moods[0]); i++) {
		lab.first.mood = (int)moods[i];
		lab.second.query_count = 0;
		snprintf(name, sizeof(name), "n%zu.zone", i);
		assert_int_equal(ask(name).kind, DNS_NXDOMAIN);
		assert_int_equal(lab.second.query_count, 1);
	}
	lab.first.mood = lab.second.mood = MOOD_SERVFAIL;
	lab.first.query_count = 0;
	assert_int_equal(ask("all.zone").kind, DNS_FAULT);
	assert_int_equal(lab.first.query_count, 1);
}

/* C7: truncated, and nobody at the TCP port. */
static void
test_C7_tcp_refused(void **state)
{
	struct server udp_only;
	struct slot s;

	server_start_with(
		&udp_only, "t.zone 0 MOOD TRUNCATE\nt.zone 300 A 5.5.5.5\nu.zone 300 A 5.5.5.5\n", false);
	lab_open(udp_only.text, "");
	s = ask("t.zone");
	assert_int_equal(s.kind, DNS_FAULT);
	assert_int_equal(ask("u.zone").kind, DNS_RECORDS);
	server_stop(&udp_only);
}

/* C24: one name takes for ever; the others do not notice. */
static void
test_C24_slow_name(void **state)
{
	struct slot slow, s[20];
	char name[32];

	lab_open(lab.first.text, "");
	lab.first.zone = "slow.zone 0 MOOD SILENT\n";
	begin(&slow, "slow.zone");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "q%d.zone", i);
		begin(&s[i], name);
	}
	spin();
	for (int i = 0; i < 20; i++)
		assert_true(s[i].took_us < 250000);
	assert_int_equal(slow.kind, DNS_FAULT);
	assert_true(slow.took_us > 500000);
}

static void
on_ignored(struct dns_wait *w, struct dns_answer *answer)
{
}

/* C24 in numbers: 1,500 dead names in front of the line do not hold up those behind them. */
static void
test_C24_slow_names(void **state)
{
	static struct dns_wait slow[1500];
	static char text[60000];
	struct slot s[20];
	size_t at = 0;
	char name[32];

	for (int i = 0; i < 1500; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "dead%d.zone 0 MOOD SILENT\n", i);
	lab.first.zone = text;
	lab_open_timeout(lab.first.text, "", "5s");
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "dead%d.zone", i);
		slow[i].done = on_ignored;
		assert_null(dns_get(lab.dns, name, DNS_TYPE_A, &slow[i]));
	}
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "q%d.zone", i);
		begin(&s[i], name);
	}
	spin();
	for (int i = 0; i < 20; i++) {
		assert_int_equal(s[i].kind, DNS_NXDOMAIN);
		assert_true(s[i].took_us < 4 * second_us);
	}
}

/* C25, C26: resolv.conf is read for its servers alone, and again when it has changed. */
static void
test_C25_C26_resolv_conf(void **state)
{
	char text[256];

	snprintf(text, sizeof(text),
		"# comment\nsearch zone example\noptions ndots:5\nnameserver\nnameserver fe80::1%%eth0\n"
		"nameserver [127.0.0.1]:%u # here\n",
		lab.first.port);
	write_file(lab.resolv, text);
	lab.first.zone = "host.zone 300 A 5.5.5.5\n";
	lab.first.watched = "host";
	lab_open("", "");
	assert_string_equal(resolver_server(dns_resolver(lab.dns), 0), lab.first.text);
	assert_null(resolver_server(dns_resolver(lab.dns), 1));
	assert_int_equal(ask("host").kind, DNS_NXDOMAIN);
	assert_int_equal(lab.first.watched_count, 1);
	assert_int_equal(lab.first.query_count, 1);

	snprintf(text, sizeof(text), "nameserver 127.0.0.1:%u\n", lab.second.port);
	write_file(lab.resolv, text);
	(void)ask("a.zone");
	assert_int_equal(lab.second.query_count, 0); /* looked at every 10 s */
	skew_us += 11 * second_us;
	(void)ask("b.zone");
	assert_int_equal(lab.second.query_count, 1);
	assert_int_equal(lab.first.query_count, 2);
	assert_string_equal(resolver_server(dns_resolver(lab.dns), 0), lab.second.text);
}

/* Without any file: what libc does. */
static void
test_no_resolv_conf(void **state)
{
	unlink(lab.resolv);
	lab_open("", "");
	assert_string_equal(resolver_server(dns_resolver(lab.dns), 0), "127.0.0.1:53");
}

/* Resolvers exchanged while questions are under way: they are asked again there, each answered once. */
static void
test_exchange_under_way(void **state)
{
	struct slot s[700];
	const struct conf *old;
	char name[32], text[128];

	lab_open(lab.first.text, "");
	lab.first.mood = MOOD_SILENT;
	for (int i = 0; i < 700; i++) {
		snprintf(name, sizeof(name), "x%d.zone", i);
		begin(&s[i], name);
	}
	event_base_loop(lab.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	old = lab.conf;
	snprintf(text, sizeof(text), "hostname = mta.test\ndns-servers = { \"%s\" }\n", lab.second.text);
	write_file(lab.file, text);
	lab.conf = conf_load(lab.file, stderr);
	assert_non_null(lab.conf);
	dns_reconfigure(lab.dns, lab.conf);
	conf_unref(old);
	spin();
	for (int i = 0; i < 700; i++)
		assert_int_equal(s[i].kind, DNS_NXDOMAIN);
	assert_int_equal(stats().in_flight, 0);
}

/* At most RESOLVER_WINDOW under way; C35: fewer when the resolver refuses, and more again when it does not.
 */
static void
test_C35_window(void **state)
{
	static struct slot s[4000];
	struct dns_stats seen;
	char name[32];

	lab_open(lab.first.text, "");
	for (int i = 0; i < 4000; i++) {
		snprintf(name, sizeof(name), "w%d.zone", i);
		begin(&s[i], name);
	}
	event_base_loop(lab.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	dns_stats(lab.dns, &seen);
	assert_in_range(seen.resolver.in_flight, 1, RESOLVER_WINDOW);
	spin();
	for (int i = 0; i < 4000; i++)
		assert_int_equal(s[i].kind, DNS_NXDOMAIN);
	assert_int_equal(stats().window, RESOLVER_WINDOW);

	lab.first.mood = MOOD_REFUSED;
	for (int i = 0; i < 10; i++) {
		skew_us += 2 * second_us;
		snprintf(name, sizeof(name), "r%d.zone", i);
		assert_int_equal(ask(name).kind, DNS_FAULT);
	}
	assert_int_equal(stats().window, 16);
	lab.first.mood = MOOD_NONE;
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "v%d.zone", i);
		begin(&s[i], name);
	}
	spin();
	assert_true(stats().window > 100);
}

/* dns-cache-max holds, the least recently used goes first. */
static void
test_cache_bound(void **state)
{
	struct dns_stats s;
	char name[32];

	lab_open(lab.first.text, "dns-cache-max = 100\n");
	(void)ask("kept.zone");
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "l%d.zone", i);
		(void)ask(name);
		(void)ask("kept.zone");
	}
	dns_stats(lab.dns, &s);
	assert_int_equal(s.cache_entries, 100);
	assert_int_equal(s.cache_hits, 300);
	lab.first.query_count = 0;
	(void)ask("l299.zone");
	assert_int_equal(lab.first.query_count, 0);
	(void)ask("l0.zone");
	assert_int_equal(lab.first.query_count, 1);
}

/* Names still being asked for take no room from the answers: thousands may begin at once. */
static void
test_cache_is_not_for_the_asked(void **state)
{
	static char silent[8000];
	static struct slot waiting[120];
	struct slot kept, again;
	char name[32];
	size_t at = 0;

	for (int i = 0; i < 120; i++)
		at += (size_t)snprintf(silent + at, sizeof(silent) - at, "s%d.zone 300 MOOD SILENT\n", i);
	lab.first.zone = silent;
	lab_open(lab.first.text, "dns-cache-max = 100\n");
	for (int i = 0; i < 120; i++) {
		snprintf(name, sizeof(name), "s%d.zone", i);
		begin(&waiting[i], name);
	}
	begin(&kept, "kept.zone");
	while (!kept.has_answer)
		event_base_loop(lab.base, EVLOOP_ONCE);
	begin(&again, "kept.zone");
	assert_true(again.has_answer);
	spin();
}

/* Big answers count by their bytes, not by their number. */
static void
test_cache_bytes(void **state)
{
	static char big[100000];
	struct dns_stats s;
	size_t at = 0;

	for (int i = 0; i < 60; i++)
		for (int k = 0; k < 40; k++)
			at += (size_t)snprintf(
				big + at, sizeof(big) - at, "big%d.zone 300 A 5.5.%d.%d\n", i, i, k);
	lab.first.zone = big;
	lab_open(lab.first.text, "dns-cache-max = 100\n");
	for (int i = 0; i < 60; i++) {
		char name[32];

		snprintf(name, sizeof(name), "big%d.zone", i);
		assert_int_equal(ask(name).kind, DNS_RECORDS);
	}
	dns_stats(lab.dns, &s);
	assert_true(s.cache_bytes > 10000 && s.cache_bytes <= 100 * 512);
	assert_true(s.cache_entries < 60);
}

/* A hundred thousand names: the table grows, everything is found again. */
static void
test_cache_growth(void **state)
{
	static struct slot s[5000];
	struct dns_stats seen;
	char name[32];

	lab_open(lab.first.text, "");
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 5000; i++) {
			snprintf(name, sizeof(name), "g%d.zone", i);
			begin(&s[i], name);
		}
		spin();
	}
	dns_stats(lab.dns, &seen);
	assert_int_equal(seen.cache_entries, 5000);
	assert_int_equal(seen.cache_hits, 5000);
	assert_int_equal(seen.resolver.queries, 5000);
}

static const struct {
	const char *in, *want; /* NULL: refused */
} addresses[] = {
	{"192.0.2.1", "192.0.2.1:53"},
	{"192.0.2.1:5353", "192.0.2.1:5353"},
	{"2001:db8::1", "[2001:db8::1]:53"},
	{"[2001:db8::1]", "[2001:db8::1]:53"},
	{"[2001:DB8::1]:5353", "[2001:db8::1]:5353"},
	{"[127.0.0.1]:99", "127.0.0.1:99"},
	{"", NULL},
	{"localhost", NULL},
	{"192.0.2.1:", NULL},
	{"192.0.2.1:0", NULL},
	{"192.0.2.1:65536", NULL},
	{"192.0.2.1:5x", NULL},
	{"192.0.2.1:53:53", NULL},
	{"[2001:db8::1", NULL},
	{"[2001:db8::1]53", NULL},
	{"[]:53", NULL},
	{"fe80::1%eth0", NULL},
};

static void
test_addresses(void **state)
{
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct resolver_address a;
		bool is_read = resolver_address_parse(addresses[i].in, strnlen(addresses[i].in, 100), &a);

		print_message("  \"%s\"\n", addresses[i].in);
		assert_int_equal(is_read, addresses[i].want != NULL);
		if (is_read)
			assert_string_equal(a.text, addresses[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_C5_all_silent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C6_first_silent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C6_first_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C4_next_resolver, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C7_tcp_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C24_slow_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C24_slow_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C25_C26_resolv_conf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_resolv_conf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exchange_under_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_C35_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_is_not_for_the_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_growth, setup, teardown),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
