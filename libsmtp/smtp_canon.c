/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signature breaks when signer and verifier differ in one byte, so everything here is a transcription
 * of RFC 6376 3.4 and nothing is clever but one thing: what may turn out not to count (line ends, and in
 * the relaxed form blanks) is held back in counters until a byte follows that makes it count. That gives
 * the same bytes for a body in one piece and for one cut anywhere, and needs no buffer.
 *
 * Lines are found with memchr, and runs that are already canonical are handed on as they lie in memory;
 * a message costs a few microseconds.
 */
#include "smtp_canon.h"

#include "smtp_out.h"

#include <assert.h>
#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
put(struct smtp_canon_sink sink, const char *from, const char *to)
{
	if (to > from)
		sink.put(sink.arg, (struct smtp_slice){from, (size_t)(to - from)});
}

static void
put_text(struct smtp_canon_sink sink, struct smtp_slice text)
{
	sink.put(sink.arg, text);
}

/* --- body --- */

void
smtp_canon_body_init(struct smtp_canon_body *c, enum smtp_canon_kind kind, struct smtp_canon_sink sink)
{
	*c = (struct smtp_canon_body){.kind = kind, .sink = sink};
}

/* Something that counts follows: so does what was held back before it. */
static void
release(struct smtp_canon_body *c)
{
	for (; c->line_ends > 0; c->line_ends--)
		put_text(c->sink, SMTP_LIT("\r\n"));
	if (c->has_blank)
		put_text(c->sink, SMTP_LIT(" "));
	c->has_blank = false;
	c->has_content = true;
}

/*
 * Where the run of bytes ends that stay as they are in the relaxed form: at a tab, or at a blank that
 * another blank or the end follows. Eight bytes at a time, since blanks are too frequent in text for a
 * branch each: a byte below 33 next to another one is looked at closely, everything else is not.
 */
static const char *
plain_run_end(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101, high_bits = ones << 7;

	for (; end - p > 8; p += 8) {
		uint64_t here, next, low;

		memcpy(&here, p, 8);
		memcpy(&next, p + 1, 8);
		/* The classic test for bytes below 33; a borrow can only report too much, never too little.
		 */
		low = (here - ones * 33) & ~here & (next - ones * 33) & ~next & high_bits;
		here ^= ones * '\t';
		low |= (here - ones) & ~here & high_bits;
		if (low != 0)
			break;
	}
	for (; p < end; p++)
		if (*p == '\t' || (*p == ' ' && (p + 1 == end || is_blank(p[1]))))
			break;
	return p;
}

/* Bytes of a line, without its CRLF. */
static void
feed_text(struct smtp_canon_body *c, const char *p, const char *end)
{
	if (p == end)
		return;
	if (c->kind == SMTP_CANON_SIMPLE) {
		release(c);
		put(c->sink, p, end);
		return;
	}
	while (p < end) {
		const char *run = p;

		while (p < end && is_blank(*p))
			p++;
		c->has_blank |= p > run;
		run = p;
		p = plain_run_end(p, end);
		if (p > run) {
			release(c);
			put(c->sink, run, p);
		}
	}
}

static void
feed_line_end(struct smtp_canon_body *c)
{
	c->has_blank = false;
	c->line_ends++;
}

/* A piece ended in CR: only now is it known what that was. */
static const char *
settle_cr(struct smtp_canon_body *c, const char *p)
{
	c->has_cr = false;
	if (*p == '\n') {
		feed_line_end(c);
		return p + 1;
	}
	release(c);
	put_text(c->sink, SMTP_LIT("\r"));
	return p;
}

void
smtp_canon_body_feed(struct smtp_canon_body *c, struct smtp_slice in)
{
	const char *p = in.ptr, *end, *text;

	if (in.len == 0)
		return;
	end = p + in.len;
	if (c->has_cr)
		p = settle_cr(c, p);
	text = p;
	/* Bare CRs and LFs stay in the text: only CRLF ends a line. */
	while (p < end && (p = memchr(p, '\r', (size_t)(end - p))) != NULL) {
		if (p + 1 == end) {
			c->has_cr = true;
			end = p;
			break;
		}
		p++;
		if (*p != '\n')
			continue;
		feed_text(c, text, p - 1);
		feed_line_end(c);
		text = ++p;
	}
	feed_text(c, text, end);
}

void
smtp_canon_body_end(struct smtp_canon_body *c)
{
	if (c->has_cr) {
		release(c);
		put_text(c->sink, SMTP_LIT("\r"));
	}
	/* RFC 6376 3.4.3, 3.4.4: one CRLF at the end, there or not; of an empty body only in the simple form.
	 */
	if (c->has_content || c->kind == SMTP_CANON_SIMPLE)
		put_text(c->sink, SMTP_LIT("\r\n"));
}

/* --- header --- */

static void
put_lower(struct smtp_canon_sink sink, struct smtp_slice name)
{
	char lower[64];
	size_t n = 0;

	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		lower[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
		if (n == sizeof(lower) || i + 1 == name.len) {
			put(sink, lower, lower + n);
			n = 0;
		}
	}
}

