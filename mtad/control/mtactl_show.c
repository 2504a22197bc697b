/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each answer looks like to people: numbers in thousands, sizes and times in the unit that fits.
 */
#include "control/mtactl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What others wrote, line by line: nothing of it may command the terminal. */
static void
print_text(const char *s)
{
	size_t len;

	for (; *s != '\0'; s += len > 0 ? len : 1) {
		len = *s == '\n' || *s == '\t' ? 0 : mtactl_control_len(s);
		if (*s != '\r')
			putchar(len == 0 ? *s : '?');
	}
}

static void
write_sender(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_write_text(buf, max, row, field, now_us);
	if (buf[0] == '\0')
		snprintf(buf, max, "<>");
}

/* The number of a recipient: 0 is one like the others. */
static void
write_n(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	snprintf(buf, max, "%lld", (long long)mtactl_integer(row, field));
}

/* --- status --- */

static void line(const struct mtactl *m, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void
line(const struct mtactl *m, const char *name, const char *format, ...)
{
	va_list ap;

	printf("%s%-12s%s", mtactl_bold(m), name, mtactl_plain(m));
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

/* "12 ready, 3 waiting": the members of these names that are not nought; the first always. */
struct part {
	const char *field, *words;
};

static void
parts(const struct mtactl *m, const char *name, const json_t *o, const struct part *list, size_t count)
{
	char text_[400] = "", number[32];
	size_t at = 0, i;

	for (i = 0; i < count && at < sizeof(text_); i++)
		if (i == 0 || mtactl_integer(o, list[i].field) != 0)
			at += (size_t)snprintf(text_ + at, sizeof(text_) - at, "%s%s %s", i > 0 ? ", " : "",
				mtactl_count(number, sizeof(number), mtactl_integer(o, list[i].field)),
				list[i].words);
	line(m, name, "%s", text_);
}

#define PARTS(m, name, o, list) parts(m, name, o, list, sizeof(list) / sizeof(list[0]))

static void
status_room(const struct mtactl *m, const json_t *s, const json_t *spool)
{
	char used[32], disk[32], memory[32], memory_max[32], schedule[32], events[32], dead[32];
	const json_t *webhooks = json_object_get(s, "webhooks");

	mtactl_write_size(used, sizeof(used), spool, "used_bytes", 0);
	mtactl_write_size(disk, sizeof(disk), spool, "disk_free_bytes", 0);
	mtactl_write_size(memory, sizeof(memory), s, "memory_bytes", 0);
	mtactl_write_size(memory_max, sizeof(memory_max), s, "memory_max_bytes", 0);
	mtactl_write_size(schedule, sizeof(schedule), s, "schedule_bytes", 0);
	line(m, "spool", "%s used, %s free on its disk%s%s%s%s", used, disk, mtactl_red(m),
		mtactl_is_true(spool, "failed") ? "  FAILED: clients get 4xx until it is verified" : "",
		mtactl_is_true(spool, "full") ? "  FULL: clients get 452" : "", mtactl_plain(m));
	line(m, "memory", "%s of %s for messages, %s for the schedule", memory, memory_max, schedule);
	line(m, "accounting", "%s%s%s, %s events not yet in the files",
		mtactl_is_true(s, "accounting_failed") ? mtactl_red(m) : "",
		mtactl_is_true(s, "accounting_failed") ? "FAILED" : "fine", mtactl_plain(m),
		mtactl_count(events, sizeof(events), mtactl_integer(spool, "unreported")));
	if (mtactl_integer(webhooks, "all") > 0)
		line(m, "webhooks", "%s%lld of %lld failing%s, %s events sent, %s dead (mtactl webhooks)",
			mtactl_integer(webhooks, "failing") > 0 ? mtactl_red(m) : "",
			(long long)mtactl_integer(webhooks, "failing"),
			(long long)mtactl_integer(webhooks, "all"), mtactl_plain(m),
			mtactl_count(events, sizeof(events), mtactl_integer(webhooks, "sent")),
			mtactl_count(dead, sizeof(dead), mtactl_integer(webhooks, "dead")));
}

/* Once there were any. */
static void
status_reports(const struct mtactl *m, const json_t *reports)
{
	static const struct part kinds[] = {{"bounce", "bounces"}, {"complaint", "complaints"},
		{"unsubscribe", "unsubscriptions"}, {"delay", "delays"}, {"delivered", "delivered"},
		{"auto-reply", "auto-replies"}, {"challenge", "challenges"},
		{"address-changed", "changed addresses"}, {"not-spam", "not spam"},
		{"auth-failure", "authentication failures"}, {"unread", "kept unread"}};
	int64_t all = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		all += mtactl_integer(reports, kinds[i].field);
	if (all > 0)
		PARTS(m, "reports", reports, kinds);
	if (mtactl_integer(reports, "unread") > 0)
		line(m, "unread", "mtactl feedback read %s", mtactl_text(reports, "unread_folder"));
}

static void
status_dns(const struct mtactl *m, const json_t *dns)
{
	char asked[32], hits[32], cached[32], under_way[32], failed[32];
	int64_t failures = mtactl_integer(dns, "timeouts") + mtactl_integer(dns, "servfails");

	line(m, "dns", "%s asked, %s failed, %s under way; %s answers cached, used %s times",
		mtactl_count(asked, sizeof(asked), mtactl_integer(dns, "asked")),
		mtactl_count(failed, sizeof(failed), failures),
		mtactl_count(under_way, sizeof(under_way), mtactl_integer(dns, "under_way")),
		mtactl_count(cached, sizeof(cached), mtactl_integer(dns, "cached")),
		mtactl_count(hits, sizeof(hits), mtactl_integer(dns, "cache_hits")));
}

/* Nothing when all is well. */
static void
status_sources(const struct mtactl *m, const json_t *sources)
{
	int64_t down = mtactl_integer(sources, "down"), degraded = mtactl_integer(sources, "degraded");
	char number[32];

	if (down + degraded == 0)
		return;
	line(m, "sources", "%s%lld of %s down%s, %lld degraded (mtactl sources)",
		down > 0 ? mtactl_red(m) : "", (long long)down,
		mtactl_count(number, sizeof(number), mtactl_integer(sources, "all")), mtactl_plain(m),
		(long long)degraded);
}

/* Whose mail is held for its bounces or complaints. */
static void
status_stopped(const struct mtactl *m, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *kind = mtactl_text(row, "kind"), *name = mtactl_text(row, "name");

		line(m, i == 0 ? "stopped" : "", "%s%s %s%s by its %s%s; `mtactl resume %s %s` lets it go on",
			mtactl_red(m), kind, name,
			strncmp(name, "//", 2) == 0 ? " (mail without user and job)" : "",
			mtactl_text(row, "reason"), mtactl_plain(m), kind, name);
	}
}

/* Rules that do not do what they say. */
static void
status_rules(const struct mtactl *m, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		line(m, i == 0 ? "rules" : "",
			"%s%s (%s) gave up %lld times: its expression takes too many steps%s", mtactl_red(m),
			mtactl_text(row, "rule"), mtactl_text(row, "at"),
			(long long)mtactl_integer(row, "count"), mtactl_plain(m));
	}
}

