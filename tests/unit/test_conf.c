/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf: what is accepted and with which values, what is refused and in which words, what a reload changes,
 * and that the files under conf/ and the manual page say what the table says.
 */
#include "conf/conf_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOST "hostname = mta1.example.com\n"
#define HASH "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC\n"

/* Not inlined: the compiler would take the bound for a claim about the array behind the pointer. */
__attribute__((noinline)) static size_t
text_len(const char *text)
{
	return strnlen(text, (size_t)1 << 26);
}

/* A folder that is gone after the test. */
struct folder {
	char path[64];
};

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static int
folder_setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->path, sizeof(f->path), "/tmp/test_conf.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	*state = f;
	return 0;
}

static int
folder_teardown(void **state)
{
	struct folder *f = *state;

	nftw(f->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void
put_file(const struct folder *f, const char *name, const char *bytes, size_t len, mode_t mode)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
put_text(const struct folder *f, const char *name, const char *text, mode_t mode)
{
	put_file(f, name, text, text_len(text), mode);
}

/* The files that the examples and the cases below name. */
static void
put_secrets(const struct folder *f, const char *below)
{
	static const char *const keys[] = {"keys/example.com.s2026.pem", "keys/shop.pem", "keys/club.pem",
		"keys/k", "tls/mta1.pem", "tls/mta1.key", "secrets/smarthost", "secrets/intranet"};
	static const char *const hashes[] = {"secrets/shop", "secrets/club"};
	char path[256];

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", below, keys[i]);
		put_text(f, path, "secret\nsecond line\n", 0600);
	}
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", below, hashes[i]);
		put_text(f, path, HASH, 0600);
	}
}

/* Loads bytes as FOLDER/mtad.conf; *out_said is malloc'd and has the folder's path cut out. */
static const struct conf *
load_bytes(const struct folder *f, const char *bytes, size_t len, char **out_said)
{
	char name[128], *said = NULL;
	size_t said_len, folder_len = text_len(f->path) + 1;
	FILE *out = open_memstream(&said, &said_len);
	const struct conf *c;

	snprintf(name, sizeof(name), "%s/mtad.conf", f->path);
	c = conf_load_bytes(name, bytes, len, out);
	fclose(out);
	for (char *p; (p = strstr(said, f->path)) != NULL;)
		memmove(p, p + folder_len, text_len(p + folder_len) + 1);
	*out_said = said;
	return c;
}

static const struct conf *
must_load(const struct folder *f, const char *text)
{
	char *said;
	const struct conf *c = load_bytes(f, text, text_len(text), &said);

	if (c == NULL)
		fail_msg("refused, for\n%s\n%.600s", said, text);
	free(said);
	return c;
}

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
	assert_true(c->hostname[0] != '\0');
	assert_memory_equal(c->bounce_from, "MAILER-DAEMON@", 14);
	conf_unref(c);
}

/* Design 9 in full, on few lines, with everything that needs no quotes. */
static const char design[] = HOST
	"listen submission { address = 127.0.0.1:587  networks = { 127.0.0.0/8 }  auth = optional }\n"
	"listen other { address = { [::1]:2525, *:2526, run/x.sock } networks = {} message-rate = 100/s }\n"
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
	assert_int_equal(c->listens[1].message_rate.count, 100);
	assert_int_equal(c->listens[1].message_rate.per_us, 1000000);
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
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text = cases[i].text;
		struct conf_rate rate = {-7, 0};
		struct conf_why why;
		int64_t n = -7;
		bool is_good = cases[i].kind == 'd'   ? conf_value_duration(text, &n, &why)
			       : cases[i].kind == 'b' ? conf_value_bytes(text, &n, &why)
			       : cases[i].kind == 'c' ? conf_value_count(text, &n, &why)
						      : conf_value_rate(text, &rate, &why);

		if (cases[i].kind == 'r')
			n = rate.count;
		if (is_good != (cases[i].want >= 0) || n != (is_good ? cases[i].want : -7))
			fail_msg("%c \"%s\" gave %d, %lld", cases[i].kind, text, is_good, (long long)n);
		if (!is_good)
			assert_true(why.text[0] != '\0');
	}
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
	assert_string_equal(r->password, "secret");
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

/* --- what is refused, and how it is said --- */

