/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of one thread: what they share, and which letter is for which.
 *
 * Invariant: each OPEN is answered by a session's end or by refuse_open(), each JOB by its session or by
 * return_job(). A session may have ended while a letter to it was on its way.
 */
#include "deliver/deliver_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { HOSTS_KNOWN = 2048, TLS_SESSIONS = 4096 };

/* Nothing was tried. */
static void
return_job(struct job *job, struct worker *queue, const char *esc, const char *why)
{
	job_answer_all(job, QUEUE_VERDICT_RETURN, BOUNCE_CLASS_SYSTEM_ERROR, esc, 0, why);
	job->letter.kind = LETTER_JOB_DONE;
	worker_post(queue, &job->letter);
}

static void
refuse_open(struct outbound *o, const char *why)
{
	return_job(o->first, o->queue, "4.3.0", why);
	o->first = NULL;
	o->end = QUEUE_SESSION_HINDERED;
	snprintf(o->why, sizeof(o->why), "%s", why);
	o->closed.kind = LETTER_CLOSED;
	worker_post(o->queue, &o->closed);
}

/* --- letters --- */

static void
open_session(struct deliver *d, struct outbound *o)
{
	/* Ordered before the queue knew of the stop: nobody would ever tell this session to quit. */
	if (d->is_stopping)
		refuse_open(o, "the daemon stops");
	else if (!deliver_session_open(d, o))
		refuse_open(o, "out of memory");
}

static void
take_job(struct deliver *d, struct job *job)
{
	struct deliver_session *s = job->outbound->deliver;

	if (s == NULL || !deliver_session_take(s, job))
		return_job(job, d->conf.queue, "4.4.2", "the session had ended");
}

void
deliver_on_letter(struct deliver *d, struct letter *l)
{
	struct outbound *o;

	switch ((enum letter_kind)l->kind) {
	case LETTER_OPEN:
		open_session(d, (struct outbound *)l);
		return;
	case LETTER_JOB:
		take_job(d, (struct job *)l);
		return;
	case LETTER_QUIT:
		o = outbound_of_quit(l);
		if (o->deliver != NULL)
			deliver_session_quit(o->deliver, "closed by the queue");
		return;
	case LETTER_RELEASE:
		outbound_free((struct outbound *)l);
		return;
	default:
		assert(!"a letter deliver does not take");
	}
}

void
deliver_stop(struct deliver *d, bool cut)
{
	struct deliver_session *s, *next;

	d->is_stopping = true;
	for (s = d->first; s != NULL; s = next) {
		next = s->next;
		if (cut)
			deliver_session_cut(s, "the daemon stops");
		else
			deliver_session_quit(s, "the daemon stops");
	}
}

uint32_t
deliver_count(const struct deliver *d)
{
	return d->count;
}

bool
deliver_reconfigure(struct deliver *d, const struct conf *conf, char *why, size_t why_max)
{
	SSL_CTX *verify = NULL;

	if (conf->tls_ca_file[0] != '\0') {
		/* A missing file only matters to tls = verify, which then defers with these words (E28). */
		verify = tls_client_create(conf->tls_ca_file, why, why_max);
		if (verify == NULL && d->tls_verify != NULL)
			return false;
	}
	SSL_CTX_free(d->tls_verify);
	d->tls_verify = verify;
	d->verify_number++;
	return true;
}

struct deliver *
deliver_create(const struct deliver_conf *conf)
{
	struct deliver *d = calloc(1, sizeof(*d));
	char why[200];

	if (d == NULL)
		return NULL;
	d->conf = *conf;
	if ((d->hosts = hosts_create(HOSTS_KNOWN)) == NULL ||
		(d->tls_cache = tls_cache_create(TLS_SESSIONS)) == NULL ||
		(d->tls_plain = tls_client_create(NULL, why, sizeof(why))) == NULL)
		deliver_destroy(&d);
	return d;
}

void
deliver_destroy(struct deliver **dp)
{
	struct deliver *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	assert(d->count == 0);
	hosts_destroy(&d->hosts);
	if (d->tls_cache != NULL)
		tls_cache_destroy(&d->tls_cache);
	SSL_CTX_free(d->tls_plain);
	SSL_CTX_free(d->tls_verify);
	free(d);
}
