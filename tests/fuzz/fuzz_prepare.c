/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a submission. Byte 0 chooses what the client may and is. What is accepted must scan as a
 * header again, with our fields on top, one From, a Date and a Message-ID, none of the removed fields, and
 * every other field and the body as they came; pieces end at line ends.
 */
#include "intake/prepare.h"

#include "base/domain.h"
#include "conf/conf_load.h"
#include "smtp_header.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char conf_text[] = "hostname = mta.test\n"
				"listen l { address = { \"127.0.0.1:2525\" } }\n"
				"source s { }\n"
				"pool p { sources = { s } }\n"
				"job-headers = { X-Job }\n"
				"pool-headers = { X-Pool }\n"
				"class-headers = { X-Class }\n"
				"schedule-headers = { X-Schedule }\n"
				"remove-headers = { Bcc, Return-Path }\n";

static int64_t
fake_us(void *arg)
{
	return INT64_C(1793534400000000);
}
static uint32_t
fake_random(void *arg)
{
	return 1;
}

static void
require(bool is_true)
{
	if (!is_true)
		abort();
}

/* A field we write ourselves unless it says something. */
static bool
is_ours(struct smtp_slice name)
{
	return smtp_slice_is_nocase(name, SMTP_LIT("Date")) ||
	       smtp_slice_is_nocase(name, SMTP_LIT("Message-ID"));
}

static bool
is_removed(const struct smtp_field *f)
{
	return smtp_slice_is_nocase(f->name, SMTP_LIT("X-Job")) ||
	       smtp_slice_is_nocase(f->name, SMTP_LIT("X-Pool")) ||
	       smtp_slice_is_nocase(f->name, SMTP_LIT("X-Class")) ||
	       smtp_slice_is_nocase(f->name, SMTP_LIT("MT-Priority")) ||
	       smtp_slice_is_nocase(f->name, SMTP_LIT("X-Schedule")) ||
	       smtp_slice_is_nocase(f->name, SMTP_LIT("Bcc")) ||
	       smtp_slice_is_nocase(f->name, SMTP_LIT("Return-Path")) ||
	       (is_ours(f->name) && smtp_header_unfold(f->value, NULL, 0) == 0);
}

/* 1 when there is no such field that stays. */
static uint32_t
is_added(const struct smtp_header *in, struct smtp_slice name)
{
	for (uint32_t i = 0; i < in->count; i++)
		if (smtp_slice_is_nocase(in->fields[i].name, name) && !is_removed(&in->fields[i]))
			return 0;
	return 1;
}

static void
scan(struct smtp_header *h, struct smtp_slice bytes)
{
	size_t at;

	require(smtp_header_scan(h, bytes, &at) == SMTP_OK);
}

/* The pieces, one after the other. */
static struct smtp_slice
join(const struct message *m)
{
	char *all = malloc(m->meta.body_bytes + 1);
	size_t at = 0;

	require(all != NULL);
	for (int i = 0; i < QUEUE_BODY_PIECES; i++) {
		if (m->body[i].len == 0)
			continue;
		memcpy(all + at, m->body[i].ptr, m->body[i].len);
		at += m->body[i].len;
		require(at == m->meta.body_bytes || all[at - 1] == '\n');
	}
	require(at == m->meta.body_bytes);
	return (struct smtp_slice){all, at};
}

/* Every field of `in` that is not removed follows in `out` from its field `k` on, unchanged. */
static void
check_fields(const struct smtp_header *in, const struct smtp_header *out, uint32_t k)
{
	for (uint32_t i = 0; i < in->count; i++) {
		if (is_removed(&in->fields[i]))
			continue;
		require(k < out->count);
		require(smtp_slice_is(in->fields[i].whole, out->fields[k++].whole));
	}
	require(k == out->count);
}

/* Without the line of a mailbox file in front (B5). */
static struct smtp_slice
skip_mailbox_line(struct smtp_slice in)
{
	const struct smtp_slice rest = {in.ptr + 1, in.len - 1};
	struct smtp_slice line = in.len > 0 && in.ptr[0] == '>' ? rest : in;
	size_t at = 5;

	if (line.len < 6 || memcmp(line.ptr, "From ", 5) != 0 || line.ptr[5] == ':')
		return in;
	while (at < line.len && line.ptr[at] != '\n')
		at++;
	if (at == line.len)
		return in;
	return (struct smtp_slice){line.ptr + at + 1, line.len - at - 1};
}

