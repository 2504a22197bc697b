/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classify: which block is taken, how a reply is read, and what the blocks of conf/bounces.conf make of
 * replies in the words of many servers. Under test for all of them: what is about the sender is never held
 * against an address.
 */
#include "feedback/classify.h"

#include "conf/conf_load.h"
#include "smtp_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const char own[] =
	"hostname = mta1.example.com\n"
	"provider a { mx = *.a.example }\nprovider b { mx = *.b.example }\n"
	"bounce of-b { class = quota-issues  providers = b  text = 'odd words' }\n"
	"bounce greeting { class = spam-block  phase = greeting  code = 554 }\n"
	"bounce first { class = inactive-mailbox  text = { 'has left us', 'left\\?' }  code = 5xx }\n"
	"bounce second { class = policy-related  text = 'left' }\n"
	"bounce esc { class = greylisted  enhanced = 4.7.* }\n";

static const struct {
	const char *name, *reply;
	int provider;
	uint32_t phases;
	enum bounce_class want;
	const char *block; /* NULL: by the codes */
} blocks[] = {
	{"the first that holds", "550 she has left us", -1, 0, BOUNCE_CLASS_INACTIVE_MAILBOX, "first"},
	{"capitals", "550 HAS LEFT US", -1, 0, BOUNCE_CLASS_INACTIVE_MAILBOX, "first"},
	{"a word of its list", "550 left?", -1, 0, BOUNCE_CLASS_INACTIVE_MAILBOX, "first"},
	{"another code", "450 she has left us", -1, 0, BOUNCE_CLASS_POLICY_RELATED, "second"},
	{"over two lines", "550-she has\n550 left us", -1, 0, BOUNCE_CLASS_INACTIVE_MAILBOX, "first"},
	{"enhanced on both", "550-5.2.0 she has\n550 5.2.0 left us", -1, 0, BOUNCE_CLASS_INACTIVE_MAILBOX,
		"first"},
	{"of that provider", "550 odd words", 1, 0, BOUNCE_CLASS_QUOTA_ISSUES, "of-b"},
	{"of another", "550 odd words", 0, 0, BOUNCE_CLASS_OTHER, NULL},
	{"of none", "550 odd words", CLASSIFY_PROVIDER_NONE, 0, BOUNCE_CLASS_OTHER, NULL},
	{"of any", "550 odd words", CLASSIFY_PROVIDER_ANY, 0, BOUNCE_CLASS_QUOTA_ISSUES, "of-b"},
	{"its phase", "554 no", -1, CLASSIFY_PHASE(SMTP_PHASE_GREETING), BOUNCE_CLASS_SPAM_BLOCK, "greeting"},
	{"another phase", "554 no", -1, CLASSIFY_PHASE(SMTP_PHASE_RCPT), BOUNCE_CLASS_OTHER, NULL},
	{"no phase known", "554 no", -1, 0, BOUNCE_CLASS_OTHER, NULL},
	{"enhanced code", "451 4.7.99 no", -1, 0, BOUNCE_CLASS_GREYLISTED, "esc"},
	{"enhanced code quoted", "host said: 451 no (#4.7.1)", -1, 0, BOUNCE_CLASS_GREYLISTED, "esc"},
	{"codes alone", "550 5.1.1 no", -1, 0, BOUNCE_CLASS_BAD_MAILBOX, NULL},
	{"codes quoted", "smtp; 550-5.1.1 no", -1, 0, BOUNCE_CLASS_BAD_MAILBOX, NULL},
	{"a code with a colon", "552: 5.2.2 no", -1, 0, BOUNCE_CLASS_QUOTA_ISSUES, NULL},
	{"one that is quoted", "550 5.7.367 left -> 552 5.2.2 no", -1, 0, BOUNCE_CLASS_QUOTA_ISSUES, NULL},
	{"the last that is", "450 a -> 451 4.7.1 b -> 550 has left us", -1, 0, BOUNCE_CLASS_INACTIVE_MAILBOX,
		"first"},
	{"an arrow that quotes nothing", "550 user -> left", -1, 0, BOUNCE_CLASS_POLICY_RELATED, "second"},
	{"an arrow alone", "->", -1, 0, BOUNCE_CLASS_OTHER, NULL},
	{"numbers that are no codes", "after 550 attempts at 5.1.1.1", -1, 0, BOUNCE_CLASS_OTHER, NULL},
	{"nothing", "", -1, 0, BOUNCE_CLASS_OTHER, NULL},
};

