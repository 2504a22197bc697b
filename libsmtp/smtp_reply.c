/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies arrive cut anywhere, from peers that may be broken, hostile or not SMTP servers at all. Invariants:
 *
 * - every byte is looked at as it comes, so a banner of TLS or HTTP fails at its first bytes and not at a
 * timer;
 * - text_len never passes SMTP_REPLY_TEXT_MAX, byte_count never SMTP_REPLY_BYTES_MAX, whatever is sent;
 * - a reply exists only when its last line has its CRLF: what a broken connection left behind is no reply;
 * - the text holds no NUL and no CR, and LF only between lines.
 *
 * Strict line ends cost a handful of odd servers, but a parser that guesses is what response injection needs.
 */
#include "smtp_reply.h"
#include "smtp_esc.h"

#include <assert.h>
#include <string.h>

enum { CODE_DIGITS = 3, HEAD_BYTES = 4 }; /* "250" and what separates it from the text */

void
smtp_reply_init(struct smtp_reply_parser *p)
{
	/* The text is left alone: text_len says how much of it means anything. */
	memset(p, 0, offsetof(struct smtp_reply_parser, text));
}

/* The bytes up to the separator, one at a time. */
static int
take_head(struct smtp_reply_parser *p, char byte)
{
	if (p->line_bytes == CODE_DIGITS) {
		if (byte != ' ' && byte != '-')
			return SMTP_ESYNTAX;
		p->is_last_line = byte == ' ';
	} else {
		if (byte < '0' || byte > '9' || (p->line_bytes == 0 && (byte < '2' || byte > '5')))
			return SMTP_ESYNTAX;
		p->line_code = (uint16_t)(p->line_code * 10 + (byte - '0'));
	}
	p->line_bytes++;
	if (p->line_bytes < CODE_DIGITS)
		return SMTP_OK;
	if (p->line_code > SMTP_REPLY_CODE_MAX || (p->code != 0 && p->code != p->line_code))
		return SMTP_ESYNTAX;
	return SMTP_OK;
}

static void
keep_text(struct smtp_reply_parser *p, struct smtp_slice part)
{
	size_t line_room = p->line_bytes < SMTP_REPLY_LINE_MAX ? SMTP_REPLY_LINE_MAX - p->line_bytes : 0;
	size_t room = sizeof(p->text) - p->text_len;
	size_t keep = part.len;

	keep = keep < line_room ? keep : line_room;
	keep = keep < room ? keep : room;
	if (keep < part.len)
		p->is_cut = true;
	if (keep > 0)
		memcpy(p->text + p->text_len, part.ptr, keep);
	p->text_len += (uint32_t)keep;
	p->line_bytes += (uint32_t)part.len;
}

/* Part of a line, without its line end. */
static int
take_part(struct smtp_reply_parser *p, struct smtp_slice part)
{
	int err;

	if (part.len == 0)
		return SMTP_OK;
	if (p->has_cr || memchr(part.ptr, '\r', part.len) != NULL || memchr(part.ptr, '\0', part.len) != NULL)
		return SMTP_ESYNTAX;
	while (part.len > 0 && p->line_bytes < HEAD_BYTES) {
		if ((err = take_head(p, *part.ptr)) < 0)
			return err;
		part.ptr++;
		part.len--;
	}
	keep_text(p, part);
	return SMTP_OK;
}

/* The LF came. */
static int
end_line(struct smtp_reply_parser *p, struct smtp_reply *out_reply)
{
	bool is_first = p->code == 0, is_last = p->is_last_line || p->line_bytes == CODE_DIGITS;

	if (!p->has_cr || p->line_bytes < CODE_DIGITS)
		return SMTP_ESYNTAX;
	assert(p->line_code >= SMTP_REPLY_CODE_MIN && p->line_code <= SMTP_REPLY_CODE_MAX);
	p->code = p->line_code;
	if (is_first && smtp_esc_parse((struct smtp_slice){p->text, p->text_len}, &p->esc) < 0)
		p->esc = (struct smtp_esc){0};
	*out_reply = (struct smtp_reply){
		.code = p->code,
		.esc = p->esc,
		.text = {p->text, p->text_len},
		.text_cut = p->is_cut,
	};
	if (is_last) {
		smtp_reply_init(p);
		return SMTP_REPLY_WHOLE;
	}
	if (p->text_len < sizeof(p->text))
		p->text[p->text_len++] = '\n';
	else
		p->is_cut = true;
	p->line_bytes = 0;
	p->line_code = 0;
	p->is_last_line = p->has_cr = false;
	return SMTP_REPLY_LINE;
}

int
smtp_reply_feed(struct smtp_reply_parser *p, struct smtp_slice *in, struct smtp_reply *out_reply)
{
	struct smtp_slice part = *in;
	const char *lf;
	bool ends_cr;
	int found;

	if (p->failure < 0)
		return p->failure;
	if (in->len == 0)
		return SMTP_REPLY_NEEDS_MORE;
	lf = memchr(in->ptr, '\n', in->len);
	if (lf != NULL)
		part.len = (size_t)(lf - in->ptr);
	in->ptr += part.len + (lf != NULL);
	in->len -= part.len + (lf != NULL);
	if (part.len >= SMTP_REPLY_BYTES_MAX || p->byte_count + part.len + 1 > SMTP_REPLY_BYTES_MAX)
		return p->failure = SMTP_ETOOLONG;
	p->byte_count += (uint32_t)part.len + (lf != NULL);

	ends_cr = part.len > 0 && part.ptr[part.len - 1] == '\r' && !p->has_cr;
	if (ends_cr)
		part.len--;
	if ((p->failure = take_part(p, part)) < 0)
		return p->failure;
	p->has_cr = p->has_cr || ends_cr;
	if (lf == NULL)
		return SMTP_REPLY_NEEDS_MORE;
	found = end_line(p, out_reply);
	if (found < 0)
		p->failure = found;
	return found;
}

void
smtp_reply_forget_text(struct smtp_reply_parser *p)
{
	assert(p->line_bytes == 0);
	p->text_len = 0;
	p->is_cut = false;
}
