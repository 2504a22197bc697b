/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: every mail that comes in is answered exactly once; QUEUE_OK is said only of what is on disk, in
 * the spool or in the folder of unread mail, or of what says nothing that is counted.
 *
 * A complaint waits for DNS to say who signed it. What was read is overwritten by then, and is read again:
 * that is a fraction of a millisecond, and a copy would be half a megabyte.
 */
#include "intake/reader.h"

#include "base/domain.h"
#include "feedback/classify.h"
#include "feedback/prose.h"
#include "intake/message_auth.h"
#include "intake/returned.h"
#include "intake/unread.h"
#include "queue/feedback.h"
#include "queue/message.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WHY_MAX = 256, AUTH_MAX = 512 };

struct reader {
	struct reader_conf conf;
	struct worker *worker, *spool, *queue;
	const struct conf *settings;
	struct report_rules *rules;
	struct classifier *classifier;
	struct feedback_reader *forms;
	struct message_auth *auth;
	int64_t unread_count; /* mails in the folder, while that is known */
	bool unread_known;
	uint32_t under_way; /* asked about in DNS, or at the spool */
	_Atomic uint64_t kinds[FINDING_KIND_COUNT], unread, trimmed;
};

/* A mail, from when it comes to its answer. */
struct reading {
	struct feedback feedback; /* first: it is what comes back from the spool */
	struct reader *reader;
	struct returned *mail;
	struct message_auth_question question;
	char auth[AUTH_MAX]; /* of a complaint: "dkim=pass d=example.com spf=none" */
	bool is_vouched;
	struct returned_outcome outcome;
};

static void
answer(struct returned *mail, int result)
{
	mail->result = result;
	mail->letter.kind = LETTER_RETURNED_DONE;
	worker_post(mail->reply_to, &mail->letter);
}

/* The end of a reading. */
static void
end(struct reading *reading, int result)
{
	reading->reader->under_way--;
	answer(reading->mail, result);
	free(reading->outcome.items);
	free(reading);
}

