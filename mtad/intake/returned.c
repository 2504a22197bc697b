/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: only what shows something that went out with the mail itself speaks for its recipient; anybody
 * can write an address into a report. (Of a message to several, each of them has seen what speaks for the
 * others: who minds gives each a return path or a message of its own.)
 */
#include "intake/returned.h"

#include "base/domain.h"
#include "smtp_addr.h"
#include "smtp_date.h"
#include "smtp_esc.h"
#include "smtp_mime.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	ID_ARRIVAL_DIGITS_MAX = 16, /* of the id in a Received field (prepare.c): arrival, then nonce */
	ID_NONCE_DIGITS = 8,
	/* A message is accepted soon after it was written, and clocks differ a little. */
	DATE_BEFORE_S = 300,
	DATE_AFTER_S = 86400,
};

/* What an event of a report points at. */
struct texts {
	char stored[QUEUE_EVENT_MAX];
	char esc[SMTP_ESC_TEXT_MAX + 1];
	char reply[FINDING_TEXT_MAX];
	char host[FINDING_NAME_MAX];
	char sender[FINDING_ADDRESS_MAX], rcpt[FINDING_ADDRESS_MAX];
	char message_id[FINDING_TEXT_MAX], job[FINDING_TEXT_MAX], feedback[FINDING_NAME_MAX];
	char peer_ip[64], local_ip[64], user_agent[FINDING_NAME_MAX], domain[FINDING_TEXT_MAX], source_ip[64],
		arrival_date[64], auth[256];
};

/* A text in an array, the bound of which is its own. */
#define TEXT(array) ((struct smtp_slice){(array), strnlen((array), sizeof(array))})

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, strnlen(text, FINDING_TEXT_MAX)};
}

static struct queue_blob
put(char *buf, size_t max, const char *text)
{
	int len = snprintf(buf, max, "%s", text);

	return (struct queue_blob){buf, len < (int)max ? (size_t)len : max - 1};
}

/* --- addresses --- */

struct parts {
	struct smtp_slice local, domain;
};

static struct parts
split(const char *address)
{
	const char *at = strrchr(address, '@');
	size_t local = at != NULL ? (size_t)(at - address) : 0;

	return (struct parts){{address, local}, slice(at != NULL ? at + 1 : "")};
}

/* `local` is `name`, or `name` and a plus and more, which is the tag. */
static bool
is_tagged(struct smtp_slice local, struct smtp_slice name, struct smtp_slice *out_tag)
{
	*out_tag = (struct smtp_slice){"", 0};
	if (local.len == name.len)
		return smtp_slice_is_nocase(local, name);
	if (local.len < name.len || local.ptr[name.len] != '+' ||
		!smtp_slice_is_nocase((struct smtp_slice){local.ptr, name.len}, name))
		return false;
	*out_tag = (struct smtp_slice){local.ptr + name.len + 1, local.len - name.len - 1};
	return true;
}

/* `theirs` is an address with a token of this kind. */
static bool
has_token(const struct conf *c, const struct parts *theirs, const struct parts *ours, enum token_kind kind,
	int64_t now_us, struct returned_address *out)
{
	struct smtp_slice tag;

	if (c->token_secret_file[0] == '\0' || ours->domain.len == 0 ||
		!smtp_slice_is(theirs->domain, ours->domain) ||
		!is_tagged(theirs->local, ours->local, &tag) || tag.len == 0)
		return false;
	out->verdict = token_read(c, tag, now_us, &out->token);
	if (out->verdict == TOKEN_GOOD && out->token.kind != kind)
		out->verdict = TOKEN_FORGED;
	if (out->verdict == TOKEN_GOOD)
		out->to = RETURNED_TO_TOKEN;
	return true;
}

static bool
is_address(const struct parts *theirs, const char *ours)
{
	struct parts p = split(ours);
	struct smtp_slice tag;

	return ours[0] != '\0' && smtp_slice_is(theirs->domain, p.domain) &&
	       is_tagged(theirs->local, p.local, &tag);
}

