/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Format 3: version byte, fixed part, then each text as 16-bit length and bytes, in the order of the table;
 * those of of_report only where there is a report. The table serves both directions, so they cannot disagree.
 * Integers are little-endian as the machine has them (the spool is not portable between architectures
 * anyway). Format 2 had no first_us, klass and from_domain, and nothing of the report; format 1 no class
 * either, and ended before message_id.
 */
#include "report/event.h"

#include "base/bounce_class.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { EVENT_VERSION = 3, TEXT_KEEP = 512 };

struct fixed {
	uint8_t version, type, is_uncertain, bounce_class;
	uint16_t code, attempts, n;
	uint16_t text_count;
	uint64_t id, message_bytes;
	int64_t logged_us, queued_us, next_us;
	int64_t first_us; /* from here on behind what formats 1 and 2 have */
	uint64_t klass;
};

static const struct {
	size_t at;
	size_t keep; /* bytes; the rest is cut. All of the largest event are QUEUE_EVENT_MAX at most. */
} texts[] = {
	{offsetof(struct event, sender), TEXT_KEEP},
	{offsetof(struct event, rcpt), TEXT_KEEP},
	{offsetof(struct event, orcpt), TEXT_KEEP},
	{offsetof(struct event, envid), TEXT_KEEP},
	{offsetof(struct event, user), TEXT_KEEP},
	{offsetof(struct event, job), TEXT_KEEP},
	{offsetof(struct event, pool), TEXT_KEEP},
	{offsetof(struct event, source), TEXT_KEEP},
	{offsetof(struct event, esc), TEXT_KEEP},
	{offsetof(struct event, reply), TEXT_KEEP},
	{offsetof(struct event, category), TEXT_KEEP},
	{offsetof(struct event, host), TEXT_KEEP},
	{offsetof(struct event, peer_ip), TEXT_KEEP},
	{offsetof(struct event, local_ip), TEXT_KEEP},
	{offsetof(struct event, tls), TEXT_KEEP},
	{offsetof(struct event, caps), TEXT_KEEP},
	{offsetof(struct event, site), TEXT_KEEP},
	{offsetof(struct event, message_id), TEXT_KEEP},
	{offsetof(struct event, headers), TEXT_KEEP},
	{offsetof(struct event, feedback), TEXT_KEEP},
	{offsetof(struct event, from_domain), 255},
	{offsetof(struct event, of_report.format), 32},
	{offsetof(struct event, of_report.user_agent), 128},
	{offsetof(struct event, of_report.domain), 255},
	{offsetof(struct event, of_report.source_ip), 48},
	{offsetof(struct event, of_report.arrival_date), 64},
	{offsetof(struct event, of_report.auth), 255},
};
enum {
	TEXTS_ALL = sizeof(texts) / sizeof(texts[0]),
	TEXTS_OF_MAIL = TEXTS_ALL - 6,
	TEXTS_2 = TEXTS_OF_MAIL - 1,
	TEXTS_1 = TEXTS_2 - 3,
};

bool
event_is_of_report(enum event_type type)
{
	return type == EVENT_REMOTE || type == EVENT_COMPLAINT || type == EVENT_UNSUBSCRIBE;
}

static size_t
text_count(uint8_t version, enum event_type type)
{
	if (version < 3)
		return version == 1 ? TEXTS_1 : TEXTS_2;
	return event_is_of_report(type) ? TEXTS_ALL : TEXTS_OF_MAIL;
}

static size_t
fixed_bytes(uint8_t version)
{
	return version > 2 ? sizeof(struct fixed) : offsetof(struct fixed, first_us);
}