static const struct {
	const char *name, *text, *said; /* said NULL: accepted without a word */
} cases[] = {
	{"nothing to say", HOST, NULL},
	/* words (G1, G2) */
	{"typo at the top", HOST "io-threds = 3",
		"mtad.conf:2: unknown setting \"io-threds\" at the top level; did you mean "
		"\"io-threads\"?\n"},
	{"typo in a block", HOST "domain a.example {\n\n retyr = 5m }",
		"mtad.conf:4: unknown setting \"retyr\" in domain; did you mean \"retry\"?\n"},
	{"underscore", HOST "io_threads = 3", "did you mean \"io-threads\"?"},
	{"typo of a block", HOST "domian a.example { expire = 1d }", "did you mean \"domain\"?"},
	{"the wrong block", HOST "listen x { address = 127.0.0.1:25 retry = 5m }",
		"mtad.conf:2: \"retry\" does not belong in listen; it belongs in domain and provider\n"},
	{"a block's setting at the top", HOST "recipients-max = 5",
		"does not belong at the top level; it belongs in listen and user\n"},
	{"a global setting in a block", HOST "user x { hostname = a }",
		"does not belong in user; it belongs in the top level, outside of blocks\n"},
	{"nearest word is of another block", HOST "listen x { retri = 5m }",
		"did you mean \"retry\", which belongs in domain and provider?\n"},
	{"no word near", HOST "zzzzzzzz = 1",
		"unknown setting \"zzzzzzzz\" at the top level; mtad.conf(5) has all settings\n"},
	{"libconfuse's own way to name a setting", HOST "domain a.example { }\n\"domain|expire\" = 1d",
		"mtad.conf:3: \"domain|expire\" is no name of a setting\n"},
	{"all errors of a block", HOST "domain a.example {\n retyr = 5m\n expirre = 1d\n idle = 5\n}",
		"mtad.conf:3: unknown setting \"retyr\" in domain; did you mean \"retry\"?\nmtad.conf:4: "
		"unknown setting \"expirre\" in domain; did you mean \"expire\"?\nmtad.conf:5: idle: \"5\" "
		"has no unit"},
	/* twice (G3) */
	{"setting twice", HOST "io-threads = 1\nio-threads = 1",
		"mtad.conf:3: \"io-threads\" is given twice, first at mtad.conf:2\n"},
	{"list twice", HOST "listen x {\naddress = 127.0.0.1:25\naddress = 127.0.0.1:26 }",
		"mtad.conf:4: \"address\" is given twice, first at mtad.conf:3\n"},
	{"block twice", HOST "domain a.example { }\ndomain A.example. { }",
		"mtad.conf:3: domain \"A.example.\" is there already, at mtad.conf:2\n"},
	{"star twice", HOST "domain * { }\ndomain \"*\" { }",
		"mtad.conf:3: domain \"*\" is there already, at mtad.conf:2\n"},
	{"key twice",
		HOST
		"dkim a.example { selector = s key = keys/k }\ndkim a.example { selector = s key = keys/k }",
		"mtad.conf:3: dkim \"a.example\" is there already, at mtad.conf:2\n"},
	{"two keys of a domain",
		HOST
		"dkim a.example { selector = s key = keys/k }\ndkim a.example { selector = t key = keys/k }",
		NULL},
	{"host of two providers",
		HOST "provider a { mx = *.a.example }\nprovider b { mx = { b.example, *.a.example } }",
		"mtad.conf:3: \"*.a.example\" is in provider \"a\" already\n"},
	{"domain of two routes",
		HOST "route a { domains = { * } hosts = h.example }\nroute b { domains = { \"*\" } hosts = "
		     "h.example }",
		"mtad.conf:3: \"*\" is in route \"a\" already\n"},
	{"address of two listeners",
		HOST "listen a { address = 127.0.0.1:25 }\nlisten b { address = 127.0.0.1:25 }",
		"mtad.conf:3: 127.0.0.1:25 is listened on already\n"},
	/* values (G4) */
	{"no unit", HOST "stop-timeout = 30",
		"mtad.conf:2: stop-timeout: \"30\" has no unit; write a time such as 5m (ms, s, m, h, d)\n"},
	{"negative", HOST "stop-timeout = -30s", "stop-timeout: \"-30s\" is negative; "},
	{"zero", HOST "connections-total = 0",
		"connections-total: \"0\" is out of range: from 1 to 100000\n"},
	{"overflow", HOST "domain * { expire = 99999999999d }", "expire: \"99999999999d\" is too large\n"},
	{"below the range", HOST "memory-max = 1MB", "out of range: from 16MB to 1TB\n"},
	{"choice", HOST "log-level = loud", "log-level: \"loud\": write one of error/warn/info/debug\n"},
	{"bool", HOST "listen a { address = 127.0.0.1:25 show-client = true }",
		"show-client: \"true\": write yes or no\n"},
	{"list for one value", HOST "log-level = { info, warn }", "log-level: takes one value, not a list\n"},
	{"empty list of times", HOST "domain * { retry = {} }", "retry: give from 1 to 100 times"},
	{"zero wait", HOST "domain * { retry = { 0s } }", "out of range: from 1s to 7d\n"},
	{"none for a path that must be", HOST "spool-dir = none", "spool-dir: none is not offered here"},
	{"none for a path that may be", HOST "accounting-file = none", NULL},
	/* syntax */
	{"list without braces", HOST "domain a.example { retry = 5m, 15m }",
		"mtad.conf:2: a list stands in braces: retry = { a, b }\n"},
	{"list without commas", HOST "dns-servers = { ::1 ::2 }",
		"mtad.conf:2: \"::2\" is not expected here; words of a list need a comma between them\n"},
	{"no equals sign", HOST "io-threads 3\nlog-level = info",
		"mtad.conf:2: \"io-threads\" needs a \"=\": io-threads = VALUE\n"},
	{"no name", HOST "pool { }", "mtad.conf:2: \"pool\" needs a name: pool NAME { ... }\n"},
	{"name with blanks", HOST "pool a b { }",
		"mtad.conf:2: \"{\" is missing: pool NAME { ... }; a name with blanks needs quotes\n"},
	{"semicolon", HOST "io-threads = 3;",
		"mtad.conf:2: settings do not end with \";\": write \"3\" without it\n"},
	{"brace not closed", HOST "\ndomain a.example {\n expire = 1d\n",
		"mtad.conf:3: the { on this line is not closed\n"},
	{"brace not opened", HOST "}", "mtad.conf:2: this } closes nothing\n"},
	{"brace missing between blocks", HOST "domain a.example {\n expire = 1d\ndomain b.example { }\n}",
		"mtad.conf:4: \"domain\" cannot stand inside domain; is a } missing above this line?\n"},
	{"too many braces", HOST "domain a { { { { { }}}}}", "mtad.conf:2: too many braces"},
	{"quote not closed", HOST "log-level = \"info\nio-threads = 1",
		"mtad.conf:2: the \" that begins a quoted text on this line is not closed\n"},
	{"escape", HOST "user a\\b { }\nuser \"a\\nb\" { }",
		"mtad.conf:3: in \"...\" a backslash stands before \" or \\ only"},
	{"comment not closed", HOST "/* x\n\n",
		"mtad.conf:2: the comment that begins here is not closed by */\n"},
	{"value missing", HOST "domain a.example { expire = }", "mtad.conf:2: \"expire =\" has no value\n"},
	{"end in the middle",
		HOST "io-threads =", "mtad.conf:2: the file ends in the middle of \"io-threads\"\n"},
	{"two equals signs", HOST "io-threads = = 3", "mtad.conf:2: \"io-threads\" has two =;"},
	{"parenthesis", HOST "io-threads = (3)", "mtad.conf:2: ( stands in include(\"FILE\") only"},
	{"include without brackets", HOST "include \"a\"\nlog-level = info",
		"mtad.conf:2: \"include\" needs brackets: include(\"FILE\")\n"},
	{"include of a pattern", HOST "include(\"inc/*.conf\")",
		"mtad.conf:2: include takes the name of one file, no pattern: \"inc/*.conf\"\n"},
	{"include with two files", HOST "include(\"a\" \"b\")", "mtad.conf:2: include takes one file"},
	{"comments of all kinds", HOST "# a\n// b\n/* c\n { */ io-threads = 1 # d\nlog-level = info // e",
		NULL},
	{"environment is not looked at", HOST "log-level = \"${HOME}\"",
		"log-level: \"${HOME}\": write one of"},
	{"CRLF and a byte order mark",
		"\xef\xbb\xbf"
		"hostname = mta1.example.com\r\ndomain * {\r\n expire = 1d\r\n}\r\n",
		NULL},
	/* references and contradictions (G3, G7) */
	{"unknown pool", HOST "listen a { address = 127.0.0.1:25 pool = p }",
		"mtad.conf:2: there is no pool \"p\"\n"},
	{"unknown source", HOST "pool p {\n sources = { s } }", "mtad.conf:3: there is no source \"s\"\n"},
	{"pool without source", HOST "pool p { }", "mtad.conf:2: pool \"p\" has no sources"},
	{"address not here", HOST "source a {\n address = { 127.0.0.1, 2001:db8::1 } }",
		"mtad.conf:3: warning: this machine has no address 2001:db8::1; mail from there waits\n"},
	{"unused source", HOST "source a { address = 192.0.2.1 }\nsource b { address = 192.0.2.2 }",
		"mtad.conf:3: warning: source \"b\" is in no pool and so is not used\n"},
	{"unused pool", HOST "pool-headers = {} source a { } pool p { sources = a }",
		"mtad.conf:2: warning: pool \"p\" is not used\n"},
	{"no address", HOST "listen a { }", "mtad.conf:2: listen \"a\" has no address"},
	{"log-in without users",
		HOST "listen a {\n address = 127.0.0.1:25 auth = required auth-in-clear = yes }",
		"mtad.conf:3: auth = required, but there is no user block: nobody could send\n"},
	{"log-in without TLS",
		HOST
		"user shop { password-file = secrets/shop }\nlisten a { address = *:25 auth = required }",
		"mtad.conf:3: auth = required, but log-in is only offered under TLS"},
	{"log-in in clear",
		HOST
		"user shop { password-file = secrets/shop }\nlisten a { address = *:25 auth-in-clear = yes }",
		"mtad.conf:3: auth-in-clear would show passwords to the network at *:25"},
	{"nobody could send", HOST "listen a { address = 127.0.0.1:25 networks = {} auth = none }",
		"mtad.conf:2: auth = none and no networks: nobody could send\n"},
	{"TLS without certificate", HOST "listen a { address = 127.0.0.1:25 tls = implicit }",
		"mtad.conf:2: tls = implicit needs certificate and key\n"},
	{"certificate without key", HOST "listen a { address = 127.0.0.1:25 certificate = tls/mta1.pem }",
		"mtad.conf:2: certificate without key: key = FILE\n"},
	{"verify without authorities", HOST "tls-ca-file = nix.pem\ndomain a.example { tls = verify }",
		"mtad.conf:3: nix.pem cannot be opened: No such file or directory\n"},
	{"sender without @", HOST "user shop { password-file = secrets/shop senders = { example.com } }",
		"mtad.conf:2: \"example.com\" has no @; write user@example.com, or @example.com for all of a "
		"domain\n"},
	{"provider of nothing", HOST "provider p { }",
		"mtad.conf:2: provider \"p\" has neither mx nor domains"},
	{"route to nowhere", HOST "route r { domains = { * } }", "mtad.conf:2: route \"r\" has no hosts"},
	{"route for nobody", HOST "route r { hosts = h.example }", "mtad.conf:2: route \"r\" has no domains"},
	{"route to a wrong port", HOST "route r { domains = { * } hosts = { h.example:0 } }",
		"mtad.conf:2: \"h.example:0\": a port is a number from 1 to 65535\n"},
	{"TLS from the first byte at a route", HOST "route r {\n domains = { * } hosts = h.example:465 }",
		"mtad.conf:3: warning: port 465 wants TLS from the first byte"},
	{"log-in at a route without TLS",
		HOST "route r { domains = { * } hosts = h.example user = u password-file = secrets/smarthost "
		     "tls = may }",
		"warning: the password may go over the network in clear"},
	{"second address of a family", HOST "source s { address = { 192.0.2.1, 192.0.2.2 } }",
		"mtad.conf:2: a second IPv4 address; make another source of it\n"},
	{"no domain", HOST "domain a..example { }",
		"mtad.conf:2: \"a..example\" is no domain; write example.com, *.example.com or *\n"},
	{"expiry before retry", HOST "domain * { expire = 1m }",
		"warning: mail expires before its second attempt"},
	{"header with colon", HOST "remove-headers = { \"Bcc:\" }",
		"\"Bcc:\" is no header field that can be removed; write it without the colon\n"},
	{"account", HOST "run-as = no-such-account",
		"mtad.conf:2: there is no account \"no-such-account\"\n"},
	{"record", HOST "accounting-records = { d, x }", "mtad.conf:2: \"x\" is no record"},
	{"resolver", HOST "dns-servers = { localhost }", "mtad.conf:2: \"localhost\" is no resolver"},
	{"short host name", "hostname = mta1", "mtad.conf:1: warning: \"mta1\" is no full host name"},
	/* open relay (G14) */
	{"the world", HOST "listen a {\n address = *:25\n networks = { 0.0.0.0/0 } }",
		"mtad.conf:4: 0.0.0.0/0 would let strangers send mail without a password (an open relay)"},
	{"the world, IPv6", HOST "listen a { address = *:25 networks = { ::/0 } }", "(an open relay)"},
	{"the world, mapped", HOST "listen a { address = *:25 networks = { ::ffff:0:0/96 } }",
		"(an open relay)"},
	{"more than private", HOST "listen a { address = *:25 networks = { 10.0.0.0/7 } }",
		"(an open relay)"},
	{"a public /23", HOST "listen a { address = *:25 networks = { 192.0.2.0/23 } }", "(an open relay)"},
	{"a public /24", HOST "listen a { address = *:25 networks = { 192.0.2.0/24 } }", NULL},
	{"a public /47", HOST "listen a { address = *:25 networks = { 2001:db8::/47 } }", "(an open relay)"},
	{"a public /48", HOST "listen a { address = *:25 networks = { 2001:db8::/48 } }", NULL},
	{"private ranges",
		HOST "listen a { address = *:25 networks = { 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "
		     "169.254.0.0/16, fc00::/7, fe80::/10 } }",
		NULL},
	{"the world with a password",
		HOST "user shop { password-file = secrets/shop }\nlisten a { address = *:25 networks = { "
		     "0.0.0.0/0 } auth = required certificate = tls/mta1.pem key = tls/mta1.key }",
		NULL},
	/* secrets (G15) */
	{"password for all", HOST "user u { password-file = bad/open }",
		"mtad.conf:2: bad/open can be read by others (mode 0640); run: chmod 600 bad/open\n"},
	{"key for all", HOST "dkim a.example { selector = s key = bad/open }",
		"mtad.conf:2: bad/open can be read by others"},
	{"TLS key for all",
		HOST "listen a { address = 127.0.0.1:25 certificate = tls/mta1.pem key = bad/open }",
		"can be read by others"},
	{"argon2", HOST "user u { password-file = bad/argon2 }",
		"mtad.conf:2: bad/argon2: argon2 hashes cannot be checked by crypt(3); make a yescrypt hash "
		"with `mtactl passwd`\n"},
	{"MD5", HOST "user u { password-file = bad/md5 }", "this kind of hash is too weak"},
	{"a plain password", HOST "user u { password-file = bad/plain }",
		"the first line is no crypt(3) hash ($y$, $2b$, $6$)"},
	{"half a hash", HOST "user u { password-file = bad/half }", "mtad.conf:2: bad/half: "},
	{"empty file", HOST "user u { password-file = bad/empty }",
		"mtad.conf:2: bad/empty: its first line is empty\n"},
	{"no file", HOST "user u { password-file = bad/nix }",
		"mtad.conf:2: bad/nix cannot be opened: No such file or directory\n"},
	{"no password-file", HOST "user u { }", "mtad.conf:2: user \"u\" has no password-file\n"},
	/* includes (G5) */
	{"missing include", HOST "include(\"inc/nix.conf\")",
		"inc/nix.conf: cannot be opened: No such file or directory\nmtad.conf:2:   ... "
		"\"inc/nix.conf\" is included here\n"},
	{"include of a folder", HOST "include(inc)", "inc: is a folder, not a file\n"},
	{"include loop", HOST "include(\"inc/a.conf\")",
		"inc/b.conf:1: \"inc/a.conf\" includes itself\ninc/a.conf:1:   ... \"inc/b.conf\" is "
		"included here\nmtad.conf:2:   ... \"inc/a.conf\" is included here\n"},
	{"include twice", HOST "include(\"inc/good.conf\")\ninclude(\"inc/../inc/good.conf\")",
		"mtad.conf:3: \"inc/../inc/good.conf\" is included a second time\n"},
	{"include with paths of its own", HOST "include(\"inc/good.conf\")", NULL},
	{"setting twice over an include", HOST "log-level = info\ninclude(\"inc/good.conf\")",
		"inc/good.conf:1: \"log-level\" is given twice, first at mtad.conf:2\n"},
	{"include in a block", HOST "domain a.example { include(\"x\") }",
		"mtad.conf:2: \"include\" cannot stand inside domain"},
};

