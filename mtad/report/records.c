/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One buffer, from which lines are handed out where they stand: a half line at its end moves to its front
 * when the next bytes are read.
 */
#include "report/records.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	READ_FIRST = 16384, /* behind a seek a line or two are wanted */
	READ_MOST = 1 << 20,
	BUFFER = READ_MOST + RECORDS_LINE_MAX,
	FILES_MAX = 100000,
	PATH_BYTES = 4096,
};

#define COMPRESSED ".gz"

struct records {
	struct unpack *file;
	struct stat st;
	struct record_columns columns;
	uint64_t base; /* offset of the buffer's first byte */
	size_t at, len;
	size_t portion; /* to be read next */
	bool is_end, is_skipping;
	uint64_t record_at, head_at;
	struct records_stats stats;
	char buffer[BUFFER];
};

struct records *
records_create(void)
{
	return calloc(1, sizeof(struct records));
}

static void
close_file(struct records *r)
{
	unpack_close(&r->file);
}

void
records_destroy(struct records **rp)
{
	struct records *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	close_file(r);
	free(r);
}

static void
begin_at(struct records *r, uint64_t offset)
{
	r->base = offset;
	r->at = r->len = 0;
	r->portion = READ_FIRST;
	r->is_end = r->is_skipping = false;
}

bool
records_open(struct records *r, const char *path, char *why, size_t why_max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	close_file(r);
	if (fd >= 0 && fstat(fd, &r->st) == 0)
		r->file = unpack_open(fd);
	else if (fd >= 0)
		close(fd);
	if (r->file == NULL) {
		snprintf(why, why_max, "%s: %s", path, strerror(errno));
		return false;
	}
	r->columns.count = 0;
	r->head_at = UINT64_MAX;
	begin_at(r, 0);
	return true;
}

/* More bytes behind those that are there. False: it cannot be read. */
static bool
fill(struct records *r)
{
	ssize_t n;

	memmove(r->buffer, r->buffer + r->at, r->len - r->at);
	r->base += r->at;
	r->len -= r->at;
	r->at = 0;
	assert(r->len + r->portion <= sizeof(r->buffer));
	if ((n = unpack_read(r->file, r->buffer + r->len, r->portion)) < 0)
		return false;
	r->is_end = n == 0;
	r->len += (size_t)n;
	r->portion = r->portion < READ_MOST ? 2 * r->portion : READ_MOST;
	return true;
}

/* The next whole line, without its end. 1, 0: no more, -1: it cannot be read. */
static int
next_line(struct records *r, char **out, size_t *out_len)
{
	size_t looked = 0;
	char *end;

	for (;;) {
		char *from = r->buffer + r->at;

		end = memchr(from + looked, '\n', r->len - r->at - looked);
		if (end != NULL) {
			*out = from;
			*out_len = (size_t)(end - from);
			r->at += *out_len + 1;
			if (!r->is_skipping)
				return 1;
			r->is_skipping = false;
			looked = 0;
			continue;
		}
		looked = r->len - r->at;
		if (looked > RECORDS_LINE_MAX || r->is_skipping) { /* its rest is passed over */
			r->stats.foreign += !r->is_skipping;
			r->is_skipping = true;
			r->at = r->len;
			looked = 0;
		}
		if (r->is_end)
			return 0;
		if (!fill(r))
			return -1;
	}
}

int
records_next(struct records *r, struct record *out, char *why, size_t why_max)
{
	size_t len;
	char *line;
	int got;

	while ((got = next_line(r, &line, &len)) > 0) {
		uint64_t offset = r->base + (uint64_t)(line - r->buffer);

		switch (record_parse(&r->columns, line, len, out)) {
		case RECORD_READ:
			r->stats.records++;
			r->record_at = offset;
			return 1;
		case RECORD_HEAD:
			r->head_at = offset;
			break;
		case RECORD_FOREIGN:
			r->stats.foreign += len > 0;
			break;
		}
	}
	if (got < 0)
		snprintf(why, why_max, "%s", unpack_trouble(r->file));
	else if (r->len > r->at || r->is_skipping)
		r->stats.unfinished++;
	return got;
}

int
records_at(struct records *r, uint64_t offset, struct record *out)
{
	size_t len;
	char *line;

	if (!records_seek(r, offset) || next_line(r, &line, &len) <= 0)
		return 0;
	r->record_at = offset;
	return record_parse(&r->columns, line, len, out) == RECORD_READ ? 1 : 0;
}

bool
records_seek(struct records *r, uint64_t offset)
{
	if (offset > INT64_MAX || !unpack_seek(r->file, offset))
		return false;
	begin_at(r, offset);
	return true;
}

uint64_t
records_offset(const struct records *r)
{
	return r->base + r->at;
}

uint64_t
records_record_offset(const struct records *r)
{
	return r->record_at;
}

