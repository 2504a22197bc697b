/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of guards and of the recovery of lanes. What decodes must encode to the same bytes, and can go on:
 * the rest of the input is what happens to it, a byte of what, a byte of when.
 */
#include "queue_guard.h"
#include "queue_recovery.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DAY   (INT64_C(86400) * 1000000)
#define START (INT64_C(1700000000) * 1000000)

static void
run_guard(const uint8_t *data, size_t size)
{
	static const struct queue_guard_conf c = {.window_us = DAY,
		.volume_min = 100,
		.limit_ppm = {{0, 50000, 70000, 100000}, {0, 1000, 2000, 3000}}};
	uint8_t again[QUEUE_GUARD_RECORD_BYTES];
	struct queue_guard g;
	struct queue_guard_change change;
	int64_t now_us = START;

	if (size < sizeof(again) || queue_guard_decode((struct queue_blob){data, sizeof(again)}, &g) < 0)
		return;
	queue_guard_encode(&g, again);
	if (memcmp(again, data, sizeof(again)) != 0)
		abort();
	for (size_t i = sizeof(again); i + 1 < size; i += 2) {
		struct queue_guard_fact f = {
			data[i] % QUEUE_GUARD_OUTCOMES, data[i], (data[i] & 64) ? START : 0};

		now_us += (int8_t)data[i + 1] * DAY / 24;
		now_us = now_us < 0 ? 0 : now_us;
		if (queue_guard_feed(&g, &c, &f, now_us, &change) && change.from == change.to)
			abort();
	}
}

static void
run_recovery(const uint8_t *data, size_t size)
{
	uint8_t again[QUEUE_RECOVERY_RECORD_BYTES];
	const struct queue_recovery_policy *p = &queue_recovery_defaults;
	struct queue_recovery r;
	struct queue_recovery_change change;
	int64_t now_us = START;

	if (size < sizeof(again) || queue_recovery_decode((struct queue_blob){data, sizeof(again)}, &r) < 0)
		return;
	queue_recovery_encode(&r, again);
	if (memcmp(again, data, sizeof(again)) != 0)
		abort();
	for (size_t i = sizeof(again); i + 1 < size; i += 2) {
		struct queue_recovery_fact f = {data[i] % 6, now_us, data[i] * 4u, data[i] * DAY / 24};
		struct queue_recovery_view v;

		now_us += (int8_t)data[i + 1] * INT64_C(10000000);
		now_us = now_us < 0 ? 0 : now_us;
		queue_recovery_feed(&r, p, &f, now_us, &change);
		v = queue_recovery_view(&r, p);
		if (v.step == QUEUE_RECOVERY_PAUSED ? v.until_us <= now_us
						    : v.connections < 1 || v.connections > p->connections ||
							      v.factor < 1 || v.factor > 1000)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 2 == 0)
		run_guard(data + 1, size - 1);
	else
		run_recovery(data + 1, size - 1);
	return 0;
}
