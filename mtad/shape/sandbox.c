/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A note: version 1, the time (8 bytes, little-endian), then who and why as one byte of length each and the
 * text. Users are few and looked up when a stream begins, so a tree of the C library does.
 */
#include "shape/sandbox.h"

#include <assert.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, TEXT_MAX = 255, RATES_MAX = 2 * CONF_RATES_MAX };
_Static_assert((int)SANDBOX_WORDS_MAX > (int)TEXT_MAX, "what a note holds fits");

struct user {
	struct sandbox_lift lift;
	size_t name_len;
	const char *name; /* behind it */
};

struct sandbox {
	void *users; /* tree by name, for tsearch(3) */
	struct queue_limits limits;
	struct queue_rate rates[RATES_MAX];
};

static int
by_name(const void *a, const void *b)
{
	const struct user *x = a, *y = b;
	size_t len = x->name_len < y->name_len ? x->name_len : y->name_len;
	int order = len > 0 ? memcmp(x->name, y->name, len) : 0;

	return order != 0 ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static struct user *
find(const struct sandbox *s, struct queue_blob name)
{
	const struct user key = {.name = name.ptr, .name_len = name.len};
	struct user *const *at = tfind(&key, &s->users, by_name);

	return at != NULL ? *at : NULL;
}

struct sandbox *
sandbox_create(void)
{
	return calloc(1, sizeof(struct sandbox));
}

void
sandbox_destroy(struct sandbox **sp)
{
	struct sandbox *s = *sp;
	struct user *u;

	*sp = NULL;
	if (s == NULL)
		return;
	while (s->users != NULL) {
		u = *(struct user **)s->users;
		(void)tdelete(u, &s->users, by_name);
		free(u);
	}
	free(s);
}

const struct sandbox_lift *
sandbox_lifted(const struct sandbox *s, struct queue_blob user)
{
	const struct user *u = find(s, user);

	return u != NULL ? &u->lift : NULL;
}

bool
sandbox_lift(struct sandbox *s, struct queue_blob user, const struct sandbox_lift *lift)
{
	struct user *u = find(s, user);
	char *name;

	if (u != NULL) {
		u->lift = *lift;
		return true;
	}
	if ((u = malloc(sizeof(*u) + user.len)) == NULL)
		return false;
	name = (char *)(u + 1);
	memcpy(name, user.ptr, user.len);
	*u = (struct user){.lift = *lift, .name = name, .name_len = user.len};
	if (tsearch(u, &s->users, by_name) != NULL)
		return true;
	free(u);
	return false;
}

bool
sandbox_return(struct sandbox *s, struct queue_blob user)
{
	struct user *u = find(s, user);

	if (u == NULL)
		return false;
	(void)tdelete(u, &s->users, by_name);
	free(u);
	return true;
}

/* --- the note --- */

static uint8_t *
put_text(uint8_t *p, const char *text)
{
	size_t len = strnlen(text, TEXT_MAX);

	*p++ = (uint8_t)len;
	memcpy(p, text, len);
	return p + len;
}

size_t
sandbox_encode(const struct sandbox_lift *lift, uint8_t buf[SANDBOX_NOTE_MAX])
{
	uint8_t *p = buf;

	*p++ = VERSION;
	for (int i = 0; i < 8; i++)
		*p++ = (uint8_t)((uint64_t)lift->at_us >> 8 * i);
	p = put_text(put_text(p, lift->who), lift->reason);
	return (size_t)(p - buf);
}

static bool
get_text(const uint8_t **p, const uint8_t *end, char out[SANDBOX_WORDS_MAX])
{
	size_t len;

	if (*p == end || (len = **p) > (size_t)(end - *p - 1))
		return false;
	memcpy(out, *p + 1, len);
	out[len] = '\0';
	*p += 1 + len;
	return true;
}

bool
sandbox_decode(struct queue_blob value, struct sandbox_lift *out)
{
	const uint8_t *p = value.ptr, *end = p + value.len;
	struct sandbox_lift lift = {0};
	uint64_t at_us = 0;

	if (value.len < 9 || p[0] != VERSION)
		return false;
	for (int i = 0; i < 8; i++)
		at_us |= (uint64_t)p[1 + i] << 8 * i;
	p += 9;
	lift.at_us = (int64_t)at_us;
	if (!get_text(&p, end, lift.who) || !get_text(&p, end, lift.reason) || p != end)
		return false;
	*out = lift;
	return true;
}

/* --- limits --- */

static void
add_rate(struct sandbox *s, uint32_t *count, struct queue_rate rate)
{
	uint32_t at = 0;

	while (at < *count && s->rates[at].per_us < rate.per_us)
		at++;
	if (at < *count && s->rates[at].per_us == rate.per_us) {
		if (rate.count < s->rates[at].count)
			s->rates[at].count = rate.count;
		return;
	}
	assert(*count < RATES_MAX);
	memmove(&s->rates[at + 1], &s->rates[at], (*count - at) * sizeof(s->rates[0]));
	s->rates[at] = rate;
	++*count;
}

const struct queue_limits *
sandbox_limits(struct sandbox *s, const struct queue_limits *own, const struct conf_rates *rates)
{
	uint32_t count = 0, i;

	s->limits = own != NULL ? *own : (struct queue_limits){0};
	for (i = 0; own != NULL && i < own->units[QUEUE_UNIT_RECIPIENTS].count; i++)
		add_rate(s, &count, own->units[QUEUE_UNIT_RECIPIENTS].rates[i]);
	for (i = 0; i < rates->count; i++)
		add_rate(s, &count, (struct queue_rate){rates->items[i].count, rates->items[i].per_us});
	s->limits.units[QUEUE_UNIT_RECIPIENTS].rates = s->rates;
	s->limits.units[QUEUE_UNIT_RECIPIENTS].count = count;
	return &s->limits;
}

/* -1: no such window. */
static int64_t
count_of(const struct conf_rates *rates, int64_t per_us)
{
	for (size_t i = 0; i < rates->count; i++)
		if (rates->items[i].per_us == per_us)
			return rates->items[i].count;
	return -1;
}

bool
sandbox_is_tighter(const struct conf_rates *rates, const struct conf_rates *own, struct queue_rate rate)
{
	int64_t of_own = count_of(own, rate.per_us);

	return count_of(rates, rate.per_us) == rate.count && (of_own < 0 || of_own > rate.count);
}
