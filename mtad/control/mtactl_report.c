/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl report: what the accounting files say of a time, added up by what the operator asks. No daemon is
 * asked; records go one by one into a summary, and are forgotten.
 */
#include "control/mtactl_report.h"

#include "control/mtactl_files.h"

#include "base/clock.h"
#include "conf/conf.h"
#include "conf/conf_value.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { KEY_BYTES = 600, NAMES_MAX = 8, NOTES_MAX = 8 };
#define HOUR_US INT64_C(3600000000)
#define NONE_US INT64_MIN

static const char *const by_names[BY_COUNT] = {
	"all", "job", "stream", "provider", "site", "source", "user", "class", "domain", "day", "hour"};

struct filter {
	enum record_field field;
	const char *value; /* NULL: any */
	size_t len;
};

struct reading {
	struct mtactl *m;
	const struct mtactl_options *o;
	struct mtactl_report report;
	int64_t from_us, to_us; /* NONE_US: from the first, to the last */
	struct filter filters[NAMES_MAX];
	size_t filter_count;
	const char *domain;
	const struct conf *conf; /* for providers alone */
	struct records *records;
	struct mtactl_files files;
	uint64_t unnamed; /* records without what they are grouped by */
	size_t bad_files;
	int64_t hour; /* that hour_key is of */
	char hour_key[24];
};

const char *
mtactl_report_by(size_t i)
{
	return i + 1 < BY_COUNT ? by_names[i + 1] : NULL;
}

/* --- what is asked --- */

/* A day, a time of it, or how long ago. */
static bool
take_time(const char *option, const char *text, int64_t *out_us)
{
	struct conf_why why;
	int64_t ago_us;

	if (text == NULL || record_time(text, strnlen(text, 64), out_us))
		return true;
	if (conf_value_duration(text, &ago_us, &why)) {
		*out_us = clock_now(clock_real()) - ago_us;
		return true;
	}
	fprintf(stderr,
		"mtactl: --%s: write 2026-11-01, \"2026-11-01 14:30\" (UTC), or 12h for so long ago\n",
		option);
	return false;
}

static void
take_filters(struct reading *r)
{
	static const struct {
		const char *option;
		enum record_field field;
	} fields[] = {
		{"job", RECORD_JOB}, {"user", RECORD_USER}, {"site", RECORD_SITE}, {"source", RECORD_SOURCE}};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const char *value = json_string_value(json_object_get(r->o->filter, fields[i].option));

		if (value != NULL)
			r->filters[r->filter_count++] =
				(struct filter){fields[i].field, value, strnlen(value, KEY_BYTES)};
	}
	r->domain = json_string_value(json_object_get(r->o->filter, "domain"));
}

static int
take_question(struct reading *r)
{
	r->from_us = r->to_us = NONE_US;
	if (!take_time("from", r->o->from, &r->from_us) || !take_time("to", r->o->to, &r->to_us))
		return 2;
	if (r->from_us != NONE_US && r->to_us != NONE_US && r->from_us >= r->to_us) {
		fputs("mtactl: --from is not before --to\n", stderr);
		return 2;
	}
	while (r->report.by + 1 < BY_COUNT && strcmp(by_names[r->report.by], r->o->by) != 0)
		r->report.by++;
	r->report.by_name = by_names[r->report.by];
	take_filters(r);
	if (r->report.by == BY_PROVIDER && (r->conf = conf_load(r->m->conf_file, stderr)) == NULL) {
		fprintf(stderr, "mtactl: providers are those of a configuration: name one with -c FILE\n");
		return 2;
	}
	return 0;
}

/* --- records --- */

static bool
is_wanted(const struct reading *r, const struct record *rec)
{
	struct queue_blob domain;

	if ((r->from_us != NONE_US && rec->logged_us < r->from_us) ||
		(r->to_us != NONE_US && rec->logged_us >= r->to_us))
		return false;
	for (size_t i = 0; i < r->filter_count; i++) {
		const struct queue_blob *b = &rec->field[r->filters[i].field];

		if (b->len != r->filters[i].len ||
			(b->len > 0 && memcmp(b->ptr, r->filters[i].value, b->len) != 0))
			return false;
	}
	if (r->domain == NULL)
		return true;
	domain = record_domain(rec);
	return strnlen(r->domain, KEY_BYTES) == domain.len &&
	       strncasecmp(domain.ptr, r->domain, domain.len) == 0;
}

