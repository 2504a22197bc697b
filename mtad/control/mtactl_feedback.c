/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl feedback read: what mtad makes of mails that came back, without a daemon: to see why a report was
 * not counted, and before the first one arrives. One mail in a file; of a directory all its files.
 */
#include "control/mtactl.h"

#include "feedback/prose.h"
#include "smtp_esc.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ALL_KNOWN = 0,
	SOME_UNKNOWN = 1,
	WRONG = 2,
	MAIL_MAX = 16777216, /* bytes read of a file */
};

struct look {
	struct feedback_reader *reader;
	json_t *rows; /* one for each mail */
	char *mail;   /* MAIL_MAX bytes */
	int64_t unknown;
	bool is_wrong;              /* a file could not be read */
	struct report_rules *rules; /* of the configuration; NULL: it has none that can be read */
};

/* --- one mail --- */

static void
set(json_t *o, const char *name, const char *text)
{
	if (text[0] != '\0')
		(void)json_object_set_new(o, name, json_string(text));
}

static json_t *
rcpt_row(const struct finding_rcpt *r)
{
	json_t *row = json_pack("{s:s}", "kind", finding_kind_name(r->kind));
	struct smtp_slice action = smtp_dsn_action_word(r->action);
	char status[SMTP_ESC_TEXT_MAX];

	set(row, "address", r->address);
	set(row, "original", r->original);
	if (r->is_redacted)
		(void)json_object_set_new(row, "redacted", json_true());
	if (action.len > 0)
		(void)json_object_set_new(row, "action", json_stringn(action.ptr, action.len));
	if (r->status.class_digit != 0) {
		int len = smtp_esc_write(r->status, status, sizeof(status));

		(void)json_object_set_new(row, "status", json_stringn(status, (size_t)(len > 0 ? len : 0)));
	}
	if (r->code != 0)
		(void)json_object_set_new(row, "code", json_integer(r->code));
	set(row, "remote_mta", r->remote_mta);
	set(row, "text", r->text);
	return row;
}

static json_t *
original_row(const struct finding_original *o)
{
	json_t *row = json_object();

	set(row, "message_id", o->message_id);
	set(row, "return_path", o->return_path);
	set(row, "from", o->from);
	set(row, "to", o->to);
	set(row, "feedback_id", o->feedback_id);
	set(row, "list_id", o->list_id);
	set(row, "list_unsubscribe", o->list_unsubscribe);
	set(row, "source_ip", o->source_ip);
	set(row, "arrival_date", o->arrival_date);
	set(row, "envid", o->envid);
	return row;
}

static json_t *
mail_row(const char *path, const struct finding *f)
{
	json_t *rcpts = json_array();
	json_t *row = json_pack("{s:s,s:s,s:b}", "file", path, "kind", finding_kind_name(f->kind),
		"is_truncated", (int)f->is_truncated);

	if (row == NULL) /* a file name that is no UTF-8 */
		row = json_pack("{s:s,s:s,s:b}", "file", "?", "kind", finding_kind_name(f->kind),
			"is_truncated", (int)f->is_truncated);
	set(row, "form", f->form != NULL ? f->form : "");
	set(row, "reporter", f->reporter);
	set(row, "feedback_type", f->feedback_type);
	set(row, "auth_failure", f->auth_failure);
	set(row, "delivery_result", f->delivery_result);
	set(row, "reported_domain", f->reported_domain);
	for (uint16_t i = 0; i < f->rcpt_count; i++)
		(void)json_array_append_new(rcpts, rcpt_row(&f->rcpts[i]));
	(void)json_object_set_new(row, "original", original_row(&f->original));
	(void)json_object_set_new(row, "recipients", rcpts);
	return row;
}

/* --- files --- */

/* Bytes read, at most MAIL_MAX; -1: errno says why not. */
static ssize_t
read_all(int fd, char *buf)
{
	size_t len = 0;
	ssize_t n;

	while (len < MAIL_MAX && (n = read(fd, buf + len, MAIL_MAX - len)) != 0) {
		if (n < 0)
			return -1;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static void
look_at_mail(struct look *l, const char *path, int fd)
{
	ssize_t len = read_all(fd, l->mail);
	const struct finding *f;

	if (len < 0) {
		fprintf(stderr, "mtactl: %s: %m\n", path);
		l->is_wrong = true;
		return;
	}
	f = feedback_read(l->reader, (struct smtp_slice){l->mail, (size_t)len});
	if (f->kind == FINDING_UNKNOWN)
		l->unknown++;
	(void)json_array_append_new(l->rows, mail_row(path, f));
}

static void look_at(struct look *l, const char *path, bool is_named);

static void
look_at_directory(struct look *l, const char *path)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, NULL, alphasort);
	char file[PATH_MAX];

	if (count < 0) {
		fprintf(stderr, "mtactl: %s: %m\n", path);
		l->is_wrong = true;
		return;
	}
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.') {
			snprintf(file, sizeof(file), "%.3500s/%s", path, entries[i]->d_name);
			look_at(l, file, false);
		}
		free(entries[i]);
	}
	free(entries);
}

