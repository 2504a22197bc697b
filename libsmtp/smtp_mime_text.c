/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoders that never say no: a report is cut, mangled and wrongly labelled often enough, and the address
 * in it is still worth having. Bytes leave through put(), the only writer, so that nothing is written behind
 * the buffer whatever an encoding promised; HTML is rewritten in place, where the write position never
 * overtakes the read position, as every rule makes text shorter. Searches forward are bounded, or are not
 * repeated once they found nothing, so that time stays linear.
 */
#include "smtp_mime_text.h"

#include "smtp_base64.h"

#include <assert.h>
#include <string.h>

enum {
	WORD_MAX = 512,  /* bytes of an encoded word; RFC 2047 2 allows 75 */
	ENTITY_MAX = 10, /* bytes of "&#1114111;" */
	TAG_NAME_MAX = 10,
};

struct out {
	char *buf;
	size_t max, len;
	bool is_latin1; /* what is put is Latin 1 */
	bool is_cut;
};

static void
put_raw(struct out *o, unsigned char c)
{
	if (o->len < o->max)
		o->buf[o->len++] = (char)c;
	else
		o->is_cut = true;
}

static void
put(struct out *o, unsigned char c)
{
	if (!o->is_latin1 || c < 128) {
		put_raw(o, c);
	} else if (c < 160) {
		put_raw(o, '?');
	} else {
		put_raw(o, (unsigned char)(0xc0 | c >> 6));
		put_raw(o, (unsigned char)(0x80 | (c & 63)));
	}
}

/* A character cut in two goes as a whole. */
static size_t
finish(struct out *o, bool *out_is_cut)
{
	size_t at = o->len, back = 0;

	if (!o->is_cut)
		return o->len;
	*out_is_cut = true;
	while (back < 3 && at > 0 && ((unsigned char)o->buf[at - 1] & 0xc0) == 0x80) {
		at--;
		back++;
	}
	if (at > 0 && (unsigned char)o->buf[at - 1] >= 0xc0) {
		unsigned char first = (unsigned char)o->buf[at - 1];
		size_t need = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;

		if (back < need)
			o->len = at - 1;
	}
	return o->len;
}

/* --- transfer encodings --- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes of the line end at s[at], blanks in front of it included; 0: none is there. */
static size_t
soft_end(struct smtp_slice s, size_t at)
{
	size_t i = at;

	while (i < s.len && (s.ptr[i] == ' ' || s.ptr[i] == '\t'))
		i++;
	if (i == s.len)
		return i - at;
	if (s.ptr[i] == '\r')
		i++;
	if (i < s.len && s.ptr[i] == '\n')
		i++;
	else if (s.ptr[i - 1] != '\r' || i == at)
		return 0;
	return i - at;
}

static void
put_quoted(struct out *o, struct smtp_slice in, bool is_word)
{
	for (size_t i = 0; i < in.len; i++) {
		int high = in.ptr[i] == '=' && i + 2 < in.len ? hex_value(in.ptr[i + 1]) : -1;
		int low = high >= 0 ? hex_value(in.ptr[i + 2]) : -1;

		if (low >= 0) {
			put(o, (unsigned char)(high << 4 | low));
			i += 2;
		} else if (in.ptr[i] == '=' && !is_word && soft_end(in, i + 1) > 0) {
			i += soft_end(in, i + 1);
		} else {
			put(o, is_word && in.ptr[i] == '_' ? ' ' : (unsigned char)in.ptr[i]);
		}
	}
}

/* The 1..4 digits of a group; fewer than two hold no byte. */
static void
put_group(struct out *o, char *digits, size_t count)
{
	char bytes[3];
	int len;

	if (count < 2)
		return;
	for (size_t i = count; i < 4; i++)
		digits[i] = '=';
	len = smtp_base64_decode((struct smtp_slice){digits, 4}, bytes, sizeof(bytes));
	for (int i = 0; i < len; i++)
		put(o, (unsigned char)bytes[i]);
}

static bool
is_base64_digit(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
	       c == '/';
}

/* Line ends and whatever else is no digit are passed over; padding may stand in the middle, where somebody
 * put two encodings together. */
static void
put_base64(struct out *o, struct smtp_slice in)
{
	char digits[4];
	size_t count = 0;

	for (size_t i = 0; i < in.len; i++) {
		if (is_base64_digit(in.ptr[i]))
			digits[count++] = in.ptr[i];
		if (count == 4 || in.ptr[i] == '=') {
			put_group(o, digits, count);
			count = 0;
		}
	}
	put_group(o, digits, count);
}

