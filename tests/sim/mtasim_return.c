/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A return is planned while its message is accepted, which costs the receiving side no more than its bytes,
 * and has a timer: until it is due, then until it is tried again. Of those that are due only so many have a
 * connection; the others wait in line.
 *
 * Invariants: each return has one line in the ledger, written when nothing more comes of it; one with an
 * attempt is counted in `open`, and is neither in line nor has its timer set.
 */
#include "mtasim_return.h"

#include "mtasim_grammar.h"
#include "mtasim_return_mail.h"
#include "mtasim_return_send.h"

#include "base/clock.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/queue.h>

enum {
	AGAIN_US = 1000000,
	ANSWER_MAX = 300,
	HEADER_MAX = 65536, /* bytes of a header that are sent back */
	LOT = 7919,         /* so that the draw is not that of a rule */
};

struct back {
	LIST_ENTRY(back) link;
	STAILQ_ENTRY(back) in_line;
	struct returns *returns;
	const struct sim_site *site;
	const struct sim_return *rule;
	struct event timer;
	struct attempt_work work;
	struct attempt *attempt; /* NULL: none */
	struct return_goal goal;
	char sender[SMTP_ADDRESS_MAX + 1]; /* of the return */
	char rcpt[SMTP_ADDRESS_MAX + 1];   /* of the message */
	char id[LEDGER_ID_MAX];
	size_t id_len;
	char *bytes;
	uint32_t tries;
	char answer[ANSWER_MAX];
};

struct returns {
	struct returns_conf conf;
	LIST_HEAD(, back) all;
	STAILQ_HEAD(, back) line;
	uint32_t open;
	uint64_t planned, left;
};

/* --- the end of a return --- */

static void
back_free(struct back *b)
{
	LIST_REMOVE(b, link);
	b->returns->left--;
	event_del(&b->timer);
	attempt_destroy(&b->attempt);
	free(b->bytes);
	free(b);
}

static void
conclude(struct back *b, const char *outcome)
{
	const struct ledger_return line = {
		.site = b->site->name,
		.kind = grammar_send_word((int)b->rule->send),
		.outcome = outcome,
		.rcpt = RETURN_TEXT(b->rcpt),
		.id = {b->id, b->id_len},
		.goal = b->goal.address[0] != '\0' ? RETURN_TEXT(b->goal.address) : RETURN_TEXT(b->goal.url),
		.tries = b->tries,
		.answer = b->answer,
	};

	ledger_write_return(b->returns->conf.sim->ledger, &line);
	back_free(b);
}

/* --- attempts --- */

static void
set_timer(struct back *b, int64_t us)
{
	const struct timeval tv = {us / 1000000, us % 1000000};

	event_add(&b->timer, &tv);
}

static bool
is_put_off(const struct back *b, int code)
{
	if (b->work.is_http)
		return code == 0 || code == 429 || code >= 500;
	return code == 0 || (code >= 400 && code < 500);
}

static void try_next(struct returns *r);

static void
on_done(void *arg, int code, const char *answer)
{
	struct back *b = arg;
	struct returns *r = b->returns;

	assert(b->attempt != NULL && r->open > 0);
	snprintf(b->answer, sizeof(b->answer), "%s", answer);
	attempt_destroy(&b->attempt);
	r->open--;
	if (is_put_off(b, code))
		set_timer(b, AGAIN_US);
	else
		conclude(b, code < 300 ? "delivered" : "refused");
	try_next(r);
}

