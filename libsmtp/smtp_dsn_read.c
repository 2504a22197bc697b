/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of smtp_dsn. RFC 3464 separates recipients by empty lines; reporters forget them, or put
 * more of them in. So an empty line ends a group only when the group names a recipient and says what became
 * of it, and a second recipient field begins a new one without any. What a field says is read apart from
 * that, so that those who read other reports can use it.
 */
#include "smtp_dsn_read.h"

#include "smtp_esc.h"
#include "smtp_mime_text.h"
#include "smtp_params.h"

#include <assert.h>
#include <string.h>

void
smtp_dsn_read_begin(struct smtp_dsn_reader *r, struct smtp_slice body)
{
	*r = (struct smtp_dsn_reader){.rest = body};
}

/* Where a field of that name is kept: in the reader, or in the group. NULL: nowhere. */
static struct smtp_slice *
place_of(struct smtp_dsn_reader *r, struct smtp_dsn_group *g, struct smtp_slice name)
{
	const struct {
		struct smtp_slice name, *place;
	} places[] = {
		{SMTP_LIT("Original-Recipient"), &g->original_recipient},
		{SMTP_LIT("Final-Recipient"), &g->final_recipient},
		{SMTP_LIT("Action"), &g->action},
		{SMTP_LIT("Status"), &g->status},
		{SMTP_LIT("Diagnostic-Code"), &g->diagnostic},
		{SMTP_LIT("Remote-MTA"), &g->remote_mta},
		{SMTP_LIT("Last-Attempt-Date"), &g->last_attempt},
		{SMTP_LIT("Will-Retry-Until"), &g->will_retry_until},
		{SMTP_LIT("Original-Envelope-Id"), &r->envid},
		{SMTP_LIT("Reporting-MTA"), &r->reporting_mta},
		{SMTP_LIT("Arrival-Date"), &r->arrival_date},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (smtp_slice_is_nocase(places[i].name, name))
			return places[i].place;
	return NULL;
}

static bool
has_recipient(const struct smtp_dsn_group *g)
{
	return g->final_recipient.len > 0 || g->original_recipient.len > 0;
}

static bool
is_whole(const struct smtp_dsn_group *g)
{
	return has_recipient(g) && (g->action.len > 0 || g->status.len > 0);
}

bool
smtp_dsn_read_group(struct smtp_dsn_reader *r, struct smtp_dsn_group *out_group)
{
	struct smtp_dsn_group g = {0};
	struct smtp_field field;
	struct smtp_slice ahead = r->rest, line;

	for (; smtp_mime_line(&ahead, &line); ahead = r->rest) {
		struct smtp_slice *place, rest = r->rest;

		if (!smtp_mime_is_field(line) || !smtp_mime_field(&rest, &field)) {
			r->rest = ahead;
			if (line.len == 0 && is_whole(&g))
				break;
			continue;
		}
		place = place_of(r, &g, field.name);
		if (place != NULL && place->len > 0 &&
			(place == &g.final_recipient || place == &g.original_recipient))
			break;
		if (place != NULL && place->len == 0)
			*place = field.value;
		r->rest = rest;
	}
	if (!has_recipient(&g) && g.action.len == 0 && g.status.len == 0)
		return false;
	*out_group = g;
	return true;
}

bool
smtp_dsn_is_report(struct smtp_slice body)
{
	enum { LOOK_MAX = 20 }; /* fields */
	struct smtp_field field;
	bool has_final = false, has_other = false;

	for (int i = 0; i < LOOK_MAX && smtp_mime_field(&body, &field); i++) {
		if (smtp_slice_is_nocase(field.name, SMTP_LIT("Final-Recipient")))
			has_final = true;
		else if (smtp_slice_is_nocase(field.name, SMTP_LIT("Reporting-MTA")) ||
			 smtp_slice_is_nocase(field.name, SMTP_LIT("Action")))
			has_other = true;
	}
	return has_final && has_other;
}

/* --- what fields say --- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct smtp_slice
trim(struct smtp_slice s)
{
	while (s.len > 0 && is_space(s.ptr[0])) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && is_space(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

enum smtp_dsn_action
smtp_dsn_read_action(struct smtp_slice value)
{
	size_t len = 0;

	value = trim(value);
	while (len < value.len && is_letter(value.ptr[len]))
		len++;
	value.len = len;
	for (enum smtp_dsn_action a = SMTP_DSN_FAILED; a < SMTP_DSN_NO_ACTION; a++)
		if (smtp_slice_is_nocase(smtp_dsn_action_word(a), value))
			return a;
	if (smtp_slice_is_nocase(value, SMTP_LIT("failure")) || smtp_slice_is_nocase(value, SMTP_LIT("fail")))
		return SMTP_DSN_FAILED;
	/* The address was looked at, and would take mail: no failure, whoever writes it. */
	if (smtp_slice_is_nocase(value, SMTP_LIT("deliverable")))
		return SMTP_DSN_DELIVERED;
	return SMTP_DSN_NO_ACTION;
}

