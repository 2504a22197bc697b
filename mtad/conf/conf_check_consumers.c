/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounting files, webhooks and pipes: which events they take, which header fields are kept for them, and
 * that what they are told stays on the way to them.
 *
 * Invariants: an empty choice of records means those of accounting-records; dead_letter is a path.
 */
#include "conf/conf_check.h"

#include "base/bounce_class.h"

#include <arpa/inet.h>
#include <string.h>

#define TEXT_MAX      65536
#define HEADER_COLUMN "header_"
#define URL_MAX       2000
#define FIELDS_MAX    128

static const char *const letters[CONF_RECORD_COUNT] = {
	[CONF_RECORD_D] = "d",
	[CONF_RECORD_B] = "b",
	[CONF_RECORD_T] = "t",
	[CONF_RECORD_R] = "r",
	[CONF_RECORD_RB] = "rb",
	[CONF_RECORD_F] = "f",
	[CONF_RECORD_U] = "u",
};
static const char *const columns[] = {
#define COLUMN(name, writer) #name,
#include "conf/conf_column.def"
#undef COLUMN
};

const char *
conf_record_letters(enum conf_record r)
{
	return letters[r];
}

bool
conf_check_is_header_name(const char *name)
{
	size_t len = 0;

	while (name[len] > ' ' && name[len] < 127 && name[len] != ':')
		len++;
	return name[len] == '\0' && len > 0 && len <= 70;
}

static bool
same(const char *a, const char *b)
{
	return strncmp(a, b, TEXT_MAX) == 0;
}

/* --- which events --- */

static unsigned
check_letters(struct conf_loader *l, struct conf_place at, const struct conf_list *list)
{
	unsigned set = 0;

	for (size_t i = 0; i < list->count; i++) {
		unsigned bit = 0;

		for (size_t n = 0; n < CONF_RECORD_COUNT; n++)
			if (same(letters[n], list->items[i]))
				bit = 1u << n;
		if (bit == 0)
			conf_error(&l->report, at,
				"\"%.60s\" is no record; there are d, b, t, r, rb, f and u", list->items[i]);
		set |= bit;
	}
	return set;
}

static uint32_t
class_bits(const char *name)
{
	uint32_t set = 0;

	for (int c = 1; c < BOUNCE_CLASS_COUNT; c++) {
		enum bounce_class class = (enum bounce_class)c;

		if (same(bounce_class_name(class), name) ||
			same(bounce_group_name(bounce_class_group(class)), name))
			set |= UINT32_C(1) << c;
	}
	return set;
}

static uint32_t
check_classes(struct conf_loader *l, struct conf_place at, const struct conf_list *list)
{
	struct conf_nearest nearest;
	uint32_t set = 0;

	for (size_t i = 0; i < list->count; i++) {
		uint32_t bits = class_bits(list->items[i]);

		set |= bits;
		if (bits != 0)
			continue;
		nearest = (struct conf_nearest){.distance = 9};
		for (int c = 1; c < BOUNCE_CLASS_COUNT; c++)
			conf_nearest_consider(
				&nearest, list->items[i], bounce_class_name((enum bounce_class)c));
		conf_error(&l->report, at, "\"%.60s\" is neither a bounce class nor a group of them%s%s%s",
			list->items[i], nearest.distance < 9 ? "; did you mean \"" : "",
			nearest.distance < 9 ? nearest.word : "", nearest.distance < 9 ? "\"?" : "");
	}
	return set;
}

/* A name without wildcards must be there. */
static void
check_who(struct conf_loader *l, struct conf_place at, int kind, const struct conf_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *name = list->items[i];
		size_t len = strnlen(name, TEXT_MAX);

		if (strcspn(name, "*?") < len)
			continue;
		if (kind == CONF_KIND_USER ? conf_user_find(l->conf, name, len) == NULL
					   : conf_pool_find(l->conf, name, len) < 0)
			conf_check_missing(l, at, kind, name);
	}
}

static void
check_which(struct conf_loader *l, int kind, size_t n, struct conf_records *which)
{
	if (which->records.count == 0)
		which->record_set = l->conf->consumers.records.record_set;
	else
		which->record_set = check_letters(l, conf_place_of(l, kind, n, "records"), &which->records);
	which->class_set =
		check_classes(l, conf_place_of(l, kind, n, "bounce-classes"), &which->bounce_classes);
	check_who(l, conf_place_of(l, kind, n, "users"), CONF_KIND_USER, &which->users);
	check_who(l, conf_place_of(l, kind, n, "pools"), CONF_KIND_POOL, &which->pools);
	l->conf->consumers.record_set |= which->record_set;
}

/* --- names: one consumer of all three kinds has a name --- */

