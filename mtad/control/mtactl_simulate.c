/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl simulate: the daemon's queue, in numbers, sent through two schedules, one with the settings in force
 * and one with those of a file; and the difference for each site.
 *
 * Cells that nothing tells apart here (site, stream, pool, the blocks that hold for their domains) are one
 * group, so that a million domains of one site are few. What is beyond the bounds is left out, the smallest
 * sites first, and is said to be.
 */
#include "control/mtactl_simulate.h"
#include "control/ctl_reason.h"

#include "conf/conf_copy.h"
#include "queue/simulate.h"
#include "route/site.h"
#include "smtp_base64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	GROUPS_MAX = 20000,     /* of a simulation */
	COLLECTED_MAX = 200000, /* groups remembered while they come */
	WATCHED_MAX = 100,
	TOP_DEFAULT = 20,
	DAYS_DEFAULT = 7,
	DAYS_MAX = 366,
	NOW = 0,
	THEN = 1,
	KEY_MAX = 8192,
	KNOWN_MAX = 4096, /* of a record or note */
};
#define DAY_US          (INT64_C(86400) * 1000000)
#define CONNECT_DEFAULT INT64_C(500000)

struct group {
	json_t *cell; /* the first of it; its texts are the group's */
	char *site_then;
	size_t row;
	uint64_t ready, looked_at, messages, bytes;
	struct queue_due_view due[QUEUE_DUE_BUCKETS];
};
struct row {
	const char *site;
	size_t groups;
	uint64_t rcpts, held;
	bool is_taken; /* in the simulation, as number `at` */
	size_t at;
};
struct gathered {
	const struct conf *conf[SIMULATE_SIDES];
	FILE *text; /* of the configuration in force */
	char *text_bytes;
	size_t text_len;
	json_t *kept;              /* what others borrow text from */
	json_t *sites;             /* times by name */
	json_t *paused;            /* domains */
	json_t *group_of, *row_of; /* numbers by key, by site */
	json_t *pauses, *records, *notes;
	struct group *groups;
	struct row *rows;
	size_t group_count, group_max, row_count, row_max;
	uint64_t rejected, held, left_out;
	int64_t transaction_sum_us, connect_sum_us, measured;
	bool has_failed;
};

static struct queue_blob
member(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return (struct queue_blob){json_is_string(v) ? json_string_value(v) : "", json_string_length(v)};
}

/* --- what the daemon sends --- */

/* The configuration is whole when the first row of another kind comes. */
static bool
has_conf(struct gathered *g)
{
	if (g->conf[NOW] != NULL || g->has_failed)
		return !g->has_failed;
	if (g->text != NULL)
		(void)fclose(g->text);
	g->text = NULL;
	if (g->text_bytes != NULL)
		g->conf[NOW] =
			conf_load_copy("(the configuration in force)", g->text_bytes, g->text_len, stderr);
	g->has_failed = g->conf[NOW] == NULL;
	return !g->has_failed;
}

/* Room for one more; false: no memory. */
static bool
make_room(void **items, size_t count, size_t *max, size_t bytes)
{
	size_t more = *max > 0 ? *max * 2 : 256;
	void *grown;

	if (count < *max)
		return true;
	if ((grown = reallocarray(*items, more, bytes)) == NULL)
		return false;
	*items = grown;
	*max = more;
	return true;
}

/* SIZE_MAX: no memory. */
static size_t
row_of(struct gathered *g, const char *site)
{
	const json_t *known = json_object_get(g->row_of, site);
	json_t *name;

	if (known != NULL)
		return (size_t)json_integer_value(known);
	if (!make_room((void **)&g->rows, g->row_count, &g->row_max, sizeof(g->rows[0])) ||
		(name = json_string(site)) == NULL)
		return SIZE_MAX;
	(void)json_array_append_new(g->kept, name);
	(void)json_object_set_new(g->row_of, site, json_integer((json_int_t)g->row_count));
	g->rows[g->row_count] = (struct row){.site = json_string_value(name)};
	return g->row_count++;
}

