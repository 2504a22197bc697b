/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_POWERCUT_H
#define TESTS_POWERCUT_H
/*
 * powercut - what the two halves of the test share: powercut.c has mail, powercut_lists.c the tables whose
 * state follows from nothing but the numbers of the transactions that have happened
 *
 * is_committed is by number; that of the transaction under way, or found after a cut, is not looked at.
 */
#include "queue_store.h"

#include <stdbool.h>
#include <stdint.h>

/* Ends the test: it cannot go on. */
void must(bool is_good, const char *what);
/* In the child that looks at an image: says what is wrong and ends. */
void want(bool is_good, const char *what, uint64_t number);

/* The part of transaction `attempt` in the list of suppressed addresses and among the tokens. */
void lists_write(struct queue_store *s, const bool *is_committed, uint32_t attempt);
/* They are as after transaction `found` and those before it that were committed. */
void lists_check(struct queue_store *s, const bool *is_committed, uint32_t found);
#endif
