/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan decides where the header ends, for us and, by refusing what is ambiguous, for everybody after
 * us: the signer hashes these fields, the receiver shows those, and an attack lives in any difference.
 * Hence no repair, and these invariants after a successful scan:
 *   - the fields are consecutive: each ends where the next begins, and the last one ends where the empty
 *     line begins;
 *   - every line ends in CRLF, and no CR, LF or NUL is anywhere else;
 *   - a name is one or more bytes of 33..126 without a colon.
 * Each byte is looked at a fixed number of times, so folds and field counts cannot make it quadratic.
 */
#include "smtp_header.h"

#include "smtp_addr.h"

#include <assert.h>
#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
has_8bit(struct smtp_slice s)
{
	const uint64_t high_bits = 0x8080808080808080;
	uint64_t word = 0;
	size_t i = 0;

	for (; i + sizeof(word) <= s.len; i += sizeof(word)) {
		memcpy(&word, s.ptr + i, sizeof(word));
		if (word & high_bits)
			return true;
	}
	for (; i < s.len; i++)
		if ((unsigned char)s.ptr[i] > 127)
			return true;
	return false;
}

/* The line that begins at `at`, CRLF not counted. Negative: what is wrong, *out_at set. */
static int
take_line(struct smtp_slice text, size_t at, size_t *out_len, size_t *out_at)
{
	const char *line = text.ptr + at;
	size_t left = text.len - at;
	size_t reach = left < SMTP_TEXT_LINE_MAX + 2 ? left : SMTP_TEXT_LINE_MAX + 2;
	const char *lf = memchr(line, '\n', reach);
	const char *cr;

	if (lf == NULL) {
		*out_at = at + reach;
		return left > reach ? SMTP_ETOOLONG : SMTP_ESYNTAX;
	}
	cr = memchr(line, '\r', (size_t)(lf - line));
	if (cr == NULL || cr + 1 != lf) {
		*out_at = (size_t)((cr != NULL ? cr : lf) - text.ptr);
		return SMTP_ESYNTAX;
	}
	*out_len = (size_t)(cr - line);
	return SMTP_OK;
}

/* Sets name and the begin of value from a field's first line. False: it is none. */
static bool
take_field(struct smtp_field *f, struct smtp_slice line)
{
	const char *colon = memchr(line.ptr, ':', line.len);

	if (colon == NULL || colon == line.ptr)
		return false;
	f->name = (struct smtp_slice){line.ptr, (size_t)(colon - line.ptr)};
	for (size_t i = 0; i < f->name.len; i++)
		if (f->name.ptr[i] <= ' ' || f->name.ptr[i] > '~')
			return false;
	f->value.ptr = colon + 1;
	return true;
}

/* The field ends before `end`, which is behind a CRLF. */
static void
close_field(struct smtp_header *h, const char *end)
{
	struct smtp_field *f;

	if (h->count == 0)
		return;
	f = &h->fields[h->count - 1];
	assert(end - f->value.ptr >= 2);
	f->value.len = (size_t)(end - f->value.ptr) - 2;
	f->whole = (struct smtp_slice){f->name.ptr, (size_t)(end - f->name.ptr)};
	if (smtp_slice_is_nocase(f->name, SMTP_LIT("Received")))
		h->hops++;
}

/* One line that is not the empty one: a field begins, or the last one goes on. */
static int
add_line(struct smtp_header *h, struct smtp_slice line)
{
	if (is_blank(line.ptr[0]))
		return h->count > 0 ? SMTP_OK : SMTP_ESYNTAX;
	close_field(h, line.ptr);
	if (h->count == h->fields_max)
		return SMTP_ETOOLONG;
	if (!take_field(&h->fields[h->count], line))
		return SMTP_ESYNTAX;
	h->count++;
	return SMTP_OK;
}

