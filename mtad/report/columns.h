/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_COLUMNS_H
#define MTAD_REPORT_COLUMNS_H
/*
 * columns - an event as a line of CSV, with the columns a file asks for
 *
 * Names are those of conf/conf_column.def and header_NAME (the kept field of that name, in any case). Control
 * bytes become blanks, so a record is one line for every reader; quotes are doubled, there is no other
 * escape.
 *
 * Owner    of a set: who makes it. Thread: any. Fails: a line that does not fit is cut at a field; with
 * FORMAT_LINE_MAX and the default columns that never happens.
 * Spec     RFC 4180; PowerMTA User's Guide, accounting file.
 */
#include "conf/conf_consumer.h"
#include "report/event.h"

struct columns;

/* `conf` is borrowed for as long as they live; without fields: the default columns. NULL: no memory. */
struct columns *columns_create(const struct conf_columns *conf);
void columns_destroy(struct columns **cp);
/* The line that stands first in each file, with its line end. */
const char *columns_head(const struct columns *c);
/* Length, line end included. */
size_t columns_write(const struct columns *c, const struct event *e, char *buf, size_t max);
#endif
