/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Millions of lines are read at a time, so nothing is allocated for any of them: cells and strings are found
 * in the line and unescaped where they stand, for what is unescaped is never longer than it was.
 */
#include "report/record.h"

#include "report/columns.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

enum { DAY_S = 86400, MILLION = 1000000 };

static const struct {
	const char *csv, *json; /* "": has none */
} names[RECORD_FIELD_COUNT] = {
	[RECORD_ID] = {"eventId", "id"},
	[RECORD_EVENT] = {"", "event"},
	[RECORD_TYPE] = {"type", "record"},
	[RECORD_LOGGED] = {"timeLogged", "time"},
	[RECORD_QUEUED] = {"timeQueued", "queued"},
	[RECORD_MESSAGE] = {"message", "message"},
	[RECORD_NUMBER] = {"recipientNumber", "recipient_number"},
	[RECORD_SENDER] = {"orig", "from"},
	[RECORD_RCPT] = {"rcpt", "rcpt"},
	[RECORD_ORCPT] = {"orcpt", "orcpt"},
	[RECORD_ENVID] = {"envId", "envid"},
	[RECORD_USER] = {"srcMta", "user"},
	[RECORD_JOB] = {"jobId", "job"},
	[RECORD_POOL] = {"vmtaPool", "pool"},
	[RECORD_SOURCE] = {"vmta", "source"},
	[RECORD_SITE] = {"site", "site"},
	[RECORD_HOST] = {"dsnMta", "host"},
	[RECORD_PEER_IP] = {"dlvDestinationIp", "peer_ip"},
	[RECORD_LOCAL_IP] = {"dlvSourceIp", "local_ip"},
	[RECORD_TLS] = {"", "tls"},
	[RECORD_STATUS] = {"dsnStatus", "status"},
	[RECORD_REPLY] = {"dsnDiag", "reply"},
	[RECORD_CATEGORY] = {"bounceCat", "category"},
	[RECORD_CLASS] = {"bounceClass", "class"},
	[RECORD_MESSAGE_ID] = {"messageId", "message_id"},
	[RECORD_FEEDBACK] = {"feedbackType", "feedback"},
	[RECORD_CODE] = {"", "code"},
	[RECORD_ATTEMPTS] = {"attempts", "attempts"},
	[RECORD_BYTES] = {"dlvSize", "bytes"},
	[RECORD_UNCERTAIN] = {"", "uncertain"},
	[RECORD_NEXT] = {"nextAttempt", "next_attempt"},
};
/* And what says the same in files of PowerMTA. */
static const struct {
	const char *csv;
	enum record_field field;
} others[] = {{"header_Message-Id", RECORD_MESSAGE_ID}, {"rcvSmtpUser", RECORD_USER}};

static const struct {
	const char *letters, *name;
} types[RECORD_TYPE_COUNT] = {
	[RECORD_DELIVERED] = {"d", "delivered"},
	[RECORD_BOUNCED] = {"b", "bounced"},
	[RECORD_TRANSIENT] = {"t", "deferred"},
	[RECORD_RECEIVED] = {"r", "received"},
	[RECORD_REMOTE] = {"rb", "remote bounce"},
	[RECORD_COMPLAINT] = {"f", "complaint"},
	[RECORD_UNSUBSCRIBED] = {"u", "unsubscribed"},
};

const char *
record_type_name(enum record_type type)
{
	assert(type < RECORD_TYPE_COUNT);
	return types[type].name;
}

static bool
is_text(struct queue_blob b, const char *text)
{
	return strnlen(text, b.len + 1) == b.len && memcmp(b.ptr, text, b.len) == 0;
}

/* --- times --- */

static bool
digits(const char *s, int count, int *out)
{
	int v = 0;

	for (int i = 0; i < count; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (s[i] - '0');
	}
	*out = v;
	return true;
}

/* Since 1970, of the Gregorian calendar. False: there is no such day. */
static bool
day_of(const char *s, int64_t *out)
{
	static const int8_t lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day, years;
	bool is_leap;

	if (!digits(s, 4, &year) || s[4] != '-' || !digits(s + 5, 2, &month) || s[7] != '-' ||
		!digits(s + 8, 2, &day))
		return false;
	is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] ||
		(month == 2 && day == 29 && !is_leap))
		return false;
	/* Years begin in March here, so that the leap day is their last. */
	years = month < 3 ? year - 1 : year;
	*out = INT64_C(365) * years + years / 4 - years / 100 + years / 400 +
	       (153 * (month < 3 ? month + 9 : month - 3) + 2) / 5 + day - 1 - 719468;
	return true;
}

