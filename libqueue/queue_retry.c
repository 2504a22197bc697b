/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The retry schedule is a list of waits, the last of which repeats. Jitter spreads what was deferred
 * together, so that it does not come back together; the recipients of one transaction share their random
 * number and do come back together.
 */
#include "queue_retry.h"

#include <assert.h>

int64_t
queue_retry_add(int64_t at_us, int64_t wait_us)
{
	int64_t sum;

	assert(wait_us >= 0);
	return __builtin_add_overflow(at_us, wait_us, &sum) ? INT64_MAX : sum;
}

int64_t
queue_retry_move(int64_t at_us, int64_t step_us)
{
	int64_t sum;

	if (at_us == INT64_MAX || at_us <= 0)
		return at_us;
	if (__builtin_add_overflow(at_us, step_us, &sum))
		return INT64_MAX;
	return sum > 0 ? sum : 1;
}

int64_t
queue_retry_jitter(int64_t wait_us, uint32_t percent, uint32_t random)
{
	__int128 span = (__int128)wait_us * (percent > 100 ? 100 : percent) / 100;
	__int128 at = wait_us - span + (2 * span * random) / UINT32_MAX;

	assert(wait_us >= 0);
	return at > INT64_MAX ? INT64_MAX : (int64_t)at;
}

int64_t
queue_retry_wait(const struct queue_policy *p, uint32_t attempts)
{
	uint32_t i = attempts == 0 ? 0 : attempts - 1;

	assert(p->retry_count > 0);
	if (i >= p->retry_count)
		i = p->retry_count - 1;
	return p->retry_us[i] < 0 ? 0 : p->retry_us[i];
}

int64_t
queue_retry_longest(const struct queue_policy *p, uint32_t percent)
{
	int64_t longest = QUEUE_RETRY_WAIT_MAX_US;
	uint32_t i;

	for (i = 0; i < p->retry_count; i++)
		if (p->retry_us[i] > longest)
			longest = p->retry_us[i];
	if (p->uncertain_retry_us > longest)
		longest = p->uncertain_retry_us;
	return queue_retry_jitter(longest, percent, UINT32_MAX);
}
