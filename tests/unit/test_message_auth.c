/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message_auth: whole judgements over a real resolver on loopback: what passes, what DNS keeps to itself, the
 * deadline, several mails at once, and an end in the middle.
 */
#include "intake/message_auth.h"

#include "intake/dkim.h"
#include "skewed_clock.h"
#include "test_route_server.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAIL_MAX = 8192, ZONE_MAX = 4096 };

static struct lab {
	struct server server;
	char dir[64], file[128], key[128];
	char mail[MAIL_MAX], zone[ZONE_MAX];
	struct event_base *base;
	const struct conf *conf;
	struct message_auth *auth;
	unsigned open;
} lab;

/* What the caller of message_auth has. */
struct slot {
	struct message_auth_question question; /* first: the callback gets it */
	unsigned answers;
	struct message_auth_answer answer;
	struct slot *next; /* begun from the callback */
};

static struct sockaddr_in client = {.sin_family = AF_INET};

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, strnlen(text, MAIL_MAX)};
}

static void begin_from(struct slot *s, const char *mail_from);

static void
on_done(struct message_auth_question *q, const struct message_auth_answer *answer)
{
	struct slot *s = (struct slot *)q;

	s->answers++;
	s->answer = *answer;
	if (s->next != NULL)
		begin_from(s->next, "u@pass.test");
	assert_true(lab.open > 0);
	if (--lab.open == 0)
		event_base_loopbreak(lab.base);
}

static void
begin_from(struct slot *s, const char *mail_from)
{
	const struct message_auth_mail mail = {
		slice(lab.mail), (const struct sockaddr *)&client, SMTP_LIT("helo.test"), slice(mail_from)};

	s->answers = 0;
	lab.open++;
	message_auth_begin(lab.auth, &s->question, &mail, on_done);
	assert_int_equal(s->answers, 0); /* never inside begin */
}

static void
wait_all(void)
{
	if (lab.open > 0)
		event_base_dispatch(lab.base);
	assert_int_equal(lab.open, 0);
}

static const struct conf *
load_conf(const char *timeout, int tries)
{
	FILE *f = fopen(lab.file, "w");
	const struct conf *conf;

	assert_non_null(f);
	fprintf(f, "hostname = mta.test\ndns-timeout = %s\ndns-tries = %d\ndns-servers = { %s }\n", timeout,
		tries, lab.server.text);
	fclose(f);
	conf = conf_load(lab.file, stderr);
	assert_non_null(conf);
	return conf;
}

static void
lab_open(const char *timeout, int tries)
{
	skew_us = 0;
	lab.open = 0;
	lab.conf = load_conf(timeout, tries);
	lab.base = event_base_new();
	lab.auth = message_auth_create(lab.base, &skewed_clock, lab.conf, "/dev/null");
	assert_non_null(lab.auth);
}

static int
lab_close(void **state)
{
	message_auth_destroy(&lab.auth);
	event_base_free(lab.base);
	conf_unref(lab.conf);
	lab.server.mood = MOOD_NONE;
	return 0;
}

static int
set_up(void **state)
{
	static const char text[] = "From: a@signer.test\r\nSubject: complaint\r\n\r\nbody\r\n";
	struct dkim_key_conf conf = {"signer.test", "s", lab.key};
	struct smtp_slice piece = slice(text);
	struct dkim_message m = {&piece, 1, SMTP_LIT("signer.test"), 0};
	char record[DKIM_RECORD_MAX], why[400];
	struct dkim_keys *keys;
	int len;

	inet_pton(AF_INET, "192.0.2.1", &client.sin_addr);
	snprintf(lab.dir, sizeof(lab.dir), "/tmp/test_message_auth.XXXXXX");
	assert_non_null(mkdtemp(lab.dir));
	snprintf(lab.file, sizeof(lab.file), "%s/conf", lab.dir);
	snprintf(lab.key, sizeof(lab.key), "%s/key", lab.dir);
	assert_int_equal(dkim_keygen(&conf, "ed25519", record, why, sizeof(why)), 0);
	assert_int_equal(dkim_keys_load(&conf, 1, why, sizeof(why), &keys), 0);
	m.now_seconds = clock_now(clock_real()) / 1000000;
	len = dkim_keys_sign(keys, &m, lab.mail, sizeof(lab.mail));
	assert_true(len > 0);
	snprintf(lab.mail + len, sizeof(lab.mail) - (size_t)len, "%s", text);
	dkim_keys_destroy(&keys);
	snprintf(lab.zone, sizeof(lab.zone),
		"s._domainkey.signer.test 60 TXT %s\n"
		"pass.test 60 TXT v=spf1 mx include:more.test -all\npass.test 60 MX 10 mx.pass.test\n"
		"mx.pass.test 60 A 192.0.2.9\nmore.test 60 TXT v=spf1 ip6:2001:db8::/32 ptr:names.test ?all\n"
		"1.2.0.192.in-addr.arpa 60 PTR host.names.test\nhost.names.test 60 CNAME real.names.test\n"
		"real.names.test 60 A 192.0.2.1\n"
		"fail.test 60 TXT v=spf1 -all\nhelo.test 60 TXT v=spf1 ~all\n"
		"servfail.test 60 MOOD SERVFAIL\nsilent.test 60 MOOD SILENT\n",
		record);
	server_start(&lab.server, lab.zone);
	return 0;
}

