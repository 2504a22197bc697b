/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command does with the daemon: look, look again each second, change after a count and a yes, stop and
 * wait for the end.
 */
#include "control/mtactl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum {
	TABLE_LIMIT = 40,
	SAMPLES = 6, /* rates are those of the last five seconds */
	STOP_EXTRA_SECONDS = 20,
};

/* --- look --- */

json_t *
mtactl_request(const char *command, const struct mtactl_options *o)
{
	json_t *r = json_pack("{s:s}", "command", command);

	(void)json_object_update(r, o->filter);
	if (o->limit >= 0)
		(void)json_object_set_new(r, "limit", json_integer(o->limit));
	if (o->reason != NULL)
		(void)json_object_set_new(r, "reason", json_string(o->reason));
	if (o->body)
		(void)json_object_set_new(r, "body", json_true());
	return r;
}

int
mtactl_print_json(const json_t *answer, const struct mtactl_options *o, int code)
{
	(void)json_dumpf(answer, stdout, o->watch ? JSON_COMPACT : JSON_INDENT(2));
	putchar('\n');
	return code;
}

bool
mtactl_print_error(const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (error != NULL)
		fprintf(stderr, "mtactl: %s\n", error);
	return error != NULL;
}

static bool
is_table(const char *command)
{
	static const char *const tables[] = {"queue", "sites", "lanes", "streams", "limits"};
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (strcmp(command, tables[i]) == 0)
			return true;
	return false;
}

/* The daemon keeps the largest itself, but sites are added up here. */
static json_t *
ask_table(struct mtactl *m, const struct mtactl_options *o, int *out_code)
{
	bool by_site = strcmp(o->by, "site") == 0 && strcmp(o->command, "queue") == 0;
	json_t *r = mtactl_request(o->command, o), *answer;

	(void)json_object_set_new(r, "by", json_string(o->by));
	if (by_site)
		(void)json_object_del(r, "limit");
	if ((answer = mtactl_ask(m, r, by_site ? mtactl_row_by_site : NULL, out_code)) == NULL)
		return NULL;
	if (by_site) {
		(void)json_object_del(answer, "sites");
		(void)json_object_set_new(json_object_get(answer, "summary"), "sites",
			json_integer((json_int_t)json_array_size(json_object_get(answer, "rows"))));
	}
	if (strcmp(o->by, "state") != 0)
		mtactl_sort_rows(o, answer);
	return answer;
}

static int
show_answer(struct mtactl *m, const struct mtactl_options *o, const json_t *answer, int code)
{
	if (m->json)
		return mtactl_print_json(answer, o, code);
	if (!mtactl_print_error(answer) || json_object_get(answer, "summary") != NULL)
		mtactl_show(m, o, answer);
	return code;
}

static json_t *
ask(struct mtactl *m, const struct mtactl_options *o, int *out_code)
{
	json_t *answer;

	if (is_table(o->command))
		return ask_table(m, o, out_code);
	answer = mtactl_ask(m, mtactl_request(o->command, o), NULL, out_code);
	/* The recipients of a message keep their order. */
	if (answer != NULL && strcmp(o->command, "why") == 0 &&
		json_object_get(json_object_get(answer, "summary"), "id") == NULL)
		mtactl_sort_rows(o, answer);
	return answer;
}

/* How much a second since the oldest of the samples, into the newest. */
static void
add_rates(const json_t *then, json_t *now)
{
	static const char *const of_spool[] = {"accepted", "delivered", "bounced", "expired", "dropped"};
	int64_t span_us = json_integer_value(json_object_get(now, "now_us")) -
			  json_integer_value(json_object_get(then, "now_us"));
	const json_t *a = json_object_get(then, "spool"), *b = json_object_get(now, "spool");
	json_t *rates = json_object();
	size_t i;

	for (i = 0; span_us > 0 && i < sizeof(of_spool) / sizeof(of_spool[0]); i++) {
		int64_t more = json_integer_value(json_object_get(b, of_spool[i])) -
			       json_integer_value(json_object_get(a, of_spool[i]));

		(void)json_object_set_new(rates, of_spool[i], json_integer(more * 1000000 / span_us));
	}
	if (span_us > 0)
		(void)json_object_set_new(rates, "deferred",
			json_integer((json_integer_value(json_object_get(now, "deferrals")) -
					     json_integer_value(json_object_get(then, "deferrals"))) *
				     1000000 / span_us));
	(void)json_object_set_new(now, "rates", rates);
}

