/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every column is a function over the event; conf/conf_column.def pairs them with their names. Peer text is
 * in many of them: control bytes become blanks, so one record is one line for every reader.
 */
#include "report/columns.h"

#include "base/bounce_class.h"
#include "report/format.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HEADER_COLUMN "header_"

static const char *const defaults[] = {"type", "timeLogged", "timeQueued", "orig", "rcpt", "orcpt",
	"dsnAction", "dsnStatus", "dsnDiag", "dsnMta", "bounceCat", "srcType", "srcMta", "dlvType",
	"dlvSourceIp", "dlvDestinationIp", "dlvEsmtpAvailable", "dlvSize", "vmta", "jobId", "envId", "queue",
	"vmtaPool"};

static const char *const actions[EVENT_TYPE_COUNT] = {
	[EVENT_DELIVERED] = "relayed",
	[EVENT_BOUNCED] = "failed",
	[EVENT_EXPIRED] = "failed",
	[EVENT_DROPPED] = "failed",
	[EVENT_TRANSIENT] = "delayed",
	[EVENT_RECEIVED] = "",
	[EVENT_REMOTE] = "failed",
	[EVENT_COMPLAINT] = "",
	[EVENT_UNSUBSCRIBE] = "",
};

/* A line under construction; what does not fit is left out. */
struct line {
	char *buf;
	size_t len, max;
	bool has_field;
	const struct conf_columns *conf;
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
csv_number(struct line *l, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	csv_text(l, text);
}

static void
csv_time(struct line *l, int64_t us)
{
	time_t seconds = us / 1000000;
	char text[40];
	struct tm tm;
	size_t len;

	if (us == 0) {
		csv_text(l, "");
		return;
	}
	if (l->conf->times == CONF_ACCOUNTING_UNIX) {
		csv_number(l, (uint64_t)seconds);
		return;
	}
	gmtime_r(&seconds, &tm);
	len = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S+0000", &tm);
	csv_field(l, text, len);
}

/* "smtp;550 5.1.1 no such user", as PowerMTA has it; our own words as "x-mtad;words". */
static void
write_dsn_diag(struct line *l, const struct event *e)
{
	char text[700];

	if (e->reply.len == 0 || e->type == EVENT_RECEIVED) {
		csv_text(l, "");
		return;
	}
	snprintf(text, sizeof(text), "%s;%.*s", e->code != 0 ? "smtp" : "x-mtad", (int)e->reply.len,
		(const char *)e->reply.ptr);
	/* PHP's fgetcsv takes a backslash before a quote for an escape, so a reply could make up the fields
	 * behind it. */
	for (size_t i = 0; text[i] != '\0'; i++)
		if (text[i] == '\\' && (text[i + 1] == '"' || text[i + 1] == '\0'))
			text[i] = '/';
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

static void
write_type(struct line *l, const struct event *e)
{
	csv_text(l, format_record_type(e->type));
}

static void
write_time_logged(struct line *l, const struct event *e)
{
	csv_time(l, e->logged_us);
}

static void
write_time_queued(struct line *l, const struct event *e)
{
	csv_time(l, e->queued_us);
}

static void
write_time_first_attempt(struct line *l, const struct event *e)
{
	csv_time(l, e->first_us);
}

static void
write_orig(struct line *l, const struct event *e)
{
	csv_blob(l, e->sender);
}

static void
write_rcpt(struct line *l, const struct event *e)
{
	csv_blob(l, e->rcpt);
}

static void
write_orcpt(struct line *l, const struct event *e)
{
	csv_blob(l, e->orcpt);
}

static void
write_dsn_action(struct line *l, const struct event *e)
{
	csv_text(l, actions[e->type]);
}

static void
write_dsn_status(struct line *l, const struct event *e)
{
	csv_blob(l, e->esc);
}

static void
write_dsn_mta(struct line *l, const struct event *e)
{
	csv_pair(l, e->host, e->peer_ip, " (", ")");
}

static void
write_bounce_cat(struct line *l, const struct event *e)
{
	csv_blob(l, e->category);
}

static void
write_src_type(struct line *l, const struct event *e)
{
	csv_text(l, "smtp");
}

static void
write_user(struct line *l, const struct event *e)
{
	csv_blob(l, e->user);
}

static void
write_dlv_type(struct line *l, const struct event *e)
{
	csv_text(l, e->type == EVENT_RECEIVED ? "" : "smtp");
}

/* Of a report: where the message came from that it is about, as PowerMTA has it. */
static void
write_dlv_source_ip(struct line *l, const struct event *e)
{
	csv_blob(l, event_is_of_report(e->type) ? e->of_report.source_ip : e->local_ip);
}

static void
write_dlv_destination_ip(struct line *l, const struct event *e)
{
	csv_blob(l, e->peer_ip);
}

static void
write_dlv_esmtp(struct line *l, const struct event *e)
{
	csv_blob(l, e->caps);
}

static void
write_dlv_size(struct line *l, const struct event *e)
{
	csv_number(l, e->message_bytes);
}

/* e->tls is "TLSv1.3 TLS_AES_256_GCM_SHA384": protocol, a blank, cipher. */
static void
write_tls_protocol(struct line *l, const struct event *e)
{
	const char *blank = e->tls.len > 0 ? memchr(e->tls.ptr, ' ', e->tls.len) : NULL;

	csv_field(l, e->tls.ptr, blank != NULL ? (size_t)(blank - (const char *)e->tls.ptr) : e->tls.len);
}

static void
write_tls_cipher(struct line *l, const struct event *e)
{
	const char *blank = e->tls.len > 0 ? memchr(e->tls.ptr, ' ', e->tls.len) : NULL;
	size_t skip = blank != NULL ? (size_t)(blank + 1 - (const char *)e->tls.ptr) : e->tls.len;

	csv_field(l, blank != NULL ? blank + 1 : "", e->tls.len - skip);
}

static void
write_vmta(struct line *l, const struct event *e)
{
	csv_blob(l, e->source);
}

static void
write_vmta_pool(struct line *l, const struct event *e)
{
	csv_blob(l, e->pool);
}

static void
write_job(struct line *l, const struct event *e)
{
	csv_blob(l, e->job);
}

static void
write_envid(struct line *l, const struct event *e)
{
	csv_blob(l, e->envid);
}

static void
write_queue(struct line *l, const struct event *e)
{
	csv_pair(l, domain_of(e->rcpt), e->source, "/", "");
}

static void
write_seconds_queued(struct line *l, const struct event *e)
{
	int64_t us = e->logged_us - e->queued_us; /* negative: it came with the clock ahead */

	csv_number(l, us > 0 ? (uint64_t)us / 1000000 : 0);
}

static void
write_feedback(struct line *l, const struct event *e)
{
	csv_blob(l, e->feedback);
}

static void
write_user_string(struct line *l, const struct event *e)
{
	csv_text(l, l->conf->user_string);
}

static void
write_report_format(struct line *l, const struct event *e)
{
	csv_blob(l, e->of_report.format);
}

static void
write_user_agent(struct line *l, const struct event *e)
{
	csv_blob(l, e->of_report.user_agent);
}

/* By PowerMTA's names each has the column of its own kind of report. */
static void
write_reporting_mta(struct line *l, const struct event *e)
{
	csv_blob(l, e->type == EVENT_COMPLAINT ? e->host : (struct queue_blob){"", 0});
}

static void
write_dsn_reporting_mta(struct line *l, const struct event *e)
{
	csv_blob(l, e->type == EVENT_REMOTE ? e->host : (struct queue_blob){"", 0});
}

static void
write_reported_domain(struct line *l, const struct event *e)
{
	csv_blob(l, e->of_report.domain);
}

static void
write_report_came_to(struct line *l, const struct event *e)
{
	csv_blob(l, event_is_of_report(e->type) ? e->local_ip : (struct queue_blob){"", 0});
}

static void
write_report_source_ip(struct line *l, const struct event *e)
{
	csv_blob(l, e->of_report.source_ip);
}

static void
write_report_arrival_date(struct line *l, const struct event *e)
{
	csv_blob(l, e->of_report.arrival_date);
}

static void
write_report_auth(struct line *l, const struct event *e)
{
	csv_blob(l, e->of_report.auth);
}

static void
write_event_id(struct line *l, const struct event *e)
{
	char text[EVENT_ID_MAX];

	csv_text(l, event_id_text(e, text));
}

static void
write_message(struct line *l, const struct event *e)
{
	char text[24];

	snprintf(text, sizeof(text), "%llx", (unsigned long long)e->id);
	csv_text(l, text);
}

static void
write_recipient_number(struct line *l, const struct event *e)
{
	csv_number(l, e->n);
}

static void
write_message_id(struct line *l, const struct event *e)
{
	csv_blob(l, e->message_id);
}

static void
write_bounce_class(struct line *l, const struct event *e)
{
	csv_text(l, bounce_class_name((enum bounce_class)e->bounce_class));
}

static void
write_attempts(struct line *l, const struct event *e)
{
	csv_number(l, e->attempts);
}

static void
write_next_attempt(struct line *l, const struct event *e)
{
	csv_time(l, e->next_us);
}

static void
write_site(struct line *l, const struct event *e)
{
	csv_blob(l, e->site);
}

static void
write_header(struct line *l, const struct event *e, const char *wanted)
{
	struct queue_blob rest = e->headers, name = {"", 0}, value = {"", 0};

	while (event_next_header(&rest, &name, &value))
		if (strnlen(wanted, name.len + 1) == name.len &&
			strncasecmp(wanted, name.ptr, name.len) == 0) {
			csv_blob(l, value);
			return;
		}
	csv_text(l, "");
}

static const struct {
	const char *name;
	void (*write)(struct line *l, const struct event *e);
} known[] = {
#define COLUMN(name, writer) {#name, writer},
#include "conf/conf_column.def"
#undef COLUMN
};

struct columns {
	char *head;
	const struct conf_columns *conf;
	size_t count;
	struct {
		void (*write)(struct line *l, const struct event *e); /* NULL: of the header */
		const char *header;
	} items[];
};

static bool
find(struct columns *c, const char *name)
{
	size_t n = c->count++, skip = sizeof(HEADER_COLUMN) - 1;

	if (strncmp(name, HEADER_COLUMN, skip) == 0) {
		c->items[n].header = name + skip;
		return true;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].name, name) == 0) {
			c->items[n].write = known[i].write;
			return true;
		}
	return false;
}