/* Checks on the whole block once its end is known. */
static int
finish(struct smtp_header *h, struct smtp_slice message, size_t fields_end, size_t *out_at)
{
	const char *nul = memchr(message.ptr, '\0', fields_end);

	if (nul != NULL) {
		*out_at = (size_t)(nul - message.ptr);
		return SMTP_ESYNTAX;
	}
	close_field(h, message.ptr + fields_end);
	h->is_8bit = has_8bit((struct smtp_slice){message.ptr, fields_end});
	h->header_bytes = fields_end + (h->is_closed ? 2 : 0);
	return SMTP_OK;
}

int
smtp_header_scan(struct smtp_header *h, struct smtp_slice message, size_t *out_at)
{
	size_t at = 0, line_len = 0;
	int err;

	h->count = h->hops = 0;
	h->header_bytes = 0;
	h->is_8bit = h->is_closed = false;
	if (message.len == 0)
		return SMTP_OK;
	while (at < message.len) {
		if ((err = take_line(message, at, &line_len, out_at)) < 0)
			return err;
		h->is_closed = line_len == 0;
		if (h->is_closed)
			break;
		err = at + line_len + 2 <= SMTP_HEADER_BLOCK_MAX
			      ? add_line(h, (struct smtp_slice){message.ptr + at, line_len})
			      : SMTP_ETOOLONG;
		if (err < 0) {
			*out_at = at;
			return err;
		}
		at += line_len + 2;
	}
	return finish(h, message, at, out_at);
}

int
smtp_header_find(const struct smtp_header *h, struct smtp_slice name, uint32_t from)
{
	for (uint32_t i = from; i < h->count; i++)
		if (smtp_slice_is_nocase(h->fields[i].name, name))
			return (int)i;
	return -1;
}

int
smtp_header_unfold(struct smtp_slice value, char *buf, size_t buf_max)
{
	const char *p = value.ptr, *end = p;
	size_t len = 0;

	if (value.len > 0)
		end += value.len;
	while (p < end && (is_blank(*p) || *p == '\r' || *p == '\n'))
		p++;
	while (end > p && (is_blank(end[-1]) || end[-1] == '\r' || end[-1] == '\n'))
		end--;
	for (; p < end; p++) {
		if (*p == '\r' || *p == '\n')
			continue;
		if (len == buf_max)
			return SMTP_ENOSPACE;
		buf[len++] = *p;
	}
	return (int)len;
}

/* --- the domain of the first mailbox --- */

/* Behind the quoted string that begins at p, or end when it is not closed. */
static const char *
skip_quoted(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : end;
}

/* Behind the comment that begins at p, nested ones included. */
static const char *
skip_comment(const char *p, const char *end)
{
	size_t depth = 0;

	for (; p < end; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == '(')
			depth++;
		else if (*p == ')' && --depth == 0)
			return p + 1;
	}
	return end;
}

/* Behind blanks, line ends and comments. */
static const char *
skip_cfws(const char *p, const char *end)
{
	while (p < end && (is_blank(*p) || *p == '\r' || *p == '\n' || *p == '('))
		p = *p == '(' ? skip_comment(p, end) : p + 1;
	return p;
}

/*
 * The domain behind the "@" at p, and in *out_rest what follows it. Obsolete spellings with blanks or
 * comments inside a domain are refused: readers do not agree on them.
 */
static struct smtp_slice
take_domain(const char *p, const char *end, const char **out_rest)
{
	const struct smtp_slice none = {p, 0};
	struct smtp_slice domain;
	const char *start;

	start = p = skip_cfws(p + 1, end);
	while (p < end && (unsigned char)*p > ' ' && *p != 127 && memchr("()<>[]:;@\\,\"", *p, 12) == NULL)
		p++;
	domain = (struct smtp_slice){start, (size_t)(p - start)};
	p = skip_cfws(p, end);
	*out_rest = p;
	if (p < end && *p != '>' && *p != ',' && *p != ';' && *p != '<')
		return none;
	return smtp_domain_is_valid(domain) ? domain : none;
}

