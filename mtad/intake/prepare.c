/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The result is up to three pieces: our own fields on top, the header block (the client's bytes where nothing
 * had to be taken out, else a copy without the removed fields), the body. Nothing below the top is ever
 * re-written, so what the client signed or folded stays as it was.
 */
#include "intake/prepare.h"

#include "base/domain.h"
#include "feedback/issue.h"
#include "intake/auth.h"
#include "intake/kept.h"
#include "intake/wish.h"
#include "smtp_date.h"
#include "smtp_header.h"
#include "smtp_params.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	TOP_MAX = 2048 + ISSUE_FIELDS_MAX + ISSUE_CFBL_MAX,
	DATE_MAX = 64,
	HELO_MAX = 128,
	/* Two hosts that send mail to each other stop after this many rounds and not after SMTP_HOPS_MAX. A
	 * filter and a list on its way bring a message through here three times at most. */
	OWN_TRACES_MAX = 10,
};

/* One submission while it is prepared. */
struct work {
	struct message *m;
	const struct prepare_input *in;
	struct smtp_slice all; /* header and body as they came, but for a line of a mailbox file */
	struct smtp_header header;
	struct smtp_field fields[SMTP_HEADER_FIELDS_MAX];
	bool removed[SMTP_HEADER_FIELDS_MAX];
	uint32_t removed_count;
};

static void __attribute__((format(printf, 4, 5)))
refuse(struct prepare_reply *out, int code, const char *esc, const char *format, ...)
{
	va_list ap;

	out->code = code;
	out->esc = esc;
	va_start(ap, format);
	vsnprintf(out->text, sizeof(out->text), format, ap);
	va_end(ap);
}

static struct smtp_slice
text(const char *s)
{
	return (struct smtp_slice){s, strnlen(s, 256)};
}

static bool
is_in(struct smtp_slice name, const struct conf_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (smtp_slice_is_nocase(name, text(list->items[i])))
			return true;
	return false;
}

static bool
has_8bit(const char *bytes, size_t len)
{
	uint64_t word, any = 0;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, bytes + i, 8);
		any |= word;
	}
	for (; i < len; i++)
		any |= (unsigned char)bytes[i] & 0x80u;
	return (any & UINT64_C(0x8080808080808080)) != 0;
}

static int
count_field(const struct work *w, struct smtp_slice name)
{
	int at = -1, count = 0;

	while ((at = smtp_header_find(&w->header, name, (uint32_t)(at + 1))) >= 0)
		count++;
	return count;
}

static bool
is_blank(struct smtp_slice value)
{
	return smtp_header_unfold(value, NULL, 0) == 0;
}

/* A job or pool name: what fits into records and file names of accounting tools. */
static bool
is_name(const char *s, int len)
{
	int i;

	for (i = 0; i < len; i++)
		if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 127 || s[i] == ',' || s[i] == '"')
			return false;
	return len > 0 && len < QUEUE_NAME_MAX;
}

static void
remove_field(struct work *w, uint32_t i)
{
	if (!w->removed[i])
		w->removed_count++;
	w->removed[i] = true;
}

/* An empty Date or Message-ID is refused by large sites as if it were missing, so it is. */
static bool
has_filled_field(struct work *w, struct smtp_slice name)
{
	bool found = false;
	int at = -1;

	while ((at = smtp_header_find(&w->header, name, (uint32_t)(at + 1))) >= 0) {
		if (is_blank(w->fields[at].value))
			remove_field(w, (uint32_t)at);
		else
			found = true;
	}
	return found;
}

/* A control field. The first one of its kind counts; all are removed. */
struct control {
	struct smtp_slice name;
	char value[QUEUE_NAME_MAX]; /* ends with NUL; "" when it is longer than that or has a NUL */
	size_t len;
};

/* The first one named in `list` that says something. False: there is none, or it is not for this client to
 * say. */
