/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl simulate in words: a line for each site, and what the answer takes for granted.
 */
#include "control/mtactl_reason.h"
#include "control/mtactl_simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
mtactl_simulate_has_end(const json_t *result)
{
	return strcmp(mtactl_text(result, "end"), "later") != 0;
}

/* "45s", "3h 20m", "2d 4h" */
static void
write_time(char *buf, size_t max, int64_t us)
{
	static const struct {
		int64_t seconds, part;
		const char *unit, *part_unit;
	} units[] = {{86400, 3600, "d", "h"}, {3600, 60, "h", "m"}, {60, 1, "m", "s"}};
	int64_t s = (us + 500000) / 1000000;
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (s >= units[i].seconds) {
			snprintf(buf, max, "%lld%s %lld%s", (long long)(s / units[i].seconds), units[i].unit,
				(long long)(s % units[i].seconds / units[i].part), units[i].part_unit);
			return;
		}
	snprintf(buf, max, "%llds", (long long)s);
}

static void
write_end(char *buf, size_t max, const json_t *row, const char *field, int64_t days)
{
	const json_t *r = json_object_get(row, field);
	char time[40];

	write_time(time, sizeof(time), mtactl_integer(r, "empty_us"));
	if (!mtactl_simulate_has_end(r))
		snprintf(buf, max, "more than %lldd", (long long)days);
	else
		snprintf(buf, max, "%s%s", strcmp(mtactl_text(r, "end"), "reckoned") == 0 ? "about " : "",
			time);
}

/* Where neither is empty in time, what would be left says more. */
static void
write_change(char *buf, size_t max, const json_t *row, const char *field, int64_t days)
{
	const json_t *now = json_object_get(row, "now"), *then = json_object_get(row, "then");
	int64_t change_us = mtactl_integer(row, "difference_us"),
		left = mtactl_integer(then, "left") - mtactl_integer(now, "left");
	char text[40];

	if (mtactl_simulate_has_end(now) != mtactl_simulate_has_end(then)) {
		snprintf(buf, max, "%s", mtactl_simulate_has_end(then) ? "sooner" : "later");
	} else if (!mtactl_simulate_has_end(now)) {
		snprintf(buf, max, "%s%s", left == 0 ? "none" : mtactl_count(text, sizeof(text), llabs(left)),
			left == 0  ? ""
			: left < 0 ? " fewer left"
				   : " more left");
	} else {
		write_time(text, sizeof(text), llabs(change_us));
		snprintf(buf, max, "%s%s",
			llabs(change_us) < 500000 ? ""
			: change_us < 0           ? "-"
						  : "+",
			llabs(change_us) < 500000 ? "none" : text);
	}
}

static void
write_limit(char *buf, size_t max, const json_t *row, const char *field, int64_t days)
{
	const json_t *then = json_object_get(row, "then");
	const char *why = mtactl_text(then, "why");

	buf[0] = '\0';
	if (strcmp(why, "going") == 0 || strcmp(why, "opening") == 0)
		snprintf(buf, max, "the site's own speed");
	else if (strcmp(why, "retry") == 0)
		snprintf(buf, max, "the times of next attempts");
	else if (strcmp(why, "busy") == 0)
		snprintf(buf, max, "%lld connections and the site's speed",
			(long long)mtactl_integer(then, "limit"));
	else if (why[0] != '\0')
		mtactl_reason_short(buf, max, then);
}

static void
print_assumptions(const struct mtactl *m, const json_t *answer)
{
	const json_t *s = json_object_get(answer, "summary");
	char a[32], b[32], c[32];

	printf("%sAssumed: no mail comes in, none expires; sites take all they are offered, as fast as of\n"
	       "late (%s of %s were measured; the others as the mean, or in %lld ms a message);\n"
	       "deferred mail goes at its next attempt; pauses, sources that are down, limits set by\n"
	       "hand, warm-ups, used-up limits and what lanes have learned hold as they are now.%s\n",
		mtactl_dim(m), mtactl_count(a, sizeof(a), mtactl_integer(s, "measured")),
		mtactl_count(b, sizeof(b), mtactl_integer(s, "sites")),
		(long long)MTACTL_SIMULATE_TRANSACTION_US / 1000, mtactl_plain(m));
	if (mtactl_integer(s, "held") + mtactl_integer(s, "rejected") > 0)
		printf("Not counted: %s held, %s of domains that take no mail.\n",
			mtactl_count(a, sizeof(a), mtactl_integer(s, "held")),
			mtactl_count(b, sizeof(b), mtactl_integer(s, "rejected")));
	if (mtactl_integer(s, "left_out") > 0)
		printf("Too many sites: the smallest were left out, with %s recipients.\n",
			mtactl_count(c, sizeof(c), mtactl_integer(s, "left_out")));
	if (mtactl_is_true(s, "cut"))
		printf("\"about\": more than %s steps; the rest is reckoned at the pace it had by then.\n",
			mtactl_count(a, sizeof(a), MTACTL_SIMULATE_EVENTS_MAX));
	if (mtactl_is_true(s, "recovering"))
		puts("The daemon still reads its spool: more mail will appear.");
}

void
mtactl_simulate_show(const struct mtactl *m, json_t *answer)
{
	static const struct mtactl_column columns[] = {{"SITE", "site", mtactl_write_text, false, 16, false},
		{"WAITING", "recipients", mtactl_write_number, true, 0, false},
		{"NOW", "now", write_end, true, 0, false}, {"WITH IT", "then", write_end, true, 0, false},
		{"CHANGE", "difference_us", write_change, true, 0, false},
		{"LIMITED THEN BY", "then", write_limit, false, 16, false}};
	const json_t *s = json_object_get(answer, "summary");
	json_t *rows = json_copy(json_object_get(answer, "rows"));
	int64_t more = mtactl_integer(s, "sites") - (int64_t)json_array_size(rows);

	if (mtactl_integer(s, "sites") == 0) {
		puts("nothing waits that could be sent");
	} else {
		(void)json_array_append(rows, json_object_get(answer, "total"));
		MTACTL_TABLE(m, columns, rows, mtactl_integer(s, "days"));
		if (more > 0)
			printf("%s... and %lld more (--top 0 shows all)%s\n", mtactl_dim(m), (long long)more,
				mtactl_plain(m));
	}
	print_assumptions(m, answer);
	json_decref(rows);
}