static bool
is_own_domain(const struct conf *c, struct smtp_slice domain)
{
	size_t i;

	/* RFC 5321 4.1.1.3: "Postmaster" alone is ours. */
	if (smtp_slice_is_nocase(domain, slice(c->hostname)) ||
		smtp_slice_is(domain, slice(c->return_path_domain)) ||
		smtp_slice_is(domain, split(c->unsubscribe_mailto).domain) ||
		smtp_slice_is(domain, split(c->cfbl_address).domain))
		return true;
	for (i = 0; i < c->report_addresses.count; i++)
		if (smtp_slice_is(domain, split(c->report_addresses.items[i]).domain))
			return true;
	return false;
}

static bool
is_plain_address(const struct conf *c, const struct parts *theirs)
{
	size_t i;

	for (i = 0; i < c->report_addresses.count; i++)
		if (is_address(theirs, c->report_addresses.items[i]))
			return true;
	return is_address(theirs, c->cfbl_address) ||
	       (smtp_slice_is_nocase(theirs->local, SMTP_LIT("postmaster")) &&
		       is_own_domain(c, theirs->domain));
}

struct returned_address
returned_address(const struct conf *c, struct smtp_slice address, int64_t now_us)
{
	const struct parts bounce = {SMTP_LIT("bounce"), slice(c->return_path_domain)},
			   unsubscribe = split(c->unsubscribe_mailto), cfbl = split(c->cfbl_address);
	struct returned_address found = {RETURNED_TO_NOBODY, TOKEN_NONE, {TOKEN_RETURN_PATH, 0, 0, 0}};
	char name[DOMAIN_MAX];
	struct smtp_addr addr;
	struct parts theirs;
	int len;

	if (smtp_addr_parse(address, &addr) != SMTP_OK ||
		(len = domain_normalise(addr.domain.ptr, addr.domain.len, name, sizeof(name))) <= 0)
		return found;
	theirs = (struct parts){addr.local, {name, (size_t)len}};
	if (has_token(c, &theirs, &bounce, TOKEN_RETURN_PATH, now_us, &found) ||
		has_token(c, &theirs, &unsubscribe, TOKEN_UNSUBSCRIBE, now_us, &found) ||
		(has_token(c, &theirs, &cfbl, TOKEN_COMPLAINT, now_us, &found) &&
			found.to == RETURNED_TO_TOKEN))
		return found;
	if (is_plain_address(c, &theirs))
		found.to = RETURNED_TO_ADDRESS;
	return found;
}

/* --- whose mail it is about --- */

/* One mail while it is judged. */
struct work {
	const struct returned_judge *judge;
	const struct returned_mail *mail;
	const struct finding *finding;
	struct returned_outcome *out;
	struct texts *texts;   /* of out->items[i] */
	uint32_t lookups_left; /* of recipients, in all searches without a token */
};

/* A token in the header that came back. */
static bool
token_of_original(const struct work *w, struct token *out)
{
	const struct finding_original *o = &w->finding->original;
	const struct conf *c = w->judge->conf;
	char cfbl[TOKEN_TEXT * 2];
	struct smtp_slice places[] = {
		TEXT(o->return_path), TEXT(o->list_unsubscribe), TEXT(o->feedback_id), {NULL, 0}};

	finding_put_value(cfbl, sizeof(cfbl), smtp_mime_header(o->header, SMTP_LIT("CFBL-Feedback-ID")));
	places[3] = TEXT(cfbl);
	for (size_t i = 0; c->token_secret_file[0] != '\0' && i < sizeof(places) / sizeof(places[0]); i++)
		if (token_find(c, places[i], w->mail->now_us, out) == TOKEN_GOOD)
			return true;
	return false;
}