static void
put_bad_files(const struct folder *f)
{
	put_text(f, "bad/open", HASH, 0640);
	put_text(f, "bad/argon2", "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub\n", 0600);
	put_text(f, "bad/md5", "$1$abcdefgh$G//4keteveJp0qb8z2DxG/\n", 0600);
	put_text(f, "bad/plain", "hunter2\n", 0600);
	put_text(f, "bad/half", "$y$j9T$F5Jx\n", 0600);
	put_text(f, "bad/empty", "\n", 0600);
	put_text(f, "inc/a.conf", "include(b.conf)", 0600);
	put_text(f, "inc/b.conf", "include(a.conf)", 0600);
	put_text(f, "inc/good.conf", "log-level = debug\ndkim inc.example { selector = s key = ../keys/k }\n",
		0600);
}

static void
test_cases(void **state)
{
	put_secrets(*state, "");
	put_bad_files(*state);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *said;
		const struct conf *c = load_bytes(*state, cases[i].text, text_len(cases[i].text), &said);
		const char *want = cases[i].said != NULL ? cases[i].said : "";
		bool is_warning = strstr(want, "warning: ") != NULL;

		if (cases[i].said == NULL ? said[0] != '\0' : strstr(said, want) == NULL)
			fail_msg("%s: said\n%s, not\n%s", cases[i].name, said, want);
		if ((c != NULL) != (cases[i].said == NULL || is_warning))
			fail_msg("%s: %s", cases[i].name, c != NULL ? "accepted" : "refused");
		conf_unref(c);
		free(said);
	}
}

