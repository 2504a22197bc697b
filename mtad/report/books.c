/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of records are the unit: they divide events, so two files that are taken for different types cannot
 * tell of the same event, whether they have ids or not.
 */
#include "report/books.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4096, BLOCK_BITS = 1 << 15, SLOTS_FIRST = 64, SPOOL_DIGITS = 16, NUMBER_DIGITS_MAX = 20 };

/* As enum conf_record has them. */
_Static_assert(
	(int)RECORD_DELIVERED == (int)CONF_RECORD_D && (int)RECORD_BOUNCED == (int)CONF_RECORD_B &&
		(int)RECORD_TRANSIENT == (int)CONF_RECORD_T && (int)RECORD_RECEIVED == (int)CONF_RECORD_R &&
		(int)RECORD_REMOTE == (int)CONF_RECORD_RB && (int)RECORD_COMPLAINT == (int)CONF_RECORD_F &&
		(int)RECORD_UNSUBSCRIBED == (int)CONF_RECORD_U &&
		(int)RECORD_TYPE_COUNT == (int)CONF_RECORD_COUNT,
	"a bit of record_set is that of the record type");

/* --- which files --- */

/* How much a record says. */
enum worth { WORTH_COLUMNS, WORTH_DEFAULT_COLUMNS, WORTH_JSON };

struct candidate {
	const char *path;
	unsigned whole_set;  /* types it has of all mail */
	unsigned choice_set; /* of some */
	enum worth worth;
	bool has_ids;
	int book; /* index in the result; -1: not taken */
};
struct candidates {
	struct candidate items[BOOKS_MAX];
	size_t count;
};

static bool
is_file(const char *path)
{
	return path[0] != '\0' && strcmp(path, "none") != 0;
}

/* Types of which it has some mail alone; a choice of classes is one of failures. */
static unsigned
chosen_types(const struct conf_records *which)
{
	if (which->users.count + which->jobs.count + which->pools.count > 0)
		return ~0u;
	return which->class_set != 0 ? 1u << RECORD_BOUNCED | 1u << RECORD_TRANSIENT | 1u << RECORD_REMOTE
				     : 0;
}

static void
add_candidate(struct candidates *l, const char *path, const struct conf_records *which, enum worth worth,
	bool has_ids)
{
	if (!is_file(path))
		return;
	assert(l->count < BOOKS_MAX);
	l->items[l->count++] = (struct candidate){.path = path,
		.whole_set = which->record_set & ~chosen_types(which),
		.choice_set = which->record_set & chosen_types(which),
		.worth = worth,
		.has_ids = has_ids,
		.book = -1};
}

static bool
has_column(const struct conf_list *fields, const char *name)
{
	for (size_t i = 0; i < fields->count; i++)
		if (strncmp(fields->items[i], name, TEXT_MAX) == 0)
			return true;
	return false;
}

static void
add_block(struct candidates *l, const struct conf_accounting *a)
{
	static const char *const needed[] = {"type", "timeLogged", "rcpt"};
	const struct conf_list *fields = &a->columns.fields;

	if (a->format == CONF_ACCOUNTING_JSON) {
		add_candidate(l, a->path, &a->which, WORTH_JSON, true);
		return;
	}
	for (size_t i = 0; fields->count > 0 && i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!has_column(fields, needed[i]))
			return;
	add_candidate(l, a->path, &a->which, fields->count > 0 ? WORTH_COLUMNS : WORTH_DEFAULT_COLUMNS,
		has_column(fields, "eventId"));
}

static void
take(struct candidate *c, unsigned take_set, bool has_choice, struct books *out)
{
	if (c->book < 0) {
		c->book = (int)out->count++;
		out->items[c->book] = (struct book){.path = c->path};
	}
	out->items[c->book].take_set |= take_set;
	out->items[c->book].has_choice = out->items[c->book].has_choice || has_choice;
}

/* The best that has all mail of a type that is not covered. NULL: none. */
static struct candidate *
best_whole(struct candidates *l, unsigned covered)
{
	struct candidate *best = NULL;

	for (size_t i = 0; i < l->count; i++) {
		struct candidate *c = &l->items[i];

		if ((c->whole_set & ~covered) == 0)
			continue;
		if (best == NULL || c->worth > best->worth ||
			(c->worth == best->worth &&
				__builtin_popcount(c->whole_set) > __builtin_popcount(best->whole_set)))
			best = c;
	}
	return best;
}

/* Those with ids first: several of them make up more. */
static void
take_choices(struct candidates *l, unsigned covered, struct books *out)
{
	for (int with_ids = 1; with_ids >= 0; with_ids--)
		for (size_t i = 0; i < l->count; i++) {
			struct candidate *c = &l->items[i];
			unsigned take_set = c->choice_set & ~covered;

			if (c->has_ids != (with_ids == 1))
				continue;
			if (!c->has_ids)
				take_set &= ~out->partial_set;
			if (take_set == 0)
				continue;
			take(c, take_set, true, out);
			out->partial_set |= take_set;
		}
}

