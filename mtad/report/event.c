/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Format 2: version byte, fixed part, then each text as 16-bit length and bytes, in the order of the table.
 * The table serves both directions, so they cannot disagree. Integers are little-endian as the machine has
 * them (the spool is not portable between architectures anyway). Format 1 had no class, and ended before
 * message_id.
 */
#include "report/event.h"

#include "base/bounce_class.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { EVENT_VERSION = 2, TEXT_KEEP = 512 };

struct fixed {
	uint8_t version, type, is_uncertain, bounce_class;
	uint16_t code, attempts, n;
	uint16_t text_count;
	uint64_t id, message_bytes;
	int64_t logged_us, queued_us, next_us;
};

static const size_t texts[] = {
	offsetof(struct event, sender),
	offsetof(struct event, rcpt),
	offsetof(struct event, orcpt),
	offsetof(struct event, envid),
	offsetof(struct event, user),
	offsetof(struct event, job),
	offsetof(struct event, pool),
	offsetof(struct event, source),
	offsetof(struct event, esc),
	offsetof(struct event, reply),
	offsetof(struct event, category),
	offsetof(struct event, host),
	offsetof(struct event, peer_ip),
	offsetof(struct event, local_ip),
	offsetof(struct event, tls),
	offsetof(struct event, caps),
	offsetof(struct event, site),
	offsetof(struct event, message_id),
	offsetof(struct event, headers),
	offsetof(struct event, feedback),
};
enum { TEXT_COUNT = sizeof(texts) / sizeof(texts[0]), TEXT_COUNT_1 = TEXT_COUNT - 3 };

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
		.text_count = TEXT_COUNT,
		.id = e->id,
		.message_bytes = e->message_bytes,
		.logged_us = e->logged_us,
		.queued_us = e->queued_us,
		.next_us = e->next_us};
	char *to = buf;
	size_t used = sizeof(f), i;

	if (buf_max < sizeof(f))
		return QUEUE_EINVAL;
	memcpy(to, &f, sizeof(f));
	for (i = 0; i < TEXT_COUNT; i++) {
		const struct queue_blob *b = (const struct queue_blob *)((const char *)e + texts[i]);
		uint16_t len = (uint16_t)(b->len < TEXT_KEEP ? b->len : TEXT_KEEP);

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
	size_t used = sizeof(struct fixed), i;
	struct fixed f;
	uint16_t len;

	if (bytes.len < sizeof(f))
		return QUEUE_EDAMAGED;
	memcpy(&f, from, sizeof(f));
	if (f.version != EVENT_VERSION && f.version != 1)
		return QUEUE_EVERSION;
	if (f.type >= EVENT_TYPE_COUNT || f.bounce_class >= BOUNCE_CLASS_COUNT ||
		f.text_count != (f.version == 1 ? TEXT_COUNT_1 : TEXT_COUNT))
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
		.next_us = f.next_us};
	for (i = 0; i < f.text_count; i++) {
		if (bytes.len - used < sizeof(len))
			return QUEUE_EDAMAGED;
		memcpy(&len, from + used, sizeof(len));
		used += sizeof(len);
		if (bytes.len - used < len)
			return QUEUE_EDAMAGED;
		*(struct queue_blob *)((char *)out + texts[i]) = (struct queue_blob){from + used, len};
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
