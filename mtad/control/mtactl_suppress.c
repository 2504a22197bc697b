/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl suppress: who gets no more mail. A file is read line by line into a buffer of fixed size, whose
 * entries go to the daemon in the order of its keys, in frames: it then writes few pages for many entries. A
 * few frames are on their way at once, so that one is made and one is read while another is written, and a
 * commit has more than one. No two of them say anything of the same address: which is first does not matter.
 */
#include "conf/conf_value.h"
#include "control/ctl_proto.h"
#include "control/mtactl.h"
#include "feedback/suppress_csv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	ENTRIES_MAX = 200000, /* held at once */
	TEXT_MAX = 16 << 20,  /* and their texts */
	FRAME_ENTRIES = 2000,
	IN_FLIGHT = 8,
	FRAME_BYTES = CTL_FRAME_MAX - 4096,
	BAD_SHOWN = 20, /* lines */
	LIST_LIMIT = 100,
};

const char *
mtactl_suppress_act(size_t i)
{
	static const char *const acts[] = {
		"list", "show", "add", "allow", "remove", "import", "export", NULL};

	return acts[i];
}

/* --- what the options mean --- */

static int64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000;
}

/* --expire 30d as a time; 0: never. False: said. */
static bool
expiry_of(const struct mtactl_options *o, int64_t *out_us)
{
	struct conf_why why;
	int64_t us;

	*out_us = 0;
	if (o->expire == NULL || strcmp(o->expire, "never") == 0)
		return true;
	if (!conf_value_duration(o->expire, &us, &why) || us <= 0 || us > INT64_MAX / 4) {
		fprintf(stderr, "mtactl: --expire takes a time from now, 30d, or never\n");
		return false;
	}
	*out_us = now_us() + us;
	return true;
}

/* What an entry has that says nothing itself. False: said. */
static bool
defaults_of(const struct mtactl_options *o, enum suppress_reason reason, struct suppress_record *out)
{
	char scope[SUPPRESS_SCOPE_MAX];

	*out = (struct suppress_record){.address = "",
		.scope = o->scope != NULL ? o->scope : "global",
		.note = o->note != NULL ? o->note : "",
		.reason = o->reason != NULL ? suppress_reason_find(o->reason) : reason};
	if (out->reason == SUPPRESS_NONE) {
		fputs("mtactl: --reason takes hard-bounce, soft-bounces, complaint, unsubscribe, manual, "
		      "import "
		      "or allow\n",
			stderr);
		return false;
	}
	if (!suppress_scope_parse(out->scope, scope)) {
		fputs("mtactl: --scope takes global, \"user NAME\" or \"stream USER/JOB\"\n", stderr);
		return false;
	}
	return expiry_of(o, &out->expires_us);
}

static json_t *
act_request(const char *op, const struct suppress_record *defaults)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:[]}", "command", "suppress-act", "op", op, "scope",
		defaults->scope, "reason", suppress_reason_name(defaults->reason), "note", defaults->note,
		"expires_us", (json_int_t)defaults->expires_us, "entries");
}

static json_t *
entry_of(const struct suppress_record *r, const struct suppress_record *defaults)
{
	if (strcmp(r->scope, defaults->scope) == 0 && strcmp(r->note, defaults->note) == 0 &&
		r->reason == defaults->reason && r->added_us == 0 && r->expires_us == defaults->expires_us)
		return json_pack("[s]", r->address);
	return json_pack("[s,s,s,I,I,s]", r->address, r->scope, suppress_reason_name(r->reason),
		(json_int_t)r->added_us, (json_int_t)r->expires_us, r->note);
}

/* --- looking --- */

static void
write_expires(char *buf, size_t max, const json_t *row, const char *field, int64_t at_us)
{
	if (mtactl_integer(row, field) == 0)
		snprintf(buf, max, "never");
	else
		mtactl_write_until(buf, max, row, field, at_us);
}

static void
write_added(char *buf, size_t max, const json_t *row, const char *field, int64_t at_us)
{
	time_t at = (time_t)(mtactl_integer(row, field) / 1000000);
	struct tm tm;

	buf[0] = '\0';
	if (localtime_r(&at, &tm) != NULL)
		(void)strftime(buf, max, "%Y-%m-%d", &tm);
}

