/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_TEXT_H
#define MTAD_CONF_CONF_TEXT_H
/*
 * conf_text - the bytes of one file, checked and written so that libconfuse cannot misread them
 *
 * Owner    conf_parse, for one file.
 * Memory   `text` and `lines` are malloc'd; conf_text_fini frees them.
 * Thread   the caller's.
 * Fails    -1 when quotes or braces do not close: nothing after that can be understood. Everything else that
 * is wrong is reported, left out, and the rest goes on.
 */
#include "conf/conf_report.h"

#include <stddef.h>
#include <stdint.h>

#define CONF_FILE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define CONF_LINE_BYTES_MAX ((size_t)64 * 1024)
#define CONF_EMPTY_LIST     "\x01" /* stands in "{}" as its only word; no file can hold that byte */
#define CONF_LINE_INSIDE    255    /* the line starts inside a statement */

/* A line of the file: where it starts in `text` and how many braces are open there. */
struct conf_text_line {
	uint32_t offset;
	uint8_t depth;
};
struct conf_text {
	char *text;
	size_t len;
	struct conf_text_line *lines; /* line_count of them, then one for the end */
	size_t line_count;
};

/*
 * In `text` every word is quoted, comments and the parentheses of include() are gone, "=" has become "+=" (so
 * that a second assignment is seen and does not replace the first), and values and titles begin with a tag
 * "line:statement:".
 */
int conf_text_read(
	struct conf_text *t, const char *bytes, size_t len, const char *file, struct conf_report *r);
void conf_text_fini(struct conf_text *t);
/* The word behind a tag; *out_line and *out_statement get what the tag says. A word without a tag is returned
 * whole. */
const char *conf_text_untag(const char *word, int *out_line, int *out_statement);
#endif
