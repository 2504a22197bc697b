/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CTL_REASON_H
#define MTAD_CONTROL_CTL_REASON_H
/*
 * ctl_reason - why mail waits, as JSON: the same words and members wherever a reason stands
 *
 * Owner    nobody. Thread: any; pure functions. The command uses them as well as the daemon.
 */
#include "queue_sched_why.h"

#include <jansson.h>

extern const char *const ctl_whys[QUEUE_WHY_COUNT];
extern const char *const ctl_levels[QUEUE_LEVEL_COUNT];
extern const char *const ctl_units[QUEUE_UNIT_COUNT];
const char *ctl_pause_kind(enum queue_pause_kind kind);

/* Of a stream "user/job/class", as its class is a part of it. */
json_t *ctl_level_name(enum queue_level level, struct queue_blob name, enum queue_class klass);
/* What the reason is about: a level of limits, or a kind of pause. */
const char *ctl_reason_about(const struct queue_reason *r);
/* Into o. source: the name of reason->source; block: of the stream block that limits; both may be "". */
void ctl_reason(json_t *o, const struct queue_reason *reason, const char *source, const char *block);
#endif