static void
show_status(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct part queued[] = {{"recipients", "recipients"}, {"messages", "messages"},
		{"ready", "ready"}, {"waiting", "waiting"}, {"leased", "leased"}, {"held", "held"}};
	static const struct part ever[] = {{"accepted", "accepted"}, {"delivered", "delivered"},
		{"bounced", "bounced"}, {"expired", "expired"}, {"dropped", "dropped"}};
	static const struct part rates[] = {{"accepted", "accepted"}, {"delivered", "delivered"},
		{"deferred", "deferred"}, {"bounced", "bounced"}, {"expired", "expired"},
		{"dropped", "dropped"}};
	const json_t *s = json_object_get(answer, "summary"), *spool = json_object_get(s, "spool");
	const json_t *sessions = json_object_get(s, "sessions"), *rate = json_object_get(s, "rates");
	char up[32], sites[32], domains[32];

	mtactl_span(up, sizeof(up), mtactl_integer(s, "uptime_s") * 1000000);
	line(m, "mtad", "%s on %s, pid %lld, up %s%s%s%s%s", mtactl_text(s, "version"),
		mtactl_text(s, "hostname"), (long long)mtactl_integer(s, "pid"), up, mtactl_bold(m),
		mtactl_is_true(s, "recovering") ? ", still reading the spool" : "",
		mtactl_is_true(s, "stopping") ? ", stopping" : "", mtactl_plain(m));
	PARTS(m, "queued", s, queued);
	if (rate != NULL)
		PARTS(m, "a second", rate, rates);
	PARTS(m, "since ever", spool, ever);
	line(m, "sessions", "%lld submitting, %lld delivering; %s sites, %s domains",
		(long long)mtactl_integer(sessions, "submitting"),
		(long long)mtactl_integer(sessions, "delivering"),
		mtactl_count(sites, sizeof(sites), mtactl_integer(s, "sites")),
		mtactl_count(domains, sizeof(domains), mtactl_integer(s, "domains")));
	status_dns(m, json_object_get(s, "dns"));
	status_room(m, s, spool);
	status_reports(m, json_object_get(s, "reports"));
	status_sources(m, json_object_get(s, "sources"));
	if (mtactl_integer(s, "pauses") > 0)
		line(m, "pauses", "%lld (mtactl pauses)", (long long)mtactl_integer(s, "pauses"));
	if (mtactl_integer(s, "overrides") > 0)
		line(m, "overrides", "%lld (mtactl set)", (long long)mtactl_integer(s, "overrides"));
	status_stopped(m, json_object_get(s, "stopped_by_guards"));
	status_rules(m, json_object_get(s, "rules_gave_up"));
	if (mtactl_integer(spool, "quarantined") > 0)
		line(m, "quarantine", "%s%lld damaged recipients set aside%s", mtactl_red(m),
			(long long)mtactl_integer(spool, "quarantined"), mtactl_plain(m));
}

