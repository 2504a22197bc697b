/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each form is one text with names in braces; adding a form is adding a text. They are what the systems in
 * question write, down to the words that readers look for.
 *
 * Invariants: lines end in CRLF; every byte is ASCII, so that the mail needs no extension (what the returned
 * header has beyond it becomes '?'); what comes from a script or a peer adds no line.
 */
#include "mtasim_return_mail.h"

#include "smtp_date.h"
#include "smtp_mime.h"

#include <assert.h>
#include <stdlib.h>

enum { TEXT_MAX = 4096, LIST_MAX = 4096 };

/* What every mail begins with. */
static const char head[] = "From: {author}\n"
			   "To: <{to}>\n"
			   "Subject: {about}\n"
			   "Date: {date}\n"
			   "Message-ID: <{unique}@{host}>\n";

static const char dsn_text[] = "Auto-Submitted: auto-replied\n"
			       "MIME-Version: 1.0\n"
			       "Content-Type: multipart/report; report-type=delivery-status;\n"
			       "\tboundary=\"{unique}\"\n"
			       "\n"
			       "--{unique}\n"
			       "Content-Description: Notification\n"
			       "Content-Type: text/plain; charset=us-ascii\n"
			       "\n"
			       "This is the mail system at host {host}.\n"
			       "\n"
			       "I'm sorry to have to inform you that your message could not\n"
			       "be delivered to one or more recipients. It's attached below.\n"
			       "\n"
			       "<{rcpt}>: host {host}[127.0.0.1] said: {text}\n"
			       "    (in reply to end of DATA command)\n"
			       "\n"
			       "--{unique}\n"
			       "Content-Description: Delivery report\n"
			       "Content-Type: message/delivery-status\n"
			       "\n"
			       "Reporting-MTA: dns; {host}\n"
			       "Arrival-Date: {date}\n"
			       "\n"
			       "Final-Recipient: rfc822; {rcpt}\n"
			       "Original-Recipient: rfc822;{rcpt}\n"
			       "Action: failed\n"
			       "Status: {status}\n"
			       "Remote-MTA: dns; {host}\n"
			       "Diagnostic-Code: smtp; {text}\n"
			       "\n"
			       "--{unique}\n"
			       "Content-Description: Undelivered Message Headers\n"
			       "Content-Type: text/rfc822-headers\n"
			       "\n"
			       "{header}\n"
			       "--{unique}--\n";

static const char qmail_text[] =
	"\n"
	"Hi. This is the qmail-send program at {host}.\n"
	"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
	"This is a permanent error; I've given up. Sorry it didn't work out.\n"
	"\n"
	"<{rcpt}>:\n"
	"127.0.0.1 does not like recipient.\n"
	"Remote host said: {text}\n"
	"Giving up on 127.0.0.1.\n"
	"\n"
	"--- Below this line is a copy of the message.\n"
	"\n"
	"Return-Path: <{from}>\n"
	"{header}\n";

static const char exim_text[] = "X-Failed-Recipients: {rcpt}\n"
				"Auto-Submitted: auto-replied\n"
				"\n"
				"This message was created automatically by mail delivery software.\n"
				"\n"
				"A message that you sent could not be delivered to one or more of its\n"
				"recipients. This is a permanent error. The following address(es) failed:\n"
				"\n"
				"  {rcpt}\n"
				"    SMTP error from remote mail server after RCPT TO:<{rcpt}>:\n"
				"    host {host} [127.0.0.1]: {text}\n"
				"\n"
				"------ This is a copy of the message, including all the headers. ------\n"
				"\n"
				"Return-path: <{from}>\n"
				"{header}\n";

static const char exchange_text[] =
	"MIME-Version: 1.0\n"
	"Content-Type: text/plain; charset=us-ascii\n"
	"\n"
	"Delivery has failed to these recipients or distribution lists:\n"
	"\n"
	"{rcpt}\n"
	"The recipient's e-mail address was not accepted by the recipient's e-mail system.\n"
	"\n"
	"________________________________\n"
	"Sent by Microsoft Exchange Server 2007\n"
	"\n"
	"\n"
	"\n"
	"Diagnostic information for administrators:\n"
	"\n"
	"Generating server: {host}\n"
	"\n"
	"{rcpt}\n"
	"#{text} ##\n"
	"\n"
	"Original message headers:\n"
	"\n"
	"{header}\n";