static int
digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "18f2a7c41d3e0a1b2c3d4e": arrival in microseconds and nonce, both in hexadecimal. */
static bool
read_id(struct smtp_slice id, struct feedback_trace *trace)
{
	uint64_t arrival = 0, nonce = 0;

	if (id.len <= ID_NONCE_DIGITS || id.len > ID_ARRIVAL_DIGITS_MAX + ID_NONCE_DIGITS)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		uint64_t *to = i < id.len - ID_NONCE_DIGITS ? &arrival : &nonce;

		if (digit_of(id.ptr[i]) < 0)
			return false;
		*to = *to << 4 | (uint64_t)digit_of(id.ptr[i]);
	}
	if (arrival == 0 || arrival >> 56 != 0 || nonce == 0)
		return false;
	trace->from_us = (int64_t)arrival;
	trace->before_us = trace->from_us + 1;
	trace->nonce = (uint32_t)nonce;
	return true;
}

static struct smtp_slice
next_word(struct smtp_slice *rest)
{
	static const char blanks[] = " \t\r\n;";
	struct smtp_slice word = {rest->ptr, 0};

	while (rest->len > 0 && memchr(blanks, rest->ptr[0], sizeof(blanks) - 1) != NULL)
		*rest = (struct smtp_slice){rest->ptr + 1, rest->len - 1};
	word.ptr = rest->ptr;
	while (word.len < rest->len && memchr(blanks, word.ptr[word.len], sizeof(blanks) - 1) == NULL)
		word.len++;
	*rest = (struct smtp_slice){rest->ptr + word.len, rest->len - word.len};
	return word;
}

/* "by HOST with ESMTP id ID", as prepare.c writes it. */
static bool
read_received(const struct conf *c, struct smtp_slice value, struct feedback_trace *trace)
{
	struct smtp_slice last = {"", 0}, word;
	bool is_ours = false;

	while ((word = next_word(&value)).len > 0) {
		if (smtp_slice_is(last, SMTP_LIT("by")))
			is_ours = smtp_slice_is_nocase(word, slice(c->hostname));
		if (is_ours && smtp_slice_is(last, SMTP_LIT("id")))
			return read_id(word, trace);
		last = word;
	}
	return false;
}

static bool
trace_of_received(const struct conf *c, struct smtp_slice header, struct feedback_trace *trace)
{
	struct smtp_field field;

	while (smtp_mime_field(&header, &field))
		if (smtp_slice_is_nocase(field.name, SMTP_LIT("Received")) &&
			read_received(c, field.value, trace))
			return true;
	return false;
}

static bool
trace_of_date(struct smtp_slice header, struct feedback_trace *trace)
{
	char date[64];
	int64_t written;

	finding_put_value(date, sizeof(date), smtp_mime_header(header, SMTP_LIT("Date")));
	if (trace->message_id.len == 0 || smtp_date_parse(TEXT(date), &written) != SMTP_OK)
		return false;
	trace->from_us = (written - DATE_BEFORE_S) * 1000000;
	trace->before_us = (written + DATE_AFTER_S) * 1000000;
	return trace->from_us > 0;
}

static struct smtp_slice
address_of(const struct finding_rcpt *r)
{
	if (r == NULL || r->is_redacted)
		return SMTP_LIT("");
	return r->original[0] != '\0' ? TEXT(r->original) : TEXT(r->address);
}

static int
find_trace(struct work *w, const struct finding_rcpt *r, struct feedback_item *item, struct texts *texts)
{
	const struct finding_original *o = &w->finding->original;
	struct smtp_slice id = TEXT(o->message_id), rcpt = address_of(r);
	struct feedback_trace trace = {.message_id = {id.ptr, id.len}, .rcpt = {rcpt.ptr, rcpt.len}};

	if (!trace_of_received(w->judge->conf, o->header, &trace) && !trace_of_date(o->header, &trace))
		return QUEUE_ENOTFOUND;
	return feedback_find_trace(w->judge->store, &trace, &w->lookups_left, item, texts->stored);
}

