/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reload changes, in the words of the file. Two values differ when their printed forms differ, so the
 * comparison cannot know a type that the reader does not see; long lists are compared item by item.
 *
 * Invariant: a line says "(now)" or "(needs a restart)", and the return value counts the latter.
 */
#include "conf/conf_load.h"

#include <string.h>

#define NAME_MAX_BYTES 65536

struct diff {
	const struct conf *from, *to;
	struct conf_arena arena; /* of printed values */
	FILE *out;
	int restart_count;
};

static void
say(struct diff *d, const char *where, const char *what, bool is_live)
{
	fprintf(d->out, "%s%s (%s)\n", where, what, is_live ? "now" : "needs a restart");
	d->restart_count += is_live ? 0 : 1;
}

static bool
same_list(const struct conf_list *a, const struct conf_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strncmp(a->items[i], b->items[i], NAME_MAX_BYTES) != 0)
			return false;
	return true;
}

static void
diff_field(struct diff *d, const char *where, const struct conf_row *row, const void *from, const void *to)
{
	const char *was = from != NULL ? conf_value_print(&d->arena, row, from) : "not set";
	const char *is = to != NULL ? conf_value_print(&d->arena, row, to) : "not set";
	char name[CONF_ROW_NAME_MAX];

	if (from != NULL && to != NULL) {
		if (row->type == CONF_TYPE_LIST ? same_list(from, to) : strncmp(was, is, NAME_MAX_BYTES) == 0)
			return;
	} else if (from == to) {
		return;
	}
	say(d, where,
		conf_arena_printf(&d->arena, "%s: %s -> %s", conf_row_name(row, name),
			was[0] != '\0' ? was : "not set", is[0] != '\0' ? is : "not set"),
		row->is_live);
}

/* Delivery settings that a block leaves to the others have no value of their own. */
static const void *
delivery_field(const struct conf_delivery *v, size_t n)
{
	if ((v->is_set >> n & 1) == 0)
		return NULL;
	return (const char *)v + conf_delivery_rows[n].offset;
}

static void
diff_delivery(
	struct diff *d, const char *where, const struct conf_delivery *from, const struct conf_delivery *to)
{
	for (size_t n = 0; n < conf_delivery_row_count; n++)
		diff_field(d, where, &conf_delivery_rows[n], delivery_field(from, n), delivery_field(to, n));
}

/* What the files behind a block say, without saying it. */
static void
diff_secret(struct diff *d, int kind, const char *where, const void *from, const void *to)
{
	const char *was = "", *is = "";

	if (kind == CONF_KIND_USER) {
		was = ((const struct conf_user *)from)->password_hash;
		is = ((const struct conf_user *)to)->password_hash;
	} else if (kind == CONF_KIND_ROUTE) {
		was = ((const struct conf_route *)from)->password;
		is = ((const struct conf_route *)to)->password;
	}
	if (kind == CONF_KIND_WEBHOOK) {
		was = ((const struct conf_webhook *)from)->secret;
		is = ((const struct conf_webhook *)to)->secret;
	}
	if (strncmp(was, is, NAME_MAX_BYTES) != 0)
		say(d, where, kind == CONF_KIND_WEBHOOK ? "the secret is another" : "the password is another",
			true);
}

static void
diff_block(struct diff *d, int kind, const char *where, void *from, void *to)
{
	const struct conf_block_kind *k = &conf_kinds[kind];

	for (size_t n = 0; n < k->row_count; n++)
		diff_field(d, where, &k->rows[n], conf_kind_field(k, n, from), conf_kind_field(k, n, to));
	if (k->has_delivery)
		diff_delivery(d, where, (const struct conf_delivery *)((char *)from + k->delivery_offset),
			(const struct conf_delivery *)((char *)to + k->delivery_offset));
	diff_secret(d, kind, where, from, to);
}

/* A block's name; the keys of one domain are told apart by their selector. */
static const char *
name_of(struct conf_arena *a, int kind, const void *block)
{
	const char *name = *(const char *const *)((const char *)block + conf_kinds[kind].name);

	if (kind == CONF_KIND_DKIM)
		return conf_arena_printf(a, "%s %s", name, ((const struct conf_dkim *)block)->selector);
	return name;
}

