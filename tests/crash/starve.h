/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_STARVE_H
#define TESTS_CRASH_STARVE_H
/*
 * starve - an allocator that has nothing left when the test says so, and counts the blocks that are out
 *
 * malloc, calloc, realloc, strdup and free of the whole program, shared libraries included, come through
 * here; with a sanitizer they go on to its own.
 *
 * Thread   one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The n-th allocation from here (from 1) fails, and with `for_good` every later one too, until starve_end().
 */
void starve_begin(uint64_t n, bool for_good);
/* Every allocation of more bytes than this fails, until starve_end(). */
void starve_larger(size_t largest);
/* What comes between is not counted and does not fail. */
void starve_pause(bool is_paused);
/* How many failed since it began. */
uint64_t starve_end(void);
bool starve_is_on(void);
/* Blocks allocated and not freed. */
int64_t starve_live(void);
#endif
