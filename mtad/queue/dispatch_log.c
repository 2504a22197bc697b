/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the schedule has decided by itself, said to the operator: a lane slower, stopped or better again, a
 * day of a warm-up, a guard's level. An event of the log for each; nothing here decides or keeps anything.
 */
#include "queue/dispatch_impl.h"

#include <stdio.h>

void
dispatch_on_lane(void *arg, const struct queue_lane_change *c)
{
	struct dispatch *d = arg;
	char why[400];
	int64_t wait_us = c->to.until_us > 0 ? c->to.until_us - dispatch_now(d) : 0;

	log_event(d->log, LOG_EVENT_lane,
		"site=%.*s source=%s from=%s to=%s reason=%s connections=%u speed=%u.%u%% "
		"wait=%llds why=\"%s\"",
		(int)c->site.len, (const char *)c->site.ptr, dispatch_source_name(d, c->source),
		queue_recovery_step_text(c->from.step), queue_recovery_step_text(c->to.step),
		queue_recovery_reason_text(c->to.reason), c->to.connections, c->to.factor / 10,
		c->to.factor % 10, (long long)wait_us / 1000000,
		log_escape(why, sizeof(why), c->why.ptr, c->why.len < 90 ? c->why.len : 90));
}

void
dispatch_on_warmup_day(
	void *arg, struct queue_blob source, struct queue_blob group, const struct queue_warmup_day *day)
{
	struct dispatch *d = arg;
	char words[128];

	(void)queue_warmup_words(day, words, sizeof(words));
	log_event(d->log, LOG_EVENT_warmup,
		"source=%.*s group=%.*s stage=%u cap=%lld sent=%lld wanted=%lld why=\"%s\"", (int)source.len,
		(const char *)source.ptr, (int)group.len, (const char *)group.ptr, day->stage + 1U,
		(long long)day->cap, (long long)day->sent, (long long)day->wanted, words);
}

/* What a level means for the mail, and how it ends. */
static void
guard_words(char *buf, size_t max, enum queue_guard_level level, const char *kind, const char *who)
{
	if (level == QUEUE_GUARD_STOP)
		snprintf(buf, max, "holds its mail until: mtactl resume %s %s", kind, who);
	else
		snprintf(buf, max, "%s",
			level == QUEUE_GUARD_SLOW ? "one transaction at a time" : "all of its mail goes");
}

void
dispatch_on_guard(void *arg, enum queue_pause_kind kind, struct queue_blob name,
	const struct queue_guard_change *change)
{
	static const char *const kinds[QUEUE_PAUSE_KINDS] = {[QUEUE_PAUSE_USER] = "user",
		[QUEUE_PAUSE_STREAM] = "stream",
		[QUEUE_PAUSE_SOURCE] = "source"};
	const struct queue_guard_numbers *n = &change->numbers;
	struct dispatch *d = arg;
	char who[400], does[500];

	(void)log_escape(who, sizeof(who), name.ptr, name.len < 90 ? name.len : 90);
	guard_words(does, sizeof(does), kind == QUEUE_PAUSE_SOURCE ? QUEUE_GUARD_OK : change->to, kinds[kind],
		who);
	log_event(d->log, change->to > change->from ? LOG_EVENT_guard : LOG_EVENT_guard_eased,
		"from=%s to=%s rate=%s events=%llu rcpts=%llu share=%u.%02u%% limit=%u.%02u%% %s=\"%s\" "
		"does=\"%s\"",
		queue_guard_level_text(change->from), queue_guard_level_text(change->to),
		queue_guard_rate_text(change->rate), (unsigned long long)n->events,
		(unsigned long long)n->recipients, n->ppm / 10000, n->ppm / 100 % 100,
		change->limit_ppm / 10000, change->limit_ppm / 100 % 100, kinds[kind], who, does);
}