static void
count(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* --- unread --- */

static struct smtp_slice
slice(struct queue_blob b)
{
	return (struct smtp_slice){b.ptr, b.len};
}

/* Looking through the folder costs more than a mail, so what comes is counted until there may be too many;
 * then a tenth goes at once. */
static void
trim(struct reader *r)
{
	const struct conf *c = r->settings;
	int64_t max = c->unread_reports_max;
	char why[WHY_MAX];
	int gone;

	if (r->unread_known && ++r->unread_count <= max)
		return;
	gone = unread_trim(c->unread_reports, max, max - max / 10, &r->unread_count, why, sizeof(why));
	r->unread_known = gone >= 0;
	if (gone < 0)
		log_event(r->conf.log, LOG_EVENT_report_failed, "why=\"%s\"", why);
	else if (gone > 0) {
		log_event(r->conf.log, LOG_EVENT_report_trimmed, "folder=\"%s\" count=%d", c->unread_reports,
			gone);
		count(&r->trimmed, (uint64_t)gone);
	}
}

static int
keep(struct reader *r, const struct returned *mail, const char *reason)
{
	const struct message *m = mail->message;
	const struct unread_mail u = {.bytes = {m->buffer, m->buffer_len},
		.sender = slice(m->meta.sender),
		.rcpt = slice(m->rcpts[0].address),
		.helo = mail->helo,
		.client_ip = mail->client_ip,
		.hostname = r->settings->hostname,
		.now_us = clock_now(r->conf.clock),
		.random = clock_random(r->conf.clock)};
	char name[UNREAD_NAME_MAX], why[WHY_MAX];

	if (!unread_keep(r->settings->unread_reports, &u, name, why, sizeof(why))) {
		log_event(r->conf.log, LOG_EVENT_report_failed, "client=%s why=\"%s\"", mail->client_ip, why);
		return QUEUE_EIO;
	}
	log_event(r->conf.log, LOG_EVENT_report_unread, "client=%s file=%s why=\"%s\"", mail->client_ip, name,
		reason);
	count(&r->unread, 1);
	trim(r);
	return QUEUE_OK;
}

/* --- on record --- */

static void
record(struct reading *reading)
{
	struct reader *r = reading->reader;

	reading->feedback = (struct feedback){.letter = {.kind = LETTER_FEEDBACK},
		.reply_to = r->worker,
		.count = reading->outcome.count,
		.items = reading->outcome.items};
	worker_post(r->spool, &reading->feedback.letter);
}

static void
on_recorded(struct reading *reading)
{
	struct reader *r = reading->reader;
	struct feedback_news *news;

	if (reading->feedback.result == QUEUE_OK) {
		count(&r->kinds[reading->outcome.kind], 1);
		for (uint32_t i = 0; i < reading->outcome.count; i++)
			if ((news = feedback_news_of(&reading->outcome.items[i])) != NULL)
				worker_post(r->queue, &news->letter);
	}
	end(reading, reading->feedback.result);
}

/* --- a mail --- */

static void
judge(struct reading *reading)
{
	struct reader *r = reading->reader;
	const struct returned_judge j = {r->settings, r->classifier, r->forms, r->conf.store};
	const struct message *m = reading->mail->message;
	const struct returned_mail in = {.bytes = {m->buffer, m->buffer_len},
		.sender = slice(m->meta.sender),
		.client_ip = {reading->mail->client_ip, strnlen(reading->mail->client_ip, 64)},
		.helo = reading->mail->helo,
		.local_ip = {reading->mail->local_ip, strnlen(reading->mail->local_ip, 64)},
		.to = reading->mail->to,
		.now_us = clock_now(r->conf.clock),
		.auth = {reading->auth, strnlen(reading->auth, AUTH_MAX)},
		.is_vouched = reading->is_vouched};
	struct returned_outcome *out = &reading->outcome;
	int err = returned_judge(&j, &in, out);

	if (err == QUEUE_OK && out->result == RETURNED_RECORD) {
		record(reading);
		return;
	}
	if (err == QUEUE_OK && out->result == RETURNED_UNREAD)
		err = keep(r, reading->mail, out->why);
	else if (err == QUEUE_OK)
		log_event(r->conf.log, LOG_EVENT_report_ignored, "client=%s kind=%s",
			reading->mail->client_ip, finding_kind_name(out->kind));
	if (err == QUEUE_OK)
		count(&r->kinds[out->kind], 1);
	end(reading, err);
}

/* --- who vouches for it --- */

static bool
is_within(const char *name, const char *domain)
{
	size_t name_len = strnlen(name, DOMAIN_MAX), len = strnlen(domain, DOMAIN_MAX);

	return name_len >= len && strcmp(name + name_len - len, domain) == 0 &&
	       (name_len == len || name[name_len - len - 1] == '.');
}

/* The address it is from, normalised as the configuration's are; "" when there is none, or more than one
 * field says so: a signature covers one of them. */
static void
read_from(struct smtp_slice mail, char *out, size_t max)
{
	const char *end_of_header = memmem(mail.ptr, mail.len, "\r\n\r\n", 4);
	char domain[DOMAIN_MAX], address[FINDING_ADDRESS_MAX] = "", *at;
	struct smtp_field field;
	int fields = 0, len = -1;

	if (end_of_header != NULL)
		mail.len = (size_t)(end_of_header - mail.ptr) + 2;
	while (smtp_mime_field(&mail, &field))
		if (smtp_slice_is_nocase(field.name, SMTP_LIT("From")) && fields++ == 0)
			finding_put_address(address, sizeof(address), field.value);
	if ((at = strrchr(address, '@')) != NULL)
		len = domain_normalise(at + 1, strnlen(at + 1, SMTP_DOMAIN_MAX), domain, sizeof(domain));
	out[0] = '\0';
	if (fields == 1 && len > 0)
		snprintf(out, max, "%.*s@%.*s", (int)(at - address), address, len, domain);
}

/* RFC 7489 3.1.1: the signature is of the domain it is from, or of one above. */
static bool
is_trusted(const struct conf *c, struct smtp_slice mail, const struct dkim_answer *dkim)
{
	char from[SMTP_ADDRESS_MAX + 2];
	bool is_reporter = false, is_signed = false;

	read_from(mail, from, sizeof(from));
	for (size_t n = 0; n < c->trusted_reporters.count; n++)
		is_reporter = is_reporter || strcasecmp(from, c->trusted_reporters.items[n]) == 0;
	for (uint32_t i = 0; is_reporter && i < dkim->domain_count; i++)
		is_signed = is_signed || is_within(strrchr(from, '@') + 1, dkim->domains[i]);
	return is_signed;
}

static void
on_asked(struct message_auth_question *q, const struct message_auth_answer *a)
{
	struct reading *reading = (struct reading *)((char *)q - offsetof(struct reading, question));
	size_t at = (size_t)snprintf(reading->auth, AUTH_MAX, "dkim=%s", auth_outcome_text(a->dkim.outcome));

	for (uint32_t i = 0; i < a->dkim.domain_count && at < AUTH_MAX; i++)
		at += (size_t)snprintf(reading->auth + at, AUTH_MAX - at, " d=%s", a->dkim.domains[i]);
	if (at < AUTH_MAX)
		snprintf(reading->auth + at, AUTH_MAX - at, " spf=%s", auth_outcome_text(a->spf.outcome));
	reading->is_vouched = is_trusted(reading->reader->settings,
		(struct smtp_slice){reading->mail->message->buffer, reading->mail->message->buffer_len},
		&a->dkim);
	judge(reading);
}

static bool
read_client(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	out->ss_family = AF_INET;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		return true;
	out->ss_family = AF_INET6;
	return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

/* Of bounces nobody asks: they come from everywhere, and a token speaks for itself. */
static void
on_returned(struct reader *r, struct returned *mail)
{
	const struct message *m = mail->message;
	struct sockaddr_storage client;
	const struct message_auth_mail asked = {.bytes = {m->buffer, m->buffer_len},
		.client = (const struct sockaddr *)&client,
		.helo = mail->helo,
		.mail_from = slice(m->meta.sender)};
	struct reading *reading = calloc(1, sizeof(*reading));

	if (reading == NULL) {
		answer(mail, QUEUE_ENOMEM);
		return;
	}
	reading->reader = r;
	reading->mail = mail;
	r->under_way++;
	if (feedback_read(r->forms, asked.bytes)->kind != FINDING_COMPLAINT ||
		!read_client(mail->client_ip, &client)) {
		judge(reading);
		return;
	}
	message_auth_begin(r->auth, &reading->question, &asked, on_asked);
}

static void
on_letter(void *arg, struct letter *l)
{
	struct reader *r = arg;

	switch ((enum letter_kind)l->kind) {
	case LETTER_RETURNED:
		on_returned(r, (struct returned *)l);
		return;
	case LETTER_FEEDBACK_DONE:
		on_recorded((struct reading *)l);
		return;
	case LETTER_CALL:
		((struct call *)l)->run((struct call *)l);
		return;
	default:
		assert(!"a letter the reader does not take");
	}
}

static bool
is_busy(void *arg)
{
	return ((struct reader *)arg)->under_way > 0;
}

/* --- the root --- */

struct reader *
reader_create(const struct reader_conf *conf)
{
	struct reader *r = calloc(1, sizeof(*r));
	const struct worker_conf wc = {
		.name = "reader", .clock = conf->clock, .on_letter = on_letter, .arg = r, .is_busy = is_busy};

	if (r == NULL)
		return NULL;
	r->conf = *conf;
	if ((r->worker = worker_create(&wc)) == NULL)
		reader_destroy(&r);
	return r;
}

void
reader_connect(struct reader *r, struct worker *spool, struct worker *queue)
{
	r->spool = spool;
	r->queue = queue;
}

struct worker *
reader_worker(struct reader *r)
{
	return r->worker;
}

static void
drop(struct reader *r)
{
	feedback_reader_destroy(&r->forms);
	report_rules_unref(r->rules);
	classifier_unref(r->classifier);
	conf_unref(r->settings);
}

/* The same resolver goes on with other settings. */
static bool
have_auth(struct reader *r, const struct conf *conf)
{
	if (r->auth == NULL)
		r->auth =
			message_auth_create(worker_base(r->worker), r->conf.clock, conf, "/etc/resolv.conf");
	else
		message_auth_reconfigure(r->auth, conf);
	return r->auth != NULL;
}

bool
reader_reconfigure(struct reader *r, const struct conf *conf)
{
	struct report_rules *rules = report_rules_create(conf);
	struct classifier *classifier = classifier_create(conf);
	struct feedback_reader *forms = rules != NULL ? feedback_reader_create(prose_read, rules) : NULL;

	if (rules == NULL || classifier == NULL || forms == NULL || !have_auth(r, conf)) {
		feedback_reader_destroy(&forms);
		report_rules_unref(rules);
		classifier_unref(classifier);
		return false;
	}
	drop(r);
	r->unread_known = false; /* it may be another folder */
	r->settings = conf_ref(conf);
	r->rules = rules;
	r->classifier = classifier;
	r->forms = forms;
	return true;
}

void
reader_stats(const struct reader *r, struct reader_stats *out)
{
	for (int i = 0; i < FINDING_KIND_COUNT; i++)
		out->kinds[i] = atomic_load_explicit(&r->kinds[i], memory_order_relaxed);
	out->unread = atomic_load_explicit(&r->unread, memory_order_relaxed);
	out->trimmed = atomic_load_explicit(&r->trimmed, memory_order_relaxed);
}

void
reader_destroy(struct reader **rp)
{
	struct reader *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	assert(r->under_way == 0);
	message_auth_destroy(&r->auth);
	worker_destroy(&r->worker);
	drop(r);
	free(r);
}