static int
find(struct work *w, const struct finding_rcpt *r, struct feedback_item *item, struct texts *texts)
{
	struct queue_store *store = w->judge->store;
	struct token token = w->mail->to.token;
	int err = QUEUE_ENOTFOUND;

	if (w->mail->to.to == RETURNED_TO_TOKEN || token_of_original(w, &token))
		err = feedback_find(store, &token, item, texts->stored);
	return err == QUEUE_ENOTFOUND ? find_trace(w, r, item, texts) : err;
}

/* --- what is recorded --- */

/* The list takes domains and digests too, and a report speaks of one address. */
static bool
is_mailbox(struct smtp_slice address)
{
	struct smtp_addr addr;

	return smtp_addr_parse(address, &addr) == SMTP_OK && addr.local.len > 0 && addr.domain.len > 0;
}

/* Anybody can write an address into a report. */
static bool
is_believed(const struct work *w, const struct finding_rcpt *r)
{
	return w->finding->kind == FINDING_COMPLAINT && w->mail->is_vouched && is_mailbox(address_of(r));
}

/* Nobody known: what the report itself says. */
static void
take_word(const struct work *w, const struct finding_rcpt *r, struct feedback_item *item, struct texts *t)
{
	const struct finding_original *o = &w->finding->original;
	struct event *e = &item->event;

	*item = (struct feedback_item){.has_token = false};
	e->sender = put(t->sender, sizeof(t->sender), o->return_path);
	e->rcpt = put(t->rcpt, sizeof(t->rcpt), address_of(r).ptr);
	e->message_id = put(t->message_id, sizeof(t->message_id), o->message_id);
	/* "campaign:customer:kind:sender", the campaign first. */
	e->job = put(t->job, sizeof(t->job), o->feedback_id);
	e->job.len = strcspn(t->job, ":");
}

static void
fill_report(const struct work *w, struct event *e, struct texts *t)
{
	const struct finding *f = w->finding;
	const struct finding_original *o = &f->original;
	struct event_report *r = &e->of_report;

	snprintf(t->auth, sizeof(t->auth), "%.*s", (int)w->mail->auth.len, w->mail->auth.ptr);
	r->format = (struct queue_blob){f->form, strnlen(f->form, 16)};
	/* A feedback report has a program that made it, a delivery report a server. */
	if (f->kind == FINDING_BOUNCE)
		e->host = put(t->host, sizeof(t->host), f->reporter);
	else {
		r->user_agent = put(t->user_agent, sizeof(t->user_agent), f->reporter);
		snprintf(t->host, sizeof(t->host), "%.*s", (int)w->mail->helo.len, w->mail->helo.ptr);
		e->host = (struct queue_blob){t->host, strnlen(t->host, sizeof(t->host))};
	}
	snprintf(t->peer_ip, sizeof(t->peer_ip), "%.*s", (int)w->mail->client_ip.len, w->mail->client_ip.ptr);
	e->peer_ip = (struct queue_blob){t->peer_ip, strnlen(t->peer_ip, sizeof(t->peer_ip))};
	snprintf(t->local_ip, sizeof(t->local_ip), "%.*s", (int)w->mail->local_ip.len, w->mail->local_ip.ptr);
	e->local_ip = (struct queue_blob){t->local_ip, strnlen(t->local_ip, sizeof(t->local_ip))};
	r->domain = put(t->domain, sizeof(t->domain), f->reported_domain);
	r->source_ip = put(t->source_ip, sizeof(t->source_ip), o->source_ip);
	r->arrival_date = put(t->arrival_date, sizeof(t->arrival_date), o->arrival_date);
	r->auth = (struct queue_blob){t->auth, strnlen(t->auth, sizeof(t->auth))};
}

