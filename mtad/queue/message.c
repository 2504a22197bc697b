/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelope strings live in an arena of chunks, because pointers to them are handed out while more arrive (a
 * growing buffer would move them). The received bytes are one buffer that doubles: header scan, signer and
 * SMTP client all want them contiguous.
 */
#include "queue/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 2048, BUFFER_FIRST_BYTES = 16384, FIT_BYTES_MIN = 1024 };

struct message_chunk {
	struct message_chunk *next;
	size_t used, max;
	char bytes[];
};

static void
count(struct message *m, int64_t bytes)
{
	m->counted_bytes += bytes;
	if (m->memory != NULL)
		memory_add(m->memory, bytes);
}

struct message *
message_create(struct memory *memory)
{
	struct message *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	atomic_init(&m->refs, 1);
	m->memory = memory;
	count(m, sizeof(*m));
	return m;
}

struct message *
message_from_loaded(struct memory *memory, struct queue_loaded *take_loaded)
{
	struct message *m = message_create(memory);

	if (m == NULL) {
		queue_loaded_free(&take_loaded);
		return NULL;
	}
	m->loaded = take_loaded;
	m->meta = take_loaded->message;
	m->rcpts = take_loaded->rcpts;
	m->rcpt_count = take_loaded->rcpt_count;
	m->body[0] = take_loaded->body;
	count(m, (int64_t)take_loaded->block_bytes);
	return m;
}

struct message *
message_ref(struct message *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

static void
message_free(struct message *m)
{
	struct message_chunk *c, *next;

	if (m->memory != NULL)
		memory_add(m->memory, -m->counted_bytes);
	for (c = m->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	if (m->loaded != NULL)
		queue_loaded_free(&m->loaded);
	else
		free(m->rcpts);
	free(m->domains);
	free(m->suppressed);
	free(m->buffer);
	free(m);
}

void
message_unref(struct message *m)
{
	if (m == NULL)
		return;
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
		message_free(m);
}

static char *
arena_room(struct message *m, size_t len)
{
	struct message_chunk *c = m->chunks;
	size_t max = len > CHUNK_BYTES ? len : CHUNK_BYTES;

	if (c == NULL || c->max - c->used < len) {
		if ((c = malloc(sizeof(*c) + max)) == NULL)
			return NULL;
		c->next = m->chunks;
		c->used = 0;
		c->max = max;
		m->chunks = c;
		count(m, (int64_t)(sizeof(*c) + max));
	}
	c->used += len;
	return c->bytes + c->used - len;
}

struct queue_blob
message_keep(struct message *m, const void *ptr, size_t len)
{
	static const char nothing[1];
	char *copy;

	if (len == 0)
		return (struct queue_blob){nothing, 0};
	if ((copy = arena_room(m, len)) == NULL)
		return (struct queue_blob){NULL, 0};
	memcpy(copy, ptr, len);
	return (struct queue_blob){copy, len};
}

struct queue_blob
message_join(struct message *m, struct queue_blob a, struct queue_blob b)
{
	char *copy = arena_room(m, a.len + b.len + 1);

	if (copy == NULL)
		return (struct queue_blob){NULL, 0};
	memcpy(copy, a.ptr, a.len);
	memcpy(copy + a.len, b.ptr, b.len);
	return (struct queue_blob){copy, a.len + b.len};
}

static bool
grow_rcpts(struct message *m)
{
	uint32_t max = m->rcpt_max == 0 ? 4 : m->rcpt_max * 2;
	struct queue_rcpt *rcpts;
	struct queue_blob *domains;

	if (m->rcpt_count < m->rcpt_max)
		return true;
	if ((rcpts = realloc(m->rcpts, max * sizeof(*rcpts))) == NULL)
		return false;
	m->rcpts = rcpts;
	if ((domains = realloc(m->domains, max * sizeof(*domains))) == NULL)
		return false;
	m->domains = domains;
	count(m, (int64_t)((max - m->rcpt_max) * (sizeof(*rcpts) + sizeof(*domains))));
	m->rcpt_max = max;
	return true;
}

bool
message_add_rcpt(struct message *m, const struct queue_rcpt *r, struct queue_blob domain)
{
	struct queue_blob name;
	struct queue_rcpt *copy;

	if (m->rcpt_count >= QUEUE_RCPTS_MAX || !grow_rcpts(m))
		return false;
	copy = &m->rcpts[m->rcpt_count];
	*copy = *r;
	copy->n = (uint16_t)m->rcpt_count;
	copy->address = message_keep(m, r->address.ptr, r->address.len);
	copy->orcpt = message_keep(m, r->orcpt.ptr, r->orcpt.len);
	name = message_keep(m, domain.ptr, domain.len);
	if (copy->address.ptr == NULL || copy->orcpt.ptr == NULL || name.ptr == NULL)
		return false;
	m->domains[m->rcpt_count++] = name;
	m->meta.rcpt_count = m->rcpt_count;
	return true;
}

bool
message_append(struct message *m, const char *bytes, size_t len)
{
	size_t max = m->buffer_max == 0 ? BUFFER_FIRST_BYTES : m->buffer_max;
	char *grown;

	if (len == 0)
		return true;
	if (m->buffer_max - m->buffer_len < len) {
		while (max - m->buffer_len < len)
			max *= 2;
		if ((grown = realloc(m->buffer, max)) == NULL)
			return false;
		count(m, (int64_t)(max - m->buffer_max));
		m->buffer = grown;
		m->buffer_max = max;
	}
	memcpy(m->buffer + m->buffer_len, bytes, len);
	m->buffer_len += len;
	return true;
}

void
message_fit(struct message *m)
{
	char *fitting;

	if (m->buffer_max - m->buffer_len < FIT_BYTES_MIN || m->buffer_len == 0)
		return;
	if ((fitting = realloc(m->buffer, m->buffer_len)) == NULL)
		return;
	count(m, -(int64_t)(m->buffer_max - m->buffer_len));
	m->buffer = fitting;
	m->buffer_max = m->buffer_len;
}

int64_t
message_deliver_by(const struct queue_message *m)
{
	return m->expire_us != 0 ? m->expire_us : m->notice_us;
}

const struct queue_rcpt *
message_rcpt(const struct message *m, uint16_t n)
{
	uint32_t low = 0, high = m->rcpt_count, mid;

	/* In order of n; fresh messages hold all, loaded ones those still queued. */
	while (low < high) {
		mid = (low + high) / 2;
		if (m->rcpts[mid].n < n)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->rcpt_count && m->rcpts[low].n == n ? &m->rcpts[low] : NULL;
}
