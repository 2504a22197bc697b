/* SPDX-License-Identifier: Apache-2.0 */
/* What an earlier run has left in the spool, into the schedule: messages, and what limits had used. */
#include "queue/dispatch_impl.h"
#include "queue/recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A note nobody understands must not keep the mail. */
bool
dispatch_restore_limit(void *arg, struct queue_blob name, struct queue_blob value)
{
	struct dispatch *d = arg;

	if (queue_sched_restore(d->sched, value, dispatch_now(d)) < 0)
		log_event(d->log, LOG_EVENT_limit_forgotten, "note=%.*s", (int)name.len,
			(const char *)name.ptr);
	return true;
}

static void
recover_one(struct dispatch *d, const struct recovered_message *m)
{
	uint32_t pool = settings_pool(&d->settings, m->meta.pool), i, source;
	struct job *job;

	if (m->is_damaged) {
		if ((job = calloc(1, sizeof(*job))) != NULL) {
			job->id = m->meta.id;
			job->is_damaged = true;
			dispatch_record(d, job);
		}
		return;
	}
	for (i = 0; i < m->rcpt_count; i++) {
		m->rcpts[i].pool = pool;
		if (pace_source_number(
			    d->settings.pace, m->sources[i], strnlen(m->sources[i], QUEUE_NAME_MAX), &source))
			m->rcpts[i].sticky_source = source + 1;
		if (m->hosts[i][0] != '\0') {
			struct uncertain_host *u = &d->hosts[m->meta.id % HOSTS_REMEMBERED];

			u->id = m->meta.id;
			u->site[0] = '\0';
			snprintf(u->host, sizeof(u->host), "%s", m->hosts[i]);
		}
	}
	/* Out of memory with an index that does not fit: say so; the next start tries again, nothing on disk
	 * is touched. */
	if (queue_sched_add(d->sched, &m->meta, m->rcpts, m->rcpt_count, NULL, dispatch_now(d)) < 0)
		log_event(d->log, LOG_EVENT_memory_full,
			"msg=%llx why=\"no memory to schedule a message of the spool\"",
			(unsigned long long)m->meta.id);
}

static void
recovery_ends(struct dispatch *d)
{
	struct queue_sched_stats st;

	d->is_recovering = false;
	queue_sched_stats(d->sched, &st);
	if (st.doubted > 0)
		log_event(d->log, LOG_EVENT_expiry_held, "rcpts=%llu", (unsigned long long)st.doubted);
}

void
dispatch_on_recovered(struct dispatch *d, struct recovered *batch)
{
	size_t i;

	queue_sched_doubt_ages(d->sched, dispatch_now(d));
	if (batch->count == 0)
		recovery_ends(d);
	for (i = 0; i < batch->count; i++)
		recover_one(d, &batch->messages[i]);
	recover_taken(batch);
}