/* Up to a blank: in CSV the address of a host stands behind its name. */
static struct queue_blob
first_word(struct queue_blob b)
{
	const char *blank = b.len > 0 ? memchr(b.ptr, ' ', b.len) : NULL;

	return blank != NULL ? (struct queue_blob){b.ptr, (size_t)(blank - (const char *)b.ptr)} : b;
}

/* A site that is a provider has its name; else its hosts or the domain may be known. */
static struct queue_blob
provider_of(const struct reading *r, const struct record *rec)
{
	const struct queue_blob *site = &rec->field[RECORD_SITE];
	struct queue_blob host = first_word(rec->field[RECORD_HOST]), domain = record_domain(rec);
	const struct conf_provider *p = NULL;

	for (size_t i = 0; site->len > 0 && i < r->conf->provider_count; i++) {
		const char *name = r->conf->providers[i].name;

		if (strnlen(name, KEY_BYTES) == site->len && memcmp(name, site->ptr, site->len) == 0)
			return *site;
	}
	if (domain.len > 0)
		p = conf_provider_of_domain(r->conf, domain.ptr, domain.len);
	if (p == NULL && host.len > 0)
		p = conf_provider_of_mx(r->conf, host.ptr, host.len);
	return p != NULL ? (struct queue_blob){p->name, strnlen(p->name, KEY_BYTES)}
			 : (struct queue_blob){"other", 5};
}

/* Most records are of the hour of the one before. */
static struct queue_blob
time_key(struct reading *r, int64_t us, bool is_day)
{
	time_t seconds = (time_t)(us / HOUR_US * 3600);
	struct tm tm;

	if (r->hour != us / HOUR_US || r->hour_key[0] == '\0') {
		r->hour = us / HOUR_US;
		gmtime_r(&seconds, &tm);
		(void)strftime(r->hour_key, sizeof(r->hour_key), "%Y-%m-%d %H:%M", &tm);
	}
	return (struct queue_blob){r->hour_key, is_day ? 10 : strnlen(r->hour_key, sizeof(r->hour_key))};
}

