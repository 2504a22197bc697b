/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration with errors is read as far as its two simple settings go: what became of mail is asked just
 * when something is wrong.
 */
#include "control/mtactl_files.h"

#include "report/index.h"
#include "report/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_TYPES ((1u << RECORD_TYPE_COUNT) - 1)

static bool
no_memory(void)
{
	fputs("mtactl: out of memory\n", stderr);
	return false;
}

static bool
add_file(struct mtactl_files *l, const char *path, unsigned take_set, bool has_choice)
{
	struct mtactl_file *grown = realloc(l->items, (l->count + 1) * sizeof(*grown));

	if (grown == NULL)
		return no_memory();
	l->items = grown;
	grown[l->count] = (struct mtactl_file){strdup(path), take_set, has_choice};
	if (grown[l->count].path == NULL)
		return no_memory();
	l->count++;
	return true;
}

/* The file, and what was rotated away from it. */
static bool
add_grown(struct mtactl_files *l, const struct book *b)
{
	struct records_list files;
	char why[400];
	bool ok = true;

	index_tidy(b->path);
	if (!records_list(b->path, &files, why, sizeof(why))) {
		fprintf(stderr, "mtactl: %s\n", why);
		return false;
	}
	for (size_t i = 0; ok && i < files.count; i++)
		ok = add_file(l, files.paths[i], b->take_set, b->has_choice);
	records_list_free(&files);
	return ok;
}

static bool
add_books(const struct mtactl *m, const struct conf *c, struct mtactl_files *l)
{
	struct books books;
	bool ok = true;

	books_choose(c, &books);
	if (books.count == 0) {
		fprintf(stderr, "mtactl: %s has no accounting file that can be read\n", m->conf_file);
		return false;
	}
	l->partial_set = books.partial_set;
	for (size_t i = 0; ok && i < books.count; i++)
		ok = add_grown(l, &books.items[i]);
	return ok;
}

/* 1: there is such a file. 0: there is none. -1: it is not known. */
static int
simple_path(const struct mtactl *m, const char *setting, char **out)
{
	char *path = conf_path(m->conf_file, setting, stderr);

	if (path == NULL)
		return -1;
	if (path[0] == '\0' || strcmp(path, "none") == 0) {
		free(path);
		return 0;
	}
	*out = path;
	return 1;
}

static bool
add_simple(const struct mtactl *m, struct mtactl_files *l)
{
	struct book b = {NULL, ALL_TYPES, false};
	char *path = NULL;
	int found = simple_path(m, "accounting-json", &path);
	bool ok;

	if (found == 0 && (found = simple_path(m, "accounting-file", &path)) == 0)
		fprintf(stderr, "mtactl: %s has no accounting file that can be read\n", m->conf_file);
	if (found < 0)
		fputs("mtactl: name another configuration with -c FILE, or the accounting files behind the "
		      "command\n",
			stderr);
	if (found <= 0)
		return false;
	b.path = path;
	ok = add_grown(l, &b);
	free(path);
	return ok;
}

static bool
add_configured(const struct mtactl *m, struct mtactl_files *l)
{
	FILE *nowhere = fopen("/dev/null", "we");
	const struct conf *c = nowhere != NULL ? conf_load_alone(m->conf_file, nowhere) : NULL;
	bool ok = c != NULL ? add_books(m, c, l) : add_simple(m, l);

	if (nowhere != NULL)
		fclose(nowhere);
	conf_unref(c);
	return ok;
}

bool
mtactl_files_open(const struct mtactl *m, char **words, int count, struct mtactl_files *out)
{
	bool ok = true;

	*out = (struct mtactl_files){.ids = books_ids_create()};
	if (out->ids == NULL)
		ok = no_memory();
	else if (count == 0)
		ok = add_configured(m, out);
	for (int i = 0; ok && i < count; i++)
		ok = add_file(out, words[i], ALL_TYPES, false);
	if (!ok)
		mtactl_files_close(out);
	return ok;
}

int
mtactl_files_take(struct mtactl_files *l, const struct mtactl_file *f, const struct record *rec)
{
	if ((f->take_set >> rec->type & 1) == 0)
		return 0;
	return f->has_choice ? books_ids_add(l->ids, rec->field[RECORD_ID]) : 1;
}

void
mtactl_files_close(struct mtactl_files *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i].path);
	free(l->items);
	books_ids_destroy(&l->ids);
	*l = (struct mtactl_files){.count = 0};
}