static void
fill_bounce(const struct work *w, const struct finding_rcpt *r, struct feedback_item *item, struct texts *t)
{
	const struct classify_input in = {
		.provider = CLASSIFY_PROVIDER_ANY, .code = r->code, .esc = r->status, .text = TEXT(r->text)};
	struct event *e = &item->event;
	struct classify_result result;
	const char *category;
	int len = 0;

	feedback_make(item, EVENT_REMOTE, w->mail->now_us);
	fill_report(w, e, t);
	classify(w->judge->classifier, &in, &result);
	category = bounce_class_pmta(result.bounce_class);
	if (r->status.class_digit != 0)
		len = smtp_esc_write(r->status, t->esc, sizeof(t->esc));
	e->code = r->code;
	e->esc = (struct queue_blob){t->esc, len > 0 ? (size_t)len : 0};
	e->reply = put(t->reply, sizeof(t->reply), r->text);
	e->bounce_class = (uint8_t)result.bounce_class;
	e->category = (struct queue_blob){category, strnlen(category, 64)};
	e->host = put(
		t->host, sizeof(t->host), r->remote_mta[0] != '\0' ? r->remote_mta : w->finding->reporter);
}

static void
fill_complaint(const struct work *w, struct feedback_item *item, struct texts *t)
{
	const struct finding *f = w->finding;
	bool is_unsubscribe = f->kind == FINDING_UNSUBSCRIBE;
	struct event *e = &item->event;

	feedback_make(item, is_unsubscribe ? EVENT_UNSUBSCRIBE : EVENT_COMPLAINT, w->mail->now_us);
	fill_report(w, e, t);
	e->feedback = put(
		t->feedback, sizeof(t->feedback), f->feedback_type[0] != '\0' ? f->feedback_type : "mailto");
}

static bool
is_listed(const struct returned_outcome *out, const struct feedback_item *item)
{
	for (uint32_t i = 0; i < out->count; i++) {
		const struct token *t = &out->items[i].token;

		if (out->items[i].has_token && item->has_token && t->arrived_us == item->token.arrived_us &&
			t->nonce == item->token.nonce && t->n == item->token.n)
			return true;
	}
	return false;
}

/* One recipient of the report, r NULL: it names none. */
static int
judge_rcpt(struct work *w, const struct finding_rcpt *r)
{
	struct feedback_item *item = &w->out->items[w->out->count];
	struct texts *t = &w->texts[w->out->count];
	int err = find(w, r, item, t);

	if (err == QUEUE_ENOTFOUND || err == QUEUE_EDAMAGED || err == QUEUE_EVERSION) {
		if (!is_believed(w, r))
			return QUEUE_OK;
		take_word(w, r, item, t);
	} else if (err < 0)
		return err;
	if (is_listed(w->out, item))
		return QUEUE_OK;
	if (w->finding->kind == FINDING_BOUNCE) {
		assert(r != NULL); /* a bounce of nobody is none */
		fill_bounce(w, r, item, t);
	} else
		fill_complaint(w, item, t);
	w->out->count++;
	return QUEUE_OK;
}

/* A report to a token is about its recipient, whoever the site says it was in the end: of several the one it
 * names, or else the first that failed. */
static const struct finding_rcpt *
rcpt_of_token(const struct work *w)
{
	const struct finding *f = w->finding;
	const struct finding_rcpt *first = NULL;
	char stored[QUEUE_EVENT_MAX];
	struct feedback_item item;
	bool is_known = feedback_find(w->judge->store, &w->mail->to.token, &item, stored) == QUEUE_OK;

	for (uint16_t i = 0; i < f->rcpt_count; i++) {
		const struct finding_rcpt *r = &f->rcpts[i];
		struct smtp_slice address = address_of(r);

		if (r->kind != f->kind)
			continue;
		if (first == NULL)
			first = r;
		if (is_known && smtp_slice_is_nocase(address,
					(struct smtp_slice){item.event.rcpt.ptr, item.event.rcpt.len}))
			return r;
	}
	return first;
}

