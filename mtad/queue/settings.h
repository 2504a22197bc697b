/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_SETTINGS_H
#define MTAD_QUEUE_SETTINGS_H
/*
 * settings - a configuration as the schedule takes it: what its callbacks about policies, streams, warm-ups
 * and guards answer; the same for the daemon and for a simulation
 *
 * Owner    whoever runs a schedule; the struct is the first member of what its callbacks get. Thread: its.
 * Fails    false without memory; what was valid before stays valid.
 */
#include "queue/policy.h"
#include "queue_sched_conf.h"
#include "shape/pace.h"

struct settings {
	struct policy *policy;
	struct pace *pace;
};

/* settings_fini is due whatever it says. */
bool settings_init(struct settings *s, const struct conf *conf);
void settings_fini(struct settings *s);
/* Fills in those members of *out that the configuration alone decides; what they point to is valid until the
 * next call. */
bool settings_apply(struct settings *s, const struct conf *conf, struct queue_sched_conf *out);
/* The pool a message names; 0: it names none, or one that is gone. */
uint32_t settings_pool(const struct settings *s, struct queue_blob pool);
#endif