static struct classify_result
ask(const struct classifier *c, const char *reply, int provider, uint32_t phases)
{
	struct classify_input in = {.provider = provider, .phases = phases};
	struct classify_result r;

	classify_read(reply, strlen(reply), &in);
	classify(c, &in, &r);
	return r;
}

static void
test_blocks(void **state)
{
	const struct conf *conf = conf_load_bytes("/nonexistent/own.conf", own, sizeof(own) - 1, stderr);
	struct classifier *c;

	assert_non_null(conf);
	assert_non_null(c = classifier_create(conf));
	assert_ptr_equal(classifier_conf(c), conf);
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		struct classify_result r = ask(c, blocks[i].reply, blocks[i].provider, blocks[i].phases);

		if (r.bounce_class != blocks[i].want)
			fail_msg("%s: %s", blocks[i].name, bounce_class_name(r.bounce_class));
		assert_int_equal(r.block >= 0, blocks[i].block != NULL);
		if (r.block >= 0)
			assert_string_equal(conf->bounces[r.block].name, blocks[i].block);
	}
	classifier_unref(classifier_ref(c));
	classifier_unref(c);
	classifier_unref(NULL);
	conf_unref(conf);
}

static void
test_text(void **state)
{
	static const struct {
		const char *reply, *want;
	} cases[] = {
		{"550-5.1.1 a\r\n550-5.1.1  b\r\n550 5.1.1 c", "550 5.1.1 a b c"},
		{"550 a\tb", "550 a b"},
		{"550 5.1.1 a\n550 5.2.1 b", "550 5.1.1 a 5.2.1 b"},
		{"  Connection timed out", "Connection timed out"},
		{"550", "550 "},
	};
	char text[CLASSIFY_TEXT_MAX], *giant = malloc(100000);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct classify_input in = {.provider = CLASSIFY_PROVIDER_NONE};
		size_t n;

		classify_read(cases[i].reply, strlen(cases[i].reply), &in);
		n = classify_text(&in, text);
		if (n != strlen(cases[i].want) || memcmp(text, cases[i].want, n) != 0)
			fail_msg("%s: %.*s", cases[i].reply, (int)n, text);
	}
	memset(giant, 'x', 100000);
	assert_int_equal(
		classify_text(
			&(struct classify_input){.code = 550, .esc = {5, 999, 999}, .text = {giant, 100000}},
			text),
		CLASSIFY_TEXT_MAX);
	free(giant);
}