/* What decides how a domain's mail is sent, apart from its site. */
static const void *
block_of(const struct conf *c, const char *domain)
{
	return conf_domain_find(c, domain, strnlen(domain, SITE_NAME_MAX));
}

/* Into key; false: a name of it is longer than names are. */
static bool
group_key(const struct gathered *g, const json_t *cell, const char *site, const char *then, char key[KEY_MAX])
{
	const char *domain = mtactl_text(cell, "domain");
	bool is_alone = json_object_get(g->paused, domain) != NULL;

	return snprintf(key, KEY_MAX, "%s %s %p %p %s|%s|%s|%s|%lld|%s|%s|%d|%s", site, then,
		       block_of(g->conf[NOW], domain), block_of(g->conf[THEN], domain),
		       mtactl_text(cell, "user"), mtactl_text(cell, "job"), mtactl_text(cell, "sender"),
		       mtactl_text(cell, "from_domain"), (long long)mtactl_integer(cell, "class"),
		       mtactl_text(cell, "pool"), mtactl_text(cell, "source"),
		       (int)mtactl_is_true(cell, "strict"), is_alone ? domain : "") < KEY_MAX;
}

static void
add_dues(struct group *to, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		json_int_t bucket = json_integer_value(json_array_get(item, 0));
		int64_t first_us = json_integer_value(json_array_get(item, 2)),
			last_us = json_integer_value(json_array_get(item, 3));
		struct queue_due_view *d;

		if (bucket < 0 || bucket >= QUEUE_DUE_BUCKETS)
			continue;
		d = &to->due[bucket];
		if (d->rcpts == 0 || first_us < d->first_us)
			d->first_us = first_us;
		if (d->rcpts == 0 || last_us > d->last_us)
			d->last_us = last_us;
		d->rcpts += (uint64_t)json_integer_value(json_array_get(item, 1));
	}
}

static uint64_t
waiting_of(const json_t *cell)
{
	uint64_t sum = (uint64_t)mtactl_integer(cell, "ready");
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(cell, "due"), i, item)
	{
		sum += (uint64_t)json_integer_value(json_array_get(item, 1));
	}
	return sum;
}

/* NULL: no room or no memory. */
static struct group *
group_of(struct gathered *g, json_t *cell, const char *site, const char *then)
{
	const json_t *known;
	char key[KEY_MAX];
	struct group *to;
	size_t row;

	if (!group_key(g, cell, site, then, key))
		return NULL;
	if ((known = json_object_get(g->group_of, key)) != NULL)
		return &g->groups[json_integer_value(known)];
	if (g->group_count >= COLLECTED_MAX || (row = row_of(g, site)) == SIZE_MAX ||
		!make_room((void **)&g->groups, g->group_count, &g->group_max, sizeof(g->groups[0])))
		return NULL;
	to = &g->groups[g->group_count];
	*to = (struct group){.cell = cell, .row = row, .site_then = strdup(then)};
	if (to->site_then == NULL)
		return NULL;
	(void)json_array_append(g->kept, cell);
	(void)json_object_set_new(g->group_of, key, json_integer((json_int_t)g->group_count));
	g->rows[row].groups++;
	g->group_count++;
	return to;
}

/* A domain that is not routed yet is taken for a site of its own. */
static void
take_cell(struct gathered *g, json_t *cell)
{
	const char *domain = mtactl_text(cell, "domain"), *site = mtactl_text(cell, "site");
	uint64_t waiting = waiting_of(cell), held = (uint64_t)mtactl_integer(cell, "held");
	char then[SITE_NAME_MAX];
	struct group *to;

	g->held += held;
	if (mtactl_is_true(cell, "rejected")) {
		g->rejected += waiting;
		return;
	}
	if (waiting == 0)
		return;
	if (site[0] == '\0')
		site = domain;
	site_rename(g->conf[NOW], g->conf[THEN], domain, site, then);
	if ((to = group_of(g, cell, site, then)) == NULL) {
		g->left_out += waiting;
		return;
	}
	to->ready += (uint64_t)mtactl_integer(cell, "ready");
	to->looked_at += (uint64_t)mtactl_integer(cell, "looked_at");
	to->messages += (uint64_t)mtactl_integer(cell, "messages");
	to->bytes += (uint64_t)mtactl_integer(cell, "bytes");
	add_dues(to, json_object_get(cell, "due"));
	g->rows[to->row].rcpts += waiting;
	g->rows[to->row].held += held;
}

