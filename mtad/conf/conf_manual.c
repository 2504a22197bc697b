/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SETTINGS part of mtad.conf(5), written from the table, so that the page cannot disagree with the
 * program. mdoc takes a "." or "'" at the start of a line, and every backslash, as its own; both are kept
 * from it here.
 */
#include "conf/conf_load.h"

#include <string.h>

static const char *const type_words[] = {
	[CONF_TYPE_BOOL] = "yes or no",
	[CONF_TYPE_COUNT] = "a number",
	[CONF_TYPE_BYTES] = "a size",
	[CONF_TYPE_DURATION] = "a time",
	[CONF_TYPE_RATE] = "a rate",
	[CONF_TYPE_RATES] = "a rate, or a list of rates",
	[CONF_TYPE_BYTE_RATES] = "a byte rate, or a list of byte rates",
	[CONF_TYPE_TEXT] = "a text",
	[CONF_TYPE_PATH] = "a path",
	[CONF_TYPE_LIST] = "a list",
	[CONF_TYPE_DURATIONS] = "a list of times",
	[CONF_TYPE_CHOICE] = "one of",
	[CONF_TYPE_COUNTS] = "a list of numbers",
	[CONF_TYPE_PERCENT] = "a percentage",
};

/* Text of mdoc, each sentence on a line of its own. */
static void
print_text(FILE *out, const char *text)
{
	if (text[0] == '.' || text[0] == '\'')
		fputs("\\&", out);
	for (; *text != '\0'; text++) {
		if (text[0] == '.' && text[1] == ' ' && text[2] >= 'A' && text[2] <= 'Z') {
			fputs(".\n", out);
			text++;
		} else if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '`')
			fputs("\\(ga", out);
		else
			fputc(*text, out);
	}
}

static void
print_words(FILE *out, const char *words)
{
	for (; *words != '\0'; words++)
		if (*words == '|')
			fputs(", ", out);
		else
			fputc(*words, out);
}

/* "A time, from 1s to 7d; default 5m; needs a restart." */
static void
print_facts(FILE *out, const struct conf_row *row)
{
	fprintf(out, "(%s", type_words[row->type]);
	if (row->type == CONF_TYPE_CHOICE) {
		fputc(' ', out);
		print_words(out, row->min);
	} else if (row->max[0] != '\0') {
		fprintf(out, " from %s to %s", row->min, row->max);
	}
	if (row->fallback[0] != '\0') {
		bool is_list = conf_type_is_list(row->type);

		fputs("; default ", out);
		fputs(is_list ? "{ " : "", out);
		print_text(out, row->fallback);
		fputs(is_list ? " }" : "", out);
	}
	fputs(row->is_live ? ")\n" : "; needs a restart)\n", out);
}

static void
print_rows(FILE *out, const struct conf_row *rows, size_t count)
{
	char name[CONF_ROW_NAME_MAX];

	fputs(".Bl -tag -width Ds\n", out);
	for (size_t n = 0; n < count; n++) {
		fprintf(out, ".It Ic %s\n", conf_row_name(&rows[n], name));
		print_text(out, rows[n].doc);
		fputc('\n', out);
		print_facts(out, &rows[n]);
	}
	fputs(".El\n", out);
}

void
conf_print_manual(FILE *out)
{
	const struct conf_block_kind *top = &conf_kinds[CONF_KIND_TOP];

	fputs(".Sh SETTINGS\n.Ss Outside of blocks\n", out);
	print_rows(out, top->rows, top->row_count);
	for (int kind = CONF_KIND_TOP + 1; kind < CONF_KIND_COUNT; kind++) {
		const struct conf_block_kind *k = &conf_kinds[kind];

		fprintf(out, ".Ss %s %s { ... }\n", k->word, k->title);
		print_text(out, k->doc);
		fputc('\n', out);
		if (k->row_count > 0)
			print_rows(out, k->rows, k->row_count);
		if (kind == CONF_KIND_DOMAIN)
			print_rows(out, conf_delivery_rows, conf_delivery_row_count);
	}
}
