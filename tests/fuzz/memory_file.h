/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_MEMORY_FILE_H
#define TESTS_FUZZ_MEMORY_FILE_H
/*
 * memory_file - the fuzzer's bytes as a file with a path, mode 0600, that touches no disk
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEMORY_FILE_PATH = 40 };

/* The descriptor, to be closed by the caller; the path is good until then. */
static inline int
memory_file(const uint8_t *bytes, size_t len, char path[MEMORY_FILE_PATH])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || fchmod(fd, 0600) < 0)
		abort();
	snprintf(path, MEMORY_FILE_PATH, "/proc/self/fd/%d", fd);
	return fd;
}
#endif
