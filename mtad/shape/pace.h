/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_SHAPE_PACE_H
#define MTAD_SHAPE_PACE_H
/*
 * pace - the configuration's sources, pools, streams and limits as the schedule takes them
 *
 * The schedule knows sources and pools by number. A number keeps its name for the life of the process,
 * because mail and lanes are known by it; what a reload takes away goes on as the default would.
 *
 * Owner    the queue thread. What pace_apply() fills in is borrowed and valid until the next one.
 * Fails    without memory pace_apply() is false, and what was valid before stays valid.
 */
#include "conf/conf.h"
#include "queue_sched.h"
#include "shape/override.h"
#include "shape/sandbox.h"

struct pace;

/* NULL: no memory. */
struct pace *pace_create(void);
void pace_destroy(struct pace **pp);
/* What operators have set in place of the configuration's limits: holds from the next pace_apply() on, and is
 * borrowed as long. NULL: nothing. */
void pace_override(struct pace *p, const struct overrides *overrides);
const struct overrides *pace_overrides(const struct pace *p);
/* Fills in the members of *out that are about sources, pools and limits. conf is borrowed as long. */
bool pace_apply(struct pace *p, const struct conf *conf, struct queue_sched_conf *out);

/* Who is out of its sandbox; changed through it. */
struct sandbox *pace_sandbox(const struct pace *p);

/* Weight and limits of a stream, for queue_sched_conf.stream; those of its user are valid until the next
 * call. */
void pace_stream(const struct pace *p, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out);

/* "user/job/class" into its parts; false: it is none. */
bool pace_stream_split(
	struct queue_blob name, struct queue_blob *user, struct queue_blob *job, enum queue_class *klass);

/* What a user's bounces and complaints call for; an empty name: those of everybody. For
 * queue_sched_conf.guard.
 */
const struct queue_guard_conf *pace_guard(const struct pace *p, struct queue_blob user);

/* By which plan a source warms up towards a site, and as which group of sites: its provider's name, or
 * "other". NULL: it is warm. For queue_sched_conf.warmup. */
const struct queue_warmup_plan *pace_warmup(
	const struct pace *p, uint32_t source, const char *provider, struct queue_blob *out_group);

/* The same of the domain mail is from; *out_sender is the sender block that covers it, "@example.com". For
 * queue_sched_conf.sender_warmup. */
const struct queue_warmup_plan *pace_sender_warmup(const struct pace *p, struct queue_blob domain,
	const char *provider, struct queue_blob *out_sender, struct queue_blob *out_group);

/* Numbers for queue_sched; false: there is no such source, or no such pool. */
bool pace_source_number(const struct pace *p, const char *name, size_t len, uint32_t *out);
bool pace_pool_number(const struct pace *p, const char *name, size_t len, uint32_t *out);
/* "" for a number nobody has. */
const char *pace_source_name(const struct pace *p, uint32_t source);
/* Where a source stands in the present configuration: conf->sources[...]; the default's place when a reload
 * took it away. */
uint32_t pace_source_index(const struct pace *p, uint32_t source);

/* The limits of a block, for the schedule; the rates stay the configuration's. */
void pace_limits(const struct conf_limits *from, struct queue_limits *out);
void pace_lane_limits(const struct conf_delivery *from, struct queue_limits *out);
void pace_site_limits(const struct conf_delivery *from, struct queue_limits *out);
#endif
