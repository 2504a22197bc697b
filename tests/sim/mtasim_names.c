/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A DNS question and a recipient each need one look-up by name, tens of thousands a second, over thousands of
 * names: a hash table with open addressing, never grown and never shrunk.
 *
 * Invariant: at least half of the slots are empty, so a search always ends.
 */
#include "mtasim_names.h"

#include "mtasim_text.h"

#include <assert.h>
#include <stdlib.h>

struct sim_names {
	size_t mask;
	size_t count, max;
	struct sim_name slots[];
};

struct sim_names *
sim_names_create(size_t max)
{
	size_t slots = 16;
	struct sim_names *n;

	while (slots < 2 * max)
		slots *= 2;
	if ((n = calloc(1, sizeof(*n) + slots * sizeof(n->slots[0]))) == NULL)
		return NULL;
	n->mask = slots - 1;
	n->max = max;
	return n;
}

void
sim_names_destroy(struct sim_names **np)
{
	free(*np);
	*np = NULL;
}

/* The slot that holds the name, or the empty one where it belongs. */
static size_t
slot_of(const struct sim_names *n, enum sim_name_kind kind, struct smtp_slice name)
{
	size_t at = (size_t)sim_hash((uint64_t)kind, name.ptr, name.len) & n->mask;

	while (n->slots[at].name != NULL) {
		const struct sim_name *there = &n->slots[at];

		if (there->kind == kind &&
			smtp_slice_is_nocase((struct smtp_slice){there->name, there->len}, name))
			break;
		at = (at + 1) & n->mask;
	}
	return at;
}

bool
sim_names_add(struct sim_names *n, const struct sim_name *name)
{
	size_t at = slot_of(n, name->kind, (struct smtp_slice){name->name, name->len});

	if (n->slots[at].name != NULL)
		return false;
	assert(n->count < n->max);
	n->slots[at] = *name;
	n->count++;
	return true;
}

const struct sim_name *
sim_names_find(const struct sim_names *n, enum sim_name_kind kind, struct smtp_slice name)
{
	size_t at = slot_of(n, kind, name);

	return n->slots[at].name != NULL ? &n->slots[at] : NULL;
}