static int
tear_down(void **state)
{
	server_stop(&lab.server);
	unlink(lab.file);
	unlink(lab.key);
	return rmdir(lab.dir);
}

static void
expect(const struct slot *s, enum auth_outcome dkim, enum auth_outcome spf, const char *domain)
{
	assert_int_equal(s->answers, 1);
	assert_string_equal(auth_outcome_text(s->answer.dkim.outcome), auth_outcome_text(dkim));
	assert_string_equal(auth_outcome_text(s->answer.spf.outcome), auth_outcome_text(spf));
	assert_string_equal(s->answer.spf.domain, domain);
}

static void
test_answers(void **state)
{
	static const struct {
		const char *mail_from, *domain;
		enum auth_outcome want;
	} cases[] = {
		{"u@pass.test", "pass.test", AUTH_PASS},
		{"u@fail.test", "fail.test", AUTH_FAIL},
		{"u@nowhere.test", "nowhere.test", AUTH_NONE},
		{"u@servfail.test", "servfail.test", AUTH_TEMPERROR},
		{"", "helo.test", AUTH_SOFTFAIL},
	};
	struct slot slots[5] = {0};

	lab_open("2s", 1);
	for (int i = 0; i < 5; i++) /* all at once */
		begin_from(&slots[i], cases[i].mail_from);
	wait_all();
	for (int i = 0; i < 5; i++) {
		expect(&slots[i], AUTH_PASS, cases[i].want, cases[i].domain);
		assert_int_equal(slots[i].answer.dkim.domain_count, 1);
		assert_string_equal(slots[i].answer.dkim.domains[0], "signer.test");
	}
}

/* The resolver gives up before the deadline. */
static void
test_timeout(void **state)
{
	struct slot slot = {0};

	lab_open("100ms", 1);
	begin_from(&slot, "u@silent.test");
	wait_all();
	expect(&slot, AUTH_PASS, AUTH_TEMPERROR, "silent.test");
	lab.server.mood = MOOD_SERVFAIL;
	begin_from(&slot, "u@pass.test");
	wait_all();
	expect(&slot, AUTH_TEMPERROR, AUTH_TEMPERROR, "pass.test");
}

/* The first is waited for no longer; the second, begun later, still is. */
static void
test_deadline(void **state)
{
	struct slot first = {0}, second = {0};
	unsigned before = lab.server.query_count;

	lab_open("30s", 1);
	lab.server.mood = MOOD_SILENT;
	begin_from(&first, "u@pass.test");
	while (lab.server.query_count < before + 2)
		event_base_loop(lab.base, EVLOOP_NONBLOCK);
	assert_int_equal(first.answers, 0);
	lab.server.mood = MOOD_NONE;
	skew_us = (MESSAGE_AUTH_SECONDS_MAX + 1) * 1000000LL;
	begin_from(&second, "u@fail.test");
	wait_all();
	expect(&first, AUTH_TEMPERROR, AUTH_TEMPERROR, "pass.test");
	expect(&second, AUTH_PASS, AUTH_FAIL, "fail.test");
}

static void
test_again_from_callback(void **state)
{
	struct slot last = {0}, first = {.next = &last};

	lab_open("2s", 1);
	begin_from(&first, "u@fail.test");
	wait_all();
	expect(&first, AUTH_PASS, AUTH_FAIL, "fail.test");
	expect(&last, AUTH_PASS, AUTH_PASS, "pass.test");
}

static void
test_reconfigure(void **state)
{
	struct slot slot = {0};
	const struct conf *conf;

	lab_open("1s", 1);
	conf = load_conf("3s", 2);
	begin_from(&slot, "u@pass.test");
	message_auth_reconfigure(lab.auth, conf);
	conf_unref(conf);
	wait_all();
	expect(&slot, AUTH_PASS, AUTH_PASS, "pass.test");
}

/* Nobody is told, nothing is left behind (the sanitizer would say so): before the first round, and with
 * answers in and questions out. */
static void
test_destroy(void **state)
{
	struct slot slots[2] = {0};
	unsigned before = lab.server.query_count;

	lab_open("30s", 1);
	begin_from(&slots[0], "u@silent.test");
	while (lab.server.query_count < before + 2)
		event_base_loop(lab.base, EVLOOP_NONBLOCK);
	begin_from(&slots[1], "u@silent.test");
	message_auth_destroy(&lab.auth);
	assert_null(lab.auth);
	event_base_loop(lab.base, EVLOOP_NONBLOCK);
	assert_int_equal(slots[0].answers + slots[1].answers, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_answers, lab_close),
		cmocka_unit_test_teardown(test_timeout, lab_close),
		cmocka_unit_test_teardown(test_deadline, lab_close),
		cmocka_unit_test_teardown(test_again_from_callback, lab_close),
		cmocka_unit_test_teardown(test_reconfigure, lab_close),
		cmocka_unit_test_teardown(test_destroy, lab_close),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