/* Replies as servers word them. */
static const struct {
	const char *reply;
	enum bounce_class want;
} shipped[] = {
#define B(name) BOUNCE_CLASS_##name
	{"550 5.1.1 <jane@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
		B(BAD_MAILBOX)},
	{"550 No such user here", B(BAD_MAILBOX)},
	{"450 4.2.0 no mailbox by that name is currently available", B(BAD_MAILBOX)},
	{"550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", B(BAD_MAILBOX)},
	{"511 sorry, no mailbox here by that name (#5.1.1 - chkuser)", B(BAD_MAILBOX)},
	{"550 Benutzer unbekannt", B(BAD_MAILBOX)},
	{"550 El usuario no existe", B(BAD_MAILBOX)},
	{"550 Utilisateur inconnu", B(BAD_MAILBOX)},
	{"550 utente inesistente", B(BAD_MAILBOX)},
	{"550 Нет такого пользователя", B(BAD_MAILBOX)},
	{"550 该用户不存在", B(BAD_MAILBOX)},
	{"550 宛先のアドレスが存在しません", B(BAD_MAILBOX)},
	{"550 Requested action not taken: mailbox unavailable", B(BAD_MAILBOX)},
	{"550 5.1.2 Host unknown", B(BAD_DOMAIN)},
	{"556 5.1.10 Recipient address has null MX", B(BAD_DOMAIN)},
	{"Host or domain name not found. Name service error for name=nowhere.example type=A: Host not found",
		B(BAD_DOMAIN)},
	{"550 5.2.1 The account has been suspended", B(INACTIVE_MAILBOX)},
	{"554 Compte désactivé", B(INACTIVE_MAILBOX)},
	{"452 4.2.2 The mailbox is over its quota", B(QUOTA_ISSUES)},
	{"552 Postfach voll", B(QUOTA_ISSUES)},
	{"550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus", B(SPAM_BLOCK)},
	{"550 Your IP address is listed at bl.example.net", B(SPAM_BLOCK)},
	{"550 5.7.1 messages from 192.0.2.1 weren't sent: part of their network is on our block list (S3150)",
		B(SPAM_BLOCK)},
	{"554 5.7.1 rejected: sender has a bad reputation", B(SPAM_BLOCK)},
	{"554 5.7.1 This message has been classified as spam", B(SPAM_CONTENT)},
	{"550 5.7.1 contains a virus: Example.A", B(VIRUS_RELATED)},
	{"550 5.7.26 This mail is unauthenticated: DKIM = did not pass", B(AUTH_FAILED)},
	{"550 5.7.25 no PTR record for 192.0.2.1", B(AUTH_FAILED)},
	{"550 5.7.1 Administrative prohibition", B(POLICY_RELATED)},
	{"553 5.1.8 Domain of sender address a@nowhere.example does not exist", B(INVALID_SENDER)},
	{"450 4.7.1 <mta>: Helo command rejected: Host not found", B(INVALID_SENDER)},
	{"554 5.7.1 <a@example.com>: Relay access denied", B(RELAYING_ISSUES)},
	{"530 5.7.0 Authentication required", B(RELAYING_ISSUES)},
	{"550 5.6.0 message has no Date: header, missing header", B(CONTENT_RELATED)},
	{"552 5.3.4 Message size exceeds fixed limit", B(MESSAGE_TOO_LARGE)},
	{"421 4.7.28 unusual rate of mail from your IP address", B(RATE_LIMITED)},
	{"421 too many concurrent connections", B(RATE_LIMITED)},
	{"550 Ip frequency limited", B(RATE_LIMITED)},
	{"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints",
		B(RATE_LIMITED)},
	{"553 5.7.1 [TSS09] all messages from 192.0.2.1 will be refused", B(SPAM_BLOCK)},
	{"450 4.2.0 Greylisted, come back in 300 seconds", B(GREYLISTED)},
	{"451 4.3.0 Temporary system problem, try again later", B(SYSTEM_ERROR)},
	{"452 4.3.1 Insufficient system storage", B(SYSTEM_ERROR)},
	{"lost connection with mx.example.com[192.0.2.1] while sending RCPT TO", B(BAD_CONNECTION)},
	{"connect to mx.example.com[192.0.2.1]:25: Connection refused", B(NO_ANSWER_FROM_HOST)},
	{"554 5.4.6 Too many hops", B(ROUTING_ERRORS)},
	{"421 4.4.7 Delivery time expired", B(MESSAGE_EXPIRED)},
	{"530 5.7.0 Must issue a STARTTLS command first", B(PROTOCOL_ERRORS)},
	{"503 5.5.1 Bad sequence of commands", B(PROTOCOL_ERRORS)},
	{"554 Transaction failed", B(OTHER)},
	/* No sentence is known: one word of it is, or none; and what codes say then. */
	{"550 the handwriting of your subject hurts", B(CONTENT_RELATED)},
	{"550 quousque tandem abutere", B(POLICY_RELATED)},
	{"550 5.2.1 quousque tandem", B(INACTIVE_MAILBOX)},
	{"550 5.2.1 quousque tandem, your server", B(SPAM_BLOCK)},
	{"450 4.1.1 quousque tandem", B(SYSTEM_ERROR)},
	{"550 5.7.1 a user of ours says no", B(POLICY_RELATED)},
	{"scanner of the gateway: the message could not be parsed", B(CONTENT_RELATED)},
#undef B
};

static void
test_shipped(void **state)
{
	const struct conf *conf = conf_load(SOURCE_DIR "/tests/bounce/rules.conf", stderr);
	struct classifier *c;
	bool is_seen[BOUNCE_CLASS_COUNT] = {false};

	assert_non_null(conf);
	assert_non_null(c = classifier_create(conf));
	for (size_t i = 0; i < sizeof(shipped) / sizeof(shipped[0]); i++) {
		struct classify_result r = ask(c, shipped[i].reply, CLASSIFY_PROVIDER_NONE, 0);

		if (r.bounce_class != shipped[i].want)
			fail_msg("%s: %s by %s", shipped[i].reply, bounce_class_name(r.bounce_class),
				r.block >= 0 ? conf->bounces[r.block].name : "code");
		is_seen[r.bounce_class] = true;
	}
	for (int i = BOUNCE_CLASS_NONE + 1; i < BOUNCE_CLASS_COUNT; i++)
		if (!is_seen[i])
			fail_msg("no reply for %s", bounce_class_name((enum bounce_class)i));
	classifier_unref(c);
	conf_unref(conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_shipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
