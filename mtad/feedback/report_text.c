/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text is all that is meant for people, in the order of the parts, down to the message that came back. HTML
 * is read when there is nothing else: beside plain text it says the same again. The machine's part is text
 * too: it is looked at when nobody could make a report of it.
 *
 * Character sets are those that reports come in, and no others: the name in a mail is a stranger's, and
 * iconv(3) would load whatever is installed under it.
 */
#include "feedback/report_text.h"

#include "smtp_mime_text.h"

#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void
read_header(struct smtp_slice header, struct report_text *out)
{
	struct smtp_field field;
	size_t n = 0;
	bool is_cut = false;

	while (smtp_mime_field(&header, &field) && n + field.name.len + 4 < sizeof(out->header)) {
		memcpy(out->header + n, field.name.ptr, field.name.len);
		n += field.name.len;
		memcpy(out->header + n, ": ", 2);
		n += 2;
		n += smtp_mime_value(field.value, out->header + n, sizeof(out->header) - n - 1, &is_cut);
		out->header[n++] = '\n';
	}
	out->mail.header = (struct smtp_slice){out->header, n};
}

/* What iconv(3) calls it; NULL: none of those that are converted. */
static const char *
charset_of(struct smtp_slice name)
{
	static const char *const known[] = {"ISO-2022-JP", "SHIFT_JIS", "EUC-JP", "ISO-2022-KR", "EUC-KR",
		"GB2312", "GBK", "GB18030", "BIG5", "KOI8-R", "KOI8-U", "WINDOWS-1250", "WINDOWS-1251",
		"WINDOWS-1253", "WINDOWS-1254", "WINDOWS-1255", "WINDOWS-1256", "WINDOWS-1257", "ISO-8859-2",
		"ISO-8859-5", "ISO-8859-7", "ISO-8859-9", "ISO-8859-15"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strnlen(known[i], 32) == name.len && strncasecmp(known[i], name.ptr, name.len) == 0)
			return known[i];
	return NULL;
}

/* Into UTF-8; what is no character is passed over. 0: it could not be converted. */
static size_t
convert(const char *charset, char *in, size_t in_len, char *out, size_t max)
{
	iconv_t to = iconv_open("UTF-8", charset);
	char *p = out;

	if (to == (iconv_t)-1)
		return 0;
	while (in_len > 0 && iconv(to, &in, &in_len, &p, &max) == (size_t)-1 && max >= 4) {
		if (in_len == 0)
			break;
		*p++ = '?';
		max--;
		in++;
		in_len--;
	}
	(void)iconv_close(to);
	return (size_t)(p - out);
}

/* The part's text behind what is there, with a line end. */
static void
add_text(const struct smtp_mime_part *part, struct report_text *out, size_t *n)
{
	const char *charset = charset_of(part->charset);
	size_t max = sizeof(out->text) - *n - 1, len = 0;
	char *raw = charset != NULL ? malloc(REPORT_BYTES_MAX) : NULL;
	bool is_cut = false;

	if (raw != NULL) {
		len = smtp_mime_decode(part->body, part->encoding, raw, REPORT_BYTES_MAX, &is_cut);
		len = convert(charset, raw, len, out->text + *n, max);
		if (len > 0 && smtp_mime_is(part, SMTP_LIT("text"), SMTP_LIT("html")))
			len = smtp_mime_html(out->text + *n, len);
	}
	free(raw);
	if (len == 0)
		len = smtp_mime_text(part, out->text + *n, max, &is_cut);
	*n += len;
	out->text[(*n)++] = '\n';
}

static bool
has_child(const struct smtp_mime *m, int n)
{
	return n + 1 < m->count && m->parts[n + 1].parent == n;
}

static bool
is_text(const struct smtp_mime *m, int n, bool is_html, bool has_fields)
{
	const struct smtp_mime_part *part = &m->parts[n];

	if (smtp_mime_is(part, SMTP_LIT("text"), SMTP_LIT("html")))
		return is_html;
	/* A multipart without parts: its boundary was lost, and everything stands below the header. */
	return !is_html && !has_child(m, n) &&
	       (smtp_mime_is(part, SMTP_LIT("text"), SMTP_LIT("")) ||
		       smtp_mime_is(part, SMTP_LIT("multipart"), SMTP_LIT("")) ||
		       (has_fields && smtp_mime_is(part, SMTP_LIT("message"), SMTP_LIT("delivery-status"))));
}

static size_t
read_texts(const struct smtp_mime *m, bool is_html, bool has_fields, struct report_text *out)
{
	size_t n = 0;
	bool has_more = false;

	for (int i = 0; i < m->count && n + 1 < sizeof(out->text); i++) {
		if (smtp_mime_is_message(&m->parts[i])) {
			out->mail.returned = has_child(m, i) ? m->parts[i + 1].header : m->parts[i].body;
			break;
		}
		if (is_text(m, i, is_html, has_fields)) {
			add_text(&m->parts[i], out, &n);
			has_more = true;
		}
	}
	return has_more ? n : 0;
}

static bool
is_empty(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] != ' ' && text[i] != '\r' && text[i] != '\n' && text[i] != '\t')
			return false;
	return true;
}

void
report_text_read(const struct smtp_mime *mime, bool has_fields, struct report_text *out)
{
	size_t n;

	out->mail = (struct report_mail){{NULL, 0}, {NULL, 0}, {NULL, 0}};
	read_header(mime->parts[0].header, out);
	n = read_texts(mime, false, has_fields, out);
	if (is_empty(out->text, n))
		n = read_texts(mime, true, has_fields, out);
	out->mail.text = (struct smtp_slice){out->text, n};
}
