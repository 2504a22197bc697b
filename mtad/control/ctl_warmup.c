/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warm-ups for operators: how far each is, what its days were and will be, and what is done with them.
 *
 * They are few, sources and sender domains times groups of sites, so an answer is one portion; days are put
 * in when asked for. A domain is written with an @ before it wherever a source could stand.
 */
#include "control/ctl_request.h"
#include "queue/dispatch.h"
#include "queue/operate.h"
#include "queue_sched_why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	NAMES_MAX = 400, /* bytes of the names an error gives */
	DAY_SECONDS = 86400,
};

static const char *const rates[QUEUE_WARMUP_RATES] = {"deferrals", "blocks", "bounces", "complaints"};
static const char *const acts[QUEUE_WARMUP_ACTS] = {"", "hold", "release", "skip", "restart", "finish"};
static const char *const steps[QUEUE_WARMUP_STEPS] = {
	"advanced", "finished", "little", "held", "ill", "back", "idle", "warm"};

static void
set(json_t *o, const char *name, json_t *take_value)
{
	(void)json_object_set_new(o, name, take_value);
}

static bool
is_wanted(const struct ctl_request *r, const char *arg, struct queue_blob name)
{
	const char *wanted = ctl_arg(r, arg);

	return wanted[0] == '\0' ||
	       (strnlen(wanted, name.len + 1) == name.len && memcmp(wanted, name.ptr, name.len) == 0);
}

/* --- names that are known --- */

/* Of an object, "a, b, c". */
static void
list_names(const json_t *names, char *buf, size_t max)
{
	const char *name;
	json_t *unused;
	size_t len = 0;

	buf[0] = '\0';
	json_object_foreach((json_t *)names, name, unused)
	{
		if (len < max)
			len += (size_t)snprintf(buf + len, max - len, "%s%s", len > 0 ? ", " : "", name);
	}
}

bool
ctl_unknown_source(struct ctl_request *r, const char *name)
{
	const struct conf *c = dispatch_current_conf(r->app->dispatch);
	json_t *names = json_object();
	char text[NAMES_MAX];

	for (size_t i = 0; i < c->source_count; i++)
		set(names, c->sources[i].name, json_null());
	list_names(names, text, sizeof(text));
	json_decref(names);
	return ctl_error(r, "there is no source %.100s; there %s %s", name,
		c->source_count == 1 ? "is" : "are", text[0] != '\0' ? text : "none in the configuration");
}

/* --- a warm-up as JSON --- */

/* "" when there is none. */
static json_t *
date(int32_t day)
{
	time_t at = (time_t)day * DAY_SECONDS;
	char text[16] = "";
	struct tm tm;

	if (day != QUEUE_WARMUP_NO_DAY)
		(void)strftime(text, sizeof(text), "%Y-%m-%d", gmtime_r(&at, &tm));
	return json_string(text);
}

static json_t *
json_of_day(const struct queue_warmup_day *d)
{
	char words[80];

	(void)queue_warmup_words(d, words, sizeof(words));
	return json_pack("{s:o,s:i,s:i,s:I,s:I,s:I,s:s,s:s,s:s}", "date", date(d->day), "day", (int)d->day,
		"stage", d->stage + 1, "cap", (json_int_t)d->cap, "sent", (json_int_t)d->sent, "wanted",
		(json_int_t)d->wanted, "step", steps[d->step], "act", acts[d->act], "words", words);
}

static json_t *
json_of_days(const struct queue_warmup_day *days, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(list, json_of_day(&days[i]));
	return list;
}

/* What a day wants: the last whole one when today has only begun. */
static int64_t
demand(const struct queue_warmup *w)
{
	int64_t last = w->history_count > 0 ? w->history[w->history_count - 1].wanted : 0;

	return w->wanted > last ? w->wanted : last;
}

static void
set_days(json_t *o, const struct queue_warmup_view *v)
{
	struct queue_warmup_day days[QUEUE_WARMUP_STAGES_MAX];
	const struct queue_warmup *w = v->warmup;
	size_t count = 0;

	if (v->plan != NULL && demand(w) > 0)
		count = queue_warmup_forecast(w, v->plan, demand(w), days, QUEUE_WARMUP_STAGES_MAX);
	set(o, "history", json_of_days(w->history, w->history_count));
	set(o, "forecast_wanted", json_integer((json_int_t)demand(w)));
	set(o, "forecast", json_of_days(days, count));
}

