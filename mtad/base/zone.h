/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_ZONE_H
#define MTAD_BASE_ZONE_H
/*
 * zone - when the clocks of a time zone were and will be set, from the system's /usr/share/zoneinfo
 *
 * The C library knows one zone, that of the whole process; nothing that Debian has for C knows more without
 * an event loop or a locale system behind it.
 *
 * Owner    nobody. Memory: the caller's array. Thread: any.
 * Fails    the errors below. The file is the system's, and yet whatever stands in it is an answer or an
 * error. Spec     RFC 8536 (TZif, versions 2 to 4); POSIX.1-2017 8.3 TZ for what comes after the file's last
 * change.
 */
#include "queue_hours.h"

enum {
	ZONE_CHANGES_MAX = 400,
	ZONE_ENOTFOUND = -1, /* no such zone, or no tzdata at all */
	ZONE_EDAMAGED = -2,  /* not what the Spec says, or counts leap seconds */
};
#define ZONE_FIRST_US (INT64_C(1577836800) * 1000000) /* 2020: earlier changes are left out */

/* The changes from ZONE_FIRST_US to 2100, the first of them what held then; returns how many. "UTC" needs no
 * file. */
QUEUE_MUST_USE int zone_read(const char *name, struct queue_hours_change out[ZONE_CHANGES_MAX]);
/* The same from the bytes of a TZif file. */
QUEUE_MUST_USE int zone_parse(struct queue_blob bytes, struct queue_hours_change out[ZONE_CHANGES_MAX]);
#endif