static struct queue_blob
key_of(struct reading *r, const struct record *rec, char buf[KEY_BYTES])
{
	const struct queue_blob *user = &rec->field[RECORD_USER], *job = &rec->field[RECORD_JOB];
	struct queue_blob b = {"", 0};
	int len;

	switch (r->report.by) {
	case BY_STREAM:
		len = snprintf(buf, KEY_BYTES, "%.*s/%.*s", (int)user->len,
			user->len > 0 ? (const char *)user->ptr : "", (int)job->len,
			job->len > 0 ? (const char *)job->ptr : "");
		return (struct queue_blob){buf, len < KEY_BYTES ? (size_t)len : KEY_BYTES - 1};
	case BY_PROVIDER:
		return provider_of(r, rec);
	case BY_CLASS:
		return summary_class_of(rec);
	case BY_DAY:
	case BY_HOUR:
		return rec->logged_us != 0 ? time_key(r, rec->logged_us, r->report.by == BY_DAY) : b;
	case BY_DOMAIN:
		b = record_domain(rec);
		for (size_t i = 0; i < b.len && i < KEY_BYTES; i++) {
			char c = ((const char *)b.ptr)[i];

			buf[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
		return (struct queue_blob){buf, b.len < KEY_BYTES ? b.len : KEY_BYTES};
	default:
		return rec->field[r->report.by == BY_JOB    ? RECORD_JOB
				  : r->report.by == BY_SITE ? RECORD_SITE
				  : r->report.by == BY_USER ? RECORD_USER
							    : RECORD_SOURCE];
	}
}

/* Only what failed has a class; what is received has no way to go yet. */
static bool
has_key(const struct reading *r, const struct record *rec)
{
	if (r->report.by == BY_CLASS)
		return rec->type == RECORD_BOUNCED || rec->type == RECORD_TRANSIENT ||
		       rec->type == RECORD_REMOTE;
	if (r->report.by == BY_SOURCE || r->report.by == BY_SITE || r->report.by == BY_PROVIDER)
		return rec->type != RECORD_RECEIVED;
	return r->report.by != BY_ALL;
}

static bool
add_record(struct reading *r, const struct record *rec)
{
	char buf[KEY_BYTES];
	struct queue_blob key = {NULL, 0};

	if (!is_wanted(r, rec))
		return true;
	r->report.used++;
	if (has_key(r, rec)) {
		key = key_of(r, rec, buf);
		r->unnamed += key.len == 0;
		if (key.len == 0)
			key.ptr = "";
	}
	return summary_add(r->report.summary, rec, key.ptr, key.len);
}

/* --- what is told besides --- */

static void note(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
note(struct reading *r, const char *format, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	mtactl_clean(text);
	if (json_array_size(r->report.notes) < NOTES_MAX)
		(void)json_array_append_new(r->report.notes, json_string(text));
}

/* Written to last before the time asked for: nothing in it is of that time. */
static bool
is_too_old(const struct reading *r)
{
	const struct stat *st = records_stat(r->records);

	return r->from_us != NONE_US && S_ISREG(st->st_mode) &&
	       (int64_t)st->st_mtim.tv_sec * 1000000 < r->from_us - HOUR_US;
}

/* False: no memory. */
static bool
read_file(struct reading *r, const struct mtactl_file *f)
{
	struct record rec;
	char why[400];
	int got = 0, takes;

	if (!records_open(r->records, f->path, why, sizeof(why))) {
		note(r, "%s", why);
		r->bad_files++;
		return true;
	}
	r->report.file_count++;
	if (is_too_old(r))
		return true;
	while ((got = records_next(r->records, &rec, why, sizeof(why))) > 0) {
		takes = mtactl_files_take(&r->files, f, &rec);
		if (takes < 0 || (takes > 0 && !add_record(r, &rec)))
			return false;
	}
	if (got < 0) {
		note(r, "%s: the rest cannot be read: %s", f->path, why);
		r->bad_files++;
	}
	return true;
}

/* Types of which no file has all mail. */
static void
note_partial(struct reading *r)
{
	char text[64] = "";
	size_t len = 0;

	for (int n = 0; n < RECORD_TYPE_COUNT; n++)
		if ((r->files.partial_set >> n & 1) != 0)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? ", " : "",
				conf_record_letters((enum conf_record)n));
	if (len > 0)
		note(r,
			"of %s only some records are known: the accounting blocks that have them have a "
			"choice of mail",
			text);
}

static void
take_notes(struct reading *r)
{
	struct records_stats stats;
	char number[32];

	note_partial(r);
	records_stats(r->records, &stats);
	if (stats.foreign > 0)
		note(r, "%s lines are no records",
			mtactl_count(number, sizeof(number), (int64_t)stats.foreign));
	if (r->unnamed > 0 && r->unnamed == r->report.used)
		note(r, "these records have no %s%s", r->report.by_name,
			r->report.by == BY_SITE ? ": lines of JSON (accounting-json) do; or --by domain"
						: "");
	if (r->report.summary->rest.counts[RECORD_RECEIVED] +
			r->report.summary->rest.counts[RECORD_DELIVERED] +
			r->report.summary->rest.counts[RECORD_BOUNCED] +
			r->report.summary->rest.counts[RECORD_TRANSIENT] >
		0)
		note(r, "more than %d lines: what came first has one, the rest is in \"(further)\"",
			SUMMARY_GROUPS_MAX);
}

/* --- all of it --- */

static int
run(struct reading *r)
{
	bool ok = true;
	int code;

	if ((code = take_question(r)) != 0)
		return code;
	if (!mtactl_files_open(r->m, r->o->words, r->o->word_count, &r->files))
		return 1;
	for (size_t i = 0; ok && i < r->files.count; i++)
		ok = read_file(r, &r->files.items[i]);
	if (!ok) {
		fputs("mtactl: out of memory\n", stderr);
		return 1;
	}
	take_notes(r);
	code = mtactl_report_show(r->m, r->o, &r->report);
	return r->bad_files > 0 ? 1 : code;
}

int
mtactl_report(struct mtactl *m, const struct mtactl_options *o)
{
	struct reading r = {.m = m, .o = o, .records = records_create()};
	int code = 1;

	r.report.records = r.records;
	r.report.summary = summary_create();
	r.report.notes = json_array();
	if (r.records != NULL && r.report.summary != NULL && r.report.notes != NULL)
		code = run(&r);
	else
		fputs("mtactl: out of memory\n", stderr);
	if (r.conf != NULL)
		conf_unref(r.conf);
	mtactl_files_close(&r.files);
	json_decref(r.report.notes);
	summary_destroy(&r.report.summary);
	records_destroy(&r.records);
	return code;
}
