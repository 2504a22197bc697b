/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_STATS_H
#define MTASIM_STATS_H
/*
 * mtasim_stats - the books as one JSON object
 *
 * Owner    the caller frees the text. Thread: the base's. Fails: NULL, no memory; false, words are on stderr.
 */
#include "mtasim_dns.h"
#include "mtasim_site.h"

/* One line without its end. free() it. */
char *stats_text(const struct sim *sim, struct sim_sites *sites, const struct dns *dns);
/* Written beside the file and renamed, so that a reader never sees half of it. */
bool stats_write(const char *path, const char *text);
#endif
