/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of suppressed addresses for operators. It is read in the control side's own thread, in portions; a
 * change is made up there too and goes to the spool thread, which answers when the commit that has it is on
 * disk.
 */
#include "control/ctl_request.h"
#include "feedback/suppress.h"
#include "queue/spool.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 4096, TEXT_MAX = 1000 };
/* What stands in an entry of a request; behind the last one given are the request's own. */
enum { E_ADDRESS, E_SCOPE, E_REASON, E_ADDED, E_EXPIRES, E_NOTE };

/* --- looking --- */

struct look {
	struct ctl_request *r;
	struct suppress_key at; /* shown so far */
	struct queue_blob scope;
	char scope_bytes[SUPPRESS_SCOPE_MAX];
	bool has_scope;
	enum suppress_reason reason; /* SUPPRESS_NONE: any */
	int64_t now_us;
};

static bool
is_wanted(const struct look *l, const struct suppress_view *v)
{
	if (v->expires_us != 0 && v->expires_us <= l->now_us)
		return false;
	if (l->has_scope &&
		(v->scope.len != l->scope.len ||
			(v->scope.len > 0 && memcmp(v->scope.ptr, l->scope.ptr, v->scope.len) != 0)))
		return false;
	return l->reason == SUPPRESS_NONE || l->reason == v->reason;
}

static void
show(struct ctl_request *r, const struct suppress_view *v)
{
	char scope[SUPPRESS_SCOPE_MAX + 16];

	suppress_scope_write(scope, sizeof(scope), v->scope);
	ctl_row(r, json_pack("{s:o,s:o,s:s,s:s,s:I,s:I,s:o,s:b}", "address",
			   ctl_blob((struct queue_blob){v->address, strnlen(v->address, sizeof(v->address))}),
			   "scope", ctl_blob((struct queue_blob){scope, strnlen(scope, sizeof(scope))}),
			   "reason", suppress_reason_name(v->reason), "class",
			   bounce_class_name(v->bounce_class), "added_us", (json_int_t)v->added_us,
			   "expires_us", (json_int_t)v->expires_us, "note",
			   ctl_blob((struct queue_blob){v->note, strnlen(v->note, sizeof(v->note))}),
			   "hashed", (int)v->is_hash));
	r->at++;
}

static bool
is_enough(const struct look *l)
{
	int64_t limit = ctl_arg_int(l->r, "limit", 0);

	return limit > 0 && l->r->at >= (size_t)limit;
}

static bool
on_entry(void *arg, struct queue_blob key, const struct queue_suppress_entry *e)
{
	struct look *l = arg;
	struct suppress_view v;

	memcpy(l->at.bytes, key.ptr, key.len);
	l->at.len = key.len;
	if (suppress_view(key, e, &v) && is_wanted(l, &v))
		show(l->r, &v);
	return !is_enough(l);
}

static bool
on_found(void *arg, uint32_t i, struct queue_blob key, const struct queue_suppress_entry *e)
{
	struct look *l = arg;
	struct suppress_view v;

	if (suppress_view(key, e, &v) && is_wanted(l, &v))
		show(l->r, &v);
	return true;
}

static bool
end_look(struct ctl_request *r)
{
	ctl_summary(r, json_pack("{s:I,s:I,s:I,s:b}", "entries",
			       ctl_number(queue_suppress_count(r->app->store, QUEUE_SUPPRESS_LIST)), "shown",
			       ctl_number(r->at), "now_us", (json_int_t)clock_now(r->app->clock), "hashed",
			       (int)suppress_is_hashed(r->app->suppress)));
	return true;
}

static bool
look_on(struct ctl_request *r)
{
	struct look *l = r->state;
	int n = queue_suppress_scan(r->app->store, QUEUE_SUPPRESS_LIST,
		(struct queue_blob){l->at.bytes, l->at.len}, CTL_ROWS, on_entry, l);

	if (n < 0)
		return ctl_error(r, "the list cannot be read: %s", queue_err_text(n));
	return n < CTL_ROWS || is_enough(l) ? end_look(r) : false;
}

