/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schedule asks by domain, site, stream and source number; the configuration answers by blocks. Nothing
 * is decided here: policy.c and pace.c know the answers.
 */
#include "queue/settings.h"

#include <assert.h>

uint32_t
settings_pool(const struct settings *s, struct queue_blob pool)
{
	uint32_t number = 0;

	(void)pace_pool_number(s->pace, pool.ptr, pool.len, &number);
	return number;
}

static const struct queue_policy *
on_policy(void *arg, struct queue_blob domain, struct queue_blob site)
{
	struct settings *s = arg;

	return policy_of(s->policy, domain, site);
}

static void
on_stream(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	struct settings *s = arg;

	pace_stream(s->pace, user, job, klass, out);
}

static const struct queue_lane_policy *
on_lane_policy(void *arg, struct queue_blob site, uint32_t source)
{
	struct settings *s = arg;

	return policy_lane(s->policy, site, pace_source_name(s->pace, source));
}

static const struct queue_warmup_plan *
on_warmup_plan(void *arg, uint32_t source, struct queue_blob site, struct queue_blob *out_group)
{
	struct settings *s = arg;

	return pace_warmup(s->pace, source, policy_provider(s->policy, site), out_group);
}

static const struct queue_warmup_plan *
on_sender_plan(void *arg, struct queue_blob domain, struct queue_blob site, struct queue_blob *out_sender,
	struct queue_blob *out_group)
{
	struct settings *s = arg;

	return pace_sender_warmup(s->pace, domain, policy_provider(s->policy, site), out_sender, out_group);
}

static const struct queue_guard_conf *
on_guard_conf(void *arg, struct queue_blob user)
{
	struct settings *s = arg;

	return pace_guard(s->pace, user);
}

bool
settings_init(struct settings *s, const struct conf *conf)
{
	*s = (struct settings){0};
	return (s->pace = pace_create()) != NULL && (s->policy = policy_create(conf, s->pace)) != NULL;
}

void
settings_fini(struct settings *s)
{
	if (s->policy != NULL)
		policy_destroy(&s->policy);
	pace_destroy(&s->pace);
}

bool
settings_apply(struct settings *s, const struct conf *conf, struct queue_sched_conf *out)
{
	assert(s->pace != NULL && s->policy != NULL);
	out->policy = on_policy;
	out->stream = on_stream;
	out->lane = on_lane_policy;
	out->warmup = on_warmup_plan;
	out->sender_warmup = on_sender_plan;
	out->guard = on_guard_conf;
	out->jitter_percent = (uint32_t)conf->retry_jitter;
	return pace_apply(s->pace, conf, out);
}