/* "hard-bounce (bad-mailbox)" */
static void
write_reason(char *buf, size_t max, const json_t *row, const char *field, int64_t at_us)
{
	const char *class = mtactl_text(row, "class");

	snprintf(buf, max, "%s%s%s%s", mtactl_text(row, field), class[0] != '\0' ? " (" : "", class,
		class[0] != '\0' ? ")" : "");
}

static int64_t
limit_of(const struct mtactl_options *o)
{
	return o->limit >= 0 ? o->limit : LIST_LIMIT;
}

static void
print_table(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer, const char *address)
{
	static const struct mtactl_column columns[] = {
		{"ADDRESS", "address", mtactl_write_text, false, 20, false},
		{"SCOPE", "scope", mtactl_write_text, false, 10, false},
		{"REASON", "reason", write_reason, false, 0, false},
		{"ADDED", "added_us", write_added, false, 0, false},
		{"EXPIRES", "expires_us", write_expires, true, 0, false},
		{"NOTE", "note", mtactl_write_text, false, 10, true}};
	const json_t *rows = mtactl_rows(answer), *s = json_object_get(answer, "summary");
	const int64_t limit = limit_of(o);
	char n[32];

	if (json_array_size(rows) > 0)
		MTACTL_TABLE(m, columns, rows, mtactl_now(answer));
	else if (address != NULL)
		printf("%s is not on the list\n", address);
	else
		puts(o->scope != NULL || o->reason != NULL ? "nothing of that on the list"
							   : "nothing on the list");
	if (address == NULL && limit > 0 && (int64_t)json_array_size(rows) == limit &&
		mtactl_integer(s, "entries") > limit)
		printf("%s entries in all; mtactl suppress export writes them\n",
			mtactl_count(n, sizeof(n), mtactl_integer(s, "entries")));
}

static json_t *
look_request(const struct mtactl_options *o, const char *address, int64_t limit)
{
	json_t *r = json_pack("{s:s,s:I}", "command", "suppress", "limit", (json_int_t)limit);

	if (address != NULL)
		(void)json_object_set_new(r, "address", json_string(address));
	if (o->scope != NULL)
		(void)json_object_set_new(r, "scope", json_string(o->scope));
	if (o->reason != NULL)
		(void)json_object_set_new(r, "reason", json_string(o->reason));
	return r;
}

/* Exit code of show: 1 when it is not there, for scripts. */
static int
look(struct mtactl *m, const struct mtactl_options *o, const char *address)
{
	json_t *r = look_request(o, address, limit_of(o)), *answer;
	int code = 2;

	if ((answer = mtactl_ask(m, r, NULL, &code)) == NULL)
		return code;
	if (code == 0 && address != NULL && json_array_size(mtactl_rows(answer)) == 0)
		code = 1;
	if (m->json)
		code = mtactl_print_json(answer, o, code);
	else if (!mtactl_print_error(answer))
		print_table(m, o, answer, address);
	json_decref(answer);
	return code;
}

/* --- export --- */

struct export
{
	FILE *out;
	bool is_json;
};

static void
export_row(void *arg, json_t *row)
{
	struct export *x = arg;
	const struct suppress_record r = {.address = mtactl_text(row, "address"),
		.scope = mtactl_text(row, "scope"),
		.note = mtactl_text(row, "note"),
		.reason = suppress_reason_find(mtactl_text(row, "reason")),
		.added_us = mtactl_integer(row, "added_us"),
		.expires_us = mtactl_integer(row, "expires_us")};

	if (x->is_json) {
		(void)json_dumpf(row, x->out, JSON_COMPACT);
		putc('\n', x->out);
	} else
		suppress_csv_write(x->out, &r);
}

static int export(struct mtactl *m, const struct mtactl_options *o, const char *file)
{
	struct export x = {stdout, m->json};
	json_t *answer;
	int code = 2;

	if (strcmp(file, "-") != 0 && (x.out = fopen(file, "w")) == NULL) {
		fprintf(stderr, "mtactl: %s: %s\n", file, strerror(errno));
		return 2;
	}
	if (!x.is_json)
		suppress_csv_write_head(x.out);
	answer = mtactl_ask_each(m, look_request(o, NULL, 0), export_row, &x, &code);
	if (answer != NULL && mtactl_print_error(answer))
		code = 1;
	if (fflush(x.out) != 0 || ferror(x.out) || (x.out != stdout && fclose(x.out) != 0)) {
		fprintf(stderr, "mtactl: %s: %s\n", file, strerror(errno));
		code = 2;
	}
	json_decref(answer);
	return code;
}