static const char *
state_of(const struct queue_warmup_view *v)
{
	const struct queue_warmup *w = v->warmup;

	return v->plan == NULL                 ? "unset"
	       : w->is_held                    ? "held"
	       : w->is_warm                    ? "warm"
	       : w->day < v->warmup->start_day ? "starts"
					       : "going";
}

static void
set_health(json_t *o, const struct queue_warmup_view *v)
{
	static const char *const names[QUEUE_WARMUP_UNTRIED] = {
		"delivered", "deferred", "blocked", "bounced", "uncertain"};
	enum queue_warmup_rate rate = QUEUE_WARMUP_RATE_DEFERRED;
	int64_t ppm = 0;
	bool is_seen = v->plan != NULL && queue_warmup_health(v->warmup, v->plan, &rate, &ppm);

	for (size_t i = 0; i < QUEUE_WARMUP_UNTRIED; i++)
		set(o, names[i], json_integer((json_int_t)v->warmup->counts[i]));
	set(o, "complained", json_integer((json_int_t)v->warmup->complained));
	set(o, "rate", json_string(is_seen ? rates[rate] : ""));
	set(o, "rate_ppm", json_integer((json_int_t)ppm));
	set(o, "rate_limit_ppm", json_integer(is_seen ? (json_int_t)v->plan->hold_ppm[rate] : 0));
}

static json_t *
json_of_warmup(const struct queue_warmup_view *v)
{
	const struct queue_warmup *w = v->warmup;
	int64_t sent = queue_warmup_sent(w), left = w->cap - sent - w->leased;
	json_t *o = json_pack("{s:o,s:o,s:s,s:i,s:i,s:b,s:b}", "source", ctl_blob(v->source), "group",
		ctl_blob(v->group), "state", state_of(v), "stage", w->stage + (w->is_warm ? 0 : 1), "stages",
		v->plan != NULL ? (int)v->plan->count : 0, "warm", (int)w->is_warm, "held", (int)w->is_held);

	set(o, "start", date(w->start_day));
	set(o, "today", date(w->day));
	set(o, "cap", json_integer((json_int_t)w->cap));
	set(o, "sent", json_integer((json_int_t)sent));
	set(o, "leased", json_integer((json_int_t)w->leased));
	set(o, "left", json_integer(left > 0 ? (json_int_t)left : 0));
	set(o, "wanted", json_integer((json_int_t)w->wanted));
	set_health(o, v);
	set(o, "last_day",
		w->history_count > 0 ? json_of_day(&w->history[w->history_count - 1]) : json_null());
	set(o, "act", json_string(acts[w->act]));
	set(o, "act_us", json_integer((json_int_t)w->act_us));
	set(o, "act_words", ctl_blob((struct queue_blob){w->words, w->words_len}));
	return o;
}

/* --- which --- */

/* The rows asked for are in r->part; in r->sums, as members of "sources" and "groups", the names there are.
 */
static bool
on_warmup(void *arg, const struct queue_warmup_view *v)
{
	struct ctl_request *r = arg;
	json_t *o;

	if (v->warmup->day == QUEUE_WARMUP_NO_DAY)
		return true;
	o = json_of_warmup(v);
	set(json_object_get(r->sums, "sources"), json_string_value(json_object_get(o, "source")),
		json_null());
	set(json_object_get(r->sums, "groups"), json_string_value(json_object_get(o, "group")), json_null());
	if (is_wanted(r, "source", v->source) && is_wanted(r, "provider", v->group)) {
		if (json_is_true(json_object_get(r->args, "history")))
			set_days(o, v);
		(void)json_array_append(r->part, o);
	}
	json_decref(o);
	return true;
}

/* Unless it has sent something. */
static void
add_new(struct ctl_request *r, const char *name, const struct conf_warmup *plan, int32_t start_day)
{
	json_t *sources = json_object_get(r->sums, "sources");
	int32_t start = start_day != 0 ? start_day : QUEUE_WARMUP_NO_DAY;

	if (plan == NULL || json_object_get(sources, name) != NULL)
		return;
	set(sources, name, json_null());
	if (is_wanted(r, "source", (struct queue_blob){name, strnlen(name, NAMES_MAX)}) &&
		ctl_arg(r, "provider")[0] == '\0')
		(void)json_array_append_new(r->part, json_pack("{s:s,s:s,s:s,s:o}", "source", name, "group",
							     "", "state", "new", "start", date(start)));
}