/* Behind '<' of "<@route:local@domain>": where the address itself begins. */
static const char *
skip_route(const char *p, const char *end)
{
	const char *colon;

	p = skip_cfws(p, end);
	if (p == end || *p != '@')
		return p;
	colon = memchr(p, ':', (size_t)(end - p));
	return colon != NULL ? colon + 1 : end;
}

/*
 * The domain of the address between '<' at p and '>'. Behind it nothing but the next mailbox may follow:
 * of "<a@x.test> <b@y.test>" some readers show the first, some the last.
 */
static struct smtp_slice
take_angle(const char *p, const char *end)
{
	const struct smtp_slice none = {p, 0};
	struct smtp_slice domain;

	p = skip_route(p + 1, end);
	while (p < end && *p != '>' && *p != '@')
		p = *p == '"' ? skip_quoted(p, end) : *p == '(' ? skip_comment(p, end) : p + 1;
	if (p == end || *p != '@')
		return none;
	domain = take_domain(p, end, &p);
	if (p == end || *p != '>')
		return none;
	p = skip_cfws(p + 1, end);
	return p == end || *p == ',' || *p == ';' ? domain : none;
}

struct smtp_slice
smtp_header_domain(struct smtp_slice value)
{
	const char *p = value.ptr, *end = p;
	struct smtp_slice domain = {p, 0};
	bool has_address = false;

	if (value.len > 0)
		end += value.len;
	while (p < end) {
		switch (*p) {
		case '"':
			p = skip_quoted(p, end);
			break;
		case '(':
			p = skip_comment(p, end);
			break;
		case '<':
			/* In "a@x.test <b@y.test>" the brackets are the address, whatever stands before. */
			return take_angle(p, end);
		case '@':
			domain = take_domain(p, end, &p);
			if (has_address)
				domain.len = 0;
			has_address = true;
			break;
		case ',':
		case ';':
			if (has_address)
				return domain;
			p++;
			break;
		default:
			p++;
			break;
		}
	}
	return domain;
}

/* --- every address --- */

/* Where the text of a mailbox that begins at p ends: at '<', at ',' or at the end. NULL: a group. */
static const char *
skip_phrase(const char *p, const char *end)
{
	while (p < end && *p != '<' && *p != ',') {
		if (*p == ':' || *p == ';')
			return NULL;
		p = *p == '"' ? skip_quoted(p, end) : *p == '(' ? skip_comment(p, end) : p + 1;
	}
	return p;
}

/* Behind what may be an address: the first byte that is in no quoted string and is one of `stops`. */
static const char *
skip_spec(const char *p, const char *end, struct smtp_slice stops)
{
	while (p < end && memchr(stops.ptr, *p, stops.len) == NULL)
		p = *p == '"' ? skip_quoted(p, end) : p + 1;
	return p;
}

int
smtp_header_address(struct smtp_slice *in, struct smtp_slice *out_address)
{
	const char *p = in->ptr, *end = p, *spec, *spec_end;
	struct smtp_addr addr;

	if (in->len > 0)
		end += in->len;
	while ((p = skip_cfws(p, end)) < end && *p == ',')
		p++;
	*in = (struct smtp_slice){p, (size_t)(end - p)};
	if (p == end)
		return 0;
	spec = p;
	if ((p = skip_phrase(p, end)) == NULL)
		return SMTP_ESYNTAX;
	if (p < end && *p == '<') {
		spec = p + 1;
		spec_end = skip_spec(spec, end, SMTP_LIT(">"));
		if (spec_end == end)
			return SMTP_ESYNTAX;
		p = spec_end + 1;
	} else {
		p = spec_end = skip_spec(spec, end, SMTP_LIT(" \t\r\n(,"));
	}
	p = skip_cfws(p, end);
	if (p < end && *p != ',')
		return SMTP_ESYNTAX;
	if (smtp_addr_parse((struct smtp_slice){spec, (size_t)(spec_end - spec)}, &addr) < 0)
		return SMTP_ESYNTAX;
	*in = (struct smtp_slice){p, (size_t)(end - p)};
	*out_address = addr.whole;
	return 1;
}