struct columns *
columns_create(const struct conf_columns *conf)
{
	static const struct conf_list all = {defaults, sizeof(defaults) / sizeof(defaults[0])};
	const struct conf_list *list = conf->fields.count > 0 ? &conf->fields : &all;
	struct columns *c = calloc(1, sizeof(*c) + list->count * sizeof(c->items[0]));
	size_t len = 0;
	FILE *out;

	if (c == NULL || (out = open_memstream(&c->head, &len)) == NULL) {
		columns_destroy(&c);
		return NULL;
	}
	c->conf = conf;
	for (size_t i = 0; i < list->count; i++) {
		bool is_known = find(c, list->items[i]);

		assert(is_known); /* the configuration was checked */
		(void)is_known;
		fprintf(out, "%s%s", i > 0 ? "," : "", list->items[i]);
	}
	fputc('\n', out);
	if (fclose(out) != 0)
		columns_destroy(&c);
	return c;
}

void
columns_destroy(struct columns **cp)
{
	struct columns *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	free(c->head);
	free(c);
}

const char *
columns_head(const struct columns *c)
{
	return c->head;
}

size_t
columns_write(const struct columns *c, const struct event *e, char *buf, size_t max)
{
	struct line l = {buf, 0, max - 1, false, c->conf};

	for (size_t i = 0; i < c->count; i++)
		if (c->items[i].write != NULL)
			c->items[i].write(&l, e);
		else
			write_header(&l, e, c->items[i].header);
	buf[l.len++] = '\n';
	return l.len;
}
