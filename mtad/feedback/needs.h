/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_NEEDS_H
#define MTAD_FEEDBACK_NEEDS_H
/*
 * needs - what a text must contain for a regular expression to be found in it, asked before it is tried
 *
 * A few hundred expressions over each reply would cost a hundred microseconds. Nearly all of them begin with
 * a word the reply does not have: what each needs is read from it once, as triples of bytes, and a reply is
 * one set of those it has. A triple that is there by accident costs a look; one that is missing is a proof.
 *
 * Owner    whoever made it.
 * Memory   8 bytes for each letter of the expression, at most NEEDS_MAX of them.
 * Thread   never changes.
 * Fails    needs_create: NULL without memory. An expression it cannot read (options, named groups,
 *          classes by name) needs nothing: it is always tried.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NEEDS_MAX = 600, NEEDS_SET_BITS = 4096, NEEDS_DEPTH_MAX = 16 };

struct needs;
struct needs_set {
	uint64_t words[NEEDS_SET_BITS / 64];
};

/* Of an expression that base/pattern.h takes. */
struct needs *needs_create(const char *expression, size_t len);
void needs_destroy(struct needs **np);
/* Whether the text of that set may match. */
bool needs_are_met(const struct needs *n, const struct needs_set *set);
/* The triples of a text; capitals count as small letters. */
void needs_of_text(struct needs_set *out, const char *text, size_t len);
#endif
