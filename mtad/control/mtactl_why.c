/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl why: sentences for a message, a domain or a site, broken into the lines of the terminal.
 */
#include "control/mtactl.h"
#include "control/mtactl_reason.h"

#include <stdio.h>
#include <string.h>

enum { SENTENCE_MAX = 3000, WIDTH_MAX = 140, INDENT = 4 };

/* A word; a command in backquotes is one, so that it can be copied. */
static size_t
word_len(const char *s)
{
	const char *end = s[0] == '`' ? strchr(s + 1, '`') : NULL;
	size_t quoted = end != NULL ? (size_t)(end - s) : 0;

	return quoted + strcspn(s + quoted, " ");
}

/* The words of s from the column `at` on; further lines are indented. */
static void
print_wrapped(const struct mtactl *m, const char *s, int indent, int at)
{
	int width = m->width < WIDTH_MAX || m->width > 500 ? m->width : WIDTH_MAX;
	bool is_first = true; /* of its line */

	while (*s != '\0') {
		int len = (int)word_len(s);

		if (!is_first && at + 1 + len > width) {
			printf("\n%*s", indent, "");
			at = indent;
		} else if (!is_first) {
			putchar(' ');
			at++;
		}
		printf("%.*s", len, s);
		at += len;
		s += len;
		s += strspn(s, " ");
		is_first = false;
	}
	putchar('\n');
}

static void
print_reason(const struct mtactl *m, const json_t *row, const struct mtactl_about *about, int at)
{
	char sentence[SENTENCE_MAX];

	mtactl_reason_long(sentence, sizeof(sentence), row, about);
	print_wrapped(m, sentence, at, at);
}

/* "Empty in about 5h at the present 2,400/h." */
static void
print_empty(const struct mtactl *m, const json_t *o, int indent)
{
	char sentence[200], span[32], number[32];

	if (mtactl_integer(o, "empty_us") <= 0)
		return;
	mtactl_span(span, sizeof(span), mtactl_integer(o, "empty_us"));
	mtactl_count(number, sizeof(number), mtactl_integer(o, "delivered_per_hour"));
	if (mtactl_integer(o, "limit_each_us") > 0)
		snprintf(sentence, sizeof(sentence), "Empty in about %s at this limit.", span);
	else
		snprintf(sentence, sizeof(sentence), "Empty in about %s at the present %s/h.", span, number);
	printf("%*s", indent, "");
	print_wrapped(m, sentence, indent, indent);
}

/* --- a domain or a site --- */

static void
print_counts(const struct mtactl *m, const json_t *s)
{
	static const char *const names[] = {"ready", "waiting", "leased", "held"};
	const char *domain = mtactl_text(s, "domain"), *site = mtactl_text(s, "site");
	int64_t connections = mtactl_integer(s, "connections"),
		per_hour = mtactl_integer(s, "delivered_per_hour");
	char line[1000] = "", number[32];
	int at, len = 0;
	size_t i;

	at = printf("%s%s%s: ", mtactl_bold(m), domain[0] != '\0' ? domain : site, mtactl_plain(m)) -
	     (m->colour ? (int)strnlen(mtactl_bold(m), 8) + (int)strnlen(mtactl_plain(m), 8) : 0);
	for (i = 0; i < 4; i++)
		if (i == 0 || mtactl_integer(s, names[i]) > 0)
			len += snprintf(line + len, sizeof(line) - (size_t)len, "%s%s %s", i > 0 ? ", " : "",
				mtactl_count(number, sizeof(number), mtactl_integer(s, names[i])), names[i]);
	if (domain[0] != '\0' && site[0] != '\0')
		len += snprintf(line + len, sizeof(line) - (size_t)len, "; site %.600s", site);
	len += snprintf(line + len, sizeof(line) - (size_t)len, ", %lld connection%s", (long long)connections,
		connections == 1 ? "" : "s");
	if (per_hour > 0)
		snprintf(line + len, sizeof(line) - (size_t)len, ", %s delivered an hour",
			mtactl_count(number, sizeof(number), per_hour));
	mtactl_clean(line);
	print_wrapped(m, line, INDENT, at);
}

