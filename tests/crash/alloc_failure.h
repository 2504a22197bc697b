/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_ALLOC_FAILURE_H
#define TESTS_CRASH_ALLOC_FAILURE_H
/*
 * alloc_failure - what the ordeals of the spool and of the schedule have in common
 *
 * `run` is called with an allocator that may fail and ends early when it must; `check` comes after it, with
 * memory again, looks whether everything that was promised is kept, and puts everything away.
 */
#include <stdbool.h>
#include <stddef.h>

struct ordeal {
	const char *name;
	void (*run)(void);
	void (*check)(void);
};

/* Ends the program with the words, the ordeal and the number of the allocation. */
void must_at(bool is_good, const char *file, int line, const char *what);
#define must(is_good) must_at((is_good), __FILE__, __LINE__, #is_good)

extern const struct ordeal store_ordeals[], sched_ordeals[];
extern const size_t store_ordeal_count, sched_ordeal_count;
#endif
