/* SPDX-License-Identifier: Apache-2.0 */
/* conf_explain: each value in force with the line that says so, whichever block wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"

/* Lines 1 to 11, then an included file. */
static const char main_file[] = HOST "retry-jitter = 5\n"
				     "domain \"*\" {\n"
				     "	connections = 1  idle = 1s\n"
				     "	tls = none  expire = 1d\n"
				     "}\n"
				     "domain *.example.com { connections = 2 }\n"
				     "domain a.example.com {\n"
				     "	connections = 3\n"
				     "}\n"
				     "include(\"more.conf\")\n";
static const char more_file[] = "provider big {\n"
				"	mx = { \"*.big.test\" }  domains = { big.example.com }\n"
				"	connections = 4  tls = verify\n"
				"	expire = 2d\n"
				"}\n"
				"route smart { domains = { \"*.routed.test\" }  hosts = { smart.test:587 }\n"
				"	user = me\n"
				"	password-file = secrets/smarthost }\n"
				"route open { domains = { open.test }  hosts = { open.test } }\n"
				"source a { rate = { 5/s, 9/d } }\n"
				"pool warm { sources = { a:3 }\n"
				"	connections = 7 }\n"
				"stream news { jobs = news-*  weight = 3 }\n"
				"user shop { password-file = secrets/shop  byte-rate = 1GB/h }\n"
				"dkim a.test { selector = s  key = keys/k }\n"
				"dkim a.test { selector = t  key = keys/k }\n";

struct told {
	char *text;
	size_t len;
	FILE *out;
};

static void
on_told(void *arg, const struct conf_explained *e)
{
	struct told *t = arg;
	const char *slash = strrchr(e->at, '/');

	fprintf(t->out, "%s = %s | %s | %s\n", e->name, e->value, e->block,
		slash != NULL ? slash + 1 : e->at);
}

static const struct {
	const char *name, *domain, *mx, *want;
} cases[] = {
	{"G18 the top level", NULL, NULL, "\nretry-jitter = 5 |  | mtad.conf:2\n"},
	{"a default of the top level", NULL, NULL, "\ndns-tries = 3 | default | \n"},
	{"one that is another setting", NULL, NULL,
		"\nbounce-from = MAILER-DAEMON@mta1.example.com | default | \n"},
	{"G18 domain *", "other.test", NULL, "\nidle = 1s | domain * | mtad.conf:4\n"},
	{"a default", "other.test", NULL, "\nport = 25 | default | \n"},
	{"not set", "other.test", NULL, "\nrefuse =  | default | \n"},
	{"G18 a suffix", "b.example.com", NULL, "\nconnections = 2 | domain *.example.com | mtad.conf:7\n"},
	{"G18 a domain", "a.example.com", NULL, "\nconnections = 3 | domain a.example.com | mtad.conf:9\n"},
	{"in another spelling", "A.Example.com", NULL,
		"\nconnections = 3 | domain a.example.com | mtad.conf:9\n"},
	{"what it leaves to domain *", "a.example.com", NULL, "\nexpire = 1d | domain * | mtad.conf:5\n"},
	{"G18 a provider by its MX", "other.test", "mx1.big.test",
		"\nconnections = 4 | provider big | more.conf:3\n"},
	{"a provider that has it not", "other.test", "mx1.other.test",
		"\nconnections = 1 | domain * | mtad.conf:4\n"},
	{"a provider by its domain", "big.example.com", NULL, "\nexpire = 2d | provider big | more.conf:4\n"},
	{"the domain before the provider", "big.example.com", NULL,
		"\nconnections = 2 | domain *.example.com | mtad.conf:7\n"},
	{"G18 a route", "x.routed.test", NULL, "\nhosts = smart.test:587 | route smart | more.conf:6\n"},
	{"its TLS because it logs in", "x.routed.test", NULL, "\ntls = verify | route smart | more.conf:7\n"},
	{"a route that leaves TLS", "open.test", NULL, "\ntls = none | domain * | mtad.conf:5\n"},
	{"a pool", "pool", "warm", "\nsources = a:3 | pool warm | more.conf:11\n"},
	{"its limits", "pool", "warm", "\nconnections = 7 | pool warm | more.conf:12\n"},
	{"its limits that are not set", "pool", "warm", "\nrate =  | default | \n"},
	{"a source", "source", "a", "\nrate = 5/s, 9/d | source a | more.conf:10\n"},
	{"its name, which is another setting", "source", "a", "\nehlo = mta1.example.com | default | \n"},
	{"a stream", "stream", "news", "\nweight = 3 | stream news | more.conf:13\n"},
	{"a user", "user", "shop", "\nbyte-rate = 1GB/h | user shop | more.conf:14\n"},
	{"its class", "user", "shop", "\nclass = normal | default | \n"},
	{"the listener that nobody wrote", "listen", "submission", "\nauth = optional | default | \n"},
	{"the second key of a domain", "dkim", "a.test", "\nselector = t | dkim a.test | more.conf:16\n"},
	{"a provider", "provider", "big", "\ndomains = big.example.com | provider big | more.conf:2\n"},
	{"what it says of delivery", "provider", "big", "\nconnections = 4 | provider big | more.conf:3\n"},
	{"what it leaves to domain *", "provider", "big", "\nidle = 1s | domain * | mtad.conf:4\n"},
	{"a limit of a site", "other.test", NULL, "\nsite-rate =  | default | \n"},
	{"a total", NULL, NULL, "\nrates-count = attempts | default | \n"},
	{"a domain of the name of a block", "pool", NULL, "\nconnections = 1 | domain * | mtad.conf:4\n"},
	{"a route knows no provider", "open.test", "mx1.big.test",
		"\nconnections = 1 | domain * | mtad.conf:4\n"},
};

