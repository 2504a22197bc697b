/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A direct-mapped table: a collision forgets the older host, which costs one repeated lesson. That is all the
 * eviction it needs, and its memory is fixed.
 */
#include "deliver/hosts.h"

#include <stdlib.h>
#include <string.h>

enum { FORGET_SECONDS = 3600, NAME_BYTES = 256 };

struct slot {
	int64_t until_us;
	unsigned faults;
	char name[NAME_BYTES];
};

struct hosts {
	size_t count;
	struct slot slots[];
};

struct hosts *
hosts_create(size_t max)
{
	struct hosts *h = calloc(1, sizeof(*h) + max * sizeof(h->slots[0]));

	if (h != NULL)
		h->count = max;
	return h;
}

void
hosts_destroy(struct hosts **hp)
{
	free(*hp);
	*hp = NULL;
}

static size_t
slot_of(const struct hosts *h, const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash % h->count;
}

unsigned
hosts_faults(const struct hosts *h, const char *name, int64_t mono_us)
{
	const struct slot *s = &h->slots[slot_of(h, name)];

	return s->until_us > mono_us && strncmp(s->name, name, NAME_BYTES) == 0 ? s->faults : 0;
}

void
hosts_learn(struct hosts *h, const char *name, unsigned faults, int64_t mono_us)
{
	struct slot *s = &h->slots[slot_of(h, name)];
	size_t len = strnlen(name, NAME_BYTES);

	if (len == NAME_BYTES)
		return;
	if (s->until_us <= mono_us || strncmp(s->name, name, NAME_BYTES) != 0)
		s->faults = 0;
	memcpy(s->name, name, len + 1);
	s->faults |= faults;
	s->until_us = mono_us + FORGET_SECONDS * INT64_C(1000000);
}
