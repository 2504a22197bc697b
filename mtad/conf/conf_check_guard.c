/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guards and suppressions, blocks of a user or of all mail: whose they are; and that a threshold that asks
 * for less comes before one that asks for more.
 *
 * Invariant: after the check each block is whole: what it leaves out is the block "*"'s, or the default.
 */
#include "conf/conf_check.h"

#include <assert.h>
#include <string.h>

static bool
is_given(const struct conf_loader *l, int kind, size_t n, const char *setting)
{
	return conf_raw_find(l->blocks[kind][n], &conf_kinds[kind], setting) != NULL;
}

static size_t
size_of(enum conf_type type)
{
	switch (type) {
	case CONF_TYPE_BOOL:
		return sizeof(bool);
	case CONF_TYPE_CHOICE:
		return sizeof(int);
	default:
		assert(type == CONF_TYPE_COUNT || type == CONF_TYPE_DURATION || type == CONF_TYPE_PERCENT);
		return sizeof(int64_t);
	}
}

static void
take_from_all(struct conf_loader *l, int kind, size_t n, const void *all)
{
	const struct conf_block_kind *k = &conf_kinds[kind];
	char *block = conf_block_at(l->conf, kind, n);
	char name[CONF_ROW_NAME_MAX];

	for (size_t i = 0; i < k->row_count; i++) {
		const struct conf_row *row = &k->rows[i];

		if (!is_given(l, kind, n, conf_row_name(row, name)))
			memcpy(block + row->offset, (const char *)all + row->offset, size_of(row->type));
	}
}

static void
check_order(struct conf_loader *l, size_t n)
{
	static const char *const pairs[][2] = {{"bounce-warn", "bounce-slow"}, {"bounce-slow", "bounce-stop"},
		{"complaint-warn", "complaint-slow"}, {"complaint-slow", "complaint-stop"}};
	const struct conf_block_kind *k = &conf_kinds[CONF_KIND_GUARD];

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		size_t less = (size_t)conf_kind_row_find(k, pairs[i][0]),
		       more = (size_t)conf_kind_row_find(k, pairs[i][1]);
		const int64_t *less_ppm = conf_kind_field(k, less, &l->conf->guards[n]),
			      *more_ppm = conf_kind_field(k, more, &l->conf->guards[n]);

		if (*less_ppm > *more_ppm)
			conf_error(&l->report,
				conf_place_of(l, CONF_KIND_GUARD, n,
					pairs[i][is_given(l, CONF_KIND_GUARD, n, pairs[i][0]) ? 0 : 1]),
				"%s = %s is above %s = %s", pairs[i][0],
				conf_value_print(&l->scratch, &k->rows[less], less_ppm), pairs[i][1],
				conf_value_print(&l->scratch, &k->rows[more], more_ppm));
	}
}

/* Names are those of users, or "*" for all mail; the blocks are whole afterwards. `all`: of struct conf. */
static void
check_of_users(struct conf_loader *l, int kind, struct conf_index *index, void *all)
{
	const struct conf_block_kind *k = &conf_kinds[kind];
	size_t count = *(const size_t *)((const char *)l->conf + k->count);
	int64_t star;

	conf_check_names(l, kind, index);
	star = conf_index_find(index, "*", 1);
	/* conf_fill has put the defaults behind the last block. */
	memcpy(all, conf_block_at(l->conf, kind, star >= 0 ? (size_t)star : count), k->bytes);
	if (star < 0) {
		*(const char **)((char *)all + k->name) = "*";
		*(const char **)((char *)all + k->at) = l->conf->file;
	}
	for (size_t n = 0; n < count; n++) {
		const char *name =
			*(const char *const *)((const char *)conf_block_at(l->conf, kind, n) + k->name);

		if ((int64_t)n != star && conf_user_find(l->conf, name, strnlen(name, 65536)) == NULL)
			conf_error(&l->report, l->blocks[kind][n]->at,
				"there is no user \"%.60s\"; %s * is for all mail", name, k->word);
		take_from_all(l, kind, n, all);
	}
}

void
conf_check_guards(struct conf_loader *l)
{
	check_of_users(l, CONF_KIND_GUARD, &l->owner->guards, &l->conf->guard);
	for (size_t n = 0; n < l->conf->guard_count; n++)
		check_order(l, n);
}

void
conf_check_suppressions(struct conf_loader *l)
{
	check_of_users(l, CONF_KIND_SUPPRESSION, &l->owner->suppressions, &l->conf->suppression);
}
