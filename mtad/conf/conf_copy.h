/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_COPY_H
#define MTAD_CONF_CONF_COPY_H
/*
 * conf_copy - the configuration in force as text, and back: what decides when and by which way mail goes
 *
 * The files it came from may have been edited since. Left out is what only its daemon needs or may read:
 * listeners, rules, DKIM, TLS, and the files and passwords that settings name.
 *
 * Owner    as conf.h. Thread: any, but loading one at a time.
 */
#include "conf/conf.h"

/* Lines that conf_load_copy() takes; none is longer than a few hundred bytes and the longest name. */
void conf_write_copy(const struct conf *c, FILE *out);
/* `file` is what it is called. NULL: an error, said to `out`. */
const struct conf *conf_load_copy(const char *file, const char *bytes, size_t len, FILE *out);
#endif
