/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chaining, because a message id is its own hash: open addressing would turn a run of new ids that falls on a
 * run of old ones into one long search, a chain is never longer than the range of live ids divided by the
 * table.
 *
 * Invariants: the table is a power of two; count is the number of linked nodes; a node keeps its hash while
 * it is linked.
 */
#include "queue_map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 64 };

int
queue_map_init(struct queue_map *m)
{
	*m = (struct queue_map){.mask = FIRST_BUCKETS - 1};
	m->buckets = calloc(FIRST_BUCKETS, sizeof(struct queue_map_node *));
	return m->buckets == NULL ? QUEUE_ENOMEM : QUEUE_OK;
}

void
queue_map_fini(struct queue_map *m)
{
	free(m->buckets);
	*m = (struct queue_map){0};
}

static void
grow(struct queue_map *m)
{
	uint64_t mask = m->mask * 2 + 1, i;
	struct queue_map_node **buckets = calloc(mask + 1, sizeof(struct queue_map_node *));
	struct queue_map_node *n, *next;

	if (buckets == NULL)
		return;
	for (i = 0; i <= m->mask; i++)
		for (n = m->buckets[i]; n != NULL; n = next) {
			next = n->next;
			n->next = buckets[n->hash & mask];
			buckets[n->hash & mask] = n;
		}
	free(m->buckets);
	m->buckets = buckets;
	m->mask = mask;
}

void
queue_map_insert(struct queue_map *m, struct queue_map_node *n, uint64_t hash)
{
	struct queue_map_node **at;

	if (m->count > m->mask)
		grow(m);
	at = &m->buckets[hash & m->mask];
	n->hash = hash;
	n->next = *at;
	*at = n;
	m->count++;
}

void
queue_map_remove(struct queue_map *m, struct queue_map_node *n)
{
	struct queue_map_node **at = &m->buckets[n->hash & m->mask];

	assert(m->count > 0);
	for (; *at != n; at = &(*at)->next)
		assert(*at != NULL);
	*at = n->next;
	n->next = NULL;
	m->count--;
}

static struct queue_map_node *
with_hash(struct queue_map_node *n, uint64_t hash)
{
	while (n != NULL && n->hash != hash)
		n = n->next;
	return n;
}

struct queue_map_node *
queue_map_find(const struct queue_map *m, uint64_t hash)
{
	return with_hash(m->buckets[hash & m->mask], hash);
}

struct queue_map_node *
queue_map_find_next(const struct queue_map_node *n)
{
	return with_hash(n->next, n->hash);
}

struct queue_map_node *
queue_map_each(const struct queue_map *m, const struct queue_map_node *n)
{
	uint64_t i = 0;

	if (n != NULL && n->next != NULL)
		return n->next;
	if (n != NULL)
		i = (n->hash & m->mask) + 1;
	for (; i <= m->mask; i++)
		if (m->buckets[i] != NULL)
			return m->buckets[i];
	return NULL;
}

uint64_t
queue_map_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd1b54a32d192ed03u);

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

uint64_t
queue_map_hash(uint64_t seed, struct queue_blob bytes)
{
	const unsigned char *p = bytes.ptr;
	uint64_t h = seed, word;
	size_t left = bytes.len;

	for (; left >= sizeof(word); left -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		h = queue_map_mix(h ^ word, seed);
	}
	word = 0;
	if (left > 0)
		memcpy(&word, p, left);
	return queue_map_mix(h ^ word, seed ^ bytes.len);
}
