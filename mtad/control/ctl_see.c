/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator looks at. Views of the schedule are taken in the queue thread; addresses and replies stand
 * in the spool and are read message by message, one short read transaction each.
 */
#include "control/ctl_request.h"
#include "io.h"
#include "queue/dispatch.h"
#include "queue/spool.h"
#include "queue_store.h"
#include "report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS_MAX = 100000, LIST_DEFAULT = 100 };

static json_int_t
number(uint64_t v)
{
	return (json_int_t)v;
}

static json_t *
id_text(queue_id id)
{
	char text[24];

	snprintf(text, sizeof(text), "%llx", (unsigned long long)id);
	return json_string(text);
}

static void
set(json_t *o, const char *name, json_t *take_value)
{
	(void)json_object_set_new(o, name, take_value);
}

/* --- status --- */

static json_t *
status_store(struct app *a)
{
	struct queue_totals t = {0};
	struct queue_space s = {0};
	struct spool_stats spool;

	spool_stats(a->spool, &spool);
	if (queue_store_totals(a->store, &t) < 0)
		t = (struct queue_totals){0}; /* a failed store: shown as such below */
	(void)queue_store_space(a->store, &s);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:I,s:I}", "accepted",
		number(t.accepted), "delivered", number(t.ended[QUEUE_END_DELIVERED]), "bounced",
		number(t.ended[QUEUE_END_BOUNCED]), "expired", number(t.ended[QUEUE_END_EXPIRED]), "dropped",
		number(t.ended[QUEUE_END_DROPPED]), "quarantined", number(t.quarantined), "used_bytes",
		number(s.used_bytes), "file_bytes", number(s.file_bytes), "disk_free_bytes",
		number(s.disk_free_bytes), "unreported", number(t.events_pending), "failed",
		(int)spool.is_failed, "full", (int)spool.is_full, "commits", number(spool.commits),
		"accepted_messages", number(t.messages_accepted));
}

static json_t *
status_sessions(struct app *a)
{
	uint32_t in = 0, out = 0;
	struct io_stats st;
	size_t i;

	for (i = 0; i < a->io_count; i++) {
		io_stats(a->ios[i], &st);
		in += st.intake;
		out += st.deliver;
	}
	return json_pack("{s:I,s:I}", "submitting", number(in), "delivering", number(out));
}

static bool
count_pause(void *arg, const struct queue_pause_view *v)
{
	++*(unsigned *)arg;
	return true;
}

/* In the queue thread. */
static bool
status_schedule(struct ctl_request *r)
{
	struct app *a = r->app;
	struct queue_sched_stats q;
	struct report_stats rep;
	unsigned pauses = 0;
	json_t *o = json_object();

	queue_sched_stats(dispatch_sched(a->dispatch), &q);
	queue_sched_each_pause(dispatch_sched(a->dispatch), count_pause, &pauses);
	report_stats(a->report, &rep);
	set(o, "version", json_string(MTAD_VERSION));
	set(o, "hostname", json_string(dispatch_current_conf(a->dispatch)->hostname));
	set(o, "pid", json_integer(getpid()));
	set(o, "uptime_s", json_integer((clock_now(a->clock) - a->started_us) / 1000000));
	set(o, "recovering", json_boolean(dispatch_is_recovering(a->dispatch)));
	set(o, "messages", json_integer(number(q.messages)));
	set(o, "recipients", json_integer(number(q.rcpts)));
	set(o, "ready", json_integer(number(q.ready)));
	set(o, "waiting", json_integer(number(q.waiting)));
	set(o, "in_flight", json_integer(number(q.leased)));
	set(o, "held", json_integer(number(q.held)));
	set(o, "domains", json_integer(number(q.domains)));
	set(o, "sites", json_integer(number(q.sites)));
	set(o, "pauses", json_integer(pauses));
	set(o, "sessions", status_sessions(a));
	set(o, "memory_bytes", json_integer(atomic_load(&a->memory.used_bytes)));
	set(o, "memory_max_bytes", json_integer(atomic_load(&a->memory.max_bytes)));
	set(o, "schedule_bytes", json_integer(number(q.bytes)));
	set(o, "spool", json_incref(r->part));
	set(o, "accounting_failed", json_boolean(rep.is_failed));
	ctl_summary(r, o);
	return true;
}

/* A store that fails lets its readers wait: so it is asked here, where nobody waits for us. */
bool
ctl_status(struct ctl_request *r)
{
	r->part = status_store(r->app);
	return ctl_go_on(r, dispatch_worker(r->app->dispatch), status_schedule);
}

/* --- queue --- */