/* G6: bytes that are no text. */
static void
test_bytes(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
		const char *said;
	} bytes[] = {
		{"NUL", "io-threads = 1\n\0\n", 17, "mtad.conf:2: control byte 0x00 in the text\n"},
		{"escape", "\n\n\033[1m", 6, "mtad.conf:3: control byte 0x1b in the text\n"},
		{"Latin-1", "# caf\xe9\n", 7, "mtad.conf:1: not UTF-8 text (byte 0xe9)\n"},
		{"overlong", "# \xc0\xaf\n", 5, "mtad.conf:1: not UTF-8"},
		{"surrogate", "# \xed\xa0\x80\n", 6, "mtad.conf:1: not UTF-8"},
		{"cut", "# \xe2\x82", 4, "mtad.conf:1: not UTF-8"},
		{"carriage return", "io-threads\r= 1\n", 15,
			"mtad.conf:1: a carriage return in the middle of the line\n"},
	};
	size_t long_len = (size_t)64 * 1024 * 1024 + 1;
	char *line = malloc(long_len), *said;

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		assert_null(load_bytes(*state, bytes[i].bytes, bytes[i].len, &said));
		if (strncmp(said, bytes[i].said, text_len(bytes[i].said)) != 0)
			fail_msg("%s: said %s", bytes[i].name, said);
		free(said);
	}
	assert_non_null(line);
	memset(line, 'x', long_len);
	line[0] = '#';
	assert_null(load_bytes(*state, line, 65537, &said));
	assert_string_equal(said, "mtad.conf:1: the line is longer than 64 KB; break it up\n");
	free(said);
	memset(line, '\n', long_len);
	assert_null(load_bytes(*state, line, long_len, &said));
	assert_string_equal(said, "mtad.conf: the file is larger than 64 MB\n");
	free(said);
	free(line);
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
		{"", "spool-dir = /srv/x", "spool-dir: /var/spool/mtad -> /srv/x (needs a restart)\n", 1},
		{"domain a.example { }", "domain a.example { idle = 0s }",
			"domain \"a.example\": idle: not set -> 0s (now)\n", 0},
		{"domain a.example { }", "domain b.example { }",
			"domain \"a.example\": removed (now)\ndomain \"b.example\": added (now)\n", 0},
		{"dkim a.example { selector = s key = keys/k }",
			"dkim a.example { selector = t key = keys/k }",
			"dkim \"a.example s\": removed (now)\ndkim \"a.example t\": added (now)\n", 0},
		{"listen a { address = 127.0.0.1:25 }", "listen a { address = 127.0.0.1:26 tls = none }",
			"listen \"a\": address: 127.0.0.1:25 -> 127.0.0.1:26 (needs a restart)\nlisten "
			"\"a\": tls: may -> none (now)\n",
			1},
		{"listen a { address = 127.0.0.1:25 }", "listen b { address = 127.0.0.1:25 }",
			"listen \"a\": removed (needs a restart)\nlisten \"b\": added (needs a restart)\n",
			2},
		{"", "run-as = root", "run-as: not set -> root (needs a restart)\n", 1},
		{"listen a { address = 127.0.0.1:25 }",
			"listen a { address = 127.0.0.1:25 message-rate = 5/h }",
			"listen \"a\": message-rate: not set -> 5/h (now)\n", 0},
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