static bool
look_up(struct ctl_request *r, struct look *l)
{
	const char *address = ctl_arg(r, "address");
	int n = suppress_each(r->app->suppress, (struct queue_blob){address, strnlen(address, TEXT_MAX)},
		true, on_found, l);

	if (n == QUEUE_EINVAL)
		return ctl_error(
			r, "\"%.100s\" is no mail address, no @domain and no hash of a list", address);
	if (n < 0)
		return ctl_error(r, "the list cannot be read: %s", queue_err_text(n));
	return end_look(r);
}

static bool
bad_scope(struct ctl_request *r, const char *scope)
{
	return ctl_error(
		r, "\"%.100s\" is no scope; write global, \"user NAME\" or \"stream USER/JOB\"", scope);
}

bool
ctl_suppress(struct ctl_request *r)
{
	const char *scope = ctl_arg(r, "scope"), *reason = ctl_arg(r, "reason");
	struct look *l = r->state = calloc(1, sizeof(*l));

	if (l == NULL)
		return ctl_error(r, "out of memory");
	l->r = r;
	l->now_us = clock_now(r->app->clock);
	if ((l->has_scope = scope[0] != '\0') && !suppress_scope_parse(scope, l->scope_bytes))
		return bad_scope(r, scope);
	l->scope = (struct queue_blob){l->scope_bytes, strnlen(l->scope_bytes, SUPPRESS_SCOPE_MAX)};
	if (reason[0] != '\0' && (l->reason = suppress_reason_find(reason)) == SUPPRESS_NONE)
		return ctl_error(r, "\"%.100s\" is no reason an entry can have", reason);
	if (ctl_arg(r, "address")[0] != '\0')
		return look_up(r, l);
	r->run = look_on;
	return look_on(r);
}

/* --- changing --- */

/* In the spool thread: it is on disk. */
static void
on_written(struct suppress_batch *b)
{
	struct ctl_request *r = b->arg;

	r->is_pending = false;
	r->done = b->changed;
	if (b->err == QUEUE_ENOSPACE)
		(void)ctl_error(r, "the spool is full: nothing can be added now");
	else if (json_is_true(json_object_get(r->args, "quiet")))
		ctl_summary(r, json_pack("{s:I}", "count", ctl_number(r->done)));
	else
		(void)ctl_done(r, ctl_arg(r, "op")[0] == 'r' ? "suppress-remove" : "suppress-add");
	free(b);
	mailbox_post(r->back, &r->call.letter);
}

static bool
post_batch(struct ctl_request *r)
{
	struct suppress_batch *b = r->state;

	r->state = NULL;
	r->is_pending = true;
	spool_suppress(r->app->spool, &b->letter);
	return true;
}

static bool
hand_over(struct ctl_request *r, struct suppress_batch *take_batch)
{
	struct spool_stats st;

	r->state = take_batch; /* freed with the request */
	spool_stats(r->app->spool, &st);
	if (st.is_failed)
		return ctl_error(r, "the spool cannot be written now; mtactl status says why");
	take_batch->done = on_written;
	take_batch->arg = r;
	return ctl_go_on(r, spool_worker(r->app->spool), post_batch);
}

/* A text of an entry, or the request's own. */
static const char *
text_of(const struct ctl_request *r, const json_t *entry, size_t i, const char *name)
{
	const json_t *v = json_array_get(entry, i);

	return json_is_string(v) ? json_string_value(v) : ctl_arg(r, name);
}

static int64_t
number_of(const struct ctl_request *r, const json_t *entry, size_t i, const char *name)
{
	const json_t *v = json_array_get(entry, i);

	return json_is_integer(v) ? (int64_t)json_integer_value(v) : ctl_arg_int(r, name, 0);
}