static void
take_pause(struct gathered *g, json_t *pause)
{
	(void)json_array_append(g->pauses, pause);
	if (mtactl_integer(pause, "kind") == QUEUE_PAUSE_DOMAIN)
		(void)json_object_set_new(g->paused, mtactl_text(pause, "name"), json_true());
}

static void
take_site(struct gathered *g, json_t *site)
{
	(void)json_object_set(g->sites, mtactl_text(site, "name"), site);
	if (mtactl_integer(site, "transaction_us") <= 0)
		return;
	g->transaction_sum_us += mtactl_integer(site, "transaction_us");
	g->connect_sum_us += mtactl_integer(site, "connect_us");
	g->measured++;
}

static void
take_row(void *arg, json_t *row)
{
	struct gathered *g = arg;
	const json_t *text = json_object_get(row, "conf");
	json_t *value;

	if (text != NULL && g->text != NULL) {
		(void)fwrite(json_string_value(text), 1, json_string_length(text), g->text);
		return;
	}
	if (!has_conf(g))
		return;
	if ((value = json_object_get(row, "pause")) != NULL)
		take_pause(g, value);
	else if ((value = json_object_get(row, "site")) != NULL)
		take_site(g, value);
	else if ((value = json_object_get(row, "cell")) != NULL)
		take_cell(g, value);
	else if ((value = json_object_get(row, "record")) != NULL)
		(void)json_array_append(g->records, value);
	else if ((value = json_object_get(row, "note")) != NULL)
		(void)json_array_append(g->notes, value);
}

static bool
gathered_init(struct gathered *g)
{
	g->text = open_memstream(&g->text_bytes, &g->text_len);
	g->kept = json_array();
	g->sites = json_object();
	g->paused = json_object();
	g->group_of = json_object();
	g->row_of = json_object();
	g->pauses = json_array();
	g->records = json_array();
	g->notes = json_array();
	return g->text != NULL && g->notes != NULL;
}

static void
gathered_fini(struct gathered *g)
{
	size_t i;

	if (g->text != NULL)
		(void)fclose(g->text);
	free(g->text_bytes);
	for (i = 0; i < g->group_count; i++)
		free(g->groups[i].site_then);
	free(g->groups);
	free(g->rows);
	json_decref(g->kept);
	json_decref(g->sites);
	json_decref(g->paused);
	json_decref(g->group_of);
	json_decref(g->row_of);
	json_decref(g->pauses);
	json_decref(g->records);
	json_decref(g->notes);
	conf_unref(g->conf[NOW]);
	conf_unref(g->conf[THEN]);
}

/* --- the queue of the simulation --- */

static int64_t
or_else(int64_t v, int64_t other)
{
	return v > 0 ? v : other;
}

static const struct row *
largest(const void *p)
{
	return *(const struct row *const *)p;
}

static int
compare_rows(const void *a, const void *b)
{
	const struct row *x = largest(a), *y = largest(b);

	if (x->rcpts != y->rcpts)
		return x->rcpts < y->rcpts ? 1 : -1;
	return strcmp(x->site, y->site);
}

/* NULL: no memory. */
static struct row **
sort_rows(struct gathered *g)
{
	struct row **order = calloc(g->row_count + 1, sizeof(struct row *));
	size_t i;

	for (i = 0; order != NULL && i < g->row_count; i++)
		order[i] = &g->rows[i];
	if (order != NULL)
		qsort(order, g->row_count, sizeof(struct row *), compare_rows);
	return order;
}