/* G16: a hosting company. Loads in seconds, finds in no time. */
static void
test_many(void **state)
{
	const struct folder *f = *state;
	char *text = NULL, path[128], name[32];
	size_t len;
	FILE *out = open_memstream(&text, &len);
	const struct conf *c;
	clock_t begin = clock();

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
	if ((clock() - begin) / CLOCKS_PER_SEC >= 20)
		fail_msg("60,000 blocks took %ld s of CPU", (long)((clock() - begin) / CLOCKS_PER_SEC));
}

/* --- the files of the tree --- */

static char *
read_tree_file(const char *name, size_t *out_len)
{
	char path[512], *bytes = NULL;
	FILE *in, *out = open_memstream(&bytes, out_len);
	int c;

	snprintf(path, sizeof(path), "%s/%s", SOURCE_DIR, name);
	in = fopen(path, "r");
	if (in == NULL)
		fail_msg("%s cannot be read", path);
	while ((c = fgetc(in)) != EOF)
		fputc(c, out);
	fclose(in);
	fclose(out);
	return bytes;
}

static void
load_tree_file(const struct folder *f, const char *name)
{
	char path[512], *bytes;
	const struct conf *c;
	size_t len;

	bytes = read_tree_file(name, &len);
	put_file(f, name, bytes, len, 0600);
	free(bytes);
	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	c = conf_load(path, stderr);
	if (c == NULL)
		fail_msg("%s does not load", name);
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
		socket = conf_control_socket(path, out);
		assert_non_null(socket);
		assert_string_equal(socket, rows[i].want);
		free(socket);
	}
	fflush(out);
	assert_string_equal(said, "");
	assert_null(conf_control_socket("/nowhere/mtad.conf", out));
	put_text(f, "socket.conf", "control-socket = /x/y\ndomain * {\n", 0600);
	assert_null(conf_control_socket(path, out));
	fclose(out);
	assert_memory_equal(said, "/nowhere/mtad.conf: cannot be opened: No such file or directory\n", 64);
	assert_non_null(strstr(said, "socket.conf: has errors, mtad -t says them, and no control-socket"));
	free(said);
}

