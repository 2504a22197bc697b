/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most bounces are read by programs, the others by people who are annoyed already. So the machine part is
 * RFC 3464 to the letter, and the first part says in plain words who did not get the mail and what the
 * remote server said, all of it. That reply is written by a stranger: it may hold anything, and must not
 * be able to end a line, a part or the report. Invariants:
 *   - whatever came from elsewhere passes put_safe or put_header_line, and neither writes a control byte,
 *     a byte above 127 or a line over 998 (a returned 7-bit message is checked before it is copied);
 *   - text from elsewhere is never at the begin of a line, save in the returned message, which the
 *     boundary guards: it is made of `unique`, which nobody can guess.
 */
#include "smtp_dsn.h"

#include "smtp_addr.h"
#include "smtp_date.h"
#include "smtp_out.h"

#include <assert.h>

enum { WRAP_COLUMN = 76, BREAK_COLUMN = 900 };

static void
put(struct smtp_out *o, struct smtp_slice s)
{
	smtp_out_put(o, s);
}

#define PUT(o, text) smtp_out_put(o, SMTP_LIT(text))

/* The bytes at the front of `text` that show nothing. */
static size_t
blank_len(struct smtp_slice text, bool keep_lines)
{
	size_t len = 0;

	while (len < text.len && (text.ptr[len] == ' ' || text.ptr[len] == '\t' || text.ptr[len] == '\r' ||
					 (text.ptr[len] == '\n' && !keep_lines)))
		len++;
	return len;
}

/*
 * Text from elsewhere: printable ASCII as it is, other bytes as \xHH. Lines are folded at blanks once they
 * are wide, and anywhere before they are illegal; each goes on with `indent` and something to see, for a line
 * of blanks alone ends a group of fields for many readers. A '\n' (between the lines of a reply) is a fold
 * when `keep_lines`, else a blank.
 */
static void
put_safe(struct smtp_out *o, struct smtp_slice text, struct smtp_slice indent, bool keep_lines)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		bool is_blank = c == ' ' || c == '\t' || (c == '\n' && !keep_lines);

		if (is_blank && o->column >= WRAP_COLUMN) {
			i += blank_len((struct smtp_slice){text.ptr + i, text.len - i}, keep_lines);
			if (i == text.len)
				return;
			is_blank = false;
			c = (unsigned char)text.ptr[i];
			PUT(o, "\r\n");
			put(o, indent);
		} else if ((c == '\n' && keep_lines) || (c != '\r' && o->column >= BREAK_COLUMN)) {
			PUT(o, "\r\n");
			put(o, indent);
		}
		if (is_blank)
			PUT(o, " ");
		else if (c > ' ' && c < 127)
			put(o, (struct smtp_slice){text.ptr + i, 1});
		else if (c != '\r' && c != '\n') {
			char escaped[] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

			put(o, (struct smtp_slice){escaped, sizeof(escaped)});
		}
	}
}

static void
put_date(struct smtp_out *o, int64_t unix_seconds)
{
	char date[SMTP_DATE_LEN];
	int len = smtp_date_write(unix_seconds, date, sizeof(date));

	assert(len == SMTP_DATE_LEN);
	put(o, (struct smtp_slice){date, sizeof(date)});
}

/* "Name: value CRLF" of the machine part; nothing for an empty value. */
static void
put_field(struct smtp_out *o, struct smtp_slice name, struct smtp_slice value)
{
	if (value.len == 0)
		return;
	put(o, name);
	put_safe(o, value, SMTP_LIT(" "), false);
	PUT(o, "\r\n");
}

static void
put_date_field(struct smtp_out *o, struct smtp_slice name, int64_t unix_seconds)
{
	if (unix_seconds == 0)
		return;
	put(o, name);
	put_date(o, unix_seconds);
	PUT(o, "\r\n");
}

static bool
is_ascii(struct smtp_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] > 127)
			return false;
	return true;
}

static bool
has_action(const struct smtp_dsn *d, enum smtp_dsn_action action)
{
	for (size_t i = 0; i < d->rcpt_count; i++)
		if (d->rcpts[i].action == action)
			return true;
	return false;
}

/* --- the header --- */

static void
put_boundary(struct smtp_out *o, const struct smtp_dsn *d)
{
	PUT(o, "=_");
	put(o, d->unique);
}

