/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer text is in every one of these lines: bytes that are no UTF-8 become escapes in JSON, as do control
 * bytes in the log.
 */
#include "report/format.h"

#include "base/bounce_class.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	enum conf_record record;
	const char *name;
	enum log_event log;
} types[EVENT_TYPE_COUNT] = {
	[EVENT_DELIVERED] = {CONF_RECORD_D, "delivered", LOG_EVENT_delivered},
	[EVENT_BOUNCED] = {CONF_RECORD_B, "bounced", LOG_EVENT_bounced},
	[EVENT_EXPIRED] = {CONF_RECORD_B, "expired", LOG_EVENT_expired},
	[EVENT_DROPPED] = {CONF_RECORD_B, "dropped", LOG_EVENT_dropped},
	[EVENT_TRANSIENT] = {CONF_RECORD_T, "deferred", LOG_EVENT_deferred},
	[EVENT_RECEIVED] = {CONF_RECORD_R, "received", LOG_EVENT_received},
	[EVENT_REMOTE] = {CONF_RECORD_RB, "remote-bounce", LOG_EVENT_remote_bounce},
	[EVENT_COMPLAINT] = {CONF_RECORD_F, "complaint", LOG_EVENT_complaint},
	[EVENT_UNSUBSCRIBE] = {CONF_RECORD_U, "unsubscribe", LOG_EVENT_unsubscribe},
};

const char *
format_record_type(enum event_type type)
{
	return conf_record_letters(types[type].record);
}

bool
format_fits(const struct conf_records *which, const struct event *e)
{
	const struct conf_record_of of = {types[e->type].record, e->bounce_class, e->user.ptr, e->job.ptr,
		e->pool.ptr, e->user.len, e->job.len, e->pool.len};

	return conf_records_fit(which, &of);
}

/* A JSON record under construction. A field without memory would be a record that lies. */
struct record {
	json_t *object;
	bool has_failed;
};

static void
json_add(struct record *r, const char *key, json_t *take_value)
{
	r->has_failed = json_object_set_new(r->object, key, take_value) != 0 || r->has_failed;
}

/* Bytes that are no UTF-8 would make the record unreadable: they become "\xNN". */
static void
json_blob(struct record *r, const char *key, struct queue_blob b)
{
	json_t *value;
	char escaped[2100];

	if (b.len == 0)
		return;
	if ((value = json_stringn(b.ptr, b.len)) == NULL)
		value = json_string(log_escape(escaped, sizeof(escaped), b.ptr, b.len));
	json_add(r, key, value);
}

static void
json_text(struct record *r, const char *key, const char *text)
{
	if (text[0] != '\0')
		json_add(r, key, json_string(text));
}

static void
json_time(struct record *r, const char *key, int64_t us)
{
	time_t seconds = us / 1000000;
	char text[48];
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%06dZ", (int)(us % 1000000));
	json_add(r, key, json_string(text));
}

static void
json_headers(struct record *r, const struct event *e)
{
	struct record headers = {json_object(), false};
	struct queue_blob rest = e->headers, name = {"", 0}, value = {"", 0};
	char key[80];

	if (headers.object == NULL) {
		r->has_failed = true;
		return;
	}
	while (event_next_header(&rest, &name, &value)) {
		snprintf(key, sizeof(key), "%.*s", (int)name.len, (const char *)name.ptr);
		json_blob(&headers, key, value);
	}
	r->has_failed = r->has_failed || headers.has_failed;
	if (json_object_size(headers.object) > 0)
		json_add(r, "headers", headers.object);
	else
		json_decref(headers.object);
}

static void
json_report(struct record *r, const struct event_report *from)
{
	struct record report = {json_object(), false};

	if (report.object == NULL) {
		r->has_failed = true;
		return;
	}
	json_blob(&report, "format", from->format);
	json_blob(&report, "user_agent", from->user_agent);
	json_blob(&report, "domain", from->domain);
	json_blob(&report, "source_ip", from->source_ip);
	json_blob(&report, "arrival_date", from->arrival_date);
	json_blob(&report, "auth", from->auth);
	r->has_failed = r->has_failed || report.has_failed;
	if (json_object_size(report.object) > 0)
		json_add(r, "report", report.object);
	else
		json_decref(report.object);
}