static bool
queue_row(void *arg, const struct queue_domain_view *v)
{
	struct ctl_request *r = arg;
	json_t *o;

	if (v->ready + v->waiting + v->leased + v->held == 0)
		return true;
	if (json_array_size(r->frames) >= ROWS_MAX)
		return false;
	o = json_pack("{s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:i}", "domain", ctl_blob(v->domain), "site",
		ctl_blob(v->site), "ready", number(v->ready), "waiting", number(v->waiting), "in_flight",
		number(v->leased), "held", number(v->held), "next_us", (json_int_t)v->next_us, "oldest_us",
		(json_int_t)v->oldest_us, "paused", (int)v->is_paused, "code", (int)v->last_code);
	set(o, "reply", v->why.len > 0 ? ctl_blob(v->why) : ctl_blob(v->last_reply));
	ctl_row(r, o);
	return true;
}

bool
ctl_queue(struct ctl_request *r)
{
	queue_sched_each_domain(dispatch_sched(r->app->dispatch), queue_row, r);
	ctl_summary(r, json_pack("{s:I}", "now_us", (json_int_t)clock_now(r->app->clock)));
	return true;
}

static bool
site_row(void *arg, const struct queue_site_view *v)
{
	struct ctl_request *r = arg;
	json_t *o;

	if (json_array_size(r->frames) >= ROWS_MAX)
		return false;
	o = json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:b}", "site", ctl_blob(v->site), "domains",
		number(v->domains), "ready", number(v->ready), "sessions", number(v->sessions),
		"sessions_ready", number(v->sessions_ready), "wait_until_us", (json_int_t)v->wait_until_us,
		"paused", (int)v->is_paused);
	set(o, "reply", v->why.len > 0 ? ctl_blob(v->why) : ctl_blob(v->last_reply));
	ctl_row(r, o);
	return true;
}

bool
ctl_sites(struct ctl_request *r)
{
	struct queue_walk walk = {.limit = UINT32_MAX};

	queue_sched_walk_sites(dispatch_sched(r->app->dispatch), &walk, site_row, r);
	ctl_summary(r, json_pack("{s:I}", "now_us", (json_int_t)clock_now(r->app->clock)));
	return true;
}

/* --- list: the schedule says which, the spool says who --- */

struct list_entry {
	queue_id id;
	uint16_t n, attempts;
	const char *state;
	int64_t due_us, arrived_us;
};

struct list_collector {
	size_t count, max;
	struct list_entry entries[];
};

static bool
collect(void *arg, const struct queue_view *v)
{
	struct list_collector *c = arg;

	if (c->count == c->max)
		return false;
	c->entries[c->count++] =
		(struct list_entry){v->id, v->n, v->attempts, v->state, v->due_us, v->arrived_us};
	return true;
}

/* By message, so that each is read once. */
static int
compare_entries(const void *a, const void *b)
{
	const struct list_entry *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->n > y->n) - (x->n < y->n);
}

static int
compare_rcpts(const void *key, const void *rcpt)
{
	uint16_t n = *(const uint16_t *)key, other = ((const struct queue_rcpt *)rcpt)->n;

	return (n > other) - (n < other);
}

/* A recipient that ended between the two looks has no row. */
static void
list_row(struct ctl_request *r, const struct list_entry *e, const struct queue_loaded *loaded)
{
	const struct queue_rcpt *rcpt =
		bsearch(&e->n, loaded->rcpts, loaded->rcpt_count, sizeof(*rcpt), compare_rcpts);
	json_t *o;

	if (rcpt == NULL)
		return;
	o = json_pack("{s:o,s:i,s:s,s:i,s:I,s:I}", "id", id_text(e->id), "n", (int)e->n, "state", e->state,
		"attempts", (int)e->attempts, "due_us", (json_int_t)e->due_us, "arrived_us",
		(json_int_t)e->arrived_us);
	set(o, "sender", ctl_blob(loaded->message.sender));
	set(o, "job", ctl_blob(loaded->message.job));
	set(o, "bytes", json_integer((json_int_t)loaded->message.body_bytes));
	set(o, "rcpt", ctl_blob(rcpt->address));
	set(o, "reply", ctl_blob(rcpt->reply));
	ctl_row(r, o);
}

static bool
sender_matches(const struct ctl_request *r, const struct queue_loaded *loaded)
{
	size_t len = strnlen(r->sender, QUEUE_ADDRESS_MAX + 1);

	return len == 0 || (loaded->message.sender.len == len &&
				   strncasecmp(loaded->message.sender.ptr, r->sender, len) == 0);
}

