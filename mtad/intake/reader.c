/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: every mail that comes in is answered exactly once; QUEUE_OK is said only of what is on disk, in
 * the spool or in the folder of unread mail, or of what says nothing that is counted.
 */
#include "intake/reader.h"

#include "feedback/classify.h"
#include "feedback/prose.h"
#include "intake/returned.h"
#include "intake/unread.h"
#include "queue/feedback.h"
#include "queue/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_MAX = 256 };

struct reader {
	struct reader_conf conf;
	struct worker *worker, *spool, *queue;
	const struct conf *settings;
	struct report_rules *rules;
	struct classifier *classifier;
	struct feedback_reader *forms;
	uint32_t under_way; /* at the spool */
	_Atomic uint64_t kinds[FINDING_KIND_COUNT], unread, trimmed;
};

/* A mail whose items are at the spool. */
struct reading {
	struct feedback feedback; /* first: it is what comes back */
	struct returned *mail;
	struct returned_outcome outcome;
};

static void
answer(struct returned *mail, int result)
{
	mail->result = result;
	mail->letter.kind = LETTER_RETURNED_DONE;
	worker_post(mail->reply_to, &mail->letter);
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

static void
trim(struct reader *r)
{
	const struct conf *c = r->settings;
	char why[WHY_MAX];
	int gone = unread_trim(c->unread_reports, c->unread_reports_max, why, sizeof(why));

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
record(struct reader *r, struct returned *mail, struct returned_outcome *take_outcome)
{
	struct reading *reading = malloc(sizeof(*reading));

	if (reading == NULL) {
		free(take_outcome->items);
		answer(mail, QUEUE_ENOMEM);
		return;
	}
	*reading = (struct reading){.mail = mail, .outcome = *take_outcome};
	reading->feedback = (struct feedback){.letter = {.kind = LETTER_FEEDBACK},
		.reply_to = r->worker,
		.count = take_outcome->count,
		.items = take_outcome->items};
	r->under_way++;
	worker_post(r->spool, &reading->feedback.letter);
}

static void
on_recorded(struct reader *r, struct reading *reading)
{
	struct feedback_news *news;

	r->under_way--;
	if (reading->feedback.result == QUEUE_OK) {
		count(&r->kinds[reading->outcome.kind], 1);
		for (uint32_t i = 0; i < reading->outcome.count; i++)
			if ((news = feedback_news_of(&reading->outcome.items[i])) != NULL)
				worker_post(r->queue, &news->letter);
	}
	answer(reading->mail, reading->feedback.result);
	free(reading->outcome.items);
	free(reading);
}

/* --- a mail --- */

static void
judge(struct reader *r, struct returned *mail)
{
	const struct returned_judge j = {r->settings, r->classifier, r->forms, r->conf.store};
	const struct message *m = mail->message;
	const struct returned_mail in = {.bytes = {m->buffer, m->buffer_len},
		.sender = slice(m->meta.sender),
		.to = mail->to,
		.now_us = clock_now(r->conf.clock),
		.auth = SMTP_LIT("")};
	struct returned_outcome out;
	int err = returned_judge(&j, &in, &out);

	if (err == QUEUE_OK && out.result == RETURNED_RECORD) {
		record(r, mail, &out);
		return;
	}
	if (err == QUEUE_OK && out.result == RETURNED_UNREAD)
		err = keep(r, mail, out.why);
	else if (err == QUEUE_OK)
		log_event(r->conf.log, LOG_EVENT_report_ignored, "client=%s kind=%s", mail->client_ip,
			finding_kind_name(out.kind));
	if (err == QUEUE_OK)
		count(&r->kinds[out.kind], 1);
	free(out.items);
	answer(mail, err);
}

static void
on_letter(void *arg, struct letter *l)
{
	struct reader *r = arg;

	switch ((enum letter_kind)l->kind) {
	case LETTER_RETURNED:
		judge(r, (struct returned *)l);
		return;
	case LETTER_FEEDBACK_DONE:
		on_recorded(r, (struct reading *)l);
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

bool
reader_reconfigure(struct reader *r, const struct conf *conf)
{
	struct report_rules *rules = report_rules_create(conf);
	struct classifier *classifier = classifier_create(conf);
	struct feedback_reader *forms = rules != NULL ? feedback_reader_create(prose_read, rules) : NULL;

	if (rules == NULL || classifier == NULL || forms == NULL) {
		feedback_reader_destroy(&forms);
		report_rules_unref(rules);
		classifier_unref(classifier);
		return false;
	}
	drop(r);
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
	worker_destroy(&r->worker);
	drop(r);
	free(r);
}