static void
test_tree(void **state)
{
	char root[] = SOURCE_DIR "/conf", *roots[] = {root, NULL};
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	size_t count = 0;

	assert_non_null(walk);
	put_secrets(*state, "conf/");
	put_secrets(*state, "conf/examples/");
	for (FTSENT *e; (e = fts_read(walk)) != NULL;) {
		if (e->fts_info != FTS_F)
			continue;
		load_tree_file(*state, e->fts_path + sizeof(SOURCE_DIR));
		count++;
	}
	fts_close(walk);
	assert_true(count >= 4);
}

/* conf/mtad.conf as it stands changes no default; with every "#" before a word taken away it still loads. */
static void
test_commented_file(void **state)
{
	size_t len, n = 0;
	char *bytes = read_tree_file("conf/mtad.conf", &len), *text = malloc(len + 1), *said = NULL;
	const struct conf *plain, *empty, *full;
	FILE *out = open_memstream(&said, &(size_t){0});

	put_secrets(*state, "");
	assert_non_null(text);
	plain = must_load(*state, bytes);
	empty = must_load(*state, "");
	assert_int_equal(conf_diff(empty, plain, out), 0);
	fclose(out);
	assert_string_equal(said, "");
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != '#' || (i > 0 && bytes[i - 1] != '\n') || bytes[i + 1] == ' ' ||
			bytes[i + 1] == '\n' || strncmp(bytes + i, "#run-as", 7) == 0)
			text[n++] = bytes[i];
	text[n] = '\0';
	full = must_load(*state, text);
	assert_int_equal(full->user_count + full->pool_count + full->dkim_count + full->provider_count, 4);
	conf_unref(plain);
	conf_unref(empty);
	conf_unref(full);
	free(bytes);
	free(text);
	free(said);
}