void
books_choose(const struct conf *c, struct books *out)
{
	struct candidates l = {.count = 0};
	struct candidate *best;
	unsigned covered = 0;

	*out = (struct books){.count = 0};
	add_candidate(&l, c->accounting_json, &c->consumers.records, WORTH_JSON, true);
	add_candidate(&l, c->accounting_file, &c->consumers.records, WORTH_DEFAULT_COLUMNS, false);
	for (size_t i = 0; i < c->consumers.accounting_count; i++)
		add_block(&l, &c->consumers.accountings[i]);
	while ((best = best_whole(&l, covered)) != NULL) {
		take(best, best->whole_set & ~covered, false, out);
		covered |= best->whole_set;
	}
	take_choices(&l, covered, out);
}

/* --- ids --- */

/* A part of the numbers of one spool. */
struct block {
	uint64_t spool, number;
	uint64_t bits[BLOCK_BITS / 64];
};
struct books_ids {
	struct block **slots; /* a hash table; at most half of it is used */
	size_t slot_count, count;
	struct block *last; /* ids come in order, nearly */
};

struct books_ids *
books_ids_create(void)
{
	struct books_ids *ids = calloc(1, sizeof(*ids));

	if (ids != NULL && (ids->slots = calloc(SLOTS_FIRST, sizeof(*ids->slots))) != NULL) {
		ids->slot_count = SLOTS_FIRST;
		return ids;
	}
	free(ids);
	return NULL;
}

void
books_ids_destroy(struct books_ids **ip)
{
	struct books_ids *ids = *ip;

	*ip = NULL;
	if (ids == NULL)
		return;
	for (size_t i = 0; i < ids->slot_count; i++)
		free(ids->slots[i]);
	free(ids->slots);
	free(ids);
}

/* Where the block is, or would be. */
static size_t
slot_of(struct block *const *slots, size_t slot_count, uint64_t spool, uint64_t number)
{
	size_t at = (size_t)((spool ^ number) * UINT64_C(0x9e3779b97f4a7c15) >> 32) % slot_count;

	while (slots[at] != NULL && (slots[at]->spool != spool || slots[at]->number != number))
		at = (at + 1) % slot_count;
	return at;
}

static bool
grow(struct books_ids *ids)
{
	size_t slot_count = 2 * ids->slot_count;
	struct block **slots = calloc(slot_count, sizeof(*slots));

	if (slots == NULL)
		return false;
	for (size_t i = 0; i < ids->slot_count; i++)
		if (ids->slots[i] != NULL)
			slots[slot_of(slots, slot_count, ids->slots[i]->spool, ids->slots[i]->number)] =
				ids->slots[i];
	free(ids->slots);
	ids->slots = slots;
	ids->slot_count = slot_count;
	return true;
}

/* NULL: no memory. */
static struct block *
block_of(struct books_ids *ids, uint64_t spool, uint64_t number)
{
	struct block *b = ids->last;
	size_t at;

	if (b != NULL && b->spool == spool && b->number == number)
		return b;
	if (2 * (ids->count + 1) > ids->slot_count && !grow(ids))
		return NULL;
	at = slot_of(ids->slots, ids->slot_count, spool, number);
	if (ids->slots[at] == NULL) {
		if ((b = calloc(1, sizeof(*b))) == NULL)
			return NULL;
		b->spool = spool;
		b->number = number;
		ids->slots[at] = b;
		ids->count++;
	}
	return ids->last = ids->slots[at];
}

/* As event_id_text() writes it: 16 hexadecimal digits of the spool, "-", the number. */
static bool
read_id(struct queue_blob id, uint64_t *out_spool, uint64_t *out_seq)
{
	const char *s = id.ptr;
	uint64_t spool = 0, seq = 0;

	if (id.len < SPOOL_DIGITS + 2 || id.len > SPOOL_DIGITS + 1 + NUMBER_DIGITS_MAX ||
		s[SPOOL_DIGITS] != '-')
		return false;
	for (size_t i = 0; i < SPOOL_DIGITS; i++) {
		bool is_digit = s[i] >= '0' && s[i] <= '9';

		if (!is_digit && (s[i] < 'a' || s[i] > 'f'))
			return false;
		spool = spool << 4 | (uint64_t)(is_digit ? s[i] - '0' : s[i] - 'a' + 10);
	}
	for (size_t i = SPOOL_DIGITS + 1; i < id.len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		seq = seq * 10 + (uint64_t)(s[i] - '0');
	}
	*out_spool = spool;
	*out_seq = seq;
	return true;
}

int
books_ids_add(struct books_ids *ids, struct queue_blob id)
{
	uint64_t spool, seq, bit, *word;
	struct block *b;

	if (!read_id(id, &spool, &seq))
		return 1;
	if ((b = block_of(ids, spool, seq / BLOCK_BITS)) == NULL)
		return -1;
	word = &b->bits[seq % BLOCK_BITS / 64];
	bit = UINT64_C(1) << seq % 64;
	if ((*word & bit) != 0)
		return 0;
	*word |= bit;
	return 1;
}
