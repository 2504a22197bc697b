/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values into structs. A block starts as a copy of its kind's defaults, made once, so that 50,000 blocks do
 * not parse the default of every setting 50,000 times.
 *
 * Invariant: after conf_fill every field has a value of its type and no pointer is NULL, also where errors
 * were found.
 */
#include "conf/conf_load.h"

#include <string.h>

_Static_assert(CONF_KIND_COUNT < 32, "kinds are few");

/* The settings one block has seen: a second "=" for the same is an error wherever it stands. */
struct seen {
	struct conf_place at[CONF_ROWS_MAX];
};

void *
conf_block_at(struct conf *c, int kind, size_t n)
{
	const struct conf_block_kind *k = &conf_kinds[kind];

	if (kind == CONF_KIND_TOP)
		return c;
	return *(char **)((char *)c + k->items) + n * k->bytes;
}

/* Relative paths start at the folder of the file they are written in, wherever the daemon is started. */
const char *
conf_folder_of(struct conf_loader *l, const char *file)
{
	const char *slash = strrchr(file, '/');
	int len = slash == NULL ? 0 : slash == file ? 1 : (int)(slash - file);

	if (file[0] == '/')
		return conf_arena_text(&l->scratch, file, (size_t)len);
	return conf_arena_printf(&l->scratch, len > 0 ? "%s/%.*s" : "%s", l->folder, len, file);
}

static void
fill_settings(struct conf_loader *l, int kind, const struct conf_raw_block *b, void *block, struct seen *seen)
{
	const struct conf_block_kind *k = &conf_kinds[kind];
	struct conf_value_env env = {&l->owner->arena, conf_folder_of(l, b->at.file)};
	char name[CONF_ROW_NAME_MAX];
	struct conf_why why;

	for (const struct conf_raw_setting *s = b->settings; s != NULL; s = s->next) {
		const struct conf_row *row = conf_kind_row(k, s->row);

		if (seen->at[s->row].file != NULL) {
			conf_error(&l->report, s->at, "\"%s\" is given twice, first at %s:%d",
				conf_row_name(row, name), seen->at[s->row].file, seen->at[s->row].line);
			continue;
		}
		seen->at[s->row] = s->at;
		if (!conf_value_store(&env, row, s->items, s->count, conf_kind_field(k, s->row, block), &why))
			conf_error(&l->report, s->at, "%s: %s", conf_row_name(row, name), why.text);
		else if (s->row >= k->row_count)
			((struct conf_delivery *)((char *)block + k->delivery_offset))->is_set |=
				UINT64_C(1) << (s->row - k->row_count);
	}
}

static void
fill_defaults(struct conf_loader *l, int kind, void *block)
{
	const struct conf_block_kind *k = &conf_kinds[kind];
	struct conf_value_env env = {&l->owner->arena, "/"};

	for (size_t n = 0; conf_kind_row(k, n) != NULL; n++)
		conf_value_store_default(&env, conf_kind_row(k, n), conf_kind_field(k, n, block));
}

/* What conf.def does not know of must not be NULL either. */
static void
fill_derived(int kind, void *block)
{
	if (kind == CONF_KIND_USER)
		((struct conf_user *)block)->password_hash = "";
	else if (kind == CONF_KIND_ROUTE)
		((struct conf_route *)block)->password = "";
	else if (kind == CONF_KIND_WEBHOOK)
		((struct conf_webhook *)block)->secret = "";
}

static void
fill_kind(struct conf_loader *l, int kind)
{
	const struct conf_block_kind *k = &conf_kinds[kind];
	size_t count = l->raw.counts[kind], n = 0;
	/* One more than there are, so that the defaults that stand in for a missing block have a place. */
	char *items = conf_arena_alloc(&l->owner->arena, (count + 1) * k->bytes);

	*(char **)((char *)l->conf + k->items) = items;
	*(size_t *)((char *)l->conf + k->count) = count;
	l->blocks[kind] = conf_arena_alloc(&l->scratch, (count + 1) * sizeof(*l->blocks[kind]));
	fill_defaults(l, kind, items + count * k->bytes);
	fill_derived(kind, items + count * k->bytes);
	for (const struct conf_raw_block *b = l->raw.blocks[kind]; b != NULL; b = b->next, n++) {
		char *block = items + n * k->bytes;
		struct seen seen = {0};

		memcpy(block, items + count * k->bytes, k->bytes);
		*(const char **)(block + k->name) =
			conf_arena_text(&l->owner->arena, b->title, strnlen(b->title, 65536));
		*(const char **)(block + k->at) =
			conf_arena_printf(&l->owner->arena, "%s:%d", b->at.file, b->at.line);
		l->blocks[kind][n] = b;
		fill_settings(l, kind, b, block, &seen);
	}
}

void
conf_fill(struct conf_loader *l)
{
	struct seen seen = {0};

	fill_defaults(l, CONF_KIND_TOP, l->conf);
	for (const struct conf_raw_block *b = l->raw.blocks[CONF_KIND_TOP]; b != NULL; b = b->next)
		fill_settings(l, CONF_KIND_TOP, b, l->conf, &seen);
	for (int kind = CONF_KIND_TOP + 1; kind < CONF_KIND_COUNT; kind++)
		fill_kind(l, kind);
}