/* The largest first, as long as their groups are not too many. */
static bool
add_rows(struct gathered *g, struct simulate_queue *s, struct row **order)
{
	int64_t transaction_us = or_else(g->measured > 0 ? g->transaction_sum_us / g->measured : 0,
			MTACTL_SIMULATE_TRANSACTION_US),
		connect_us = or_else(g->measured > 0 ? g->connect_sum_us / g->measured : 0, CONNECT_DEFAULT);
	size_t i, groups = 0, count = 0;

	for (i = 0; i < g->row_count; i++) {
		const json_t *site = json_object_get(g->sites, order[i]->site);
		const struct simulate_row r = {
			or_else(mtactl_integer(site, "transaction_us"), transaction_us),
			or_else(mtactl_integer(site, "connect_us"), connect_us), count < WATCHED_MAX};

		if (groups + order[i]->groups > GROUPS_MAX) {
			g->left_out += order[i]->rcpts;
			continue;
		}
		groups += order[i]->groups;
		order[i]->is_taken = true;
		order[i]->at = count++;
		if (!simulate_add_row(s, &r))
			return false;
	}
	return true;
}

static bool
add_group(const struct gathered *g, struct simulate_queue *s, const struct group *from)
{
	const struct row *row = &g->rows[from->row];
	struct simulate_group to = {.row = (uint32_t)row->at,
		.domain = member(from->cell, "domain"),
		.user = member(from->cell, "user"),
		.job = member(from->cell, "job"),
		.sender = member(from->cell, "sender"),
		.from_domain = member(from->cell, "from_domain"),
		.pool = member(from->cell, "pool"),
		.source = member(from->cell, "source"),
		.sites = {[NOW] = {row->site, strnlen(row->site, SITE_NAME_MAX)},
			[THEN] = {from->site_then, strnlen(from->site_then, SITE_NAME_MAX)}},
		.klass = (enum queue_class)mtactl_integer(from->cell, "class"),
		.is_strict = mtactl_is_true(from->cell, "strict"),
		.ready = from->ready,
		.rcpts_a_message = 1,
		.bytes = from->messages > 0 ? from->bytes / from->messages : 0};

	if (!row->is_taken)
		return true;
	if (from->messages > 0)
		to.rcpts_a_message = (uint32_t)((from->looked_at + from->messages / 2) / from->messages);
	memcpy(to.due, from->due, sizeof(to.due));
	return simulate_add_group(s, &to);
}

/* False: too long, or not base64. */
static bool
from_base64(const json_t *text, char bytes[KNOWN_MAX], struct queue_blob *out)
{
	int len = smtp_base64_decode(
		(struct smtp_slice){json_string_value(text), json_string_length(text)}, bytes, KNOWN_MAX);

	*out = (struct queue_blob){bytes, len > 0 ? (size_t)len : 0};
	return len >= 0;
}

static bool
add_known(const struct gathered *g, struct simulate_queue *s)
{
	char bytes[KNOWN_MAX], name_bytes[KNOWN_MAX];
	struct queue_blob value, name;
	const json_t *v;
	size_t i;

	json_array_foreach(g->pauses, i, v)
	{
		const struct simulate_pause p = {(enum queue_pause_kind)mtactl_integer(v, "kind"),
			member(v, "name"), member(v, "reason"), mtactl_integer(v, "until_us"),
			member(v, "site")};

		if (p.kind < QUEUE_PAUSE_KINDS && !simulate_add_pause(s, &p))
			return false;
	}
	json_array_foreach(g->records, i, v)
	{
		if (from_base64(v, bytes, &value) && !simulate_add_record(s, value))
			return false;
	}
	json_array_foreach(g->notes, i, v)
	{
		if (from_base64(json_object_get(v, "name"), name_bytes, &name) &&
			from_base64(json_object_get(v, "value"), bytes, &value) &&
			!simulate_add_note(s, name, value))
			return false;
	}
	return true;
}

/* --- the answer --- */

