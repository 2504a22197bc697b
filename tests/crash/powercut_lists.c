/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each transaction writes an entry that names it, changes and uses those of certain transactions before, and
 * takes away what is old. So whether an entry is there, and what it says, tells for each transaction by
 * itself whether it has happened: no record of effects is needed.
 */
#include "powercut.h"
#include "queue_issued.h"
#include "queue_suppress.h"

#include <string.h>

enum {
	LISTED = 64, /* entries of the list, when no transaction failed */
	/* How many transactions later a token is used, its record changed, the token used for something else,
	 * and for that a second time; in each fifth one those as old as LISTED are swept. */
	USED = 8,
	CHANGED = 16,
	USED_ELSE = 24,
	USED_AGAIN = 25,
	SWEEPS = 5,
};
enum { BIT = 1, BIT_ELSE = 4 };

/* --- numbers as keys and values --- */

struct number {
	uint8_t bytes[4];
};

/* Big endian: entries are in the order of their transactions. */
static struct queue_blob
write_number(struct number *out, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		out->bytes[i] = (uint8_t)(n >> (24 - 8 * i));
	return (struct queue_blob){out->bytes, sizeof out->bytes};
}

/* 0: it is none. */
static uint32_t
number_of(struct queue_blob b)
{
	uint32_t n = 0;

	for (size_t i = 0; b.len == sizeof n && i < sizeof n; i++)
		n = n << 8 | ((const uint8_t *)b.ptr)[i];
	return n;
}

/* --- what a transaction does --- */

/* The newest entry of the list names the transaction; the one 64 before it goes. */
static void
list_one(struct queue_store *s, uint32_t attempt)
{
	struct number n;
	const struct queue_suppress_entry e = {0, write_number(&n, attempt)};
	int err;

	must(queue_suppress_put(s, QUEUE_SUPPRESS_LIST, e.value, &e, true) == 0, "suppress");
	err = queue_suppress_delete(s, QUEUE_SUPPRESS_LIST, write_number(&n, attempt - LISTED));
	must(err == 0 || err == QUEUE_ENOTFOUND, "suppress delete");
}

/* The token of the transaction `later` before this one, if that was ever issued. */
static void
use_one(struct queue_store *s, const bool *is_committed, uint32_t attempt, uint32_t later, uint8_t bit)
{
	bool is_there = attempt > later && is_committed[attempt - later];
	uint8_t before = 0;
	struct number n;
	int err = queue_issued_use(s, write_number(&n, attempt - later), bit, &before);

	must(err == (is_there ? 0 : QUEUE_ENOTFOUND), "issued use");
	must(!is_there || later != USED_AGAIN || (before & bit) != 0 || !is_committed[attempt - 1],
		"a token used by the transaction before is unused");
}

static void
issue_one(struct queue_store *s, const bool *is_committed, uint32_t attempt)
{
	bool is_there = attempt > CHANGED && is_committed[attempt - CHANGED];
	struct number key, value;
	int err;

	write_number(&value, attempt);
	must(queue_issued_put(s, write_number(&key, attempt), write_number(&value, attempt)) == 0, "issued");
	err = queue_issued_change(s, write_number(&key, attempt - CHANGED), write_number(&value, attempt));
	must(err == (is_there ? 0 : QUEUE_ENOTFOUND), "issued change");
	use_one(s, is_committed, attempt, USED, BIT);
	use_one(s, is_committed, attempt, USED_ELSE, BIT_ELSE);
	use_one(s, is_committed, attempt, USED_AGAIN, BIT_ELSE);
	if (attempt % SWEEPS == 0 && attempt > LISTED)
		must(queue_issued_sweep(s, write_number(&key, attempt - LISTED)) >= 0, "issued sweep");
}

void
lists_write(struct queue_store *s, const bool *is_committed, uint32_t attempt)
{
	list_one(s, attempt);
	issue_one(s, is_committed, attempt);
}

/* --- what there has to be --- */

struct past {
	const bool *is_committed;
	uint32_t found; /* the transaction whose state this is */
	uint32_t at;    /* entries up to it are there, or have to be missing */
};

static bool
has_happened(const struct past *p, uint32_t attempt)
{
	return attempt == p->found || (attempt > 0 && attempt < p->found && p->is_committed[attempt]);
}

/* The next transaction whose entry has to be in the list. */
static uint32_t
next_listed(const struct past *p)
{
	uint32_t n = p->at + 1;

	while (n <= p->found && (!has_happened(p, n) || has_happened(p, n + LISTED)))
		n++;
	return n;
}

static bool
on_listed(void *arg, struct queue_blob key, const struct queue_suppress_entry *e)
{
	struct past *p = arg;
	uint32_t n = next_listed(p);

	want(number_of(key) == n, "the list has another entry than the one of transaction", n);
	want(number_of(e->value) == n, "an entry of the list does not say its number", n);
	p->at = n;
	return true;
}

static void
check_list(struct queue_store *s, const bool *is_committed, uint32_t found)
{
	struct past p = {is_committed, found, 0};
	int n = queue_suppress_scan(
		s, QUEUE_SUPPRESS_LIST, (struct queue_blob){0}, UINT32_MAX, on_listed, &p);

	want(n >= 0, "the list cannot be read", 0);
	want(next_listed(&p) > found, "the list lacks the entry of transaction", next_listed(&p));
	want(queue_suppress_count(s, QUEUE_SUPPRESS_LIST) == (uint64_t)n,
		"the list is not as long as it says", (uint64_t)n);
}

/* Tokens of transactions before this one are swept. */
static uint32_t
swept_before(const struct past *p)
{
	for (uint32_t n = p->found - p->found % SWEEPS; n > LISTED; n -= SWEEPS)
		if (has_happened(p, n))
			return n - LISTED;
	return 0;
}

static uint32_t
next_issued(const struct past *p)
{
	uint32_t n = p->at + 1;

	while (n <= p->found && (!has_happened(p, n) || n < swept_before(p)))
		n++;
	return n;
}

static bool
on_issued(void *arg, struct queue_blob key, uint8_t used, struct queue_blob value)
{
	struct past *p = arg;
	uint32_t n = next_issued(p);
	bool is_used_else = has_happened(p, n + USED_ELSE) || has_happened(p, n + USED_AGAIN);

	want(number_of(key) == n, "another token is known than the one of transaction", n);
	want(number_of(value) == (has_happened(p, n + CHANGED) ? n + CHANGED : n),
		"a token's record is not that of its last change", n);
	want(used == ((has_happened(p, n + USED) ? BIT : 0) | (is_used_else ? BIT_ELSE : 0)),
		"a token's use is forgotten, or was never committed", n);
	p->at = n;
	return true;
}

static void
check_issued(struct queue_store *s, const bool *is_committed, uint32_t found)
{
	struct past p = {is_committed, found, 0};
	struct number first, end;
	uint64_t count = 0;
	int n = queue_issued_walk(
		s, write_number(&first, 1), write_number(&end, UINT32_MAX), UINT32_MAX, on_issued, &p);

	want(n >= 0, "the tokens cannot be read", 0);
	want(next_issued(&p) > found, "a token is lost: that of transaction", next_issued(&p));
	want(queue_issued_count(s, &count) == 0 && count == (uint64_t)n, "there are other tokens", count);
}

void
lists_check(struct queue_store *s, const bool *is_committed, uint32_t found)
{
	check_list(s, is_committed, found);
	check_issued(s, is_committed, found);
}
