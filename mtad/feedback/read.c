/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The standard forms are tried first, in the order in which they can be told apart: a feedback report has a
 * part that nothing else has, the form of Hotmail a field that nothing else has, a delivery report its part.
 * Parts that go by a wrong name are known by their fields. What is in the message that came back is not
 * looked at as a report: the mail that bounced may have been a bounce itself.
 */
#include "feedback/read.h"

#include "smtp_arf.h"
#include "smtp_dsn_read.h"
#include "smtp_mime_text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct feedback_reader {
	feedback_other *other;
	void *arg;
	struct smtp_mime mime;
	struct smtp_mime returned; /* a returned message that was encoded */
	struct finding finding;
	char part[FEEDBACK_PART_MAX];
	char header[FEEDBACK_HEADER_MAX];
};

struct feedback_reader *
feedback_reader_create(feedback_other *other, void *arg)
{
	struct feedback_reader *r = malloc(sizeof(*r));

	if (r == NULL)
		return NULL;
	r->other = other;
	r->arg = arg;
	return r;
}

void
feedback_reader_destroy(struct feedback_reader **rp)
{
	free(*rp);
	*rp = NULL;
}

/* --- parts --- */

/* The part without its transfer encoding; good until the next one is asked for. */
static struct smtp_slice
body_of(struct feedback_reader *r, const struct smtp_mime_part *part)
{
	size_t len;

	if (part->encoding == SMTP_MIME_IDENTITY)
		return part->body;
	len = smtp_mime_decode(
		part->body, part->encoding, r->part, sizeof(r->part), &r->finding.is_truncated);
	return (struct smtp_slice){r->part, len};
}

/* Those that are words of this mail: no container, and not what came back. */
static bool
is_own_leaf(const struct smtp_mime *m, int i)
{
	return !smtp_mime_is(&m->parts[i], SMTP_LIT("multipart"), SMTP_LIT("")) &&
	       !smtp_mime_is_message(&m->parts[i]) && !smtp_mime_is_inside(m, i);
}

/*
 * The next part from *at on that is of one of two types, or, when `looks` is given, that looks like it under
 * whatever name. False: none is left.
 */
static bool
next_part(struct feedback_reader *r, int *at, const struct smtp_slice subtypes[2],
	bool (*looks)(struct smtp_slice body), struct smtp_slice *out_body)
{
	const struct smtp_mime *m = &r->mime;

	for (; *at < m->count; ++*at) {
		const struct smtp_mime_part *part = &m->parts[*at];

		if (!is_own_leaf(m, *at))
			continue;
		if (!smtp_mime_is(part, SMTP_LIT("message"), subtypes[0]) &&
			!smtp_mime_is(part, SMTP_LIT("message"), subtypes[1]) && looks == NULL)
			continue;
		*out_body = body_of(r, part);
		if (looks != NULL && !looks(*out_body))
			continue;
		++*at;
		return true;
	}
	return false;
}

/* --- the message that came back --- */

/* Its header, also when the message is encoded. Empty: it did not come. */
static struct smtp_slice
returned_header(struct feedback_reader *r)
{
	const struct smtp_mime *m = &r->mime;
	int i = smtp_mime_message(m);
	bool is_cut = false; /* a body behind the header is not missed */
	size_t len;

	if (i >= 0)
		return m->parts[i].header;
	for (i = 0; i < m->count; i++) {
		const struct smtp_mime_part *part = &m->parts[i];

		if (!smtp_mime_is_message(part))
			continue;
		len = smtp_mime_decode(part->body, part->encoding, r->header, sizeof(r->header), &is_cut);
		smtp_mime_read(&r->returned, (struct smtp_slice){r->header, len});
		return r->returned.parts[0].header;
	}
	return SMTP_LIT("");
}

