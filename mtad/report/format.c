/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer text is in every one of these lines, so each writer escapes by its own rule: control bytes become
 * blanks in CSV (one record is one line for every reader), bytes that are no UTF-8 become escapes in JSON.
 */
#include "report/format.h"

#include "base/bounce_class.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *record, *name, *action;
	enum log_event log;
} types[EVENT_TYPE_COUNT] = {
	[EVENT_DELIVERED] = {"d", "delivered", "relayed", LOG_EVENT_delivered},
	[EVENT_BOUNCED] = {"b", "bounced", "failed", LOG_EVENT_bounced},
	[EVENT_EXPIRED] = {"b", "expired", "failed", LOG_EVENT_expired},
	[EVENT_DROPPED] = {"b", "dropped", "failed", LOG_EVENT_dropped},
	[EVENT_TRANSIENT] = {"t", "deferred", "delayed", LOG_EVENT_deferred},
	[EVENT_RECEIVED] = {"r", "received", "", LOG_EVENT_received},
	[EVENT_REMOTE] = {"rb", "remote-bounce", "failed", LOG_EVENT_remote_bounce},
	[EVENT_COMPLAINT] = {"f", "complaint", "", LOG_EVENT_complaint},
	[EVENT_UNSUBSCRIBE] = {"u", "unsubscribe", "", LOG_EVENT_unsubscribe},
};

static const char columns[] =
	"type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,bounceCat,srcType,"
	"srcMta,"
	"dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,dlvSize,vmta,jobId,envId,queue,vmtaPool\n";

const char *
format_csv_head(void)
{
	return columns;
}

const char *
format_record_type(enum event_type type)
{
	return types[type].record;
}

/* A line under construction; what does not fit is left out. */
struct line {
	char *buf;
	size_t len, max;
	bool has_field;
};

static void
add(struct line *l, const char *s, size_t len)
{
	if (l->max - l->len < len)
		return;
	memcpy(l->buf + l->len, s, len);
	l->len += len;
}

static void
csv_field(struct line *l, const char *s, size_t len)
{
	bool quote = false;
	size_t i;

	if (l->has_field)
		add(l, ",", 1);
	l->has_field = true;
	for (i = 0; i < len; i++)
		quote = quote || s[i] == ',' || s[i] == '"' || s[i] == ' ' || (unsigned char)s[i] < ' ';
	if (quote)
		add(l, "\"", 1);
	for (i = 0; i < len && l->max - l->len > 64; i++) {
		if (s[i] == '"')
			add(l, "\"\"", 2);
		else if ((unsigned char)s[i] < ' ' || s[i] == 127)
			add(l, " ", 1);
		else
			add(l, s + i, 1);
	}
	if (quote)
		add(l, "\"", 1);
}

static void
csv_blob(struct line *l, struct queue_blob b)
{
	csv_field(l, b.ptr, b.len);
}

static void
csv_text(struct line *l, const char *s)
{
	size_t len = 0;

	while (s[len] != '\0')
		len++;
	csv_field(l, s, len);
}

static void
csv_time(struct line *l, int64_t us)
{
	time_t seconds = us / 1000000;
	char text[40];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	csv_field(l, text, strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S+0000", &tm));
}

/* "smtp;550 5.1.1 no such user", as PowerMTA has it; our own words as "x-mtad;words". */
static void
csv_diagnostic(struct line *l, const struct event *e)
{
	char text[700];

	if (e->reply.len == 0 || e->type == EVENT_RECEIVED) {
		csv_text(l, "");
		return;
	}
	snprintf(text, sizeof(text), "%s;%.*s", e->code != 0 ? "smtp" : "x-mtad", (int)e->reply.len,
		(const char *)e->reply.ptr);
	csv_text(l, text);
}

static void
csv_pair(struct line *l, struct queue_blob a, struct queue_blob b, const char *before, const char *after)
{
	char text[700];

	if (a.len == 0 && b.len == 0) {
		csv_text(l, "");
		return;
	}
	snprintf(text, sizeof(text), "%.*s%s%.*s%s", (int)a.len, (const char *)a.ptr, before, (int)b.len,
		(const char *)b.ptr, after);
	csv_text(l, text);
}

static struct queue_blob
domain_of(struct queue_blob address)
{
	const char *at = address.len > 0 ? memrchr(address.ptr, '@', address.len) : NULL;

	if (at == NULL)
		return (struct queue_blob){"", 0};
	return (struct queue_blob){at + 1, address.len - (size_t)(at + 1 - (const char *)address.ptr)};
}

size_t
format_csv(const struct event *e, char *buf, size_t max)
{
	struct line l = {buf, 0, max - 1, false};
	char size[24];

	snprintf(size, sizeof(size), "%llu", (unsigned long long)e->message_bytes);
	csv_text(&l, types[e->type].record);
	csv_time(&l, e->logged_us);
	csv_time(&l, e->queued_us);
	csv_blob(&l, e->sender);
	csv_blob(&l, e->rcpt);
	csv_blob(&l, e->orcpt);
	csv_text(&l, types[e->type].action);
	csv_blob(&l, e->esc);
	csv_diagnostic(&l, e);
	csv_pair(&l, e->host, e->peer_ip, " (", ")");
	csv_blob(&l, e->category);
	csv_text(&l, "smtp");
	csv_blob(&l, e->user);
	csv_text(&l, e->type == EVENT_RECEIVED ? "" : "smtp");
	csv_blob(&l, e->local_ip);
	csv_blob(&l, e->peer_ip);
	csv_blob(&l, e->caps);
	csv_text(&l, size);
	csv_blob(&l, e->source);
	csv_blob(&l, e->job);
	csv_blob(&l, e->envid);
	csv_pair(&l, domain_of(e->rcpt), e->source, "/", "");
	csv_blob(&l, e->pool);
	buf[l.len++] = '\n';
	return l.len;
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
json_event(struct record *r, const struct event *e)
{
	char id[24];

	snprintf(id, sizeof(id), "%llx", (unsigned long long)e->id);
	json_add(r, "event", json_string(types[e->type].name));
	json_add(r, "record", json_string(types[e->type].record));
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
	json_blob(r, "feedback", e->feedback);
	json_add(r, "code", json_integer(e->code));
	json_add(r, "attempts", json_integer(e->attempts));
	json_add(r, "bytes", json_integer((json_int_t)e->message_bytes));
	if (e->is_uncertain)
		json_add(r, "uncertain", json_true());
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