static bool
explain(const struct folder *f, const char *domain, const char *mx, struct told *t, FILE *said)
{
	char path[128];
	bool ok;

	snprintf(path, sizeof(path), "%s/mtad.conf", f->path);
	t->out = open_memstream(&t->text, &t->len);
	fputc('\n', t->out);
	ok = conf_explain(path, domain, mx, said, on_told, t);
	fclose(t->out);
	return ok;
}

static void
test_explain(void **state)
{
	const struct folder *f = *state;

	put_secrets(f, "");
	put_text(f, "mtad.conf", main_file, 0600);
	put_text(f, "more.conf", more_file, 0600);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct told t;

		assert_true(explain(f, cases[i].domain, cases[i].mx, &t, stderr));
		if (strstr(t.text, cases[i].want) == NULL)
			fail_msg("%s: wanted%shave%s", cases[i].name, cases[i].want, t.text);
		free(t.text);
	}
}

/* What is told is what is in force: for each row what conf_delivery_merge gives. */
static void
test_same_as_merged(void **state)
{
	const struct folder *f = *state;
	const struct conf *c;
	struct conf_delivery merged;
	char path[128], want[300], name[CONF_ROW_NAME_MAX];
	struct conf_arena a = {0};
	struct told t;

	put_secrets(f, "");
	put_text(f, "mtad.conf", main_file, 0600);
	put_text(f, "more.conf", more_file, 0600);
	snprintf(path, sizeof(path), "%s/mtad.conf", f->path);
	assert_non_null(c = conf_load(path, stderr));
	conf_delivery_merge(c, conf_domain_find(c, "a.example.com", 13), &c->providers[0], &merged);
	assert_true(explain(f, "a.example.com", "mx.big.test", &t, stderr));
	for (size_t n = 0; n < conf_delivery_row_count; n++) {
		const struct conf_row *row = &conf_delivery_rows[n];

		snprintf(want, sizeof(want), "\n%s = %s | ", conf_row_name(row, name),
			conf_value_print(&a, row, (const char *)&merged + row->offset));
		if (strstr(t.text, want) == NULL)
			fail_msg("wanted%shave%s", want, t.text);
	}
	conf_arena_fini(&a);
	free(t.text);
	conf_unref(c);
}

/* {what the file is, domain, mx, what is said instead} */
static const struct {
	const char *file, *domain, *mx, *want;
} refused[] = {
	{HOST "dns-tries = many\n", "a.test", NULL, "mtad.conf:2: dns-tries: "},
	{HOST "source a { } pool warm { sources = a }", "pool", "worm",
		"there is no pool \"worm\"; did you mean \"warm\"?\n"},
	{HOST, "a..test", NULL, "\"a..test\" is no domain\n"},
	{HOST, "a.test", "[127.0.0.1]", "\"[127.0.0.1]\" is no domain\n"},
};

static void
test_refused(void **state)
{
	const struct folder *f = *state;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		char *said = NULL;
		size_t len;
		FILE *out = open_memstream(&said, &len);
		struct told t;

		put_text(f, "mtad.conf", refused[i].file, 0600);
		assert_false(explain(f, refused[i].domain, refused[i].mx, &t, out));
		fclose(out);
		assert_string_equal(t.text, "\n");
		assert_non_null(strstr(said, refused[i].want));
		free(said);
		free(t.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_explain),
		WITH_FOLDER(test_same_as_merged),
		WITH_FOLDER(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
