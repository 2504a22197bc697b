/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of strangers enter here and nowhere else, so that what is behind (JSON, tables, logs, accounting)
 * gets valid UTF-8 of bounded length on one line. A cut never leaves half a character.
 */
#include "feedback/finding.h"

#include "smtp_dsn_read.h"
#include "smtp_mime_text.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

const char *
finding_kind_name(enum finding_kind kind)
{
	static const char *const names[] = {
		[FINDING_UNKNOWN] = "unknown",
		[FINDING_BOUNCE] = "bounce",
		[FINDING_DELAY] = "delay",
		[FINDING_DELIVERED] = "delivered",
		[FINDING_COMPLAINT] = "complaint",
		[FINDING_AUTH_FAILURE] = "auth-failure",
		[FINDING_NOT_SPAM] = "not-spam",
		[FINDING_AUTO_REPLY] = "auto-reply",
		[FINDING_CHALLENGE] = "challenge",
		[FINDING_ADDRESS_CHANGED] = "address-changed",
		[FINDING_UNSUBSCRIBE] = "unsubscribe",
	};

	static_assert(sizeof(names) / sizeof(names[0]) == FINDING_KIND_COUNT, "one name for each kind");
	assert((unsigned)kind < FINDING_KIND_COUNT);
	return names[kind];
}

void
finding_clear(struct finding *f)
{
	/* Recipients are cleared when they are added: most mails have one. */
	memset(f, 0, offsetof(struct finding, rcpts));
	f->original.header = SMTP_LIT("");
}

/* Bounces before delays before the rest, and anything before nothing. */
static int
gravity(enum finding_kind kind)
{
	switch (kind) {
	case FINDING_UNKNOWN:
		return 0;
	case FINDING_DELIVERED:
		return 1;
	case FINDING_DELAY:
		return 2;
	default:
		return 3;
	}
}

struct finding_rcpt *
finding_add(struct finding *f, enum finding_kind kind)
{
	struct finding_rcpt *r;

	if (gravity(kind) > gravity(f->kind))
		f->kind = kind;
	if (f->rcpt_count == FINDING_RCPTS_MAX) {
		f->is_truncated = true;
		return NULL;
	}
	r = &f->rcpts[f->rcpt_count++];
	*r = (struct finding_rcpt){.kind = kind, .action = SMTP_DSN_NO_ACTION};
	return r;
}

/* Bytes of the UTF-8 character at the front of s; 0: there is none. */
static size_t
character_len(struct smtp_slice s)
{
	unsigned char first = (unsigned char)s.ptr[0];
	size_t len = first < 0x80   ? 1
		     : first < 0xc2 ? 0
		     : first < 0xe0 ? 2
		     : first < 0xf0 ? 3
		     : first < 0xf5 ? 4
				    : 0;

	/* smtp_utf8_is_text() says more, but refuses what is a control character. */
	if (len == 0 || len > s.len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if (((unsigned char)s.ptr[i] & 0xc0) != 0x80)
			return 0;
	if (len == 3 && first == 0xe0 && (unsigned char)s.ptr[1] < 0xa0)
		return 0;
	if (len == 3 && first == 0xed && (unsigned char)s.ptr[1] > 0x9f)
		return 0;
	if (len == 4 && first == 0xf0 && (unsigned char)s.ptr[1] < 0x90)
		return 0;
	if (len == 4 && first == 0xf4 && (unsigned char)s.ptr[1] > 0x8f)
		return 0;
	return len;
}

static bool
is_control(struct smtp_slice s)
{
	unsigned char c = (unsigned char)s.ptr[0];

	return c <= ' ' || c == 127 || (c == 0xc2 && s.len > 1 && (unsigned char)s.ptr[1] < 0xa0);
}

void
finding_put(char *buf, size_t max, struct smtp_slice s)
{
	size_t len = 0;

	assert(max > 0);
	for (size_t at = 0; at < s.len;) {
		struct smtp_slice rest = {s.ptr + at, s.len - at};
		size_t n = character_len(rest);

		if (n == 0) {
			if (len + 1 >= max)
				break;
			buf[len++] = '?';
			at++;
		} else if (is_control(rest)) {
			if (len > 0 && buf[len - 1] != ' ' && len + 1 < max)
				buf[len++] = ' ';
			at += n;
		} else {
			if (len + n >= max)
				break;
			/* buf may be what s points to: the text only gets shorter, or stays. */
			memmove(buf + len, rest.ptr, n);
			len += n;
			at += n;
		}
	}
	while (len > 0 && buf[len - 1] == ' ')
		len--;
	buf[len] = '\0';
}

void
finding_put_value(char *buf, size_t max, struct smtp_slice value)
{
	bool is_cut = false;
	size_t len;

	assert(max > 0);
	len = smtp_mime_value(value, buf, max - 1, &is_cut);
	finding_put(buf, max, (struct smtp_slice){buf, len});
}

void
finding_put_address(char *buf, size_t max, struct smtp_slice value)
{
	/* A display name may stand in front, longer than any address. */
	char text[FINDING_TEXT_MAX];
	bool is_cut = false;
	size_t len = smtp_dsn_read_address(value, text, sizeof(text), &is_cut);

	finding_put(buf, max, (struct smtp_slice){text, len});
}