/* How much of a text that is longer than `max` is kept: no half of a UTF-8 character at its end. */
static size_t
cut(const char *text, size_t max)
{
	size_t len = max;

	while (len > 0 && max - len < 3 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	return ((unsigned char)text[len] & 0xc0) == 0x80 ? max : len;
}

int
event_encode(const struct event *e, void *buf, size_t buf_max)
{
	struct fixed f = {.version = EVENT_VERSION,
		.type = (uint8_t)e->type,
		.is_uncertain = e->is_uncertain,
		.bounce_class = e->bounce_class,
		.code = e->code,
		.attempts = e->attempts,
		.n = e->n,
		.text_count = (uint16_t)text_count(EVENT_VERSION, e->type),
		.id = e->id,
		.message_bytes = e->message_bytes,
		.logged_us = e->logged_us,
		.queued_us = e->queued_us,
		.next_us = e->next_us,
		.first_us = e->first_us,
		.klass = (uint64_t)e->klass};
	char *to = buf;
	size_t used = sizeof(f), i;

	if (buf_max < sizeof(f))
		return QUEUE_EINVAL;
	memcpy(to, &f, sizeof(f));
	for (i = 0; i < f.text_count; i++) {
		const struct queue_blob *b = (const struct queue_blob *)((const char *)e + texts[i].at);
		uint16_t len = (uint16_t)(b->len <= texts[i].keep ? b->len : cut(b->ptr, texts[i].keep));

		if (buf_max - used < sizeof(len) + len)
			return QUEUE_EINVAL;
		memcpy(to + used, &len, sizeof(len));
		if (len > 0)
			memcpy(to + used + sizeof(len), b->ptr, len);
		used += sizeof(len) + len;
	}
	return (int)used;
}

int
event_decode(struct queue_blob bytes, struct event *out)
{
	const char *from = bytes.ptr;
	struct fixed f = {0};
	size_t used, i;
	uint16_t len;

	if (bytes.len == 0)
		return QUEUE_EDAMAGED;
	memcpy(&f.version, from, 1);
	if (f.version < 1 || f.version > EVENT_VERSION)
		return QUEUE_EVERSION;
	used = fixed_bytes(f.version);
	if (bytes.len < used)
		return QUEUE_EDAMAGED;
	memcpy(&f, from, used);
	if (f.type >= EVENT_TYPE_COUNT || f.bounce_class >= BOUNCE_CLASS_COUNT ||
		f.klass >= QUEUE_CLASS_COUNT ||
		f.text_count != text_count(f.version, (enum event_type)f.type))
		return QUEUE_EDAMAGED;
	*out = (struct event){.type = (enum event_type)f.type,
		.is_uncertain = f.is_uncertain != 0,
		.bounce_class = f.bounce_class,
		.code = f.code,
		.attempts = f.attempts,
		.n = f.n,
		.id = f.id,
		.message_bytes = f.message_bytes,
		.logged_us = f.logged_us,
		.queued_us = f.queued_us,
		.next_us = f.next_us,
		.first_us = f.first_us,
		.klass = (enum queue_class)f.klass};
	for (i = 0; i < f.text_count; i++) {
		if (bytes.len - used < sizeof(len))
			return QUEUE_EDAMAGED;
		memcpy(&len, from + used, sizeof(len));
		used += sizeof(len);
		if (bytes.len - used < len)
			return QUEUE_EDAMAGED;
		*(struct queue_blob *)((char *)out + texts[i].at) = (struct queue_blob){from + used, len};
		used += len;
	}
	return used == bytes.len ? QUEUE_OK : QUEUE_EDAMAGED;
}

const char *
event_id_text(const struct event *e, char buf[EVENT_ID_MAX])
{
	snprintf(buf, EVENT_ID_MAX, "%016llx-%llu", (unsigned long long)e->spool_id,
		(unsigned long long)e->seq);
	return buf;
}

bool
event_next_header(struct queue_blob *rest, struct queue_blob *out_name, struct queue_blob *out_value)
{
	const char *at = rest->ptr, *colon, *end;

	if (rest->len == 0 || (colon = memchr(at, ':', rest->len)) == NULL)
		return false;
	/* The last one may have been cut. */
	end = memchr(colon, '\n', rest->len - (size_t)(colon - at));
	if (end == NULL)
		end = at + rest->len;
	*out_name = (struct queue_blob){at, (size_t)(colon - at)};
	*out_value = (struct queue_blob){colon + 1, (size_t)(end - colon - 1)};
	rest->len -= (size_t)(end - at);
	rest->ptr = end;
	if (rest->len > 0) {
		rest->ptr = end + 1;
		rest->len--;
	}
	return true;
}