static bool
take_control(struct work *w, const struct conf_list *list, struct control *out)
{
	bool found = false;
	uint32_t i;
	int len;

	for (i = 0; i < w->header.count; i++) {
		if (!is_in(w->fields[i].name, list))
			continue;
		remove_field(w, i);
		if (!w->in->is_trusted || found || is_blank(w->fields[i].value))
			continue;
		len = smtp_header_unfold(w->fields[i].value, out->value, sizeof(out->value) - 1);
		out->name = w->fields[i].name;
		out->len = len > 0 && memchr(out->value, '\0', (size_t)len) == NULL ? (size_t)len : 0;
		out->value[out->len] = '\0';
		found = true;
	}
	return found;
}

static bool
refuse_control(struct prepare_reply *out, const struct control *c, int code, const char *why)
{
	refuse(out, code, "5.6.0", "Field %.*s: %s", (int)c->name.len, c->name.ptr, why);
	return false;
}

/* A job or a pool. False: refused. */
static bool
take_name(struct work *w, const struct conf_list *list, const char *what, struct queue_blob *out_name,
	struct prepare_reply *out)
{
	struct control c;
	char why[80];

	if (!take_control(w, list, &c))
		return true;
	snprintf(why, sizeof(why), "a %s is 1 to 127 printable characters without blank, comma or quote",
		what);
	if (!is_name(c.value, (int)c.len))
		return refuse_control(out, &c, 550, why);
	*out_name = message_keep(w->m, c.value, c.len);
	return true;
}

/* By its author or, where the pools know none of that, by its envelope; "": by neither. */
static const char *
pool_of_sender(const struct work *w)
{
	const struct conf *c = w->in->conf;
	int from = smtp_header_find(&w->header, SMTP_LIT("From"), 0), pool = -1;
	struct smtp_slice value, address;

	if (from >= 0) {
		value = w->fields[from].value;
		if (smtp_header_address(&value, &address) > 0)
			pool = conf_pool_of_sender(c, address.ptr, address.len);
	}
	if (pool < 0 && w->m->meta.sender.len > 0)
		pool = conf_pool_of_sender(c, w->m->meta.sender.ptr, w->m->meta.sender.len);
	return pool >= 0 ? c->pools[pool].name : "";
}

/* Header, user, listener, sender; after these it is up to where the mail goes. */
static bool
choose_pool(struct work *w, struct prepare_reply *out)
{
	const struct prepare_input *in = w->in;
	struct queue_blob *pool = &w->m->meta.pool;
	const char *name;

	if (!take_name(w, &in->conf->pool_headers, "pool", pool, out))
		return false;
	if (pool->len > 0) {
		if (conf_pool_find(in->conf, pool->ptr, pool->len) >= 0)
			return true;
		refuse(out, 550, "5.7.1", "Unknown pool \"%.*s\"", (int)pool->len, (const char *)pool->ptr);
		return false;
	}
	name = in->user != NULL && in->user->pool[0] != '\0' ? in->user->pool : in->listen->pool;
	if (name[0] == '\0')
		name = pool_of_sender(w);
	*pool = message_keep(w->m, name, strnlen(name, QUEUE_NAME_MAX));
	return true;
}

/* 554: it is as it was meant, and yet not to be. */
static bool
choose_release(struct work *w, int64_t now_us, struct prepare_reply *out)
{
	struct control c;
	const char *why;

	if (!take_control(w, &w->in->conf->schedule_headers, &c) ||
		wish_release(c.value, now_us, &w->m->meta, &why))
		return true;
	return refuse_control(out, &c, 554, why);
}

