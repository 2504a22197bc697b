/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources that are down: what shape/source.h finds out is told to the schedule and to the log. The schedule
 * knows sources by number, also those that a reload took away; these go by the address of another
 * (shape/pace.h).
 */
#include "queue/dispatch_impl.h"

#include "base/local.h"
#include "deliver/outbound.h"

#include <string.h>
#include <time.h>

static void
tell_schedule(struct dispatch *d)
{
	struct source_view v;

	for (uint32_t n = 0; dispatch_source_name(d, n)[0] != '\0'; n++) {
		sources_view(d->sources, pace_source_index(d->settings.pace, n), &v);
		queue_sched_source_down(d->sched, n, v.state == SOURCE_DOWN, dispatch_now(d));
	}
	dispatch_wake(d);
}

/* A time of the monotonic clock, on the wall. */
static int64_t
wall_us(struct dispatch *d, int64_t mono_us)
{
	return dispatch_now(d) - clock_mono(d->clock) + mono_us;
}

static void
log_source(struct dispatch *d, size_t source, enum source_state from, int64_t from_us)
{
	int64_t now_us = clock_mono(d->clock);
	struct source_view v;
	char since[32];
	struct tm tm;
	time_t at;

	sources_view(d->sources, source, &v);
	if (v.state == SOURCE_UP || (from == SOURCE_DOWN && v.state == SOURCE_DEGRADED))
		log_event(d->log, LOG_EVENT_source_up, "source=%s after=%llds", v.name,
			(long long)(now_us - from_us) / 1000000);
	if (v.state == SOURCE_UP)
		return;
	at = (time_t)(wall_us(d, v.since_us) / 1000000);
	(void)strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
	log_event(d->log, v.state == SOURCE_DOWN ? LOG_EVENT_source_down : LOG_EVENT_source_degraded,
		"source=%s address=\"%s\" since=%s why=\"%s\"", v.name, v.addresses, since, v.why);
}

static void
on_source(void *arg, size_t source, enum source_state from, int64_t from_us)
{
	struct dispatch *d = arg;

	log_source(d, source, from, from_us);
	tell_schedule(d);
}

struct sources *
dispatch_make_sources(struct dispatch *d, const struct conf *conf)
{
	const struct sources_conf sc = {conf, local_probe, on_source, d};

	return sources_create(&sc, d->sources);
}

void
dispatch_use_sources(struct dispatch *d, struct sources *take_sources)
{
	sources_destroy(&d->sources);
	d->sources = take_sources;
	sources_check(d->sources, clock_mono(d->clock));
	tell_schedule(d);
}

/* --- sessions --- */

/* Where the source of a session stands in the present configuration; -1: a reload took it away. */
static int
place_of(const struct dispatch *d, const struct outbound *o)
{
	struct queue_blob name = dispatch_text(o->conf->sources[o->source].name);

	return conf_source_find(policy_conf(d->settings.policy), name.ptr, name.len);
}

void
dispatch_look_up_source(struct dispatch *d, struct outbound *o)
{
	struct source_view v;

	sources_view(d->sources, o->source, &v);
	o->lacks_v4 = v.lacks_v4;
	o->lacks_v6 = v.lacks_v6;
}

void
dispatch_suspect_source(struct dispatch *d, const struct outbound *o)
{
	int at = place_of(d, o);

	if (o->local_error == 0 || at < 0 || !sources_suspect(d->sources, (size_t)at, clock_mono(d->clock)))
		return;
	log_event(d->log, LOG_EVENT_source_hindered, "source=%s site=%s why=\"%s\"",
		o->conf->sources[o->source].name, o->route->site, strerror(o->local_error));
}

bool
dispatch_is_source_down(struct dispatch *d, const struct outbound *o)
{
	struct source_view v = {.state = SOURCE_UP};
	int at = place_of(d, o);

	if (at >= 0)
		sources_view(d->sources, (size_t)at, &v);
	return v.state == SOURCE_DOWN;
}

void
dispatch_source_view(struct dispatch *d, uint32_t source, struct source_view *out)
{
	sources_view(d->sources, pace_source_index(d->settings.pace, source), out);
	out->since_us = wall_us(d, out->since_us);
	if (out->next_us != INT64_MAX)
		out->next_us = wall_us(d, out->next_us);
}
