/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_HOURS_H
#define LIBQUEUE_QUEUE_HOURS_H
/*
 * queue_hours - quiet hours: windows of the week on a clock on some wall
 *
 * It is quiet while the clock of a window's zone shows a time inside of it. So when clocks are set, the
 * window follows: a night of 22:00-07:00 lasts ten hours when an hour comes twice, eight when one is left
 * out; a window that lies in the hour that comes twice is there twice, one in the hour left out not at all.
 *
 * Owner    the caller keeps windows, zones and changes; the library knows no time zones.
 * Thread   any; pure functions.
 * Fails    never.
 */
#include "queue_types.h"

enum {
	QUEUE_HOURS_DAY_MIN = 24 * 60,
	QUEUE_HOURS_EVERY_DAY = 127,
	QUEUE_HOURS_AHEAD_DAYS = 8,
};

/* From then on local time is UTC + offset_s. */
struct queue_hours_change {
	int64_t from_us;
	int32_t offset_s;
};
/* In order of time. The first one's offset holds before it as well; none at all is UTC. */
struct queue_hours_zone {
	const struct queue_hours_change *changes;
	uint32_t count;
};
/* Minutes of the day; from 0..1439, to 1..1440, never equal. With from > to it ends on the next day. */
struct queue_hours_window {
	uint16_t from_min, to_min;
	uint8_t days; /* on which it begins: bit 0 Monday .. bit 6 Sunday */
	const struct queue_hours_zone *zone;
};
struct queue_hours {
	const struct queue_hours_window *windows; /* it is quiet in any of them */
	uint32_t count;
};

/* Whether it is quiet, and until when that stays so; to be asked again then. Never more than
 * QUEUE_HOURS_AHEAD_DAYS ahead: quiet until exactly then means that there is no end to it. */
bool queue_hours_quiet(const struct queue_hours *h, int64_t now_us, int64_t *out_until_us);
#endif
