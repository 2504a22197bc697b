/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: nothing is read behind `in`, and a request that is whole was whole in one way only. Lines end in
 * CRLF; a length is digits.
 */
#include "feedback/http.h"

#include <string.h>

enum { LENGTH_DIGITS_MAX = 9, FORM_TEXT_MAX = 64, BOUNDARY_MAX = 70 };

/* --- lines --- */

static struct smtp_slice
slice(const char *from, const char *to)
{
	return (struct smtp_slice){from, (size_t)(to - from)};
}

static struct smtp_slice
trim(struct smtp_slice s)
{
	while (s.len > 0 && (*s.ptr == ' ' || *s.ptr == '\t')) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Up to the next `end` or all of it; *rest then begins behind that. */
static struct smtp_slice
cut(struct smtp_slice *rest, char end)
{
	const char *at = rest->len > 0 ? memchr(rest->ptr, end, rest->len) : NULL;
	struct smtp_slice part = at != NULL ? slice(rest->ptr, at) : *rest;
	size_t gone = at != NULL ? part.len + 1 : part.len;

	if (gone > 0)
		rest->ptr += gone;
	rest->len -= gone;
	return part;
}

/* RFC 9110 5.6.2 */
static bool
is_token(struct smtp_slice s)
{
	static const char good[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    memchr(good, c, sizeof(good) - 1) != NULL))
			return false;
	}
	return s.len > 0;
}

static bool
has_control(struct smtp_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] == 127)
			return true;
	return false;
}

bool
http_next_field(struct smtp_slice *rest, struct smtp_slice *out_name, struct smtp_slice *out_value)
{
	struct smtp_slice line, name;

	if (rest->len == 0)
		return false;
	line = cut(rest, '\n');
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	name = cut(&line, ':');
	*out_name = name;
	*out_value = trim(line);
	return true;
}

struct smtp_slice
http_field(const struct http_request *r, struct smtp_slice name)
{
	struct smtp_slice rest = r->fields, is, value;

	while (http_next_field(&rest, &is, &value))
		if (smtp_slice_is_nocase(is, name))
			return value;
	return (struct smtp_slice){"", 0};
}

/* --- the request --- */

/* "GET /x HTTP/1.1". 0 or a status. */
static int
read_first_line(struct smtp_slice line, struct http_request *out)
{
	struct smtp_slice method = cut(&line, ' '), target = cut(&line, ' ');

	if (!is_token(method) || target.len == 0 || target.ptr[0] != '/' || has_control(target))
		return 400;
	if (!smtp_slice_is(line, SMTP_LIT("HTTP/1.1")) && !smtp_slice_is(line, SMTP_LIT("HTTP/1.0")))
		return line.len > 5 && memcmp(line.ptr, "HTTP/", 5) == 0 ? 505 : 400;
	out->target = target;
	out->method = smtp_slice_is(method, SMTP_LIT("GET"))    ? HTTP_GET
		      : smtp_slice_is(method, SMTP_LIT("HEAD")) ? HTTP_HEAD
		      : smtp_slice_is(method, SMTP_LIT("POST")) ? HTTP_POST
								: HTTP_OTHER;
	return 0;
}

/* False: no number, or too long for one. */
static bool
read_length(struct smtp_slice s, size_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		n = n * 10 + (size_t)(s.ptr[i] - '0');
	}
	*out = n;
	return s.len > 0 && s.len <= LENGTH_DIGITS_MAX;
}

/* The fields as a whole; the length of the body. 0 or a status. */
static int
read_fields(struct smtp_slice fields, size_t *out_body)
{
	struct smtp_slice name, value, rest, line;
	bool has_length = false;

	*out_body = 0;
	while (fields.len > 0) {
		rest = fields;
		line = cut(&rest, '\n');
		(void)http_next_field(&fields, &name, &value);
		if (!is_token(name) || name.len == line.len - 1 || has_control(value))
			return 400;
		if (smtp_slice_is_nocase(name, SMTP_LIT("Transfer-Encoding")))
			return 501;
		if (!smtp_slice_is_nocase(name, SMTP_LIT("Content-Length")))
			continue;
		if (has_length || !read_length(value, out_body))
			return 400;
		has_length = true;
	}
	return *out_body > HTTP_BODY_MAX ? 413 : 0;
}

int
http_read(struct smtp_slice in, struct http_request *out)
{
	size_t looked = in.len < HTTP_HEAD_MAX ? in.len : HTTP_HEAD_MAX, body;
	const char *end = looked > 0 ? memmem(in.ptr, looked, "\r\n\r\n", 4) : NULL;
	struct smtp_slice head, line;
	int status;

	if (end == NULL && in.len < HTTP_HEAD_MAX)
		return 0;
	if (end == NULL)
		return memchr(in.ptr, '\n', HTTP_HEAD_MAX) == NULL ? 414 : 431;
	head = slice(in.ptr, end + 2);
	/* RFC 9112 2.2 lets a recipient take a bare LF for a line's end; another may not. */
	for (size_t i = 0; i < head.len; i++)
		if ((head.ptr[i] == '\n') != (i > 0 && head.ptr[i - 1] == '\r'))
			return 400;
	line = cut(&head, '\n');
	line.len--;
	if ((status = read_first_line(line, out)) != 0 || (status = read_fields(head, &body)) != 0)
		return status;
	out->fields = head;
	if ((size_t)(in.ptr + in.len - (end + 4)) < body)
		return 0;
	out->body = (struct smtp_slice){end + 4, body};
	return 1;
}

