# SPDX-License-Identifier: Apache-2.0
"""A disk that can be made to fail or to hang while the daemon runs: system calls on the spool's data file and on the
accounting files, replaced.

    disk = Disk(w)
    w.start(wrapper=disk.wrapper)
    disk.becomes("failing")     # each fdatasync() fails with EIO
    disk.becomes("hanging")     # each fdatasync() waits until the disk is well
    disk.becomes("full")        # each write fails with ENOSPC
    disk.becomes("read-only")   # with EROFS
    disk.becomes("over-quota")  # with EDQUOT
    disk.becomes("bad")         # with EIO
    disk.becomes("bad-meta")    # with EIO where the spool's two meta pages are
    disk.becomes("short")       # each write takes half of what it is given
    disk.becomes("no-inodes")   # a file that is not there cannot be made: ENOSPC
    disk.becomes("well")
"""
import os
import subprocess

STATES = ("failing", "hanging", "full", "read-only", "over-quota", "bad", "bad-meta", "short", "no-inodes")
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int
is_ours(int fd)
{
	char link[64], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return 0;
	path[n] = 0;
	return strstr(path, "/data.mdb") != NULL || strstr(path, "/acct.") != NULL;
}

static int
is_state(const char *state)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.%s", getenv("TEST_DISK"), state);
	return access(path, F_OK) == 0;
}

int
fdatasync(int fd)
{
	if (is_ours(fd)) {
		while (is_state("hanging"))
			usleep(20000);
		if (is_state("failing")) {
			errno = EIO;
			return -1;
		}
	}
	return REAL(fdatasync)(fd);
}

/* 0: go on; 1: take half; -1: errno says why not. */
static int
write_fate(int fd)
{
	static const struct { const char *state; int error; } fates[] = {
		{"full", ENOSPC}, {"read-only", EROFS}, {"over-quota", EDQUOT}, {"bad", EIO},
	};
	int saved = errno;

	if (!is_ours(fd)) {
		errno = saved;
		return 0;
	}
	for (size_t i = 0; i < sizeof(fates) / sizeof(fates[0]); i++)
		if (is_state(fates[i].state)) {
			errno = fates[i].error;
			return -1;
		}
	int half = is_state("short");
	errno = saved;
	return half;
}

static size_t
part(size_t n, int half)
{
	return half && n > 1 ? n / 2 : n;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	int fate = write_fate(fd);

	return fate < 0 ? -1 : REAL(write)(fd, p, part(n, fate));
}

/* LMDB has two meta pages, the first of the file. */
static int
pwrite_fate(int fd, off_t at)
{
	int saved = errno;

	if (at < 2 * 4096 && is_ours(fd) && is_state("bad-meta")) {
		errno = EIO;
		return -1;
	}
	errno = saved;
	return write_fate(fd);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	int fate = pwrite_fate(fd, at);

	return fate < 0 ? -1 : REAL(pwrite)(fd, p, part(n, fate), at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	int fate = pwrite_fate(fd, at);

	return fate < 0 ? -1 : REAL(pwrite64)(fd, p, part(n, fate), at);
}

ssize_t
writev(int fd, const struct iovec *v, int count)
{
	int fate = write_fate(fd);

	if (fate <= 0)
		return fate < 0 ? -1 : REAL(writev)(fd, v, count);
	return REAL(write)(fd, v[0].iov_base, part(v[0].iov_len, 1));
}

ssize_t
pwritev(int fd, const struct iovec *v, int count, off_t at)
{
	int fate = pwrite_fate(fd, at);

	if (fate <= 0)
		return fate < 0 ? -1 : REAL(pwritev)(fd, v, count, at);
	return REAL(pwrite)(fd, v[0].iov_base, part(v[0].iov_len, 1), at);
}

static int
is_refused(const char *path, int flags)
{
	int saved = errno;
	int yes = (flags & O_CREAT) && strstr(path, "/acct.") != NULL && access(path, F_OK) < 0 && is_state("no-inodes");

	errno = yes ? ENOSPC : saved;
	return yes;
}

#define OPEN(name) \
	int \
	name(const char *path, int flags, ...) \
	{ \
		va_list ap; \
		va_start(ap, flags); \
		mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0; \
		va_end(ap); \
		return is_refused(path, flags) ? -1 : REAL(name)(path, flags, mode); \
	}
OPEN(open)
OPEN(open64)
"""


class Disk:
    def __init__(self, w):
        self.flag = w.dir / "disk"
        source, library = w.dir / "disk.c", w.dir / "disk.so"
        source.write_text(SOURCE)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
        asan = os.environ.get("ASAN_OPTIONS", "")
        self.wrapper = ["env", f"TEST_DISK={self.flag}", f"LD_PRELOAD={library}",
                        f"ASAN_OPTIONS={asan}:verify_asan_link_order=0"]

    def becomes(self, state):
        for old in STATES:
            self.flag.with_suffix("." + old).unlink(missing_ok=True)
        if state != "well":
            assert state in STATES
            self.flag.with_suffix("." + state).write_text("")
