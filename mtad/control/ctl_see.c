/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator looks at, message by message. Views of the schedule are taken in the queue thread;
 * addresses and replies stand in the spool and are read there message by message, one short read transaction
 * each. Tables of domains and sites: ctl_tables.c.
 */
#include "control/ctl_reason.h"
#include "control/ctl_request.h"
#include "intake/reader.h"
#include "io.h"
#include "queue/operate.h"
#include "queue/spool.h"
#include "queue_store.h"
#include "report/event.h"
#include "report/outlets.h"
#include "report/report.h"
#include "route/route.h"
#include "shape/rules.h"
#include "shape/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIST_MAX = 100000, LIST_DEFAULT = 100 };

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
		ctl_number(t.accepted), "delivered", ctl_number(t.ended[QUEUE_END_DELIVERED]), "bounced",
		ctl_number(t.ended[QUEUE_END_BOUNCED]), "expired", ctl_number(t.ended[QUEUE_END_EXPIRED]),
		"dropped", ctl_number(t.ended[QUEUE_END_DROPPED]), "quarantined", ctl_number(t.quarantined),
		"used_bytes", ctl_number(s.used_bytes), "file_bytes", ctl_number(s.file_bytes),
		"disk_free_bytes", ctl_number(s.disk_free_bytes), "unreported", ctl_number(t.events_pending),
		"failed", (int)spool.is_failed, "full", (int)spool.is_full, "commits",
		ctl_number(spool.commits), "accepted_messages", ctl_number(t.messages_accepted));
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
	return json_pack("{s:I,s:I}", "submitting", ctl_number(in), "delivering", ctl_number(out));
}

struct pauses {
	unsigned count;
	json_t *stopped; /* by guards */
};

static bool
count_pause(void *arg, const struct queue_pause_view *v)
{
	static const char by_guard[] = QUEUE_PAUSE_BY_GUARD;
	struct pauses *p = arg;

	p->count++;
	if (v->reason.len >= sizeof(by_guard) - 1 &&
		memcmp(v->reason.ptr, by_guard, sizeof(by_guard) - 1) == 0)
		(void)json_array_append_new(
			p->stopped, json_pack("{s:s,s:o,s:o}", "kind", ctl_pause_kind(v->kind), "name",
					    ctl_blob(v->name), "reason", ctl_blob(v->reason)));
	return true;
}

static json_t *
status_sources(struct dispatch *d)
{
	const struct conf *c = dispatch_current_conf(d);
	unsigned counts[] = {[SOURCE_UP] = 0, [SOURCE_DEGRADED] = 0, [SOURCE_DOWN] = 0};
	struct source_view v;
	const char *name;
	uint32_t i;

	/* Those that a reload took away stand in for another. */
	for (i = 0; (name = dispatch_source_name(d, i))[0] != '\0'; i++)
		if (conf_source_find(c, name, strnlen(name, QUEUE_NAME_MAX)) >= 0) {
			dispatch_source_view(d, i, &v);
			counts[v.state]++;
		}
	return json_pack("{s:I,s:I,s:I}", "all", ctl_number(c->source_count), "degraded",
		ctl_number(counts[SOURCE_DEGRADED]), "down", ctl_number(counts[SOURCE_DOWN]));
}

static json_t *
status_dns(const struct route *route)
{
	struct route_stats d;

	route_stats(route, &d);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "asked", ctl_number(d.queries), "answered",
		ctl_number(d.answers), "timeouts", ctl_number(d.timeouts), "servfails",
		ctl_number(d.servfails), "nxdomains", ctl_number(d.nxdomains), "cache_hits",
		ctl_number(d.cache_hits), "cached", ctl_number(d.cache_entries), "under_way",
		ctl_number(d.in_flight));
}

/* Of rules whose expressions took too many steps. */
static json_t *
status_rules(const struct rules *rules)
{
	const struct conf *c = rules_conf(rules);
	json_t *rows = json_array();

	for (uint32_t n = 0; n < c->rule_count; n++)
		if (rules_gave_up(rules, n) > 0)
			(void)json_array_append_new(
				rows, json_pack("{s:s,s:s,s:I}", "rule", c->rules[n].name, "at",
					      c->rules[n].at, "count", ctl_number(rules_gave_up(rules, n))));
	return rows;
}

