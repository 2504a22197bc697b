/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_MTACTL_REASON_H
#define MTAD_CONTROL_MTACTL_REASON_H
/*
 * mtactl_reason - why mail waits, in words: members "why", "level", "name" ... of a row (ctl_pace.c)
 *
 * Owner    the process. Memory: the caller's.
 */
#include "control/mtactl.h"

enum { MTACTL_WAITERS_COUNTED = 10000 }; /* what the daemon counts to */

/* "5,000/h", "20"; with the unit "5,000 messages/h", "20 connections at once". */
void mtactl_limit(char *buf, size_t max, const json_t *row, bool with_unit);
/* A few words for a table. */
void mtactl_reason_short(char *buf, size_t max, const json_t *row);

/* What a sentence is about. */
struct mtactl_about {
	const struct mtactl *m;
	const char *configuration; /* the daemon's; "": not known */
	const char *domain;        /* "": of a site */
	const char *filter;        /* for commands: "--domain example.com" or "1a/0" */
	int64_t now_us;
};
/* A sentence, and what would change it. */
void mtactl_reason_long(char *buf, size_t max, const json_t *row, const struct mtactl_about *about);
/* The time of day; of another day with its date. */
void mtactl_clock(char *buf, size_t max, int64_t at_us, int64_t now_us);
/* "16:05 (in 12m)" */
void mtactl_when(char *buf, size_t max, int64_t at_us, int64_t now_us);
#endif
