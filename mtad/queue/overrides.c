/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overrides in force: set, lifted, ended by the clock, found in the spool at start. Each change is a whole
 * new set and a reconfiguration of the schedule with the present file, so a limit is raised or lowered at
 * once, and without memory what held goes on.
 *
 * Invariant: pace and dispatch have the same set, and policies of no other are left when an old one goes.
 */
#include "queue/dispatch_impl.h"
#include "queue/operate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct overrides *
dispatch_overrides(const struct dispatch *d)
{
	return d->overrides;
}

/* False: no memory, and nothing has changed. */
static bool
take_over(struct dispatch *d, struct overrides *take_set)
{
	struct overrides *old = d->overrides;

	if (take_set == NULL)
		return false;
	pace_override(d->settings.pace, take_set);
	if (!dispatch_apply(d, policy_conf(d->settings.policy))) {
		pace_override(d->settings.pace, old);
		free(take_set);
		return false;
	}
	d->overrides = take_set;
	free(old);
	return true;
}

/* Of what is limited, then what; all of it may be what a client has written. */
static void
write_what(const struct override *o, char *buf, size_t max)
{
	char source[4 * 32], name[4 * 100];

	snprintf(buf, max, "level=%s setting=%s value=\"%s\"%s%s%s name=\"%s\"",
		override_level_word(o->level), override_setting_word(o->setting), o->value,
		o->source[0] != '\0' ? " source=\"" : "",
		log_escape(source, sizeof(source), o->source, strnlen(o->source, 30)),
		o->source[0] != '\0' ? "\"" : "",
		log_escape(name, sizeof(name), o->name, strnlen(o->name, 98)));
}

static void
log_set(struct dispatch *d, const struct override *o)
{
	char what[1200], until[32] = "ever", why[4 * OVERRIDE_REASON_MAX];

	if (o->until_us != INT64_MAX)
		snprintf(until, sizeof(until), "%llds", (long long)(o->until_us - o->made_us) / 1000000);
	write_what(o, what, sizeof(what));
	log_event(d->log, LOG_EVENT_override, "%s who=%s for=%s why=\"%s\"", what, o->who, until,
		log_escape(why, sizeof(why), o->reason, strnlen(o->reason, OVERRIDE_REASON_MAX)));
}

/* who: "time", or who has lifted it. */
static void
log_ended(struct dispatch *d, const struct override *o, const char *who)
{
	char what[1200];

	write_what(o, what, sizeof(what));
	log_event(d->log, LOG_EVENT_override_ended, "%s set-by=%s ended-by=%s", what, o->who, who);
}

/* Without memory it holds until the next restart; or, when it has ended, ends again after it. */
static void
post_note(struct dispatch *d, const struct override *o, bool is_removal)
{
	char key[OVERRIDE_NOTE_MAX + 1], record[OVERRIDE_RECORD_MAX];
	struct queue_blob name = {key, override_write_key(o, key)};
	struct queue_blob value = {record, is_removal ? 0 : override_write_record(o, record)};

	(void)dispatch_post_note(d, name, value, NULL);
}

bool
dispatch_override(struct dispatch *d, struct override *items, size_t count)
{
	int64_t now_us = dispatch_now(d);

	for (size_t i = 0; i < count; i++) {
		items[i].made_us = now_us;
		items[i].until_us =
			items[i].until_us < INT64_MAX - now_us ? now_us + items[i].until_us : INT64_MAX;
	}
	if (!take_over(d, overrides_with(d->overrides, items, count)))
		return false;
	for (size_t i = 0; i < count; i++) {
		post_note(d, &items[i], false);
		log_set(d, &items[i]);
	}
	return true;
}

bool
dispatch_lift(struct dispatch *d, bool (*drop)(const void *arg, const struct override *o), const void *arg,
	const char *who)
{
	struct overrides *left = overrides_without(d->overrides, drop, arg), *old = d->overrides, *ended;
	size_t count = old->count;

	/* What goes has to be named when it has gone. */
	if (left == NULL || (ended = overrides_with(old, NULL, 0)) == NULL) {
		free(left);
		return false;
	}
	if (!take_over(d, left)) {
		free(ended);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		if (drop(arg, &ended->items[i])) {
			post_note(d, &ended->items[i], true);
			log_ended(d, &ended->items[i], who);
		}
	free(ended);
	return true;
}

static bool
is_over(const void *arg, const struct override *o)
{
	return override_is_over(o, *(const int64_t *)arg);
}

void
dispatch_end_overrides(struct dispatch *d)
{
	int64_t now_us;

	if (d->overrides->next_us == INT64_MAX)
		return;
	now_us = dispatch_now(d);
	if (d->overrides->next_us <= now_us)
		(void)dispatch_lift(d, is_over, &now_us, "time"); /* without memory again at the next turn */
}

/* A note nobody understands must not keep the mail. */
static bool
restore_one(void *arg, struct queue_blob name, struct queue_blob value)
{
	struct dispatch *d = arg;
	struct overrides *more;
	struct override o;

	if (!override_read(name, value, dispatch_now(d), &o)) {
		log_event(d->log, LOG_EVENT_limit_forgotten, "note=%.*s", (int)name.len,
			(const char *)name.ptr);
		return true;
	}
	if (!overrides_fit(d->overrides, &o, 1) || (more = overrides_with(d->overrides, &o, 1)) == NULL)
		return true;
	free(d->overrides);
	d->overrides = more;
	return true;
}

bool
dispatch_restore_overrides(struct dispatch *d)
{
	if (queue_store_scan_notes(d->store, dispatch_text(OVERRIDE_NOTES), restore_one, d) < 0)
		return false;
	pace_override(d->settings.pace, d->overrides);
	return d->overrides->count == 0 || dispatch_apply(d, policy_conf(d->settings.policy));
}
