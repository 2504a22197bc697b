/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl history: the records of one address or message, in the order of time and in words. Indexes say where
 * they are; what is still queued the daemon says, when it answers.
 */
#include "control/mtactl_files.h"

#include "conf/conf.h"
#include "report/index.h"
#include "report/records.h"
#include "report/summary.h"
#include "smtp_types.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
	ROWS_DEFAULT = 200,
	ROWS_MOST = 100000,
	LIST_MOST = 100000, /* of the daemon's rows to one domain */
	WORDS_BYTES = 2400,
	ID_DIGITS_MAX = 16,
	STAMP_WIDTH = 21, /* of a time and two blanks */
	KEYS_MAX = 2,
};

struct history {
	struct mtactl *m;
	const struct mtactl_options *o;
	const char *what; /* an address or a Message-ID; an id without its number */
	size_t len;
	bool is_id;
	const char *number; /* of the recipient; NULL: all */
	uint64_t keys[KEYS_MAX];
	size_t key_count;
	struct records *records;
	struct mtactl_files files;
	json_t *rows, *queued;
	size_t limit, matched;
	size_t file_count, bad_files;
	bool has_message, has_message_id; /* some record has */
	bool is_asked, is_cut;            /* the daemon has answered; it has more than was looked at */
	int64_t now_us;                   /* the daemon's */
};

/* --- what is asked --- */

/* An id is hexadecimal; everything else has an "@", or is a Message-ID of somebody's own making. */
static bool
take_what(struct history *h)
{
	const char *word = h->o->words[0];
	size_t len = strnlen(word, 1000), digits = strspn(word, "0123456789abcdefABCDEF");

	h->what = word;
	h->len = len;
	if (digits > 0 && digits <= ID_DIGITS_MAX && (word[digits] == '\0' || word[digits] == '/')) {
		h->is_id = true;
		h->len = digits;
		if (word[digits] == '/' && word[digits + 1 + strspn(word + digits + 1, "0123456789")] == '\0')
			h->number = word + digits + 1;
		else if (word[digits] == '/')
			h->is_id = false;
	}
	if (h->is_id) {
		h->keys[h->key_count++] = index_key(INDEX_MESSAGE, word, digits);
		return true;
	}
	if (len == 0 || len > 998 || memchr(word, '@', len) == NULL) {
		fprintf(stderr, "mtactl: \"%s\" is no address, no message id and no Message-ID\n", word);
		return false;
	}
	if (len > 2 && word[0] == '<' && word[len - 1] == '>') {
		h->what = word + 1;
		h->len = len - 2;
	}
	h->keys[h->key_count++] = index_key(INDEX_RCPT, h->what, h->len);
	h->keys[h->key_count++] = index_key(INDEX_MESSAGE_ID, h->what, h->len);
	return true;
}

static bool
is_what(const struct history *h, struct queue_blob b)
{
	return b.len == h->len && strncasecmp(b.ptr, h->what, b.len) == 0;
}

/* What the index has found by its hash, or what stands behind the index. */
static bool
is_wanted(const struct history *h, const struct record *rec)
{
	struct queue_blob id = rec->field[RECORD_MESSAGE_ID], n = rec->field[RECORD_NUMBER];

	if (h->is_id)
		return is_what(h, rec->field[RECORD_MESSAGE]) &&
		       (h->number == NULL ||
			       (n.len == strnlen(h->number, 8) && memcmp(n.ptr, h->number, n.len) == 0));
	if (id.len >= 2 && ((const char *)id.ptr)[0] == '<')
		id = (struct queue_blob){(const char *)id.ptr + 1, id.len - 2};
	return is_what(h, rec->field[RECORD_RCPT]) || is_what(h, id);
}

/* --- a record as a row --- */

/* CSV has "smtp;" or "x-mtad;" before what was said. */
static struct queue_blob
reply_of(const struct record *rec)
{
	struct queue_blob b = rec->field[RECORD_REPLY];
	static const struct smtp_slice marks[] = {SMTP_LIT("smtp;"), SMTP_LIT("x-mtad;")};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		size_t len = marks[i].len;

		if (b.len >= len && memcmp(b.ptr, marks[i].ptr, len) == 0)
			return (struct queue_blob){(const char *)b.ptr + len, b.len - len};
	}
	return b;
}