/* --- forms --- */

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One name or value; what is longer than any we look for is nothing. */
static struct smtp_slice
decode(struct smtp_slice s, char buf[FORM_TEXT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i] == '+' ? ' ' : s.ptr[i];

		if (n == FORM_TEXT_MAX)
			return (struct smtp_slice){"", 0};
		if (c == '%' && i + 2 < s.len && hex(s.ptr[i + 1]) >= 0 && hex(s.ptr[i + 2]) >= 0) {
			c = (char)(hex(s.ptr[i + 1]) << 4 | hex(s.ptr[i + 2]));
			i += 2;
		}
		buf[n++] = c;
	}
	return (struct smtp_slice){buf, n};
}

static bool
urlencoded_has(struct smtp_slice body, struct smtp_slice name, struct smtp_slice value)
{
	char is_name[FORM_TEXT_MAX], is_value[FORM_TEXT_MAX];

	/* Some end it with a line end, as a text. */
	while (body.len > 0 && (body.ptr[body.len - 1] == '\n' || body.ptr[body.len - 1] == '\r'))
		body.len--;
	while (body.len > 0) {
		struct smtp_slice pair = cut(&body, '&'), left = cut(&pair, '=');

		if (smtp_slice_is(decode(left, is_name), name) &&
			smtp_slice_is(decode(pair, is_value), value))
			return true;
	}
	return false;
}

/* The parameter of a field's value, without quotes; empty: it has none. */
static struct smtp_slice
parameter(struct smtp_slice value, struct smtp_slice name)
{
	struct smtp_slice is, text;
	const char *end;

	(void)cut(&value, ';');
	while (value.len > 0) {
		is = trim(cut(&value, '='));
		value = trim(value);
		if (value.len > 0 && value.ptr[0] == '"') {
			value.ptr++;
			value.len--;
			end = memchr(value.ptr, '"', value.len);
			text = end != NULL ? slice(value.ptr, end) : (struct smtp_slice){"", 0};
			(void)cut(&value, ';'); /* a quoted semicolon ends a name of ours as well as any */
		} else
			text = trim(cut(&value, ';'));
		if (smtp_slice_is_nocase(is, name))
			return text;
	}
	return (struct smtp_slice){"", 0};
}

/* The name of one part; *part then is its value. */
static struct smtp_slice
part_name(struct smtp_slice *part)
{
	struct smtp_slice name = {"", 0}, line, field;

	while (part->len > 0) {
		line = cut(part, '\n');
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0)
			break;
		field = cut(&line, ':');
		if (smtp_slice_is_nocase(field, SMTP_LIT("Content-Disposition")))
			name = parameter(line, SMTP_LIT("name"));
	}
	return name;
}

/* RFC 2046 5.1.1: a delimiter is CRLF, two hyphens and the boundary; the first may stand at the very front.
 */
static bool
multipart_has(
	struct smtp_slice body, struct smtp_slice boundary, struct smtp_slice name, struct smtp_slice value)
{
	char mark[4 + BOUNDARY_MAX];
	size_t len = 4 + boundary.len;
	const char *at, *next, *end = body.ptr + body.len;
	struct smtp_slice part;

	if (boundary.len == 0 || boundary.len > BOUNDARY_MAX || body.len < len)
		return false;
	memcpy(mark, "\r\n--", 4);
	memcpy(mark + 4, boundary.ptr, boundary.len);
	at = memcmp(body.ptr, mark + 2, len - 2) == 0 ? body.ptr + len - 2 : NULL;
	if (at == NULL && (at = memmem(body.ptr, body.len, mark, len)) != NULL)
		at += len;
	while (at != NULL && (next = memmem(at, (size_t)(end - at), mark, len)) != NULL) {
		part = slice(at, next);
		(void)cut(&part, '\n'); /* the rest of the delimiter's line */
		if (smtp_slice_is(part_name(&part), name) && smtp_slice_is(part, value))
			return true;
		at = next + len;
	}
	return false;
}

bool
http_form_has(const struct http_request *r, struct smtp_slice name, struct smtp_slice value)
{
	struct smtp_slice type = http_field(r, SMTP_LIT("Content-Type")), rest = type;
	struct smtp_slice word = trim(cut(&rest, ';'));

	if (smtp_slice_is_nocase(word, SMTP_LIT("multipart/form-data")))
		return multipart_has(r->body, parameter(type, SMTP_LIT("boundary")), name, value);
	/* A sender that names no type has written one line. */
	return (word.len == 0 || smtp_slice_is_nocase(word, SMTP_LIT("application/x-www-form-urlencoded"))) &&
	       urlencoded_has(r->body, name, value);
}

/* --- languages --- */

/* "0.8" in thousandths; what is no weight is none. */
static int
weight(struct smtp_slice s)
{
	int w = 0, scale = 1000;

	if (s.len == 0)
		return 1000;
	if (s.ptr[0] != '0' && s.ptr[0] != '1')
		return 0;
	w = (s.ptr[0] - '0') * scale;
	for (size_t i = 2; i < s.len && i < 5 && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
		w += (s.ptr[i] - '0') * (scale /= 10);
	return w < 1000 ? w : 1000;
}

unsigned
http_language(const struct http_request *r, const char (*names)[3], unsigned count)
{
	struct smtp_slice rest = http_field(r, SMTP_LIT("Accept-Language"));
	unsigned best = 0;
	int best_weight = 0;

	while (rest.len > 0) {
		struct smtp_slice item = cut(&rest, ','), all = item, tag = trim(cut(&item, ';'));
		int w = weight(parameter(all, SMTP_LIT("q")));

		for (unsigned i = 0; i < count; i++)
			if (w > best_weight && tag.len >= 2 && (tag.len == 2 || tag.ptr[2] == '-') &&
				smtp_slice_is_nocase(
					(struct smtp_slice){tag.ptr, 2}, (struct smtp_slice){names[i], 2})) {
				best = i;
				best_weight = w;
			}
	}
	return best;
}