static size_t
list_limit(const struct ctl_request *r)
{
	int64_t limit = ctl_arg_int(r, "limit", LIST_DEFAULT);

	return limit > 0 && limit < ROWS_MAX ? (size_t)limit : ROWS_MAX;
}

/* In the control side's thread: the disk may be slow, and a message may have 50,000 recipients. */
static bool
list_rows(struct ctl_request *r)
{
	const struct list_collector *c = r->state;
	struct queue_loaded *loaded = NULL;
	queue_id id = 0;
	size_t i;

	for (i = 0; i < c->count && json_array_size(r->frames) < list_limit(r); i++) {
		if (c->entries[i].id != id) {
			queue_loaded_free(&loaded);
			id = c->entries[i].id;
			if (queue_store_load(r->app->store, id, false, &loaded) != QUEUE_OK)
				loaded = NULL;
		}
		if (loaded != NULL && sender_matches(r, loaded))
			list_row(r, &c->entries[i], loaded);
	}
	queue_loaded_free(&loaded);
	ctl_summary(r, json_pack("{s:I}", "now_us", (json_int_t)clock_now(r->app->clock)));
	return true;
}

/* In the queue thread: only what the schedule knows. */
bool
ctl_list(struct ctl_request *r)
{
	struct list_collector *c;
	size_t max;

	if (!ctl_filter(r))
		return true;
	max = r->sender[0] != '\0' ? ROWS_MAX : list_limit(r);
	if ((c = r->state = malloc(sizeof(*c) + max * sizeof(c->entries[0]))) == NULL)
		return ctl_error(r, "out of memory");
	c->count = 0;
	c->max = max;
	queue_sched_each(dispatch_sched(r->app->dispatch), &r->filter, (uint32_t)max, collect, c);
	qsort(c->entries, c->count, sizeof(c->entries[0]), compare_entries);
	return ctl_go_on(r, r->slow, list_rows);
}

/* --- show --- */

static json_t *
rcpt_object(const struct queue_rcpt *r)
{
	json_t *o = json_pack("{s:i,s:o,s:i,s:I,s:I,s:b,s:b}", "n", (int)r->n, "rcpt", ctl_blob(r->address),
		"attempts", (int)r->attempts, "due_us", (json_int_t)r->due_us, "last_us",
		(json_int_t)r->last_us, "held", (int)((r->flags & QUEUE_RCPT_HELD) != 0), "uncertain",
		(int)((r->flags & QUEUE_RCPT_UNCERTAIN) != 0));

	set(o, "reply", ctl_blob(r->reply));
	set(o, "host", ctl_blob(r->host));
	set(o, "source", ctl_blob(r->source));
	return o;
}

/* The header block, or all with body: bounded so that it fits a frame. */
static json_t *
message_text(const struct queue_loaded *loaded, bool with_body)
{
	size_t len = loaded->body.len, max = 10000; /* as JSON, a byte may take six */
	const char *end = memmem(loaded->body.ptr, len, "\r\n\r\n", 4);

	if (!with_body && end != NULL)
		len = (size_t)(end - (const char *)loaded->body.ptr) + 2;
	return ctl_blob((struct queue_blob){loaded->body.ptr, len < max ? len : max});
}

bool
ctl_show(struct ctl_request *r)
{
	queue_id id = (queue_id)ctl_arg_int(r, "id", 0);
	struct queue_loaded *loaded;
	const struct queue_message *m;
	uint32_t i;
	json_t *o;
	int err = queue_store_load(r->app->store, id, true, &loaded);

	if (err != QUEUE_OK)
		return ctl_error(r, "message %llx: %s", (unsigned long long)id,
			err == QUEUE_ENOTFOUND ? "not in the queue (ended, or never accepted)"
					       : queue_err_text(err));
	m = &loaded->message;
	o = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:i,s:I}", "id", id_text(m->id), "sender",
		ctl_blob(m->sender), "user", ctl_blob(m->user), "job", ctl_blob(m->job), "pool",
		ctl_blob(m->pool), "envid", ctl_blob(m->envid), "arrived_us", (json_int_t)m->arrived_us,
		"bytes", (json_int_t)m->body_bytes, "recipients_at_accept", (int)m->rcpt_count, "now_us",
		(json_int_t)clock_now(r->app->clock));
	set(o, "text", message_text(loaded, json_is_true(json_object_get(r->args, "body"))));
	for (i = 0; i < loaded->rcpt_count; i++)
		ctl_row(r, rcpt_object(&loaded->rcpts[i]));
	ctl_summary(r, o);
	queue_loaded_free(&loaded);
	return true;
}