/* --- queue and sites --- */

/* What is waited for most, then what is nearest to its end; else what has most mail. */
static int64_t
weight_of(const json_t *row)
{
	int64_t limit = mtactl_integer(row, "limit"), used = limit - mtactl_integer(row, "left");

	if (json_object_get(row, "waiters") != NULL)
		return mtactl_integer(row, "waiters") * 1001 +
		       (limit > 0 ? (int64_t)((double)used / (double)limit * 1000) : 0);
	return json_object_get(row, "recipients") != NULL
		       ? mtactl_integer(row, "recipients")
		       : mtactl_integer(row, "ready") + mtactl_integer(row, "sessions");
}

static int
compare_names(const json_t *a, const json_t *b)
{
	static const char *const fields[] = {
		"domain", "level", "name", "site", "source", "user", "job", "class", "unit"};
	int order = 0;
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]) && order == 0; i++)
		order = strcmp(mtactl_text(a, fields[i]), mtactl_text(b, fields[i]));
	return order;
}

static int
compare_rows(const void *a, const void *b)
{
	const json_t *const *first = a, *const *second = b;
	int64_t x = weight_of(*first), y = weight_of(*second);

	return x < y ? 1 : x > y ? -1 : compare_names(*first, *second);
}

void
mtactl_sort_rows(const struct mtactl_options *o, json_t *answer)
{
	json_t *rows = json_object_get(answer, "rows"), **list, *out = json_array();
	size_t n = json_array_size(rows), i, max = n;

	if (o->limit > 0 && (size_t)o->limit < n)
		max = (size_t)o->limit;
	if ((list = calloc(n + 1, sizeof(json_t *))) != NULL) {
		for (i = 0; i < n; i++)
			list[i] = json_array_get(rows, i);
		qsort(list, n, sizeof(json_t *), compare_rows);
		for (i = 0; i < n && i < max; i++)
			(void)json_array_append(out, list[i]);
		(void)json_object_set(answer, "rows", out);
	}
	free(list);
	json_decref(out);
}

/* The earlier of two times, of which 0 is none. */
static void
set_earlier(json_t *to, const json_t *from, const char *field)
{
	int64_t now = mtactl_integer(to, field), other = mtactl_integer(from, field);

	if (now == 0 || (other != 0 && other < now))
		(void)json_object_set_new(to, field, json_integer(other));
}

static void
set_sum(json_t *to, const json_t *from, const char *field)
{
	(void)json_object_set_new(
		to, field, json_integer(mtactl_integer(to, field) + mtactl_integer(from, field)));
}

