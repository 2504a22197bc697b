/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which accounting files a command reads: those it is given, or those of the configuration. CSV and JSON
 * lines hold the same events, so it is one of the two; JSON says more.
 */
#include "control/mtactl.h"

#include "conf/conf.h"
#include "report/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_set(const char *path)
{
	return path != NULL && path[0] != '\0' && strcmp(path, "none") != 0;
}

/* To be freed; NULL: there is none, and that was said. */
static char *
configured_path(const struct mtactl *m)
{
	char *path = conf_path(m->conf_file, "accounting-json", stderr);

	if (path != NULL && !is_set(path)) {
		free(path);
		path = conf_path(m->conf_file, "accounting-file", stderr);
		if (path != NULL && !is_set(path)) {
			fprintf(stderr, "mtactl: %s has no accounting file\n", m->conf_file);
			free(path);
			return NULL;
		}
	}
	if (path == NULL)
		fputs("mtactl: name another configuration with -c FILE, or the accounting files behind the "
		      "command\n",
			stderr);
	return path;
}

/* A copy of what is given. */
static bool
copy_paths(char **words, int count, struct records_list *out)
{
	struct records_list l = {calloc((size_t)count, sizeof(*l.paths)), 0};

	while (l.paths != NULL && l.count < (size_t)count &&
		(l.paths[l.count] = strdup(words[l.count])) != NULL)
		l.count++;
	if (l.paths != NULL && l.count == (size_t)count) {
		*out = l;
		return true;
	}
	fputs("mtactl: out of memory\n", stderr);
	records_list_free(&l);
	return false;
}

bool
mtactl_accounting_files(
	const struct mtactl *m, char **words, int count, struct records_list *out, char **out_path)
{
	char *path, why[400];
	bool ok;

	if (count > 0)
		return copy_paths(words, count, out);
	if ((path = configured_path(m)) == NULL)
		return false;
	ok = records_list(path, out, why, sizeof(why));
	if (!ok)
		fprintf(stderr, "mtactl: %s\n", why);
	if (ok && out_path != NULL)
		*out_path = path;
	else
		free(path);
	return ok;
}