/* "<id>" without its brackets, or the value as it is. */
static void
put_id(char *buf, size_t max, struct smtp_slice value)
{
	const char *open = value.len > 0 ? memchr(value.ptr, '<', value.len) : NULL;
	const char *close = open != NULL ? memchr(open, '>', value.len - (size_t)(open - value.ptr)) : NULL;

	if (close != NULL)
		value = (struct smtp_slice){open + 1, (size_t)(close - open) - 1};
	finding_put_value(buf, max, value);
}

void
feedback_read_original(struct finding_original *o, struct smtp_slice header)
{
	struct smtp_slice feedback_id = smtp_mime_header(header, SMTP_LIT("Feedback-ID"));

	if (feedback_id.len == 0)
		feedback_id = smtp_mime_header(header, SMTP_LIT("CFBL-Feedback-ID"));
	o->header = header;
	put_id(o->message_id, sizeof(o->message_id), smtp_mime_header(header, SMTP_LIT("Message-ID")));
	put_id(o->list_id, sizeof(o->list_id), smtp_mime_header(header, SMTP_LIT("List-ID")));
	finding_put_address(
		o->return_path, sizeof(o->return_path), smtp_mime_header(header, SMTP_LIT("Return-Path")));
	finding_put_address(o->from, sizeof(o->from), smtp_mime_header(header, SMTP_LIT("From")));
	finding_put_address(o->to, sizeof(o->to), smtp_mime_header(header, SMTP_LIT("To")));
	finding_put_value(o->feedback_id, sizeof(o->feedback_id), feedback_id);
	finding_put_value(o->list_unsubscribe, sizeof(o->list_unsubscribe),
		smtp_mime_header(header, SMTP_LIT("List-Unsubscribe")));
}

/* Is the recipient listed? Reports may name one twice, who counts once. */
static bool
has_rcpt(const struct finding *f, const char *address, enum finding_kind kind)
{
	for (uint16_t i = 0; i < f->rcpt_count; i++)
		if (f->rcpts[i].kind == kind && strcmp(f->rcpts[i].address, address) == 0)
			return true;
	return false;
}

/* Not when there is none at all. */
static bool
is_redacted(const char *address)
{
	return address[0] != '\0' &&
	       smtp_arf_is_redacted((struct smtp_slice){address, strnlen(address, FINDING_ADDRESS_MAX)});
}

/* --- feedback reports --- */

static enum finding_kind
kind_of_feedback(enum smtp_arf_type type)
{
	switch (type) {
	case SMTP_ARF_NOT_SPAM:
		return FINDING_NOT_SPAM;
	case SMTP_ARF_OPT_OUT:
		return FINDING_UNSUBSCRIBE;
	case SMTP_ARF_AUTH_FAILURE:
		return FINDING_AUTH_FAILURE;
	default:
		/* RFC 5965 7.3: "other" is feedback nobody sends about mail he liked. */
		return FINDING_COMPLAINT;
	}
}

static void
put_complainer(struct finding *f, struct smtp_slice value)
{
	struct finding_rcpt *rcpt;
	char address[FINDING_ADDRESS_MAX];

	finding_put_address(address, sizeof(address), value);
	if (has_rcpt(f, address, f->kind) || (rcpt = finding_add(f, f->kind)) == NULL)
		return;
	memcpy(rcpt->address, address, sizeof(address));
	rcpt->is_redacted = is_redacted(address);
}

