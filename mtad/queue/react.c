/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters stand in a table of chains, found by rule, site and source by name: numbers of rules change with a
 * reload, and a rule that stays goes on counting. Once in a while those whose time is long over are dropped.
 */
#include "queue/react.h"

#include "deliver/outbound.h"
#include "queue/dispatch_impl.h"
#include "queue/operate.h"
#include "queue_hits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, SWEEP_EVERY = 4096, REPLY_SHOWN = 120 };

struct counter {
	struct counter *next;
	int64_t last_us;
	struct queue_hits hits;
	size_t key_len;
	char key[];
};
struct react {
	struct counter *buckets[BUCKETS];
	uint32_t since_sweep;
};

/* --- counting --- */

static uint32_t
bucket_of(const char *key, size_t len)
{
	uint32_t h = 2166136261u; /* FNV-1a; all it holds is named by the operator and by MX records */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)key[i]) * 16777619u;
	return h % BUCKETS;
}

static void
sweep(struct react *r, int64_t now_us)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct counter **at = &r->buckets[i], *c; (c = *at) != NULL;)
			if (now_us - c->last_us > c->hits.window_us) {
				*at = c->next;
				free(c);
			} else {
				at = &c->next;
			}
	r->since_sweep = 0;
}

static struct counter *
counter_of(struct react *r, const char *key, size_t len, const struct conf_rule_actions *a)
{
	struct counter **bucket = &r->buckets[bucket_of(key, len)], *c;

	for (c = *bucket; c != NULL; c = c->next)
		if (c->key_len == len && memcmp(c->key, key, len) == 0)
			break;
	if (c != NULL && (c->hits.want != a->hits || c->hits.window_us != a->hits_us))
		queue_hits_init(&c->hits, a->hits, a->hits_us); /* a reload changed it */
	if (c != NULL || (c = calloc(1, sizeof(*c) + len)) == NULL)
		return c;
	queue_hits_init(&c->hits, a->hits, a->hits_us);
	c->key_len = len;
	memcpy(c->key, key, len);
	c->next = *bucket;
	*bucket = c;
	return c;
}

/* A reply and where it came from. */
struct cause {
	const struct outbound *outbound;
	const struct job_rules *rules;
	const char *source, *site;
	const struct queue_message *message; /* NULL: it was about none */
	struct queue_blob reply;
	int64_t begun_us;
};

/* Whether with this reply there are enough of them. */
static bool
is_enough(struct react *r, const struct conf_rule *rule, const struct cause *cause, int64_t now_us)
{
	char key[3 * 256];
	struct counter *c;
	int len;

	if (rule->actions.hits <= 1)
		return true;
	if (++r->since_sweep >= SWEEP_EVERY)
		sweep(r, now_us);
	len = snprintf(key, sizeof(key), "%.255s %.255s %.250s", rule->name, cause->source, cause->site);
	if ((c = counter_of(r, key, (size_t)len, &rule->actions)) == NULL)
		return true;
	c->last_us = now_us;
	return queue_hits_add(&c->hits, now_us);
}

/* --- acting --- */

/* Never shorter than a pause that is there already. */
static void
pause_for(struct dispatch *d, enum queue_pause_kind kind, struct queue_blob name, int64_t us, const char *why)
{
	int64_t until_us = dispatch_now(d) + us;

	if (us == 0 || name.len == 0 || dispatch_paused_until(d, kind, name) >= until_us)
		return;
	(void)dispatch_pause(d, kind, name, until_us, dispatch_text(why));
}

static void
pause_scopes(struct dispatch *d, const struct cause *cause, const int64_t *pause_us, const char *why)
{
	const struct queue_message *m = cause->message;
	char name[600], at_site[DISPATCH_PAUSE_NAME_MAX];
	struct queue_blob site = dispatch_text(cause->site), whose;
	const char *at;

	pause_for(d, QUEUE_PAUSE_SITE, site, pause_us[CONF_SCOPE_SITE], why);
	pause_for(d, QUEUE_PAUSE_SOURCE, dispatch_text(cause->source), pause_us[CONF_SCOPE_SOURCE], why);
	/* What one site says of a stream or a sender is not the affair of the others. */
	if (m != NULL && pause_us[CONF_SCOPE_STREAM] > 0) {
		snprintf(name, sizeof(name), "%.*s/%.*s/%s", (int)m->user.len, (const char *)m->user.ptr,
			(int)m->job.len, (const char *)m->job.ptr, queue_class_text(m->klass));
		whose = dispatch_at_site(at_site, sizeof(at_site), dispatch_text(name), site);
		pause_for(d, QUEUE_PAUSE_STREAM, whose, pause_us[CONF_SCOPE_STREAM], why);
	}
	if (m != NULL && pause_us[CONF_SCOPE_SENDER] > 0 && m->sender.len > 0) {
		dispatch_blob_text(name, sizeof(name), m->sender);
		if ((at = strrchr(name, '@')) == NULL || at[1] == '\0')
			return;
		whose = dispatch_at_site(at_site, sizeof(at_site), dispatch_text(at + 1), site);
		pause_for(d, QUEUE_PAUSE_SENDER, whose, pause_us[CONF_SCOPE_SENDER], why);
	}
}