/* The next word outside comments; an empty one: there is none. */
static struct smtp_slice
next_word(struct smtp_slice *rest)
{
	struct smtp_slice word = {rest->ptr, 0};
	size_t at = 0, comments = 0;

	for (; at < rest->len; at++) {
		char c = rest->ptr[at];
		bool is_blank_here = c == ' ' || c == '\t' || c == '\r' || c == '\n';

		if (word.len > 0 && (is_blank_here || c == '(' || c == ';'))
			break;
		if (c == '\\' && comments > 0 && at + 1 < rest->len)
			at++;
		else if (c == '(')
			comments++;
		else if (c == ')' && comments > 0)
			comments--;
		else if (comments == 0 && !is_blank_here && word.len++ == 0)
			word.ptr = rest->ptr + at;
	}
	rest->ptr += at;
	rest->len -= at;
	return word;
}

/* RFC 6758 3.1 and 4: a single field counts, comments aside, and only where MAIL does not say it. */
static bool
choose_priority(struct work *w, struct prepare_reply *out)
{
	static const char *const names[] = {"MT-Priority"};
	static const struct conf_list list = {names, 1};
	bool is_single = count_field(w, SMTP_LIT("MT-Priority")) == 1;
	struct smtp_slice rest, word;
	struct control c;
	const char *why;

	if (!take_control(w, &list, &c) || !is_single || w->in->has_priority)
		return true;
	rest = (struct smtp_slice){c.value, c.len};
	word = next_word(&rest);
	if (next_word(&rest).len > 0)
		word.len = 0;
	return wish_priority(word, &w->m->meta, &why) || refuse_control(out, &c, 554, why);
}

/* A class by name counts before every number. */
static bool
choose_class(struct work *w, struct prepare_reply *out)
{
	struct control c;
	const char *why;

	if (!take_control(w, &w->in->conf->class_headers, &c) ||
		wish_class((struct smtp_slice){c.value, c.len}, &w->m->meta.klass, &why))
		return true;
	return refuse_control(out, &c, 554, why);
}

static void
drop_unwanted(struct work *w)
{
	uint32_t i;

	for (i = 0; i < w->header.count; i++)
		if (is_in(w->fields[i].name, &w->in->conf->remove_headers))
			remove_field(w, i);
}

/* What readers see, and the signature vouches for, is From and not the envelope (A21). */
static bool
may_write_from(const struct work *w)
{
	const struct conf_user *user = w->in->user;
	struct smtp_slice value, address;
	int at = smtp_header_find(&w->header, SMTP_LIT("From"), 0), got, count = 0;

	if (user == NULL || user->senders.count == 0)
		return true;
	value = w->fields[at].value;
	while ((got = smtp_header_address(&value, &address)) > 0) {
		if (!auth_may_send_as(user, address))
			return false;
		count++;
	}
	return got == 0 && count > 0;
}

/* B15: Received fields of this host ("by" and its name), whoever wrote them. */
static unsigned
count_own_traces(const struct work *w)
{
	struct smtp_slice own = text(w->in->conf->hostname), rest, word;
	unsigned count = 0;
	int at = -1;

	while ((at = smtp_header_find(&w->header, SMTP_LIT("Received"), (uint32_t)(at + 1))) >= 0) {
		rest = w->fields[at].value;
		do {
			word = next_word(&rest);
		} while (word.len > 0 && !smtp_slice_is_nocase(word, SMTP_LIT("by")));
		count += smtp_slice_is_nocase(next_word(&rest), own);
	}
	return count;
}

/*
 * B5: programs that read mailbox files hand on the line that begins a message there ("From a@b.test Mon Jan 1
 * ..."). It is no field, and names nothing the envelope does not; who is refused for it has no means against
 * it.
 */
static struct smtp_slice
without_mailbox_line(struct smtp_slice all)
{
	size_t quote = all.len > 0 && all.ptr[0] == '>';
	const char *lf = all.len > 0 ? memchr(all.ptr, '\n', all.len) : NULL;
	size_t line;

	if (lf == NULL || (line = (size_t)(lf - all.ptr) + 1) < quote + 5 ||
		memcmp(all.ptr + quote, "From ", 5) != 0)
		return all;
	/* "From : a@b.test" is a field somebody wrote badly, and refused as one. */
	if (all.ptr[quote + 5] == ':')
		return all;
	return (struct smtp_slice){all.ptr + line, all.len - line};
}