static const char complaint_text[] =
	"MIME-Version: 1.0\n"
	"Content-Type: multipart/report; report-type=feedback-report;\n"
	"\tboundary=\"{unique}\"\n"
	"\n"
	"--{unique}\n"
	"Content-Type: text/plain; charset=us-ascii\n"
	"\n"
	"This is an email abuse report for an email message received by {host} on {date}.\n"
	"\n"
	"--{unique}\n"
	"Content-Type: message/feedback-report\n"
	"\n"
	"Feedback-Type: abuse\n"
	"User-Agent: mtasim/1.0\n"
	"Version: 1\n"
	"Original-Mail-From: <{from}>\n"
	"Arrival-Date: {date}\n"
	"Reporting-MTA: dns; {host}\n"
	"Original-Rcpt-To: <{shown}>\n"
	"\n"
	"--{unique}\n"
	"Content-Type: message/rfc822\n"
	"\n"
	"{header}\n"
	"\n"
	"--{unique}--\n";

static const char leave_text[] = "\n"
				 "unsubscribe\n";

static const char click_text[] = "POST {path} HTTP/1.1\n"
				 "Host: {authority}\n"
				 "Content-Type: application/x-www-form-urlencoded\n"
				 "Content-Length: 26\n"
				 "Connection: close\n"
				 "\n"
				 "List-Unsubscribe=One-Click";

static const char holiday_text[] = "Auto-Submitted: auto-replied\n"
				   "\n"
				   "I am back on Monday. Your mail is not forwarded.\n";

static const char riddle_text[] = "\n"
				  "Your item was put into category 17 by this gateway. Reference {unique}.\n";

static const struct form {
	const char *author, *about; /* NULL: no mail, so without a head */
	const char *text;           /* further fields, the empty line, and what follows */
} forms[] = {
	[SIM_SEND_DSN] = {"MAILER-DAEMON@{host} (Mail Delivery System)",
		"Undelivered Mail Returned to Sender", dsn_text},
	[SIM_SEND_QMAIL] = {"MAILER-DAEMON@{host}", "failure notice", qmail_text},
	[SIM_SEND_EXIM] = {"Mail Delivery System <Mailer-Daemon@{host}>",
		"Mail delivery failed: returning message to sender", exim_text},
	[SIM_SEND_EXCHANGE] = {"Microsoft Exchange <postmaster@{host}>", "Undeliverable: your message",
		exchange_text},
	[SIM_SEND_COMPLAINT] = {"Feedback Loop <feedback@{host}>", "Abuse report", complaint_text},
	[SIM_SEND_UNSUBSCRIBE_MAIL] = {"<{rcpt}>", "{subject}", leave_text},
	[SIM_SEND_UNSUBSCRIBE_CLICK] = {NULL, NULL, click_text},
	[SIM_SEND_AUTO_REPLY] = {"<{rcpt}>", "Automatic reply: I am on holiday", holiday_text},
	[SIM_SEND_UNREADABLE] = {"Gateway <gateway@{host}>", "Notice {unique}", riddle_text},
};

static struct smtp_slice
slice_of(const char *text)
{
	return (struct smtp_slice){text, strnlen(text, TEXT_MAX)};
}

/* --- where to --- */

struct smtp_slice
return_header(struct smtp_slice message)
{
	const char *end = memmem(message.ptr, message.len, "\r\n\r\n", 4);

	return (struct smtp_slice){message.ptr, end != NULL ? (size_t)(end - message.ptr) + 2 : message.len};
}

static bool
copy_to(char *out, size_t max, struct smtp_slice text)
{
	if (text.len == 0 || text.len >= max || memchr(text.ptr, '\0', text.len) != NULL)
		return false;
	memcpy(out, text.ptr, text.len);
	out[text.len] = '\0';
	return true;
}

/* The first URL of List-Unsubscribe with this scheme, without it; into `buf`. */
static struct smtp_slice
list_unsubscribe(struct smtp_slice header, struct smtp_slice scheme, char *buf)
{
	int len = smtp_header_unfold(smtp_mime_header(header, SMTP_LIT("List-Unsubscribe")), buf, LIST_MAX);
	const char *at = buf, *end = buf + (len > 0 ? len : 0), *close;

	while ((at = memchr(at, '<', (size_t)(end - at))) != NULL &&
		(close = memchr(at, '>', (size_t)(end - at))) != NULL) {
		struct smtp_slice url = {at + 1, (size_t)(close - at) - 1};

		if (url.len > scheme.len &&
			smtp_slice_is_nocase((struct smtp_slice){url.ptr, scheme.len}, scheme))
			return (struct smtp_slice){url.ptr + scheme.len, url.len - scheme.len};
		at = close;
	}
	return (struct smtp_slice){"", 0};
}