/* --- add, allow, remove --- */

static int
change(struct mtactl *m, const struct mtactl_options *o)
{
	bool is_remove = strcmp(o->words[0], "remove") == 0;
	struct suppress_record defaults;
	json_t *r, *answer, *entries;
	long long count;
	int code = 2;

	if (is_remove && (o->reason != NULL || o->expire != NULL || o->note != NULL)) {
		fputs("mtactl: suppress remove takes --scope, or takes an address off all scopes\n", stderr);
		return 2;
	}
	if (!defaults_of(o, strcmp(o->words[0], "allow") == 0 ? SUPPRESS_ALLOW : SUPPRESS_MANUAL, &defaults))
		return 2;
	r = act_request(is_remove ? "remove" : "put", &defaults);
	if (is_remove && o->scope == NULL)
		(void)json_object_del(r, "scope");
	entries = json_object_get(r, "entries");
	for (int i = 1; i < o->word_count; i++)
		(void)json_array_append_new(entries, json_pack("[s]", o->words[i]));
	if ((answer = mtactl_ask(m, r, NULL, &code)) == NULL)
		return code;
	count = (long long)mtactl_integer(json_object_get(answer, "summary"), "count");
	if (code == 0 && is_remove && count == 0)
		code = 1;
	if (m->json)
		code = mtactl_print_json(answer, o, code);
	else if (!mtactl_print_error(answer))
		printf("%lld entr%s %s\n", count, count == 1 ? "y" : "ies",
			is_remove ? "removed" : "written");
	json_decref(answer);
	return code;
}

/* --- import --- */

struct import {
	struct mtactl *m;
	struct suppress_record defaults;
	struct suppress_record *entries;
	size_t count;
	char *text;
	size_t text_len;
	uint64_t lines, sent, bad;
	int asked[IN_FLIGHT]; /* frames sent and not answered, the oldest first */
	size_t asked_count;
	const char *file;
	bool has_progress;
};

static void
say_progress(const struct import *im, bool is_end)
{
	char n[32];

	if (im->has_progress)
		fprintf(stderr, "\r%s lines read, %llu entries written%s",
			mtactl_count(n, sizeof(n), (int64_t)im->lines), (unsigned long long)im->sent,
			is_end ? "\n" : "");
}

/* Hears of the oldest frame. False: said. */
static bool
hear_one(struct import *im)
{
	int code, oldest = im->asked[0];
	json_t *answer;
	bool ok;

	memmove(im->asked, im->asked + 1, --im->asked_count * sizeof(im->asked[0]));
	if ((answer = mtactl_ask_end(im->m, oldest, &code)) == NULL) {
		/* It is gone, which was said once. */
		while (im->asked_count > 0)
			close(im->asked[--im->asked_count]);
		return false;
	}
	ok = !mtactl_print_error(answer);
	if (ok)
		im->sent += (uint64_t)mtactl_integer(json_object_get(answer, "summary"), "count");
	json_decref(answer);
	say_progress(im, false);
	return ok;
}

/* Of all that were sent, also when one of them failed: what was written is told. */
static bool
hear_all(struct import *im)
{
	bool ok = true;

	while (im->asked_count > 0)
		ok = hear_one(im) && ok;
	return ok;
}

static bool
send_frame(struct import *im, json_t *take_request)
{
	int fd;

	(void)json_object_set_new(take_request, "quiet", json_true());
	if (im->asked_count == IN_FLIGHT && !hear_one(im)) {
		json_decref(take_request);
		return false;
	}
	if ((fd = mtactl_ask_begin(im->m, take_request)) < 0)
		return false;
	im->asked[im->asked_count++] = fd;
	return true;
}

/* In the order of keys; of two lines about the same the later one comes last, and wins. */
static int
compare(const void *a, const void *b)
{
	const struct suppress_record *x = a, *y = b;
	int order = strcmp(x->address, y->address);

	return order != 0 ? order : x->address < y->address ? -1 : 1;
}

