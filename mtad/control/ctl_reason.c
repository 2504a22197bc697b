/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words for numbers of the schedule. They are a part of what scripts read, and stand nowhere else.
 */
#include "control/ctl_reason.h"

#include "control/ctl_request.h"

#include <stdio.h>

enum { TEXT_MAX = 2200 }; /* a user and a job, and what stands around them */

const char *const ctl_whys[QUEUE_WHY_COUNT] = {"going", "leased", "retry", "scheduled", "held", "paused",
	"down", "route", "rate", "connections", "busy", "opening", "backoff", "stopped", "warmup", "quiet",
	"total", "disk"};
const char *const ctl_levels[QUEUE_LEVEL_COUNT] = {
	"lane", "site", "source", "pool", "stream", "user", "all", "profile", "warmup"};
const char *const ctl_units[QUEUE_UNIT_COUNT] = {"connections", "messages", "recipients", "bytes"};

static const char *const pause_kinds[] = {[QUEUE_PAUSE_ALL] = "all",
	[QUEUE_PAUSE_DOMAIN] = "domain",
	[QUEUE_PAUSE_SITE] = "site",
	[QUEUE_PAUSE_SOURCE] = "source",
	[QUEUE_PAUSE_JOB] = "job",
	[QUEUE_PAUSE_USER] = "user",
	[QUEUE_PAUSE_STREAM] = "stream",
	[QUEUE_PAUSE_SENDER] = "sender"};

const char *
ctl_pause_kind(enum queue_pause_kind kind)
{
	return pause_kinds[kind];
}

static void
set(json_t *o, const char *name, json_t *take_value)
{
	(void)json_object_set_new(o, name, take_value);
}

json_t *
ctl_level_name(enum queue_level level, struct queue_blob name, enum queue_class klass)
{
	char text[TEXT_MAX];
	int len;

	if (level != QUEUE_LEVEL_STREAM)
		return ctl_blob(name);
	len = snprintf(text, sizeof(text), "%.*s/%s", (int)name.len, (const char *)name.ptr,
		queue_class_text(klass));
	return ctl_blob((struct queue_blob){text, (size_t)len});
}

const char *
ctl_reason_about(const struct queue_reason *r)
{
	switch (r->why) {
	case QUEUE_WHY_PAUSED:
		return ctl_pause_kind(r->pause);
	case QUEUE_WHY_DOWN:
		return ctl_levels[QUEUE_LEVEL_SOURCE];
	case QUEUE_WHY_RATE:
	case QUEUE_WHY_CONNECTIONS:
	case QUEUE_WHY_DISK:
		return ctl_levels[r->level];
	case QUEUE_WHY_BUSY:
	case QUEUE_WHY_OPENING:
	case QUEUE_WHY_BACKOFF:
	case QUEUE_WHY_STOPPED:
		return ctl_levels[QUEUE_LEVEL_LANE];
	case QUEUE_WHY_QUIET:
		return ctl_levels[QUEUE_LEVEL_SITE];
	case QUEUE_WHY_WARMUP:
		return ctl_levels[QUEUE_LEVEL_WARMUP];
	case QUEUE_WHY_TOTAL:
		return ctl_levels[QUEUE_LEVEL_ALL];
	default:
		return "";
	}
}

void
ctl_reason(json_t *o, const struct queue_reason *reason, const char *source, const char *block)
{
	bool is_rate = reason->why == QUEUE_WHY_RATE || reason->why == QUEUE_WHY_DISK;

	set(o, "why", json_string(ctl_whys[reason->why]));
	set(o, "level", json_string(ctl_reason_about(reason)));
	set(o, "name",
		ctl_level_name(reason->why == QUEUE_WHY_PAUSED ? QUEUE_LEVEL_ALL : reason->level,
			reason->name, reason->klass));
	set(o, "source", reason->sender.len > 0 ? ctl_blob(reason->sender) : json_string(source));
	set(o, "site", ctl_blob(reason->site));
	set(o, "at_site", json_boolean(reason->is_at_site));
	set(o, "pool", ctl_blob(reason->pool));
	set(o, "block", json_string(block));
	set(o, "unit", json_string(is_rate ? ctl_units[reason->unit] : ""));
	set(o, "limit", json_integer(is_rate ? (json_int_t)reason->rate.count : (json_int_t)reason->count));
	set(o, "per_us", json_integer((json_int_t)reason->rate.per_us));
	set(o, "until_us", json_integer(reason->until_us == INT64_MAX ? 0 : (json_int_t)reason->until_us));
	set(o, "since_us", json_integer(0));
	set(o, "reason", ctl_blob(reason->reason));
}
