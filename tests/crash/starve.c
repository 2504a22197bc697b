/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions here are found before those of the C library, for they stand in the program itself. A
 * sanitizer keeps its own under another name, and so does the C library. No power is cut in these
 * programs: fsync() is answered at once, or thousands of runs would wait for the disk; weakly, for a test
 * that wants it to fail has its own.
 */
#include "starve.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef STARVE_SANITIZED
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *old, size_t size);
void REAL(free)(void *p);

static struct {
	bool is_on, is_for_good, is_paused;
	size_t largest; /* 0: any size may be had */
	uint64_t left;  /* until one fails */
	uint64_t failed;
	int64_t live;
} starve;

void
starve_begin(uint64_t n, bool for_good)
{
	starve.is_on = true;
	starve.is_for_good = for_good;
	starve.left = n;
	starve.failed = 0;
}

void
starve_larger(size_t largest)
{
	starve.largest = largest;
	starve.failed = 0;
}

void
starve_pause(bool is_paused)
{
	starve.is_paused = is_paused;
}

uint64_t
starve_end(void)
{
	starve.is_on = false;
	starve.largest = 0;
	return starve.failed;
}

bool
starve_is_on(void)
{
	return starve.is_on;
}

int64_t
starve_live(void)
{
	return starve.live;
}

static bool
fails(size_t size)
{
	if (starve.is_paused)
		return false;
	if (starve.largest > 0 && size > starve.largest) {
		starve.failed++;
		errno = ENOMEM;
		return true;
	}
	if (!starve.is_on)
		return false;
	if (starve.left > 0)
		starve.left--;
	if (starve.left > 0 || (starve.failed > 0 && !starve.is_for_good))
		return false;
	starve.failed++;
	errno = ENOMEM;
	return true;
}

static void *
counted(void *p)
{
	starve.live += p != NULL;
	return p;
}

void *
malloc(size_t size)
{
	return fails(size) ? NULL : counted(REAL(malloc)(size));
}

void *
calloc(size_t count, size_t size)
{
	return fails(count * size) ? NULL : counted(REAL(calloc)(count, size));
}

void *
realloc(void *old, size_t size)
{
	void *p;

	if (fails(size))
		return NULL;
	p = REAL(realloc)(old, size);
	if (old == NULL)
		counted(p);
	return p;
}

char *
strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = malloc(size);

	return copy == NULL ? NULL : memcpy(copy, text, size);
}

void
free(void *p)
{
	starve.live -= p != NULL;
	REAL(free)(p);
}

__attribute__((weak)) int
fsync(int fd)
{
	return 0;
}

__attribute__((weak)) int
fdatasync(int fd)
{
	return 0;
}
