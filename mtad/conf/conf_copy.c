/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings are written from the tables that read them, so a new one is copied without being named here.
 *
 * Invariant: what a copy says of a block is what conf_diff would compare; every word is quoted.
 */
#include "conf/conf_copy.h"
#include "conf/conf_load.h"

#include <assert.h>
#include <string.h>

enum { WORD_MAX_BYTES = 65536 };

static void
write_word(FILE *out, const char *word, size_t len)
{
	fputc('"', out);
	for (size_t i = 0; i < len; i++) {
		if (word[i] == '"' || word[i] == '\\')
			fputc('\\', out);
		fputc(word[i], out);
	}
	fputs("\"", out);
}

/* "a, b", as conf_value_print() writes lists of numbers. */
static void
write_items(FILE *out, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, ",");

		fputs("\n", out);
		write_word(out, text, len);
		text += len;
		if (*text == ',')
			fputs(",", out);
		text += strspn(text, ", ");
	}
}

static void
write_setting(FILE *out, const struct conf_row *row, const void *field)
{
	const struct conf_list *list = field;
	struct conf_arena arena = {0};
	const char *text = conf_value_print(&arena, row, field);
	char name[CONF_ROW_NAME_MAX];

	fprintf(out, "%s = ", conf_row_name(row, name));
	if (row->type == CONF_TYPE_LIST) {
		fputs("{", out);
		for (size_t i = 0; i < list->count; i++) {
			fputs(i > 0 ? ",\n" : "\n", out);
			write_word(out, list->items[i], strnlen(list->items[i], WORD_MAX_BYTES));
		}
		fputs(" }\n", out);
	} else if (conf_type_is_list(row->type)) {
		fputs("{", out);
		write_items(out, text);
		fputs(" }\n", out);
	} else {
		write_word(out, text, strnlen(text, WORD_MAX_BYTES));
		fputc('\n', out);
	}
	conf_arena_fini(&arena);
}

/* What is not set is left out where that says the same. */
static bool
is_unset(const struct conf_row *row, const void *field)
{
	struct conf_arena arena = {0};
	bool is_empty = conf_value_print(&arena, row, field)[0] == '\0';

	conf_arena_fini(&arena);
	return is_empty && row->fallback[0] == '\0';
}

static bool
is_left_out(const struct conf_row *row)
{
	return row->type == CONF_TYPE_PATH || strncmp(row->field, "tls", 3) == 0;
}

/* Delivery settings that a block leaves to others are not written; those it empties are. */
static void
write_rows(FILE *out, const struct conf_block_kind *k, void *block)
{
	const struct conf_delivery *d =
		k->has_delivery ? (const struct conf_delivery *)((char *)block + k->delivery_offset) : NULL;
	const struct conf_row *row;

	for (size_t n = 0; (row = conf_kind_row(k, n)) != NULL; n++) {
		const void *field = conf_kind_field(k, n, block);
		bool is_said;

		if (n < k->row_count) {
			is_said = !is_unset(row, field);
		} else {
			assert(d != NULL);
			is_said = (d->is_set >> (n - k->row_count) & 1) != 0;
		}
		if (is_said && !is_left_out(row))
			write_setting(out, row, field);
	}
}

/* Of the top level what is about sending. */
static bool
is_sending(const struct conf_row *row)
{
	static const char *const fields[] = {"hostname", "connections_total", "connect_rate_total",
		"rate_total", "recipient_rate_total", "byte_rate_total", "rates_count", "retry_jitter"};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strcmp(row->field, fields[i]) == 0)
			return true;
	return false;
}

void
conf_write_copy(const struct conf *c, FILE *out)
{
	static const int kinds[] = {CONF_KIND_USER, CONF_KIND_STREAM, CONF_KIND_GUARD, CONF_KIND_SOURCE,
		CONF_KIND_POOL, CONF_KIND_WARMUP, CONF_KIND_DOMAIN, CONF_KIND_PROVIDER, CONF_KIND_PROFILE,
		CONF_KIND_ROUTE};
	struct conf *from = (struct conf *)(uintptr_t)c; /* the tables know no const; nothing is changed */
	const struct conf_block_kind *top = &conf_kinds[CONF_KIND_TOP];

	for (size_t n = 0; n < top->row_count; n++)
		if (is_sending(&top->rows[n]) && !is_unset(&top->rows[n], conf_kind_field(top, n, from)))
			write_setting(out, &top->rows[n], conf_kind_field(top, n, from));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct conf_block_kind *k = &conf_kinds[kinds[i]];
		size_t count = *(const size_t *)((const char *)c + k->count);

		for (size_t n = 0; n < count; n++) {
			void *block = conf_block_at(from, kinds[i], n);
			const char *name = *(const char *const *)((const char *)block + k->name);

			fprintf(out, "%s ", k->word);
			write_word(out, name, strnlen(name, WORD_MAX_BYTES));
			fputs(" {\n", out);
			write_rows(out, k, block);
			fputs("}\n", out);
		}
	}
}
