/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wanted is decided from the settled outcome and NOTIFY only; the text is libsmtp's (smtp_dsn).
 */
#include "queue/bounce.h"

#include "base/domain.h"
#include "smtp_dsn.h"
#include "smtp_esc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct smtp_slice
slice(struct queue_blob b)
{
	return (struct smtp_slice){b.ptr, b.len};
}

/* Replaces the job's message. An error: it stays, for the spool cannot be read just now or memory is short.
 */
static int
load(struct job *job, const struct bounce_conf *c, bool with_body)
{
	int err = job_load(job, c->store, c->memory, with_body);

	return err == QUEUE_EDAMAGED ? QUEUE_OK : err;
}

/* That the site has it now, and may say nothing more. */
static bool
wants_relayed(const struct job *job, const struct queue_rcpt *r)
{
	const struct queue_message *m = &job->message->meta;
	/* RFC 3461 5.2.2: success was asked for, and the site will not tell. */
	bool is_unknown = (r->notify & SMTP_NOTIFY_SUCCESS) != 0 && strstr(job->caps, "DSN") == NULL;
	/* RFC 2852 4.1.4.2: the time of BY= with N is not over, and the site will not keep it. */
	bool is_untimed = m->notice_us > job->started_us && strstr(job->caps, "DELIVERBY") == NULL;

	/* RFC 2852 4.1.4: a trace of the way. */
	return is_unknown || is_untimed || (m->flags & QUEUE_MESSAGE_TRACE) != 0;
}

/* What to report of one recipient; false: nothing. */
static bool
action_of(const struct job *job, uint32_t i, enum smtp_dsn_action *out)
{
	const struct queue_rcpt *r = message_rcpt(job->message, job->rcpts[i].n);

	if (r == NULL || (r->notify & SMTP_NOTIFY_NEVER) != 0)
		return false;
	switch (job->rcpts[i].settled.kind) {
	case QUEUE_VERDICT_FAILED:
	case QUEUE_VERDICT_EXPIRED:
		*out = SMTP_DSN_FAILED;
		return r->notify == 0 || (r->notify & SMTP_NOTIFY_FAILURE) != 0;
	case QUEUE_VERDICT_DELIVERED:
		*out = SMTP_DSN_RELAYED;
		return wants_relayed(job, r);
	case QUEUE_VERDICT_LATER:
		*out = SMTP_DSN_DELAYED;
		return (job->rcpts[i].verdict.set_flags & QUEUE_RCPT_DELAY_SENT) != 0 &&
		       (r->notify == 0 || (r->notify & SMTP_NOTIFY_DELAY) != 0);
	default:
		return false;
	}
}

bool
bounce_is_wanted(const struct job *job)
{
	enum smtp_dsn_action action;
	uint32_t i;

	if (job->message == NULL || job->message->meta.sender.len == 0 ||
		(job->message->meta.flags & (QUEUE_MESSAGE_NO_BOUNCE | QUEUE_MESSAGE_DSN)) != 0)
		return false;
	for (i = 0; i < job->rcpt_count; i++)
		if (action_of(job, i, &action))
			return true;
	return false;
}

/* Replies are kept as "550 words"; the writer puts the code in front itself. */
static void
describe_reply(struct queue_blob reply, uint16_t code, struct smtp_dsn_rcpt *out)
{
	out->code = code;
	out->text = slice(reply);
	if (code != 0 && out->text.len >= 4) {
		out->text.ptr += 4;
		out->text.len -= 4;
	}
}

/* The code in front of a kept reply; 0: the words are ours. */
static uint16_t
code_of(struct queue_blob reply)
{
	const char *p = reply.ptr;

	for (int i = 0; i < 3; i++)
		if (reply.len < 4 || p[i] < '0' || p[i] > '9')
			return 0;
	return p[3] == ' ' ? (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + p[2] - '0') : 0;
}

static void
describe_rcpt(const struct job *job, uint32_t i, int64_t now_us, struct smtp_dsn_rcpt *out)
{
	const struct job_rcpt *jr = &job->rcpts[i];
	const struct queue_rcpt *r = message_rcpt(job->message, jr->n);

	out->address = slice(r->address);
	out->orcpt = slice(r->orcpt);
	if (jr->verdict.kind == QUEUE_VERDICT_EXPIRED && r->reply.len > 0) {
		/* It ended without another attempt. The status says that its time is over; the sender wants
		 * to know what it was waiting for. */
		out->peer = slice(r->host);
		describe_reply(r->reply, code_of(r->reply), out);
		out->last_attempt = r->last_us / 1000000;
	} else {
		out->peer = (struct smtp_slice){job->host, strnlen(job->host, sizeof(job->host))};
		describe_reply(job_reply(job, i), jr->code, out);
		out->last_attempt = now_us / 1000000;
	}
	if (smtp_esc_parse((struct smtp_slice){jr->esc, strnlen(jr->esc, sizeof(jr->esc))}, &out->status) <=
		0)
		out->status = (struct smtp_esc){0}; /* the writer then says x.0.0 */
	/* RFC 2852 4.1.3: for the sender it is the time of BY= that is over. */
	if (out->action == SMTP_DSN_DELAYED && job->message->meta.notice_us != 0)
		out->status = (struct smtp_esc){4, 4, 7};
}

static bool
is_ascii(struct queue_blob text)
{
	const unsigned char *p = text.ptr;

	for (size_t i = 0; i < text.len; i++)
		if (p[i] > 127)
			return false;
	return true;
}

