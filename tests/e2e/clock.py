# SPDX-License-Identifier: Apache-2.0
"""A wall clock that can be set while the daemon runs; the monotonic clock goes on as it does.

    clock = Clock(w)
    w.start(wrapper=clock.wrapper)
    clock.ahead(days=365)
    clock.at("1970-01-02T00:00:00")     # before the start, too
    clock.right()
    clock.kept(False)                   # what the kernel says about who keeps it; True at first
"""
import datetime
import os
import subprocess
import time

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* The file holds the shift in seconds as eight bytes, then whether nobody keeps the clock; it is mapped, so that a look
 * costs nothing. */
static volatile long long *
shift(void)
{
	static volatile long long *mapped;

	if (mapped == NULL) {
		int fd = open(getenv("TEST_CLOCK"), O_RDONLY | O_CLOEXEC);

		mapped = mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
		if (mapped == MAP_FAILED)
			abort();
		close(fd);
	}
	return mapped;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int err = (int)syscall(SYS_clock_gettime, id, ts);

	if (err == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += *shift();
	return err;
}

time_t
time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out != NULL)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

int
gettimeofday(struct timeval *tv, void *zone)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

int
adjtimex(struct timex *t)
{
	t->status = shift()[1] != 0 ? STA_UNSYNC : 0;
	return shift()[1] != 0 ? TIME_ERROR : TIME_OK;
}
"""


class Clock:
    def __init__(self, w):
        self.file = w.dir / "clock"
        self.seconds = 0
        self.file.write_bytes(bytes(16))
        source, library = w.dir / "clock.c", w.dir / "clock.so"
        source.write_text(SOURCE)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
        asan = os.environ.get("ASAN_OPTIONS", "")
        self.wrapper = ["env", f"TEST_CLOCK={self.file}", f"LD_PRELOAD={library}",
                        f"ASAN_OPTIONS={asan}:verify_asan_link_order=0"]

    def set(self, seconds):
        """The difference to the right time."""
        self.seconds = int(seconds)
        with open(self.file, "r+b") as f:
            f.write(self.seconds.to_bytes(8, "little", signed=True))

    def kept(self, is_kept):
        with open(self.file, "r+b") as f:
            f.seek(8)
            f.write(int(not is_kept).to_bytes(8, "little"))

    def ahead(self, days=0, seconds=0):
        """From where it stands; negative: back."""
        self.set(self.seconds + days * 86400 + seconds)

    def at(self, text):
        """ISO 8601, UTC."""
        self.set(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp() - time.time())

    def right(self):
        self.set(0)

    def now(self):
        return time.time() + self.seconds