static json_t *
json_of_result(const struct simulate_result *r)
{
	static const char *const ends[] = {
		[SIMULATE_EMPTY] = "empty", [SIMULATE_RECKONED] = "reckoned", [SIMULATE_LATER] = "later"};
	json_t *o = json_pack("{s:s,s:I,s:I}", "end", ends[r->end], "empty_us", (json_int_t)r->empty_us,
		"left", (json_int_t)r->left);
	struct queue_reason reason = r->limit.reason;

	if (r->limit.us == 0)
		return o;
	reason.name = (struct queue_blob){r->limit.name, strnlen(r->limit.name, SIMULATE_NAME_MAX)};
	reason.reason = (struct queue_blob){r->limit.words, strnlen(r->limit.words, SIMULATE_NAME_MAX)};
	reason.until_us = 0;
	ctl_reason(o, &reason, r->limit.source, "");
	return o;
}

static void
set_difference(json_t *row)
{
	const json_t *now = json_object_get(row, "now"), *then = json_object_get(row, "then");

	(void)json_object_set_new(row, "difference_us",
		mtactl_simulate_has_end(now) && mtactl_simulate_has_end(then)
			? json_integer(mtactl_integer(then, "empty_us") - mtactl_integer(now, "empty_us"))
			: json_null());
}

/* Of all sites: the last one is what counts. */
static void
add_to_sum(json_t *sum, const json_t *result)
{
	int64_t empty_us = mtactl_integer(sum, "empty_us");

	(void)json_object_set_new(
		sum, "left", json_integer(mtactl_integer(sum, "left") + mtactl_integer(result, "left")));
	if (!mtactl_simulate_has_end(sum))
		return;
	if (!mtactl_simulate_has_end(result))
		empty_us = 0;
	else if (mtactl_integer(result, "empty_us") > empty_us)
		empty_us = mtactl_integer(result, "empty_us");
	(void)json_object_set_new(sum, "empty_us", json_integer(empty_us));
	if (strcmp(mtactl_text(result, "end"), "empty") != 0)
		(void)json_object_set(sum, "end", json_object_get(result, "end"));
}

static json_t *
answer_of(const struct gathered *g, struct row **order, struct simulate_result *const results[SIMULATE_SIDES],
	const struct mtactl_options *o)
{
	json_t *rows = json_array(),
	       *sum = json_pack("{s:s,s:b,s:{s:s,s:i},s:{s:s,s:i}}", "site", "all sites", "is_sum", 1, "now",
		       "end", "empty", "empty_us", 0, "then", "end", "empty", "empty_us", 0);
	int64_t all = 0, sites = 0;
	size_t i;

	for (i = 0; i < g->row_count; i++) {
		const struct row *from = order[i];
		json_t *row, *now, *then;

		if (!from->is_taken)
			continue;
		now = json_of_result(&results[NOW][from->at]);
		then = json_of_result(&results[THEN][from->at]);
		add_to_sum(json_object_get(sum, "now"), now);
		add_to_sum(json_object_get(sum, "then"), then);
		row = json_pack("{s:s,s:I,s:o,s:o,s:b}", "site", from->site, "recipients",
			(json_int_t)from->rcpts, "now", now, "then", then, "measured",
			(int)(mtactl_integer(json_object_get(g->sites, from->site), "transaction_us") > 0));
		set_difference(row);
		all += (int64_t)from->rcpts;
		if (o->limit == 0 || sites < o->limit)
			(void)json_array_append(rows, row);
		sites++;
		json_decref(row);
	}
	(void)json_object_set_new(sum, "recipients", json_integer(all));
	set_difference(sum);
	return json_pack("{s:o,s:o,s:{s:I,s:I,s:I,s:I}}", "rows", rows, "total", sum, "summary", "sites",
		(json_int_t)sites, "held", (json_int_t)g->held, "rejected", (json_int_t)g->rejected,
		"left_out", (json_int_t)g->left_out);
}

/* --- the command --- */