static void
show_destination(const struct mtactl *m, const json_t *answer, const struct mtactl_about *about)
{
	struct mtactl_about here = *about;
	const json_t *s = json_object_get(answer, "summary"), *row;
	char filter[700], number[32];
	size_t i;

	snprintf(filter, sizeof(filter), "--%s %s", about->domain[0] != '\0' ? "domain" : "site",
		about->domain[0] != '\0' ? about->domain : mtactl_text(s, "site"));
	here.filter = filter;
	print_counts(m, s);
	json_array_foreach(mtactl_rows(answer), i, row)
	{
		int at = printf("%*s%s: ", INDENT, "",
			mtactl_count(number, sizeof(number), mtactl_integer(row, "recipients")));

		print_reason(m, row, &here, at);
	}
	if (json_array_size(mtactl_rows(answer)) == 0)
		printf("%*sno mail waits for it\n", INDENT, "");
	print_empty(m, s, INDENT);
}

/* --- a message --- */

static bool
has_pace(const json_t *row)
{
	static const char *const without[] = {"leased", "retry", "scheduled", "held", "paused", "route"};
	size_t i;

	for (i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		if (strcmp(mtactl_text(row, "why"), without[i]) == 0)
			return false;
	return true;
}

static void
show_rcpt(const struct mtactl *m, const json_t *row, const struct mtactl_about *about, const char *id)
{
	struct mtactl_about here = *about;
	int64_t attempts = mtactl_integer(row, "attempts");
	const char *rcpt = mtactl_text(row, "rcpt"), *at = strrchr(rcpt, '@');
	char filter[64], address[400];

	snprintf(filter, sizeof(filter), "%s/%lld", id, (long long)mtactl_integer(row, "n"));
	snprintf(address, sizeof(address), "%s", rcpt);
	mtactl_clean(address);
	here.filter = filter;
	here.domain = at != NULL ? at + 1 : "";
	printf("  %s%s%s", mtactl_bold(m), address, mtactl_plain(m));
	if (attempts > 0)
		printf("  %lld attempt%s", (long long)attempts, attempts == 1 ? "" : "s");
	if (mtactl_text(row, "class")[0] != '\0')
		printf(", the last reply means %s", mtactl_text(row, "class"));
	printf("\n%*s", INDENT, "");
	print_reason(m, row, &here, INDENT);
	if (has_pace(row))
		print_empty(m, row, INDENT);
}

static void
show_message(const struct mtactl *m, const json_t *answer, const struct mtactl_about *about)
{
	const json_t *s = json_object_get(answer, "summary"), *row;
	int64_t all = mtactl_integer(s, "recipients");
	char age[32], number[32], line[800];
	size_t i;

	mtactl_span(age, sizeof(age), about->now_us - mtactl_integer(s, "arrived_us"));
	snprintf(line, sizeof(line),
		"message %s from <%s>, accepted %s ago%s%s%s%s, class %s: %s recipient%s in the queue",
		mtactl_text(s, "id"), mtactl_text(s, "sender"), age,
		mtactl_text(s, "user")[0] != '\0' ? ", user " : "", mtactl_text(s, "user"),
		mtactl_text(s, "job")[0] != '\0' ? ", job " : "", mtactl_text(s, "job"),
		mtactl_text(s, "class"), mtactl_count(number, sizeof(number), all), all == 1 ? "" : "s");
	mtactl_clean(line);
	print_wrapped(m, line, 0, 0);
	json_array_foreach(mtactl_rows(answer), i, row)
	{
		show_rcpt(m, row, about, mtactl_text(s, "id"));
	}
	mtactl_show_more(m, all, (int64_t)json_array_size(mtactl_rows(answer)));
}

void
mtactl_show_why(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	const json_t *s = json_object_get(answer, "summary");
	struct mtactl_about about = {.m = m,
		.configuration = mtactl_text(s, "configuration"),
		.domain = mtactl_text(s, "domain"),
		.filter = "",
		.now_us = mtactl_integer(s, "now_us")};

	if (json_object_get(s, "id") != NULL)
		show_message(m, answer, &about);
	else
		show_destination(m, answer, &about);
}
