/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mail is written under a name that begins with a dot and gets its own when all of it is on disk. Names
 * begin with the time, so the oldest is the first by name.
 */
#include "intake/unread.h"

#include "smtp_date.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD_MAX = 2048, MODE_FOLDER = 0700, MODE_FILE = 0600 };

static bool
fail(const char *folder, const char *what, char *why, size_t why_max)
{
	snprintf(why, why_max, "%s: %s: %s", folder, what, strerror(errno));
	return false;
}

/* A descriptor of the folder, -1: errno. */
static int
open_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT || (mkdir(folder, MODE_FOLDER) != 0 && errno != EEXIST))
		return fd;
	return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Control characters of an envelope would end a line. */
static void
clean(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			*text = '?';
}

static int
write_head(const struct unread_mail *m, char *buf)
{
	char date[SMTP_DATE_LEN + 1] = {0}, sender[SMTP_ADDRESS_MAX + 1], rcpt[SMTP_ADDRESS_MAX + 1],
				  helo[SMTP_DOMAIN_MAX + 1];

	(void)!smtp_date_write(m->now_us / 1000000, date, sizeof(date));
	snprintf(sender, sizeof(sender), "%.*s", (int)m->sender.len, m->sender.ptr);
	snprintf(rcpt, sizeof(rcpt), "%.*s", (int)m->rcpt.len, m->rcpt.ptr);
	snprintf(helo, sizeof(helo), "%.*s", (int)m->helo.len, m->helo.ptr);
	clean(sender);
	clean(rcpt);
	clean(helo);
	return snprintf(buf, HEAD_MAX,
		"Return-Path: <%s>\r\nDelivered-To: %s\r\nReceived: from %s ([%s])\r\n\tby %s;\r\n\t%s\r\n",
		sender, rcpt, helo, m->client_ip, m->hostname, date);
}

static bool
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
write_file(int folder, const char *name, const struct unread_mail *m)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, MODE_FILE), kept_errno;
	size_t len = m->bytes.len < UNREAD_BYTES_MAX ? m->bytes.len : UNREAD_BYTES_MAX;
	char head[HEAD_MAX];
	bool ok;

	if (fd < 0)
		return false;
	ok = write_all(fd, head, (size_t)write_head(m, head)) && write_all(fd, m->bytes.ptr, len) &&
	     fsync(fd) == 0;
	kept_errno = errno;
	close(fd);
	errno = kept_errno;
	return ok;
}

bool
unread_keep(const char *folder, const struct unread_mail *m, char out_name[UNREAD_NAME_MAX], char *why,
	size_t why_max)
{
	int fd = open_folder(folder);
	char temporary[UNREAD_NAME_MAX + 1];
	bool ok;

	if (fd < 0)
		return fail(folder, "cannot be opened", why, why_max);
	snprintf(out_name, UNREAD_NAME_MAX, "%016lld-%08x.eml", (long long)m->now_us, m->random);
	snprintf(temporary, sizeof(temporary), ".%s", out_name);
	ok = write_file(fd, temporary, m) && renameat(fd, temporary, fd, out_name) == 0 && fsync(fd) == 0;
	if (!ok) {
		(void)fail(folder, out_name, why, why_max);
		(void)unlinkat(fd, temporary, 0);
	}
	close(fd);
	return ok;
}

/* Those of unread_keep, and no others. */
static int
is_mail(const struct dirent *e)
{
	size_t len = strnlen(e->d_name, UNREAD_NAME_MAX);

	return e->d_name[0] >= '0' && e->d_name[0] <= '9' && len > 4 &&
	       strcmp(e->d_name + len - 4, ".eml") == 0;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int
unread_trim(const char *folder, int64_t max, int64_t keep, int64_t *out_left, char *why, size_t why_max)
{
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, is_mail, by_name), gone = 0, i;
	int fd = count < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (count < 0 || fd < 0)
		(void)fail(folder, "cannot be read", why, why_max);
	for (i = 0; i < count; i++) {
		if (fd >= 0 && count > max && count - i > keep && unlinkat(fd, entries[i]->d_name, 0) == 0)
			gone++;
		free(entries[i]);
	}
	free(entries);
	if (fd >= 0)
		close(fd);
	*out_left = count < 0 ? 0 : count - gone;
	return count < 0 || fd < 0 ? -1 : gone;
}
