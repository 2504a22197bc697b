/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users for operators: who is in its sandbox, what is left of each quota, what waits, what holds it back; and
 * the command that ends a sandbox.
 *
 * Users are those of the configuration. Their mail is added up over the streams, in slices of the queue
 * thread's time, before the first row goes out.
 */
#include "conf/conf_report.h"
#include "control/ctl_reason.h"
#include "control/ctl_request.h"
#include "queue/dispatch.h"
#include "queue/users.h"
#include "queue_sched_user.h"
#include "queue_sched_why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PORTION = 64,
	TEXT_MAX = 2200, /* a user and a job, and what stands around them */
};
#define DAY_US (INT64_C(86400) * 1000000)

static const char *const states[] = {
	[USER_SANDBOX] = "sandbox", [USER_LIFTED] = "lifted", [USER_EXEMPT] = "exempt"};

static void
set(json_t *o, const char *name, json_t *take_value)
{
	(void)json_object_set_new(o, name, take_value);
}

static struct queue_blob
text(const char *s)
{
	return (struct queue_blob){s, strnlen(s, TEXT_MAX)};
}

static struct queue_sched *
sched_of(const struct ctl_request *r)
{
	return dispatch_sched(r->app->dispatch);
}

static const struct conf *
conf_of(const struct ctl_request *r)
{
	return dispatch_current_conf(r->app->dispatch);
}

bool
ctl_is_of_sandbox(const struct ctl_request *r, const struct queue_reason *reason)
{
	const struct conf_user *u;

	if (reason->why != QUEUE_WHY_RATE || reason->level != QUEUE_LEVEL_USER ||
		reason->unit != QUEUE_UNIT_RECIPIENTS)
		return false;
	u = conf_user_find(conf_of(r), reason->name.ptr, reason->name.len);
	return u != NULL && dispatch_is_of_sandbox(r->app->dispatch, u, reason->rate);
}

/* --- what waits: into r->sums, by user --- */

static void
add_to(json_t *o, const char *name, uint64_t more)
{
	set(o, name, json_integer(json_integer_value(json_object_get(o, name)) + ctl_number(more)));
}

static bool
on_stream(void *arg, const struct queue_stream_view *v)
{
	struct ctl_request *r = arg;
	char name[TEXT_MAX];
	json_t *o;

	snprintf(name, sizeof(name), "%.*s", (int)v->user.len, (const char *)v->user.ptr);
	if (name[0] == '\0' || (ctl_arg(r, "name")[0] != '\0' && strcmp(ctl_arg(r, "name"), name) != 0))
		return true;
	if ((o = json_object_get(r->sums, name)) == NULL) {
		o = json_object();
		(void)json_object_set_new_nocheck(r->sums, name, o);
	}
	add_to(o, "ready", v->ready);
	add_to(o, "waiting", v->waiting);
	add_to(o, "leased", v->leased);
	add_to(o, "held", v->held);
	return true;
}

/* --- pauses of the user and its streams --- */

struct pauses {
	const char *user;
	size_t len;
	json_t *list;
};

static bool
on_pause(void *arg, const struct queue_pause_view *v)
{
	const char *name = v->name.ptr;
	struct pauses *p = arg;
	bool is_its = v->name.len >= p->len && p->len > 0 && memcmp(name, p->user, p->len) == 0 &&
		      ((v->kind == QUEUE_PAUSE_USER && v->name.len == p->len) ||
			      (v->kind == QUEUE_PAUSE_STREAM && v->name.len > p->len && name[p->len] == '/'));

	if (is_its)
		(void)json_array_append_new(
			p->list, json_pack("{s:s,s:o,s:o,s:I}", "kind", ctl_pause_kind(v->kind), "name",
					 ctl_blob(v->name), "reason", ctl_blob(v->reason), "until_us",
					 (json_int_t)(v->until_us == INT64_MAX ? 0 : v->until_us)));
	return true;
}