static void
put_header(struct smtp_out *o, const struct smtp_dsn *d)
{
	PUT(o, "From: Mail Delivery System <");
	put(o, d->from);
	PUT(o, ">\r\nTo: <");
	put(o, d->to);
	PUT(o, ">\r\nSubject: ");
	if (has_action(d, SMTP_DSN_FAILED))
		PUT(o, "Your message could not be delivered");
	else if (has_action(d, SMTP_DSN_DELAYED))
		PUT(o, "Your message is delayed");
	else
		PUT(o, "Your message was handed over");
	PUT(o, "\r\nDate: ");
	put_date(o, d->now);
	PUT(o, "\r\nMessage-ID: <");
	put(o, d->unique);
	PUT(o, "@");
	put(o, d->host);
	/* RFC 3834 5: so that no vacation program answers. */
	PUT(o, ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	       "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
	put_boundary(o, d);
	PUT(o, "\"\r\n\r\n");
}

struct smtp_slice
smtp_dsn_action_word(enum smtp_dsn_action action)
{
	static const struct smtp_slice words[] = {
		[SMTP_DSN_FAILED] = SMTP_LIT("failed"),
		[SMTP_DSN_DELAYED] = SMTP_LIT("delayed"),
		[SMTP_DSN_RELAYED] = SMTP_LIT("relayed"),
		[SMTP_DSN_DELIVERED] = SMTP_LIT("delivered"),
		[SMTP_DSN_EXPANDED] = SMTP_LIT("expanded"),
		[SMTP_DSN_NO_ACTION] = SMTP_LIT(""),
	};

	assert((size_t)action < sizeof(words) / sizeof(words[0]));
	return words[action];
}

/* --- the part for people --- */

static const struct {
	struct smtp_slice intro;
	uint8_t class_digit;
} actions[] = {
	[SMTP_DSN_FAILED] =
		{SMTP_LIT("It could not be delivered to the following, and will not be tried again:"), 5},
	[SMTP_DSN_DELAYED] =
		{SMTP_LIT("It has not been delivered to the following yet. You need not do anything;\r\n"
			  "delivery is tried further:"),
			4},
	[SMTP_DSN_RELAYED] =
		{SMTP_LIT("It was handed over for the following to another mail server, which may not\r\n"
			  "report what it does with it:"),
			2},
};

enum { ACTION_COUNT = sizeof(actions) / sizeof(actions[0]) };

static void
put_rcpt_words(struct smtp_out *o, const struct smtp_dsn_rcpt *r)
{
	PUT(o, "\r\n  ");
	put_safe(o, r->address, SMTP_LIT("  "), false);
	PUT(o, "\r\n");
	if (r->code != 0) {
		PUT(o, "    The mail server ");
		if (r->peer.len > 0) {
			put_safe(o, r->peer, SMTP_LIT("    "), false);
			PUT(o, " ");
		}
		PUT(o, "answered:\r\n      ");
		smtp_out_number(o, r->code, 3);
		PUT(o, " ");
		put_safe(o, r->text, SMTP_LIT("      "), true);
		PUT(o, "\r\n");
	} else if (r->text.len > 0) {
		PUT(o, "    ");
		put_safe(o, r->text, SMTP_LIT("    "), true);
		PUT(o, "\r\n");
	}
	if (r->action == SMTP_DSN_DELAYED && r->will_retry_until != 0) {
		PUT(o, "    It is given up if this has not changed by ");
		put_date(o, r->will_retry_until);
		PUT(o, ".\r\n");
	}
}

static void
put_words(struct smtp_out *o, const struct smtp_dsn *d)
{
	PUT(o, "Content-Type: text/plain; charset=us-ascii\r\nContent-Description: Notification\r\n\r\n"
	       "This is the mail system at ");
	put(o, d->host);
	PUT(o, ".\r\n\r\nThis is about the message you sent on\r\n");
	put_date(o, d->arrival);
	PUT(o, ".\r\n");
	for (int action = 0; action < ACTION_COUNT; action++) {
		if (!has_action(d, (enum smtp_dsn_action)action))
			continue;
		PUT(o, "\r\n");
		put(o, actions[action].intro);
		PUT(o, "\r\n");
		for (size_t i = 0; i < d->rcpt_count; i++)
			if ((int)d->rcpts[i].action == action)
				put_rcpt_words(o, &d->rcpts[i]);
	}
	PUT(o, "\r\n");
}

/* --- the part for programs --- */

/* One UTF-8 character at the front of s (which is valid UTF-8): its code point, *out_len its bytes. */
static uint32_t
code_point(struct smtp_slice s, size_t *out_len)
{
	unsigned char first = (unsigned char)s.ptr[0];
	size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	uint32_t value = len == 1 ? first : first & (0x7fu >> len);

	assert(len <= s.len);
	for (size_t i = 1; i < len; i++)
		value = value << 6 | ((unsigned char)s.ptr[i] & 0x3f);
	*out_len = len;
	return value;
}

/* RFC 6533 3, utf-8-addr-xtext: "\x{20AC}" for what is not ASCII, and for the three that would confuse. Six
 * bytes may stand for one, so that a long address needs a fold. */
static void
put_utf8_address(struct smtp_out *o, struct smtp_slice s)
{
	static const char digits[] = "0123456789ABCDEF";

	while (s.len > 0) {
		size_t len;
		uint32_t c = code_point(s, &len);

		if (o->column >= BREAK_COLUMN)
			PUT(o, "\r\n ");
		if (c > ' ' && c < 127 && c != '\\' && c != '+' && c != '=') {
			put(o, (struct smtp_slice){s.ptr, 1});
		} else {
			int shift = 20;

			PUT(o, "\\x{");
			while (shift > 4 && c >> shift == 0)
				shift -= 4;
			for (; shift >= 0; shift -= 4)
				put(o, (struct smtp_slice){&digits[c >> shift & 15], 1});
			PUT(o, "}");
		}
		s.ptr += len;
		s.len -= len;
	}
}

static void
put_final_recipient(struct smtp_out *o, struct smtp_slice address)
{
	if (is_ascii(address) || !smtp_utf8_is_text(address)) {
		PUT(o, "Final-Recipient: rfc822;");
		put_safe(o, address, SMTP_LIT(" "), false);
	} else {
		PUT(o, "Final-Recipient: utf-8;");
		put_utf8_address(o, address);
	}
	PUT(o, "\r\n");
}

static void
put_status(struct smtp_out *o, const struct smtp_dsn_rcpt *r)
{
	struct smtp_esc esc = r->status;
	uint8_t class_digit;

	assert((int)r->action < ACTION_COUNT);
	class_digit = actions[r->action].class_digit;
	PUT(o, "Action: ");
	put(o, smtp_dsn_action_word(r->action));
	PUT(o, "\r\nStatus: ");
	/* A "failed" with a 4.x.x status is legal: it expired while a temporary failure lasted. */
	smtp_out_number(o, esc.class_digit != 0 ? esc.class_digit : class_digit, 1);
	PUT(o, ".");
	smtp_out_number(o, esc.class_digit != 0 ? esc.subject : 0, 1);
	PUT(o, ".");
	smtp_out_number(o, esc.class_digit != 0 ? esc.detail : 0, 1);
	PUT(o, "\r\n");
}

static void
put_diagnostic(struct smtp_out *o, const struct smtp_dsn_rcpt *r)
{
	if (r->code == 0) {
		/* RFC 3464 2.3.6: "smtp" is for replies of SMTP servers only. */
		put_field(o, SMTP_LIT("Diagnostic-Code: x-mtad; "), r->text);
		return;
	}
	PUT(o, "Diagnostic-Code: smtp; ");
	smtp_out_number(o, r->code, 3);
	PUT(o, " ");
	put_safe(o, r->text, SMTP_LIT(" "), false);
	PUT(o, "\r\n");
}

/* RFC 4865 5.1.2, 2. */
static void
put_hold(struct smtp_out *o, const struct smtp_dsn *d)
{
	char until[SMTP_DATE_STAMP_LEN];
	int len = smtp_date_write_stamp(d->hold_until, until, sizeof(until));

	assert(len == SMTP_DATE_STAMP_LEN);
	if (d->hold_until == 0)
		return;
	PUT(o, "Future-Release-Request: ");
	if (d->hold_for_s != 0) {
		PUT(o, "for;");
		smtp_out_number(o, d->hold_for_s, 1);
	} else {
		PUT(o, "until;");
		put(o, (struct smtp_slice){until, sizeof(until)});
	}
	PUT(o, "\r\n");
}

static void
put_machine(struct smtp_out *o, const struct smtp_dsn *d)
{
	PUT(o, "Content-Type: message/delivery-status\r\nContent-Description: Delivery report\r\n\r\n");
	put_field(o, SMTP_LIT("Original-Envelope-Id: "), d->envid);
	put_field(o, SMTP_LIT("Reporting-MTA: dns; "), d->host);
	put_date_field(o, SMTP_LIT("Arrival-Date: "), d->arrival);
	put_date_field(o, SMTP_LIT("Deliver-By-Date: "), d->deliver_by);
	put_hold(o, d);
	for (size_t i = 0; i < d->rcpt_count; i++) {
		const struct smtp_dsn_rcpt *r = &d->rcpts[i];

		PUT(o, "\r\n");
		put_field(o, SMTP_LIT("Original-Recipient: "), r->orcpt);
		put_final_recipient(o, r->address);
		put_status(o, r);
		put_field(o, SMTP_LIT("Remote-MTA: dns; "), r->peer);
		put_diagnostic(o, r);
		put_date_field(o, SMTP_LIT("Last-Attempt-Date: "), r->last_attempt);
		if (r->action == SMTP_DSN_DELAYED)
			put_date_field(o, SMTP_LIT("Will-Retry-Until: "), r->will_retry_until);
	}
}

/* --- the returned message --- */

/* May these bytes stand in a 7-bit message as they are? */
static bool
is_legal(struct smtp_slice piece)
{
	size_t at = 0;

	if (!is_ascii(piece) || (piece.len > 0 && memchr(piece.ptr, '\0', piece.len) != NULL))
		return false;
	while (at < piece.len) {
		const char *line = piece.ptr + at;
		const char *lf = memchr(line, '\n', piece.len - at);

		if (lf == NULL || lf == line || lf[-1] != '\r' || lf - line > SMTP_TEXT_LINE_MAX + 1 ||
			memchr(line, '\r', (size_t)(lf - line)) != lf - 1)
			return false;
		at += (size_t)(lf - line) + 1;
	}
	return true;
}

static bool
returns_all(const struct smtp_dsn *d)
{
	/* RFC 3461 4.3: RET speaks of failures; other reports return the header only. */
	if (d->ret != SMTP_RET_FULL || !has_action(d, SMTP_DSN_FAILED))
		return false;
	for (size_t i = 0; i < d->piece_count; i++)
		if (!is_legal(d->pieces[i]))
			return false;
	return true;
}

/* One line of the header, from its first byte to its LF, made legal: printable ASCII, tabs, CRLF. */
static void
put_header_line(struct smtp_out *o, struct smtp_slice line)
{
	size_t start = 0;

	while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
		line.len--;
	if (line.len > SMTP_TEXT_LINE_MAX)
		line.len = SMTP_TEXT_LINE_MAX;
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.ptr[i];

		if ((c >= ' ' && c < 127) || c == '\t')
			continue;
		put(o, (struct smtp_slice){line.ptr + start, i - start});
		PUT(o, "?");
		start = i + 1;
	}
	put(o, (struct smtp_slice){line.ptr + start, line.len - start});
	PUT(o, "\r\n");
}

