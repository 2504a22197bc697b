/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl user: who is in its sandbox, how its quotas stand, what holds its mail; in and out of the sandbox.
 */
#include "control/mtactl.h"
#include "control/mtactl_reason.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char *
mtactl_user_act(size_t i)
{
	static const char *const acts[] = {"list", "show", "lift", "sandbox", NULL};

	return acts[i];
}

/* --- the table --- */

/* "150/200": of a limit a day; without one nothing counts. */
static void
write_today(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	char used[32], limit[32];

	if (!json_is_integer(json_object_get(row, field)))
		snprintf(buf, max, "-");
	else
		snprintf(buf, max, "%s/%s", mtactl_count(used, sizeof(used), mtactl_integer(row, field)),
			mtactl_count(limit, sizeof(limit), mtactl_integer(row, "today_limit")));
}

/* "slow: bounces 8.3 %" */
static void
write_guard(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const char *level = mtactl_text(row, field);

	if (mtactl_integer(row, "guard_recipients") == 0 && strcmp(level, "ok") == 0)
		snprintf(buf, max, "-");
	else if (strcmp(level, "ok") == 0)
		snprintf(buf, max, "ok");
	else
		snprintf(buf, max, "%s: bounces %.1f %%, complaints %.2f %%", level,
			(double)mtactl_integer(row, "bounces_ppm") / 10000,
			(double)mtactl_integer(row, "complaints_ppm") / 10000);
}

/* The user's own, before those of its streams. */
static void
write_pauses(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const json_t *list = json_object_get(row, field), *pause;
	size_t count = json_array_size(list), i;

	snprintf(buf, max, "-");
	if (count > 0)
		snprintf(buf, max, "%zu stream%s", count, count == 1 ? "" : "s");
	json_array_foreach(list, i, pause)
	{
		const char *reason = mtactl_text(pause, "reason");

		if (strcmp(mtactl_text(pause, "kind"), "user") == 0)
			snprintf(buf, max, "paused%s%s", reason[0] != '\0' ? ": " : "", reason);
	}
	mtactl_clean(buf);
}

static void
print_table(const struct mtactl *m, const json_t *answer)
{
	static const struct mtactl_column columns[] = {{"USER", "user", mtactl_write_text, false, 8, false},
		{"STATE", "state", mtactl_write_text, false, 0, false},
		{"TODAY", "today", write_today, true, 0, false},
		{"FULL", "full_until_us", mtactl_write_until, true, 0, false},
		{"READY", "ready", mtactl_write_number, true, 0, false},
		{"WAITING", "waiting", mtactl_write_number, true, 0, false},
		{"LEASED", "leased", mtactl_write_number, true, 0, true},
		{"HELD", "held", mtactl_write_number, true, 0, true},
		{"GUARD", "guard", write_guard, false, 12, false},
		{"PAUSES", "pauses", write_pauses, false, 12, false}};

	if (json_array_size(mtactl_rows(answer)) == 0)
		puts("no user in the configuration: all mail comes without log-in");
	else
		MTACTL_TABLE(m, columns, mtactl_rows(answer), mtactl_now(answer));
}

/* --- one user --- */