/* The notification as a message of its own. NULL: no memory, or the sender has no domain we can send to. */
static struct message *
envelope(const struct job *job, const struct bounce_conf *c)
{
	struct queue_blob sender = job->message->meta.sender;
	const char *at = memrchr(sender.ptr, '@', sender.len);
	struct queue_rcpt r = {.address = sender};
	char domain[DOMAIN_MAX];
	struct message *m;
	int n;

	if (at == NULL)
		return NULL;
	at++;
	n = domain_normalise(
		at, sender.len - (size_t)(at - (const char *)sender.ptr), domain, sizeof(domain));
	if (n <= 0 || (m = message_create(c->memory)) == NULL)
		return NULL;
	m->meta.arrived_us = clock_now(c->clock);
	/* RFC 6531 3.2: an address beyond ASCII travels with SMTPUTF8 or not at all. */
	m->meta.flags = QUEUE_MESSAGE_DSN | (is_ascii(sender) ? 0 : QUEUE_MESSAGE_UTF8 | QUEUE_MESSAGE_8BIT);
	/* RFC 6710 4.6 */
	m->meta.priority = job->message->meta.priority;
	m->meta.klass = job->message->meta.klass;
	m->meta.sender = message_keep(m, NULL, 0);
	m->meta.job = message_keep(m, job->message->meta.job.ptr, job->message->meta.job.len);
	m->meta.user = message_keep(m, job->message->meta.user.ptr, job->message->meta.user.len);
	if (message_add_rcpt(m, &r, (struct queue_blob){domain, (size_t)n}))
		return m;
	message_unref(m);
	return NULL;
}

static bool
write_text(struct message *m, const struct smtp_dsn *d)
{
	size_t size = smtp_dsn_size(d);
	char *text = malloc(size);
	int n = text != NULL ? smtp_dsn_write(d, text, size) : SMTP_ENOMEM;
	bool ok = n > 0 && message_append(m, text, (size_t)n);

	free(text);
	if (!ok)
		return false;
	m->body[0] = (struct queue_blob){m->buffer, m->buffer_len};
	m->meta.body_bytes = m->buffer_len;
	return true;
}

/* For the whole message there was no memory. */
static bool
write_header_only(struct message *m, struct smtp_dsn *d)
{
	if (d->ret != SMTP_RET_FULL)
		return false;
	d->ret = SMTP_RET_HDRS;
	return write_text(m, d);
}

/* Without an attempt of this job. */
static bool
has_expired(const struct job *job)
{
	for (uint32_t i = 0; i < job->rcpt_count; i++)
		if (job->rcpts[i].verdict.kind == QUEUE_VERDICT_EXPIRED)
			return true;
	return false;
}

bool
bounce_load(struct job *job, const struct bounce_conf *c)
{
	int err;

	/* A message that has been in memory since it was accepted knows no replies; its records do. */
	if (job->message != NULL && !has_expired(job))
		return true;
	/* The bytes only when a notification will quote them: thousands of recipients may expire at once. */
	if (job->message == NULL && load(job, c, false) < 0)
		return false;
	if (job->is_damaged || !bounce_is_wanted(job))
		return true;
	/* One that does not fit into memory is not quoted: a job that waits for room here is a record that
	 * does not get to the disk, and after a while the queue gives out no mail because of it. */
	err = load(job, c, true);
	return err == QUEUE_OK || err == QUEUE_ENOMEM;
}

bool
bounce_write(struct job *job, const struct bounce_conf *c)
{
	struct smtp_dsn_rcpt *rcpts = calloc(job->rcpt_count, sizeof(*rcpts));
	struct smtp_slice pieces[QUEUE_BODY_PIECES];
	const struct message *of = job->message;
	struct smtp_dsn d = {.rcpts = rcpts, .pieces = pieces, .piece_count = QUEUE_BODY_PIECES};
	int64_t now_us = clock_now(c->clock);
	char unique[40];
	uint32_t i;

	if (rcpts == NULL)
		return false;
	for (i = 0; i < job->rcpt_count; i++)
		if (action_of(job, i, &rcpts[d.rcpt_count].action))
			describe_rcpt(job, i, now_us, &rcpts[d.rcpt_count++]);
	for (i = 0; i < QUEUE_BODY_PIECES; i++)
		pieces[i] = slice(of->body[i]);
	snprintf(unique, sizeof(unique), "%llx%08x%08x", (unsigned long long)now_us, clock_random(c->clock),
		clock_random(c->clock));
	d.unique = (struct smtp_slice){unique, strnlen(unique, sizeof(unique))};
	d.host = (struct smtp_slice){c->conf->hostname, strnlen(c->conf->hostname, SMTP_DOMAIN_MAX)};
	d.from = (struct smtp_slice){c->conf->bounce_from, strnlen(c->conf->bounce_from, SMTP_ADDRESS_MAX)};
	d.to = slice(of->meta.sender);
	d.envid = slice(of->meta.envid);
	d.arrival = of->meta.arrived_us / 1000000;
	d.deliver_by = message_deliver_by(&of->meta) / 1000000;
	d.hold_until = of->meta.release_us / 1000000;
	d.hold_for_s = of->meta.hold_s;
	d.now = now_us / 1000000;
	d.ret = of->body[0].len > 0 ? (enum smtp_ret)of->meta.ret : SMTP_RET_HDRS;
	job->dsn = envelope(job, c);
	if (job->dsn != NULL && !write_text(job->dsn, &d) && !write_header_only(job->dsn, &d)) {
		message_unref(job->dsn);
		job->dsn = NULL;
	}
	free(rcpts);
	return job->dsn != NULL;
}
