/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that mtactl needs to try another configuration on the present queue: the settings in force, pauses and
 * sources that are down, limits set by hand, users out of their sandbox, how fast sites answer, what is
 * queued, and what limits and lanes know.
 *
 * The trying is mtactl's: it takes time and memory, and nothing that goes wrong there may touch mail. Rows
 * have one member each, which says what they are; those of a kind stand together, in the order above.
 */
#include "control/ctl_request.h"

#include "base/descriptors.h"
#include "conf/conf_copy.h"
#include "queue/dispatch.h"
#include "queue/operate.h"
#include "queue/users.h"
#include "queue_sched_snapshot.h"
#include "shape/source.h"
#include "smtp_base64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHUNK_BYTES = 8192, /* of the configuration; a control character takes six as JSON */
	PORTION = 16,
	RECORD_MAX = 4096,
	CONNECTIONS_MAX = 100000,
};

struct snapshot {
	struct queue_walk sites, cells, records;
	size_t users; /* done */
};

static void
row(struct ctl_request *r, const char *kind, json_t *take_value)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, kind, take_value);
	ctl_row(r, o);
}

/* --- in the queue thread --- */

static bool
on_pause(void *arg, const struct queue_pause_view *v)
{
	struct ctl_request *r = arg;
	const char *source = dispatch_source_name(r->app->dispatch, v->source);

	row(r, "pause",
		json_pack("{s:i,s:o,s:o,s:o,s:I}", "kind", (int)v->kind, "name",
			v->kind == QUEUE_PAUSE_SOURCE ? json_string(source) : ctl_blob(v->name), "site",
			ctl_blob(v->site), "reason", ctl_blob(v->reason), "until_us",
			(json_int_t)v->until_us));
	return true;
}

static bool
on_site(void *arg, const struct queue_site_view *v)
{
	if (v->transaction_us > 0 || v->connect_us > 0)
		row(arg, "site",
			json_pack("{s:o,s:I,s:I}", "name", ctl_blob(v->site), "transaction_us",
				(json_int_t)v->transaction_us, "connect_us", (json_int_t)v->connect_us));
	return true;
}

static json_t *
dues(const struct queue_due_view due[QUEUE_DUE_BUCKETS])
{
	json_t *list = json_array();
	int i;

	for (i = 0; i < QUEUE_DUE_BUCKETS; i++)
		if (due[i].rcpts > 0)
			(void)json_array_append_new(
				list, json_pack("[i,I,I,I]", i, ctl_number(due[i].rcpts),
					      (json_int_t)due[i].first_us, (json_int_t)due[i].last_us));
	return list;
}

static bool
on_cell(void *arg, const struct queue_cell_view *v)
{
	json_t *o = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:i,s:b,s:b}", "domain", ctl_blob(v->domain),
		"site", ctl_blob(v->site), "user", ctl_blob(v->user), "job", ctl_blob(v->job), "sender",
		ctl_blob(v->sender), "pool", ctl_blob(v->pool), "source", ctl_blob(v->source), "class",
		(int)v->klass, "strict", (int)v->is_strict, "rejected", (int)v->is_rejected);

	(void)json_object_set_new(o, "from_domain", ctl_blob(v->from_domain));
	(void)json_object_set_new(o, "ready", json_integer(ctl_number(v->ready + v->leased)));
	(void)json_object_set_new(o, "held", json_integer(ctl_number(v->held)));
	(void)json_object_set_new(o, "due", dues(v->due));
	(void)json_object_set_new(o, "looked_at", json_integer(v->looked_at));
	(void)json_object_set_new(o, "messages", json_integer(v->messages));
	(void)json_object_set_new(o, "bytes", json_integer(ctl_number(v->bytes)));
	row(arg, "cell", o);
	return true;
}

/* Bytes of any kind. */
static json_t *
in_base64(struct queue_blob value)
{
	char text[SMTP_BASE64_LEN(RECORD_MAX)];
	int len = smtp_base64_encode((struct smtp_slice){value.ptr, value.len}, text, sizeof(text));

	return len >= 0 ? json_stringn(text, (size_t)len) : NULL;
}

static void
on_record(void *arg, struct queue_blob value)
{
	json_t *text = in_base64(value);

	if (text != NULL)
		row(arg, "record", text);
}

/* As the spool has it. */
static void
note(struct ctl_request *r, struct queue_blob name, struct queue_blob value)
{
	json_t *take_name = in_base64(name), *take_value = in_base64(value);

	if (take_name != NULL && take_value != NULL)
		row(r, "note", json_pack("{s:o,s:o}", "name", take_name, "value", take_value));
}

