/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_QUEUE_SOURCES_H
#define FAKE_QUEUE_SOURCES_H
/*
 * queue_sources - sources "source0" ... and the default pool of one of them, for the tests of the schedule
 *
 * Owner    the test; stays while the schedule does. Thread: one.
 */
#include "queue_sched.h"

#include <stdio.h>

enum { FAKE_SOURCES = 16 };

struct fake_sources {
	struct queue_source sources[FAKE_SOURCES];
	char names[FAKE_SOURCES][12];
	struct queue_pool_member member;
	struct queue_pool pool;
};

/* The source of what names no pool; again before queue_sched_reconfigured() to change it. */
static inline void
fake_sources_default(struct fake_sources *f, uint32_t source, struct queue_sched_conf *conf)
{
	for (int i = 0; i < FAKE_SOURCES; i++)
		f->sources[i].name = (struct queue_blob){
			f->names[i], (size_t)snprintf(f->names[i], sizeof(f->names[i]), "source%d", i)};
	f->member = (struct queue_pool_member){source, 1};
	f->pool = (struct queue_pool){.name = {"default", 7}, .members = &f->member, .member_count = 1};
	conf->sources = f->sources;
	conf->source_count = FAKE_SOURCES;
	conf->pools = &f->pool;
	conf->pool_count = 1;
}
#endif
