/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slab that was full and has room again goes to the end of its list, so that it has time to become empty
 * while the ones before it are filled.
 *
 * Invariants: a slab is in the list of its size exactly when it has room; an object that is in use has its
 * slab in front of it, one that is not the next of those.
 */
#include "queue_slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct slab {
	struct queue_link link; /* in usable[] */
	struct slot *unused;    /* that were in use once */
	uint32_t used, begun, room;
};
struct slot {
	union {
		struct slab *slab;
		struct slot *next;
	} of;
	unsigned char object[];
};

static struct queue_link *
usable(struct queue_slabs *s, size_t size)
{
	return &s->usable[(size - 1) / QUEUE_SLAB_STEP];
}

static size_t
slot_bytes(const struct queue_slabs *s, size_t size)
{
	if (s->bytes > 0)
		size = (size + QUEUE_SLAB_STEP - 1) / QUEUE_SLAB_STEP * QUEUE_SLAB_STEP;
	return sizeof(struct slot) + size;
}

void
queue_slabs_init(struct queue_slabs *s, size_t bytes)
{
	size_t i;

	for (i = 0; i < QUEUE_SLAB_SIZES; i++)
		queue_link_init(&s->usable[i]);
	s->bytes = bytes;
}

void
queue_slabs_fini(struct queue_slabs *s)
{
	struct queue_link *link, *next;
	size_t i;

	for (i = 0; i < QUEUE_SLAB_SIZES; i++) {
		for (link = s->usable[i].next; link != &s->usable[i]; link = next) {
			next = link->next;
			assert(QUEUE_OF(link, struct slab, link)->used == 0);
			free(QUEUE_OF(link, struct slab, link));
		}
		queue_link_init(&s->usable[i]);
	}
}

static struct slab *
slab_create(struct queue_slabs *s, size_t size)
{
	size_t each = slot_bytes(s, size), room = 1;
	struct slab *slab;

	if (s->bytes > sizeof(*slab) + each)
		room = (s->bytes - sizeof(*slab)) / each;
	if ((slab = malloc(sizeof(*slab) + room * each)) == NULL)
		return NULL;
	*slab = (struct slab){.room = (uint32_t)room};
	queue_link_init(&slab->link);
	queue_link_front(usable(s, size), &slab->link);
	return slab;
}

void *
queue_slabs_alloc(struct queue_slabs *s, size_t size)
{
	struct queue_link *list;
	struct slab *slab;
	struct slot *slot;

	assert(size > 0);
	if (size > QUEUE_SLAB_OBJECT_MAX)
		return calloc(1, size);
	list = usable(s, size);
	slab = queue_link_is_alone(list) ? slab_create(s, size) : QUEUE_OF(list->next, struct slab, link);
	if (slab == NULL)
		return NULL;
	slot = slab->unused;
	if (slot != NULL)
		slab->unused = slot->of.next;
	else
		slot = (struct slot *)(void *)((unsigned char *)(slab + 1) +
					       slab->begun++ * slot_bytes(s, size));
	if (++slab->used == slab->room)
		queue_link_remove(&slab->link);
	slot->of.slab = slab;
	return memset(slot->object, 0, size);
}

void
queue_slabs_free(struct queue_slabs *s, void *object, size_t size)
{
	struct queue_link *list;
	struct slab *slab;
	struct slot *slot;

	if (size > QUEUE_SLAB_OBJECT_MAX) {
		free(object);
		return;
	}
	list = usable(s, size);
	slot = QUEUE_OF(object, struct slot, object);
	slab = slot->of.slab;
	assert(slab->used > 0);
	slot->of.next = slab->unused;
	slab->unused = slot;
	if (slab->used-- == slab->room)
		queue_link_front(list->prev, &slab->link);
	if (slab->used == 0 && (slab->room == 1 || list->next != list->prev)) {
		queue_link_remove(&slab->link);
		free(slab);
	}
}