static void
set_text(json_t *row, const char *name, struct queue_blob b)
{
	json_t *value = b.len > 0 ? json_stringn(b.ptr, b.len) : NULL;
	char copy[WORDS_BYTES];

	if (b.len == 0)
		return;
	if (value == NULL) { /* bytes that are no UTF-8 */
		snprintf(copy, sizeof(copy), "%.*s", (int)b.len, (const char *)b.ptr);
		for (char *s = copy; *s != '\0'; s++)
			*s = (char)((unsigned char)*s < 0x80 ? *s : '?');
		value = json_string(copy);
	}
	(void)json_object_set_new(row, name, value);
}

static void
set_integer(json_t *row, const char *name, struct queue_blob b)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%.*s", (int)b.len, b.len > 0 ? (const char *)b.ptr : "");
	if (b.len > 0)
		(void)json_object_set_new(row, name, json_integer(strtoll(digits, NULL, 10)));
}

static json_t *
row_of(const struct record *rec, const char *path)
{
	static const struct {
		const char *name;
		enum record_field field;
	} texts[] = {{"message", RECORD_MESSAGE}, {"message_id", RECORD_MESSAGE_ID},
		{"sender", RECORD_SENDER}, {"rcpt", RECORD_RCPT}, {"user", RECORD_USER}, {"job", RECORD_JOB},
		{"pool", RECORD_POOL}, {"source", RECORD_SOURCE}, {"site", RECORD_SITE},
		{"host", RECORD_HOST}, {"peer_ip", RECORD_PEER_IP}, {"tls", RECORD_TLS},
		{"status", RECORD_STATUS}, {"feedback", RECORD_FEEDBACK}},
	  numbers[] = {{"n", RECORD_NUMBER}, {"attempts", RECORD_ATTEMPTS}, {"bytes", RECORD_BYTES}};
	struct queue_blob next = rec->field[RECORD_NEXT], event = rec->field[RECORD_EVENT];
	json_t *row = json_object();
	int64_t next_us;

	/* Expired and dropped are kinds of bounces that JSON tells apart. */
	if (rec->type == RECORD_BOUNCED && event.len > 0)
		set_text(row, "event", event);
	else
		(void)json_object_set_new(row, "event", json_string(record_type_name(rec->type)));
	(void)json_object_set_new(row, "time_us", json_integer(rec->logged_us));
	(void)json_object_set_new(row, "queued_us", json_integer(rec->queued_us));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		set_text(row, texts[i].name, rec->field[texts[i].field]);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		set_integer(row, numbers[i].name, rec->field[numbers[i].field]);
	set_text(row, "class", summary_class_of(rec));
	set_text(row, "reply", reply_of(rec));
	if (next.len > 0 && record_time(next.ptr, next.len, &next_us))
		(void)json_object_set_new(row, "next_us", json_integer(next_us));
	if (rec->field[RECORD_UNCERTAIN].len == 4)
		(void)json_object_set_new(row, "uncertain", json_true());
	(void)json_object_set_new(row, "file", json_string(path));
	return row;
}

struct dated {
	json_t *row;
	int64_t at_us;
	size_t n;
};

static int
by_time(const void *a, const void *b)
{
	const struct dated *x = a, *y = b;

	if (x->at_us != y->at_us)
		return x->at_us < y->at_us ? -1 : 1;
	return (x->n > y->n) - (x->n < y->n);
}

/* In the order of time, those of one moment as they stood in the files; of more than are wanted the last ones
 * stay. */
static void
sort_rows(struct history *h)
{
	size_t count = json_array_size(h->rows), skip = count > h->limit ? count - h->limit : 0;
	struct dated *sorted = calloc(count > 0 ? count : 1, sizeof(*sorted));
	json_t *rows = json_array();

	for (size_t i = 0; sorted != NULL && i < count; i++) {
		json_t *row = json_array_get(h->rows, i);

		sorted[i] = (struct dated){row, mtactl_integer(row, "time_us"), i};
	}
	if (sorted == NULL || rows == NULL) {
		json_decref(rows);
		free(sorted);
		return;
	}
	qsort(sorted, count, sizeof(*sorted), by_time);
	for (size_t i = skip; i < count; i++)
		(void)json_array_append(rows, sorted[i].row);
	free(sorted);
	json_decref(h->rows);
	h->rows = rows;
}