uint64_t
records_head_offset(const struct records *r)
{
	return r->head_at;
}

const struct stat *
records_stat(const struct records *r)
{
	return &r->st;
}

bool
records_is_compressed(const struct records *r)
{
	return unpack_is_packed(r->file);
}

void
records_watch(struct records *r, unpack_on_place *on_place, void *arg)
{
	unpack_watch(r->file, on_place, arg);
}

void
records_use(struct records *r, const struct unpack_place *places, size_t count)
{
	unpack_use(r->file, places, count);
}

void
records_stats(const struct records *r, struct records_stats *out)
{
	*out = r->stats;
}

/* --- which files --- */

/* What follows the name of the growing file: ".20261130-120000", "-20261130.gz", ".1". */
static bool
is_rotated(const char *rest)
{
	const char *tail;

	if ((rest[0] != '.' && rest[0] != '-') || rest[1] < '0' || rest[1] > '9')
		return false;
	tail = rest + 1 + strspn(rest + 1, "0123456789-");
	return tail[0] == '\0' || strcmp(tail, COMPRESSED) == 0;
}

/* While gzip works there are both: the plain one is whole. */
static bool
has_plain(const char *folder, const char *name)
{
	char path[PATH_BYTES + 300];
	int len = snprintf(path, sizeof(path), "%s%s", folder, name);
	int plain = len - (int)sizeof(COMPRESSED) + 1;

	if (plain <= 0 || strcmp(path + plain, COMPRESSED) != 0)
		return false;
	path[plain] = '\0';
	return access(path, F_OK) == 0;
}

/* A file, and when it was written to last: packing leaves that as it was. */
struct candidate {
	char *path;
	int64_t mtime_ns;
};
struct candidates {
	struct candidate *files;
	size_t count;
};

static int
by_time(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->mtime_ns != y->mtime_ns)
		return x->mtime_ns < y->mtime_ns ? -1 : 1;
	return strcmp(x->path, y->path);
}

static bool
add_path(struct candidates *l, const char *folder, const char *name)
{
	struct candidate *grown;
	struct stat st;
	char *path;

	if (l->count == FILES_MAX)
		return false;
	if ((l->count & (l->count - 1)) == 0) { /* 0, 1, 2, 4 ... */
		grown = realloc(l->files, (l->count > 0 ? 2 * l->count : 1) * sizeof(*grown));
		if (grown == NULL)
			return false;
		l->files = grown;
	}
	if (asprintf(&path, "%s%s", folder, name) < 0)
		return false;
	if (stat(path, &st) != 0)
		memset(&st, 0, sizeof(st));
	l->files[l->count++] = (struct candidate){
		path, (int64_t)st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec};
	return true;
}

/* The list out of the candidates, of which nothing is left. */
static bool
take_paths(struct candidates *c, bool ok, struct records_list *out)
{
	struct records_list l = {ok ? calloc(c->count, sizeof(*l.paths)) : NULL, c->count};

	for (size_t i = 0; i < c->count; i++)
		if (l.paths != NULL)
			l.paths[i] = c->files[i].path;
		else
			free(c->files[i].path);
	free(c->files);
	if (l.paths != NULL)
		*out = l;
	return l.paths != NULL;
}

static bool
add_rotated(struct candidates *l, const char *folder, const char *base)
{
	size_t base_len = strnlen(base, PATH_BYTES);
	struct dirent *entry;
	bool ok = true;
	DIR *dir;

	if ((dir = opendir(folder[0] != '\0' ? folder : ".")) == NULL)
		return false;
	while (ok && (entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, base, base_len) == 0 && is_rotated(entry->d_name + base_len) &&
			!has_plain(folder, entry->d_name))
			ok = add_path(l, folder, entry->d_name);
	closedir(dir);
	return ok;
}

bool
records_list(const char *path, struct records_list *out, char *why, size_t why_max)
{
	const char *slash = strrchr(path, '/');
	struct candidates c = {NULL, 0};
	char folder[PATH_BYTES];
	bool ok;

	snprintf(folder, sizeof(folder), "%.*s", slash != NULL ? (int)(slash + 1 - path) : 0, path);
	errno = ENOMEM;
	ok = add_rotated(&c, folder, slash != NULL ? slash + 1 : path);
	if (ok && c.count > 0)
		qsort(c.files, c.count, sizeof(*c.files), by_time);
	if (ok && (access(path, F_OK) == 0 || c.count == 0))
		ok = add_path(&c, "", path);
	if (!ok)
		snprintf(why, why_max, "%s: %s", path, strerror(errno));
	return take_paths(&c, ok, out) && ok;
}

void
records_list_free(struct records_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->paths[i]);
	free(l->paths);
	*l = (struct records_list){NULL, 0};
}