static bool
flush(struct import *im)
{
	json_t *r = act_request("put", &im->defaults), *entry;
	size_t bytes = 0, len, n = 0;
	bool ok = true;

	qsort(im->entries, im->count, sizeof(im->entries[0]), compare);
	for (size_t i = 0; ok && i < im->count; i++) {
		entry = entry_of(&im->entries[i], &im->defaults);
		len = entry != NULL ? json_dumpb(entry, NULL, 0, JSON_COMPACT) + 1 : 0;
		if (n == FRAME_ENTRIES || bytes + len > FRAME_BYTES) {
			ok = send_frame(im, r);
			if (strcmp(im->entries[i].address, im->entries[i - 1].address) == 0)
				ok = hear_all(im) && ok;
			r = act_request("put", &im->defaults);
			n = bytes = 0;
		}
		(void)json_array_append_new(json_object_get(r, "entries"), entry);
		bytes += len;
		n++;
	}
	if (ok && n > 0)
		ok = send_frame(im, r);
	else
		json_decref(r);
	ok = hear_all(im) && ok;
	im->count = im->text_len = 0;
	return ok;
}

static const char *
keep(struct import *im, const char *text, size_t len)
{
	char *copy = im->text + im->text_len;

	memcpy(copy, text, len);
	copy[len] = '\0';
	im->text_len += len + 1;
	return copy;
}

static void
say_bad(struct import *im, const char *why)
{
	char clean[128];

	snprintf(clean, sizeof(clean), "%s", why);
	mtactl_clean(clean);
	if (im->bad++ < BAD_SHOWN)
		fprintf(stderr, "%s%s:%llu: %s\n", im->has_progress ? "\r" : "", im->file,
			(unsigned long long)im->lines, clean);
	else if (im->bad == BAD_SHOWN + 1)
		fprintf(stderr, "%s: more lines are bad and not shown\n", im->file);
}

static bool
is_text(const char *s)
{
	json_t *text = json_string(s); /* NULL: no UTF-8 */

	json_decref(text);
	return text != NULL;
}

/* False: the daemon cannot take more, and that was said. */
static bool
take_line(struct import *im, struct suppress_csv *csv, char *line, size_t len)
{
	char why[100], canonical[SUPPRESS_ADDRESS_MAX];
	struct suppress_record r;
	size_t address_len;
	int n;

	im->lines++;
	switch (suppress_csv_read(csv, line, len, &im->defaults, &r, why)) {
	case SUPPRESS_LINE_NONE:
		return true;
	case SUPPRESS_LINE_BAD:
		say_bad(im, why);
		return true;
	case SUPPRESS_LINE_ENTRY:
		break;
	}
	address_len = strnlen(r.address, SUPPRESS_CSV_LINE_MAX);
	n = suppress_canonical((struct queue_blob){r.address, address_len}, canonical);
	if ((n < 0 && !suppress_is_hash((struct queue_blob){r.address, address_len})) ||
		!is_text(r.address) || !is_text(r.scope) || !is_text(r.note)) {
		snprintf(why, sizeof(why), "no mail address, no @domain and no hash: \"%.40s\"", r.address);
		say_bad(im, why);
		return true;
	}
	if (n > 0)
		r.address = keep(im, canonical, (size_t)n);
	else
		r.address = keep(im, r.address, address_len);
	if (r.scope != im->defaults.scope)
		r.scope = keep(im, r.scope, strnlen(r.scope, SUPPRESS_CSV_LINE_MAX));
	if (r.note != im->defaults.note)
		r.note = keep(im, r.note, strnlen(r.note, SUPPRESS_NOTE_MAX));
	im->entries[im->count++] = r;
	return (im->count < ENTRIES_MAX && TEXT_MAX - im->text_len > (size_t)2 * SUPPRESS_CSV_LINE_MAX) ||
	       flush(im);
}

