/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_GRAMMAR_H
#define MTASIM_GRAMMAR_H
/*
 * mtasim_grammar - which blocks and options a scenario file has, and how their values are written
 *
 * README.md beside this file is the manual of the format. A tree that was returned is valid option by option;
 * what several options mean together is mtasim_script's affair.
 *
 * Fails    with words on stderr, file:line first.
 */
#include <confuse.h>
#include <stdint.h>

/* NULL: refused. Free with cfg_free(). */
cfg_t *grammar_parse(const char *path);

int64_t grammar_us(cfg_t *cfg, const char *name);
uint64_t grammar_bytes(cfg_t *cfg, const char *name);
void grammar_rate(cfg_t *cfg, const char *name, uint32_t *out_count, int64_t *out_us);
/* The number of the word in its list, which is that of the enum in mtasim_script.h. */
int grammar_word(cfg_t *cfg, const char *name);
/* The word for an enum sim_send. */
const char *grammar_send_word(int send);
/* Counts are small and never negative; -1 and words on stderr. */
int64_t grammar_count(cfg_t *cfg, const char *name, int64_t max);
#endif