static void
put_encoded(struct out *o, struct smtp_slice in, enum smtp_mime_encoding encoding)
{
	if (encoding == SMTP_MIME_BASE64)
		put_base64(o, in);
	else if (encoding == SMTP_MIME_QUOTED_PRINTABLE)
		put_quoted(o, in, false);
	else
		for (size_t i = 0; i < in.len; i++)
			put(o, (unsigned char)in.ptr[i]);
}

size_t
smtp_mime_decode(
	struct smtp_slice body, enum smtp_mime_encoding encoding, char *buf, size_t max, bool *out_is_cut)
{
	struct out o = {.buf = buf, .max = max};

	put_encoded(&o, body, encoding);
	if (o.is_cut)
		*out_is_cut = true;
	return o.len;
}

/* --- character sets and header words --- */

enum charset { CHARSET_AS_IS, CHARSET_LATIN1, CHARSET_UNKNOWN };

static enum charset
charset_of(struct smtp_slice name)
{
	static const struct {
		struct smtp_slice name;
		enum charset charset;
	} names[] = {
		{SMTP_LIT(""), CHARSET_AS_IS},
		{SMTP_LIT("utf-8"), CHARSET_AS_IS},
		{SMTP_LIT("utf8"), CHARSET_AS_IS},
		{SMTP_LIT("us-ascii"), CHARSET_AS_IS},
		{SMTP_LIT("ascii"), CHARSET_AS_IS},
		{SMTP_LIT("iso-8859-1"), CHARSET_LATIN1},
		{SMTP_LIT("iso-8859-15"), CHARSET_LATIN1},
		{SMTP_LIT("latin1"), CHARSET_LATIN1},
		{SMTP_LIT("windows-1252"), CHARSET_LATIN1},
		{SMTP_LIT("cp1252"), CHARSET_LATIN1},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (smtp_slice_is_nocase(names[i].name, name))
			return names[i].charset;
	return CHARSET_UNKNOWN;
}

/* The slice up to the byte `stop`, which *p moves behind; false: it is not there in time. */
static bool
take_until(const char **p, const char *end, char stop, struct smtp_slice *out)
{
	size_t reach = (size_t)(end - *p) < WORD_MAX ? (size_t)(end - *p) : WORD_MAX;
	const char *found = reach > 0 ? memchr(*p, stop, reach) : NULL;

	if (found == NULL)
		return false;
	*out = (struct smtp_slice){*p, (size_t)(found - *p)};
	*p = found + 1;
	return true;
}

/* Puts the encoded word "=?charset?Q?text?=" at p. Returns the byte behind it; NULL: none is there. */
static const char *
put_word(struct out *o, const char *p, const char *end)
{
	struct smtp_slice charset, how, text;
	const char *star;
	enum charset kind;

	if (end - p < 2 || p[0] != '=' || p[1] != '?')
		return NULL;
	p += 2;
	if (!take_until(&p, end, '?', &charset) || !take_until(&p, end, '?', &how) ||
		!take_until(&p, end, '?', &text) || p == end || *p != '=' || how.len != 1)
		return NULL;
	/* RFC 2231 5: a language may stand behind the character set. */
	star = charset.len > 0 ? memchr(charset.ptr, '*', charset.len) : NULL;
	if (star != NULL)
		charset.len = (size_t)(star - charset.ptr);
	kind = charset_of(charset);
	if (kind == CHARSET_UNKNOWN || charset.len == 0)
		return NULL;
	o->is_latin1 = kind == CHARSET_LATIN1;
	if (*how.ptr == 'Q' || *how.ptr == 'q')
		put_quoted(o, text, true);
	else if (*how.ptr == 'B' || *how.ptr == 'b')
		put_base64(o, text);
	else
		p = NULL;
	o->is_latin1 = false;
	return p != NULL ? p + 1 : NULL;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

size_t
smtp_mime_value(struct smtp_slice value, char *buf, size_t max, bool *out_is_cut)
{
	struct out o = {.buf = buf, .max = max};
	const char *p = value.ptr, *end = p, *next, *gap = NULL;

	if (value.len > 0)
		end += value.len;
	while (p < end && is_space(*p))
		p++;
	while (end > p && is_space(end[-1]))
		end--;
	while (p < end) {
		if (is_space(*p)) {
			/* Blanks between two encoded words are not shown (RFC 2047 6.2): put when it is
			 * known. */
			for (next = p; is_space(*next);)
				next++;
			if (gap == p) {
				struct out probe = {0};

				if (put_word(&probe, next, end) != NULL) {
					p = next;
					continue;
				}
			}
			for (; p < next; p++)
				if (*p != '\r' && *p != '\n')
					put(&o, (unsigned char)*p);
			continue;
		}
		next = put_word(&o, p, end);
		if (next == NULL)
			put(&o, (unsigned char)*p++);
		else
			gap = p = next;
	}
	return finish(&o, out_is_cut);
}

/* --- HTML --- */

/* Does the tag whose name begins at p have this name? */
static bool
is_tag(const char *p, const char *end, struct smtp_slice name)
{
	char c;

	if ((size_t)(end - p) < name.len || !smtp_slice_is_nocase((struct smtp_slice){p, name.len}, name))
		return false;
	if ((size_t)(end - p) == name.len)
		return true;
	c = p[name.len];
	return is_space(c) || c == '>' || c == '/';
}

struct html {
	char *out;
	const char *out_begin;
	const char *end;
	bool in_pre;
	bool has_no_more_tags; /* no '>' is left */
};

static void
html_put(struct html *h, const char *read, char c)
{
	assert(h->out < read);
	*h->out++ = c;
}

/* A run of blanks is one, and none where a line begins. */
static void
html_blank(struct html *h, const char *read)
{
	if (h->out > h->out_begin && !is_space(h->out[-1]))
		html_put(h, read, ' ');
}

static void
html_line_end(struct html *h, const char *read)
{
	while (h->out > h->out_begin && (h->out[-1] == ' ' || h->out[-1] == '\t'))
		h->out--;
	html_put(h, read, '\n');
}

/* Behind "</name>" for the element that begins at p, or the end. */
static const char *
skip_element(const char *p, const char *end, struct smtp_slice name)
{
	while ((p = p < end ? memchr(p, '<', (size_t)(end - p)) : NULL) != NULL) {
		if (end - p > 2 && p[1] == '/' && is_tag(p + 2, end, name)) {
			p = memchr(p, '>', (size_t)(end - p));
			return p != NULL ? p + 1 : end;
		}
		p++;
	}
	return end;
}

static const char *
skip_html_comment(const char *p, const char *end)
{
	for (p += 4; p + 2 < end; p++)
		if (memcmp(p, "-->", 3) == 0)
			return p + 3;
	return end;
}

/* What the tag whose name is at `name` and that ends before `next` does to the text. Returns where to read
 * on. */
static const char *
html_tag(struct html *h, const char *name, const char *next)
{
	static const struct smtp_slice blocks[] = {SMTP_LIT("br"), SMTP_LIT("p"), SMTP_LIT("div"),
		SMTP_LIT("tr"), SMTP_LIT("li"), SMTP_LIT("h1"), SMTP_LIT("h2"), SMTP_LIT("h3"),
		SMTP_LIT("table"), SMTP_LIT("ul"), SMTP_LIT("pre"), SMTP_LIT("blockquote"), SMTP_LIT("hr")};
	bool is_end = *name == '/';

	if (is_end)
		name++;
	if (!is_end && is_tag(name, h->end, SMTP_LIT("script")))
		return skip_element(next, h->end, SMTP_LIT("script"));
	if (!is_end && is_tag(name, h->end, SMTP_LIT("style")))
		return skip_element(next, h->end, SMTP_LIT("style"));
	if (is_tag(name, h->end, SMTP_LIT("pre")))
		h->in_pre = !is_end;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		if (is_tag(name, h->end, blocks[i])) {
			html_line_end(h, next);
			return next;
		}
	if (is_tag(name, h->end, SMTP_LIT("td")) || is_tag(name, h->end, SMTP_LIT("th")))
		html_blank(h, next);
	return next;
}

/* "<a@b.test>" that somebody forgot to escape: an address and no attribute. */
static bool
is_address(const char *p, const char *close)
{
	size_t len = (size_t)(close - p);

	/* The bound keeps this linear, too: the text behind the '<' is read again. */
	return len <= SMTP_ADDRESS_MAX && memchr(p, '@', len) != NULL && memchr(p, '=', len) == NULL &&
	       memchr(p, ' ', len) == NULL;
}

/* The '<' at p: returns where to read on. */
static const char *
html_angle(struct html *h, const char *p)
{
	const char *close = NULL;
	char c = p + 1 < h->end ? p[1] : ' ';

	if (h->end - p >= 4 && memcmp(p, "<!--", 4) == 0)
		return skip_html_comment(p, h->end);
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '!' || c == '?') {
		if (!h->has_no_more_tags)
			close = memchr(p, '>', (size_t)(h->end - p));
		h->has_no_more_tags = close == NULL;
	}
	if (close == NULL || is_address(p + 1, close)) {
		html_put(h, p + 1, '<');
		return p + 1;
	}
	return html_tag(h, p + 1, close + 1);
}

static void
html_code_point(struct html *h, const char *read, uint32_t c)
{
	if (c == 160 || c < ' ') {
		html_blank(h, read);
	} else if (c < 0x80) {
		html_put(h, read, (char)c);
	} else if (c < 0x800) {
		html_put(h, read, (char)(0xc0 | c >> 6));
		html_put(h, read, (char)(0x80 | (c & 63)));
	} else if (c < 0x10000) {
		html_put(h, read, (char)(0xe0 | c >> 12));
		html_put(h, read, (char)(0x80 | (c >> 6 & 63)));
		html_put(h, read, (char)(0x80 | (c & 63)));
	} else {
		html_put(h, read, '?');
	}
}

/* "&#8364;" or "&#x20ac;", between the '#' and the ';'. 0: it is none. */
static uint32_t
numeric_reference(struct smtp_slice s)
{
	bool is_hex = s.len > 0 && (*s.ptr == 'x' || *s.ptr == 'X');
	uint32_t value = 0;

	for (size_t i = is_hex ? 1 : 0; i < s.len; i++) {
		int digit = hex_value(s.ptr[i]);

		if (digit < 0 || (!is_hex && digit > 9))
			return 0;
		value = value * (is_hex ? 16 : 10) + (uint32_t)digit;
	}
	return value <= 0x10ffff ? value : 0;
}

/* The '&' at p: returns where to read on. */
static const char *
html_reference(struct html *h, const char *p)
{
	static const struct {
		struct smtp_slice name;
		uint32_t c;
	} references[] = {
		{SMTP_LIT("lt"), '<'},
		{SMTP_LIT("gt"), '>'},
		{SMTP_LIT("amp"), '&'},
		{SMTP_LIT("quot"), '"'},
		{SMTP_LIT("apos"), '\''},
		{SMTP_LIT("nbsp"), 160},
	};
	size_t reach = (size_t)(h->end - p) < ENTITY_MAX ? (size_t)(h->end - p) : ENTITY_MAX;
	const char *stop = memchr(p, ';', reach);
	struct smtp_slice name = {p + 1, stop != NULL ? (size_t)(stop - p) - 1 : 0};
	uint32_t c = 0;

	for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++)
		if (smtp_slice_is(references[i].name, name))
			c = references[i].c;
	if (name.len > 1 && *name.ptr == '#')
		c = numeric_reference((struct smtp_slice){name.ptr + 1, name.len - 1});
	if (c == 0) {
		html_put(h, p + 1, '&');
		return p + 1;
	}
	html_code_point(h, stop + 1, c);
	return stop + 1;
}

size_t
smtp_mime_html(char *text, size_t len)
{
	struct html h = {.out = text, .out_begin = text, .end = text};
	const char *p = text;

	if (len > 0)
		h.end += len;
	while (p < h.end) {
		if (*p == '<') {
			p = html_angle(&h, p);
		} else if (*p == '&') {
			p = html_reference(&h, p);
		} else {
			if (is_space(*p) && !h.in_pre)
				html_blank(&h, p + 1);
			else
				html_put(&h, p + 1, *p);
			p++;
		}
	}
	return (size_t)(h.out - text);
}

size_t
smtp_mime_text(const struct smtp_mime_part *part, char *buf, size_t max, bool *out_is_cut)
{
	struct out o = {.buf = buf, .max = max, .is_latin1 = charset_of(part->charset) == CHARSET_LATIN1};
	size_t len;

	put_encoded(&o, part->body, part->encoding);
	len = finish(&o, out_is_cut);
	return smtp_mime_is(part, SMTP_LIT("text"), SMTP_LIT("html")) ? smtp_mime_html(buf, len) : len;
}