static bool
check_header(struct work *w, struct prepare_reply *out)
{
	unsigned traces;
	size_t at = 0;
	int err, from;

	w->header.fields = w->fields;
	w->header.fields_max = SMTP_HEADER_FIELDS_MAX;
	err = smtp_header_scan(&w->header, w->all, &at);
	at += w->m->buffer_len - w->all.len;
	if (err == SMTP_ETOOLONG)
		refuse(out, 552, "5.3.4", "Header block is too long at byte %zu", at);
	else if (err != SMTP_OK)
		refuse(out, 550, "5.6.0",
			"Byte %zu of the message is in the header but begins no field (Name: value)", at);
	else if (w->header.hops > SMTP_HOPS_MAX)
		refuse(out, 554, "5.4.6", "Too many hops (%u Received fields): this is a loop",
			w->header.hops);
	else if ((traces = count_own_traces(w)) > OWN_TRACES_MAX)
		refuse(out, 554, "5.4.6", "This host has had the message %u times already: this is a loop",
			traces);
	else if ((from = count_field(w, SMTP_LIT("From"))) != 1)
		refuse(out, 550, "5.6.0",
			from == 0 ? "Message has no From field" : "Message has several From fields");
	else if (is_blank(w->fields[smtp_header_find(&w->header, SMTP_LIT("From"), 0)].value))
		refuse(out, 550, "5.6.0", "Message has an empty From field");
	else if (!may_write_from(w))
		refuse(out, 553, "5.7.1", "This user may not use that address in the From field");
	else
		return true;
	return false;
}

/* HELO names are the client's words: anything odd becomes a question mark in our trace field. */
static void
clean_helo(struct smtp_slice helo, char *buf, size_t max)
{
	size_t i, n = helo.len < max - 1 ? helo.len : max - 1;

	for (i = 0; i < n; i++) {
		char c = helo.ptr[i];

		buf[i] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
					 strchr("-._[]:", c) != NULL
				 ? c
				 : '?';
	}
	buf[n] = '\0';
}

/* "ESMTPSA" and its kin (RFC 3848, RFC 6531 4.3). */
static const char *
protocol(const struct prepare_input *in)
{
	static const char *const names[2][4] = {{"ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"},
		{"UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"}};

	if (!in->is_esmtp)
		return "SMTP";
	return names[in->is_smtputf8][(in->is_tls ? 2 : 0) + (in->user != NULL ? 1 : 0)];
}

/* "from client.test ([192.0.2.7])"; a client of a unix socket has no address. */
static int
write_client(const struct prepare_input *in, char *buf, size_t max)
{
	char helo[HELO_MAX];

	clean_helo(in->helo, helo, sizeof(helo));
	if (strcmp(in->client_ip, "local") == 0)
		return snprintf(buf, max, "from %s\r\n\t", helo);
	return snprintf(buf, max, "from %s ([%s%s])\r\n\t", helo,
		strchr(in->client_ip, ':') != NULL ? "IPv6:" : "", in->client_ip);
}

/* Received, and Date and Message-ID where they are missing. Length, negative: does not fit (it always does).
 * The id says arrival and nonce, so that a report which shows no more than this leads to the recipient
 * (intake/returned.c). */