static bool
make_room(struct work *w)
{
	size_t count = (size_t)w->finding->rcpt_count + 1;

	/* Texts need no alignment, so they stand behind the items. */
	w->out->items = calloc(count, sizeof(*w->out->items) + sizeof(*w->texts));
	w->texts = w->out->items != NULL ? (struct texts *)(w->out->items + count) : NULL;
	return w->out->items != NULL;
}

static int
judge_report(struct work *w)
{
	const struct finding *f = w->finding;
	const struct finding_rcpt *only;
	int err = QUEUE_OK;

	if (!make_room(w))
		return QUEUE_ENOMEM;
	if (w->mail->to.to == RETURNED_TO_TOKEN) {
		only = rcpt_of_token(w);
		if (only != NULL || f->kind != FINDING_BOUNCE)
			err = judge_rcpt(w, only);
	} else if (f->rcpt_count == 0 && f->kind != FINDING_BOUNCE)
		err = judge_rcpt(w, NULL);
	else
		for (uint16_t i = 0; i < f->rcpt_count && err == QUEUE_OK; i++)
			if (f->rcpts[i].kind == f->kind)
				err = judge_rcpt(w, &f->rcpts[i]);
	w->out->result = w->out->count > 0 ? RETURNED_RECORD : RETURNED_UNREAD;
	w->out->why = "it shows no mail of ours";
	return err;
}

/* RFC 3834 5 */
static bool
is_of_program(const struct returned_mail *mail)
{
	const char *end = memmem(mail->bytes.ptr, mail->bytes.len, "\r\n\r\n", 4);
	size_t len = end != NULL ? (size_t)(end - mail->bytes.ptr) : mail->bytes.len;
	char value[8];

	finding_put_value(value, sizeof(value),
		smtp_mime_header((struct smtp_slice){mail->bytes.ptr, len}, SMTP_LIT("Auto-Submitted")));
	return mail->sender.len == 0 || (value[0] != '\0' && strcasecmp(value, "no") != 0);
}

/* Who writes to an unsubscribe address need not say any particular words; programs that answer do not count.
 */
static int
judge_wish(struct work *w)
{
	int err;

	if (is_of_program(w->mail)) {
		w->out->result = RETURNED_UNREAD;
		w->out->why = "a program's mail to an unsubscribe address";
		return QUEUE_OK;
	}
	if (!make_room(w))
		return QUEUE_ENOMEM;
	err = feedback_unsubscribe(w->judge->store, &w->mail->to.token, w->mail->now_us, "mailto",
		&w->out->items[0], w->texts[0].stored);
	if (err == QUEUE_ENOTFOUND || err == QUEUE_EDAMAGED || err == QUEUE_EVERSION) {
		w->out->result = RETURNED_UNREAD;
		w->out->why = "whose address this was is not known any more";
		return QUEUE_OK;
	}
	w->out->result = RETURNED_RECORD;
	w->out->count = 1;
	return err;
}

int
returned_judge(const struct returned_judge *j, const struct returned_mail *mail, struct returned_outcome *out)
{
	struct work w = {j, mail, feedback_read(j->reader, mail->bytes), out, NULL, FEEDBACK_TRACE_MAX};
	int err = QUEUE_OK;

	*out = (struct returned_outcome){.result = RETURNED_IGNORE, .kind = w.finding->kind, .why = ""};
	switch (w.finding->kind) {
	case FINDING_BOUNCE:
	case FINDING_COMPLAINT:
	case FINDING_UNSUBSCRIBE:
		err = judge_report(&w);
		break;
	case FINDING_UNKNOWN:
		if (mail->to.to == RETURNED_TO_TOKEN && mail->to.token.kind == TOKEN_UNSUBSCRIBE) {
			out->kind = FINDING_UNSUBSCRIBE;
			err = judge_wish(&w);
			break;
		}
		out->result = RETURNED_UNREAD;
		out->why = "it was not understood";
		break;
	default:
		break;
	}
	if (err == QUEUE_OK)
		return QUEUE_OK;
	free(out->items);
	out->items = NULL;
	out->count = 0;
	return err;
}