static void
put_feedback(struct finding *f, const struct smtp_arf *a)
{
	struct finding_original *o = &f->original;
	char *source_end;
	size_t domains_len = 0;

	f->kind = kind_of_feedback(a->type);
	f->is_truncated |= a->is_truncated;
	finding_put_value(f->reporter, sizeof(f->reporter), a->user_agent);
	finding_put_value(f->feedback_type, sizeof(f->feedback_type), a->type_word);
	finding_put_value(f->auth_failure, sizeof(f->auth_failure), a->auth_failure);
	finding_put_value(f->delivery_result, sizeof(f->delivery_result), a->delivery_result);
	finding_put_value(o->source_ip, sizeof(o->source_ip), a->source_ip);
	/* "192.0.2.1 (mx.test)" */
	if ((source_end = strchr(o->source_ip, ' ')) != NULL)
		*source_end = '\0';
	finding_put_value(o->arrival_date, sizeof(o->arrival_date), a->arrival_date);
	finding_put_value(o->envid, sizeof(o->envid), a->envid);
	if (a->original_mail_from.len > 0)
		finding_put_address(o->return_path, sizeof(o->return_path), a->original_mail_from);
	if (o->message_id[0] == '\0')
		put_id(o->message_id, sizeof(o->message_id), a->message_id);
	for (int i = 0; i < a->domain_count; i++) {
		if (domains_len > 0 && domains_len + 1 < sizeof(f->reported_domain))
			f->reported_domain[domains_len++] = ' ';
		finding_put_value(f->reported_domain + domains_len, sizeof(f->reported_domain) - domains_len,
			a->domains[i]);
		domains_len = strnlen(f->reported_domain, sizeof(f->reported_domain));
	}
	for (int i = 0; i < a->rcpt_count; i++)
		put_complainer(f, a->rcpts[i]);
}

static bool
read_feedback(struct feedback_reader *r)
{
	static const struct smtp_slice subtypes[2] = {
		SMTP_LIT("feedback-report"), SMTP_LIT("feedback-report")};
	const char *form = "arf";
	struct smtp_slice body;
	struct smtp_arf a;
	int at = 0;

	if (next_part(r, &at, subtypes, NULL, &body) ||
		(at = 0, next_part(r, &at, subtypes, smtp_arf_is_report, &body)))
		smtp_arf_read(&a, body);
	else if (smtp_arf_read_jmrp(&a, r->finding.original.header))
		form = "jmrp";
	else
		return false;
	r->finding.form = form;
	put_feedback(&r->finding, &a);
	return true;
}

/* --- delivery reports --- */

static enum finding_kind
kind_of_rcpt(enum smtp_dsn_action action, struct smtp_esc status)
{
	switch (action) {
	case SMTP_DSN_FAILED:
		return FINDING_BOUNCE;
	case SMTP_DSN_DELAYED:
		return FINDING_DELAY;
	case SMTP_DSN_RELAYED:
	case SMTP_DSN_DELIVERED:
	case SMTP_DSN_EXPANDED:
		return FINDING_DELIVERED;
	case SMTP_DSN_NO_ACTION:
		break;
	}
	/* Without a word the status has to do; nobody reports at length what may still succeed. */
	if (status.class_digit == 2)
		return FINDING_DELIVERED;
	return status.class_digit == 4 ? FINDING_DELAY : FINDING_BOUNCE;
}

static void
put_rcpt(struct finding *f, const struct smtp_dsn_group *g)
{
	enum smtp_dsn_action action = smtp_dsn_read_action(g->action);
	struct smtp_esc status = smtp_dsn_read_status(g->status);
	char text[FINDING_TEXT_MAX];
	bool is_cut = false;
	struct smtp_slice diagnostic = {text, smtp_dsn_read_text(g->diagnostic, text, sizeof(text), &is_cut)};
	char address[FINDING_ADDRESS_MAX];
	struct finding_rcpt *rcpt;
	enum finding_kind kind;

	if (status.class_digit == 0)
		status = smtp_dsn_read_status(diagnostic);
	kind = kind_of_rcpt(action, status);
	finding_put_address(address, sizeof(address),
		g->final_recipient.len > 0 ? g->final_recipient : g->original_recipient);
	if (address[0] != '\0' && has_rcpt(f, address, kind))
		return;
	rcpt = finding_add(f, kind);
	if (rcpt == NULL)
		return;
	rcpt->action = action;
	rcpt->status = status;
	rcpt->code = smtp_dsn_read_code(diagnostic);
	finding_put(rcpt->text, sizeof(rcpt->text), diagnostic);
	finding_put_address(rcpt->original, sizeof(rcpt->original), g->original_recipient);
	memcpy(rcpt->address, address, sizeof(address));
	rcpt->is_redacted = is_redacted(address);
	diagnostic.len = smtp_dsn_read_text(g->remote_mta, text, sizeof(text), &is_cut);
	finding_put(rcpt->remote_mta, sizeof(rcpt->remote_mta), diagnostic);
}