/* Files follow each other by what they hold, not by time: which rows are the last ones is known at the end.
 */
static void
add_row(struct history *h, const struct record *rec, const char *path)
{
	h->matched++;
	(void)json_array_append_new(h->rows, row_of(rec, path));
	if (json_array_size(h->rows) >= 2 * h->limit + ROWS_DEFAULT)
		sort_rows(h);
}

/* --- files --- */

static void
look_at(struct history *h, const struct record *rec, const struct mtactl_file *f)
{
	h->has_message = h->has_message || rec->field[RECORD_MESSAGE].len > 0;
	h->has_message_id = h->has_message_id || rec->field[RECORD_MESSAGE_ID].len > 0;
	if (is_wanted(h, rec) && mtactl_files_take(&h->files, f, rec) != 0)
		add_row(h, rec, f->path);
}

static void
read_file(struct history *h, const struct mtactl_file *f)
{
	const char *path = f->path;
	struct index_found found;
	struct record rec;
	char why[400];
	int got;

	if (!records_open(h->records, path, why, sizeof(why))) {
		fprintf(stderr, "mtactl: %s\n", why);
		h->bad_files++;
		return;
	}
	h->file_count++;
	index_find(h->records, path, h->keys, h->key_count, &found);
	for (size_t i = 0; i < found.count; i++)
		if (records_at(h->records, found.offsets[i], &rec) > 0)
			look_at(h, &rec, f);
	snprintf(why, sizeof(why), "it cannot be read from its middle");
	got = records_seek(h->records, found.covered) ? 1 : -1;
	while (got > 0 && (got = records_next(h->records, &rec, why, sizeof(why))) > 0)
		look_at(h, &rec, f);
	if (got < 0) {
		fprintf(stderr, "mtactl: %s: the rest cannot be read: %s\n", path, why);
		h->bad_files++;
	}
	index_found_free(&found);
}

/* --- the daemon --- */

static void
take_queued(void *arg, json_t *row)
{
	struct history *h = arg;
	const char *rcpt = mtactl_text(row, "rcpt");

	if (h->is_id || is_what(h, (struct queue_blob){rcpt, strnlen(rcpt, 1000)}))
		(void)json_array_append(h->queued, row);
}

/* Recipients are found by message or by domain. */
static void
ask_daemon(struct history *h)
{
	const char *at = memrchr(h->what, '@', h->len);
	char word[1000];
	json_t *request, *answer;
	int code;

	h->m->is_quiet = true;
	if (h->m->socket == NULL)
		h->m->socket = h->m->found_socket = conf_path(h->m->conf_file, "control-socket", stderr);
	if (h->m->socket == NULL)
		return;
	request = json_pack("{s:s,s:i}", "command", "list", "limit", LIST_MOST);
	if (h->is_id) {
		snprintf(word, sizeof(word), "%.*s", (int)h->len, h->what);
		(void)json_object_set_new(request, "id", json_integer((json_int_t)strtoull(word, NULL, 16)));
		if (h->number != NULL)
			(void)json_object_set_new(request, "n", json_integer(strtoll(h->number, NULL, 10)));
	} else {
		snprintf(word, sizeof(word), "%.*s", (int)(h->len - (size_t)(at + 1 - h->what)), at + 1);
		for (char *s = word; *s != '\0'; s++)
			*s = (char)tolower((unsigned char)*s);
		(void)json_object_set_new(request, "domain", json_string(word));
	}
	if ((answer = mtactl_ask_each(h->m, request, take_queued, h, &code)) == NULL)
		return;
	h->is_asked = code == 0;
	h->is_cut = mtactl_is_true(json_object_get(answer, "summary"), "cut");
	h->now_us = mtactl_now(answer);
	json_decref(answer);
}

/* --- in words --- */

/* Text under construction; what does not fit is left out. */
struct words {
	char text[WORDS_BYTES];
	size_t len;
};