/* Until it is interrupted, or the daemon has gone. */
static int
watch(struct mtactl *m, const struct mtactl_options *o)
{
	json_t *samples = json_array(), *answer, *s;
	int code;

	for (;;) {
		if ((answer = ask(m, o, &code)) == NULL)
			break;
		s = json_object_get(answer, "summary");
		if (strcmp(o->command, "status") == 0 && s != NULL) {
			if (json_array_size(samples) > 0)
				add_rates(json_array_get(samples, 0), s);
			(void)json_array_append(samples, s);
			if (json_array_size(samples) > SAMPLES)
				(void)json_array_remove(samples, 0);
		}
		if (!m->json && isatty(1))
			fputs("\033[H\033[J", stdout);
		code = show_answer(m, o, answer, code);
		json_decref(answer);
		if (!m->json && !isatty(1))
			putchar('\n');
		if (fflush(stdout) != 0)
			break;
		sleep(1);
	}
	json_decref(samples);
	return code;
}

int
mtactl_look(struct mtactl *m, const struct mtactl_options *given)
{
	struct mtactl_options o = *given;
	json_t *answer;
	int code = 2;

	if (o.limit < 0 && !m->json && is_table(o.command))
		o.limit = TABLE_LIMIT;
	if (o.watch)
		return watch(m, &o);
	if ((answer = ask(m, &o, &code)) == NULL)
		return code;
	code = show_answer(m, &o, answer, code);
	json_decref(answer);
	return code;
}

int
mtactl_look_with(struct mtactl *m, const struct mtactl_options *o, json_t *take_request)
{
	int code = 2;
	json_t *answer = mtactl_ask(m, take_request, NULL, &code);

	if (answer == NULL)
		return code;
	code = show_answer(m, o, answer, code);
	json_decref(answer);
	return code;
}

int
mtactl_dkim_check(struct mtactl *m, const struct mtactl_options *o)
{
	json_t *r = mtactl_request("dkim-check", o);

	if (o->word_count == 2)
		(void)json_object_set_new(r, "domain", json_string(o->words[1]));
	return mtactl_look_with(m, o, r);
}

/* --- change --- */

static int64_t
count_matching(struct mtactl *m, const struct mtactl_options *o)
{
	int code = 2;
	json_t *answer = mtactl_ask(m, mtactl_request("count", o), NULL, &code);
	int64_t count = -1;

	if (answer != NULL && !mtactl_print_error(answer))
		count = json_integer_value(json_object_get(json_object_get(answer, "summary"), "count"));
	json_decref(answer);
	return count;
}

bool
mtactl_confirm(const char *question)
{
	char word[16] = "";

	fprintf(stderr, "%s [y/N] ", question);
	return fgets(word, sizeof(word), stdin) != NULL && (word[0] == 'y' || word[0] == 'Y');
}

static bool
confirm(const char *command, int64_t count)
{
	char question[80], number[32];

	snprintf(question, sizeof(question), "%s %s recipient%s?", command,
		mtactl_count(number, sizeof(number), count), count == 1 ? "" : "s");
	return mtactl_confirm(question);
}

static int
dry_run(const struct mtactl *m, int64_t count)
{
	char number[32];

	if (m->json)
		printf("{\"count\": %lld}\n", (long long)count);
	else
		printf("%s recipient%s match%s\n", mtactl_count(number, sizeof(number), count),
			count == 1 ? "" : "s", count == 1 ? "es" : "");
	return 0;
}

static void
show_change(const char *command, const json_t *answer)
{
	const json_t *s = json_object_get(answer, "summary");
	int64_t busy = json_integer_value(json_object_get(s, "busy"));
	int64_t count = json_integer_value(json_object_get(s, "count"));
	char number[32];

	printf("%s: %s recipient%s\n", command, mtactl_count(number, sizeof(number), count),
		count == 1 ? "" : "s");
	if (busy > 0)
		printf("%s more are being delivered just now and follow if that fails\n",
			mtactl_count(number, sizeof(number), busy));
}

int
mtactl_change(struct mtactl *m, const struct mtactl_options *o)
{
	char number[32];
	int64_t count;
	int code = 2;
	json_t *answer;

	if (o->count == 0) {
		fprintf(stderr, "mtactl: %s what? Give an ID, a filter, or --all\n", o->command);
		return 2;
	}
	if ((count = count_matching(m, o)) < 0)
		return 2;
	if (o->dry_run)
		return dry_run(m, count);
	if (count == 0 && !m->json) {
		fputs("mtactl: no recipient in the queue matches\n", stderr);
		return 1;
	}
	if (!o->yes && count > 1) {
		if (!isatty(0)) {
			fprintf(stderr, "mtactl: %s recipients match: add --yes to %s them\n",
				mtactl_count(number, sizeof(number), count), o->command);
			return 2;
		}
		if (!confirm(o->command, count))
			return 1;
	}
	if ((answer = mtactl_ask(m, mtactl_request(o->command, o), NULL, &code)) == NULL)
		return code;
	if (m->json)
		code = mtactl_print_json(answer, o, code);
	else if (!mtactl_print_error(answer))
		show_change(o->command, answer);
	json_decref(answer);
	return code;
}

