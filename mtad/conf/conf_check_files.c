/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files a configuration points to. They are looked at when the configuration is loaded, so that a missing key
 * stops a reload and not, hours later, a delivery. A secret that others can read is no secret: that is an
 * error, not a warning, as nobody reads warnings of a daemon that works.
 */
#include "conf/conf_load.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX 4096

/* The file open for reading, or -1 and reported. */
static int
open_file(struct conf_loader *l, struct conf_place at, const char *path, struct stat *out_st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 || fstat(fd, out_st) < 0)
		conf_error(&l->report, at, "%s cannot be opened: %s", path, strerror(errno));
	else if (!S_ISREG(out_st->st_mode))
		conf_error(&l->report, at, "%s is not a regular file", path);
	else
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool
conf_check_readable(struct conf_loader *l, struct conf_place at, const char *path)
{
	struct stat st;
	int fd = open_file(l, at, path, &st);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Root reads everything; after the start the file is run-as's to read, and at a reload again. */
static bool
is_anothers(const struct conf *c, const struct stat *st)
{
	const struct passwd *account = geteuid() == 0 && c->run_as[0] != '\0' ? getpwnam(c->run_as) : NULL;

	return account != NULL && account->pw_uid != 0 && account->pw_uid != st->st_uid;
}

static int
open_secret(struct conf_loader *l, struct conf_place at, const char *path)
{
	struct stat st;
	int fd = open_file(l, at, path, &st);

	if (fd >= 0 && is_anothers(l->conf, &st)) {
		conf_error(&l->report, at, "%s is not readable by %s (run-as); run: chown %s %s", path,
			l->conf->run_as, l->conf->run_as, path);
		close(fd);
		return -1;
	}
	if (fd >= 0 && (st.st_mode & 077) != 0) {
		conf_error(&l->report, at, "%s can be read by others (mode %04o); run: chmod 600 %s", path,
			(unsigned)(st.st_mode & 07777), path);
		close(fd);
		return -1;
	}
	return fd;
}

bool
conf_check_secret_file(struct conf_loader *l, struct conf_place at, const char *path)
{
	int fd = open_secret(l, at, path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

const char *
conf_read_secret(struct conf_loader *l, struct conf_place at, const char *path)
{
	char bytes[SECRET_MAX];
	size_t len = 0;
	ssize_t n;
	int fd = open_secret(l, at, path);

	if (fd < 0)
		return "";
	while (len < sizeof(bytes) && (n = read(fd, bytes + len, sizeof(bytes) - len)) > 0)
		len += (size_t)n;
	close(fd);
	for (n = 0; (size_t)n < len && bytes[n] != '\n' && bytes[n] != '\r' && bytes[n] != '\0'; n++)
		;
	if (n == 0)
		conf_error(&l->report, at, "%s: its first line is empty", path);
	else if ((size_t)n == sizeof(bytes))
		conf_error(
			&l->report, at, "%s: its first line is longer than %d bytes", path, SECRET_MAX - 1);
	else
		return conf_arena_text(&l->owner->arena, bytes, (size_t)n);
	return "";
}

/* crypt(3) of the system decides what it can check; the words are for what is met most. */
void
conf_check_password_hash(struct conf_loader *l, struct conf_place at, const char *path, const char *hash)
{
	int salt = crypt_checksalt(hash);

	if (strncmp(hash, "$argon2", 7) == 0)
		conf_error(&l->report, at,
			"%s: argon2 hashes cannot be checked by crypt(3); make a yescrypt hash with "
			"`mtactl passwd`",
			path);
	else if (hash[0] != '$' || salt == CRYPT_SALT_INVALID)
		conf_error(&l->report, at,
			"%s: the first line is no crypt(3) hash ($y$, $2b$, $6$); make one with "
			"`mtactl passwd`",
			path);
	else if (salt == CRYPT_SALT_METHOD_LEGACY || strncmp(hash, "$1$", 3) == 0 ||
		 strncmp(hash, "$3$", 3) == 0 || strncmp(hash, "$md5", 4) == 0 ||
		 strncmp(hash, "$sha1", 5) == 0)
		conf_error(&l->report, at,
			"%s: this kind of hash is too weak; make a yescrypt hash with `mtactl passwd`", path);
	else if (strnlen(hash, SECRET_MAX) < 40)
		conf_error(&l->report, at, "%s: the hash is cut short", path);
}
