/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one file that knows PCRE2. The expressions are the operator's, the text is any stranger's: what is
 * bounded here is how long a text may keep an expression busy. PCRE2 counts its steps anew at each place of
 * the text where a match could begin, so the longest time is that of PATTERN_STEPS_MAX steps for each byte.
 *
 * Compiled to machine code where the system lets us: a reply against the rules of a provider takes 3 us, 8 at
 * worst, and interpreted 12, 40 at worst (m). Our systemd unit does not let us (MemoryDenyWriteExecute); then
 * the same expressions are interpreted, with the same answers: only where one gives up can differ.
 */
#include "base/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pattern {
	pcre2_code *code;
};
struct pattern_block {
	pcre2_match_data *data;
	pcre2_match_context *limits;
	int group_count; /* of the last match that may be asked for */
};

struct pattern *
pattern_create(const char *text, size_t *out_offset, char *why, size_t why_max)
{
	size_t len = strnlen(text, PATTERN_BYTES_MAX + 1);
	struct pattern *p = calloc(1, sizeof(*p));
	int error = 0;

	*out_offset = 0;
	if (p == NULL || len > PATTERN_BYTES_MAX) {
		snprintf(why, why_max, p == NULL ? "out of memory" : "longer than %d bytes",
			PATTERN_BYTES_MAX);
		free(p);
		return NULL;
	}
	/* "(*UTF)" in front of an expression would have PCRE2 refuse every text that is no UTF-8. */
	p->code = pcre2_compile((PCRE2_SPTR)text, len,
		PCRE2_CASELESS | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C, &error,
		out_offset, NULL);
	if (p->code == NULL) {
		pcre2_get_error_message(error, (PCRE2_UCHAR *)why, why_max);
		free(p);
		return NULL;
	}
	(void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	return p;
}

void
pattern_destroy(struct pattern **pp)
{
	struct pattern *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	pcre2_code_free(p->code);
	free(p);
}

struct pattern_block *
pattern_block_create(void)
{
	struct pattern_block *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->data = pcre2_match_data_create(PATTERN_GROUPS_MAX, NULL);
	b->limits = pcre2_match_context_create(NULL);
	if (b->data == NULL || b->limits == NULL) {
		pattern_block_destroy(&b);
		return NULL;
	}
	pcre2_set_match_limit(b->limits, PATTERN_STEPS_MAX);
	pcre2_set_depth_limit(b->limits, PATTERN_STEPS_MAX);
	pcre2_set_heap_limit(b->limits, PATTERN_HEAP_KB);
	return b;
}

void
pattern_block_destroy(struct pattern_block **bp)
{
	struct pattern_block *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	pcre2_match_data_free(b->data);
	pcre2_match_context_free(b->limits);
	free(b);
}

enum pattern_result
pattern_find(const struct pattern *p, struct pattern_block *b, const char *text, size_t len, size_t from)
{
	int found;

	assert(from <= len);
	found = pcre2_match(p->code, (PCRE2_SPTR)text, len, from, 0, b->data, b->limits);
	/* 0: it matched, with more groups than there is room for; those are as if they took no part. */
	b->group_count = found > 0 ? found : found == 0 ? PATTERN_GROUPS_MAX : 0;
	if (found >= 0)
		return PATTERN_YES;
	return found == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_GAVE_UP;
}

enum pattern_result
pattern_match(const struct pattern *p, struct pattern_block *b, const char *text, size_t len)
{
	return pattern_find(p, b, text, len, 0);
}

int
pattern_group(const struct pattern *p, const char *name)
{
	int group = pcre2_substring_number_from_name(p->code, (PCRE2_SPTR)name);

	return group > 0 ? group : -1;
}

bool
pattern_captured(const struct pattern_block *b, int group, size_t *out_start, size_t *out_len)
{
	const PCRE2_SIZE *pair = pcre2_get_ovector_pointer(b->data);

	if (group < 0 || group >= b->group_count)
		return false;
	pair += 2 * (size_t)group;
	if (pair[0] == PCRE2_UNSET || pair[1] < pair[0])
		return false;
	*out_start = pair[0];
	*out_len = pair[1] - pair[0];
	return true;
}