static int
write_top(struct work *w, char *buf, size_t max)
{
	const struct prepare_input *in = w->in;
	uint32_t nonce = w->m->meta.nonce != 0 ? w->m->meta.nonce : clock_random(in->clock);
	char date[DATE_MAX] = {0}, token[24];
	int n;

	if (smtp_date_write(w->m->meta.arrived_us / 1000000, date, sizeof(date)) < 0)
		return -1;
	snprintf(token, sizeof(token), "%llx%08x", (unsigned long long)w->m->meta.arrived_us, nonce);
	n = snprintf(buf, max, "Received: ");
	if (in->listen->show_client)
		n += write_client(in, buf + n, max - (size_t)n);
	n += snprintf(
		buf + n, max - (size_t)n, "by %s with %s id %s", in->conf->hostname, protocol(in), token);
	if (w->m->meta.priority != 0) /* RFC 6710 4.1, 2 */
		n += snprintf(buf + n, max - (size_t)n, " PRIORITY %d", w->m->meta.priority);
	n += snprintf(buf + n, max - (size_t)n, ";\r\n\t%s\r\n", date);
	if (!has_filled_field(w, SMTP_LIT("Date")))
		n += snprintf(buf + n, max - (size_t)n, "Date: %s\r\n", date);
	if (!has_filled_field(w, SMTP_LIT("Message-ID")))
		n += snprintf(buf + n, max - (size_t)n, "Message-ID: <%s@%s>\r\n", token, in->conf->hostname);
	return n < (int)max ? n : -1;
}

/* The header block without the removed fields. NULL ptr: no memory. */
static struct queue_blob
copy_header(struct work *w)
{
	struct queue_blob copy = message_keep(w->m, w->all.ptr, w->header.header_bytes);
	char *to;
	uint32_t i;

	if (copy.ptr == NULL)
		return copy;
	to = (char *)(uintptr_t)copy.ptr;
	for (i = 0; i < w->header.count; i++) {
		if (w->removed[i])
			continue;
		memcpy(to, w->fields[i].whole.ptr, w->fields[i].whole.len);
		to += w->fields[i].whole.len;
	}
	/* A message may be fields alone (RFC 5322 3.5). */
	if (w->header.is_closed) {
		memcpy(to, "\r\n", 2);
		to += 2;
	}
	copy.len = (size_t)(to - (const char *)copy.ptr);
	return copy;
}

/* Bounces of bounces have no way back (RFC 5321 4.5.5), whatever is wanted. */
static bool
choose_return_path(struct work *w, const struct conf_feedback *wanted)
{
	struct queue_message *m = &w->m->meta;

	if (wanted->return_path != CONF_RETURN_PATH_VERP || m->sender.len == 0)
		return false;
	m->flags |= QUEUE_MESSAGE_VERP;
	return true;
}

/* Where there are several recipients a link could not say whose it is; and who has written one means it. */
static bool
choose_unsubscribe(struct work *w, const struct conf_feedback *wanted, struct prepare_reply *out)
{
	if (wanted->list_unsubscribe != CONF_LIST_UNSUBSCRIBE_YES ||
		smtp_header_find(&w->header, SMTP_LIT("List-Unsubscribe"), 0) >= 0 ||
		smtp_header_find(&w->header, SMTP_LIT("List-Unsubscribe-Post"), 0) >= 0)
		return false;
	out->lacks_unsubscribe = w->m->rcpt_count > 1;
	return !out->lacks_unsubscribe;
}

/* As with an unsubscribe link, of one recipient alone. */
static bool
choose_cfbl(const struct work *w, const struct conf_feedback *wanted)
{
	return wanted->cfbl == CONF_CFBL_YES && w->m->rcpt_count == 1 &&
	       smtp_header_find(&w->header, SMTP_LIT("CFBL-Address"), 0) < 0 &&
	       smtp_header_find(&w->header, SMTP_LIT("CFBL-Feedback-ID"), 0) < 0;
}