/* "Z", "+0100", "+01:00", "". */
static bool
zone_of(const char *s, size_t len, int *out_minutes)
{
	int hours, minutes, colon = len == 6 && s[3] == ':' ? 1 : 0;

	*out_minutes = 0;
	if (len == 0 || (len == 1 && s[0] == 'Z'))
		return true;
	if (len != 5 + (size_t)colon || (s[0] != '+' && s[0] != '-') || !digits(s + 1, 2, &hours) ||
		!digits(s + 3 + colon, 2, &minutes) || hours > 14 || minutes > 59)
		return false;
	*out_minutes = (s[0] == '-' ? -1 : 1) * (60 * hours + minutes);
	return true;
}

/* Since 1970, as files with `times = unix` have them. */
static bool
seconds_of(const char *s, size_t len, int64_t *out_us)
{
	int64_t v = 0;

	if (len < 9 || len > 11)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (s[i] - '0');
	}
	*out_us = v * MILLION;
	return true;
}

bool
record_time(const char *text, size_t len, int64_t *out_us)
{
	int hour = 0, minute = 0, second = 0, zone, micros = 0, unit = MILLION / 10;
	size_t at = 10;
	int64_t day;

	if (seconds_of(text, len, out_us))
		return true;
	if (len < at || !day_of(text, &day))
		return false;
	if (len > at) {
		if (len < 16 || (text[10] != ' ' && text[10] != 'T') || !digits(text + 11, 2, &hour) ||
			text[13] != ':' || !digits(text + 14, 2, &minute) || hour > 23 || minute > 59)
			return false;
		at = 16;
	}
	if (len >= 19 && text[16] == ':') {
		if (!digits(text + 17, 2, &second) || second > 60)
			return false;
		at = 19;
		if (len > at && text[at] == '.')
			for (at++; at < len && text[at] >= '0' && text[at] <= '9'; at++, unit /= 10)
				micros += (text[at] - '0') * unit;
	}
	if (!zone_of(text + at, len - at, &zone))
		return false;
	*out_us = (day * DAY_S + INT64_C(3600) * hour + INT64_C(60) * (minute - zone) + second) * MILLION +
		  micros;
	return true;
}

/* --- both --- */

/* Type and times out of the fields. */
static bool
finish(struct record *out)
{
	const struct queue_blob *type = &out->field[RECORD_TYPE], *f = out->field;
	int n = 0;

	while (n < RECORD_TYPE_COUNT && !is_text(*type, types[n].letters))
		n++;
	if (n == RECORD_TYPE_COUNT)
		return false;
	out->type = (enum record_type)n;
	out->logged_us = out->queued_us = 0;
	return (f[RECORD_LOGGED].len == 0 ||
		       record_time(f[RECORD_LOGGED].ptr, f[RECORD_LOGGED].len, &out->logged_us)) &&
	       (f[RECORD_QUEUED].len == 0 ||
		       record_time(f[RECORD_QUEUED].ptr, f[RECORD_QUEUED].len, &out->queued_us));
}

struct queue_blob
record_domain(const struct record *r)
{
	const struct queue_blob *rcpt = &r->field[RECORD_RCPT];
	const char *at = rcpt->len > 0 ? memrchr(rcpt->ptr, '@', rcpt->len) : NULL;

	if (at == NULL)
		return (struct queue_blob){"", 0};
	return (struct queue_blob){at + 1, rcpt->len - (size_t)(at + 1 - (const char *)rcpt->ptr)};
}

/* --- CSV --- */

/* A cell in quotes, from behind the first one; its end, behind the last. NULL: there is none. */
static char *
unquote(char *from, char *end, struct queue_blob *out)
{
	char *to = from, *start = from;

	while (from < end) {
		char *quote = memchr(from, '"', (size_t)(end - from));

		if (quote == NULL)
			return NULL;
		if (to != from)
			memmove(to, from, (size_t)(quote - from));
		to += quote - from;
		from = quote + 1;
		if (from == end || *from != '"') {
			*out = (struct queue_blob){start, (size_t)(to - start)};
			return from;
		}
		*to++ = '"';
		from++;
	}
	return NULL;
}

