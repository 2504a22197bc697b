/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record of warm-up from hostile bytes, and a life after it. The first sixteen bytes choose what happens;
 * the rest is the record. Whatever it says, no assertion fails later, no cap is passed, and what is written
 * can be read.
 */
#include "queue_warmup.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 16 };

static const int64_t volumes[] = {1, 3, 10, 200, 500, 100000, QUEUE_WARMUP_VOLUME_MAX};

static void
store_and_read(struct queue_warmup *w, bool is_last)
{
	uint8_t record[QUEUE_WARMUP_RECORD_MAX];
	size_t len = queue_warmup_encode(w, is_last, record);
	struct queue_warmup back;

	assert(queue_warmup_decode((struct queue_blob){record, len}, &back) == QUEUE_OK);
	/* Sums that no day has are cut. */
	assert(queue_warmup_sent(&back) >= queue_warmup_sent(w) + w->leased ||
		queue_warmup_sent(w) > QUEUE_WARMUP_VOLUME_MAX);
	queue_warmup_stored(w, true);
}

static void
live(struct queue_warmup *w, const struct queue_warmup_plan *plan, uint8_t step, int64_t *now_us)
{
	static const int64_t jumps[] = {
		0, 1000000, 3600000000, 86400000000, -1000000, -86400000000, 2592000000000, 60000000};
	struct queue_warmup_day days[4];
	struct queue_warmup_room room;
	int64_t n;

	*now_us += jumps[step & 7];
	queue_warmup_tick(w, plan, *now_us);
	room = queue_warmup_room(w, step);
	if (queue_warmup_wants_store(w))
		store_and_read(w, false);
	room = queue_warmup_room(w, step);
	assert(room.count >= 0);
	assert(room.count > 0 || room.next_us >= w->last_us);
	n = room.count < step ? room.count : step;
	queue_warmup_lease(w, n);
	assert(w->is_warm || queue_warmup_sent(w) + w->leased <= w->cap || n == 0);
	queue_warmup_settle(w, (enum queue_warmup_outcome)(step % QUEUE_WARMUP_OUTCOMES), n);
	if (step % 5 == 0)
		(void)queue_warmup_operate(w, plan,
			(enum queue_warmup_act)(1 + step % (QUEUE_WARMUP_ACTS - 1)),
			(struct queue_blob){"why", 3});
	(void)queue_warmup_forecast(w, plan, 1000, days, 4);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct queue_warmup_plan plan = {.volumes = volumes,
		.count = sizeof(volumes) / sizeof(volumes[0]),
		.hold_ppm = {100000, 10000, 50000, 1000}};
	struct queue_warmup w;
	uint8_t *record;
	int64_t now_us = INT64_C(1796000000000000);
	char words[64];

	if (size < STEPS)
		return 0;
	/* In a block of exactly its size, so that one byte too far is seen. */
	record = malloc(size - STEPS + 1);
	assert(record != NULL);
	memcpy(record, data + STEPS, size - STEPS);
	if (queue_warmup_decode((struct queue_blob){record, size - STEPS}, &w) == QUEUE_OK) {
		for (size_t i = 0; i < w.history_count; i++)
			assert(queue_warmup_words(&w.history[i], words, sizeof(words)) < sizeof(words));
		for (size_t i = 0; i < STEPS; i++)
			live(&w, &plan, data[i], &now_us);
		store_and_read(&w, true);
	}
	free(record);
	return 0;
}
