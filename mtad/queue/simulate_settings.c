/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a simulation runs by: a configuration, the limits an operator has set for a time, and who is out of
 * its sandbox. They are kept beside the configuration, so another one does not end them.
 */
#include "queue/simulate_impl.h"

#include "shape/override.h"
#include "shape/sandbox.h"

#include <stdlib.h>
#include <string.h>

static bool
begins(const struct simulate_record *note, const char *prefix, size_t len)
{
	return note->name_len > len && memcmp(note->bytes, prefix, len) == 0;
}

static bool
lift(struct model *m, struct queue_blob user, struct queue_blob value)
{
	struct sandbox_lift l;

	return !sandbox_decode(value, &l) || sandbox_lift(pace_sandbox(m->settings.pace), user, &l);
}

static bool
override(struct model *m, struct queue_blob key, struct queue_blob value)
{
	struct overrides *more;
	struct override o;

	if (!override_read(key, value, m->now_us, &o) || override_is_over(&o, m->now_us) ||
		!overrides_fit(m->overrides, &o, 1))
		return true;
	if ((more = overrides_with(m->overrides, &o, 1)) == NULL)
		return false;
	free(m->overrides);
	m->overrides = more;
	return true;
}

/* One nobody understands is none, as at a start of the daemon. */
static bool
take_note(struct model *m, const struct simulate_record *note)
{
	const size_t user = sizeof(SANDBOX_NOTES) - 1;
	struct queue_blob value = {note->bytes + note->name_len, note->len};

	if (begins(note, SANDBOX_NOTES, user))
		return lift(m, (struct queue_blob){note->bytes + user, note->name_len - user}, value);
	if (begins(note, OVERRIDE_NOTES, sizeof(OVERRIDE_NOTES) - 1))
		return override(m, (struct queue_blob){note->bytes, note->name_len}, value);
	return true;
}

bool
simulate_settings_init(struct model *m)
{
	size_t i;

	if (!settings_init(&m->settings, m->run->conf) || (m->overrides = overrides_create()) == NULL)
		return false;
	for (i = 0; i < m->s->notes.count; i++)
		if (!take_note(m, &m->s->notes.items[i]))
			return false;
	pace_override(m->settings.pace, m->overrides);
	return settings_apply(&m->settings, m->run->conf, &m->sched_conf);
}

void
simulate_settings_fini(struct model *m)
{
	settings_fini(&m->settings);
	free(m->overrides);
}

static bool
is_over(const void *arg, const struct override *o)
{
	const struct model *m = arg;

	return override_is_over(o, m->now_us);
}

void
simulate_settings_tick(struct model *m)
{
	struct policy *policy, *old_policy = m->settings.policy;
	struct overrides *left, *old = m->overrides;

	if (old->next_us > m->now_us)
		return;
	left = overrides_without(old, is_over, m);
	policy = policy_create(m->run->conf, m->settings.pace);
	pace_override(m->settings.pace, left != NULL ? left : old);
	if (left == NULL || policy == NULL || !settings_apply(&m->settings, m->run->conf, &m->sched_conf)) {
		pace_override(m->settings.pace, old);
		policy_destroy(&policy);
		free(left);
		m->lacks_memory = true;
		return;
	}
	m->overrides = left;
	m->settings.policy = policy;
	queue_sched_reconfigured(m->q, &m->sched_conf, m->now_us);
	policy_destroy(&old_policy);
	free(old);
}