/* Sources and sender domains of the configuration that have not sent anything yet. */
static void
add_all_new(struct ctl_request *r)
{
	const struct conf *c = dispatch_current_conf(r->app->dispatch);

	for (size_t i = 0; i < c->source_count; i++)
		add_new(r, c->sources[i].name, c->sources[i].warmup_plan, c->sources[i].warmup_start_day);
	for (size_t i = 0; i < c->sender_count; i++)
		add_new(r, c->senders[i].warmup_name, c->senders[i].warmup_plan,
			c->senders[i].warmup_start_day);
}

static bool
explain_none(struct ctl_request *r)
{
	const struct conf *c = dispatch_current_conf(r->app->dispatch);
	const char *source = ctl_arg(r, "source"), *group = ctl_arg(r, "provider");
	const json_t *sources = json_object_get(r->sums, "sources");
	char names[NAMES_MAX];

	if (source[0] != '\0' && json_object_get(sources, source) == NULL) {
		if (source[0] != '@' && conf_source_find(c, source, strnlen(source, QUEUE_NAME_MAX)) < 0)
			return ctl_unknown_source(r, source);
		list_names(sources, names, sizeof(names));
		return ctl_error(r, "%s%.100s does not warm up; those that do: %s",
			source[0] != '@' ? "source " : "", source, names[0] != '\0' ? names : "none");
	}
	list_names(json_object_get(r->sums, "groups"), names, sizeof(names));
	return ctl_error(r, "nothing warms up towards %.100s%s%.100s; there is: %s", group,
		source[0] != '\0' ? " from " : "", source, names[0] != '\0' ? names : "nothing so far");
}

/* False: none, and an error was set when one was asked for. */
static bool
find(struct ctl_request *r)
{
	r->part = json_array();
	r->sums = json_pack("{s:{},s:{}}", "sources", "groups");
	if (r->part == NULL || r->sums == NULL)
		return !ctl_error(r, "out of memory");
	queue_sched_each_warmup(dispatch_sched(r->app->dispatch), on_warmup, r);
	add_all_new(r);
	if (json_array_size(r->part) == 0 &&
		(ctl_arg(r, "source")[0] != '\0' || ctl_arg(r, "provider")[0] != '\0'))
		return !explain_none(r);
	return true;
}

bool
ctl_warmup(struct ctl_request *r)
{
	json_t *row;
	size_t i;

	if (!find(r))
		return true;
	json_array_foreach(r->part, i, row)
	{
		ctl_row(r, json_incref(row));
	}
	ctl_summary(r, json_pack("{s:I,s:I}", "warmups", ctl_number(json_array_size(r->part)), "now_us",
			       (json_int_t)clock_now(r->app->clock)));
	return true;
}

/* --- acts --- */

static struct queue_blob
member(const json_t *o, const char *name)
{
	return (struct queue_blob){
		json_string_value(json_object_get(o, name)), json_string_length(json_object_get(o, name))};
}

bool
ctl_warmup_act(struct ctl_request *r)
{
	const char *reason = ctl_arg(r, "reason");
	char words[QUEUE_WARMUP_WORDS_MAX + 1], what[32];
	int act = QUEUE_WARMUP_ACT_HOLD;
	json_t *row;
	size_t i;

	while (act < QUEUE_WARMUP_ACTS && strcmp(acts[act], ctl_arg(r, "act")) != 0)
		act++;
	if (act == QUEUE_WARMUP_ACTS || ctl_arg(r, "source")[0] == '\0')
		return ctl_error(r, "warmup hold, release, skip, restart or finish, and a source or @domain");
	if (!find(r))
		return true;
	snprintf(words, sizeof(words), "%s%s%s", r->who, reason[0] != '\0' ? ": " : "", reason);
	json_array_foreach(r->part, i, row)
	{
		bool is_done = dispatch_warmup(r->app->dispatch, member(row, "source"), member(row, "group"),
			(enum queue_warmup_act)act,
			(struct queue_blob){words, strnlen(words, sizeof(words))});

		r->done += is_done ? 1 : 0;
		ctl_row(r, json_pack("{s:O,s:O,s:O,s:b}", "source", json_object_get(row, "source"), "group",
				   json_object_get(row, "group"), "state", json_object_get(row, "state"),
				   "done", (int)is_done));
	}
	snprintf(what, sizeof(what), "warmup-%s", acts[act]);
	r->exit_code = r->done > 0 ? 0 : 1;
	return ctl_done(r, what);
}