static json_t *
pauses_of(const struct ctl_request *r, const struct conf_user *u)
{
	struct pauses p = {u->name, strnlen(u->name, TEXT_MAX), json_array()};

	queue_sched_each_pause(sched_of(r), on_pause, &p);
	return p.list;
}

/* --- a row --- */

static void
set_quotas(const struct ctl_request *r, const struct conf_user *u, const struct queue_user_view *v, json_t *o)
{
	json_t *list = json_array(), *today = NULL, *limit = NULL;

	for (uint32_t i = 0; i < v->quota_count; i++) {
		const struct queue_quota *q = &v->quotas[i];

		(void)json_array_append_new(
			list, json_pack("{s:I,s:I,s:I,s:I,s:b}", "limit", (json_int_t)q->rate.count, "per_us",
				      (json_int_t)q->rate.per_us, "used", (json_int_t)q->used, "until_us",
				      (json_int_t)q->end_us, "sandbox",
				      (int)dispatch_is_of_sandbox(r->app->dispatch, u, q->rate)));
		if (q->rate.per_us != DAY_US)
			continue;
		today = json_integer((json_int_t)q->used);
		limit = json_integer((json_int_t)q->rate.count);
	}
	set(o, "today", today != NULL ? today : json_null());
	set(o, "today_limit", limit != NULL ? limit : json_null());
	set(o, "full_until_us", json_integer((json_int_t)v->full_until_us));
	set(o, "quotas", list);
}

static void
set_guard(const struct queue_user_view *v, json_t *o)
{
	const struct queue_guard_numbers *bounces = &v->numbers[QUEUE_GUARD_BOUNCE],
					 *complaints = &v->numbers[QUEUE_GUARD_COMPLAINT];

	set(o, "guard", json_string(queue_guard_level_text(v->guard)));
	set(o, "guard_recipients", json_integer(ctl_number(bounces->recipients)));
	set(o, "bounces", json_integer(ctl_number(bounces->events)));
	set(o, "bounces_ppm", json_integer(bounces->ppm));
	set(o, "complaints", json_integer(ctl_number(complaints->events)));
	set(o, "complaints_ppm", json_integer(complaints->ppm));
}

static void
set_mail(const struct ctl_request *r, const struct conf_user *u, json_t *o)
{
	static const char *const names[] = {"ready", "waiting", "leased", "held"};
	const json_t *sums = json_object_get(r->sums, u->name);
	json_int_t all = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_int_t n = json_integer_value(json_object_get(sums, names[i]));

		set(o, names[i], json_integer(n));
		all += n;
	}
	set(o, "recipients", json_integer(all));
}

static void
user_row(struct ctl_request *r, const struct conf_user *u)
{
	struct queue_user_view v;
	struct user_state state;
	json_t *o;

	dispatch_user_state(r->app->dispatch, u, &state);
	queue_sched_user_view(sched_of(r), text(u->name), clock_now(r->app->clock), &v);
	o = json_pack("{s:o,s:s,s:I,s:s,s:s,s:s}", "user", ctl_blob(text(u->name)), "state",
		states[state.kind], "since_us",
		(json_int_t)(state.kind == USER_LIFTED ? state.lift->at_us : 0), "by",
		state.kind == USER_LIFTED ? state.lift->who : "", "reason",
		state.kind == USER_LIFTED ? state.lift->reason : "", "over_quota",
		u->over_quota == CONF_OVER_QUOTA_REFUSE ? "refuse" : "hold");
	set_quotas(r, u, &v, o);
	set_mail(r, u, o);
	set_guard(&v, o);
	set(o, "pauses", pauses_of(r, u));
	set(o, "at", json_string(u->at));
	ctl_row(r, o);
}

static bool
user_rows(struct ctl_request *r)
{
	const struct conf *c = conf_of(r);
	const char *name = ctl_arg(r, "name");

	for (; r->at < c->user_count; r->at++) {
		if (json_array_size(r->frames) >= PORTION)
			return false;
		if (name[0] == '\0' || strcmp(name, c->users[r->at].name) == 0)
			user_row(r, &c->users[r->at]);
	}
	ctl_summary(r, json_pack("{s:I,s:I}", "users", ctl_number(c->user_count), "now_us",
			       (json_int_t)clock_now(r->app->clock)));
	return true;
}

