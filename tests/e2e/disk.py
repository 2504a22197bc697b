# SPDX-License-Identifier: Apache-2.0
"""A disk that can be made to fail or to hang while the daemon runs: fdatasync() of the spool's file, replaced.

    disk = Disk(w)
    w.start(wrapper=disk.wrapper)
    disk.becomes("failing")     # each sync fails with EIO
    disk.becomes("hanging")     # each sync waits until the disk is well
    disk.becomes("well")
"""
import os
import subprocess

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

static int
is_spool(int fd)
{
	char link[64], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return 0;
	path[n] = 0;
	return strstr(path, "data.mdb") != NULL;
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
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

	if (is_spool(fd)) {
		while (is_state("hanging"))
			usleep(20000);
		if (is_state("failing")) {
			errno = EIO;
			return -1;
		}
	}
	return real(fd);
}
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
        for old in self.flag.parent.glob("disk.*ing"):
            old.unlink()
        if state != "well":
            self.flag.with_suffix("." + state).write_text("")
