/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guards: whose they are, and that a threshold that asks for less comes before one that asks for more.
 *
 * Invariant: after the check each guard is whole: what its block leaves out is guard "*"'s, or the default.
 */
#include "conf/conf_check.h"

#include <assert.h>
#include <string.h>

static bool
is_given(const struct conf_loader *l, size_t n, const char *setting)
{
	return conf_raw_find(l->blocks[CONF_KIND_GUARD][n], &conf_kinds[CONF_KIND_GUARD], setting) != NULL;
}

static void
take_from_all(struct conf_loader *l, size_t n)
{
	const struct conf_block_kind *k = &conf_kinds[CONF_KIND_GUARD];
	char name[CONF_ROW_NAME_MAX];

	for (size_t i = 0; i < k->row_count; i++) {
		const struct conf_row *row = &k->rows[i];

		assert(row->type == CONF_TYPE_COUNT || row->type == CONF_TYPE_DURATION ||
			row->type == CONF_TYPE_PERCENT);
		if (!is_given(l, n, conf_row_name(row, name)))
			memcpy((char *)&l->conf->guards[n] + row->offset,
				(const char *)&l->conf->guard + row->offset, sizeof(int64_t));
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
				conf_place_of(
					l, CONF_KIND_GUARD, n, pairs[i][is_given(l, n, pairs[i][0]) ? 0 : 1]),
				"%s = %s is above %s = %s", pairs[i][0],
				conf_value_print(&l->scratch, &k->rows[less], less_ppm), pairs[i][1],
				conf_value_print(&l->scratch, &k->rows[more], more_ppm));
	}
}

void
conf_check_guards(struct conf_loader *l)
{
	struct conf *c = l->conf;
	int64_t all;

	conf_check_names(l, CONF_KIND_GUARD, &l->owner->guards);
	all = conf_index_find(&l->owner->guards, "*", 1);
	/* conf_fill has put the defaults behind the last block. */
	c->guard = c->guards[all >= 0 ? (size_t)all : c->guard_count];
	if (all < 0) {
		c->guard.name = "*";
		c->guard.at = c->file;
	}
	for (size_t n = 0; n < c->guard_count; n++) {
		const char *name = c->guards[n].name;

		if ((int64_t)n != all && conf_user_find(c, name, strnlen(name, 65536)) == NULL)
			conf_error(&l->report, l->blocks[CONF_KIND_GUARD][n]->at,
				"there is no user \"%.60s\"; guard * is for all mail", name);
		take_from_all(l, n);
		check_order(l, n);
	}
}
