/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that limit nothing, and streams: what they name must be there. A list of rates that cannot be met
 * was refused when its values were read. */
#include "conf/conf_check.h"

#include <string.h>

#define ALL_CLASSES ((1u << CONF_CLASS_COUNT) - 1)

/* The most that `shorter` lets through within the window of `longer`, wherever it begins; -1: more than
 * anybody counts. */
static int64_t
most_within(const struct conf_rate *shorter, const struct conf_rate *longer)
{
	/* Windows that do not divide each other touch one more at each end. */
	int64_t windows = longer->per_us / shorter->per_us + (longer->per_us % shorter->per_us > 0 ? 2 : 0);
	int64_t most;

	return __builtin_mul_overflow(shorter->count, windows, &most) ? -1 : most;
}

static const char *
print_rate(struct conf_loader *l, enum conf_type type, const struct conf_rate *rate)
{
	const struct conf_row row = {.type = type};
	const struct conf_rates one = {rate, 1};

	return conf_value_print(&l->scratch, &row, &one);
}

static void
warn_of_useless(struct conf_loader *l, const struct conf_row *row, const struct conf_raw_setting *s,
	const struct conf_rates *rates)
{
	char name[CONF_ROW_NAME_MAX];

	for (size_t i = 1; i < rates->count; i++) {
		const struct conf_rate *longer = &rates->items[i];

		for (size_t n = 0; n < i; n++) {
			int64_t most = most_within(&rates->items[n], longer);

			if (most < 0 || most >= longer->count)
				continue;
			conf_warn(&l->report, s->at, "%s: %s is never reached, as %s is less",
				conf_row_name(row, name), print_rate(l, row->type, longer),
				print_rate(l, row->type, &rates->items[n]));
			break;
		}
	}
}

void
conf_check_rates(struct conf_loader *l)
{
	for (int kind = CONF_KIND_TOP; kind < CONF_KIND_COUNT; kind++) {
		const struct conf_block_kind *k = &conf_kinds[kind];
		size_t n = 0;

		for (const struct conf_raw_block *b = l->raw.blocks[kind]; b != NULL; b = b->next, n++) {
			void *block = conf_block_at(l->conf, kind, n);

			for (const struct conf_raw_setting *s = b->settings; s != NULL; s = s->next) {
				const struct conf_row *row = conf_kind_row(k, s->row);

				if (row->type == CONF_TYPE_RATES || row->type == CONF_TYPE_BYTE_RATES)
					warn_of_useless(l, row, s, conf_kind_field(k, s->row, block));
			}
		}
	}
}

/* --- streams --- */

/* A name without a wildcard that no user has would wait for mail for ever. */
static void
check_stream_users(struct conf_loader *l, size_t n, const struct conf_list *users)
{
	for (size_t i = 0; i < users->count; i++) {
		const char *name = users->items[i];

		if (strpbrk(name, "*?") == NULL &&
			conf_user_find(l->conf, name, strnlen(name, 65536)) == NULL)
			conf_check_missing(
				l, conf_place_of(l, CONF_KIND_STREAM, n, "users"), CONF_KIND_USER, name);
	}
}

static unsigned
check_stream_classes(struct conf_loader *l, size_t n, const struct conf_list *classes)
{
	static const struct conf_block_kind *const user = &conf_kinds[CONF_KIND_USER];
	const struct conf_row *row = &user->rows[conf_kind_row_find(user, "class")];
	const struct conf_value_env env = {&l->scratch, "/"};
	struct conf_why why;
	unsigned set = 0;
	int class;

	for (size_t i = 0; i < classes->count; i++) {
		if (conf_value_store(&env, row, &classes->items[i], 1, &class, &why))
			set |= 1u << class;
		else
			conf_error(&l->report, conf_place_of(l, CONF_KIND_STREAM, n, "classes"),
				"classes: %s", why.text);
	}
	return set != 0 ? set : ALL_CLASSES;
}

void
conf_check_streams(struct conf_loader *l)
{
	const struct conf_stream *all = NULL;
	struct conf_index names;

	conf_check_names(l, CONF_KIND_STREAM, &names);
	for (size_t n = 0; n < l->conf->stream_count; n++) {
		struct conf_stream *s = &l->conf->streams[n];

		check_stream_users(l, n, &s->users);
		s->class_set = check_stream_classes(l, n, &s->classes);
		if (all != NULL)
			conf_warn(&l->report, l->blocks[CONF_KIND_STREAM][n]->at,
				"stream \"%.60s\" is not used: \"%.60s\" before it fits all mail", s->name,
				all->name);
		else if (s->users.count + s->jobs.count == 0 && s->class_set == ALL_CLASSES)
			all = s;
	}
}