/* False: an error was set. */
static bool
fill_item(struct ctl_request *r, const json_t *entry, struct suppress_item *item)
{
	const char *address = text_of(r, entry, E_ADDRESS, ""), *scope = text_of(r, entry, E_SCOPE, "scope"),
		   *reason = text_of(r, entry, E_REASON, "reason");
	char bytes[SUPPRESS_SCOPE_MAX];

	item->op = SUPPRESS_PUT;
	item->reason = suppress_reason_find(reason);
	item->added_us = number_of(r, entry, E_ADDED, "added_us");
	item->expires_us = number_of(r, entry, E_EXPIRES, "expires_us");
	if (item->added_us <= 0)
		item->added_us = clock_now(r->app->clock);
	snprintf(item->note, sizeof(item->note), "%s", text_of(r, entry, E_NOTE, "note"));
	if (item->reason == SUPPRESS_NONE)
		return !ctl_error(r, "\"%.100s\" is no reason an entry can have", reason);
	if (!suppress_scope_parse(scope, bytes))
		return !bad_scope(r, scope);
	if (!suppress_key_make(r->app->suppress, suppress_is_hashed(r->app->suppress),
		    (struct queue_blob){address, strnlen(address, TEXT_MAX)},
		    (struct queue_blob){bytes, strnlen(bytes, SUPPRESS_SCOPE_MAX)}, &item->key))
		return !ctl_error(
			r, "\"%.100s\" is no mail address, no @domain and no hash of a list", address);
	return true;
}

static bool
put(struct ctl_request *r, const json_t *entries)
{
	struct suppress_batch *b = r->state = suppress_batch_create((uint32_t)json_array_size(entries));
	const json_t *entry;
	size_t i;

	if (b == NULL)
		return ctl_error(r, "out of memory");
	json_array_foreach(entries, i, entry)
	{
		if (!fill_item(r, entry, &b->items[i]))
			return true;
		b->count++;
	}
	return hand_over(r, b);
}

struct collect {
	struct suppress_batch *batch;
	const char *scope; /* NULL: every one */
};

static bool
collect(void *arg, uint32_t i, struct queue_blob key, const struct queue_suppress_entry *e)
{
	struct collect *c = arg;
	struct suppress_item *item = &c->batch->items[c->batch->count];
	char scope[SUPPRESS_SCOPE_MAX + 16];
	struct suppress_view v;

	if (!suppress_view(key, e, &v))
		return true;
	suppress_scope_write(scope, sizeof(scope), v.scope);
	if (c->scope != NULL && strcmp(scope, c->scope) != 0)
		return true;
	item->op = SUPPRESS_REMOVE;
	memcpy(item->key.bytes, key.ptr, key.len);
	item->key.len = key.len;
	return ++c->batch->count < ENTRIES_MAX;
}

static bool
remove_entries(struct ctl_request *r, const json_t *entries)
{
	struct suppress_batch *b = r->state = suppress_batch_create(ENTRIES_MAX);
	struct collect c = {.batch = b};
	const json_t *entry;
	size_t i;
	int n;

	if (b == NULL)
		return ctl_error(r, "out of memory");
	if (ctl_arg(r, "scope")[0] != '\0')
		c.scope = ctl_arg(r, "scope");
	json_array_foreach(entries, i, entry)
	{
		const char *address = text_of(r, entry, E_ADDRESS, "");

		if (b->count >= ENTRIES_MAX)
			break;
		n = suppress_each(r->app->suppress, (struct queue_blob){address, strnlen(address, TEXT_MAX)},
			false, collect, &c);
		if (n == QUEUE_EINVAL)
			return ctl_error(r, "\"%.100s\" is no mail address, no @domain and no hash of a list",
				address);
		if (n < 0)
			return ctl_error(r, "the list cannot be read: %s", queue_err_text(n));
	}
	return hand_over(r, b);
}

bool
ctl_suppress_act(struct ctl_request *r)
{
	const json_t *entries = json_object_get(r->args, "entries");
	const char *op = ctl_arg(r, "op");

	if (strcmp(op, "imported") == 0) { /* told once, for all of its requests */
		r->done = (uint64_t)ctl_arg_int(r, "count", 0);
		return ctl_done(r, "suppress-import");
	}
	if (json_array_size(entries) == 0 || json_array_size(entries) > ENTRIES_MAX)
		return ctl_error(r, "from 1 to %d addresses at once", ENTRIES_MAX);
	if (strcmp(op, "put") == 0)
		return put(r, entries);
	if (strcmp(op, "remove") == 0)
		return remove_entries(r, entries);
	return ctl_error(r, "suppress put or remove");
}