/* Every setting is in conf/mtad.conf, with its default when it has one. */
static void
test_file_is_complete(void **state)
{
	size_t len;
	char *bytes = read_tree_file("conf/mtad.conf", &len), want[512], name[CONF_ROW_NAME_MAX];

	for (int kind = 0; kind < CONF_KIND_COUNT; kind++) {
		const char *block = bytes;

		if (kind != CONF_KIND_TOP) {
			snprintf(want, sizeof(want), "\n#%s ", conf_kinds[kind].word);
			block = strstr(bytes, want);
			assert_non_null(block);
		}
		for (size_t n = 0; conf_kind_row(&conf_kinds[kind], n) != NULL; n++) {
			const struct conf_row *row = conf_kind_row(&conf_kinds[kind], n);
			bool is_list = row->type == CONF_TYPE_LIST || row->type == CONF_TYPE_DURATIONS;

			if (kind == CONF_KIND_PROVIDER && n >= conf_kinds[kind].row_count)
				break; /* stands in domain */
			snprintf(want, sizeof(want), "\n#%s%s = %s%s%s", kind == CONF_KIND_TOP ? "" : "\t",
				conf_row_name(row, name), is_list && row->fallback[0] != '\0' ? "{ " : "",
				row->fallback, is_list && row->fallback[0] != '\0' ? " }\n" : "");
			if (strstr(block, want) == NULL)
				fail_msg("conf/mtad.conf, %s: it should have%s", conf_kinds[kind].word, want);
		}
	}
	free(bytes);
}