/* Unfolded, runs of blanks made one, none at either end (RFC 6376 3.4.2). */
static void
put_relaxed_value(struct smtp_canon_sink sink, struct smtp_slice value)
{
	const char *p = value.ptr, *end = p + value.len;
	bool has_text = false;

	while (p < end) {
		const char *run = p, *line_end;

		while (p < end && (is_blank(*p) || *p == '\r' || *p == '\n'))
			p++;
		if (p == end)
			return;
		if (has_text && p > run)
			put_text(sink, SMTP_LIT(" "));
		has_text = true;
		line_end = memchr(p, '\r', (size_t)(end - p));
		if (line_end == NULL)
			line_end = end;
		run = p;
		p = plain_run_end(p, line_end);
		put(sink, run, p);
	}
}

void
smtp_canon_field(enum smtp_canon_kind kind, const struct smtp_field *f, struct smtp_canon_sink sink)
{
	assert(f->whole.len >= f->name.len + f->value.len + 3);
	if (kind == SMTP_CANON_SIMPLE) {
		put_text(sink, f->whole);
		return;
	}
	put_lower(sink, f->name);
	put_text(sink, SMTP_LIT(":"));
	put_relaxed_value(sink, f->value);
	put_text(sink, SMTP_LIT("\r\n"));
}

/* --- choice --- */

/*
 * SHUT: one more entry than there are fields, so that adding one breaks the signature, also where there is
 * none yet: these decide what a reader sees and where an answer goes (RFC 6376 8.15).
 * SHUT_IF_THERE: likewise, but where there is none a mailing list may add its own and stay valid.
 * OPEN: what is there is signed.
 */
enum cover { SHUT, SHUT_IF_THERE, OPEN };

static const struct {
	struct smtp_slice name;
	enum cover cover;
} rules[] = {
	{SMTP_LIT("From"), SHUT},
	{SMTP_LIT("Sender"), SHUT_IF_THERE},
	{SMTP_LIT("Reply-To"), SHUT},
	{SMTP_LIT("To"), SHUT},
	{SMTP_LIT("Cc"), SHUT},
	{SMTP_LIT("Subject"), SHUT},
	{SMTP_LIT("Date"), SHUT},
	{SMTP_LIT("Message-ID"), SHUT},
	{SMTP_LIT("In-Reply-To"), SHUT_IF_THERE},
	{SMTP_LIT("References"), SHUT_IF_THERE},
	{SMTP_LIT("MIME-Version"), SHUT},
	{SMTP_LIT("Content-Type"), SHUT},
	{SMTP_LIT("Content-Transfer-Encoding"), SHUT},
	{SMTP_LIT("Content-Disposition"), SHUT_IF_THERE},
	{SMTP_LIT("Content-Language"), OPEN},
	/* RFC 8058 4: a receiver honours one-click only when both are covered. */
	{SMTP_LIT("List-Unsubscribe"), SHUT_IF_THERE},
	{SMTP_LIT("List-Unsubscribe-Post"), SHUT_IF_THERE},
	{SMTP_LIT("List-Id"), SHUT_IF_THERE},
	{SMTP_LIT("List-Help"), OPEN},
	{SMTP_LIT("List-Post"), OPEN},
	{SMTP_LIT("List-Subscribe"), OPEN},
	{SMTP_LIT("List-Owner"), OPEN},
	{SMTP_LIT("List-Archive"), OPEN},
	{SMTP_LIT("Feedback-ID"), SHUT_IF_THERE},
	{SMTP_LIT("CFBL-Address"), SHUT_IF_THERE},
	{SMTP_LIT("CFBL-Feedback-ID"), SHUT_IF_THERE},
	{SMTP_LIT("Auto-Submitted"), SHUT_IF_THERE},
	{SMTP_LIT("Precedence"), OPEN},
	{SMTP_LIT("Resent-From"), OPEN},
	{SMTP_LIT("Resent-Sender"), OPEN},
	{SMTP_LIT("Resent-To"), OPEN},
	{SMTP_LIT("Resent-Cc"), OPEN},
	{SMTP_LIT("Resent-Date"), OPEN},
	{SMTP_LIT("Resent-Message-ID"), OPEN},
};

enum { RULE_COUNT = sizeof(rules) / sizeof(rules[0]) };
static_assert(RULE_COUNT * SMTP_SIGN_INSTANCES_MAX <= SMTP_SIGN_ENTRIES_MAX, "room for each rule's entries");

/* The entries of one name; at most SMTP_SIGN_INSTANCES_MAX, or a header of a thousand Ccs makes a huge h=. */
static uint32_t
choose_name(const struct smtp_header *h, size_t rule, struct smtp_sign_entry *entries)
{
	uint32_t n = 0;

	for (uint32_t i = h->count; i > 0 && n < SMTP_SIGN_INSTANCES_MAX; i--)
		if (smtp_slice_is_nocase(h->fields[i - 1].name, rules[rule].name))
			entries[n++] = (struct smtp_sign_entry){rules[rule].name, &h->fields[i - 1]};
	if (n == SMTP_SIGN_INSTANCES_MAX || rules[rule].cover == OPEN)
		return n;
	if (n > 0 || rules[rule].cover == SHUT)
		entries[n++] = (struct smtp_sign_entry){rules[rule].name, NULL};
	return n;
}