static json_t *
status_outlets(const struct outlets *outlets)
{
	struct outlets_stats s;

	outlets_stats(outlets, &s);
	return json_pack("{s:I,s:I,s:I,s:I}", "all", (json_int_t)s.count, "failing", (json_int_t)s.failing,
		"sent", ctl_number(s.sent), "dead", ctl_number(s.dead));
}

/* What came back since the start, by what it was. */
static json_t *
status_reports(const struct reader *reader, const struct conf *c)
{
	json_t *o = json_object();
	struct reader_stats s;

	reader_stats(reader, &s);
	for (int i = 0; i < FINDING_KIND_COUNT; i++)
		set(o, finding_kind_name((enum finding_kind)i), json_integer(ctl_number(s.kinds[i])));
	set(o, "unread", json_integer(ctl_number(s.unread)));
	set(o, "trimmed", json_integer(ctl_number(s.trimmed)));
	set(o, "unread_folder", json_string(c->unread_reports));
	return o;
}

/* In the queue thread. */
static bool
status_schedule(struct ctl_request *r)
{
	struct app *a = r->app;
	struct queue_sched_stats q;
	struct report_stats rep;
	struct pauses pauses = {.stopped = json_array()};
	json_t *o = json_object();

	queue_sched_stats(dispatch_sched(a->dispatch), &q);
	queue_sched_each_pause(dispatch_sched(a->dispatch), count_pause, &pauses);
	report_stats(a->report, &rep);
	set(o, "now_us", json_integer((json_int_t)clock_now(a->clock)));
	set(o, "deferrals", json_integer(ctl_number(rep.events[EVENT_TRANSIENT])));
	set(o, "version", json_string(MTAD_VERSION));
	set(o, "hostname", json_string(dispatch_current_conf(a->dispatch)->hostname));
	set(o, "pid", json_integer(getpid()));
	set(o, "uptime_s", json_integer((clock_mono(a->clock) - a->started_us) / 1000000));
	set(o, "stopping", json_boolean(r->is_stopping));
	set(o, "recovering", json_boolean(dispatch_is_recovering(a->dispatch)));
	set(o, "messages", json_integer(ctl_number(q.messages)));
	set(o, "recipients", json_integer(ctl_number(q.rcpts)));
	set(o, "ready", json_integer(ctl_number(q.ready)));
	set(o, "waiting", json_integer(ctl_number(q.waiting)));
	set(o, "leased", json_integer(ctl_number(q.leased)));
	set(o, "held", json_integer(ctl_number(q.held)));
	set(o, "domains", json_integer(ctl_number(q.domains)));
	set(o, "sites", json_integer(ctl_number(q.sites)));
	set(o, "pauses", json_integer(pauses.count));
	set(o, "stopped_by_guards", pauses.stopped);
	set(o, "overrides", json_integer(ctl_number(dispatch_overrides(a->dispatch)->count)));
	set(o, "sources", status_sources(a->dispatch));
	set(o, "rules_gave_up", status_rules(dispatch_rules(a->dispatch)));
	set(o, "sessions", status_sessions(a));
	set(o, "dns", status_dns(dispatch_route(a->dispatch)));
	set(o, "memory_bytes", json_integer(atomic_load(&a->memory.used_bytes)));
	set(o, "memory_max_bytes", json_integer(atomic_load(&a->memory.max_bytes)));
	set(o, "schedule_bytes", json_integer(ctl_number(q.bytes)));
	set(o, "spool", json_incref(r->part));
	set(o, "webhooks", status_outlets(a->outlets));
	set(o, "reports", status_reports(a->reader, dispatch_current_conf(a->dispatch)));
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

/* --- list: the schedule says which, the spool says who --- */

struct list_entry {
	queue_id id;
	uint16_t n, attempts;
	const char *state;
	int64_t due_us, arrived_us;
};

/* Lives in the request's state. */
struct list {
	size_t count, max;
	bool is_cut; /* there are more */
	struct list_entry entries[];
};

static struct list *
list_create(struct ctl_request *r, size_t max)
{
	struct list *list = r->state = malloc(sizeof(*list) + max * sizeof(list->entries[0]));

	ctl_keep_classifier(r);
	if (list != NULL)
		*list = (struct list){.max = max};
	return list;
}

static bool
collect(void *arg, const struct queue_view *v)
{
	struct list *list = arg;

	list->is_cut = list->count == list->max;
	if (list->is_cut)
		return false;
	list->entries[list->count++] =
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

/* A recipient that ended between the two looks has no row. */
static void
list_row(struct ctl_request *r, const struct list_entry *e)
{
	const struct queue_loaded *loaded = r->loaded;
	const struct queue_rcpt *rcpt = ctl_loaded_rcpt(loaded, e->n);
	json_t *o;

	if (rcpt == NULL)
		return;
	o = json_pack("{s:o,s:i,s:s,s:i,s:I,s:I}", "id", ctl_id(e->id), "n", (int)e->n, "state", e->state,
		"attempts", (int)e->attempts, "due_us", (json_int_t)e->due_us, "arrived_us",
		(json_int_t)e->arrived_us);
	set(o, "sender", ctl_blob(loaded->message.sender));
	set(o, "job", ctl_blob(loaded->message.job));
	set(o, "bytes", json_integer((json_int_t)loaded->message.body_bytes));
	set(o, "rcpt", ctl_blob(rcpt->address));
	set(o, "reply", ctl_blob(rcpt->reply));
	set(o, "class", ctl_class(r, rcpt->reply));
	ctl_row(r, o);
}

static bool
list_is_loaded(struct ctl_request *r, queue_id id)
{
	if (r->loaded != NULL && r->loaded->message.id == id)
		return true;
	queue_loaded_free(&r->loaded);
	return queue_store_load(r->app->store, id, false, &r->loaded) == QUEUE_OK;
}

/* In the control side's thread: the disk may be slow, and a message may have 50,000 recipients. */
static bool
list_rows(struct ctl_request *r)
{
	const struct list *list = r->state;
	json_t *o;

	while (r->at < list->count && json_array_size(r->frames) < CTL_ROWS) {
		const struct list_entry *e = &list->entries[r->at++];

		if (list_is_loaded(r, e->id))
			list_row(r, e);
	}
	if (r->at < list->count)
		return false;
	o = json_pack("{s:I,s:I,s:b}", "now_us", (json_int_t)clock_now(r->app->clock), "shown",
		(json_int_t)list->count, "cut", (int)list->is_cut);
	if (!list->is_cut || r->done > 0)
		set(o, "matching", json_integer(ctl_number(list->is_cut ? r->done : list->count)));
	ctl_summary(r, o);
	return true;
}

static bool
list_sort(struct ctl_request *r)
{
	struct list *list = r->state;

	qsort(list->entries, list->count, sizeof(list->entries[0]), compare_entries);
	return ctl_go_on(r, r->slow, list_rows);
}

static bool
list_end(struct ctl_request *r)
{
	return ctl_go_on(r, r->slow, list_sort);
}

static enum ctl_next
apply_list(struct ctl_request *r, const struct queue_filter *f)
{
	struct list *list = r->state;

	queue_sched_each(dispatch_sched(r->app->dispatch), f, 0, collect, list);
	return list->is_cut ? CTL_ENOUGH : CTL_ON;
}

/* How many there are besides is counted, but not by sender: that would be a look at the whole spool. */
static bool
list_collected(struct ctl_request *r)
{
	const struct list *list = r->state;

	if (!list->is_cut || r->has_sender)
		return list_end(r);
	return ctl_walk(r, ctl_apply_count, list_end);
}

bool
ctl_list(struct ctl_request *r)
{
	int64_t limit = ctl_arg_int(r, "limit", LIST_DEFAULT);

	if (!ctl_filter(r))
		return true;
	if (list_create(r, limit > 0 && limit < LIST_MAX ? (size_t)limit : LIST_MAX) == NULL)
		return ctl_error(r, "out of memory");
	return ctl_walk(r, apply_list, list_collected);
}

/* --- show --- */

/* What the schedule says of a recipient; it may have ended meanwhile, or not be read in yet. */
static const char *
state_of(const struct list *list, uint16_t n)
{
	struct list_entry key = {.n = n};
	const struct list_entry *e;

	if (list->count == 0)
		return "-";
	key.id = list->entries[0].id;
	e = bsearch(&key, list->entries, list->count, sizeof(key), compare_entries);
	return e != NULL ? e->state : "ended";
}

static json_t *
rcpt_object(const struct ctl_request *request, const struct queue_rcpt *r, const char *state)
{
	json_t *o =
		json_pack("{s:i,s:o,s:s,s:i,s:I,s:I,s:b,s:b}", "n", (int)r->n, "rcpt", ctl_blob(r->address),
			"state", state, "attempts", (int)r->attempts, "due_us", (json_int_t)r->due_us,
			"last_us", (json_int_t)r->last_us, "held", (int)((r->flags & QUEUE_RCPT_HELD) != 0),
			"uncertain", (int)((r->flags & QUEUE_RCPT_UNCERTAIN) != 0));

	set(o, "reply", ctl_blob(r->reply));
	set(o, "class", ctl_class(request, r->reply));
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

static bool
show_rows(struct ctl_request *r)
{
	const struct queue_loaded *loaded = r->loaded;
	const struct queue_message *m = &loaded->message;
	json_t *o;

	while (r->at < loaded->rcpt_count && json_array_size(r->frames) < CTL_ROWS) {
		const struct queue_rcpt *rcpt = &loaded->rcpts[r->at++];

		ctl_row(r, rcpt_object(r, rcpt, state_of(r->state, rcpt->n)));
	}
	if (r->at < loaded->rcpt_count)
		return false;
	o = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:I,s:I,s:I,s:i,s:I}", "id", ctl_id(m->id), "sender",
		ctl_blob(m->sender), "user", ctl_blob(m->user), "job", ctl_blob(m->job), "pool",
		ctl_blob(m->pool), "envid", ctl_blob(m->envid), "class", queue_class_text(m->klass),
		"release_us", (json_int_t)m->release_us, "arrived_us", (json_int_t)m->arrived_us, "bytes",
		(json_int_t)m->body_bytes, "recipients_at_accept", (int)m->rcpt_count, "now_us",
		(json_int_t)clock_now(r->app->clock));
	set(o, "text", message_text(loaded, json_is_true(json_object_get(r->args, "body"))));
	ctl_summary(r, o);
	return true;
}

/* In the control side's thread. */
static bool
show_load(struct ctl_request *r)
{
	struct list *list = r->state;
	int err = queue_store_load(r->app->store, r->filter.id, true, &r->loaded);

	if (err != QUEUE_OK)
		return ctl_error(r, "message %llx: %s", (unsigned long long)r->filter.id,
			err == QUEUE_ENOTFOUND ? "not in the queue (ended, or never accepted)"
					       : queue_err_text(err));
	qsort(list->entries, list->count, sizeof(list->entries[0]), compare_entries);
	return ctl_go_on(r, r->slow, show_rows);
}

bool
ctl_show(struct ctl_request *r)
{
	struct queue_sched *q = dispatch_sched(r->app->dispatch);
	struct list *list;

	r->filter = (struct queue_filter){.id = (queue_id)ctl_arg_int(r, "id", 0), .n = -1};
	if (r->filter.id == 0)
		return ctl_error(r, "which message? Give its id");
	if ((list = list_create(r, queue_sched_count(q, &r->filter))) == NULL)
		return ctl_error(r, "out of memory");
	queue_sched_each(q, &r->filter, 0, collect, list);
	return ctl_go_on(r, r->slow, show_load);
}