static void
act(struct dispatch *d, const struct cause *cause, uint32_t n)
{
	const struct conf *conf = cause->outbound->conf;
	const struct conf_rule *rule = &conf->rules[n];
	const struct conf_rule_actions *a = &rule->actions;
	struct queue_reaction reaction = {
		.begun_us = cause->begun_us,
		.pause_us = a->pause_us[CONF_SCOPE_LANE],
		.keep = (uint32_t)(a->slow_ppm / 1000),
		.profile_us = a->duration_us,
	};
	char why[2 * QUEUE_NAME_MAX + REPLY_SHOWN], escaped[4 * REPLY_SHOWN], words[RULES_WORDS_MAX];
	struct queue_blob reply = cause->reply;
	size_t shown = reply.len < REPLY_SHOWN ? reply.len : REPLY_SHOWN;

	snprintf(why, sizeof(why), "rule %.100s: %.*s", rule->name, (int)shown, (const char *)reply.ptr);
	reaction.why = dispatch_text(why);
	if (a->profile >= 0)
		reaction.profile = dispatch_text(conf->profiles[a->profile].name);
	rules_say(conf, n, words, sizeof(words));
	log_event(d->log, a->has_alert ? LOG_EVENT_rule_alert : LOG_EVENT_rule,
		"rule=%s at=%s source=%s site=%s does=\"%s\" note=\"%s\" text=\"%s\"", rule->name, rule->at,
		cause->source, cause->site, words, rule->note,
		log_escape(escaped, sizeof(escaped), reply.ptr, shown));
	/* A profile that a reload took away meanwhile slows nobody any more. */
	(void)queue_sched_react(d->sched, cause->outbound->session, &reaction, dispatch_now(d));
	pause_scopes(d, cause, a->pause_us, why);
}

/* It slows or stops something, or somebody wants to know. */
static bool
has_effect(const struct conf_rule_actions *a)
{
	for (size_t i = 0; i < CONF_SCOPE_COUNT; i++)
		if (a->pause_us[i] > 0)
			return true;
	return a->profile >= 0 || a->slow_ppm > 0 || a->has_alert;
}

/* Such a rule does not hold for the replies it was written for. */
static void
tell_who_gave_up(struct dispatch *d, struct rules *rules)
{
	const struct conf *conf = rules_conf(rules);
	int64_t n;

	while ((n = rules_gave_up_next(rules, dispatch_now(d))) >= 0)
		log_event(d->log, LOG_EVENT_rule_gave_up, "rule=%s at=%s count=%llu", conf->rules[n].name,
			conf->rules[n].at, (unsigned long long)rules_gave_up(rules, (uint32_t)n));
}

static void
react(struct dispatch *d, const struct cause *cause)
{
	tell_who_gave_up(d, cause->outbound->rules);
	for (uint16_t i = 0; i < cause->rules->count; i++) {
		const struct conf_rule *rule = &cause->outbound->conf->rules[cause->rules->items[i]];

		if (has_effect(&rule->actions) && is_enough(d->react, rule, cause, dispatch_now(d)))
			act(d, cause, cause->rules->items[i]);
	}
}

void
dispatch_react(struct dispatch *d, const struct job *job)
{
	const struct cause cause = {
		.outbound = job->outbound,
		.rules = &job->rules,
		.source = job->source,
		.site = job->site,
		.message = job->message != NULL ? &job->message->meta : NULL,
		.reply = job->rcpt_count > 0 ? job_reply(job, 0) : (struct queue_blob){"", 0},
		.begun_us = job->started_us,
	};

	react(d, &cause);
}

void
dispatch_react_to_end(struct dispatch *d, const struct outbound *o)
{
	const struct cause cause = {
		.outbound = o,
		.rules = &o->rules_at_end,
		.source = o->conf->sources[o->source].name,
		.site = o->route->site,
		.reply = dispatch_text(o->why),
		.begun_us = dispatch_now(d),
	};

	react(d, &cause);
}

/* --- life --- */

struct react *
react_create(void)
{
	return calloc(1, sizeof(struct react));
}

void
react_destroy(struct react **rp)
{
	struct react *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct counter *c = r->buckets[i], *next; c != NULL; c = next) {
			next = c->next;
			free(c);
		}
	free(r);
}