struct smtp_esc
smtp_dsn_read_status(struct smtp_slice text)
{
	struct smtp_esc esc = {0};

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		size_t len = i;

		if (c != '2' && c != '4' && c != '5')
			continue;
		/* Not in the middle of a number or an address "192.0.2.1", which has a fourth part. */
		if (i > 0 &&
			(is_digit(text.ptr[i - 1]) || is_letter(text.ptr[i - 1]) || text.ptr[i - 1] == '.'))
			continue;
		while (len < text.len && (is_digit(text.ptr[len]) || text.ptr[len] == '.'))
			len++;
		/* A full stop behind it is not part of it. */
		if (len > i && text.ptr[len - 1] == '.')
			len--;
		if (smtp_esc_parse((struct smtp_slice){text.ptr + i, len - i}, &esc) >= 0)
			return esc;
		i = len > i ? len - 1 : i;
	}
	return esc;
}

uint16_t
smtp_dsn_read_code(struct smtp_slice text)
{
	for (size_t i = 0; i + 3 <= text.len; i++) {
		const char *p = text.ptr + i;
		char next = i + 3 < text.len ? p[3] : ' ';

		if ((p[0] != '2' && p[0] != '4' && p[0] != '5') || p[1] < '0' || p[1] > '5' ||
			!is_digit(p[2]))
			continue;
		if (i > 0 && (is_digit(p[-1]) || is_letter(p[-1]) || memchr(".:-_=@+", p[-1], 7) != NULL) &&
			!(i > 1 && p[-1] == ':' && !is_digit(p[-2])))
			continue;
		if (!is_digit(next) && !is_letter(next) && memchr("._=@+:", next, 6) == NULL)
			return (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
	}
	return 0;
}

/* Behind "type;" when the value begins with that. */
static struct smtp_slice
skip_type(struct smtp_slice value)
{
	size_t at = 0;

	value = trim(value);
	while (at < value.len &&
		(is_letter(value.ptr[at]) || is_digit(value.ptr[at]) || value.ptr[at] == '-'))
		at++;
	while (at < value.len && is_space(value.ptr[at]))
		at++;
	if (at == 0 || at == value.len || value.ptr[at] != ';')
		return value;
	return trim((struct smtp_slice){value.ptr + at + 1, value.len - at - 1});
}

size_t
smtp_dsn_read_text(struct smtp_slice value, char *buf, size_t max, bool *out_is_cut)
{
	size_t len = smtp_mime_value(skip_type(value), buf, max, out_is_cut), out = 0;

	for (size_t i = 0; i < len; i++)
		if (!is_space(buf[i]))
			buf[out++] = buf[i];
		else if (out > 0 && buf[out - 1] != ' ')
			buf[out++] = ' ';
	return out;
}

/* --- addresses --- */

static bool
has_prefix(struct smtp_slice s, struct smtp_slice prefix)
{
	return s.len >= prefix.len && smtp_slice_is_nocase((struct smtp_slice){s.ptr, prefix.len}, prefix);
}

/* The address in brackets, or the first word: a quoted local part may hold blanks. */
static struct smtp_slice
take_address(struct smtp_slice s)
{
	const char *open = s.len > 0 ? memchr(s.ptr, '<', s.len) : NULL, *close;
	bool is_quoted = false;
	size_t len = 0;

	if (open != NULL) {
		size_t left = s.len - (size_t)(open - s.ptr) - 1;

		close = left > 0 ? memchr(open + 1, '>', left) : NULL;
		return trim((struct smtp_slice){open + 1, close != NULL ? (size_t)(close - open) - 1 : left});
	}
	if (has_prefix(s, SMTP_LIT("smtp:"))) {
		s.ptr += 5;
		s.len -= 5;
	}
	s = trim(s);
	for (; len < s.len && (is_quoted || (!is_space(s.ptr[len]) && s.ptr[len] != '(')); len++)
		if (s.ptr[len] == '"')
			is_quoted = !is_quoted;
	return (struct smtp_slice){s.ptr, len};
}

static bool
contains(struct smtp_slice s, struct smtp_slice what)
{
	return memmem(s.ptr, s.len, what.ptr, what.len) != NULL;
}

static bool
is_xtext(struct smtp_slice s)
{
	return contains(s, SMTP_LIT("+2B")) || contains(s, SMTP_LIT("+3D")) ||
	       (contains(s, SMTP_LIT("+40")) && memchr(s.ptr, '@', s.len) == NULL);
}

/* "\x{20AC}" at s: its bytes, the character in *out; 0: it is none. */
static size_t
take_escape(struct smtp_slice s, uint32_t *out)
{
	enum { ESCAPE_MAX = 10 }; /* "\x{10FFFF}" */
	uint32_t value = 0;
	size_t i = 3;

	if (s.len < 5 || memcmp(s.ptr, "\\x{", 3) != 0)
		return 0;
	for (; i < s.len && i < ESCAPE_MAX && s.ptr[i] != '}'; i++) {
		char c = s.ptr[i];

		if (!is_digit(c) && !(c >= 'A' && c <= 'F') && !(c >= 'a' && c <= 'f'))
			return 0;
		value = value << 4 | (uint32_t)(is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
	}
	if (i == 3 || i == s.len || s.ptr[i] != '}' || value == 0 || value > 0x10ffff)
		return 0;
	*out = value;
	return i + 1;
}

/* RFC 6533 3, in place: an escape is never shorter than the character it stands for. */
static size_t
decode_utf8_address(char *buf, size_t len)
{
	size_t out = 0, at = 0;

	while (at < len) {
		uint32_t c = 0;
		size_t n = take_escape((struct smtp_slice){buf + at, len - at}, &c);

		if (n == 0) {
			buf[out++] = buf[at++];
			continue;
		}
		at += n;
		if (c < 0x80) {
			buf[out++] = (char)c;
		} else if (c < 0x800) {
			buf[out++] = (char)(0xc0 | c >> 6);
			buf[out++] = (char)(0x80 | (c & 63));
		} else if (c < 0x10000) {
			buf[out++] = (char)(0xe0 | c >> 12);
			buf[out++] = (char)(0x80 | (c >> 6 & 63));
			buf[out++] = (char)(0x80 | (c & 63));
		} else {
			buf[out++] = (char)(0xf0 | c >> 18);
			buf[out++] = (char)(0x80 | (c >> 12 & 63));
			buf[out++] = (char)(0x80 | (c >> 6 & 63));
			buf[out++] = (char)(0x80 | (c & 63));
		}
	}
	assert(out <= len);
	return out;
}

size_t
smtp_dsn_read_address(struct smtp_slice value, char *buf, size_t max, bool *out_is_cut)
{
	size_t len = smtp_mime_value(skip_type(value), buf, max, out_is_cut);
	struct smtp_slice address = take_address((struct smtp_slice){buf, len});
	char plain[SMTP_ORCPT_MAX];
	int decoded;

	if (address.len == 0)
		return 0;
	memmove(buf, address.ptr, address.len);
	len = address.len;
	if (has_prefix(trim(value), SMTP_LIT("utf-8")))
		return decode_utf8_address(buf, len);
	if (!is_xtext((struct smtp_slice){buf, len}))
		return len;
	/* Not in place: what turns out to be no xtext stays as it is. */
	decoded = smtp_xtext_decode((struct smtp_slice){buf, len}, plain, sizeof(plain));
	if (decoded < 0)
		return len;
	memcpy(buf, plain, (size_t)decoded);
	return (size_t)decoded;
}
