/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files come from elsewhere: every byte sequence is an entry, nothing, or a bad line with words that say why.
 */
#include "feedback/suppress_csv.h"

#include "smtp_date.h"

#include <string.h>
#include <strings.h>

enum { ADDRESS, SCOPE, REASON, ADDED, EXPIRES, NOTE, TIME_MAX = 40, SHOWN = 40 };

static const char *const names[SUPPRESS_CSV_COLUMNS] = {
	"address", "scope", "reason", "added", "expires", "note"};

/* Takes the fields of a line apart, in place. -1: quotes that do not end, or too many. */
static int
split(char *line, char *fields[SUPPRESS_CSV_FIELDS])
{
	int count = 0;
	char *from = line, *to;

	for (;;) {
		bool is_quoted = *from == '"';

		if (count == SUPPRESS_CSV_FIELDS)
			return -1;
		fields[count++] = to = from;
		from += is_quoted;
		while (*from != '\0' && (is_quoted || *from != ',')) {
			if (is_quoted && *from == '"' && from[1] != '"') {
				is_quoted = false;
				from++;
				continue;
			}
			from += is_quoted && *from == '"';
			*to++ = *from++;
		}
		if (is_quoted)
			return -1;
		if (*from == '\0') {
			*to = '\0';
			return count;
		}
		from++;
		*to = '\0';
	}
}

/* Without blanks around. */
static char *
trim(char *s)
{
	size_t len;

	s += strspn(s, " \t");
	len = strnlen(s, SUPPRESS_CSV_LINE_MAX);
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		s[--len] = '\0';
	return s;
}

static int
column_of(const char *name)
{
	if (strcasecmp(name, "email") == 0)
		return ADDRESS;
	for (int i = 0; i < SUPPRESS_CSV_COLUMNS; i++)
		if (strcasecmp(name, names[i]) == 0)
			return i;
	return -1;
}

/* Whether these are names of columns; then their places. */
static bool
read_names(struct suppress_csv *csv, char *const fields[], int count)
{
	int place[SUPPRESS_CSV_COLUMNS] = {-1, -1, -1, -1, -1, -1}, column;

	for (int i = 0; i < count; i++)
		if ((column = column_of(fields[i])) >= 0 && place[column] < 0)
			place[column] = i;
	if (place[ADDRESS] < 0)
		return false;
	memcpy(csv->place, place, sizeof(place));
	return true;
}

static bool
read_time(const char *text, int64_t *out_us)
{
	bool is_day = strnlen(text, TIME_MAX) == sizeof("2026-11-30") - 1;
	char whole[TIME_MAX];
	size_t len = (size_t)snprintf(whole, sizeof(whole), "%s%s", text, is_day ? "T00:00:00Z" : "");
	int64_t seconds;

	if (len >= sizeof(whole) ||
		smtp_date_parse_stamp((struct smtp_slice){whole, len}, &seconds) != SMTP_OK || seconds <= 0 ||
		seconds > INT64_MAX / 1000000)
		return false;
	*out_us = seconds * 1000000;
	return true;
}

static enum suppress_line
bad(char why[100], const char *what, const char *text)
{
	snprintf(why, 100, "%s \"%.*s\"", what, SHOWN, text);
	return SUPPRESS_LINE_BAD;
}

/* The field of a column; "": not there, or empty. */
static const char *
field(const struct suppress_csv *csv, char *const fields[], int count, int column)
{
	return csv->place[column] >= 0 && csv->place[column] < count ? fields[csv->place[column]] : "";
}

static enum suppress_line
read_fields(const struct suppress_csv *csv, char *const fields[], int count, struct suppress_record *r,
	char why[100])
{
	const char *scope = field(csv, fields, count, SCOPE), *reason = field(csv, fields, count, REASON),
		   *added = field(csv, fields, count, ADDED), *expires = field(csv, fields, count, EXPIRES),
		   *note = field(csv, fields, count, NOTE);
	char key[SUPPRESS_SCOPE_MAX];

	r->address = field(csv, fields, count, ADDRESS);
	if (r->address[0] == '\0')
		return bad(why, "no address in", fields[0]);
	if (scope[0] != '\0' && !suppress_scope_parse(scope, key))
		return bad(why, "no scope (global, user NAME, stream USER/JOB):", scope);
	if (reason[0] != '\0' && (r->reason = suppress_reason_find(reason)) == SUPPRESS_NONE)
		return bad(why, "unknown reason", reason);
	if (added[0] != '\0' && !read_time(added, &r->added_us))
		return bad(why, "no time (2026-11-30T12:00:00Z):", added);
	if (strcasecmp(expires, "never") == 0)
		r->expires_us = 0;
	else if (expires[0] != '\0' && !read_time(expires, &r->expires_us))
		return bad(why, "no time (2026-11-30T12:00:00Z):", expires);
	if (scope[0] != '\0')
		r->scope = scope;
	if (note[0] != '\0')
		r->note = note;
	return SUPPRESS_LINE_ENTRY;
}

enum suppress_line
suppress_csv_read(struct suppress_csv *csv, char *line, size_t len, const struct suppress_record *defaults,
	struct suppress_record *out, char why[100])
{
	static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, by some spreadsheets */
	char *fields[SUPPRESS_CSV_FIELDS];
	int count;

	if (len >= SUPPRESS_CSV_LINE_MAX || memchr(line, '\0', len) != NULL)
		return bad(why, "too long, or no text:", line);
	if (!csv->has_begun && strncmp(line, mark, sizeof(mark) - 1) == 0)
		line += sizeof(mark) - 1;
	line = trim(line);
	if (line[0] == '\0' || line[0] == '#')
		return SUPPRESS_LINE_NONE;
	if ((count = split(line, fields)) < 0)
		return bad(why, "quotes that do not end, or too many fields:", line);
	for (int i = 0; i < count; i++)
		fields[i] = trim(fields[i]);
	if (!csv->has_begun) {
		csv->has_begun = true;
		for (int i = 0; i < SUPPRESS_CSV_COLUMNS; i++)
			csv->place[i] = i;
		if (read_names(csv, fields, count))
			return SUPPRESS_LINE_NONE;
	}
	*out = *defaults;
	return read_fields(csv, fields, count, out, why);
}

/* --- writing --- */

static void
write_text(FILE *out, const char *s)
{
	if (strpbrk(s, ",\"\r\n") == NULL && s[0] != ' ' && s[0] != '\t' && s[0] != '#') {
		fputs(s, out);
		return;
	}
	putc('"', out);
	for (; *s != '\0'; s++) {
		if (*s == '"')
			putc('"', out);
		putc(*s == '\r' || *s == '\n' ? ' ' : *s, out);
	}
	putc('"', out);
}

static void
write_time(FILE *out, int64_t us)
{
	char text[SMTP_DATE_STAMP_LEN];
	int len;

	if (us != 0 && (len = smtp_date_write_stamp(us / 1000000, text, sizeof(text))) > 0)
		fprintf(out, "%.*s", len, text);
}

void
suppress_csv_write_head(FILE *out)
{
	for (int i = 0; i < SUPPRESS_CSV_COLUMNS; i++)
		fprintf(out, "%s%s", i > 0 ? "," : "", names[i]);
	putc('\n', out);
}

void
suppress_csv_write(FILE *out, const struct suppress_record *r)
{
	write_text(out, r->address);
	putc(',', out);
	write_text(out, r->scope);
	fprintf(out, ",%s,", suppress_reason_name(r->reason));
	write_time(out, r->added_us);
	putc(',', out);
	write_time(out, r->expires_us);
	putc(',', out);
	write_text(out, r->note);
	putc('\n', out);
}