static void say(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
say(struct words *w, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(w->text + w->len, sizeof(w->text) - w->len, format, ap);
	va_end(ap);
	w->len += n > 0 ? (size_t)n : 0;
	w->len = w->len < sizeof(w->text) ? w->len : sizeof(w->text) - 1;
}

/* "mx.a.test (192.0.2.1)", however the record has it. */
static void
say_host(struct words *w, const char *before, const json_t *row)
{
	const char *host = mtactl_text(row, "host"), *ip = mtactl_text(row, "peer_ip");

	if (host[0] == '\0' && ip[0] == '\0')
		return;
	say(w, " %s %s", before, host[0] != '\0' ? host : ip);
	if (host[0] != '\0' && ip[0] != '\0' && strchr(host, ' ') == NULL)
		say(w, " (%s)", ip);
	if (mtactl_text(row, "source")[0] != '\0')
		say(w, " from %s", mtactl_text(row, "source"));
}

static void
say_named(struct words *w, const char *name, const char *value)
{
	if (value[0] != '\0')
		say(w, ", %s %s", name, value);
}

/* What a site did begins with its code; our own words say what became of mail on its way there. */
static const char *
before_host(const char *event, const char *reply)
{
	bool is_attempt = strcmp(event, "bounced") == 0 || strcmp(event, "deferred") == 0;

	if (strcmp(event, "delivered") == 0)
		return "to";
	return is_attempt && !isdigit((unsigned char)reply[0]) ? "at" : "by";
}

static void
say_row(struct words *w, const json_t *row)
{
	const char *event = mtactl_text(row, "event"), *sender = mtactl_text(row, "sender");
	int64_t queued_us = mtactl_integer(row, "queued_us"), at_us = mtactl_integer(row, "time_us");
	int64_t next_us = mtactl_integer(row, "next_us");
	char span[32];

	if (strcmp(event, "dropped") == 0)
		say(w, "removed by an operator");
	else
		say(w, "%s", event);
	if (strcmp(event, "received") == 0) {
		say(w, " from <%s>", sender);
		say_named(w, "user", mtactl_text(row, "user"));
		say_named(w, "job", mtactl_text(row, "job"));
		return;
	}
	say_host(w, before_host(event, mtactl_text(row, "reply")), row);
	if (strcmp(event, "delivered") != 0)
		say_named(w, "class", mtactl_text(row, "class"));
	say_named(w, "as", mtactl_text(row, "feedback"));
	if (mtactl_integer(row, "attempts") > 0)
		say(w, ", attempt %lld", (long long)mtactl_integer(row, "attempts"));
	if (queued_us > 0 && at_us >= queued_us) {
		mtactl_span(span, sizeof(span), at_us - queued_us);
		say(w, ", %s after it was accepted", span);
	}
	if (next_us > at_us) {
		mtactl_span(span, sizeof(span), next_us - at_us);
		say(w, ", next attempt %s later", span);
	}
	if (mtactl_is_true(row, "uncertain"))
		say(w, ", the site may have it");
	if (mtactl_text(row, "reply")[0] != '\0')
		say(w, ": %s", mtactl_text(row, "reply"));
}

/* From column `indent` on, where the line stands already; broken at blanks. */
static void
print_words(const struct mtactl *m, char *text, int indent)
{
	int room = m->width - indent;
	size_t len = strnlen(text, WORDS_BYTES), cut;

	room = room < 30 ? 30 : room;
	mtactl_clean(text);
	while (len > (size_t)room) {
		for (cut = (size_t)room; cut > 0 && text[cut] != ' '; cut--)
			;
		if (cut == 0)
			for (cut = (size_t)room; cut > 1 && ((unsigned char)text[cut] & 0xc0) == 0x80; cut--)
				;
		printf("%.*s\n%*s", (int)cut, text, indent, "");
		text += cut + (text[cut] == ' ');
		len = strnlen(text, WORDS_BYTES);
	}
	printf("%s\n", text);
}

static void
print_row(const struct history *h, const json_t *row)
{
	time_t seconds = (time_t)(mtactl_integer(row, "time_us") / 1000000);
	struct words w = {.len = 0};
	char stamp[32], id[40] = "";
	int indent;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	if (mtactl_text(row, "message")[0] != '\0')
		snprintf(id, sizeof(id), "%.16s/%lld", mtactl_text(row, "message"),
			(long long)mtactl_integer(row, "n"));
	indent = h->has_message ? printf("%s  %-8s  ", stamp, id) : printf("%s  ", stamp);
	if (!is_what(h,
		    (struct queue_blob){mtactl_text(row, "rcpt"), strnlen(mtactl_text(row, "rcpt"), 1000)}))
		say(&w, "<%s> ", mtactl_text(row, "rcpt"));
	say_row(&w, row);
	print_words(h->m, w.text, indent);
}

static void
print_queued(const struct history *h)
{
	struct words w;
	const json_t *row;
	char span[32];
	size_t i;

	json_array_foreach(h->queued, i, row)
	{
		int64_t due_us = mtactl_integer(row, "due_us");
		const char *id = mtactl_text(row, "id");

		printf("%snow%s%*s", mtactl_bold(h->m), mtactl_plain(h->m), STAMP_WIDTH - 3, "");
		w.len = 0;
		say(&w, "%s/%lld ", id, (long long)mtactl_integer(row, "n"));
		if (h->is_id)
			say(&w, "<%s> ", mtactl_text(row, "rcpt"));
		say(&w, "is queued: %s", mtactl_text(row, "state"));
		if (due_us > h->now_us) {
			mtactl_span(span, sizeof(span), due_us - h->now_us + 999999);
			say(&w, ", next attempt in %s", span);
		}
		say(&w, "; mtactl why %s/%lld says more", id, (long long)mtactl_integer(row, "n"));
		print_words(h->m, w.text, STAMP_WIDTH);
	}
}

/* What is not known, and why. */
static void
print_notes(const struct history *h)
{
	const char *dim = mtactl_dim(h->m), *plain = mtactl_plain(h->m);

	if (h->matched > json_array_size(h->rows))
		printf("%s%zu earlier records are not shown (--limit 0 shows all)%s\n", dim,
			h->matched - json_array_size(h->rows), plain);
	if (h->is_cut)
		printf("%sonly %d recipients of its domain were looked at in the queue%s\n", dim, LIST_MOST,
			plain);
	else if (!h->is_asked && h->o->word_count == 1)
		printf("%sthe daemon does not answer: what is still queued is not shown%s\n", dim, plain);
}

static void
print_nothing(const struct history *h)
{
	printf("No record of %s in %zu file%s%s\n", h->o->words[0], h->file_count,
		h->file_count == 1 ? "" : "s",
		h->is_id && !h->has_message
			? ": records of CSV have no message id (those of accounting-json do)"
			: "");
}

static int
show(struct history *h)
{
	bool is_found = json_array_size(h->rows) + json_array_size(h->queued) > 0;
	json_t *answer, *row;
	size_t i;

	sort_rows(h);
	if (h->m->json) {
		answer = json_pack("{s:O,s:O,s:{s:I,s:I,s:b,s:b}}", "rows", h->rows, "queued", h->queued,
			"summary", "files", (json_int_t)h->file_count, "matching", (json_int_t)h->matched,
			"asked", (int)h->is_asked, "cut", (int)h->is_cut);
		(void)mtactl_print_json(answer, h->o, 0);
		json_decref(answer);
	} else {
		json_array_foreach(h->rows, i, row)
		{
			print_row(h, row);
		}
		if (!is_found)
			print_nothing(h);
		print_queued(h);
		print_notes(h);
	}
	return is_found && h->bad_files == 0 ? 0 : 1;
}

static int
run(struct history *h)
{
	int64_t limit = h->o->limit;

	h->limit = limit < 0 ? ROWS_DEFAULT : limit == 0 || limit > ROWS_MOST ? ROWS_MOST : (size_t)limit;
	if (!take_what(h))
		return 2;
	if (!mtactl_files_open(h->m, h->o->words + 1, h->o->word_count - 1, &h->files))
		return 1;
	for (size_t i = 0; i < h->files.count; i++)
		read_file(h, &h->files.items[i]);
	if (h->o->word_count == 1)
		ask_daemon(h);
	return show(h);
}

int
mtactl_history(struct mtactl *m, const struct mtactl_options *o)
{
	struct history h = {
		.m = m, .o = o, .records = records_create(), .rows = json_array(), .queued = json_array()};
	int code = 1;

	if (h.records != NULL && h.rows != NULL && h.queued != NULL)
		code = run(&h);
	else
		fputs("mtactl: out of memory\n", stderr);
	mtactl_files_close(&h.files);
	records_destroy(&h.records);
	json_decref(h.rows);
	json_decref(h.queued);
	return code;
}
