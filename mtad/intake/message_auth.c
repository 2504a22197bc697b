/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions wait in the order in which they came, so the first has the next deadline. A round never runs
 * inside begin or inside the resolver: all run in on_work(), one after the other.
 *
 * Invariants: a question is in the list from begin until just before its callback. A query belongs to one
 * question until that one is answered; then it belongs to nobody and goes when the resolver is done with it.
 */
#include "intake/message_auth.h"

#include "route/alloc.h"
#include "route/resolver.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

static const int64_t second_us = 1000000;

/* One question to DNS, the resolver's argument. */
struct query {
	TAILQ_ENTRY(query) link;
	struct message_auth_question *question; /* NULL: nobody waits any more */
	uint32_t fact;
};

struct message_auth {
	const struct clock *clock;
	struct dkim_verifier *verifier;
	struct resolver *resolver;
	struct event *work_event, *deadline_event;
	TAILQ_HEAD(, message_auth_question) questions;
	TAILQ_HEAD(, query) queries;
};

static void
on_answer(void *owner, void *arg, const struct resolver_answer *answer)
{
	struct message_auth *a = owner;
	struct query *query = arg;
	struct message_auth_question *q = query->question;

	if (q != NULL) {
		auth_facts_answer(&q->facts.list[query->fact], answer->packet);
		assert(q->open_count > 0);
		q->is_ready |= --q->open_count == 0;
		if (q->is_ready)
			event_active(a->work_event, EV_TIMEOUT, 1);
	}
	TAILQ_REMOVE(&a->queries, query, link);
	free(query);
}

static void
ask(struct message_auth_question *q, uint32_t fact)
{
	struct message_auth *a = q->auth;
	struct auth_fact *f = &q->facts.list[fact];
	struct query *query = route_alloc(sizeof(*query));

	query->question = q;
	query->fact = fact;
	f->kind = AUTH_FACT_ASKED;
	TAILQ_INSERT_TAIL(&a->queries, query, link);
	q->open_count++;
	/* auth_facts takes no name that cannot be asked for. */
	if (!resolver_ask(a->resolver, f->name, f->type, query))
		assert(false);
}

static void
finish(struct message_auth_question *q)
{
	struct message_auth *a = q->auth;
	struct query *query;

	TAILQ_FOREACH(query, &a->queries, link)
	if (query->question == q)
		query->question = NULL;
	TAILQ_REMOVE(&a->questions, q, link);
	auth_facts_fini(&q->facts);
	q->done(q, &q->answer);
}

/* One round. */
static void
evaluate(struct message_auth_question *q)
{
	struct message_auth *a = q->auth;
	const struct spf_question spf = {&q->client.any, q->mail.helo, q->mail.mail_from};
	int64_t now_s = clock_now(a->clock) / second_us;

	q->is_ready = false;
	if (!q->has_dkim)
		q->has_dkim =
			dkim_verifier_check(a->verifier, q->mail.bytes, now_s, &q->facts, &q->answer.dkim);
	if (!q->has_spf)
		q->has_spf = spf_check(&spf, &q->facts, &q->answer.spf);
	if (q->has_dkim && q->has_spf) {
		finish(q);
		return;
	}
	for (uint32_t i = 0; i < q->facts.count; i++)
		if (q->facts.list[i].kind == AUTH_FACT_WANTED)
			ask(q, i);
	assert(q->open_count > 0);
}

static struct message_auth_question *
find_ready(struct message_auth *a)
{
	struct message_auth_question *q;

	TAILQ_FOREACH(q, &a->questions, link)
	if (q->is_ready)
		return q;
	return NULL;
}

/* Armed for the oldest question. */
static void
arm_deadline(struct message_auth *a)
{
	const struct message_auth_question *q = TAILQ_FIRST(&a->questions);
	int64_t left_us;
	struct timeval wait;

	event_del(a->deadline_event);
	if (q == NULL)
		return;
	left_us = q->deadline_us - clock_mono(a->clock);
	left_us = left_us > 0 ? left_us : 0;
	wait = (struct timeval){left_us / second_us, left_us % second_us};
	event_add(a->deadline_event, &wait);
}

/* A callback may begin the next question, so the list is looked at anew each time; one question a turn, so
 * that a large mail does not hold up the loop for all the others too. */
static void
on_work(evutil_socket_t fd, short what, void *arg)
{
	struct message_auth *a = arg;
	struct message_auth_question *q = find_ready(a);

	if (q != NULL)
		evaluate(q);
	if (find_ready(a) != NULL)
		event_active(a->work_event, EV_TIMEOUT, 1);
	arm_deadline(a);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct message_auth *a = arg;
	int64_t now_us = clock_mono(a->clock);
	struct message_auth_question *q;
	struct query *query;

	TAILQ_FOREACH(q, &a->questions, link)
	{
		if (q->deadline_us > now_us)
			break;
		TAILQ_FOREACH(query, &a->queries, link)
		if (query->question == q)
			query->question = NULL;
		q->open_count = 0;
		auth_facts_close(&q->facts);
		q->is_ready = true;
	}
	on_work(fd, what, arg);
}

void
message_auth_begin(struct message_auth *a, struct message_auth_question *q,
	const struct message_auth_mail *mail, message_auth_done *done)
{
	memset(q, 0, sizeof(*q));
	q->auth = a;
	q->done = done;
	q->mail = *mail;
	memcpy(&q->client, mail->client,
		mail->client->sa_family == AF_INET ? sizeof(q->client.v4) : sizeof(q->client.v6));
	q->deadline_us = clock_mono(a->clock) + MESSAGE_AUTH_SECONDS_MAX * second_us;
	q->is_ready = true;
	TAILQ_INSERT_TAIL(&a->questions, q, link);
	event_active(a->work_event, EV_TIMEOUT, 1);
}

void
message_auth_reconfigure(struct message_auth *a, const struct conf *conf)
{
	resolver_reconfigure(a->resolver, conf);
}

struct message_auth *
message_auth_create(
	struct event_base *base, const struct clock *clock, const struct conf *conf, const char *resolv_path)
{
	struct message_auth *a = calloc(1, sizeof(*a));
	const struct resolver_conf rc = {
		.base = base, .clock = clock, .resolv_path = resolv_path, .done = on_answer, .owner = a};

	if (a == NULL)
		return NULL;
	a->clock = clock;
	TAILQ_INIT(&a->questions);
	TAILQ_INIT(&a->queries);
	a->verifier = dkim_verifier_create();
	a->resolver = resolver_create(&rc, conf);
	a->work_event = event_new(base, -1, 0, on_work, a);
	a->deadline_event = evtimer_new(base, on_deadline, a);
	if (a->verifier == NULL || a->resolver == NULL || a->work_event == NULL || a->deadline_event == NULL)
		message_auth_destroy(&a);
	return a;
}

void
message_auth_destroy(struct message_auth **ap)
{
	struct message_auth *a = *ap;
	struct message_auth_question *q;
	struct query *query;

	*ap = NULL;
	if (a == NULL)
		return;
	resolver_destroy(&a->resolver); /* answers nobody any more */
	while ((query = TAILQ_FIRST(&a->queries)) != NULL) {
		TAILQ_REMOVE(&a->queries, query, link);
		free(query);
	}
	TAILQ_FOREACH(q, &a->questions, link)
	auth_facts_fini(&q->facts);
	dkim_verifier_destroy(&a->verifier);
	if (a->work_event != NULL)
		event_free(a->work_event);
	if (a->deadline_event != NULL)
		event_free(a->deadline_event);
	free(a);
}