/* is_named: on the command line; folders in folders are not looked at. */
static void
look_at(struct look *l, const char *path, bool is_named)
{
	bool is_input = is_named && strcmp(path, "-") == 0;
	int fd = is_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		fprintf(stderr, "mtactl: %s: %m\n", path);
		l->is_wrong = true;
	} else if (is_input || S_ISREG(st.st_mode)) {
		look_at_mail(l, path, fd);
	} else if (is_named && S_ISDIR(st.st_mode)) {
		look_at_directory(l, path);
	} else if (is_named) {
		fprintf(stderr, "mtactl: %s: neither a file nor a directory\n", path);
		l->is_wrong = true;
	}
	if (fd >= 0 && !is_input)
		close(fd);
}

/* --- showing --- */

/* A line for each recipient; one for a mail that names none. */
static json_t *
table_rows(const json_t *mails)
{
	json_t *rows = json_array(), *mail, *rcpt, *row;
	size_t i, k;

	json_array_foreach(mails, i, mail)
	{
		json_t *rcpts = json_object_get(mail, "recipients");

		json_array_foreach(rcpts, k, rcpt)
		{
			row = json_copy(rcpt);
			(void)json_object_set(row, "file", json_object_get(mail, "file"));
			(void)json_array_append_new(rows, row);
		}
		if (json_array_size(rcpts) == 0)
			(void)json_array_append(rows, mail);
	}
	return rows;
}

/* Its last part: what tells the files of a folder apart. */
static void
write_file(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const char *path = mtactl_text(row, field), *slash = strrchr(path, '/');

	snprintf(buf, max, "%s", slash != NULL ? slash + 1 : path);
	mtactl_clean(buf);
}

static void
show(const struct mtactl *m, const struct look *l)
{
	static const struct mtactl_column columns[] = {
		{"FILE", "file", write_file, false, 20, false},
		{"KIND", "kind", mtactl_write_text, false, 0, false},
		{"RECIPIENT", "address", mtactl_write_text, false, 24, false},
		{"STATUS", "status", mtactl_write_text, false, 0, false},
		{"CODE", "code", mtactl_write_number, true, 0, false},
		{"TEXT", "text", mtactl_write_text, false, 20, false},
	};
	json_t *rows = table_rows(l->rows);
	char mails[32], unknown[32];

	MTACTL_TABLE(m, columns, rows, 0);
	printf("%s %s, %s not understood%s\n",
		mtactl_count(mails, sizeof(mails), (int64_t)json_array_size(l->rows)),
		json_array_size(l->rows) == 1 ? "mail" : "mails",
		mtactl_count(unknown, sizeof(unknown), l->unknown),
		l->unknown > 0 ? "; report blocks say how to read more, see mtad.conf(5)" : "");
	json_decref(rows);
}

static int
finish(const struct mtactl *m, const struct mtactl_options *o, struct look *l)
{
	int code = l->is_wrong ? WRONG : l->unknown > 0 ? SOME_UNKNOWN : ALL_KNOWN;

	if (m->json) {
		json_t *answer = json_pack("{s:O,s:{s:I,s:I}}", "rows", l->rows, "summary", "mails",
			(json_int_t)json_array_size(l->rows), "unknown", (json_int_t)l->unknown);

		code = mtactl_print_json(answer, o, code);
		json_decref(answer);
	} else if (json_array_size(l->rows) > 0) {
		show(m, l);
	}
	return code;
}

/* Who has no configuration yet still sees what standard reports say. False: there is one, and it is wrong. */
static bool
read_rules(const struct mtactl *m, struct look *l)
{
	char shipped[PATH_MAX];
	const char *file = mtactl_rules_file(m, "reports.conf", shipped);
	const struct conf *conf;

	if (access(file, F_OK) < 0) {
		fprintf(stderr, "mtactl: %s: %m; only standard reports are read\n", file);
		return true;
	}
	if ((conf = conf_load(file, stderr)) == NULL)
		return false;
	if (conf->report_form_count == 0)
		fprintf(stderr,
			"mtactl: %s has no report blocks (include(\"reports.conf\")); only standard "
			"reports are read\n",
			file);
	l->rules = report_rules_create(conf);
	conf_unref(conf);
	return l->rules != NULL;
}

int
mtactl_feedback(struct mtactl *m, const struct mtactl_options *o)
{
	struct look l = {.rows = json_array()};
	int code = WRONG;

	if (o->word_count < 2 || strcmp(o->words[0], "read") != 0) {
		fputs("mtactl: feedback read FILE ...; a directory stands for its files, - for standard "
		      "input\n",
			stderr);
	} else if (!read_rules(m, &l)) {
		code = WRONG;
	} else if ((l.reader = feedback_reader_create(l.rules != NULL ? prose_read : NULL, l.rules)) ==
			   NULL ||
		   (l.mail = malloc(MAIL_MAX)) == NULL) {
		fputs("mtactl: out of memory\n", stderr);
	} else {
		for (int i = 1; i < o->word_count; i++)
			look_at(&l, o->words[i], true);
		code = finish(m, o, &l);
	}
	feedback_reader_destroy(&l.reader);
	report_rules_unref(l.rules);
	free(l.mail);
	json_decref(l.rows);
	return code;
}
