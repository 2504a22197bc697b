/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table with open addressing, because tens of thousands of recipients in one transaction are allowed
 * and each is looked for. It is never more than half full, so each search ends at a free slot.
 */
#include "intake/rcpt_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_FIRST = 16 };

struct key {
	struct smtp_slice local, domain;
};

static struct key
key_at(const struct message *m, uint32_t i)
{
	const struct queue_blob *address = &m->rcpts[i].address;
	/* No domain has an "@", so the last one ends the local part. */
	const char *at = memrchr(address->ptr, '@', address->len);

	assert(at != NULL);
	return (struct key){{address->ptr, (size_t)(at - (const char *)address->ptr)},
		{m->domains[i].ptr, m->domains[i].len}};
}

static uint32_t
hash(uint32_t h, struct smtp_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		h = (h ^ (unsigned char)text.ptr[i]) * 16777619u;
	return h;
}

/* The slot that has the key, or the free one where it belongs. */
static uint32_t *
slot_of(const struct rcpt_set *set, const struct message *m, struct key key)
{
	uint32_t at = hash(hash(2166136261u, key.local), key.domain);

	for (;; at++) {
		uint32_t *slot = &set->slots[at & (set->max - 1)];
		struct key there;

		if (*slot == 0)
			return slot;
		there = key_at(m, *slot - 1);
		if (smtp_slice_is(there.local, key.local) && smtp_slice_is(there.domain, key.domain))
			return slot;
	}
}

static bool
make_room(struct rcpt_set *set, const struct message *m)
{
	struct rcpt_set grown = {NULL, set->max == 0 ? SLOTS_FIRST : set->max * 2};

	if ((m->rcpt_count + 1) * 2 <= set->max)
		return true;
	if ((grown.slots = calloc(grown.max, sizeof(*grown.slots))) == NULL)
		return false;
	for (uint32_t i = 0; i < m->rcpt_count; i++)
		*slot_of(&grown, m, key_at(m, i)) = i + 1;
	free(set->slots);
	*set = grown;
	return true;
}

int
rcpt_set_find(
	struct rcpt_set *set, const struct message *m, struct smtp_slice local, struct smtp_slice domain)
{
	if (!make_room(set, m))
		return SMTP_ENOMEM;
	return *slot_of(set, m, (struct key){local, domain}) != 0;
}

void
rcpt_set_add(struct rcpt_set *set, const struct message *m)
{
	uint32_t *slot;

	assert(m->rcpt_count > 0 && m->rcpt_count * 2 <= set->max);
	slot = slot_of(set, m, key_at(m, m->rcpt_count - 1));
	assert(*slot == 0);
	*slot = m->rcpt_count;
}

void
rcpt_set_clear(struct rcpt_set *set)
{
	free(set->slots);
	*set = (struct rcpt_set){NULL, 0};
}
