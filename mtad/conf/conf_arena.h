/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_ARENA_H
#define MTAD_CONF_CONF_ARENA_H
/*
 * conf_arena - memory that is taken piece by piece and given back as a whole
 *
 * Owner    whoever holds the struct; a zeroed one is empty and ready.
 * Memory   blocks of 64 KB, larger for larger pieces; everything is zeroed.
 * Thread   one at a time.
 * Fails    never: without memory for its configuration the process ends at once (abort), as nothing could go
 * on.
 */
#include <stdarg.h>
#include <stddef.h>

struct conf_arena_block;
struct conf_arena {
	struct conf_arena_block *blocks;
};

void *conf_arena_alloc(struct conf_arena *a, size_t bytes);
const char *conf_arena_text(struct conf_arena *a, const char *text, size_t len);
__attribute__((format(printf, 2, 3))) const char *conf_arena_printf(
	struct conf_arena *a, const char *format, ...);
void conf_arena_fini(struct conf_arena *a);
#endif
