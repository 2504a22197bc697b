/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_PATTERN_H
#define MTAD_BASE_PATTERN_H
/*
 * pattern - regular expressions over untrusted bytes, bounded in time and memory
 *
 * Syntax is Perl's (pcre2pattern(3)); capital and small letters are the same unless it begins with (?-i).
 * Text is bytes: nothing in it is taken for UTF-8, and no byte is special but NUL, which ends nothing either.
 *
 * Owner    whoever made it.
 * Memory   some hundred bytes to some KB a pattern; matching takes a match block handed in, never more than
 *          PATTERN_HEAP_KB.
 * Thread   a pattern never changes: match from any thread, each with a block of its own.
 * Fails    pattern_create for what is no expression, with PCRE2's words and where. Matching gives up after
 *          PATTERN_STEPS_MAX steps from one place of the text: such a text counts as one that does not match.
 */
#include <stdbool.h>
#include <stddef.h>

enum {
	PATTERN_BYTES_MAX = 2000,  /* of an expression */
	PATTERN_STEPS_MAX = 10000, /* an honest one needs some hundred on the longest reply */
	PATTERN_HEAP_KB = 256,
	PATTERN_GROUPS_MAX = 16, /* of an expression whose groups are asked for, the whole being one */
};

struct pattern;
struct pattern_block;

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_GAVE_UP };

/* NULL: wrong; then *out_offset is the byte it was noticed at and `why` says what, in PCRE2's words. */
struct pattern *pattern_create(const char *text, size_t *out_offset, char *why, size_t why_max);
void pattern_destroy(struct pattern **pp);

/* What one thread needs to match; for any number of patterns. NULL: no memory. */
struct pattern_block *pattern_block_create(void);
void pattern_block_destroy(struct pattern_block **bp);
enum pattern_result pattern_match(
	const struct pattern *p, struct pattern_block *b, const char *text, size_t len);
/* The same at or behind byte `from`; what stands before that is still seen by \b and look-behind. */
enum pattern_result pattern_find(
	const struct pattern *p, struct pattern_block *b, const char *text, size_t len, size_t from);
/* The number of (?<name>...); -1: it has no such group, or more than one. 0 is the whole match. */
int pattern_group(const struct pattern *p, const char *name);
/* Where that group is in the text that was just found with this block. False: it took no part. */
bool pattern_captured(const struct pattern_block *b, int group, size_t *out_start, size_t *out_len);
#endif
