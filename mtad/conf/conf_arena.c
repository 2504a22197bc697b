/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration is some ten thousand small pieces that live and die together. One list of blocks keeps
 * them: no piece is ever freed alone, so nothing can leak or be freed twice, and a half-loaded configuration
 * goes as easily as a whole.
 *
 * Invariant: the first block of the list is the only one with room that is still handed out.
 */
#include "conf/conf_arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 * 1024)
#define ALIGN       sizeof(max_align_t)

struct conf_arena_block {
	struct conf_arena_block *next;
	size_t used, size;
	_Alignas(max_align_t) char bytes[];
};

void *
conf_arena_alloc(struct conf_arena *a, size_t bytes)
{
	struct conf_arena_block *b = a->blocks;
	size_t need = (bytes + ALIGN - 1) / ALIGN * ALIGN;
	void *piece;

	if (b == NULL || b->size - b->used < need) {
		size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;

		b = calloc(1, sizeof(*b) + size);
		if (b == NULL)
			abort();
		b->size = size;
		b->next = a->blocks;
		a->blocks = b;
	}
	piece = b->bytes + b->used;
	b->used += need;
	return piece;
}

const char *
conf_arena_text(struct conf_arena *a, const char *text, size_t len)
{
	char *copy = conf_arena_alloc(a, len + 1);

	if (len > 0)
		memcpy(copy, text, len);
	return copy;
}

const char *
conf_arena_printf(struct conf_arena *a, const char *format, ...)
{
	va_list ap, again;
	char *text;
	int n;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0)
		abort();
	text = conf_arena_alloc(a, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, format, again);
	va_end(again);
	return text;
}

void
conf_arena_fini(struct conf_arena *a)
{
	struct conf_arena_block *b = a->blocks;

	a->blocks = NULL;
	while (b != NULL) {
		struct conf_arena_block *next = b->next;

		free(b);
		b = next;
	}
}
