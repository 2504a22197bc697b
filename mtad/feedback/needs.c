/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read is the part of Perl's syntax that nearly every expression is written in: letters, escaped
 * signs, classes, groups, alternatives, repetition. Whatever else comes makes the expression need nothing.
 *
 * The result is a tree in one array: ALL (each child), ONE (any child), TRIPLE (a leaf). Invariant: it needs
 * no more than the expression does. Where a part may be missing (?, *, {), or only looks around (?!...), it
 * adds nothing.
 */
#include "feedback/needs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum kind { ALL, ONE, TRIPLE };

struct node {
	uint16_t kind, end; /* end: the node behind its last child */
	uint16_t bit;
};
struct needs {
	size_t count; /* 0: nothing */
	struct node nodes[];
};

static unsigned char
lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static uint16_t
bit_of(unsigned char a, unsigned char b, unsigned char c)
{
	uint32_t all = (uint32_t)a << 16 | (uint32_t)b << 8 | c;

	return (uint16_t)((all * UINT32_C(2654435761)) >> 20);
}

/* --- reading an expression --- */

struct reader {
	const char *at, *end;
	struct node nodes[NEEDS_MAX];
	size_t count;
	unsigned char run[3]; /* the last letters that stand next to each other */
	int run_len, depth;
	bool is_foreign; /* not understood, or too long */
};

static size_t
add(struct reader *r, enum kind kind, uint16_t bit)
{
	if (r->count == NEEDS_MAX) {
		r->is_foreign = true;
		return 0;
	}
	r->nodes[r->count] = (struct node){(uint16_t)kind, (uint16_t)(r->count + 1), bit};
	return r->count++;
}

static void
letter(struct reader *r, char c)
{
	if (r->run_len == 3) {
		r->run[0] = r->run[1];
		r->run[1] = r->run[2];
		r->run_len = 2;
	}
	r->run[r->run_len++] = lower(c);
	if (r->run_len == 3)
		(void)add(r, TRIPLE, bit_of(r->run[0], r->run[1], r->run[2]));
}

/* Behind a "[" up to behind its "]". */
static void
skip_class(struct reader *r)
{
	bool is_first = true;

	if (r->at < r->end && *r->at == '^')
		r->at++;
	for (; r->at < r->end && (is_first || *r->at != ']'); is_first = false) {
		if (*r->at == '\\')
			r->at++;
		else if (*r->at == '[') /* maybe [:alpha:]; nobody needs it */
			r->is_foreign = true;
		r->at++;
	}
	r->at++;
	r->is_foreign = r->is_foreign || r->at > r->end;
}

/* How often what stands before may be there: 1 once, 2 at least once, 0 maybe not at all. */
static int
repetition(struct reader *r)
{
	int times = 1;

	if (r->at < r->end && strchr("?*{", *r->at) != NULL)
		times = 0;
	else if (r->at < r->end && *r->at == '+')
		times = 2;
	if (times == 1)
		return 1;
	if (*r->at == '{')
		while (r->at < r->end && *r->at != '}')
			r->at++;
	r->at++;
	if (r->at < r->end && (*r->at == '?' || *r->at == '+')) /* lazy, possessive */
		r->at++;
	r->is_foreign = r->is_foreign || r->at > r->end;
	return times;
}

static void
one_letter(struct reader *r, char c)
{
	int times = repetition(r);

	if (times > 0)
		letter(r, c);
	if (times != 1)
		r->run_len = 0;
}

static void read_alternatives(struct reader *r);

/* Behind a "(?" up to what the group is about. True: it looks around and takes nothing. */
static bool
read_option(struct reader *r)
{
	bool is_behind = r->end - r->at > 2 && r->at[0] == '<';
	char c;

	if (is_behind)
		r->at++;
	c = r->at < r->end ? *r->at : '\0';
	r->at++;
	r->is_foreign = r->is_foreign || (c != '!' && c != '=' && (c != ':' || is_behind));
	return c != ':';
}

/* Behind a "(" up to behind its ")". */
static void
read_group(struct reader *r)
{
	size_t before = r->count;
	bool looks_around = false;

	if (r->at < r->end && *r->at == '*')
		r->is_foreign = true;
	if (r->at < r->end && *r->at == '?') {
		r->at++;
		looks_around = read_option(r);
	}
	if (r->is_foreign || ++r->depth > NEEDS_DEPTH_MAX) {
		r->is_foreign = true;
		return;
	}
	read_alternatives(r);
	r->depth--;
	r->is_foreign = r->is_foreign || r->at >= r->end;
	if (r->is_foreign)
		return;
	r->at++;
	if (repetition(r) == 0 || looks_around)
		r->count = before;
}

static void
read_escape(struct reader *r)
{
	char c = r->at < r->end ? *r->at++ : 'Q';
	bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

	if (!is_letter) {
		one_letter(r, c);
		return;
	}
	r->is_foreign = r->is_foreign || strchr("dDwWsSbB", c) == NULL;
	r->run_len = 0;
	(void)repetition(r);
}

/* Up to a "|", a ")" or the end. */
static void
read_sequence(struct reader *r)
{
	size_t all = add(r, ALL, 0);

	r->run_len = 0;
	while (r->at < r->end && *r->at != '|' && *r->at != ')' && !r->is_foreign) {
		char c = *r->at++;

		if (c == '\\') {
			read_escape(r);
		} else if (strchr("[(.^$", c) != NULL && c != '\0') {
			r->run_len = 0;
			if (c == '(')
				read_group(r);
			else if (c == '[')
				skip_class(r);
			r->run_len = 0;
			if (c != '(' && !r->is_foreign)
				(void)repetition(r);
		} else {
			one_letter(r, c);
		}
	}
	r->run_len = 0;
	r->nodes[all].end = (uint16_t)r->count;
}

static void
read_alternatives(struct reader *r)
{
	size_t one = add(r, ONE, 0);

	read_sequence(r);
	while (!r->is_foreign && r->at < r->end && *r->at == '|') {
		r->at++;
		read_sequence(r);
	}
	r->nodes[one].end = (uint16_t)r->count;
}

struct needs *
needs_create(const char *expression, size_t len)
{
	struct reader r;
	struct needs *n;

	memset(&r, 0, sizeof(r));
	r.at = expression;
	r.end = expression + len;
	read_alternatives(&r);
	if (r.is_foreign || r.at != r.end)
		r.count = 0;
	if ((n = malloc(sizeof(*n) + r.count * sizeof(n->nodes[0]))) == NULL)
		return NULL;
	n->count = r.count;
	memcpy(n->nodes, r.nodes, r.count * sizeof(n->nodes[0]));
	return n;
}

void
needs_destroy(struct needs **np)
{
	free(*np);
	*np = NULL;
}

/* --- asking --- */

void
needs_of_text(struct needs_set *out, const char *text, size_t len)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 2; i < len; i++) {
		uint16_t bit = bit_of(lower(text[i - 2]), lower(text[i - 1]), lower(text[i]));

		out->words[bit / 64] |= UINT64_C(1) << bit % 64;
	}
}

/* As deep as the groups of the expression: NEEDS_DEPTH_MAX of them. */
static bool
is_met(const struct node *nodes, size_t at, const struct needs_set *set)
{
	const struct node *n = &nodes[at];
	bool is_met_here = n->kind == ALL;

	if (n->kind == TRIPLE)
		return (set->words[n->bit / 64] >> n->bit % 64 & 1) != 0;
	for (size_t child = at + 1; child < n->end; child = nodes[child].end) {
		is_met_here = is_met(nodes, child, set);
		if (is_met_here == (n->kind == ONE))
			return is_met_here;
	}
	return is_met_here;
}

bool
needs_are_met(const struct needs *n, const struct needs_set *set)
{
	return n->count == 0 || is_met(n->nodes, 0, set);
}