/* A line longer than any entry is passed over and told, whatever its length: memory stays what it is. */
static bool
read_file(struct import *im, FILE *in)
{
	struct suppress_csv csv = {.has_begun = false};
	char line[SUPPRESS_CSV_LINE_MAX + 1];
	bool ok = true;
	size_t len = 0;
	int c;

	while (ok && (c = getc_unlocked(in)) != EOF) {
		if (c != '\n') {
			if (len < SUPPRESS_CSV_LINE_MAX)
				line[len++] = (char)c;
			continue;
		}
		len -= len > 0 && line[len - 1] == '\r';
		line[len] = '\0';
		ok = take_line(im, &csv, line, len);
		len = 0;
	}
	line[len] = '\0';
	if (ok && len > 0)
		ok = take_line(im, &csv, line, len);
	if (ok && ferror(in)) {
		fprintf(stderr, "mtactl: %s: %s\n", im->file, strerror(errno));
		return false;
	}
	return ok && (im->count == 0 || flush(im));
}

/* One line in the log for all of it. */
static void
tell_imported(struct import *im)
{
	json_t *r = json_pack(
		"{s:s,s:s,s:I}", "command", "suppress-act", "op", "imported", "count", (json_int_t)im->sent);
	int code;

	json_decref(mtactl_ask(im->m, r, NULL, &code));
}

static int
import(struct mtactl *m, const struct mtactl_options *o, const char *file)
{
	struct import im = {.m = m, .file = file, .has_progress = !m->json && isatty(2) == 1};
	bool is_stdin = strcmp(file, "-") == 0, ok;
	FILE *in = is_stdin ? stdin : fopen(file, "r");
	char n[2][32];

	if (in == NULL) {
		fprintf(stderr, "mtactl: %s: %s\n", file, strerror(errno));
		return 2;
	}
	im.entries = malloc(ENTRIES_MAX * sizeof(im.entries[0]));
	im.text = malloc(TEXT_MAX);
	if (im.entries == NULL || im.text == NULL || !defaults_of(o, SUPPRESS_IMPORT, &im.defaults)) {
		free(im.entries);
		free(im.text);
		if (!is_stdin)
			fclose(in);
		return 2;
	}
	ok = read_file(&im, in);
	say_progress(&im, true);
	if (!is_stdin)
		fclose(in);
	if (im.sent > 0)
		tell_imported(&im);
	if (m->json)
		printf("{\"lines\": %llu, \"written\": %llu, \"bad\": %llu}\n", (unsigned long long)im.lines,
			(unsigned long long)im.sent, (unsigned long long)im.bad);
	else
		printf("%s %s written, %s %s bad\n", mtactl_count(n[0], sizeof(n[0]), (int64_t)im.sent),
			im.sent == 1 ? "entry" : "entries", mtactl_count(n[1], sizeof(n[1]), (int64_t)im.bad),
			im.bad == 1 ? "line" : "lines");
	free(im.entries);
	free(im.text);
	return !ok ? 2 : im.bad > 0 ? 1 : 0;
}

/* --- the command --- */

static int
complain(const char *words)
{
	fprintf(stderr, "mtactl: %s\n", words);
	return 2;
}

int
mtactl_suppress(struct mtactl *m, const struct mtactl_options *o)
{
	const char *act = o->word_count > 0 ? o->words[0] : "list",
		   *word = o->word_count > 1 ? o->words[1] : NULL;
	bool is_look = strcmp(act, "list") == 0 || strcmp(act, "show") == 0 || strcmp(act, "export") == 0;

	if (is_look && (o->expire != NULL || o->note != NULL))
		return complain("--expire and --note are for add, allow and import");
	if (!is_look && o->limit >= 0)
		return complain("--limit is for suppress list");
	if (strcmp(act, "list") == 0)
		return o->word_count > 1
			       ? complain("suppress list takes no address; suppress show ADDRESS does")
			       : look(m, o, NULL);
	if (strcmp(act, "export") == 0)
		return o->word_count > 2
			       ? complain("suppress export takes one file, or none for the terminal")
			       : export(m, o, word != NULL ? word : "-");
	if (word == NULL)
		return complain(strcmp(act, "import") == 0 ? "suppress import which file? - is standard input"
							   : "suppress: which address? user@example.com, or "
							     "@example.com for all of a domain");
	if (strcmp(act, "show") == 0 || strcmp(act, "import") == 0) {
		if (o->word_count > 2)
			return complain("suppress show and suppress import take one at a time");
		return act[0] == 's' ? look(m, o, word) : import(m, o, word);
	}
	return change(m, o);
}