static bool
run_side(const struct gathered *g, const struct simulate_queue *s, uint32_t side, const json_t *asked,
	struct simulate_result *results, struct simulate_summary *out)
{
	int64_t most = mtactl_integer(asked, "connections_possible"),
		wanted = g->conf[side]->connections_total;
	const struct simulate_run run = {.conf = g->conf[side],
		.side = side,
		.connections_total = (uint32_t)(wanted < most || most <= 0 ? wanted : most),
		.until_us = mtactl_integer(asked, "now_us") + mtactl_integer(asked, "days") * DAY_US,
		.events_max = MTACTL_SIMULATE_EVENTS_MAX};

	return simulate_run(s, &run, results, out);
}

/* NULL: no memory. */
static json_t *
simulate(struct gathered *g, const json_t *asked, const struct mtactl_options *o)
{
	struct simulate_queue *s = simulate_create(mtactl_integer(asked, "now_us"));
	struct simulate_result *results[SIMULATE_SIDES] = {
		calloc(g->row_count + 1, sizeof(struct simulate_result)),
		calloc(g->row_count + 1, sizeof(struct simulate_result))};
	struct simulate_summary ends[SIMULATE_SIDES];
	struct row **order = sort_rows(g);
	json_t *answer = NULL;
	bool ok = s != NULL && order != NULL && results[NOW] != NULL && results[THEN] != NULL &&
		  add_rows(g, s, order) && add_known(g, s);
	size_t i;

	for (i = 0; ok && i < g->group_count; i++)
		ok = add_group(g, s, &g->groups[i]);
	for (i = 0; ok && i < SIMULATE_SIDES; i++)
		ok = run_side(g, s, (uint32_t)i, asked, results[i], &ends[i]);
	if (ok && (answer = answer_of(g, order, results, o)) != NULL) {
		json_t *summary = json_object_get(answer, "summary");

		(void)json_object_update_missing(summary, (json_t *)asked);
		(void)json_object_set_new(summary, "measured", json_integer(g->measured));
		(void)json_object_set_new(
			summary, "cut", json_boolean(ends[NOW].is_cut || ends[THEN].is_cut));
	}
	simulate_destroy(&s);
	free(results[NOW]);
	free(results[THEN]);
	free(order);
	return answer;
}

static bool
take_days(const struct mtactl_options *o, int64_t *out)
{
	char *end;
	long days = o->days != NULL ? strtol(o->days, &end, 10) : DAYS_DEFAULT;

	*out = days;
	if (o->days == NULL || (*end == '\0' && days >= 1 && days <= DAYS_MAX))
		return true;
	fprintf(stderr, "mtactl: --days takes a number from 1 to %d\n", DAYS_MAX);
	return false;
}

static int
simulate_and_show(struct mtactl *m, struct gathered *g, json_t *asked, const struct mtactl_options *o)
{
	json_t *answer = simulate(g, asked, o);

	if (answer == NULL) {
		fputs("mtactl: out of memory\n", stderr);
		return 1;
	}
	if (m->json)
		(void)mtactl_print_json(answer, o, 0);
	else
		mtactl_simulate_show(m, answer);
	json_decref(answer);
	return 0;
}

int
mtactl_simulate(struct mtactl *m, const struct mtactl_options *o)
{
	struct mtactl_options with = *o;
	struct gathered g = {.has_failed = false};
	json_t *answer = NULL, *summary;
	int64_t days;
	int code = 1;

	if (o->word_count != 1) {
		fputs("mtactl: simulate which configuration? Give its file\n", stderr);
		return 2;
	}
	if (!take_days(o, &days))
		return 2;
	with.limit = o->limit >= 0 ? o->limit : m->json ? 0 : TOP_DEFAULT;
	if ((g.conf[THEN] = conf_load(o->words[0], stderr)) == NULL)
		return 1;
	if (gathered_init(&g))
		answer = mtactl_ask_each(m, mtactl_request("simulate", o), take_row, &g, &code);
	summary = json_object_get(answer, "summary");
	if (answer != NULL && !mtactl_print_error(answer) && summary != NULL && has_conf(&g)) {
		(void)json_object_set_new(summary, "days", json_integer(days));
		code = simulate_and_show(m, &g, summary, &with);
	}
	json_decref(answer);
	gathered_fini(&g);
	return code;
}
