/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_POLICY_H
#define MTAD_QUEUE_POLICY_H
/*
 * policy - the delivery settings of a (domain, site), merged once for each pair of blocks and kept until the
 * next reload or override
 *
 * Owner    the queue thread. Results are valid until policy_destroy.
 */
#include "conf/conf.h"
#include "queue_sched.h"
#include "shape/pace.h"

struct policy;

/* Takes a reference on conf; borrows pace, which knows the pools by number. NULL: no memory. */
struct policy *policy_create(const struct conf *conf, const struct pace *pace);
void policy_destroy(struct policy **pp);
/* For the schedule. `site` is what route calls it; a provider's site carries its name. */
const struct queue_policy *policy_of(struct policy *p, struct queue_blob domain, struct queue_blob site);
/* Of one lane, where an operator has overridden something of it; NULL: nothing. */
const struct queue_lane_policy *policy_lane(struct policy *p, struct queue_blob site, const char *source);
/* For a session. */
const struct conf_delivery *policy_delivery(struct policy *p, struct queue_blob domain, int provider);
/* The same by site name, as the schedule knows it. */
const struct conf_delivery *policy_delivery_of(
	struct policy *p, struct queue_blob domain, struct queue_blob site);
/* Name of the provider a site belongs to; NULL: none. */
const char *policy_provider(const struct policy *p, struct queue_blob site);
const struct conf *policy_conf(const struct policy *p);
#endif