static bool
find_mailto(const struct return_facts *f, struct return_goal *goal)
{
	static const struct smtp_slice field = SMTP_LIT("subject=");
	char buf[LIST_MAX];
	struct smtp_slice url = list_unsubscribe(f->header, SMTP_LIT("mailto:"), buf), subject;
	const char *query = memchr(url.ptr, '?', url.len);

	if (query == NULL)
		return copy_to(goal->address, sizeof(goal->address), url);
	subject = (struct smtp_slice){query + 1, url.len - (size_t)(query - url.ptr) - 1};
	url.len = (size_t)(query - url.ptr);
	if (subject.len > field.len &&
		smtp_slice_is_nocase((struct smtp_slice){subject.ptr, field.len}, field))
		(void)copy_to(goal->subject, sizeof(goal->subject),
			(struct smtp_slice){subject.ptr + field.len, subject.len - field.len});
	return copy_to(goal->address, sizeof(goal->address), url);
}

static bool
find_click(const struct return_facts *f, struct return_goal *goal)
{
	static const char wanted[] = "List-Unsubscribe=One-Click";
	char buf[LIST_MAX];
	int len = smtp_header_unfold(
		smtp_mime_header(f->header, SMTP_LIT("List-Unsubscribe-Post")), buf, sizeof(buf));

	if (len != sizeof(wanted) - 1 || memcmp(buf, wanted, sizeof(wanted) - 1) != 0)
		return false;
	return copy_to(goal->url, sizeof(goal->url), list_unsubscribe(f->header, SMTP_LIT("https://"), buf));
}

/* RFC 9477 3.1.1: "fbl@x.test; report=arf". */
static bool
find_cfbl(const struct return_facts *f, struct return_goal *goal)
{
	char buf[LIST_MAX];
	int len = smtp_header_unfold(smtp_mime_header(f->header, SMTP_LIT("CFBL-Address")), buf, sizeof(buf));
	struct smtp_slice address = {buf, len > 0 ? (size_t)len : 0};
	const char *semicolon = memchr(buf, ';', address.len);

	if (semicolon != NULL)
		address.len = (size_t)(semicolon - buf);
	while (address.len > 0 && address.ptr[address.len - 1] == ' ')
		address.len--;
	return copy_to(goal->address, sizeof(goal->address), address);
}

bool
return_goal_find(const struct return_facts *f, struct return_goal *out_goal)
{
	*out_goal = (struct return_goal){.subject = "unsubscribe"};
	if (f->rule->to != NULL)
		return copy_to(out_goal->address, sizeof(out_goal->address), slice_of(f->rule->to));
	switch (f->rule->send) {
	case SIM_SEND_UNSUBSCRIBE_MAIL:
		return find_mailto(f, out_goal);
	case SIM_SEND_UNSUBSCRIBE_CLICK:
		return find_click(f, out_goal);
	case SIM_SEND_COMPLAINT:
		return find_cfbl(f, out_goal);
	default:
		return copy_to(out_goal->address, sizeof(out_goal->address), f->sender);
	}
}

struct smtp_slice
return_sender(const struct return_facts *f)
{
	/* RFC 3464 2 and RFC 3834 3.3: nobody answers these. */
	return f->rule->send == SIM_SEND_UNSUBSCRIBE_MAIL ? f->rcpt : (struct smtp_slice){"", 0};
}

/* --- the bytes --- */

static void
put(FILE *out, struct smtp_slice text)
{
	size_t i;

	for (i = 0; i < text.len; i++)
		fputc((unsigned char)text.ptr[i] > 126 ? '?' : text.ptr[i], out);
}

/* In one line. */
static void
put_line(FILE *out, struct smtp_slice text)
{
	size_t i;

	for (i = 0; i < text.len; i++)
		fputc(text.ptr[i] < ' ' || text.ptr[i] > 126 ? '?' : text.ptr[i], out);
}