void
mtactl_row_by_site(json_t *answer, json_t *row)
{
	static const char *const sums[] = {
		"recipients", "ready", "waiting", "leased", "held", "paused", "unrouted", "quota", "domains"};
	json_t *sites, *site;
	const char *name;
	size_t i;

	if ((sites = json_object_get(answer, "sites")) == NULL) {
		sites = json_object();
		(void)json_object_set_new(answer, "sites", sites);
	}
	(void)json_object_del(row, "domain");
	if (mtactl_text(row, "site")[0] == '\0')
		(void)json_object_set_new(row, "site", json_string("(no route yet)"));
	name = mtactl_text(row, "site");
	(void)json_object_set_new(row, "domains", json_integer(1));
	if ((site = json_object_get(sites, name)) == NULL) {
		(void)json_object_set(sites, name, row);
		(void)json_array_append(json_object_get(answer, "rows"), row);
		return;
	}
	/* The words of the domain that holds up most. */
	if (mtactl_integer(row, "recipients") > mtactl_integer(site, "most") &&
		mtactl_text(row, "reply")[0] != '\0') {
		(void)json_object_set_new(site, "most", json_integer(mtactl_integer(row, "recipients")));
		(void)json_object_set(site, "reply", json_object_get(row, "reply"));
		(void)json_object_set(site, "code", json_object_get(row, "code"));
	}
	for (i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		set_sum(site, row, sums[i]);
	set_earlier(site, row, "next_us");
	set_earlier(site, row, "oldest_us");
}

/* The sums of all, also of what is not shown, as the last row: "17 domains", or "all" when `what` is NULL. */
static json_t *
with_sum(const json_t *answer, const char *field, const char *what)
{
	json_t *rows = json_copy((json_t *)(uintptr_t)mtactl_rows(answer));
	json_t *sum = json_copy(json_object_get(answer, "summary"));
	char number[32], words[64];

	if (json_array_size(rows) > 1 || (what != NULL && mtactl_integer(sum, what) > 1)) {
		snprintf(words, sizeof(words), "%s %s",
			what != NULL ? mtactl_count(number, sizeof(number), mtactl_integer(sum, what))
				     : "all",
			what != NULL ? what : "");
		(void)json_object_set_new(sum, field, json_string(words));
		(void)json_object_set_new(sum, "is_sum", json_true());
		(void)json_array_append(rows, sum);
	}
	json_decref(sum);
	return rows;
}

/* What the site said last; of mail that has only to wait for a quota, that. */
static void
write_queue_reply(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_write_text(buf, max, row, field, now_us);
	if (buf[0] == '\0' && mtactl_integer(row, "quota") > 0)
		snprintf(buf, max, "(quota)");
}

#define COUNTS                                                                                               \
	{"READY", "ready", mtactl_write_number, true, 0, false},                                             \
		{"WAITING", "waiting", mtactl_write_number, true, 0, false},                                 \
		{"LEASED", "leased", mtactl_write_number, true, 0, false},                                   \
		{"HELD", "held", mtactl_write_number, true, 0, false},                                       \
		{"OLDEST", "oldest_us", mtactl_write_age, true, 0, false},                                   \
	{                                                                                                    \
		"NEXT", "next_us", mtactl_write_until, true, 0, false                                        \
	}

static const struct mtactl_column domain_columns[] = {
	{"DOMAIN", "domain", mtactl_write_text, false, 16, false}, COUNTS,
	{"SITE", "site", mtactl_write_text, false, 12, true},
	{"LAST REPLY", "reply", write_queue_reply, false, 20, false}};
static const struct mtactl_column site_columns[] = {{"SITE", "site", mtactl_write_text, false, 16, false},
	{"DOMAINS", "domains", mtactl_write_number, true, 0, true}, COUNTS,
	{"LAST REPLY", "reply", write_queue_reply, false, 20, false}};
static const struct mtactl_column state_columns[] = {{"STATE", "state", mtactl_write_text, false, 0, false},
	{"RECIPIENTS", "recipients", mtactl_write_number, true, 0, false},
	{"DOMAINS", "domains", mtactl_write_number, true, 0, false}};

static void
show_queue(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	const json_t *s = json_object_get(answer, "summary");
	bool by_site = strcmp(o->by, "site") == 0, by_state = strcmp(o->by, "state") == 0;
	json_t *rows;

	if (mtactl_integer(s, "recipients") == 0) {
		puts("the queue is empty");
		return;
	}
	if (by_state) {
		rows = with_sum(answer, "state", NULL);
		MTACTL_TABLE(m, state_columns, rows, mtactl_now(answer));
		json_decref(rows);
		return;
	}
	rows = with_sum(answer, by_site ? "site" : "domain", by_site ? "sites" : "domains");
	if (by_site)
		MTACTL_TABLE(m, site_columns, rows, mtactl_now(answer));
	else
		MTACTL_TABLE(m, domain_columns, rows, mtactl_now(answer));
	json_decref(rows);
	mtactl_show_more(m, mtactl_integer(s, by_site ? "sites" : "domains"),
		(int64_t)json_array_size(mtactl_rows(answer)));
}

static void
write_site_reply(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	if (mtactl_is_true(row, "is_paused"))
		snprintf(buf, max, "(paused)");
	else if (mtactl_is_true(row, "starved"))
		snprintf(buf, max, "(waits for connections-total)");
	else
		mtactl_write_text(buf, max, row, field, now_us);
}

/* "not set", and what comes from no file. */
static void
write_value(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_write_text(buf, max, row, field, now_us);
	if (buf[0] == '\0')
		snprintf(buf, max, "(not set)");
}

static void
show_explain(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {
		{"SETTING", "setting", mtactl_write_text, false, 0, false},
		{"VALUE", "value", write_value, false, 20, false},
		{"FROM", "block", mtactl_write_text, false, 12, false},
		{"AT", "at", mtactl_write_text, false, 0, false}};

	MTACTL_TABLE(m, columns, mtactl_rows(answer), 0);
}

/* Members of a list, or what stands for none. */
static void
write_names(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const json_t *names = json_object_get(row, field), *name;
	size_t i, len = 0;

	snprintf(buf, max, "every site");
	json_array_foreach(names, i, name)
	{
		if (len < max)
			len += (size_t)snprintf(
				buf + len, max - len, "%s%s", i > 0 ? ", " : "", json_string_value(name));
	}
}

/* When a rule holds: its codes, then its expressions. */
static void
write_when(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	static const char *const fields[] = {"phase", "code", "enhanced", "text"};
	const json_t *word;
	size_t i, k, len = 0;

	buf[0] = '\0';
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		json_array_foreach(json_object_get(row, fields[i]), k, word)
		{
			if (len < max)
				len += (size_t)snprintf(buf + len, max - len, i < 3 ? "%s%s" : "%s'%s'",
					len > 0 ? " " : "", json_string_value(word));
		}
}

/* What becomes of the recipient whose reply it was. */
static void
show_recipient(const json_t *summary)
{
	const char *treat = mtactl_text(summary, "treat");
	int64_t retry_us = mtactl_integer(summary, "retry_us");
	char wait[24];

	fputs("the recipient: ", stdout);
	if (treat[0] != '\0')
		printf("taken as %s; ", treat);
	mtactl_span(wait, sizeof(wait), retry_us);
	if (strcmp(treat, "permanent") == 0)
		puts("it bounces");
	else
		printf("next attempt %s%s%s\n", retry_us > 0 ? "in " : "as scheduled",
			retry_us > 0 ? wait : "",
			json_is_true(json_object_get(summary, "next_source")) ? ", from another source" : "");
}

static void
show_rules(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column tested[] = {{"RULE", "rule", mtactl_write_text, false, 0, false},
		{"OF", "providers", write_names, false, 10, true},
		{"DOES", "does", mtactl_write_text, false, 30, false},
		{"NOTE", "note", mtactl_write_text, false, 20, true},
		{"AT", "at", mtactl_write_text, false, 0, false}};
	static const struct mtactl_column listed[] = {{"RULE", "rule", mtactl_write_text, false, 0, false},
		{"OF", "providers", write_names, false, 10, false},
		{"WHEN", "text", write_when, false, 20, false},
		{"DOES", "does", mtactl_write_text, false, 20, false},
		{"AT", "at", mtactl_write_text, false, 0, true}};
	const json_t *summary = json_object_get(answer, "summary");

	if (json_array_size(mtactl_rows(answer)) == 0)
		puts(summary != NULL ? "no rule holds for this reply" : "there are no rules");
	else if (summary != NULL) {
		MTACTL_TABLE(m, tested, mtactl_rows(answer), 0);
		show_recipient(summary);
	} else {
		MTACTL_TABLE(m, listed, mtactl_rows(answer), 0);
	}
}

static void
show_sites(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {{"SITE", "site", mtactl_write_text, false, 16, false},
		{"DOMAINS", "domains", mtactl_write_number, true, 0, false},
		{"READY", "ready", mtactl_write_number, true, 0, false},
		{"SESSIONS", "sessions", mtactl_write_number, true, 0, false},
		{"RATE/H", "delivered_per_hour", mtactl_write_number, true, 0, true},
		{"WAITS", "wait_until_us", mtactl_write_until, true, 0, false},
		{"LAST REPLY", "reply", write_site_reply, false, 20, false}};

	if (json_array_size(mtactl_rows(answer)) == 0) {
		puts("no mail goes anywhere, and none has gone for a while");
		return;
	}
	MTACTL_TABLE(m, columns, mtactl_rows(answer), mtactl_now(answer));
	mtactl_show_more(m, mtactl_integer(json_object_get(answer, "summary"), "sites"),
		(int64_t)json_array_size(mtactl_rows(answer)));
}

/* --- messages --- */

static void
show_list(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {{"ID", "id", mtactl_write_text, true, 0, false},
		{"N", "n", write_n, true, 0, false}, {"STATE", "state", mtactl_write_text, false, 0, false},
		{"TRIES", "attempts", mtactl_write_number, true, 0, false},
		{"AGE", "arrived_us", mtactl_write_age, true, 0, false},
		{"NEXT", "due_us", mtactl_write_until, true, 0, false},
		{"SIZE", "bytes", mtactl_write_size, true, 0, true},
		{"RECIPIENT", "rcpt", mtactl_write_text, false, 16, false},
		{"SENDER", "sender", write_sender, false, 16, true},
		{"LAST REPLY", "reply", mtactl_write_text, false, 20, false}};
	const json_t *s = json_object_get(answer, "summary");
	char shown[32], all[32];

	if (json_array_size(mtactl_rows(answer)) == 0) {
		puts("nothing in the queue matches");
		return;
	}
	MTACTL_TABLE(m, columns, mtactl_rows(answer), mtactl_now(answer));
	if (!mtactl_is_true(s, "cut"))
		return;
	mtactl_count(shown, sizeof(shown), (int64_t)json_array_size(mtactl_rows(answer)));
	if (json_object_get(s, "matching") != NULL)
		printf("%s%s of %s shown (--limit shows up to 100,000)%s\n", mtactl_dim(m), shown,
			mtactl_count(all, sizeof(all), mtactl_integer(s, "matching")), mtactl_plain(m));
	else
		printf("%sthe first %s found; there are more (--limit shows up to 100,000)%s\n",
			mtactl_dim(m), shown, mtactl_plain(m));
}

static void
show_message(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {{"N", "n", write_n, true, 0, false},
		{"RECIPIENT", "rcpt", mtactl_write_text, false, 16, false},
		{"STATE", "state", mtactl_write_text, false, 0, false},
		{"TRIES", "attempts", mtactl_write_number, true, 0, false},
		{"LAST", "last_us", mtactl_write_age, true, 0, false},
		{"NEXT", "due_us", mtactl_write_until, true, 0, false},
		{"HOST", "host", mtactl_write_text, false, 12, true},
		{"MEANS", "class", mtactl_write_text, false, 0, true},
		{"LAST REPLY", "reply", mtactl_write_text, false, 20, false}};
	const json_t *s = json_object_get(answer, "summary");
	char age[32], size[32];

	mtactl_write_age(age, sizeof(age), s, "arrived_us", mtactl_integer(s, "now_us"));
	mtactl_write_size(size, sizeof(size), s, "bytes", 0);
	line(m, "message", "%s, %s, accepted %s ago with %lld recipients", mtactl_text(s, "id"), size, age,
		(long long)mtactl_integer(s, "recipients_at_accept"));
	line(m, "sender", "<%s>", mtactl_text(s, "sender"));
	if (mtactl_text(s, "user")[0] != '\0')
		line(m, "user", "%s", mtactl_text(s, "user"));
	if (mtactl_text(s, "job")[0] != '\0')
		line(m, "job", "%s", mtactl_text(s, "job"));
	if (mtactl_text(s, "pool")[0] != '\0')
		line(m, "pool", "%s", mtactl_text(s, "pool"));
	line(m, "class", "%s", mtactl_text(s, "class"));
	if (mtactl_integer(s, "release_us") > mtactl_integer(s, "now_us")) {
		mtactl_write_until(age, sizeof(age), s, "release_us", mtactl_integer(s, "now_us"));
		line(m, "scheduled", "goes in %s", age);
	}
	putchar('\n');
	MTACTL_TABLE(m, columns, mtactl_rows(answer), mtactl_integer(s, "now_us"));
	printf("\n%s", mtactl_dim(m));
	print_text(mtactl_text(s, "text"));
	fputs(mtactl_plain(m), stdout);
}

static void
show_pauses(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {{"KIND", "kind", mtactl_write_text, false, 0, false},
		{"NAME", "name", mtactl_write_text, false, 16, false},
		{"SITE", "site", mtactl_write_text, false, 8, false},
		{"LIFTS IN", "until_us", mtactl_write_until, true, 0, false},
		{"REASON", "reason", mtactl_write_text, false, 20, false}};

	if (json_array_size(mtactl_rows(answer)) == 0)
		puts("nothing is paused");
	else
		MTACTL_TABLE(m, columns, mtactl_rows(answer), mtactl_now(answer));
}

static void
show_audit(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const char *const names[] = {
		"accepted", "delivered", "bounced", "expired", "dropped", "queued", "quarantined"};
	const json_t *s = json_object_get(answer, "summary");
	bool ok = mtactl_is_true(s, "balanced");
	char number[32];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		printf("%s %-16s %14s\n",
			i == 0   ? " "
			: i == 1 ? "="
				 : "+",
			names[i], mtactl_count(number, sizeof(number), mtactl_integer(s, names[i])));
	printf("\n  %-16s %14s  %s\n", "counted on disk",
		mtactl_count(number, sizeof(number), mtactl_integer(s, "counted")),
		mtactl_is_true(s, "records_counted") ? "right" : "WRONG");
	printf("  %-16s %14s  %s%s\n", "in the schedule",
		mtactl_count(number, sizeof(number), mtactl_integer(s, "scheduled")),
		mtactl_text(s, "schedule"),
		mtactl_integer(s, "scheduled") != mtactl_integer(s, "queued") ? ", a moment later" : "");
	printf("%s%s%s\n", ok ? mtactl_green(m) : mtactl_red(m),
		ok ? "the books balance" : "THE BOOKS DO NOT BALANCE", mtactl_plain(m));
}

static void
show_dkim(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	const json_t *row;
	size_t i;

	json_array_foreach(mtactl_rows(answer), i, row)
	{
		bool ok = json_is_true(json_object_get(row, "good"));

		printf("%s%-4s%s %s %s\n", ok ? mtactl_green(m) : mtactl_red(m), ok ? "good" : "BAD",
			mtactl_plain(m), mtactl_text(row, "record"), mtactl_text(row, "why"));
	}
}

static void
show_cleared(const json_t *summary)
{
	int64_t count = mtactl_integer(summary, "count");
	char number[32];

	if (count == 0)
		puts("nothing to forget: no lane there is slowed or stopped");
	else
		printf("%s lane%s made new\n", mtactl_count(number, sizeof(number), count),
			count == 1 ? "" : "s");
}

/* Of the commands that only do something. */
static void
show_done(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const char *const words[][2] = {
		{"pause", "paused"}, {"resume", "resumed"}, {"rotate", "new accounting files begun"}};
	const json_t *s = json_object_get(answer, "summary");
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(o->command, words[i][0]) == 0)
			puts(words[i][1]);
	if (strcmp(o->command, "clear") == 0)
		show_cleared(s);
	if (strcmp(o->command, "reload") != 0)
		return;
	print_text(mtactl_text(s, "text"));
	if (mtactl_is_true(s, "reloaded"))
		puts(mtactl_text(s, "text")[0] != '\0' ? "reloaded" : "reloaded; nothing was different");
}

void
mtactl_show(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct {
		const char *command;
		void (*show)(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);
	} table[] = {{"status", show_status}, {"queue", show_queue}, {"sites", show_sites},
		{"why", mtactl_show_why}, {"lanes", mtactl_show_lanes}, {"sources", mtactl_show_sources},
		{"streams", mtactl_show_streams}, {"limits", mtactl_show_limits}, {"list", show_list},
		{"show", show_message}, {"pauses", show_pauses}, {"webhooks", mtactl_show_webhooks},
		{"overrides", mtactl_show_overrides}, {"set", mtactl_show_set}, {"unset", mtactl_show_set},
		{"audit", show_audit}, {"dkim", show_dkim}, {"explain", show_explain}, {"rules", show_rules}};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].command, o->command) == 0) {
			table[i].show(m, o, answer);
			return;
		}
	show_done(m, o, answer);
}