static size_t
count_of(const struct conf *c, int kind)
{
	return *(const size_t *)((const char *)c + conf_kinds[kind].count);
}

static const void *
block_of(const struct conf *c, int kind, size_t n)
{
	return conf_block_at((struct conf *)(uintptr_t)c, kind, n);
}

static void
index_blocks(struct diff *d, struct conf_index *i, const struct conf *c, int kind)
{
	conf_index_init(i, &d->arena, count_of(c, kind) + 1);
	for (size_t n = 0; n < count_of(c, kind); n++) {
		const char *name = name_of(&d->arena, kind, block_of(c, kind, n));

		conf_index_add(i, name, strnlen(name, NAME_MAX_BYTES), (uint32_t)n);
	}
}

/* domain "*" is compared with everything it leaves out, as it is what every other domain starts from. */
static bool
is_star(int kind, const char *name)
{
	return kind == CONF_KIND_DOMAIN && strncmp(name, "*", 2) == 0;
}

/* Of rules, bounces, streams and reports the first block that fits holds: their order is a setting. */
static bool
is_ordered(int kind)
{
	return kind == CONF_KIND_RULE || kind == CONF_KIND_BOUNCE || kind == CONF_KIND_STREAM ||
	       kind == CONF_KIND_REPORT_FORM;
}

static const char *
where_of(struct diff *d, int kind, const char *name)
{
	return conf_arena_printf(&d->arena, "%s \"%s\": ", conf_kinds[kind].word, name);
}

static void
diff_kind(struct diff *d, int kind)
{
	struct conf_index was, is;
	int64_t last = -1;

	index_blocks(d, &was, d->from, kind);
	index_blocks(d, &is, d->to, kind);
	for (size_t n = 0; n < count_of(d->from, kind); n++) {
		const char *name = name_of(&d->arena, kind, block_of(d->from, kind, n));

		if (!is_star(kind, name) && conf_index_find(&is, name, strnlen(name, NAME_MAX_BYTES)) < 0)
			say(d, where_of(d, kind, name), "removed", true);
	}
	for (size_t n = 0; n < count_of(d->to, kind); n++) {
		void *to = conf_block_at((struct conf *)(uintptr_t)d->to, kind, n);
		const char *name = name_of(&d->arena, kind, to);
		int64_t old = conf_index_find(&was, name, strnlen(name, NAME_MAX_BYTES));

		if (is_star(kind, name))
			continue;
		if (is_ordered(kind) && old >= 0 && old < last)
			say(d, where_of(d, kind, name), "stands further back", true);
		last = old > last ? old : last;
		if (old < 0)
			say(d, where_of(d, kind, name), "added", true);
		else
			diff_block(d, kind, where_of(d, kind, name),
				conf_block_at((struct conf *)(uintptr_t)d->from, kind, (size_t)old), to);
	}
}

static void
diff_token_secrets(struct diff *d)
{
	static const char *const words[] = {
		"the token-secret is another", "the token-secret before that is another"};

	for (size_t i = 0; i < 2; i++)
		if (strncmp(d->from->token_secrets[i], d->to->token_secrets[i], NAME_MAX_BYTES) != 0)
			say(d, "", words[i], true);
}

/* Of sources only who is first matters. */
static void
diff_first_source(struct diff *d)
{
	const char *name = d->to->sources[0].name;

	if (strncmp(d->from->sources[0].name, name, NAME_MAX_BYTES) != 0)
		say(d, where_of(d, CONF_KIND_SOURCE, name),
			"is the first now: mail that no pool is chosen for leaves from it", true);
}

int
conf_diff(const struct conf *from, const struct conf *to, FILE *out)
{
	struct diff d = {.from = from, .to = to, .out = out};

	diff_block(&d, CONF_KIND_TOP, "", (void *)(uintptr_t)from, (void *)(uintptr_t)to);
	for (int kind = CONF_KIND_TOP + 1; kind < CONF_KIND_COUNT; kind++)
		diff_kind(&d, kind);
	diff_first_source(&d);
	diff_token_secrets(&d);
	diff_delivery(&d, "domain \"*\": ", &from->delivery, &to->delivery);
	conf_arena_fini(&d.arena);
	return d.restart_count;
}
