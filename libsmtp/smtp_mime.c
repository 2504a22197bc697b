/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk over the lines of a mail, with a cursor in place of recursion: the innermost open part, whose
 * parents are the open parts around it. A line is either a boundary of one of these, or it belongs to the
 * innermost. Invariants:
 *   - every slice lies inside the mail; a part's body lies inside its parent's body;
 *   - each line is looked at a fixed number of times, and compared with at most SMTP_MIME_DEPTH_MAX
 *     boundaries of its own length, so nesting cannot make it quadratic;
 *   - current is a valid index at all times, and parents have smaller indexes than children.
 */
#include "smtp_mime.h"

#include <assert.h>
#include <string.h>

struct walk {
	struct smtp_mime *m;
	struct smtp_slice rest; /* not read yet */
	int current;            /* the innermost open part */
	bool in_header;         /* of the current part */
	bool has_field;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_space(char c)
{
	return is_blank(c) || c == '\r' || c == '\n';
}

static struct smtp_slice
between(const char *from, const char *to)
{
	return (struct smtp_slice){from, to > from ? (size_t)(to - from) : 0};
}

static struct smtp_slice
trim_end(struct smtp_slice s)
{
	while (s.len > 0 && is_space(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

/* --- lines and fields --- */

bool
smtp_mime_line(struct smtp_slice *in, struct smtp_slice *out_line)
{
	size_t len = 0, end;

	if (in->len == 0)
		return false;
	while (len < in->len && in->ptr[len] != '\n' && in->ptr[len] != '\r')
		len++;
	*out_line = (struct smtp_slice){in->ptr, len};
	end = len;
	/* CR CR LF is what text mode made of CRLF, not an empty line; a CR alone ends a line, too. */
	if (end + 2 < in->len && memcmp(in->ptr + end, "\r\r\n", 3) == 0)
		end += 3;
	else if (end + 1 < in->len && in->ptr[end] == '\r' && in->ptr[end + 1] == '\n')
		end += 2;
	else if (end < in->len)
		end++;
	in->ptr += end;
	in->len -= end;
	return true;
}

/* Bytes of the name in front of the colon, blanks behind it not counted (RFC 5322 4.5 has them). 0: no field.
 */
static size_t
name_len(struct smtp_slice line)
{
	size_t len = 0, colon;

	while (len < line.len && line.ptr[len] > ' ' && line.ptr[len] <= '~' && line.ptr[len] != ':')
		len++;
	colon = len;
	while (colon < line.len && is_blank(line.ptr[colon]))
		colon++;
	return colon < line.len && line.ptr[colon] == ':' ? len : 0;
}

bool
smtp_mime_is_field(struct smtp_slice line)
{
	size_t len = name_len(line);

	return len > 0 && !(line.len >= len + 3 && memcmp(line.ptr + len, "://", 3) == 0);
}

bool
smtp_mime_field(struct smtp_slice *in, struct smtp_field *out_field)
{
	struct smtp_slice line, next, ahead;
	const char *colon;

	do {
		if (!smtp_mime_line(in, &line))
			return false;
	} while (!smtp_mime_is_field(line));
	out_field->name = (struct smtp_slice){line.ptr, name_len(line)};
	colon = memchr(line.ptr, ':', line.len);
	assert(colon != NULL);
	for (ahead = *in; smtp_mime_line(&ahead, &next) && next.len > 0 && is_blank(next.ptr[0]); *in = ahead)
		line = next;
	out_field->value = between(colon + 1, line.ptr + line.len);
	out_field->whole = between(out_field->name.ptr, in->ptr);
	return true;
}

struct smtp_slice
smtp_mime_header(struct smtp_slice header, struct smtp_slice name)
{
	struct smtp_field field;

	while (smtp_mime_field(&header, &field))
		if (smtp_slice_is_nocase(field.name, name))
			return field.value;
	return SMTP_LIT("");
}

bool
smtp_mime_is(const struct smtp_mime_part *part, struct smtp_slice type, struct smtp_slice subtype)
{
	return smtp_slice_is_nocase(part->type, type) &&
	       (subtype.len == 0 || smtp_slice_is_nocase(part->subtype, subtype));
}

static bool
is_multipart(const struct smtp_mime_part *part)
{
	return smtp_mime_is(part, SMTP_LIT("multipart"), SMTP_LIT(""));
}

/* --- parameters --- */

/* Behind blanks, line ends and comments. */
static const char *
skip_cfws(const char *p, const char *end)
{
	int depth = 0;

	for (; p < end && (depth > 0 || is_space(*p) || *p == '('); p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == '(')
			depth++;
		else if (*p == ')')
			depth--;
	}
	return p;
}

/* The token or the inside of the quoted string at *p, which moves behind it. */
static struct smtp_slice
take_value(const char **p, const char *end, struct smtp_slice stops)
{
	const char *start = *p, *at = start;

	if (at < end && *at == '"') {
		for (at = ++start; at < end && *at != '"'; at++)
			if (*at == '\\' && at + 1 < end)
				at++;
		*p = at < end ? at + 1 : end;
		return between(start, at);
	}
	while (at < end && !is_space(*at) && memchr(stops.ptr, *at, stops.len) == NULL)
		at++;
	*p = at;
	return between(start, at);
}

struct smtp_slice
smtp_mime_parameter(struct smtp_slice value, struct smtp_slice name)
{
	const char *p = value.ptr, *end = p;
	struct smtp_slice found, text;

	if (value.len > 0)
		end += value.len;
	take_value(&p, end, SMTP_LIT(";"));
	while (p < end) {
		p = skip_cfws(p, end);
		if (p == end)
			break;
		if (*p == ';') {
			p++;
			continue;
		}
		found = take_value(&p, end, SMTP_LIT(";=("));
		p = skip_cfws(p, end);
		if (p == end || *p != '=')
			continue;
		p = skip_cfws(p + 1, end);
		/* Boundaries without quotes hold "(", "=" and worse in the wild: only ";" ends them. */
		text = take_value(&p, end, SMTP_LIT(";"));
		if (smtp_slice_is_nocase(found, name))
			return text;
	}
	return SMTP_LIT("");
}

/* Sets type and subtype from a Content-Type value, if it is one. */
static void
set_type(struct smtp_mime_part *part, struct smtp_slice value)
{
	const char *p = value.ptr, *end = p + value.len;
	struct smtp_slice type, subtype;

	p = skip_cfws(p, end);
	type = take_value(&p, end, SMTP_LIT("/;("));
	p = skip_cfws(p, end);
	if (type.len == 0 || p == end || *p != '/')
		return;
	p = skip_cfws(p + 1, end);
	subtype = take_value(&p, end, SMTP_LIT(";("));
	part->type = type;
	part->subtype = subtype;
}

static enum smtp_mime_encoding
encoding_of(struct smtp_slice value)
{
	const char *p = value.ptr, *end = p + value.len;
	struct smtp_slice word;

	p = skip_cfws(p, end);
	word = take_value(&p, end, SMTP_LIT(";("));
	if (smtp_slice_is_nocase(word, SMTP_LIT("base64")))
		return SMTP_MIME_BASE64;
	if (smtp_slice_is_nocase(word, SMTP_LIT("quoted-printable")))
		return SMTP_MIME_QUOTED_PRINTABLE;
	return SMTP_MIME_IDENTITY;
}

static void
set_disposition(struct smtp_mime_part *part, struct smtp_slice value)
{
	const char *p = value.ptr, *end = p + value.len;

	p = skip_cfws(p, end);
	part->disposition = take_value(&p, end, SMTP_LIT(";("));
	if (part->name.len == 0)
		part->name = smtp_mime_parameter(value, SMTP_LIT("filename"));
}

/* What the part's own header says about its body. */
static void
set_facts(struct smtp_mime_part *part)
{
	struct smtp_slice type = smtp_mime_header(part->header, SMTP_LIT("Content-Type"));

	part->type = SMTP_LIT("text");
	part->subtype = SMTP_LIT("plain");
	if (type.len > 0) {
		set_type(part, type);
		part->boundary = trim_end(smtp_mime_parameter(type, SMTP_LIT("boundary")));
		part->charset = smtp_mime_parameter(type, SMTP_LIT("charset"));
		part->report_type = smtp_mime_parameter(type, SMTP_LIT("report-type"));
		part->name = smtp_mime_parameter(type, SMTP_LIT("name"));
	}
	part->is_cut = is_multipart(part);
	part->encoding = encoding_of(smtp_mime_header(part->header, SMTP_LIT("Content-Transfer-Encoding")));
	set_disposition(part, smtp_mime_header(part->header, SMTP_LIT("Content-Disposition")));
}

/* --- the walk --- */

bool
smtp_mime_is_message(const struct smtp_mime_part *part)
{
	return smtp_mime_is(part, SMTP_LIT("message"), SMTP_LIT("rfc822")) ||
	       smtp_mime_is(part, SMTP_LIT("message"), SMTP_LIT("global")) ||
	       smtp_mime_is(part, SMTP_LIT("text"), SMTP_LIT("rfc822-headers")) ||
	       /* Not in any RFC, but old reporters write it. */
	       smtp_mime_is(part, SMTP_LIT("text"), SMTP_LIT("rfc822-header")) ||
	       smtp_mime_is(part, SMTP_LIT("message"), SMTP_LIT("global-headers"));
}

/* Can the message be read where it stands? */
static bool
holds_message(const struct smtp_mime_part *part)
{
	return part->encoding == SMTP_MIME_IDENTITY && smtp_mime_is_message(part);
}

/* A part begins at `at`, inside `parent`, and is the current one then; unless there is no room. */
static void
open_part(struct walk *w, int parent, const char *at)
{
	struct smtp_mime *m = w->m;
	int depth = parent < 0 ? 0 : m->parts[parent].depth + 1;

	if (m->count == SMTP_MIME_PARTS_MAX || depth > SMTP_MIME_DEPTH_MAX) {
		m->is_truncated = true;
		return;
	}
	w->current = m->count++;
	m->parts[w->current] = (struct smtp_mime_part){
		.parent = (int16_t)parent, .depth = (uint8_t)depth, .header = {at, 0}};
	w->in_header = true;
	w->has_field = false;
}

/* The header ends before `end`, the body begins at `body`. */
static void
end_header(struct walk *w, const char *end, const char *body)
{
	struct smtp_mime_part *part = &w->m->parts[w->current];

	w->in_header = false;
	part->header = between(part->header.ptr, end);
	part->body = (struct smtp_slice){body, 0};
	set_facts(part);
	if (holds_message(part))
		open_part(w, w->current, body);
}

/* The current part and those around it up to `parent`, not included, end before `end`, where a boundary is.
 */
static void
close_parts(struct walk *w, int parent, const char *end)
{
	/* Of a message without a body the header ends here, and what that opens is closed at once. */
	while (w->in_header)
		end_header(w, end, end);
	for (int i = w->current; i != parent; i = w->m->parts[i].parent) {
		assert(i >= 0);
		w->m->parts[i].body = between(w->m->parts[i].body.ptr, end);
	}
	w->current = parent;
}

/* The bytes in front of a boundary at `at` whose last line end belongs to it (RFC 2046 5.1.1). */
static const char *
before_boundary(const char *at, const char *begin)
{
	const char *end = at;

	if (end == begin || end[-1] != '\n')
		return end > begin && end[-1] == '\r' ? end - 1 : end;
	end--;
	while (end > begin && end[-1] == '\r' && at - end < 3)
		end--;
	return end;
}

/* Is the line a boundary of this multipart? *out_is_end: its last one. */
static bool
is_boundary(const struct smtp_mime_part *part, struct smtp_slice line, bool *out_is_end)
{
	size_t len = part->boundary.len;

	if (len == 0 || line.len < len + 2 || !is_multipart(part) ||
		memcmp(line.ptr + 2, part->boundary.ptr, len) != 0)
		return false;
	*out_is_end = line.len == len + 4 && line.ptr[len + 2] == '-' && line.ptr[len + 3] == '-';
	return *out_is_end || line.len == len + 2;
}

/* The open multipart that this line is a boundary of; -1: none. A multipart that names no boundary takes the
 * first line that looks like one. */
static int
find_boundary(struct walk *w, struct smtp_slice line, bool *out_is_end)
{
	struct smtp_mime_part *current = &w->m->parts[w->current];

	line = trim_end(line);
	if (line.len < 3 || line.ptr[0] != '-' || line.ptr[1] != '-')
		return -1;
	for (int i = w->current; i >= 0; i = w->m->parts[i].parent)
		if (is_boundary(&w->m->parts[i], line, out_is_end))
			return i;
	if (w->in_header || !is_multipart(current) || current->boundary.len > 0 ||
		memchr(line.ptr, ' ', line.len) != NULL)
		return -1;
	current->boundary = (struct smtp_slice){line.ptr + 2, line.len - 2};
	*out_is_end = false;
	return w->current;
}

/* Is a field the next line? Then what stands here is a broken fold, else the header has ended. */
static bool
has_field_next(const struct walk *w)
{
	struct smtp_slice rest = w->rest, line;

	return smtp_mime_line(&rest, &line) && smtp_mime_is_field(line);
}

static void
on_header_line(struct walk *w, struct smtp_slice line)
{
	struct smtp_mime_part *part = &w->m->parts[w->current];
	bool is_message = part->parent < 0 || holds_message(&w->m->parts[part->parent]);

	if (line.len == 0 && is_message && !w->has_field) {
		/* Empty lines above a message are no header of no fields. */
		part->header.ptr = w->rest.ptr;
	} else if (line.len == 0) {
		end_header(w, line.ptr, w->rest.ptr);
	} else if (smtp_mime_is_field(line)) {
		w->has_field = true;
	} else if (!is_blank(line.ptr[0]) && !has_field_next(w)) {
		/* More than once when a message begins with this line, which is in its body then. */
		while (w->in_header)
			end_header(w, line.ptr, line.ptr);
	}
}

void
smtp_mime_read(struct smtp_mime *m, struct smtp_slice mail)
{
	struct walk w = {.m = m, .rest = mail, .current = -1};
	const char *end = mail.len > 0 ? mail.ptr + mail.len : mail.ptr;
	struct smtp_slice line;
	bool is_end = false;

	m->count = 0;
	m->is_truncated = false;
	open_part(&w, -1, mail.ptr);
	while (smtp_mime_line(&w.rest, &line)) {
		int parent = find_boundary(&w, line, &is_end);

		if (parent < 0) {
			if (w.in_header)
				on_header_line(&w, line);
			continue;
		}
		close_parts(&w, parent, before_boundary(line.ptr, mail.ptr));
		if (is_end)
			m->parts[parent].is_cut = false;
		else
			open_part(&w, parent, w.rest.ptr);
	}
	close_parts(&w, -1, end);
}

int
smtp_mime_find(const struct smtp_mime *m, struct smtp_slice type, struct smtp_slice subtype, int from)
{
	for (int i = from; i < m->count; i++)
		if (smtp_mime_is(&m->parts[i], type, subtype))
			return i;
	return -1;
}

bool
smtp_mime_is_inside(const struct smtp_mime *m, int part)
{
	assert(part >= 0 && part < m->count);
	for (int i = m->parts[part].parent; i >= 0; i = m->parts[i].parent)
		if (holds_message(&m->parts[i]))
			return true;
	return false;
}

int
smtp_mime_message(const struct smtp_mime *m)
{
	for (int i = 1; i < m->count; i++)
		if (m->parts[i].parent == i - 1 && holds_message(&m->parts[i - 1]))
			return i;
	return -1;
}
