/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file of a time zone: an error, or changes that grow in time and can be asked for quiet
 * hours. */
#include "base/zone.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct queue_hours_change changes[ZONE_CHANGES_MAX];
	struct queue_hours_zone zone = {.changes = changes};
	const struct queue_hours_window night = {22 * 60, 7 * 60, QUEUE_HOURS_EVERY_DAY, &zone};
	uint8_t *bytes = malloc(size > 0 ? size : 1);
	int64_t until_us;
	int count;

	if (bytes == NULL)
		abort();
	if (size > 0)
		memcpy(bytes, data, size);
	count = zone_parse((struct queue_blob){bytes, size}, changes);
	free(bytes);
	if (count < 0)
		return 0;
	if (count == 0)
		abort();
	zone.count = (uint32_t)count;
	for (int i = 0; i < count; i++) {
		if (i > 0 && changes[i].from_us <= changes[i - 1].from_us)
			abort();
		queue_hours_quiet(&(struct queue_hours){&night, 1}, changes[i].from_us, &until_us);
		if (until_us <= changes[i].from_us)
			abort();
	}
	return 0;
}
