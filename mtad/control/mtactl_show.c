/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for people. A column knows how to make its text from a row; widths are measured first, and the last
 * column takes what the terminal has left. Colours only on a terminal and not with NO_COLOR.
 */
#include "control/mtactl.h"

#include <stdarg.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_MAX = 600, COLUMNS_MAX = 12 };

struct column {
	const char *title, *field;
	void (*write)(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us);
	bool is_right;
};

static int64_t
integer(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static const char *
text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

/* Bytes of the control character at s, 0: none. C0, DEL, and C1 (UTF-8: c2 and one of 80..9f), which some
 * terminals obey too. */
static size_t
control_len(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
		return 2;
	return p[0] < ' ' || p[0] == 127 ? 1 : 0;
}

static void
write_text(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	size_t i;

	snprintf(buf, max, "%s", text(row, field));
	for (i = 0; buf[i] != '\0'; i++)
		if (control_len(buf + i) > 0)
			memset(buf + i, ' ', control_len(buf + i));
}

/* What others wrote, line by line: nothing of it may command the terminal. */
static void
print_text(const char *s)
{
	size_t len;

	for (; *s != '\0'; s += len > 0 ? len : 1) {
		len = *s == '\n' || *s == '\t' ? 0 : control_len(s);
		if (*s != '\r')
			putchar(len == 0 ? *s : '?');
	}
}

/* The number of a recipient: 0 is one like the others. */
static void
write_n(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	snprintf(buf, max, "%lld", (long long)integer(row, field));
}

static void
write_number(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	int64_t v = integer(row, field);

	if (v == 0)
		snprintf(buf, max, "-");
	else
		snprintf(buf, max, "%lld", (long long)v);
}

static void
span(char *buf, size_t max, int64_t us)
{
	int64_t s = us / 1000000;

	if (s < 120)
		snprintf(buf, max, "%llds", (long long)s);
	else if (s < 7200)
		snprintf(buf, max, "%lldm", (long long)s / 60);
	else if (s < 172800)
		snprintf(buf, max, "%lldh", (long long)s / 3600);
	else
		snprintf(buf, max, "%lldd", (long long)s / 86400);
}

/* How long ago. */
static void
write_age(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	int64_t at_us = integer(row, field);

	if (at_us == 0)
		snprintf(buf, max, "-");
	else
		span(buf, max, now_us > at_us ? now_us - at_us : 0);
}

/* How long until. */
static void
write_until(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	int64_t at_us = integer(row, field);

	if (at_us == 0)
		snprintf(buf, max, "-");
	else if (at_us <= now_us)
		snprintf(buf, max, "now");
	else
		span(buf, max, at_us - now_us);
}

static void
write_size(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
	double v = (double)integer(row, field);
	size_t i = 0;

	while (v >= 10000 && i < 4) {
		v /= 1024;
		i++;
	}
	snprintf(buf, max, "%.0f%s", v, units[i]);
}

static const char *
bold(const struct mtactl *m)
{
	return m->colour ? "\033[1m" : "";
}

static const char *
dim(const struct mtactl *m)
{
	return m->colour ? "\033[2m" : "";
}

static const char *
red(const struct mtactl *m)
{
	return m->colour ? "\033[31m" : "";
}

static const char *
green(const struct mtactl *m)
{
	return m->colour ? "\033[32m" : "";
}

static const char *
plain(const struct mtactl *m)
{
	return m->colour ? "\033[0m" : "";
}

static void
measure(const struct column *columns, size_t count, const json_t *rows, int64_t now_us, int *widths)
{
	char cell[CELL_MAX];
	const json_t *row;
	size_t i, k;
	int len;

	for (i = 0; i < count; i++) {
		widths[i] = (int)strnlen(columns[i].title, CELL_MAX);
		json_array_foreach(rows, k, row)
		{
			columns[i].write(cell, sizeof(cell), row, columns[i].field, now_us);
			len = (int)strnlen(cell, sizeof(cell));
			if (len > widths[i])
				widths[i] = len;
		}
	}
}

/* The last column is cut to what the terminal has left. */
static void
fit(const struct mtactl *m, size_t count, int *widths)
{
	int used = 0, left;
	size_t i;

	for (i = 0; i + 1 < count; i++)
		used += widths[i] + 2;
	left = m->width - used;
	if (widths[count - 1] > left)
		widths[count - 1] = left > 20 ? left : 20;
}

static void
print_cell(const char *s, int width, bool is_right, bool is_last)
{
	if (is_right)
		printf("%*.*s", width, width, s);
	else if (is_last)
		printf("%.*s", width, s);
	else
		printf("%-*.*s", width, width, s);
	fputs(is_last ? "\n" : "  ", stdout);
}

static void
table(const struct mtactl *m, const struct column *columns, size_t count, const json_t *rows, int64_t now_us)
{
	int widths[COLUMNS_MAX];
	char cell[CELL_MAX];
	const json_t *row;
	size_t i, k;

	measure(columns, count, rows, now_us, widths);
	fit(m, count, widths);
	fputs(bold(m), stdout);
	for (i = 0; i < count; i++)
		print_cell(columns[i].title, widths[i], columns[i].is_right, i + 1 == count);
	fputs(plain(m), stdout);
	json_array_foreach(rows, k, row)
	{
		for (i = 0; i < count; i++) {
			columns[i].write(cell, sizeof(cell), row, columns[i].field, now_us);
			print_cell(cell, widths[i], columns[i].is_right, i + 1 == count);
		}
	}
}

#define TABLE(m, columns, rows, now_us) table(m, columns, sizeof(columns) / sizeof(columns[0]), rows, now_us)

static const json_t *
rows_of(const json_t *answer)
{
	return json_object_get(answer, "rows");
}

static int64_t
now_of(const json_t *answer)
{
	return integer(json_object_get(answer, "summary"), "now_us");
}

/* --- status --- */

static void line(const struct mtactl *m, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void
line(const struct mtactl *m, const char *name, const char *format, ...)
{
	va_list ap;

	printf("%s%-12s%s", bold(m), name, plain(m));
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

void
mtactl_show_status(const struct mtactl *m, const json_t *answer)
{
	const json_t *s = json_object_get(answer, "summary"), *spool = json_object_get(s, "spool");
	const json_t *sessions = json_object_get(s, "sessions");
	char up[32], used[32], disk[32], memory[32], memory_max[32];

	span(up, sizeof(up), integer(s, "uptime_s") * 1000000);
	write_size(used, sizeof(used), spool, "used_bytes", 0);
	write_size(disk, sizeof(disk), spool, "disk_free_bytes", 0);
	write_size(memory, sizeof(memory), s, "memory_bytes", 0);
	write_size(memory_max, sizeof(memory_max), s, "memory_max_bytes", 0);
	line(m, "mtad", "%s on %s, pid %lld, up %s%s", text(s, "version"), text(s, "hostname"),
		(long long)integer(s, "pid"), up,
		json_is_true(json_object_get(s, "recovering")) ? ", still reading the spool" : "");
	line(m, "queued",
		"%lld recipients of %lld messages: %lld ready, %lld waiting, %lld in flight, %lld held",
		(long long)integer(s, "recipients"), (long long)integer(s, "messages"),
		(long long)integer(s, "ready"), (long long)integer(s, "waiting"),
		(long long)integer(s, "in_flight"), (long long)integer(s, "held"));
	line(m, "since ever", "%lld accepted, %lld delivered, %lld bounced, %lld expired, %lld dropped",
		(long long)integer(spool, "accepted"), (long long)integer(spool, "delivered"),
		(long long)integer(spool, "bounced"), (long long)integer(spool, "expired"),
		(long long)integer(spool, "dropped"));
	line(m, "sessions", "%lld submitting, %lld delivering, to %lld sites for %lld domains",
		(long long)integer(sessions, "submitting"), (long long)integer(sessions, "delivering"),
		(long long)integer(s, "sites"), (long long)integer(s, "domains"));
	line(m, "spool", "%s used, %s free on its disk%s%s%s%s", used, disk, red(m),
		json_is_true(json_object_get(spool, "failed"))
			? "  FAILED: clients get 4xx until it is verified"
			: "",
		json_is_true(json_object_get(spool, "full")) ? "  FULL: clients get 452" : "", plain(m));
	line(m, "memory", "%s of %s for bodies in flight", memory, memory_max);
	line(m, "accounting", "%s%s%s, %lld events not yet in the files",
		json_is_true(json_object_get(s, "accounting_failed")) ? red(m) : "",
		json_is_true(json_object_get(s, "accounting_failed")) ? "FAILED" : "fine", plain(m),
		(long long)integer(spool, "unreported"));
	if (integer(s, "pauses") > 0)
		line(m, "pauses", "%lld (mtactl pauses)", (long long)integer(s, "pauses"));
	if (integer(spool, "quarantined") > 0)
		line(m, "quarantine", "%s%lld damaged recipients set aside%s", red(m),
			(long long)integer(spool, "quarantined"), plain(m));
}

/* --- queue --- */

static int64_t
row_total(const json_t *row)
{
	return integer(row, "ready") + integer(row, "waiting") + integer(row, "in_flight") +
	       integer(row, "held");
}

static int
compare_rows(const void *a, const void *b)
{
	int64_t x = row_total(*(json_t *const *)a), y = row_total(*(json_t *const *)b);

	return x < y   ? 1
	       : x > y ? -1
		       : strcmp(text(*(json_t *const *)a, "domain"), text(*(json_t *const *)b, "domain"));
}

/* Largest first. */
static json_t *
sorted(const json_t *rows)
{
	size_t n = json_array_size(rows), i;
	json_t **list = calloc(n + 1, sizeof(*list)), *out = json_array();

	for (i = 0; list != NULL && i < n; i++)
		list[i] = json_array_get(rows, i);
	if (list != NULL)
		qsort(list, n, sizeof(*list), compare_rows);
	for (i = 0; list != NULL && i < n; i++)
		(void)json_array_append(out, list[i]);
	free(list);
	return out;
}

/* Sums the rows of a site into one. */
static json_t *
by_site(const json_t *rows)
{
	static const char *const sums[] = {"ready", "waiting", "in_flight", "held"};
	json_t *sites = json_object(), *out = json_array(), *site;
	const json_t *row;
	const char *name;
	size_t i, k;

	json_array_foreach(rows, i, row)
	{
		name = text(row, "site")[0] != '\0' ? text(row, "site") : "(no route yet)";
		if ((site = json_object_get(sites, name)) == NULL) {
			site = json_copy((json_t *)(uintptr_t)row);
			(void)json_object_set_new(site, "domain", json_string(name));
			(void)json_object_set_new(sites, name, site);
			(void)json_array_append(out, site);
			continue;
		}
		for (k = 0; k < sizeof(sums) / sizeof(sums[0]); k++)
			(void)json_object_set_new(
				site, sums[k], json_integer(integer(site, sums[k]) + integer(row, sums[k])));
	}
	json_decref(sites);
	return out;
}

void
mtactl_show_queue(const struct mtactl *m, const json_t *answer, const char *by, int64_t limit)
{
	static const struct column columns[] = {{"DOMAIN", "domain", write_text, false},
		{"READY", "ready", write_number, true}, {"WAITING", "waiting", write_number, true},
		{"FLYING", "in_flight", write_number, true}, {"HELD", "held", write_number, true},
		{"OLDEST", "oldest_us", write_age, true}, {"NEXT", "next_us", write_until, true},
		{"SITE", "site", write_text, false}, {"LAST REPLY", "reply", write_text, false}};
	bool sites = strcmp(by, "site") == 0;
	json_t *grouped = sites ? by_site(rows_of(answer)) : NULL;
	json_t *rows = sorted(grouped != NULL ? grouped : rows_of(answer));
	size_t hidden = 0;

	if (limit > 0)
		while (json_array_size(rows) > (size_t)limit) {
			(void)json_array_remove(rows, json_array_size(rows) - 1);
			hidden++;
		}
	if (json_array_size(rows) == 0)
		puts("the queue is empty");
	else
		TABLE(m, columns, rows, now_of(answer));
	if (hidden > 0)
		printf("%s... and %zu more (--limit 0 shows all)%s\n", dim(m), hidden, plain(m));
	json_decref(rows);
	json_decref(grouped);
}

void
mtactl_show_sites(const struct mtactl *m, const json_t *answer)
{
	static const struct column columns[] = {{"SITE", "site", write_text, false},
		{"DOMAINS", "domains", write_number, true}, {"READY", "ready", write_number, true},
		{"FLYING", "in_flight", write_number, true}, {"SESSIONS", "sessions", write_number, true},
		{"WAITS", "wait_until_us", write_until, true}, {"LAST REPLY", "reply", write_text, false}};

	TABLE(m, columns, rows_of(answer), now_of(answer));
}

void
mtactl_show_list(const struct mtactl *m, const json_t *answer)
{
	static const struct column columns[] = {{"ID", "id", write_text, true}, {"N", "n", write_n, true},
		{"STATE", "state", write_text, false}, {"TRIES", "attempts", write_number, true},
		{"AGE", "arrived_us", write_age, true}, {"NEXT", "due_us", write_until, true},
		{"RECIPIENT", "rcpt", write_text, false}, {"SENDER", "sender", write_text, false},
		{"LAST REPLY", "reply", write_text, false}};

	if (json_array_size(rows_of(answer)) == 0)
		puts("nothing in the queue matches");
	else
		TABLE(m, columns, rows_of(answer), now_of(answer));
}

void
mtactl_show_message(const struct mtactl *m, const json_t *answer)
{
	static const struct column columns[] = {{"N", "n", write_n, true},
		{"RECIPIENT", "rcpt", write_text, false}, {"TRIES", "attempts", write_number, true},
		{"LAST", "last_us", write_age, true}, {"NEXT", "due_us", write_until, true},
		{"HOST", "host", write_text, false}, {"LAST REPLY", "reply", write_text, false}};
	const json_t *s = json_object_get(answer, "summary");
	char age[32], size[32];

	write_age(age, sizeof(age), s, "arrived_us", integer(s, "now_us"));
	write_size(size, sizeof(size), s, "bytes", 0);
	line(m, "message", "%s, %s, accepted %s ago with %lld recipients", text(s, "id"), size, age,
		(long long)integer(s, "recipients_at_accept"));
	line(m, "sender", "<%s>", text(s, "sender"));
	if (text(s, "user")[0] != '\0')
		line(m, "user", "%s", text(s, "user"));
	if (text(s, "job")[0] != '\0')
		line(m, "job", "%s", text(s, "job"));
	if (text(s, "pool")[0] != '\0')
		line(m, "pool", "%s", text(s, "pool"));
	putchar('\n');
	TABLE(m, columns, rows_of(answer), integer(s, "now_us"));
	printf("\n%s", dim(m));
	print_text(text(s, "text"));
	fputs(plain(m), stdout);
}

void
mtactl_show_pauses(const struct mtactl *m, const json_t *answer)
{
	static const struct column columns[] = {{"KIND", "kind", write_text, false},
		{"NAME", "name", write_text, false}, {"LIFTS IN", "until_us", write_until, true},
		{"REASON", "reason", write_text, false}};

	if (json_array_size(rows_of(answer)) == 0)
		puts("nothing is paused");
	else
		TABLE(m, columns, rows_of(answer), now_of(answer));
}

void
mtactl_show_audit(const struct mtactl *m, const json_t *answer)
{
	static const char *const names[] = {
		"accepted", "delivered", "bounced", "expired", "dropped", "queued", "quarantined"};
	const json_t *s = json_object_get(answer, "summary");
	bool ok = json_is_true(json_object_get(s, "balanced"));
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		printf("%s %-12s %12lld\n",
			i == 0   ? " "
			: i == 1 ? "="
				 : "+",
			names[i], (long long)integer(s, names[i]));
	printf("\ncounted on disk %11lld  %s\nin the schedule %11lld  %s\n", (long long)integer(s, "counted"),
		json_is_true(json_object_get(s, "records_counted")) ? "right" : "WRONG",
		(long long)integer(s, "scheduled"), text(s, "schedule"));
	printf("%s%s%s\n", ok ? green(m) : red(m), ok ? "the books balance" : "THE BOOKS DO NOT BALANCE",
		plain(m));
}

void
mtactl_show_dkim(const struct mtactl *m, const json_t *answer)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows_of(answer), i, row)
	{
		bool ok = json_is_true(json_object_get(row, "good"));

		printf("%s%-4s%s %s %s\n", ok ? green(m) : red(m), ok ? "good" : "BAD", plain(m),
			text(row, "record"), text(row, "why"));
	}
}
