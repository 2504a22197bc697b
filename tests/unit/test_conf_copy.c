/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration written down and loaded again decides the same about sending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/conf_copy.h"
#include "conf_fixture.h"

static const struct conf *
copy_of(const struct conf *c, char **out_text)
{
	size_t len;
	FILE *out = open_memstream(out_text, &len);
	const struct conf *copy;

	conf_write_copy(c, out);
	fclose(out);
	copy = conf_load_copy(c->file, *out_text, len, stderr);
	if (copy == NULL)
		fail_msg("not taken:\n%.4000s", *out_text);
	return copy;
}

/* The lines that say what differs, but for those about what a copy leaves out. */
static int
differences(const struct conf *from, const struct conf *to)
{
	static const char *const left_out[] = {"password", "tls", "listen \"", "dkim \"", "rule \"", "file",
		"-dir", "log-", "dns-", "control-", "headers", "bounce-from", "memory", "disk", "spool",
		"accounting", "threads", "run-as", "stop-timeout"};
	char *text = NULL, *line, *rest;
	int count = 0;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)conf_diff(from, to, out);
	fclose(out);
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		bool is_left_out = false;

		for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
			is_left_out = is_left_out || strstr(line, left_out[i]) != NULL;
		if (is_left_out)
			continue;
		print_error("%s\n", line);
		count++;
	}
	free(text);
	return count;
}

static void
check(const struct conf *c)
{
	const struct conf *copy;
	char *text;

	copy = copy_of(c, &text);
	assert_int_equal(differences(c, copy), 0);
	conf_unref(copy);
	conf_unref(c);
	free(text);
}

static void
test_blocks(void **state)
{
	check(must_load(*state,
		HOST "connections-total = 77\nrate-total = { 5/s, 300/h }\nretry-jitter = 3\n"
		     "rates-count = deliveries\n"
		     "listen l { address = 127.0.0.1:2525 }\n"
		     "source a { address = 127.0.0.8 warmup = w warmup-start = 2026-11-01 rate = 9/d }\n"
		     "source b { byte-rate = 10MB/h }\n"
		     "warmup w { volumes = { 5, 50, 500 } hold-bounced = 2.5% }\n"
		     "pool p { sources = { a:3, b } senders = { \"@example.com\" } }\n"
		     "user shop { password-file = secrets/shop pool = p weight = 3 rate = 8/m }\n"
		     "stream s { users = { shop } jobs = { \"a*\" } classes = { bulk } weight = 2 }\n"
		     "guard shop { bounce-stop = 20% }\nguard \"*\" { volume-min = 50 }\n"
		     "profile slow { connections = 1 rate = 1/m }\n"
		     "provider big { mx = { \"*.big.example\" } rate = 500/m quiet-hours = { } }\n"
		     "domain \"*\" { retry = { 1m, 90m } rate = 7/s quiet-hours = { \"22:00-07:00 UTC\" } }\n"
		     "domain x.example { rate = { } connections = 2 pool = p }\n"
		     "route r { domains = { y.example } hosts = { \"192.0.2.1:26\" } }\n"));
}

static void
test_long_list_is_whole(void **state)
{
	char text[4096] = HOST "provider big { domains = {", name[40];
	const struct conf *c, *copy;
	char *written;

	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "%s d%d.example", i > 0 ? "," : "", i);
		strncat(text, name, sizeof(text) - strnlen(text, sizeof(text)) - 1);
	}
	strncat(text, " } }\n", sizeof(text) - strnlen(text, sizeof(text)) - 1);
	c = must_load(*state, text);
	copy = copy_of(c, &written);
	assert_int_equal(copy->providers[0].domains.count, 60);
	assert_non_null(conf_provider_of_domain(copy, "d59.example", 11));
	conf_unref(c);
	conf_unref(copy);
	free(written);
}

/* Whoever asks may not be able to read them. */
static void
test_secrets_are_not_needed(void **state)
{
	const struct conf *c =
		must_load(*state, HOST "user shop { password-file = secrets/shop }\n"
				       "route r { domains = { y.example } hosts = { mx.y.example } user = u "
				       "password-file = secrets/smarthost }\n");
	const struct conf *copy;
	char *text, path[256];

	snprintf(path, sizeof(path), "%s/secrets/shop", ((struct folder *)*state)->path);
	assert_int_equal(unlink(path), 0);
	copy = copy_of(c, &text);
	assert_null(strstr(text, "secrets"));
	assert_int_equal(copy->user_count, 1);
	conf_unref(c);
	conf_unref(copy);
	free(text);
}

static int
setup(void **state)
{
	folder_setup(state);
	put_secrets(*state, "");
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_blocks, setup, folder_teardown),
		cmocka_unit_test_setup_teardown(test_long_list_is_whole, setup, folder_teardown),
		cmocka_unit_test_setup_teardown(test_secrets_are_not_needed, setup, folder_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
