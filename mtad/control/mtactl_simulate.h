/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_MTACTL_SIMULATE_H
#define MTAD_CONTROL_MTACTL_SIMULATE_H
/*
 * mtactl_simulate - the answer of a simulation, between those who reckon it and those who show it
 *
 * Owner    mtactl_simulate.c.
 */
#include "control/mtactl.h"

#define MTACTL_SIMULATE_TRANSACTION_US INT64_C(300000) /* of a message at a site nobody has measured */
enum { MTACTL_SIMULATE_EVENTS_MAX = 4000000 };         /* of a run; the rest is reckoned */

/* Of a result of the answer: it says when the queue is empty. */
bool mtactl_simulate_has_end(const json_t *result);
void mtactl_simulate_show(const struct mtactl *m, json_t *answer);
#endif
