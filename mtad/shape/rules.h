/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_SHAPE_RULES_H
#define MTAD_SHAPE_RULES_H
/*
 * rules - which rules of the configuration hold for a reply, and what they say
 *
 * A rule is named by its place in conf.rules. What it does stands in conf.rules[n].actions: plain numbers, to
 * be handed to whoever does it. Counting to "3 in 10m" is done there too, with queue_hits.
 *
 * Owner    counted, one for a configuration; it holds a reference to that.
 * Memory   the compiled expressions, for as long as it lives; matching takes some KB for the time of the
 *          call.
 * Thread   never changes: match from any thread at the same time. The counters are relaxed.
 * Fails    rules_create: NULL without memory. Expressions are right, conf has checked them. Matching cannot
 *          fail: a rule whose expression gives up (see base/pattern.h) does not hold, and is counted.
 */
#include "conf/conf.h"
#include "smtp_client.h"
#include "smtp_reply.h"

enum {
	RULES_MATCH_MAX = 16,  /* rules that hold for one reply; those behind are not looked at */
	RULES_TEXT_MAX = 1040, /* code, blank, text */
	RULES_WORDS_MAX = 512,
	RULES_PROVIDER_NONE = -1, /* a site that no provider block names */
	RULES_PROVIDER_ANY =
		-2, /* each rule, whoever it is for and `last` or not: to look at, not to act on */
};
#define RULES_PHASE(phase) (UINT32_C(1) << (phase))
#define RULES_PHASES_ANY   UINT32_MAX

struct rules;
struct rules_reply {
	int provider;    /* index in conf.providers, or RULES_PROVIDER_... */
	uint32_t phases; /* RULES_PHASE of where it came */
	const struct smtp_reply *reply;
};
struct rules_match {
	uint32_t rules[RULES_MATCH_MAX]; /* in their order */
	uint32_t count;
	/* For the recipient, at once and whatever a rule counts to: */
	enum conf_treat treat; /* of the first rule that says it */
	int64_t retry_us;      /* the same; 0: by the schedule. By hint: what the reply says */
	bool next_source;      /* one of them says so */
};

struct rules *rules_create(const struct conf *conf); /* one reference */
struct rules *rules_ref(struct rules *r);
void rules_unref(struct rules *r); /* NULL is fine */
const struct conf *rules_conf(const struct rules *r);

/* Replies that are neither 4xx nor 5xx match nothing. */
void rules_match(const struct rules *r, const struct rules_reply *in, struct rules_match *out);
/* Whether a rule is for replies of this provider (or RULES_PROVIDER_NONE): for it by name, or for every site.
 */
bool rules_is_for(const struct conf *conf, uint32_t rule, int provider);
/* How often expressions of this rule gave up since all were made: they took too many steps. */
uint64_t rules_gave_up(const struct rules *r, uint32_t rule);
/* A rule of which that is news, each once an hour; -1: none. The queue thread alone asks. */
int64_t rules_gave_up_next(struct rules *r, int64_t now_us);

/* What the expressions are matched against: code, blank, text. Lines are joined by blanks, and the enhanced
 * code stands once, in front: sites write it on every line. Returns the length; no NUL behind it. */
size_t rules_text(const struct smtp_reply *reply, char out[RULES_TEXT_MAX]);
/* A reply as people have it: "421 4.7.0 words", its lines with or without the code on each, between them \n
 * or \r\n. *out_reply borrows from `p`. False: it does not begin with a code, or is longer than any reply. */
bool rules_read(const char *text, size_t len, struct smtp_reply_parser *p, struct smtp_reply *out_reply);
/* What a rule does, in words: "pause the lane for 2h after 3 in 10m; retry in 15m"; cut at `max`. */
void rules_say(const struct conf *conf, uint32_t rule, char *buf, size_t max);
#endif
