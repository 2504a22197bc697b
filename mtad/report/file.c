/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mark is what makes records exactly-once: bytes behind it are cut after a crash, because their events
 * are written again from the outbox. The folder is fsynced when a name in it changes.
 */
#include "report/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_FIRST = 65536, SUFFIX_TRIES = 100, PATH_BYTES = 4096 };

static bool
fail(struct file *f, const char *what)
{
	snprintf(f->why, sizeof(f->why), "%s %s: %s", what, f->path, strerror(errno));
	return false;
}

static void
folder_of(const char *path, char *buf, size_t max)
{
	const char *slash = strrchr(path, '/');

	snprintf(buf, max, "%.*s",
		slash == path   ? 1
		: slash != NULL ? (int)(slash - path)
				: 1,
		slash != NULL ? path : ".");
}

static bool
sync_folder(struct file *f)
{
	char folder[PATH_BYTES];
	int fd;
	bool ok;

	folder_of(f->path, folder, sizeof(folder));
	if ((fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return fail(f, "cannot open the folder of");
	ok = fsync(fd) == 0 || fail(f, "cannot sync the folder of");
	close(fd);
	return ok;
}

/* The file that has the mark's inode, under a name that begins like ours: a crash came between its rename and
 * the note of it. False: there is none. */
static bool
cut_rotated(const struct file *f, const struct file_mark *mark)
{
	char folder[PATH_BYTES], name[PATH_BYTES + 300];
	const char *slash = strrchr(f->path, '/'), *base = slash != NULL ? slash + 1 : f->path;
	size_t base_len = strnlen(base, PATH_BYTES);
	struct dirent *entry;
	bool found = false;
	struct stat st;
	DIR *dir;

	folder_of(f->path, folder, sizeof(folder));
	if ((dir = opendir(folder)) == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL) {
		if (entry->d_ino != mark->inode || strncmp(entry->d_name, base, base_len) != 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
		found = stat(name, &st) == 0 && S_ISREG(st.st_mode);
		if (found && (uint64_t)st.st_size > mark->offset)
			(void)!truncate(name, (off_t)mark->offset);
	}
	closedir(dir);
	return found;
}

static bool
write_all(struct file *f, const char *bytes, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(f->fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(f, "cannot write");
		bytes += n;
		len -= (size_t)n;
		f->written += (uint64_t)n;
	}
	return true;
}

/* Cuts behind the mark, and gives a fragment of a line that is then at the end its line end. */
static bool
repair(struct file *f, const struct stat *st, const struct file_mark *mark)
{
	char last = '\n';

	f->written = (uint64_t)st->st_size;
	if (mark->inode == (uint64_t)st->st_ino) {
		if (f->written > mark->offset)
			f->written = mark->offset;
	} else if (mark->inode != 0 && cut_rotated(f, mark))
		f->written = 0; /* begun after the file that has the mark */
	if (f->written < (uint64_t)st->st_size && ftruncate(f->fd, (off_t)f->written) != 0)
		return fail(f, "cannot cut");
	if (f->written > 0 && pread(f->fd, &last, 1, (off_t)f->written - 1) == 1 && last != '\n')
		return write_all(f, "\n", 1);
	return true;
}

bool
file_open(struct file *f, const char *path, const char *head, const struct file_mark *mark, int64_t now_us)
{
	struct stat st;

	f->path = path;
	f->head = head;
	f->len = 0;
	f->opened_us = now_us;
	if ((f->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640)) < 0)
		return fail(f, "cannot open");
	if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		errno = EINVAL;
		fail(f, "not a regular file:");
		file_close(f);
		return false;
	}
	f->inode = (uint64_t)st.st_ino;
	if (!repair(f, &st, mark) ||
		(f->written == 0 && head[0] != '\0' && !write_all(f, head, strnlen(head, 4096))) ||
		!sync_folder(f)) {
		file_close(f);
		return false;
	}
	return true;
}

bool
file_add(struct file *f, const char *line, size_t len)
{
	size_t max = f->max == 0 ? BUFFER_FIRST : f->max;
	char *grown;

	while (max - f->len < len)
		max *= 2;
	if (max > f->max) {
		if ((grown = realloc(f->buffer, max)) == NULL) {
			errno = ENOMEM;
			return fail(f, "cannot buffer for");
		}
		f->buffer = grown;
		f->max = max;
	}
	memcpy(f->buffer + f->len, line, len);
	f->len += len;
	return true;
}

bool
file_write(struct file *f)
{
	size_t len = f->len;

	f->len = 0;
	return len == 0 || write_all(f, f->buffer, len);
}

bool
file_sync(struct file *f, struct file_mark *out_mark)
{
	if (fdatasync(f->fd) != 0)
		return fail(f, "cannot sync");
	out_mark->inode = f->inode;
	out_mark->offset = f->written;
	return true;
}

/* Never over an existing file; and in one step, for with two names for a moment a crash would leave it both
 * rotated and growing. */
static bool
rename_to_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return true;
	/* A file system that cannot (NFS). */
	return errno == EINVAL && link(from, to) == 0 && unlink(from) == 0;
}

bool
file_rotate(struct file *f, int64_t now_us, char *new_name, size_t new_name_max)
{
	const struct file_mark none = {0, 0};
	time_t seconds = now_us / 1000000;
	char stamp[32];
	struct tm tm;
	int i;

	gmtime_r(&seconds, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	for (i = 0; i < SUFFIX_TRIES; i++) {
		if (i == 0)
			snprintf(new_name, new_name_max, "%s.%s", f->path, stamp);
		else
			snprintf(new_name, new_name_max, "%s.%s-%d", f->path, stamp, i);
		if (rename_to_new(f->path, new_name))
			break;
		if (errno != EEXIST)
			return fail(f, "cannot rename");
	}
	if (i == SUFFIX_TRIES)
		return fail(f, "cannot rename");
	file_close(f);
	return file_open(f, f->path, f->head, &none, now_us);
}

bool
file_is_in_place(const struct file *f)
{
	struct stat st;

	return f->fd >= 0 && stat(f->path, &st) == 0 && (uint64_t)st.st_ino == f->inode &&
	       (uint64_t)st.st_size >= f->written;
}

void
file_close(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	free(f->buffer);
	f->buffer = NULL;
	f->len = f->max = 0;
}