static void
put_report(struct finding *f, struct smtp_slice body)
{
	struct finding_original *o = &f->original;
	struct smtp_dsn_reader reader;
	struct smtp_dsn_group group;
	char text[FINDING_NAME_MAX];
	bool is_cut = false;

	smtp_dsn_read_begin(&reader, body);
	while (smtp_dsn_read_group(&reader, &group))
		put_rcpt(f, &group);
	finding_put(f->reporter, sizeof(f->reporter),
		(struct smtp_slice){
			text, smtp_dsn_read_text(reader.reporting_mta, text, sizeof(text), &is_cut)});
	finding_put_value(o->arrival_date, sizeof(o->arrival_date), reader.arrival_date);
	finding_put_value(o->envid, sizeof(o->envid), reader.envid);
}

static bool
read_delivery(struct feedback_reader *r)
{
	static const struct smtp_slice subtypes[2] = {
		SMTP_LIT("delivery-status"), SMTP_LIT("global-delivery-status")};
	struct smtp_slice body;
	int at = 0;

	while (next_part(r, &at, subtypes, NULL, &body))
		put_report(&r->finding, body);
	for (at = 0; r->finding.rcpt_count == 0 && next_part(r, &at, subtypes, smtp_dsn_is_report, &body);)
		put_report(&r->finding, body);
	if (r->finding.rcpt_count > 0)
		r->finding.form = "dsn";
	return r->finding.rcpt_count > 0;
}

/* --- the whole --- */

/* Does it say what happened, and to whom? */
static bool
is_enough(const struct finding *f)
{
	if (f->kind == FINDING_UNKNOWN)
		return false;
	for (uint16_t i = 0; i < f->rcpt_count; i++)
		if (f->rcpts[i].address[0] == '\0' ||
			(f->rcpts[i].kind == FINDING_BOUNCE && f->rcpts[i].status.class_digit == 0))
			return false;
	return true;
}

static void
read_standard(struct feedback_reader *r, struct smtp_slice mail)
{
	struct finding *f = &r->finding;

	finding_clear(f);
	smtp_mime_read(&r->mime, mail);
	f->is_truncated = r->mime.is_truncated;
	feedback_read_original(&f->original, returned_header(r));
	if (!read_feedback(r))
		(void)read_delivery(r);
}

/*
 * Gateways that look into mail put a report into a mail of their own, as postmasters do who forward one. The
 * message in a mail is therefore taken for the report when it says that it is one, and the mail does not.
 */
static bool
has_report_inside(const struct smtp_mime *m, struct smtp_slice *out_report)
{
	int i = smtp_mime_message(m);
	const struct smtp_mime_part *report = &m->parts[i > 0 ? i : 0];

	if (i < 0 || m->parts[0].report_type.len > 0 || report->report_type.len == 0)
		return false;
	out_report->ptr = report->header.ptr;
	out_report->len = (size_t)(report->body.ptr + report->body.len - report->header.ptr);
	return true;
}

const struct finding *
feedback_read(struct feedback_reader *r, struct smtp_slice mail)
{
	struct finding *f = &r->finding;
	struct smtp_slice inside;

	read_standard(r, mail);
	if (f->kind == FINDING_UNKNOWN && has_report_inside(&r->mime, &inside)) {
		read_standard(r, inside);
		if (f->kind == FINDING_UNKNOWN)
			read_standard(r, mail);
	}
	if (!is_enough(f) && r->other != NULL)
		r->other(r->arg, mail, &r->mime, f);
	if (f->kind != FINDING_UNKNOWN && f->form == NULL)
		f->form = "prose";
	return f;
}