static void
json_event(struct record *r, const struct event *e)
{
	char id[24], event_id[EVENT_ID_MAX];

	if (e->seq != 0)
		json_add(r, "id", json_string(event_id_text(e, event_id)));
	snprintf(id, sizeof(id), "%llx", (unsigned long long)e->id);
	json_add(r, "event", json_string(types[e->type].name));
	json_add(r, "record", json_string(format_record_type(e->type)));
	json_time(r, "time", e->logged_us);
	json_time(r, "queued", e->queued_us);
	json_add(r, "message", json_string(id));
	json_add(r, "recipient_number", json_integer(e->n));
	json_blob(r, "from", e->sender);
	json_blob(r, "rcpt", e->rcpt);
	json_blob(r, "orcpt", e->orcpt);
	json_blob(r, "envid", e->envid);
	json_blob(r, "user", e->user);
	json_blob(r, "job", e->job);
	json_blob(r, "pool", e->pool);
	json_blob(r, "source", e->source);
	json_blob(r, "site", e->site);
	json_blob(r, "host", e->host);
	json_blob(r, "peer_ip", e->peer_ip);
	json_blob(r, "local_ip", e->local_ip);
	json_blob(r, "tls", e->tls);
	json_blob(r, "status", e->esc);
	json_blob(r, "reply", e->reply);
	json_blob(r, "category", e->category);
	json_text(r, "class", bounce_class_name((enum bounce_class)e->bounce_class));
	json_blob(r, "message_id", e->message_id);
	json_headers(r, e);
	json_blob(r, "feedback", e->feedback);
	json_report(r, &e->of_report);
	json_add(r, "code", json_integer(e->code));
	json_add(r, "attempts", json_integer(e->attempts));
	json_add(r, "bytes", json_integer((json_int_t)e->message_bytes));
	if (e->is_uncertain)
		json_add(r, "uncertain", json_true());
	if (e->first_us > 0)
		json_time(r, "first_attempt", e->first_us);
	if (e->next_us > 0)
		json_time(r, "next_attempt", e->next_us);
}

size_t
format_json(const struct event *e, char *buf, size_t max)
{
	struct record r = {json_object(), false};
	size_t n = 0;

	if (r.object == NULL)
		return 0;
	json_event(&r, e);
	if (!r.has_failed)
		n = json_dumpb(r.object, buf, max - 1, JSON_COMPACT);
	json_decref(r.object);
	if (n == 0 || n > max - 1)
		return 0;
	buf[n++] = '\n';
	return n;
}

void
format_log(const struct event *e, struct log *log)
{
	enum log_event event = e->is_uncertain ? LOG_EVENT_uncertain : types[e->type].log;
	const char *class_name = bounce_class_name((enum bounce_class)e->bounce_class);
	char rcpt[400], reply[1100], wait[40] = "";
	int64_t age_us = e->logged_us - e->queued_us; /* negative: J2, it came with the clock ahead */

	if (e->type == EVENT_RECEIVED || !log_wants(log, event))
		return;
	if (e->next_us > 0)
		snprintf(wait, sizeof(wait), " wait=%llds", (long long)(e->next_us - e->logged_us) / 1000000);
	log_event(log, event,
		"msg=%llx rcpt=\"%s\" site=%.*s source=%.*s host=%.*s peer=%.*s code=%u esc=%.*s%s%s "
		"attempts=%u "
		"delay=%llds%s text=\"%s\"",
		(unsigned long long)e->id, log_escape(rcpt, sizeof(rcpt), e->rcpt.ptr, e->rcpt.len),
		(int)e->site.len, (const char *)e->site.ptr, (int)e->source.len, (const char *)e->source.ptr,
		(int)e->host.len, (const char *)e->host.ptr, (int)e->peer_ip.len,
		(const char *)e->peer_ip.ptr, (unsigned)e->code, (int)e->esc.len, (const char *)e->esc.ptr,
		class_name[0] != '\0' ? " class=" : "", class_name, (unsigned)e->attempts,
		(long long)(age_us > 0 ? age_us : 0) / 1000000, wait,
		log_escape(reply, sizeof(reply), e->reply.ptr, e->reply.len));
}