/* How many cells; 0: it is no line of CSV, or has too many. */
static int
split(char *line, size_t len, struct queue_blob cells[RECORD_COLUMNS_MAX])
{
	char *at = line, *end = line + len, *comma;
	int count = 0;

	for (; count < RECORD_COLUMNS_MAX; at++) {
		if (at < end && *at == '"') {
			if ((at = unquote(at + 1, end, &cells[count++])) == NULL)
				return 0;
		} else {
			comma = memchr(at, ',', (size_t)(end - at));
			comma = comma != NULL ? comma : end;
			cells[count++] = (struct queue_blob){at, (size_t)(comma - at)};
			at = comma;
		}
		if (at == end)
			return count;
		if (*at != ',')
			return 0;
	}
	return 0;
}

static bool
is_name(struct queue_blob cell, const char *name)
{
	return cell.len > 0 && strnlen(name, cell.len + 1) == cell.len &&
	       strncasecmp(name, cell.ptr, cell.len) == 0;
}

static int8_t
field_of(struct queue_blob cell)
{
	for (int i = 0; i < RECORD_FIELD_COUNT; i++)
		if (is_name(cell, names[i].csv))
			return (int8_t)i;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (is_name(cell, others[i].csv))
			return (int8_t)others[i].field;
	return -1;
}

/* Columns when they are ones: a type, and at least one more that is known. */
static bool
read_head(const struct queue_blob *cells, int count, struct record_columns *out)
{
	struct record_columns c = {.count = count};
	bool has_type = false;
	int known = 0;

	for (int i = 0; i < count; i++) {
		c.field[i] = field_of(cells[i]);
		known += c.field[i] >= 0;
		has_type = has_type || c.field[i] == RECORD_TYPE;
	}
	if (!has_type || known < 2)
		return false;
	*out = c;
	return true;
}

/* What stands in a file that has lost its head line. Without memory nothing is known of it. */
static void
default_columns(struct record_columns *out)
{
	static const struct conf_columns conf = {.user_string = ""};
	struct columns *columns = columns_create(&conf);
	struct queue_blob cells[RECORD_COLUMNS_MAX];
	char head[2048];
	size_t len;
	bool ok;

	if (columns == NULL)
		return;
	len = strnlen(columns_head(columns), sizeof(head));
	assert(len > 0 && len < sizeof(head));
	memcpy(head, columns_head(columns), len);
	columns_destroy(&columns);
	ok = read_head(cells, split(head, len - 1, cells), out);
	assert(ok);
	(void)ok;
}

static enum record_line
parse_csv(struct record_columns *columns, char *line, size_t len, struct record *out)
{
	struct queue_blob cells[RECORD_COLUMNS_MAX];
	int count = split(line, len, cells);

	if (columns->count == 0)
		default_columns(columns);
	if (count == columns->count) {
		memset(out->field, 0, sizeof(out->field));
		for (int i = 0; i < count; i++)
			if (columns->field[i] >= 0)
				out->field[columns->field[i]] = cells[i];
		if (out->field[RECORD_TYPE].len > 0 && finish(out))
			return RECORD_READ;
	}
	return count > 0 && read_head(cells, count, columns) ? RECORD_HEAD : RECORD_FOREIGN;
}

/* --- JSON --- */

struct json {
	char *at, *end;
};

static void
skip_blanks(struct json *j)
{
	while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\r'))
		j->at++;
}

/* The byte that comes next, behind blanks; it is passed over when it is this one. */
static bool
take(struct json *j, char c)
{
	skip_blanks(j);
	if (j->at == j->end || *j->at != c)
		return false;
	j->at++;
	return true;
}