/* The recipient as the report shows it: RFC 6590 would hash the local part, in the wild it is this word. */
static void
put_shown(FILE *out, const struct return_facts *f)
{
	const char *at = memrchr(f->rcpt.ptr, '@', f->rcpt.len);

	if (!f->rule->redact) {
		put_line(out, f->rcpt);
		return;
	}
	put(out, SMTP_LIT("redacted"));
	if (at != NULL)
		put_line(out, (struct smtp_slice){at, f->rcpt.len - (size_t)(at - f->rcpt.ptr)});
}

static void
put_header(FILE *out, const struct return_facts *f)
{
	struct smtp_slice left = f->header;

	while (f->rule->redact && left.len >= f->rcpt.len) {
		if (smtp_slice_is_nocase((struct smtp_slice){left.ptr, f->rcpt.len}, f->rcpt)) {
			put_shown(out, f);
			left.ptr += f->rcpt.len;
			left.len -= f->rcpt.len;
		} else {
			put(out, (struct smtp_slice){left.ptr++, 1});
			left.len--;
		}
	}
	put(out, left);
}

static void
put_date(FILE *out, const struct return_facts *f)
{
	char date[SMTP_DATE_LEN];
	int len = smtp_date_write(f->now_s, date, sizeof(date));

	assert(len == SMTP_DATE_LEN);
	put(out, (struct smtp_slice){date, (size_t)len});
}

static void
put_url(FILE *out, const struct return_goal *goal, bool is_path)
{
	struct smtp_slice url = RETURN_TEXT(goal->url);
	const char *slash = memchr(url.ptr, '/', url.len);
	size_t host_len = slash != NULL ? (size_t)(slash - url.ptr) : url.len;

	if (!is_path)
		put_line(out, (struct smtp_slice){url.ptr, host_len});
	else
		put_line(out, slash != NULL ? (struct smtp_slice){slash, url.len - host_len} : SMTP_LIT("/"));
}

static void put_form(
	FILE *out, const struct return_facts *f, const struct return_goal *goal, const char *text);

static void
put_name(FILE *out, const struct return_facts *f, const struct return_goal *goal, struct smtp_slice name)
{
	const struct {
		struct smtp_slice name, value;
	} lines[] = {
		{SMTP_LIT("to"), RETURN_TEXT(goal->address)},
		{SMTP_LIT("subject"), RETURN_TEXT(goal->subject)},
		{SMTP_LIT("host"), slice_of(f->site->hostname)},
		{SMTP_LIT("status"), slice_of(f->rule->status)},
		{SMTP_LIT("text"), slice_of(f->rule->text)},
		{SMTP_LIT("from"), f->sender},
		{SMTP_LIT("rcpt"), f->rcpt},
	};
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (smtp_slice_is(name, lines[i].name)) {
			put_line(out, lines[i].value);
			return;
		}
	}
	if (smtp_slice_is(name, SMTP_LIT("author")))
		put_form(out, f, goal, forms[f->rule->send].author);
	else if (smtp_slice_is(name, SMTP_LIT("about")))
		put_form(out, f, goal, forms[f->rule->send].about);
	else if (smtp_slice_is(name, SMTP_LIT("unique")))
		fprintf(out, "r%llu.%lld", (unsigned long long)f->number, (long long)f->now_s);
	else if (smtp_slice_is(name, SMTP_LIT("date")))
		put_date(out, f);
	else if (smtp_slice_is(name, SMTP_LIT("shown")))
		put_shown(out, f);
	else if (smtp_slice_is(name, SMTP_LIT("header")))
		put_header(out, f);
	else
		put_url(out, goal, smtp_slice_is(name, SMTP_LIT("path")));
}

static void
put_form(FILE *out, const struct return_facts *f, const struct return_goal *goal, const char *text)
{
	const char *at, *close;

	for (at = text; *at != '\0'; at++) {
		if (*at == '\n') {
			put(out, SMTP_LIT("\r\n"));
		} else if (*at == '{') {
			close = strchr(at, '}');
			assert(close != NULL);
			put_name(out, f, goal, (struct smtp_slice){at + 1, (size_t)(close - at) - 1});
			at = close;
		} else {
			fputc(*at, out);
		}
	}
}

char *
return_write(const struct return_facts *f, const struct return_goal *goal, size_t *out_len)
{
	const struct form *form = &forms[f->rule->send];
	char *text = NULL;
	FILE *out = open_memstream(&text, out_len);

	if (out == NULL)
		return NULL;
	if (form->author != NULL)
		put_form(out, f, goal, head);
	put_form(out, f, goal, form->text);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}