/* The header block of the message, up to the empty line. */
static void
put_original_header(struct smtp_out *o, const struct smtp_dsn *d)
{
	for (size_t i = 0; i < d->piece_count; i++) {
		struct smtp_slice rest = d->pieces[i];

		while (rest.len > 0) {
			const char *lf = memchr(rest.ptr, '\n', rest.len);
			size_t len = lf != NULL ? (size_t)(lf - rest.ptr) + 1 : rest.len;

			if (rest.ptr[0] == '\n' || (rest.len > 1 && memcmp(rest.ptr, "\r\n", 2) == 0))
				return;
			put_header_line(o, (struct smtp_slice){rest.ptr, len});
			rest.ptr += len;
			rest.len -= len;
		}
	}
}

static void
put_original(struct smtp_out *o, const struct smtp_dsn *d)
{
	if (!returns_all(d)) {
		PUT(o, "Content-Type: text/rfc822-headers\r\n"
		       "Content-Description: Header of the message\r\n\r\n");
		put_original_header(o, d);
		return;
	}
	PUT(o, "Content-Type: message/rfc822\r\nContent-Description: The message\r\n\r\n");
	for (size_t i = 0; i < d->piece_count; i++)
		put(o, d->pieces[i]);
}

static void
put_delimiter(struct smtp_out *o, const struct smtp_dsn *d, struct smtp_slice tail)
{
	PUT(o, "\r\n--");
	put_boundary(o, d);
	put(o, tail);
	PUT(o, "\r\n");
}

static void
put_report(struct smtp_out *o, const struct smtp_dsn *d)
{
	assert(d->rcpt_count > 0);
	assert(d->unique.len > 0 && d->unique.len < 60); /* RFC 2046 5.1.1: a boundary has 70 bytes at most */
	put_header(o, d);
	PUT(o, "This is a delivery report in MIME format.\r\n");
	put_delimiter(o, d, SMTP_LIT(""));
	put_words(o, d);
	put_delimiter(o, d, SMTP_LIT(""));
	put_machine(o, d);
	put_delimiter(o, d, SMTP_LIT(""));
	put_original(o, d);
	put_delimiter(o, d, SMTP_LIT("--"));
}

size_t
smtp_dsn_size(const struct smtp_dsn *d)
{
	struct smtp_out o = {NULL, 0, 0, 0};

	put_report(&o, d);
	return o.len;
}

int
smtp_dsn_write(const struct smtp_dsn *d, char *buf, size_t max)
{
	struct smtp_out o = {buf, max, 0, 0};

	put_report(&o, d);
	return smtp_out_result(&o);
}
