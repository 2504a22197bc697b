/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any mail to the report listener, about a message that is known. The first byte says where it came to, the
 * second who brought it, the rest is the mail. Oracles: something is recorded or it is left to a person,
 * never both; who is believed was found; nobody is in it twice; every event can be stored.
 */
#include "conf/conf_load.h"
#include "feedback/prose.h"
#include "intake/returned.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))
#define BLOB(text) ((struct queue_blob){(text), sizeof(text) - 1})
#define NOW        INT64_C(1790000000123456)

enum { NONCE = 77, RCPTS = 3 };

static char folder[] = "/tmp/fuzz-returned-XXXXXX";
static struct returned_judge judge;

static void
clean_up(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	(void)!system(command);
}

static void
issue(struct queue_store *store)
{
	static const char *const rcpts[RCPTS] = {"a@a.test", "b@a.test", "c@a.test"};
	struct event e = {.type = EVENT_RECEIVED, .queued_us = NOW, .message_id = BLOB("one@shop.test")};

	REQUIRE(queue_store_begin(store) == 0);
	for (uint16_t n = 0; n < RCPTS; n++) {
		e.n = n;
		e.rcpt = (struct queue_blob){rcpts[n], 8};
		REQUIRE(feedback_issue(store, NONCE, &e) == 0);
	}
	REQUIRE(queue_store_commit(store) == 0);
}

static const struct conf *
load(void)
{
	static const char text[] =
		"hostname = mta1.example.com  token-secret-file = secret\n"
		"return-path-domain = bounces.example.com  unsubscribe-mailto = unsub@bounces.example.com\n"
		"cfbl-address = cfbl@bounces.example.com  report-addresses = { fbl@bounces.example.com }\n"
		"report failed { begin = '^failed'  recipient = { '^<(?<rcpt>[^>]+)>' } }\n"
		"report away { kind = auto-reply  header = { '^Subject: away' } }\n";
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/secret", folder);
	REQUIRE((f = fopen(path, "w")) != NULL);
	fputs("0123456789abcdef0123456789abcdef\n", f);
	fclose(f);
	REQUIRE(chmod(path, 0600) == 0);
	snprintf(path, sizeof(path), "%s/mtad.conf", folder);
	return conf_load_bytes(path, text, sizeof(text) - 1, stderr);
}

static void
begin(void)
{
	char why[200] = "";
	struct queue_store_conf sc = {
		.dir = folder, .allow_network_fs = true, .why = why, .why_max = sizeof(why)};

	REQUIRE(mkdtemp(folder) != NULL);
	(void)atexit(clean_up);
	REQUIRE((judge.conf = load()) != NULL);
	REQUIRE(queue_store_open(&sc, &judge.store) == 0);
	judge.classifier = classifier_create(judge.conf);
	judge.reader = feedback_reader_create(prose_read, report_rules_create(judge.conf));
	REQUIRE(judge.classifier != NULL && judge.reader != NULL);
	issue(judge.store);
}

static void
check(const struct returned_mail *mail, const struct returned_outcome *out)
{
	char bytes[QUEUE_EVENT_MAX];

	REQUIRE((out->result == RETURNED_RECORD) == (out->count > 0));
	REQUIRE(out->result != RETURNED_UNREAD || out->why[0] != '\0');
	for (uint32_t i = 0; i < out->count; i++) {
		const struct feedback_item *item = &out->items[i];

		REQUIRE(item->event.rcpt.len > 0);
		REQUIRE(event_is_of_report(item->event.type));
		REQUIRE(item->has_token ? item->token.nonce == NONCE : mail->is_vouched);
		REQUIRE(event_encode(&item->event, bytes, sizeof(bytes)) > 0);
		for (uint32_t k = 0; k < i; k++)
			REQUIRE(!item->has_token || !out->items[k].has_token ||
				item->token.n != out->items[k].token.n);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct returned_address places[] = {
		{RETURNED_TO_ADDRESS, TOKEN_NONE, {TOKEN_RETURN_PATH, 0, 0, 0}},
		{RETURNED_TO_TOKEN, TOKEN_GOOD, {TOKEN_RETURN_PATH, NOW, NONCE, 1}},
		{RETURNED_TO_TOKEN, TOKEN_GOOD, {TOKEN_UNSUBSCRIBE, NOW, NONCE, 1}},
		{RETURNED_TO_TOKEN, TOKEN_GOOD, {TOKEN_COMPLAINT, NOW, NONCE, 1}},
		{RETURNED_TO_TOKEN, TOKEN_GOOD, {TOKEN_RETURN_PATH, NOW, NONCE + 1, 1}},
	};
	struct returned_mail mail = {
		.client_ip = SMTP_LIT("192.0.2.1"), .helo = SMTP_LIT("mx.test"), .now_us = NOW + 1000000};
	struct returned_outcome out;

	if (judge.conf == NULL)
		begin();
	if (size < 2)
		return 0;
	mail.to = places[data[0] % (sizeof(places) / sizeof(places[0]))];
	mail.sender = data[1] % 2 == 0 ? SMTP_LIT("") : SMTP_LIT("a@a.test");
	mail.is_vouched = data[1] % 4 >= 2;
	mail.auth = SMTP_LIT("dkim=none spf=none");
	mail.bytes = (struct smtp_slice){(const char *)data + 2, size - 2};
	REQUIRE(returned_judge(&judge, &mail, &out) == QUEUE_OK);
	check(&mail, &out);
	free(out.items);
	return 0;
}