static bool
hex4(const struct json *j, uint32_t *out)
{
	uint32_t v = 0;

	if (j->end - j->at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = j->at[i];

		if (c >= '0' && c <= '9')
			v = v * 16 + (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v * 16 + (uint32_t)((c | 32) - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

/* Of six bytes or twelve three or four remain. A lone half of a pair becomes U+FFFD. */
static bool
unescape_u(struct json *j, char **to)
{
	uint32_t c, low;
	char *t = *to;

	if (!hex4(j, &c))
		return false;
	j->at += 4;
	if (c >= 0xd800 && c < 0xdc00 && j->end - j->at >= 6 && j->at[0] == '\\' && j->at[1] == 'u') {
		struct json second = {j->at + 2, j->end};

		if (hex4(&second, &low) && low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			j->at += 6;
		}
	}
	if (c >= 0xd800 && c < 0xe000)
		c = 0xfffd;
	if (c < 0x80)
		*t++ = (char)c;
	else if (c < 0x800) {
		*t++ = (char)(0xc0 | (c >> 6));
		*t++ = (char)(0x80 | (c & 63));
	} else {
		if (c >= 0x10000) {
			*t++ = (char)(0xf0 | (c >> 18));
			*t++ = (char)(0x80 | ((c >> 12) & 63));
		} else
			*t++ = (char)(0xe0 | (c >> 12));
		*t++ = (char)(0x80 | ((c >> 6) & 63));
		*t++ = (char)(0x80 | (c & 63));
	}
	*to = t;
	return true;
}

/* From behind the first quote. */
static bool
read_string(struct json *j, struct queue_blob *out)
{
	static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	char *start = j->at, *to;
	const char *e;

	while (j->at < j->end && *j->at != '"' && *j->at != '\\')
		j->at++;
	for (to = j->at; j->at < j->end && *j->at != '"';) {
		if (*j->at != '\\') {
			*to++ = *j->at++;
			continue;
		}
		if (++j->at == j->end)
			return false;
		if (*j->at == 'u') {
			j->at++;
			if (!unescape_u(j, &to))
				return false;
			continue;
		}
		if (*j->at == '\0' || (e = strchr(escapes, *j->at)) == NULL)
			return false;
		*to++ = meant[e - escapes];
		j->at++;
	}
	if (j->at == j->end)
		return false;
	j->at++;
	*out = (struct queue_blob){start, (size_t)(to - start)};
	return true;
}

/* An array or an object: nothing of ours is in one. */
static bool
skip_nested(struct json *j)
{
	struct queue_blob s;
	int depth = 0;

	while (j->at < j->end) {
		char c = *j->at++;

		if (c == '"' && !read_string(j, &s))
			return false;
		depth += (c == '[' || c == '{') - (c == ']' || c == '}');
		if (depth == 0)
			return true;
	}
	return false;
}

/* Numbers, true and false as they are written; null is nothing. */
static bool
read_value(struct json *j, struct queue_blob *out)
{
	char *start;

	*out = (struct queue_blob){"", 0};
	if (take(j, '"'))
		return read_string(j, out);
	if (j->at < j->end && (*j->at == '[' || *j->at == '{'))
		return skip_nested(j);
	start = j->at;
	while (j->at < j->end && memchr(",} \t\r", *j->at, 5) == NULL)
		j->at++;
	*out = (struct queue_blob){start, (size_t)(j->at - start)};
	if (out->len == 4 && memcmp(out->ptr, "null", 4) == 0)
		out->len = 0;
	return j->at > start;
}

/* The field behind *next is looked at first: in most lines that is it. */
static int
json_field(struct queue_blob key, int *next)
{
	for (int i = 0; i < RECORD_FIELD_COUNT; i++) {
		int n = (*next + i) % RECORD_FIELD_COUNT;

		if (is_text(key, names[n].json)) {
			*next = n + 1;
			return n;
		}
	}
	return -1;
}

static enum record_line
parse_json(char *line, size_t len, struct record *out)
{
	struct json j = {line + 1, line + len};
	struct queue_blob key, value;
	int field, next = 0;

	memset(out->field, 0, sizeof(out->field));
	do {
		if (!take(&j, '"') || !read_string(&j, &key) || !take(&j, ':') || !read_value(&j, &value))
			return RECORD_FOREIGN;
		field = json_field(key, &next);
		if (field >= 0)
			out->field[field] = value;
	} while (take(&j, ','));
	if (!take(&j, '}'))
		return RECORD_FOREIGN;
	skip_blanks(&j);
	return j.at == j.end && out->field[RECORD_TYPE].len > 0 && finish(out) ? RECORD_READ : RECORD_FOREIGN;
}

enum record_line
record_parse(struct record_columns *columns, char *line, size_t len, struct record *out)
{
	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len == 0)
		return RECORD_FOREIGN;
	return line[0] == '{' ? parse_json(line, len, out) : parse_csv(columns, line, len, out);
}
