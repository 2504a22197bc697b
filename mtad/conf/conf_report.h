/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_REPORT_H
#define MTAD_CONF_CONF_REPORT_H
/*
 * conf_report - what is said about a configuration: file:line: words
 *
 * Owner    conf_load, for one run. Memory: none. Thread: the caller's.
 */
#include <stdio.h>

struct conf_report {
	FILE *out;
	int error_count;
	int warning_count;
};
/* Where something stands; line 0: the file as a whole. */
struct conf_place {
	const char *file;
	int line;
};

/* After CONF_REPORT_MAX lines of each kind only counting goes on. */
#define CONF_REPORT_MAX 200
__attribute__((format(printf, 3, 4))) void conf_error(
	struct conf_report *r, struct conf_place at, const char *format, ...);
__attribute__((format(printf, 3, 4))) void conf_warn(
	struct conf_report *r, struct conf_place at, const char *format, ...);

/* How many letters must change to get from one word to the other, swaps of neighbours as one; more than 9
 * counts as 9. */
int conf_word_distance(const char *a, const char *b);
/* The word that was most likely meant; a distance of 9: none is near. Starts as {.distance = 9}. */
struct conf_nearest {
	char word[48]; /* longer ones are never near */
	int distance;
};
void conf_nearest_consider(struct conf_nearest *n, const char *name, const char *candidate);
#endif