static void
check_name(struct conf_loader *l, int kind, size_t n, const char *name)
{
	struct conf_place at = l->blocks[kind][n]->at;

	if (strnlen(name, CONF_CONSUMER_NAME_MAX + 1) > CONF_CONSUMER_NAME_MAX)
		conf_error(&l->report, at, "%s \"%.60s...\": a name has at most %d bytes",
			conf_kinds[kind].word, name, CONF_CONSUMER_NAME_MAX);
	else if (strchr(name, '/') != NULL)
		conf_error(&l->report, at, "%s \"%.60s\": a name has no slash: a file is called after it",
			conf_kinds[kind].word, name);
}

static void
check_shared_names(struct conf_loader *l)
{
	struct conf_consumers *c = &l->conf->consumers;

	for (size_t n = 0; n < c->pipe_count; n++)
		for (size_t i = 0; i < c->webhook_count; i++)
			if (same(c->pipes[n].name, c->webhooks[i].name))
				conf_error(&l->report, l->blocks[CONF_KIND_PIPE][n]->at,
					"there is a webhook \"%.60s\" already, at %s", c->pipes[n].name,
					c->webhooks[i].at);
	if (c->accounting_count + c->webhook_count + c->pipe_count > CONF_CONSUMERS_MAX)
		conf_error(&l->report, (struct conf_place){l->conf->file, 0},
			"%zu accounting files, webhooks and pipes; at most %d are possible",
			c->accounting_count + c->webhook_count + c->pipe_count, CONF_CONSUMERS_MAX);
}

/* --- header fields --- */

static void
keep_header(struct conf_loader *l, struct conf_place at, const char *name)
{
	struct conf_list *kept = &l->conf->consumers.kept_headers;

	if (!conf_check_is_header_name(name)) {
		conf_error(&l->report, at, "\"%.60s\" is no header field", name);
		return;
	}
	for (size_t i = 0; i < kept->count; i++)
		if (strncasecmp(kept->items[i], name, TEXT_MAX) == 0)
			return;
	if (kept->count == CONF_KEPT_HEADERS_MAX) {
		conf_error(&l->report, at, "more than %d header fields are kept", CONF_KEPT_HEADERS_MAX);
		return;
	}
	((const char **)(uintptr_t)kept->items)[kept->count++] = name;
}

static void
check_columns(struct conf_loader *l, int kind, size_t n, const struct conf_columns *of, bool is_csv)
{
	struct conf_place at = conf_place_of(l, kind, n, "fields");
	const struct conf_list *fields = &of->fields;
	bool has_user_string = false;
	struct conf_nearest nearest;

	if (!is_csv && fields->count > 0)
		conf_error(&l->report, at,
			"JSON records have all fields; header fields are kept by accounting-headers");
	if (fields->count > FIELDS_MAX)
		conf_error(&l->report, at, "more than %d columns", FIELDS_MAX);
	for (size_t i = 0; i < fields->count; i++) {
		const char *name = fields->items[i];
		bool is_known = false;

		if (strncmp(name, HEADER_COLUMN, sizeof(HEADER_COLUMN) - 1) == 0) {
			keep_header(l, at, name + sizeof(HEADER_COLUMN) - 1);
			continue;
		}
		has_user_string = has_user_string || same(name, "userString");
		nearest = (struct conf_nearest){.distance = 9};
		for (size_t k = 0; k < sizeof(columns) / sizeof(columns[0]); k++) {
			is_known = is_known || same(columns[k], name);
			conf_nearest_consider(&nearest, name, columns[k]);
		}
		if (!is_known)
			conf_error(&l->report, at, "there is no column \"%.60s\"%s%s%s", name,
				nearest.distance < 9 ? "; did you mean \"" : "",
				nearest.distance < 9 ? nearest.word : "", nearest.distance < 9 ? "\"?" : "");
	}
	if (of->user_string[0] != '\0' && !has_user_string)
		conf_error(&l->report, conf_place_of(l, kind, n, "user-string"),
			"user-string stands in no column: format = csv, and userString in fields");
}

/* --- the three kinds --- */

static void
check_accountings(struct conf_loader *l)
{
	struct conf *c = l->conf;
	struct conf_index names;

	conf_check_names(l, CONF_KIND_ACCOUNTING, &names);
	for (size_t n = 0; n < c->consumers.accounting_count; n++) {
		struct conf_accounting *a = &c->consumers.accountings[n];
		struct conf_place at = conf_place_of(l, CONF_KIND_ACCOUNTING, n, "path");
		bool is_taken = same(a->path, c->accounting_file) || same(a->path, c->accounting_json);

		check_name(l, CONF_KIND_ACCOUNTING, n, a->name);
		for (size_t i = 0; i < n; i++)
			is_taken = is_taken || same(a->path, c->consumers.accountings[i].path);
		if (a->path[0] == '\0' || same(a->path, "none"))
			conf_error(&l->report, at, "accounting \"%.60s\" has no path: path = FILE", a->name);
		else if (is_taken)
			conf_error(&l->report, at,
				"%s is an accounting file already; each needs a file of its own", a->path);
		check_columns(l, CONF_KIND_ACCOUNTING, n, &a->columns, a->format == CONF_ACCOUNTING_CSV);
		check_which(l, CONF_KIND_ACCOUNTING, n, &a->which);
	}
}

