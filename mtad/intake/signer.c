/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An RSA-2048 signature is a quarter of a millisecond and a yescrypt hash tens of them: nothing an event loop
 * may do. Invariant: every letter that comes in goes out again, to the spool or back to its session.
 */
#include "intake/signer.h"

#include "base/domain.h"
#include "intake/auth.h"
#include "intake/prepare.h"
#include "queue/bounce.h"
#include "queue/letters.h"

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RELOAD_WAIT_S = 1 };

struct signer_keys {
	_Atomic unsigned refs;
	struct dkim_keys *keys;
};

struct signer {
	struct signer_conf conf;
	struct worker *worker, *spool;
	const struct conf *settings;
	struct signer_keys *keys;
	struct event *again; /* jobs whose message could not be read: once more in a moment */
	struct letter *waiting;
	char name[16];
};

struct signer_keys *
signer_keys_load(const struct conf *conf, char *why, size_t why_max)
{
	struct signer_keys *k = calloc(1, sizeof(*k));
	struct dkim_key_conf *confs = calloc(conf->dkim_count + 1, sizeof(*confs));
	size_t i;
	int err = -1;

	if (k == NULL || confs == NULL)
		snprintf(why, why_max, "out of memory");
	else {
		for (i = 0; i < conf->dkim_count; i++)
			confs[i] = (struct dkim_key_conf){
				conf->dkims[i].name, conf->dkims[i].selector, conf->dkims[i].key};
		err = dkim_keys_load(confs, conf->dkim_count, why, why_max, &k->keys);
	}
	free(confs);
	if (err < 0) {
		free(k);
		return NULL;
	}
	atomic_init(&k->refs, 1);
	return k;
}

struct signer_keys *
signer_keys_ref(struct signer_keys *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void
signer_keys_unref(struct signer_keys *k)
{
	if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
		return;
	dkim_keys_destroy(&k->keys);
	free(k);
}

/* Puts the signatures on top of the first piece. An error: the message may not go out unsigned by accident.
 */
static int
sign(struct signer *s, struct message *m)
{
	struct smtp_slice pieces[QUEUE_BODY_PIECES];
	struct dkim_message in = {.pieces = pieces, .piece_count = QUEUE_BODY_PIECES};
	char signatures[DKIM_SIGNED_MAX];
	struct queue_blob top;
	unsigned i;
	int n;

	in.from_domain = (struct smtp_slice){m->meta.from_domain.ptr, m->meta.from_domain.len};
	if (in.from_domain.len == 0)
		return QUEUE_OK;
	for (i = 0; i < QUEUE_BODY_PIECES; i++)
		pieces[i] = (struct smtp_slice){m->body[i].ptr, m->body[i].len};
	in.now_seconds = clock_now(s->conf.clock) / 1000000;
	n = dkim_keys_sign(s->keys->keys, &in, signatures, sizeof(signatures));
	if (n <= 0)
		return n == 0 ? QUEUE_OK : n == SMTP_ENOMEM ? QUEUE_ENOMEM : QUEUE_EINVAL;
	top = message_join(m, (struct queue_blob){signatures, (size_t)n}, m->body[0]);
	if (top.ptr == NULL)
		return QUEUE_ENOMEM;
	m->body[0] = top;
	m->meta.body_bytes += (uint64_t)n;
	return QUEUE_OK;
}

static void
on_sign(struct signer *s, struct accept *a)
{
	a->result = sign(s, a->message);
	if (a->result == QUEUE_OK) {
		a->letter.kind = LETTER_ACCEPT;
		worker_post(s->spool, &a->letter);
		return;
	}
	a->why = a->result == QUEUE_ENOMEM ? "Out of memory"
					   : "Message cannot be signed: its header is malformed or too large";
	a->letter.kind = LETTER_ACCEPTED;
	worker_post(a->reply_to, &a->letter);
}

/* Without the message nothing can be recorded, so the job waits here until the spool can be read again. */
static void
on_bounce(struct signer *s, struct job *job)
{
	const struct bounce_conf c = {s->settings, s->conf.clock, s->conf.memory, s->conf.store};
	struct timeval tv = {RELOAD_WAIT_S, 0};

	if (!bounce_load(job, &c)) {
		job->letter.next = s->waiting;
		s->waiting = &job->letter;
		event_add(s->again, &tv);
		return;
	}
	if (!job->is_damaged && bounce_is_wanted(job)) {
		if (bounce_write(job, &c))
			(void)sign(s, job->dsn);
		else
			log_event(s->conf.log, LOG_EVENT_rejected,
				"msg=%llx text=\"no bounce mail can be sent to its sender\"",
				(unsigned long long)job->id);
	}
	job->letter.kind = LETTER_RECORD;
	worker_post(s->spool, &job->letter);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct signer *s = arg;
	struct letter *list = s->waiting, *next;

	s->waiting = NULL;
	for (; list != NULL; list = next) {
		next = list->next;
		on_bounce(s, (struct job *)list);
	}
}

static void
on_letter(void *arg, struct letter *l)
{
	struct signer *s = arg;
	struct password *p;

	switch ((enum letter_kind)l->kind) {
	case LETTER_SIGN:
		on_sign(s, (struct accept *)l);
		break;
	case LETTER_BOUNCE:
		on_bounce(s, (struct job *)l);
		break;
	case LETTER_PASSWORD:
		p = (struct password *)l;
		auth_check(p);
		worker_post(p->reply_to, l);
		break;
	case LETTER_CALL:
		((struct call *)l)->run((struct call *)l);
		break;
	default:
		assert(!"a letter the sign thread does not take");
	}
	/* The next one may take long: whoever waits for this one need not wait for all that are in the box.
	 */
	worker_flush();
}

struct signer *
signer_create(const struct signer_conf *conf)
{
	struct worker_conf wc = {.clock = conf->clock, .on_letter = on_letter};
	struct signer *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->conf = *conf;
	snprintf(s->name, sizeof(s->name), "sign%u", conf->number % 1000);
	wc.name = s->name;
	wc.arg = s;
	if ((s->worker = worker_create(&wc)) == NULL ||
		(s->again = event_new(worker_base(s->worker), -1, 0, on_again, s)) == NULL)
		signer_destroy(&s);
	return s;
}

void
signer_connect(struct signer *s, struct worker *spool)
{
	s->spool = spool;
}

struct worker *
signer_worker(struct signer *s)
{
	return s->worker;
}

void
signer_reconfigure(struct signer *s, const struct conf *conf, struct signer_keys *keys)
{
	const struct conf *old = s->settings;
	struct signer_keys *old_keys = s->keys;

	s->settings = conf_ref(conf);
	s->keys = signer_keys_ref(keys);
	conf_unref(old);
	signer_keys_unref(old_keys);
}

void
signer_destroy(struct signer **sp)
{
	struct signer *s = *sp;
	struct letter *next;

	*sp = NULL;
	if (s == NULL)
		return;
	/* Not recorded: delivered or failed again after the next start. */
	for (; s->waiting != NULL; s->waiting = next) {
		next = s->waiting->next;
		job_free((struct job *)s->waiting);
	}
	if (s->again != NULL)
		event_free(s->again);
	worker_destroy(&s->worker);
	signer_keys_unref(s->keys);
	conf_unref(s->settings);
	free(s);
}