/* The page is its frame with the table in the middle. MTAD_UPDATE=1 in the environment writes it. */
static void
test_manual(void **state)
{
	static const char mark[] = "@SETTINGS@\n";
	size_t frame_len, page_len, want_len;
	char *frame = read_tree_file("mtad/man/mtad.conf.5.in", &frame_len), *page, *want = NULL;
	char *at = strstr(frame, mark);
	FILE *out = open_memstream(&want, &want_len);

	assert_non_null(at);
	fwrite(frame, 1, (size_t)(at - frame), out);
	conf_print_manual(out);
	fputs(at + sizeof(mark) - 1, out);
	fclose(out);
	if (getenv("MTAD_UPDATE") != NULL) {
		FILE *f = fopen(SOURCE_DIR "/mtad/man/mtad.conf.5", "w");

		assert_non_null(f);
		fwrite(want, 1, want_len, f);
		fclose(f);
	}
	page = read_tree_file("mtad/man/mtad.conf.5", &page_len);
	if (page_len != want_len || memcmp(page, want, want_len) != 0)
		fail_msg("mtad/man/mtad.conf.5 is not what conf.def says; write it again: MTAD_UPDATE=1 "
			 "test_conf");
	free(frame);
	free(page);
	free(want);
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

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_empty),
		WITH_FOLDER(test_design),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_networks),
		WITH_FOLDER(test_find_and_merge),
		WITH_FOLDER(test_routes),
		WITH_FOLDER(test_cases),
		WITH_FOLDER(test_bytes),
		WITH_FOLDER(test_cut),
		WITH_FOLDER(test_diff),
		WITH_FOLDER(test_diff_secret),
		WITH_FOLDER(test_references),
		WITH_FOLDER(test_many),
		WITH_FOLDER(test_tree),
		WITH_FOLDER(test_commented_file),
		WITH_FOLDER(test_file_is_complete),
		WITH_FOLDER(test_control_socket),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_distance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