static void
check_outlet(struct conf_loader *l, int kind, size_t n, const char *name, struct conf_outlet *o, bool is_csv)
{
	check_name(l, kind, n, name);
	check_which(l, kind, n, &o->which);
	if (o->dead_letter[0] == '\0' || same(o->dead_letter, "none"))
		o->dead_letter = conf_arena_printf(
			&l->owner->arena, "%s/%s.dead.%s", l->conf->spool_dir, name, is_csv ? "csv" : "json");
}

/* What leaves this machine in clear could be read, and answered by anybody. */
static bool
is_loopback(const char *host, size_t len)
{
	char text[64];
	struct in_addr v4;

	if ((len == 9 && strncasecmp(host, "localhost", 9) == 0) ||
		(len == 5 && memcmp(host, "[::1]", 5) == 0))
		return true;
	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	return inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

static void
check_url(struct conf_loader *l, size_t n, const struct conf_webhook *w)
{
	struct conf_place at = conf_place_of(l, CONF_KIND_WEBHOOK, n, "url");
	bool is_https = strncasecmp(w->url, "https://", 8) == 0;
	bool is_http = strncasecmp(w->url, "http://", 7) == 0;
	const char *host = w->url + (is_https ? 8 : 7);
	size_t len = strnlen(w->url, URL_MAX + 1), host_len = 0, i;

	if (!is_http && !is_https) {
		conf_error(&l->report, at, "webhook \"%.60s\" has no url: url = https://...", w->name);
		return;
	}
	for (i = 0; i < len && w->url[i] > ' ' && w->url[i] < 127; i++)
		;
	if (len > URL_MAX || i < len || strcspn(host, "/?#") > strcspn(host, "@"))
		conf_error(&l->report, at,
			"\"%.60s\" is no url: up to %d printable characters, no user and password", w->url,
			URL_MAX);
	host_len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
	if (host_len == 0)
		conf_error(&l->report, at, "\"%.60s\" names no host", w->url);
	else if (is_http && !is_loopback(host, host_len))
		conf_error(&l->report, at,
			"\"%.60s\" would send addresses in clear: write https://, or a loopback address",
			w->url);
}

static void
check_webhooks(struct conf_loader *l)
{
	struct conf_consumers *c = &l->conf->consumers;
	struct conf_index names;

	conf_check_names(l, CONF_KIND_WEBHOOK, &names);
	for (size_t n = 0; n < c->webhook_count; n++) {
		struct conf_webhook *w = &c->webhooks[n];

		check_url(l, n, w);
		check_outlet(l, CONF_KIND_WEBHOOK, n, w->name, &w->outlet, false);
		if (w->ca_file[0] == '\0')
			w->ca_file = l->conf->tls_ca_file;
		if (l->is_copy)
			continue;
		if (w->secret_file[0] != '\0')
			w->secret = conf_read_secret(
				l, conf_place_of(l, CONF_KIND_WEBHOOK, n, "secret-file"), w->secret_file);
		if (strncasecmp(w->url, "https://", 8) == 0)
			conf_check_readable(l, conf_place_of(l, CONF_KIND_WEBHOOK, n, "ca-file"), w->ca_file);
	}
}

static void
check_pipes(struct conf_loader *l)
{
	struct conf_consumers *c = &l->conf->consumers;
	struct conf_index names;

	conf_check_names(l, CONF_KIND_PIPE, &names);
	for (size_t n = 0; n < c->pipe_count; n++) {
		struct conf_pipe *p = &c->pipes[n];

		if (p->command[0] == '\0')
			conf_error(&l->report, conf_place_of(l, CONF_KIND_PIPE, n, "command"),
				"pipe \"%.60s\" has no command: command = \"PROGRAM ...\"", p->name);
		check_columns(l, CONF_KIND_PIPE, n, &p->columns, p->format == CONF_PIPE_CSV);
		check_outlet(l, CONF_KIND_PIPE, n, p->name, &p->outlet, p->format == CONF_PIPE_CSV);
	}
}

void
conf_check_consumers(struct conf_loader *l)
{
	struct conf *c = l->conf;

	c->consumers.kept_headers = (struct conf_list){
		conf_arena_alloc(&l->owner->arena, CONF_KEPT_HEADERS_MAX * sizeof(char *)), 0};
	c->consumers.records.record_set = check_letters(
		l, conf_place_of(l, CONF_KIND_TOP, 0, "accounting-records"), &c->accounting_records);
	c->consumers.record_set = c->consumers.records.record_set;
	for (size_t i = 0; i < c->accounting_headers.count; i++)
		keep_header(l, conf_place_of(l, CONF_KIND_TOP, 0, "accounting-headers"),
			c->accounting_headers.items[i]);
	check_accountings(l);
	check_webhooks(l);
	check_pipes(l);
	check_shared_names(l);
}
