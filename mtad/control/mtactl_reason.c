/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table: what the daemon calls a reason, and what a person reads. Where a setting keeps the mail, the
 * line that says so is looked up in the daemon's configuration, if it can be read from here.
 */
#include "control/mtactl_reason.h"

#include "base/domain.h"
#include "conf/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LONG_US INT64_C(60000000) /* rates below are spread evenly */

struct words {
	char *text;
	size_t len, max;
};

static void say(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
say(struct words *w, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(w->text + w->len, w->max - w->len, format, ap);
	va_end(ap);
	w->len += n < 0 ? 0 : (size_t)n;
	if (w->len >= w->max)
		w->len = w->max - 1;
}

static bool
is(const json_t *row, const char *field, const char *word)
{
	return strcmp(mtactl_text(row, field), word) == 0;
}

/* --- limits and times --- */

/* "h", "10m" */
static void
window(char *buf, size_t max, int64_t per_us)
{
	static const struct {
		int64_t us;
		char letter;
	} units[] = {
		{INT64_C(86400000000), 'd'}, {INT64_C(3600000000), 'h'}, {60000000, 'm'}, {1000000, 's'}};
	size_t i = 0;

	while (i < 3 && per_us % units[i].us != 0)
		i++;
	if (per_us == units[i].us)
		snprintf(buf, max, "%c", units[i].letter);
	else
		snprintf(buf, max, "%lld%c", (long long)(per_us / units[i].us), units[i].letter);
}

void
mtactl_limit(char *buf, size_t max, const json_t *row, bool with_unit)
{
	bool is_bytes = is(row, "unit", "bytes"), is_named = with_unit && !is_bytes;
	const char *unit = mtactl_text(row, "unit");
	int unit_len = is_named ? (int)strnlen(unit, 20) - (mtactl_integer(row, "limit") == 1) : 0;
	char number[32], per[32];

	if (is_bytes)
		mtactl_write_size(number, sizeof(number), row, "limit", 0);
	else
		mtactl_count(number, sizeof(number), mtactl_integer(row, "limit"));
	if (mtactl_integer(row, "per_us") == 0) {
		snprintf(buf, max, "%s%s", number, with_unit ? " connections at once" : "");
		return;
	}
	window(per, sizeof(per), mtactl_integer(row, "per_us"));
	snprintf(buf, max, "%s%s%.*s/%s", number, is_named ? " " : "", unit_len, unit, per);
}

void
mtactl_clock(char *buf, size_t max, int64_t at_us, int64_t now_us)
{
	time_t at = (time_t)(at_us / 1000000);
	struct tm tm;

	localtime_r(&at, &tm);
	(void)strftime(buf, max,
		llabs(at_us - now_us) < INT64_C(20) * 3600 * 1000000 ? "%H:%M" : "%Y-%m-%d %H:%M", &tm);
}

void
mtactl_when(char *buf, size_t max, int64_t at_us, int64_t now_us)
{
	char clock[32], span[32];

	if (at_us <= now_us) {
		snprintf(buf, max, "now");
		return;
	}
	mtactl_clock(clock, sizeof(clock), at_us, now_us);
	mtactl_span(span, sizeof(span), at_us - now_us + 999999);
	snprintf(buf, max, "%s (in %s)", clock, span);
}

/* --- in short --- */

/* Whose limit it is, when it is not the lane's: " of site google". */
static void
say_owner(struct words *w, const json_t *row)
{
	const char *level = mtactl_text(row, "level");

	if (strcmp(level, "all") == 0)
		say(w, " of all");
	else if (strcmp(level, "lane") != 0)
		say(w, " of %s", level);
}

/* Of a warm-up: it is that of a sender's domain, not of a source. */
static bool
is_sender(const json_t *row)
{
	return mtactl_text(row, "source")[0] == '@';
}

void
mtactl_reason_short(char *buf, size_t max, const json_t *row)
{
	const char *reason = mtactl_text(row, "reason");
	struct words w = {buf, 0, max};
	char limit[64];

	buf[0] = '\0';
	mtactl_limit(limit, sizeof(limit), row, true);
	if (is(row, "why", "rate") && mtactl_is_true(row, "sandbox")) {
		say(&w, "sandbox of user: %s", limit);
	} else if (is(row, "why", "rate")) {
		say(&w, "limit %s", limit);
		say_owner(&w, row);
	} else if (is(row, "why", "connections")) {
		say(&w, "at %lld connections", (long long)mtactl_integer(row, "limit"));
		say_owner(&w, row);
	} else if (is(row, "why", "paused")) {
		say(&w, "%s paused%s%s", mtactl_text(row, "level"),
			mtactl_is_true(row, "at_site") ? " at " : "",
			mtactl_is_true(row, "at_site") ? mtactl_text(row, "site") : "");
	} else if (is(row, "why", "down")) {
		say(&w, "source down");
	} else if (is(row, "why", "busy")) {
		say(&w, "all connections at work");
	} else if (is(row, "why", "backoff")) {
		say(&w, "backoff");
	} else if (is(row, "why", "stopped")) {
		say(&w, "stopped");
	} else if (is(row, "why", "warmup")) {
		say(&w, "%s%swarms up towards %s", is_sender(row) ? mtactl_text(row, "source") : "",
			is_sender(row) ? " " : "", mtactl_text(row, "name"));
	} else if (is(row, "why", "quiet")) {
		say(&w, "quiet hours");
	} else if (is(row, "why", "total")) {
		say(&w, "connections-total used up");
	} else {
		say(&w, "%s", mtactl_text(row, "why"));
	}
	if (reason[0] != '\0')
		say(&w, ": %s", reason);
	mtactl_clean(buf);
}

/* --- settings --- */

/* A setting in force, and where it stands. */
struct setting {
	const char *name;
	char block[300], at[600];
	bool is_found;
};

static void
on_setting(void *arg, const struct conf_explained *e)
{
	struct setting *s = arg;

	if (strcmp(e->name, s->name) != 0)
		return;
	s->is_found = true;
	snprintf(s->block, sizeof(s->block), "%s", e->block);
	snprintf(s->at, sizeof(s->at), "%s", e->at);
}

static bool
explain(const struct mtactl_about *about, const char *what, const char *of, struct setting *s)
{
	FILE *nowhere = fopen("/dev/null", "w");

	s->is_found = false;
	if (nowhere == NULL)
		return false;
	if (about->configuration[0] != '\0')
		(void)conf_explain(about->configuration, what, of, nowhere, on_setting, s);
	fclose(nowhere);
	return s->is_found;
}

/* Of a site or lane: the domain's block, its provider's, or what holds for all. A provider's site carries its
 * name in front of what sets it apart, and a block that does behind an @ (route/site.h). */
static void
explain_site(const struct mtactl_about *about, const char *site, struct setting *s)
{
	char provider[DOMAIN_MAX], block[DOMAIN_MAX];
	size_t len = strcspn(site, "@/");

	snprintf(provider, sizeof(provider), "%.*s", (int)len, site);
	snprintf(block, sizeof(block), "%.*s", (int)strcspn(site + len + (site[len] == '@'), "/"),
		site[len] == '@' ? site + len + 1 : "");
	if (about->domain[0] != '\0')
		snprintf(block, sizeof(block), "%s", about->domain);
	if (block[0] != '\0' && explain(about, block, NULL, s) && strncmp(s->block, "domain ", 7) == 0 &&
		strcmp(s->block, "domain *") != 0)
		return;
	if (explain(about, "provider", provider, s))
		return;
	(void)explain(about, block[0] != '\0' ? block : "invalid", NULL, s);
}

/* The setting's name at a level; "" where there is none. */
static const char *
setting_name(const json_t *row, char *buf, size_t max)
{
	static const char *const units[][2] = {{"connections", "connect-rate"}, {"messages", "rate"},
		{"recipients", "recipient-rate"}, {"bytes", "byte-rate"}};
	const char *name = "connections";
	size_t i;

	if (is(row, "why", "quiet")) {
		snprintf(buf, max, "quiet-hours");
		return buf;
	}
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (mtactl_integer(row, "per_us") > 0 && is(row, "unit", units[i][0]))
			name = units[i][1];
	snprintf(buf, max, "%s%s%s", is(row, "level", "site") ? "site-" : "", name,
		is(row, "level", "all") ? "-total" : "");
	return buf;
}

/* "`rate` in provider google (providers.conf:12)" */
static void
say_setting(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	const char *level = mtactl_text(row, "level"), *name = mtactl_text(row, "name");
	struct setting s = {.name = ""};
	char setting[40];

	s.name = setting_name(row, setting, sizeof(setting));
	if (strcmp(level, "lane") == 0 || strcmp(level, "site") == 0)
		explain_site(about, mtactl_text(row, "site"), &s);
	else if (strcmp(level, "all") == 0)
		(void)explain(about, NULL, NULL, &s);
	else
		(void)explain(
			about, level, strcmp(level, "stream") == 0 ? mtactl_text(row, "block") : name, &s);
	say(w, "`%s`", s.name);
	if (s.is_found && s.at[0] != '\0')
		say(w, "%s%s (%s)", s.block[0] != '\0' ? " in " : "", s.block, s.at);
	else if (s.is_found)
		say(w, " (a default; of one domain: in a block for it)");
	else if (strcmp(level, "stream") == 0)
		say(w, " in stream %s", mtactl_text(row, "block"));
	else if (name[0] != '\0' && strcmp(level, "lane") != 0 && strcmp(level, "site") != 0)
		say(w, " in %s %s", level, name);
	else
		say(w, " (mtactl explain says where)");
}

/* Whose limit: "the lane ip-a -> google", "pool marketing". */
static void
say_level(struct words *w, const json_t *row)
{
	if (is(row, "level", "lane"))
		say(w, "the lane %s -> %s", mtactl_text(row, "source"), mtactl_text(row, "site"));
	else if (is(row, "level", "all"))
		say(w, "what all mail may do");
	else
		say(w, "%s %s", mtactl_text(row, "level"), mtactl_text(row, "name"));
}

/* Where the limit is not the configuration's: whose, and how it ends. False: it is. */
static bool
say_override(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	const json_t *override = json_object_get(row, "override");
	char text[1000], end[600];

	if (override == NULL)
		return false;
	mtactl_override_words(text, sizeof(text), override, about->now_us);
	mtactl_override_end(end, sizeof(end), override);
	say(w, "It was %s. `%s` ends that.", text, end);
	return true;
}

static void
say_source_hint(struct words *w, const json_t *row)
{
	if ((is(row, "level", "lane") || is(row, "level", "source")) && mtactl_text(row, "pool")[0] != '\0')
		say(w, ", or add a source to pool %s", mtactl_text(row, "pool"));
}

/* What would change a limit. */
static void
say_raise(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	if (say_override(w, row, about))
		return;
	say(w, "Raise ");
	say_setting(w, row, about);
	say_source_hint(w, row);
	say(w, ".");
}

/* --- the sentences --- */

static void
say_going(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	say(w, "Nothing keeps it: it goes as fast as the site takes it.");
}

static void
say_leased(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	say(w, "In a session just now.");
}

static void
say_retry(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	const char *reply = mtactl_text(row, "reply");
	char when[64];

	mtactl_when(when, sizeof(when), mtactl_integer(row, "until_us"), about->now_us);
	reply = reply[0] != '\0' ? reply : mtactl_text(row, "reason");
	say(w, "Deferred; next attempt %s%s%s. `mtactl retry %s` tries now.", when,
		reply[0] != '\0' ? ": " : "", reply, about->filter);
}

static void
say_scheduled(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	char when[64];

	mtactl_when(when, sizeof(when), mtactl_integer(row, "until_us"), about->now_us);
	say(w, "Its message asked to go at %s. `mtactl retry %s` sends it now.", when, about->filter);
}

static void
say_held(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	say(w, "Held by an operator. `mtactl release %s` lets it go.", about->filter);
}

static void
say_paused(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	const char *level = mtactl_text(row, "level"), *reason = mtactl_text(row, "reason");
	const char *name =
		strcmp(level, "source") == 0 ? mtactl_text(row, "source") : mtactl_text(row, "name");
	const char *space = name[0] != '\0' ? " " : "";
	bool at_site = mtactl_is_true(row, "at_site");
	const char *site = at_site ? mtactl_text(row, "site") : "";
	char when[64] = "it is resumed";

	if (mtactl_integer(row, "until_us") != 0)
		mtactl_when(when, sizeof(when), mtactl_integer(row, "until_us"), about->now_us);
	say(w, "%s%s%s is paused%s%s until %s%s%s. `mtactl resume %s%s%s%s%s` ends that.",
		strcmp(level, "all") == 0 ? "Everything" : level, space, name, at_site ? " at " : "", site,
		when, reason[0] != '\0' ? ": " : "", reason, level, space, name, at_site ? " --site " : "",
		site);
}

static void
say_down(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	const char *pool = mtactl_text(row, "pool");
	char since[32], when[64];

	mtactl_clock(since, sizeof(since), mtactl_integer(row, "since_us"), about->now_us);
	mtactl_when(when, sizeof(when), mtactl_integer(row, "until_us"), about->now_us);
	say(w, "No source it could leave by is up: %s is down since %s, %s. It is tried again %s",
		mtactl_text(row, "source"), since, mtactl_text(row, "reason"), when);
	if (pool[0] != '\0')
		say(w, "; another source in pool %s would take its mail", pool);
	say(w, ".");
}

static void
say_route(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	int64_t until_us = mtactl_integer(row, "until_us");
	char when[64];

	if (until_us == 0) {
		say(w, "Its route is being looked up in the DNS.");
		return;
	}
	mtactl_when(when, sizeof(when), until_us, about->now_us);
	say(w, "No route: %s. It is looked up again %s; `mtactl retry %s` does so now.",
		mtactl_text(row, "reason"), when, about->filter);
}

/* "User shop is in its sandbox: 200 recipients/d, used up; more at ..." */
static void
say_sandbox(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	const char *name = mtactl_text(row, "name");
	char limit[64], when[64];

	mtactl_limit(limit, sizeof(limit), row, true);
	mtactl_when(when, sizeof(when), mtactl_integer(row, "until_us"), about->now_us);
	say(w, "User %s is in its sandbox: %s", name, limit);
	if (mtactl_integer(row, "per_us") >= LONG_US)
		say(w, ", used up; more at %s", when);
	say(w, ". `mtactl user lift %s` ends that.", name);
}

static void
say_rate(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	int64_t per_us = mtactl_integer(row, "per_us"), until_us = mtactl_integer(row, "until_us");
	char limit[64], when[64];

	if (mtactl_is_true(row, "sandbox")) {
		say_sandbox(w, row, about);
		return;
	}
	mtactl_limit(limit, sizeof(limit), row, true);
	mtactl_when(when, sizeof(when), until_us, about->now_us);
	say(w, "Limited by ");
	say_level(w, row);
	say(w, ": %s", limit);
	if (per_us >= LONG_US || until_us > about->now_us + LONG_US)
		say(w, ", used up; more at %s", when);
	say(w, ". ");
	say_raise(w, row, about);
}

static void
say_connections(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	bool is_transactions = is(row, "level", "stream") || is(row, "level", "user");
	char number[32];

	say(w, "Limited by ");
	say_level(w, row);
	say(w, ": %s %s at once, all in use. ",
		mtactl_count(number, sizeof(number), mtactl_integer(row, "limit")),
		is_transactions ? "transactions" : "connections");
	say_raise(w, row, about);
}

static void
say_busy(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	char number[32];

	mtactl_count(number, sizeof(number), mtactl_integer(row, "limit"));
	say(w, "All connections of the lane %s -> %s are at work: %s. ", mtactl_text(row, "source"),
		mtactl_text(row, "site"), number);
	say_raise(w, row, about);
}

static void
say_opening(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	char number[32];

	mtactl_count(number, sizeof(number), mtactl_integer(row, "limit"));
	say(w, "Connections to %s are being opened: %s.", mtactl_text(row, "site"), number);
}

static void
say_backoff(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	char when[64];

	mtactl_when(when, sizeof(when), mtactl_integer(row, "until_us"), about->now_us);
	say(w, "Connections from %s to %s failed: %s. The next is tried %s; `mtactl retry %s` does so now.",
		mtactl_text(row, "source"), mtactl_text(row, "site"), mtactl_text(row, "reason"), when,
		about->filter);
}

static void
say_stopped(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	const char *reason = mtactl_text(row, "reason"), *site = mtactl_text(row, "site");
	char when[64];

	mtactl_when(when, sizeof(when), mtactl_integer(row, "until_us"), about->now_us);
	say(w,
		"%s has stopped mail from %s%s%s. It is tried again %s, slowly at first; `mtactl clear %s` "
		"forgets "
		"it now.",
		site, mtactl_text(row, "source"), reason[0] != '\0' ? ": " : "", reason, when, site);
}

static void
say_warmup(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	const char *source = mtactl_text(row, "source"), *group = mtactl_text(row, "name");
	char when[64] = "in a moment";

	if (mtactl_integer(row, "until_us") > about->now_us)
		mtactl_when(when, sizeof(when), mtactl_integer(row, "until_us"), about->now_us);
	say(w,
		"%s warms up towards %s and has had what it may send for now; more %s. `mtactl warmup` shows "
		"its day. %s",
		source, group, when,
		is_sender(row) ? "No other source helps: it is the domain the mail is from that is new."
			       : "Another source in its pool would take the rest.");
}

static void
say_quiet(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	char when[64];

	mtactl_when(when, sizeof(when), mtactl_integer(row, "until_us"), about->now_us);
	say(w, "It is quiet at %s until %s, by ", mtactl_text(row, "site"), when);
	say_setting(w, row, about);
	say(w, ". Urgent mail goes all the same.");
}

static void
say_total(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	char number[32];

	mtactl_count(number, sizeof(number), mtactl_integer(row, "limit"));
	say(w, "Other sites have all connections there may be: %s. ", number);
	say_raise(w, row, about);
}

static void
say_disk(struct words *w, const json_t *row, const struct mtactl_about *about)
{
	say(w, "The count of a limit is being written to disk: in a moment. If it stays so, the disk is "
	       "slow.");
}

void
mtactl_reason_long(char *buf, size_t max, const json_t *row, const struct mtactl_about *about)
{
	static const struct {
		const char *why;
		void (*say)(struct words *w, const json_t *row, const struct mtactl_about *about);
	} sentences[] = {{"going", say_going}, {"leased", say_leased}, {"retry", say_retry},
		{"scheduled", say_scheduled}, {"held", say_held}, {"paused", say_paused}, {"down", say_down},
		{"route", say_route}, {"rate", say_rate}, {"connections", say_connections},
		{"busy", say_busy}, {"opening", say_opening}, {"backoff", say_backoff},
		{"stopped", say_stopped}, {"warmup", say_warmup}, {"quiet", say_quiet}, {"total", say_total},
		{"disk", say_disk}};
	struct words w = {buf, 0, max};
	size_t i;

	buf[0] = '\0';
	for (i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (is(row, "why", sentences[i].why))
			sentences[i].say(&w, row, about);
	mtactl_clean(buf);
}