uint32_t
smtp_sign_choose(const struct smtp_header *h, struct smtp_sign_entry entries[SMTP_SIGN_ENTRIES_MAX])
{
	uint32_t n = 0;

	if (smtp_header_find(h, SMTP_LIT("From"), 0) < 0)
		return 0;
	for (size_t rule = 0; rule < RULE_COUNT; rule++)
		n += choose_name(h, rule, entries + n);
	assert(n <= SMTP_SIGN_ENTRIES_MAX);
	return n;
}

/* --- the field --- */

enum { FOLD_COLUMN = 76 }; /* RFC 5322 2.1.1: lines of 78 at most where that is possible */

static void
fold(struct smtp_out *o)
{
	smtp_out_put(o, SMTP_LIT("\r\n"));
	smtp_out_put(o, SMTP_LIT("\t"));
}

/* "; name=value", which no line break may cut, on the next line when this one is full. */
static void
put_tag(struct smtp_out *o, struct smtp_slice name, struct smtp_slice value)
{
	smtp_out_put(o, SMTP_LIT(";"));
	if (o->column + 1 + name.len + value.len > FOLD_COLUMN)
		fold(o);
	else
		smtp_out_put(o, SMTP_LIT(" "));
	smtp_out_put(o, name);
	smtp_out_put(o, value);
}

static struct smtp_slice
canon_name(const struct smtp_dkim_tags *t)
{
	if (t->header_kind == SMTP_CANON_RELAXED)
		return t->body_kind == SMTP_CANON_RELAXED ? SMTP_LIT("relaxed/relaxed")
							  : SMTP_LIT("relaxed/simple");
	return t->body_kind == SMTP_CANON_RELAXED ? SMTP_LIT("simple/relaxed") : SMTP_LIT("simple/simple");
}

static void
put_entries(struct smtp_out *o, const struct smtp_dkim_tags *t)
{
	put_tag(o, SMTP_LIT("h="), t->entries[0].name);
	for (uint32_t i = 1; i < t->entry_count; i++) {
		smtp_out_put(o, SMTP_LIT(":"));
		if (o->column + t->entries[i].name.len > FOLD_COLUMN)
			fold(o);
		smtp_out_put(o, t->entries[i].name);
	}
}

int
smtp_dkim_write(const struct smtp_dkim_tags *t, char *buf, size_t max)
{
	struct smtp_out o = {buf, max, 0, 0};
	char digits[20];
	struct smtp_out number = {digits, sizeof(digits), 0, 0};

	assert(t->entry_count > 0);
	smtp_out_put(&o, SMTP_LIT("DKIM-Signature: v=1"));
	put_tag(&o, SMTP_LIT("a="), t->algorithm);
	put_tag(&o, SMTP_LIT("c="), canon_name(t));
	put_tag(&o, SMTP_LIT("d="), t->domain);
	put_tag(&o, SMTP_LIT("s="), t->selector);
	if (t->signed_at > 0) {
		smtp_out_number(&number, (uint64_t)t->signed_at, 1);
		put_tag(&o, SMTP_LIT("t="), (struct smtp_slice){digits, number.len});
	}
	put_entries(&o, t);
	put_tag(&o, SMTP_LIT("bh="), t->body_hash);
	smtp_out_put(&o, SMTP_LIT(";"));
	fold(&o);
	smtp_out_put(&o, SMTP_LIT("b="));
	return smtp_out_result(&o);
}

void
smtp_dkim_canon(enum smtp_canon_kind kind, struct smtp_slice unfinished, struct smtp_canon_sink sink)
{
	static const struct smtp_slice name = SMTP_LIT("dkim-signature:");

	assert(unfinished.len > name.len);
	if (kind == SMTP_CANON_SIMPLE) {
		put_text(sink, unfinished);
		return;
	}
	put_text(sink, name);
	put_relaxed_value(sink, (struct smtp_slice){unfinished.ptr + name.len, unfinished.len - name.len});
}

int
smtp_dkim_finish(char *buf, size_t len, size_t max, struct smtp_slice signature)
{
	struct smtp_out o = {buf, max, len, 0};
	size_t at = 0;

	assert(len <= max);
	while (o.column < len && buf[len - 1 - o.column] != '\n')
		o.column++;
	assert(o.column < FOLD_COLUMN);
	while (at < signature.len) {
		size_t left = signature.len - at, room = FOLD_COLUMN - o.column;
		size_t n = left < room ? left : room;

		smtp_out_put(&o, (struct smtp_slice){signature.ptr + at, n});
		at += n;
		if (at < signature.len)
			fold(&o);
	}
	smtp_out_put(&o, SMTP_LIT("\r\n"));
	return smtp_out_result(&o);
}