static void
try_next(struct returns *r)
{
	struct back *b;

	while (r->open < RETURNS_OPEN_MAX && (b = STAILQ_FIRST(&r->line)) != NULL) {
		STAILQ_REMOVE_HEAD(&r->line, in_line);
		b->tries++;
		b->attempt = attempt_begin(r->conf.sim->base, &b->work, on_done, b);
		if (b->attempt != NULL)
			r->open++;
		else
			set_timer(b, AGAIN_US);
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct back *b = arg;

	STAILQ_INSERT_TAIL(&b->returns->line, b, in_line);
	try_next(b->returns);
}

/* --- the plan --- */

static const struct sim_return *
rule_of(const struct returns *r, const struct sim_site *site, const char *rcpt)
{
	const struct sim_return *rule;
	uint64_t draw;
	size_t i;

	for (i = 0; i < site->return_count; i++) {
		rule = &site->returns[i];
		if (rule->match != NULL && fnmatch(rule->match, rcpt, FNM_CASEFOLD) != 0)
			continue;
		draw = sim_hash(r->conf.sim->seed + (LOT + i) * 0x9E3779B97F4A7C15u, rcpt,
			strnlen(rcpt, SMTP_ADDRESS_MAX + 1));
		if ((double)(draw % 10000) < rule->share * 100.0)
			return rule;
	}
	return NULL;
}

static void *
must_have(void *p)
{
	if (p != NULL)
		return p;
	fprintf(stderr, "mtasim: out of memory for a return\n");
	exit(1);
}

/* Whole lines of the header, so many as may be sent back. */
static struct smtp_slice
header_of(const struct ledger_message *message)
{
	struct smtp_slice header = return_header((struct smtp_slice){message->copy, message->copy_len});

	if (header.len > HEADER_MAX)
		header.len = HEADER_MAX;
	while (header.len > 0 && header.ptr[header.len - 1] != '\n')
		header.len--;
	return header;
}

static void
plan(struct returns *r, const struct return_facts *facts, const struct ledger_message *message)
{
	struct back *b = must_have(calloc(1, sizeof(*b)));
	struct smtp_slice sender = return_sender(facts);

	b->returns = r;
	b->site = facts->site;
	b->rule = facts->rule;
	LIST_INSERT_HEAD(&r->all, b, link);
	r->left++;
	event_assign(&b->timer, r->conf.sim->base, -1, 0, on_timer, b);
	snprintf(b->sender, sizeof(b->sender), "%.*s", (int)sender.len, sender.ptr);
	snprintf(b->rcpt, sizeof(b->rcpt), "%.*s", (int)facts->rcpt.len, facts->rcpt.ptr);
	memcpy(b->id, message->id, message->id_len);
	b->id_len = message->id_len;
	if (!return_goal_find(facts, &b->goal)) {
		conclude(b, "nowhere");
		return;
	}
	b->work.is_http = b->goal.address[0] == '\0';
	b->work.server = b->work.is_http ? r->conf.web : r->conf.mail;
	b->work.sender = RETURN_TEXT(b->sender);
	b->work.rcpt = RETURN_TEXT(b->goal.address);
	b->bytes = must_have(return_write(facts, &b->goal, &b->work.bytes.len));
	b->work.bytes.ptr = b->bytes;
	set_timer(b, b->rule->after_us);
}

void
returns_plan(struct returns *r, const struct sim_site *site, const struct ledger_message *message,
	const struct ledger_entry *entry)
{
	struct return_facts facts = {.site = site, .sender = entry->sender};
	const char *rcpt = entry->rcpts;
	size_t i;

	if (site->return_count == 0 || !entry->is_ok)
		return;
	facts.header = header_of(message);
	facts.now_s = clock_now(clock_real()) / 1000000;
	for (i = 0; i < entry->rcpt_count; i++) {
		facts.rcpt = (struct smtp_slice){rcpt, strnlen(rcpt, SMTP_ADDRESS_MAX + 1)};
		facts.rule = rule_of(r, site, rcpt);
		facts.number = ++r->planned;
		if (facts.rule != NULL)
			plan(r, &facts, message);
		rcpt += facts.rcpt.len + 1;
	}
}

bool
returns_are_possible(const struct sim_script *script, const struct returns_conf *conf)
{
	size_t i, k;

	for (i = 0; i < script->site_count; i++) {
		for (k = 0; k < script->sites[i].return_count; k++) {
			enum sim_send send = script->sites[i].returns[k].send;
			bool is_click = send == SIM_SEND_UNSUBSCRIBE_CLICK;

			if ((is_click ? conf->web : conf->mail).sin_port != 0)
				continue;
			fprintf(stderr, "mtasim: site %s sends back %s: %s is missing\n",
				script->sites[i].name, grammar_send_word((int)send),
				is_click ? "--unsubscribe" : "--returns");
			return false;
		}
	}
	return true;
}

struct returns *
returns_create(const struct returns_conf *conf)
{
	struct returns *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->conf = *conf;
	LIST_INIT(&r->all);
	STAILQ_INIT(&r->line);
	return r;
}

uint64_t
returns_left(const struct returns *r)
{
	return r->left;
}

void
returns_destroy(struct returns **rp)
{
	struct returns *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	while (!LIST_EMPTY(&r->all))
		conclude(LIST_FIRST(&r->all), "waiting");
	free(r);
}