/* --- pauses --- */

/* "90s", "30m", "2h", "1d" as microseconds; 0: not a duration. */
static int64_t
duration_us(const char *word)
{
	char *end;
	long long v = strtoll(word, &end, 10);
	int64_t unit = *end == 's' ? 1 : *end == 'm' ? 60 : *end == 'h' ? 3600 : *end == 'd' ? 86400 : 0;

	return v > 0 && v < 100000 && unit > 0 && end[1] == '\0' ? v * unit * 1000000 : 0;
}

int
mtactl_pause_or_resume(struct mtactl *m, const struct mtactl_options *o)
{
	int64_t for_us = o->duration != NULL ? duration_us(o->duration) : 0;
	bool all = o->word_count == 1 && strcmp(o->words[0], "all") == 0;
	json_t *r;

	if (o->duration != NULL && for_us == 0) {
		fprintf(stderr, "mtactl: --for takes a time such as 30m, 2h or 1d\n");
		return 2;
	}
	if (!all && o->word_count != 2) {
		fprintf(stderr, "mtactl: %s domain|site|source|job|user|stream|sender NAME, or %s all\n",
			o->command, o->command);
		return 2;
	}
	r = mtactl_request(o->command, o);
	(void)json_object_set_new(r, "kind", json_string(o->words[0]));
	(void)json_object_set_new(r, "name", json_string(all ? "" : o->words[1]));
	if (for_us > 0)
		(void)json_object_set_new(r, "for_us", json_integer(for_us));
	return mtactl_look_with(m, o, r);
}

int
mtactl_clear(struct mtactl *m, const struct mtactl_options *o)
{
	json_t *r;

	if (o->word_count != 1) {
		fputs("mtactl: clear which site? mtactl sites lists them\n", stderr);
		return 2;
	}
	r = mtactl_request(o->command, o);
	(void)json_object_set_new(r, "site", json_string(o->words[0]));
	return mtactl_look_with(m, o, r);
}

/* --- stop --- */

static void
show_stopping(struct mtactl *m, int seconds)
{
	int code;
	json_t *answer, *sessions;
	struct mtactl quiet = *m;

	quiet.is_quiet = true;
	if (m->json || !isatty(2))
		return;
	answer = mtactl_ask(&quiet, json_pack("{s:s}", "command", "status"), NULL, &code);
	sessions = json_object_get(json_object_get(answer, "summary"), "sessions");
	fprintf(stderr, "\r\033[Kstopping, %d s: %lld submitting, %lld delivering", seconds,
		(long long)json_integer_value(json_object_get(sessions, "submitting")),
		(long long)json_integer_value(json_object_get(sessions, "delivering")));
	json_decref(answer);
}

/* True: it has gone. */
static bool
wait_for_end(struct mtactl *m, pid_t pid, int seconds_max)
{
	struct pollfd p = {.fd = pidfd_open(pid, 0), .events = POLLIN};
	bool gone = p.fd < 0 && errno == ESRCH;
	int seconds;

	for (seconds = 0; p.fd >= 0 && !gone && seconds < seconds_max; seconds++) {
		if (seconds > 0)
			show_stopping(m, seconds);
		gone = poll(&p, 1, 1000) > 0;
	}
	if (seconds > 1 && !m->json && isatty(2))
		fputs("\r\033[K", stderr);
	if (p.fd >= 0)
		close(p.fd);
	return gone;
}

int
mtactl_stop(struct mtactl *m, const struct mtactl_options *o)
{
	int code = 2, seconds;
	json_t *answer = mtactl_ask(m, mtactl_request(o->command, o), NULL, &code), *s;
	pid_t pid = m->daemon;
	bool gone = false;

	if (answer == NULL)
		return code;
	if ((s = json_object_get(answer, "summary")) != NULL && !o->no_wait && pid > 0) {
		seconds = (int)(json_integer_value(json_object_get(s, "within_us")) / 1000000) +
			  STOP_EXTRA_SECONDS;
		gone = wait_for_end(m, pid, seconds);
		code = gone ? 0 : 1;
		(void)json_object_set_new(s, "stopped", json_boolean(gone));
		if (!gone)
			fprintf(stderr,
				"mtactl: mtad (pid %d) still runs after %d seconds; given again, stop cuts "
				"its sessions\n",
				(int)pid, seconds);
	}
	if (m->json)
		code = mtactl_print_json(answer, o, code);
	else if (!mtactl_print_error(answer) && (gone || o->no_wait || pid <= 0))
		puts(gone ? "stopped" : "stopping");
	json_decref(answer);
	return code;
}