static void
check(const struct message *m, struct smtp_slice in)
{
	static struct smtp_field in_fields[SMTP_HEADER_FIELDS_MAX], out_fields[SMTP_HEADER_FIELDS_MAX + 3];
	struct smtp_header h = {.fields = in_fields, .fields_max = SMTP_HEADER_FIELDS_MAX},
			   out = {.fields = out_fields, .fields_max = SMTP_HEADER_FIELDS_MAX + 3};
	struct smtp_slice all = join(m), body, out_body;
	uint32_t top = 1;
	int from;

	in = skip_mailbox_line(in);
	scan(&h, in);
	scan(&out, all);
	top += is_added(&h, SMTP_LIT("Date")) + is_added(&h, SMTP_LIT("Message-ID"));
	require(smtp_slice_is(out.fields[0].name, SMTP_LIT("Received")));
	require(out.hops == h.hops + 1 && h.hops <= SMTP_HOPS_MAX);
	require(smtp_header_find(&out, SMTP_LIT("Date"), 0) >= 0);
	require(smtp_header_find(&out, SMTP_LIT("Message-ID"), 0) >= 0);
	require((from = smtp_header_find(&out, SMTP_LIT("From"), 0)) >= 0);
	require(smtp_header_find(&out, SMTP_LIT("From"), (uint32_t)from + 1) < 0);
	check_fields(&h, &out, top);
	body = (struct smtp_slice){in.ptr + h.header_bytes, in.len - h.header_bytes};
	out_body = (struct smtp_slice){all.ptr + out.header_bytes, all.len - out.header_bytes};
	require(smtp_slice_is(body, out_body));
	free((void *)(uintptr_t)all.ptr);
}

static void
check_wishes(const struct queue_message *meta, bool is_trusted)
{
	int64_t now_us = fake_us(NULL);

	require(meta->klass < QUEUE_CLASS_COUNT);
	require(meta->release_us == 0 ||
		(meta->release_us > now_us && meta->release_us <= now_us + INT64_C(30) * 86400000000));
	require(is_trusted ||
		(meta->release_us == 0 && meta->klass == QUEUE_CLASS_NORMAL && meta->priority == 0));
	require(meta->priority >= -QUEUE_PRIORITY_MAX && meta->priority <= QUEUE_PRIORITY_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct clock clock = {fake_us, fake_us, fake_random, NULL};
	static const struct conf *conf;
	struct conf_listen listen = {.name = "l", .pool = ""};
	struct prepare_input in = {.listen = &listen, .clock = &clock, .client_ip = "192.0.2.1"};
	struct prepare_reply reply;
	struct memory memory = {0};
	struct message *m;

	if (size < 1)
		return 0;
	if (conf == NULL)
		conf = conf_load_bytes("/nonexistent/fuzz.conf", conf_text, sizeof(conf_text) - 1, stderr);
	require(conf != NULL);
	in.conf = conf;
	in.is_trusted = data[0] & 1;
	in.is_esmtp = data[0] & 2;
	in.is_smtputf8 = data[0] & 4;
	listen.show_client = data[0] & 8;
	/* The client's name is as free as its message. */
	in.helo = (struct smtp_slice){(const char *)data + 1, size - 1 < 40 ? size - 1 : 40};
	require((m = message_create(&memory)) != NULL);
	require(message_append(m, (const char *)data + 1, size - 1));
	prepare_message(m, &in, &reply);
	if (reply.code != 0)
		require((reply.code == 550 || reply.code == 552 || reply.code == 554) &&
			reply.text[0] != '\0');
	else {
		check(m, (struct smtp_slice){(const char *)data + 1, size - 1});
		require(m->meta.from_domain.len < DOMAIN_MAX);
		require(m->meta.job.len < QUEUE_NAME_MAX && m->meta.pool.len < QUEUE_NAME_MAX);
		require(in.is_trusted || m->meta.job.len == 0);
		check_wishes(&m->meta, in.is_trusted);
	}
	message_unref(m);
	require(memory.used_bytes == 0);
	return 0;
}
