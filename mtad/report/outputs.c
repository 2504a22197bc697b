/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that could not be opened at first has the descriptor -1 and is passed over everywhere: there is
 * nothing to be lost, for the outbox keeps events until all files have them.
 */
#include "report/outputs.h"

#include "report/format.h"

#include <stdio.h>
#include <string.h>

static bool
has_file(const char *path)
{
	return path[0] != '\0' && strcmp(path, "none") != 0;
}

static bool
add_output(struct outputs *o, const char *name, const char *path, const struct conf_columns *csv)
{
	struct output *out = &o->items[o->count];

	if (!has_file(path))
		return true;
	*out = (struct output){.name = name, .path = path, .file = {.fd = -1}};
	o->count++;
	return csv == NULL || (out->columns = columns_create(csv)) != NULL;
}

bool
outputs_init(struct outputs *o, const struct conf *conf)
{
	static const struct conf_columns simple = {.user_string = ""};
	const struct conf_consumers *c = &conf->consumers;
	bool ok;

	*o = (struct outputs){.paths = conf_ref(conf)};
	ok = add_output(o, "", conf->accounting_file, &simple) &&
	     add_output(o, "/json", conf->accounting_json, NULL);
	for (size_t i = 0; ok && i < c->accounting_count; i++) {
		const struct conf_accounting *a = &c->accountings[i];

		ok = add_output(o, a->name, a->path, a->format == CONF_ACCOUNTING_CSV ? &a->columns : NULL);
		o->items[o->count - 1].is_block = true;
	}
	return ok;
}

void
outputs_fini(struct outputs *o)
{
	outputs_close(o);
	for (size_t i = 0; i < o->count; i++)
		columns_destroy(&o->items[i].columns);
	conf_unref(o->paths);
	*o = (struct outputs){.count = 0};
}

/* A block that has gone from the configuration keeps its file until the restart, and gets nothing more. */
static const struct conf_records *
find_block(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->consumers.accounting_count; i++)
		if (strcmp(conf->consumers.accountings[i].name, name) == 0)
			return &conf->consumers.accountings[i].which;
	return NULL;
}

void
outputs_choose(struct outputs *o, const struct conf *conf)
{
	for (size_t i = 0; i < o->count; i++)
		o->items[i].which =
			o->items[i].is_block ? find_block(conf, o->items[i].name) : &conf->consumers.records;
}

const char *
outputs_trouble(const struct outputs *o)
{
	for (size_t i = 0; i < o->count; i++)
		if (o->items[i].file.why[0] != '\0')
			return o->items[i].file.why;
	return "";
}

void
outputs_close(struct outputs *o)
{
	for (size_t i = 0; i < o->count; i++)
		file_close(&o->items[i].file);
}

bool
outputs_are_open(const struct outputs *o)
{
	for (size_t i = 0; i < o->count; i++)
		if (o->items[i].file.fd >= 0)
			return true;
	return false;
}

static const char *
head_of(const struct output *out)
{
	return out->columns != NULL ? columns_head(out->columns) : "";
}

bool
outputs_open(struct outputs *o, struct state *marks, int64_t now_us)
{
	const struct file_mark none = {0, 0};

	for (size_t i = 0; i < o->count; i++)
		o->items[i].file.why[0] = '\0';
	for (size_t i = 0; i < o->count; i++) {
		struct output *out = &o->items[i];
		const struct state_file *known = state_file_find(marks, out->name);

		if (!file_open(&out->file, out->path, head_of(out), known != NULL ? &known->mark : &none,
			    now_us))
			return false;
	}
	return true;
}

static bool
add_line(struct output *out, const struct event *e, char *line, size_t *bytes)
{
	struct file *f = &out->file;
	size_t n;

	if (f->fd < 0 || out->which == NULL || !format_fits(out->which, e))
		return true;
	n = out->columns != NULL ? columns_write(out->columns, e, line, FORMAT_LINE_MAX)
				 : format_json(e, line, FORMAT_LINE_MAX);
	if (n == 0) {
		snprintf(f->why, sizeof(f->why), "cannot make a record for %s: out of memory", f->path);
		return false;
	}
	*bytes += n;
	return file_add(f, line, n);
}

bool
outputs_add(struct outputs *o, const struct event *e, char *line, size_t *bytes)
{
	for (size_t i = 0; i < o->count; i++)
		if (!add_line(&o->items[i], e, line, bytes))
			return false;
	return true;
}

bool
outputs_write(struct outputs *o)
{
	for (size_t i = 0; i < o->count; i++)
		if (o->items[i].file.fd >= 0 && !file_write(&o->items[i].file))
			return false;
	return true;
}

bool
outputs_sync(struct outputs *o, struct state *marks)
{
	struct state now = {.file_count = 0};

	for (size_t i = 0; i < o->count; i++) {
		struct state_file *f = &now.files[now.file_count];

		if (o->items[i].file.fd < 0)
			continue;
		snprintf(f->name, sizeof(f->name), "%s", o->items[i].name);
		if (!file_sync(&o->items[i].file, &f->mark))
			return false;
		now.file_count++;
	}
	memcpy(marks->files, now.files, sizeof(now.files));
	marks->file_count = now.file_count;
	return true;
}

static bool
is_due(const struct file *f, const struct outputs_rotation *when)
{
	if (f->fd < 0 || f->written <= strnlen(f->head, FORMAT_LINE_MAX))
		return false;
	return when->is_forced || (when->bytes > 0 && f->written >= when->bytes) ||
	       (when->age_us > 0 && when->now_us - f->opened_us >= when->age_us);
}

enum outputs_begun
outputs_rotate(struct outputs *o, const struct outputs_rotation *when, struct log *log)
{
	enum outputs_begun begun = OUTPUTS_NONE_BEGUN;
	char name[4200];

	for (size_t i = 0; i < o->count; i++) {
		struct file *f = &o->items[i].file;

		if (!is_due(f, when))
			continue;
		if (!file_rotate(f, when->now_us, name, sizeof(name)))
			return OUTPUTS_FAILED;
		log_event(log, LOG_EVENT_rotated, "file=%s", name);
		begun = OUTPUTS_BEGUN;
	}
	return begun;
}

enum outputs_begun
outputs_check_places(struct outputs *o, int64_t now_us)
{
	const struct file_mark none = {0, 0};
	enum outputs_begun begun = OUTPUTS_NONE_BEGUN;

	for (size_t i = 0; i < o->count; i++) {
		struct file *f = &o->items[i].file;

		if (f->fd < 0 || file_is_in_place(f))
			continue;
		file_close(f);
		if (!file_open(f, f->path, f->head, &none, now_us))
			return OUTPUTS_FAILED;
		begun = OUTPUTS_BEGUN;
	}
	return begun;
}