static bool
lay_out(struct work *w, struct prepare_reply *out)
{
	const struct conf_feedback wanted = issue_wanted(w->in->conf, &w->m->meta);
	bool is_verp = choose_return_path(w, &wanted), is_listed = choose_unsubscribe(w, &wanted, out),
	     has_cfbl = choose_cfbl(w, &wanted);
	const struct conf *c = w->in->conf;
	struct message *m = w->m;
	char top[TOP_MAX];
	int n;

	/* Applications whose own addresses bounce here need to be found by the trace alone. */
	if (is_verp || is_listed || has_cfbl || c->report_addresses.count > 0)
		issue_begin(&m->meta, clock_random(w->in->clock));
	if ((n = write_top(w, top, sizeof(top) - ISSUE_FIELDS_MAX - ISSUE_CFBL_MAX)) < 0)
		return false;
	if (is_listed)
		n += issue_fields(c, &m->meta, m->rcpts[0].n, top + n);
	if (has_cfbl)
		n += issue_cfbl(c, &m->meta, m->rcpts[0].n, top + n);
	m->body[0] = message_keep(m, top, (size_t)n);
	if (w->removed_count == 0)
		m->body[1] = (struct queue_blob){w->all.ptr, w->all.len};
	else {
		m->body[1] = copy_header(w);
		m->body[2] = (struct queue_blob){
			w->all.ptr + w->header.header_bytes, w->all.len - w->header.header_bytes};
	}
	return m->body[0].ptr != NULL && m->body[1].ptr != NULL;
}

static bool
has_8bit_address(const struct message *m)
{
	uint32_t i;

	if (has_8bit(m->meta.sender.ptr, m->meta.sender.len))
		return true;
	for (i = 0; i < m->rcpt_count; i++)
		if (has_8bit(m->rcpts[i].address.ptr, m->rcpts[i].address.len))
			return true;
	return false;
}

static void
set_flags(struct work *w)
{
	struct message *m = w->m;

	if (has_8bit(w->all.ptr, w->all.len))
		m->meta.flags |= QUEUE_MESSAGE_8BIT;
	/* Marked only when it is needed: sites without SMTPUTF8 take everything else (B10). */
	if (has_8bit_address(m) || (w->in->is_smtputf8 && w->header.is_8bit))
		m->meta.flags |= QUEUE_MESSAGE_UTF8;
	if (w->in->user != NULL && !w->in->user->bounces)
		m->meta.flags |= QUEUE_MESSAGE_NO_BOUNCE;
}

/* Whose mail it is to its readers and the receiving sites: for the choice of DKIM keys, and for warm-ups. */
static bool
keep_from_domain(struct work *w)
{
	int at = smtp_header_find(&w->header, SMTP_LIT("From"), 0), n = 0;
	struct smtp_slice domain = {"", 0};
	char normal[DOMAIN_MAX];

	if (at >= 0)
		domain = smtp_header_domain(w->fields[at].value);
	if (domain.len > 0)
		n = domain_normalise(domain.ptr, domain.len, normal, sizeof(normal));
	w->m->meta.from_domain = message_keep(w->m, normal, n > 0 ? (size_t)n : 0);
	return w->m->meta.from_domain.ptr != NULL;
}

void
prepare_message(struct message *m, const struct prepare_input *in, struct prepare_reply *out)
{
	/* Rule zero: 57 KB of fields, used only inside this call; on the stack of an io thread it would be
	 * touched (and zeroed) for each message. */
	static _Thread_local struct work w;
	int64_t now_us = clock_now(in->clock);

	w.m = m;
	w.in = in;
	w.all = without_mailbox_line((struct smtp_slice){m->buffer, m->buffer_len});
	w.removed_count = 0;
	out->code = 0;
	out->lacks_unsubscribe = false;
	if (!check_header(&w, out))
		return;
	memset(w.removed, 0, w.header.count * sizeof(w.removed[0]));
	if (!take_name(&w, &in->conf->job_headers, "job", &m->meta.job, out) || !choose_pool(&w, out) ||
		!choose_release(&w, now_us, out) || !choose_priority(&w, out) || !choose_class(&w, out))
		return;
	drop_unwanted(&w);
	set_flags(&w);
	m->meta.arrived_us = now_us;
	if (!lay_out(&w, out) || !keep_from_domain(&w) ||
		!kept_take(m, &w.header, &in->conf->consumers.kept_headers, m->body[0])) {
		refuse(out, 452, "4.3.1", "Out of memory");
		return;
	}
	m->meta.body_bytes = m->body[0].len + m->body[1].len + m->body[2].len;
}
