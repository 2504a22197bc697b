/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results cross threads, so they are immutable and counted, and one free() ends them.
 *
 * The order of addresses: groups of equal preference, best group first; inside a group chance (RFC 5321 5.1),
 * then the two families in turns, so that a family that does not work from here costs every second try and
 * not all of them.
 */
#include "route/result.h"

#include "route/alloc.h"

#include <assert.h>
#include <string.h>

static char *
put_text(char **at, const char *text)
{
	size_t bytes = strnlen(text, RESULT_WHY_MAX) + 1;
	char *out = *at;

	memcpy(out, text, bytes - 1);
	*at += bytes;
	return out;
}

static size_t
text_bytes(const struct result_draft *d)
{
	size_t bytes = strnlen(d->site, RESULT_WHY_MAX) + strnlen(d->esc, RESULT_WHY_MAX) +
		       strnlen(d->why, RESULT_WHY_MAX) + 3;

	for (uint32_t i = 0; i < d->host_count; i++)
		bytes += strnlen(d->hosts[i].name, RESULT_WHY_MAX) + 1;
	return bytes;
}

static void
put_in_order(struct route_result *r, const struct result_draft *d, const struct clock *clock,
	enum conf_family family)
{
	uint16_t order[RESULT_ADDRESSES_MAX];
	uint32_t count;

	memcpy(r->addresses, d->addresses, d->address_count * sizeof(d->addresses[0]));
	r->address_count = d->address_count;
	count = route_order(r, clock, family, order, RESULT_ADDRESSES_MAX);
	for (uint32_t i = 0; i < count; i++)
		r->addresses[i] = d->addresses[order[i]];
	r->address_count = count;
}

struct route_result *
result_create(const struct result_draft *d, const struct clock *clock, enum conf_family family)
{
	size_t hosts = d->host_count * sizeof(d->hosts[0]);
	size_t addresses = d->address_count * sizeof(d->addresses[0]);
	struct route_result *r = route_alloc(sizeof(*r) + hosts + addresses + text_bytes(d));
	char *at = (char *)(r + 1) + hosts + addresses;

	atomic_init(&r->refs, 1);
	r->kind = d->kind;
	r->provider = d->provider;
	r->static_route = d->static_route;
	r->expire_us = d->expire_us;
	r->hosts = (struct route_host *)(r + 1);
	r->addresses = (struct route_address *)((char *)(r + 1) + hosts);
	r->host_count = d->host_count;
	r->site = put_text(&at, d->site);
	r->esc = put_text(&at, d->esc);
	r->why = put_text(&at, d->why);
	for (uint32_t i = 0; i < d->host_count; i++) {
		r->hosts[i] = d->hosts[i];
		r->hosts[i].name = put_text(&at, d->hosts[i].name);
	}
	put_in_order(r, d, clock, family);
	return r;
}

struct route_result *
route_ref(struct route_result *r)
{
	uint32_t before = atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);

	assert(before > 0);
	return r;
}

void
route_unref(struct route_result *r)
{
	uint32_t before;

	if (r == NULL)
		return;
	before = atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1)
		free(r);
}

/* --- order --- */

static bool
is_of(const struct route_address *a, enum conf_family family)
{
	if (family == CONF_FAMILY_V4)
		return a->any.sa_family == AF_INET;
	if (family == CONF_FAMILY_V6)
		return a->any.sa_family == AF_INET6;
	return true;
}

static void
shuffle(uint16_t *list, uint32_t count, const struct clock *clock)
{
	for (uint32_t i = count; i > 1; i--) {
		uint32_t k = (uint32_t)((uint64_t)clock_random(clock) * i >> 32);
		uint16_t swap = list[i - 1];

		list[i - 1] = list[k];
		list[k] = swap;
	}
}

/* The families in turns, beginning with `first`; what is left of the longer one follows. */
static void
interleave(const struct route_result *r, uint16_t *list, uint32_t count, int first)
{
	uint16_t from[RESULT_ADDRESSES_MAX];
	uint32_t at[2] = {0, 0}; /* next of `first`, next of the other */

	memcpy(from, list, count * sizeof(from[0]));
	for (uint32_t n = 0, turn = 0; n < count; turn ^= 1) {
		uint32_t *next = &at[turn];

		while (*next < count && (r->addresses[from[*next]].any.sa_family == first) != (turn == 0))
			(*next)++;
		if (*next < count)
			list[n++] = from[(*next)++];
	}
}

static int
first_family(enum conf_family family, const struct clock *clock)
{
	switch (family) {
	case CONF_FAMILY_V4:
	case CONF_FAMILY_PREFER_V4:
		return AF_INET;
	case CONF_FAMILY_V6:
	case CONF_FAMILY_PREFER_V6:
		return AF_INET6;
	case CONF_FAMILY_ANY:
		break;
	}
	return clock_random(clock) & 0x10000 ? AF_INET : AF_INET6;
}

uint32_t
route_order(const struct route_result *r, const struct clock *clock, enum conf_family family, uint16_t *order,
	uint32_t order_max)
{
	uint16_t group[RESULT_ADDRESSES_MAX];
	uint32_t count = 0, at = 0;

	assert(r->address_count <= RESULT_ADDRESSES_MAX);
	while (at < r->address_count && count < order_max) {
		uint16_t preference = r->hosts[r->addresses[at].host].preference;
		uint32_t n = 0;

		for (; at < r->address_count && r->hosts[r->addresses[at].host].preference == preference;
			at++)
			if (is_of(&r->addresses[at], family))
				group[n++] = (uint16_t)at;
		shuffle(group, n, clock);
		interleave(r, group, n, first_family(family, clock));
		if (n > order_max - count)
			n = order_max - count;
		memcpy(order + count, group, n * sizeof(group[0]));
		count += n;
	}
	return count;
}