static bool
add_up(struct ctl_request *r)
{
	int64_t until_us = clock_mono(r->app->clock) + CTL_SLICE_US;
	struct queue_walk *walk = r->state;

	while (!walk->is_end) {
		queue_sched_walk_streams(sched_of(r), walk, on_stream, r);
		if (!walk->is_end && clock_mono(r->app->clock) >= until_us)
			return false;
	}
	r->run = user_rows;
	return user_rows(r);
}

/* NULL: an error was set. */
static const struct conf_user *
find_user(struct ctl_request *r)
{
	const struct conf *c = conf_of(r);
	const char *name = ctl_arg(r, "name"), *nearest = NULL;
	const struct conf_user *u = conf_user_find(c, name, strnlen(name, TEXT_MAX));
	int best = 4, distance;

	if (u != NULL)
		return u;
	for (size_t i = 0; i < c->user_count; i++)
		if ((distance = conf_word_distance(name, c->users[i].name)) < best) {
			best = distance;
			nearest = c->users[i].name;
		}
	if (nearest != NULL)
		(void)ctl_error(r, "there is no user %.100s; did you mean \"%.100s\"? mtactl user lists them",
			name, nearest);
	else
		(void)ctl_error(r, "there is no user %.100s in the configuration%s", name,
			c->user_count > 0 ? "; mtactl user lists those there are" : ", nor any other");
	return NULL;
}

bool
ctl_user(struct ctl_request *r)
{
	struct queue_walk *walk = r->state = calloc(1, sizeof(*walk));

	if (walk == NULL || (r->sums = json_object()) == NULL)
		return ctl_error(r, "out of memory");
	if (ctl_arg(r, "name")[0] != '\0' && find_user(r) == NULL)
		return true;
	walk->limit = PORTION;
	r->run = add_up;
	return add_up(r);
}

/* --- acts --- */

static bool
lift(struct ctl_request *r, const struct conf_user *u, const struct user_state *state)
{
	if (state->kind == USER_EXEMPT)
		return ctl_error(r, "user %.100s has no sandbox to be let out of: sandbox = off holds for it",
			u->name);
	if (state->kind == USER_LIFTED)
		return ctl_error(r,
			"user %.100s is out of its sandbox already; mtactl user show %.100s says since when",
			u->name, u->name);
	if (!dispatch_user_lift(r->app->dispatch, text(u->name), r->who, ctl_arg(r, "reason")))
		return ctl_error(r, "user %.100s: out of memory", u->name);
	r->done = 1;
	return ctl_done(r, "user-lift");
}

static bool
put_back(struct ctl_request *r, const struct conf_user *u, const struct user_state *state)
{
	if (state->kind == USER_EXEMPT)
		return ctl_error(r,
			"user %.100s has no sandbox to be put in: sandbox = off holds for it; give it one in "
			"its block",
			u->name);
	if (!dispatch_user_return(r->app->dispatch, text(u->name)))
		return ctl_error(r, "user %.100s is in its sandbox already", u->name);
	r->done = 1;
	return ctl_done(r, "user-sandbox");
}

bool
ctl_user_act(struct ctl_request *r)
{
	const char *act = ctl_arg(r, "act");
	const struct conf_user *u;
	struct user_state state;

	if ((strcmp(act, "lift") != 0 && strcmp(act, "sandbox") != 0) || ctl_arg(r, "name")[0] == '\0')
		return ctl_error(r, "user lift or user sandbox, and a name");
	if ((u = find_user(r)) == NULL)
		return true;
	dispatch_user_state(r->app->dispatch, u, &state);
	return act[0] == 'l' ? lift(r, u, &state) : put_back(r, u, &state);
}
