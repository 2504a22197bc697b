/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is out of its sandbox stands in the spool under "user/NAME"; who has no note is new. The schedule says
 * when a quota is used up, and till when; intake is told that of every user, and asks only for those whose
 * mail it is to refuse.
 */
#include "queue/users.h"

#include "queue/dispatch_impl.h"
#include "queue/quota.h"
#include "queue_sched_user.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_US (INT64_C(86400) * 1000000)

/* --- sandboxes --- */

static struct queue_blob
name_of(const struct conf_user *user)
{
	return (struct queue_blob){user->name, strnlen(user->name, QUEUE_NAME_MAX)};
}

void
dispatch_user_state(struct dispatch *d, const struct conf_user *user, struct user_state *out)
{
	*out = (struct user_state){.kind = USER_EXEMPT};
	out->lift = sandbox_lifted(pace_sandbox(d->settings.pace), name_of(user));
	if (user->sandbox.count == 0)
		return;
	out->kind = out->lift != NULL ? USER_LIFTED : USER_SANDBOX;
}

bool
dispatch_is_of_sandbox(struct dispatch *d, const struct conf_user *user, struct queue_rate rate)
{
	struct user_state state;

	dispatch_user_state(d, user, &state);
	return state.kind == USER_SANDBOX &&
	       sandbox_is_tighter(&user->sandbox, &user->limits.recipient_rate, rate);
}

/* Without memory for the note it holds until the next restart, as a pause does. */
static void
note(struct dispatch *d, struct queue_blob user, struct queue_blob value)
{
	char name[sizeof(SANDBOX_NOTES) + SANDBOX_USER_MAX];
	int len = snprintf(name, sizeof(name), SANDBOX_NOTES "%.*s", (int)user.len, (const char *)user.ptr);

	(void)dispatch_post_note(d, (struct queue_blob){name, (size_t)len}, value, NULL);
}

static void
publish(struct dispatch *d, struct queue_blob user, int64_t until_us)
{
	struct quota *quota = quota_of(d->quotas, user);

	if (quota != NULL)
		quota_set(quota, until_us);
}

/* What the schedule does not say by itself: it speaks of users that have mail. */
static void
publish_present(struct dispatch *d, struct queue_blob user)
{
	struct queue_user_view v;

	queue_sched_user_view(d->sched, user, dispatch_now(d), &v);
	publish(d, user, v.full_until_us);
}

static void
in_force(struct dispatch *d, struct queue_blob user)
{
	queue_sched_user_changed(d->sched, user, dispatch_now(d));
	publish_present(d, user);
	dispatch_wake(d);
}

bool
dispatch_user_lift(struct dispatch *d, struct queue_blob user, const char *who, const char *reason)
{
	struct sandbox_lift lift = {.at_us = dispatch_now(d)};
	uint8_t value[SANDBOX_NOTE_MAX];

	if (user.len == 0 || user.len > SANDBOX_USER_MAX)
		return false;
	snprintf(lift.who, sizeof(lift.who), "%s", who);
	snprintf(lift.reason, sizeof(lift.reason), "%s", reason);
	if (!sandbox_lift(pace_sandbox(d->settings.pace), user, &lift))
		return false;
	note(d, user, (struct queue_blob){value, sandbox_encode(&lift, value)});
	in_force(d, user);
	return true;
}

bool
dispatch_user_return(struct dispatch *d, struct queue_blob user)
{
	if (!sandbox_return(pace_sandbox(d->settings.pace), user))
		return false;
	note(d, user, (struct queue_blob){"", 0});
	in_force(d, user);
	return true;
}

bool
dispatch_restore_user(void *arg, struct queue_blob name, struct queue_blob value)
{
	const size_t prefix = sizeof(SANDBOX_NOTES) - 1;
	struct dispatch *d = arg;
	struct sandbox_lift lift;

	/* One nobody understands: the safe side is the sandbox. */
	if (name.len > prefix && sandbox_decode(value, &lift))
		(void)sandbox_lift(pace_sandbox(d->settings.pace),
			(struct queue_blob){(const char *)name.ptr + prefix, name.len - prefix}, &lift);
	return true;
}

/* --- quotas --- */

void
dispatch_publish_quotas(struct dispatch *d)
{
	const struct conf *c = policy_conf(d->settings.policy);

	for (size_t i = 0; i < c->user_count; i++)
		publish_present(d, name_of(&c->users[i]));
}

static void
log_full(struct dispatch *d, const struct conf_user *user, const struct queue_rate *rate, int64_t until_us)
{
	time_t at = (time_t)(until_us / 1000000);
	char until[32], name[400];
	struct tm tm;

	gmtime_r(&at, &tm);
	(void)strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)log_escape(name, sizeof(name), user->name, strnlen(user->name, 90));
	log_event(d->log, LOG_EVENT_sandbox_full,
		"user=\"%s\" rcpts=%lld until=%s mail=%s why=\"a new user; mtactl user lift %s ends it\"",
		name, (long long)rate->count, until,
		user->over_quota == CONF_OVER_QUOTA_REFUSE ? "refused" : "held", name);
}

void
dispatch_on_quota(void *arg, struct queue_blob name, const struct queue_rate *rate, int64_t until_us)
{
	struct dispatch *d = arg;
	const struct conf_user *user = conf_user_find(policy_conf(d->settings.policy), name.ptr, name.len);
	struct quota *quota = quota_of(d->quotas, name);

	if (quota == NULL)
		return;
	quota_set(quota, until_us);
	if (until_us > 0 && user != NULL && dispatch_is_of_sandbox(d, user, *rate) &&
		quota_is_news(quota, (until_us - 1) / DAY_US))
		log_full(d, user, rate, until_us);
}
