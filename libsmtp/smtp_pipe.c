/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of commands and the buffer they are written from. It knows no SMTP: what a kind means is the
 * engine's. The bytes of each command are remembered because "the reply to this" can only be told from "a
 * reply too many" by asking whether the command had left yet. Invariants: heard <= sent <= said; the bytes in
 * the ring from `sent` on, less sent_bytes, are the bytes of the output less `begun`.
 */
#include "smtp_pipe.h"
#include "smtp_base64.h"
#include "smtp_params.h"

#include <assert.h>
#include <string.h>

_Static_assert((SMTP_PIPE_COMMANDS_MAX & (SMTP_PIPE_COMMANDS_MAX - 1)) == 0, "counts wrap at a power of two");

static uint32_t
place(uint32_t count)
{
	return count % SMTP_PIPE_COMMANDS_MAX;
}

void
smtp_pipe_init(struct smtp_pipe *p)
{
	memset(p, 0, offsetof(struct smtp_pipe, text));
}

bool
smtp_pipe_has_room(struct smtp_pipe *p)
{
	assert(p->begun == 0);
	if (p->said - p->heard == SMTP_PIPE_COMMANDS_MAX)
		return false;
	if (sizeof(p->text) - p->to < SMTP_COMMAND_MAX && p->from > 0) {
		memmove(p->text, p->text + p->from, p->to - p->from);
		p->to -= p->from;
		p->from = 0;
	}
	return sizeof(p->text) - p->to >= SMTP_COMMAND_MAX;
}

/* After `len` bytes were written at the end of the output. */
static void
grow(struct smtp_pipe *p, size_t len)
{
	assert(len <= sizeof(p->text) - p->to);
	p->to += (uint32_t)len;
	p->begun += (uint32_t)len;
	assert(p->begun <= SMTP_COMMAND_MAX);
}

void
smtp_pipe_put(struct smtp_pipe *p, struct smtp_slice text)
{
	assert(text.len <= sizeof(p->text) - p->to);
	if (text.len > 0)
		memcpy(p->text + p->to, text.ptr, text.len);
	grow(p, text.len);
}

void
smtp_pipe_put_base64(struct smtp_pipe *p, struct smtp_slice bytes)
{
	int len = smtp_base64_encode(bytes, p->text + p->to, sizeof(p->text) - p->to);

	assert(len >= 0);
	grow(p, (size_t)len);
}

void
smtp_pipe_put_xtext(struct smtp_pipe *p, struct smtp_slice bytes)
{
	int len = smtp_xtext_encode(bytes, p->text + p->to, sizeof(p->text) - p->to);

	assert(len >= 0);
	grow(p, (size_t)len);
}

void
smtp_pipe_say(struct smtp_pipe *p, uint8_t kind)
{
	assert(p->said - p->heard < SMTP_PIPE_COMMANDS_MAX);
	smtp_pipe_put(p, SMTP_LIT("\r\n"));
	p->ring[place(p->said)].kind = kind;
	p->ring[place(p->said)].bytes = (uint16_t)p->begun;
	p->said++;
	p->begun = 0;
}

void
smtp_pipe_say_nothing(struct smtp_pipe *p, uint8_t kind)
{
	assert(p->said - p->heard < SMTP_PIPE_COMMANDS_MAX && p->begun == 0);
	p->ring[place(p->said)].kind = kind;
	p->ring[place(p->said)].bytes = 0;
	if (p->sent == p->said)
		p->sent++;
	p->said++;
}

bool
smtp_pipe_is_empty(const struct smtp_pipe *p)
{
	return p->said == p->heard;
}

uint8_t
smtp_pipe_front(const struct smtp_pipe *p)
{
	assert(p->said != p->heard);
	return p->ring[place(p->heard)].kind;
}

bool
smtp_pipe_front_is_sent(const struct smtp_pipe *p)
{
	return p->heard != p->sent;
}

void
smtp_pipe_hear(struct smtp_pipe *p)
{
	assert(p->heard != p->sent);
	p->heard++;
}

uint32_t
smtp_pipe_unheard(const struct smtp_pipe *p)
{
	uint32_t count = 0;

	for (uint32_t i = p->heard; i != p->sent; i++)
		count += p->ring[place(i)].bytes > 0;
	return count;
}

void
smtp_pipe_wipe(struct smtp_pipe *p)
{
	assert(p->from == p->to);
	explicit_bzero(p->text, sizeof(p->text));
}

void
smtp_pipe_void(struct smtp_pipe *p)
{
	p->heard = p->sent = p->said;
	p->from = p->to = p->begun = p->sent_bytes = 0;
	smtp_pipe_wipe(p);
}

struct smtp_slice
smtp_pipe_output(const struct smtp_pipe *p)
{
	return (struct smtp_slice){p->text + p->from, p->to - p->from};
}

void
smtp_pipe_drained(struct smtp_pipe *p, size_t bytes)
{
	assert(p->begun == 0 && bytes <= p->to - p->from);
	p->from += (uint32_t)bytes;
	p->sent_bytes += (uint32_t)bytes;
	while (p->sent != p->said && p->sent_bytes >= p->ring[place(p->sent)].bytes)
		p->sent_bytes -= p->ring[place(p->sent++)].bytes;
	if (p->from == p->to)
		p->from = p->to = 0;
}