static void
print_state(const json_t *row)
{
	const char *name = mtactl_text(row, "user"), *state = mtactl_text(row, "state"),
		   *reason = mtactl_text(row, "reason");
	time_t at = (time_t)(mtactl_integer(row, "since_us") / 1000000);
	char when[32];
	struct tm tm;

	localtime_r(&at, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	if (strcmp(state, "sandbox") == 0)
		printf("in its sandbox; `mtactl user lift %s` ends that\n", name);
	else if (strcmp(state, "lifted") == 0)
		printf("let out of its sandbox %s by %s%s%s\n", when, mtactl_text(row, "by"),
			reason[0] != '\0' ? ": " : "", reason);
	else
		puts("has no sandbox");
}

static void
print_quotas(const json_t *row, int64_t now_us)
{
	const json_t *quota;
	char used[32], limit[64], when[64];
	size_t i;

	json_array_foreach(json_object_get(row, "quotas"), i, quota)
	{
		bool is_full = mtactl_integer(quota, "used") >= mtactl_integer(quota, "limit");

		mtactl_limit(limit, sizeof(limit), quota, false);
		mtactl_when(when, sizeof(when), mtactl_integer(quota, "until_us"), now_us);
		printf("quota     %s of %s recipients%s%s%s%s\n",
			mtactl_count(used, sizeof(used), mtactl_integer(quota, "used")), limit,
			mtactl_is_true(quota, "sandbox") ? " (sandbox)" : "",
			is_full ? ", used up; more " : "", is_full ? when : "",
			is_full && strcmp(mtactl_text(row, "over_quota"), "refuse") == 0
				? "; new mail is refused with 451"
				: "");
	}
	if (i == 0)
		puts("quota     none");
}

static void
print_pauses(const json_t *row, int64_t now_us)
{
	const json_t *pause;
	char when[64];
	size_t i;

	json_array_foreach(json_object_get(row, "pauses"), i, pause)
	{
		const char *reason = mtactl_text(pause, "reason");
		int64_t until_us = mtactl_integer(pause, "until_us");

		snprintf(when, sizeof(when), "it is resumed");
		if (until_us != 0)
			mtactl_when(when, sizeof(when), until_us, now_us);
		printf("paused    %s %s until %s%s%s\n", mtactl_text(pause, "kind"),
			mtactl_text(pause, "name"), when, reason[0] != '\0' ? ": " : "", reason);
	}
}

static void
print_user(const struct mtactl *m, const json_t *row, int64_t now_us)
{
	char n[4][32], guard[100];

	write_guard(guard, sizeof(guard), row, "guard", now_us);
	printf("%s%s%s: ", mtactl_bold(m), mtactl_text(row, "user"), mtactl_plain(m));
	print_state(row);
	print_quotas(row, now_us);
	printf("mail      %s ready, %s waiting, %s leased, %s held\n",
		mtactl_count(n[0], sizeof(n[0]), mtactl_integer(row, "ready")),
		mtactl_count(n[1], sizeof(n[1]), mtactl_integer(row, "waiting")),
		mtactl_count(n[2], sizeof(n[2]), mtactl_integer(row, "leased")),
		mtactl_count(n[3], sizeof(n[3]), mtactl_integer(row, "held")));
	printf("guard     %s; %s recipients, %lld bounces, %lld complaints\n", guard[0] != '-' ? guard : "ok",
		mtactl_count(n[0], sizeof(n[0]), mtactl_integer(row, "guard_recipients")),
		(long long)mtactl_integer(row, "bounces"), (long long)mtactl_integer(row, "complaints"));
	print_pauses(row, now_us);
	printf("block     %s\n", mtactl_text(row, "at"));
}

/* --- the command --- */

static int
look(struct mtactl *m, const struct mtactl_options *o)
{
	bool is_one = o->word_count == 2;
	json_t *r = mtactl_request("user", o), *answer;
	int code = 2;

	if (is_one)
		(void)json_object_set_new(r, "name", json_string(o->words[1]));
	if ((answer = mtactl_ask(m, r, NULL, &code)) == NULL)
		return code;
	if (m->json)
		code = mtactl_print_json(answer, o, code);
	else if (!mtactl_print_error(answer) && is_one)
		print_user(m, json_array_get(mtactl_rows(answer), 0), mtactl_now(answer));
	else if (json_object_get(answer, "error") == NULL)
		print_table(m, answer);
	json_decref(answer);
	return code;
}

static int
change(struct mtactl *m, const struct mtactl_options *o)
{
	bool is_lift = strcmp(o->words[0], "lift") == 0;
	json_t *r = mtactl_request("user-act", o), *answer;
	int code = 2;

	(void)json_object_set_new(r, "act", json_string(o->words[0]));
	(void)json_object_set_new(r, "name", json_string(o->words[1]));
	if ((answer = mtactl_ask(m, r, NULL, &code)) == NULL)
		return code;
	if (m->json)
		code = mtactl_print_json(answer, o, code);
	else if (!mtactl_print_error(answer))
		printf("user %s is %s its sandbox\n", o->words[1], is_lift ? "out of" : "in");
	json_decref(answer);
	return code;
}

int
mtactl_user(struct mtactl *m, const struct mtactl_options *o)
{
	const char *act = o->word_count > 0 ? o->words[0] : "list";

	if (strcmp(act, "list") == 0 ? o->word_count > 1 : o->word_count != 2) {
		if (strcmp(act, "list") == 0)
			fputs("mtactl: user list takes no name; mtactl user show NAME is about one\n",
				stderr);
		else
			fprintf(stderr, "mtactl: user %s which user? mtactl user lists them\n", act);
		return 2;
	}
	if (o->reason != NULL && strcmp(act, "lift") != 0 && strcmp(act, "sandbox") != 0) {
		fputs("mtactl: --reason is for lift and sandbox\n", stderr);
		return 2;
	}
	return strcmp(act, "list") == 0 || strcmp(act, "show") == 0 ? look(m, o) : change(m, o);
}