static void
on_override(struct ctl_request *r, const struct override *o)
{
	char key[OVERRIDE_NOTE_MAX + 1], record[OVERRIDE_RECORD_MAX];
	size_t key_len = override_write_key(o, key);

	note(r, (struct queue_blob){key, key_len},
		(struct queue_blob){record, override_write_record(o, record)});
}

static void
on_user(struct ctl_request *r, const struct conf_user *user)
{
	char name[sizeof(SANDBOX_NOTES) + SANDBOX_USER_MAX];
	uint8_t value[SANDBOX_NOTE_MAX];
	struct user_state state;
	int len = snprintf(name, sizeof(name), SANDBOX_NOTES "%s", user->name);

	dispatch_user_state(r->app->dispatch, user, &state);
	if (state.lift != NULL && len > 0 && (size_t)len < sizeof(name))
		note(r, (struct queue_blob){name, (size_t)len},
			(struct queue_blob){value, sandbox_encode(state.lift, value)});
}

/* A source that is down stays so: nobody knows for how long. */
static void
on_source(struct ctl_request *r, uint32_t source, const char *name)
{
	struct source_view v;

	dispatch_source_view(r->app->dispatch, source, &v);
	if (v.state == SOURCE_DOWN)
		row(r, "pause",
			json_pack("{s:i,s:s,s:s,s:I}", "kind", (int)QUEUE_PAUSE_SOURCE, "name", name,
				"reason", "it is down", "until_us", (json_int_t)INT64_MAX));
}

static bool
is_full(const struct ctl_request *r, int64_t until_us)
{
	return json_array_size(r->frames) >= CTL_ROWS || clock_mono(r->app->clock) >= until_us;
}

static bool
step(struct ctl_request *r)
{
	struct queue_sched *q = dispatch_sched(r->app->dispatch);
	int64_t until_us = clock_mono(r->app->clock) + CTL_SLICE_US;
	const struct conf *conf = dispatch_current_conf(r->app->dispatch);
	struct snapshot *s = r->state;

	while (!s->records.is_end) {
		if (s->users < conf->user_count)
			on_user(r, &conf->users[s->users++]);
		else if (!s->sites.is_end)
			queue_sched_walk_sites(q, &s->sites, on_site, r);
		else if (!s->cells.is_end)
			queue_sched_walk_cells(q, &s->cells, on_cell, r);
		else
			queue_sched_walk_records(q, &s->records, on_record, r);
		if (!s->records.is_end && is_full(r, until_us))
			return false;
	}
	ctl_summary(
		r, json_pack("{s:I,s:s,s:I,s:I,s:b}", "now_us", (json_int_t)clock_now(r->app->clock),
			   "configuration", conf->file, "connections_now",
			   (json_int_t)descriptors_share(conf->connections_total).outbound,
			   "connections_possible", (json_int_t)descriptors_share(CONNECTIONS_MAX).outbound,
			   "recovering", (int)dispatch_is_recovering(r->app->dispatch)));
	return true;
}

static bool
first_step(struct ctl_request *r)
{
	const struct overrides *overrides = dispatch_overrides(r->app->dispatch);
	const char *source;
	size_t i;

	queue_sched_each_pause(dispatch_sched(r->app->dispatch), on_pause, r);
	for (i = 0; (source = dispatch_source_name(r->app->dispatch, (uint32_t)i))[0] != '\0'; i++)
		on_source(r, (uint32_t)i, source);
	for (i = 0; i < overrides->count; i++)
		on_override(r, &overrides->items[i]);
	r->run = step;
	return false;
}

/* --- in the main thread --- */

/* Cut at the ends of lines, so that no letter is. */
static void
send_text(struct ctl_request *r, const char *text, size_t len)
{
	size_t n;

	for (; len > 0; text += n, len -= n) {
		const char *end = len > CHUNK_BYTES ? memrchr(text, '\n', CHUNK_BYTES) : NULL;

		n = end != NULL ? (size_t)(end - text) + 1 : len < CHUNK_BYTES ? len : CHUNK_BYTES;
		row(r, "conf", ctl_blob((struct queue_blob){text, n}));
	}
}

bool
ctl_simulate(struct ctl_request *r)
{
	const struct queue_walk begin = {.limit = PORTION};
	struct snapshot *s = r->state = calloc(1, sizeof(*s));
	char *text = NULL;
	size_t len = 0;
	FILE *out = s != NULL ? open_memstream(&text, &len) : NULL;

	if (out == NULL)
		return ctl_error(r, "out of memory");
	s->sites = s->cells = s->records = begin;
	conf_write_copy(r->app->conf, out);
	if (fclose(out) != 0) {
		free(text);
		return ctl_error(r, "out of memory");
	}
	send_text(r, text, len);
	free(text);
	return ctl_go_on(r, dispatch_worker(r->app->dispatch), first_step);
}
