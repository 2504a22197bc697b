/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a single value cannot tell: names that refer to each other, settings that contradict each other,
 * files, and above all that no listener relays for strangers. Runs only when every line was understood; a
 * block of which half is missing would earn complaints that are not true.
 *
 * Invariants: each check says all it finds; a check that fails leaves the derived fields empty and valid.
 */
#include "conf/conf_check.h"

#include "base/domain.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pwd.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_LEN_MAX 255

struct conf_place
conf_place_of(const struct conf_loader *l, int kind, size_t n, const char *setting)
{
	static const struct conf_block_kind *const k = conf_kinds;

	if (kind != CONF_KIND_TOP)
		return conf_raw_place(l->blocks[kind][n], &k[kind], setting);
	for (const struct conf_raw_block *b = l->raw.blocks[CONF_KIND_TOP]; b != NULL; b = b->next) {
		struct conf_place at = conf_raw_place(b, &k[CONF_KIND_TOP], setting);

		if (at.file != b->at.file || at.line != b->at.line)
			return at;
	}
	return (struct conf_place){l->conf->file, 0};
}

/* --- names --- */

/* A name an operator types into mtactl and a client into a header: one word. */
static void
check_name(struct conf_loader *l, int kind, size_t n, const char *name)
{
	const struct conf_raw_block *b = l->blocks[kind][n];
	size_t len = strnlen(name, 65536);

	if ((kind == CONF_KIND_GUARD || kind == CONF_KIND_SUPPRESSION) && strncmp(name, "*", 2) == 0)
		return;
	if (len == 0 || len > NAME_LEN_MAX)
		conf_error(&l->report, b->at, "the name of this %s has %zu bytes; from 1 to %d are possible",
			conf_kinds[kind].word, len, NAME_LEN_MAX);
	else if (strcspn(name, " \t*,|\"'") != len)
		conf_error(&l->report, b->at,
			"\"%.60s\" is no name for a %s: no blanks, quotes or any of * , |", name,
			conf_kinds[kind].word);
	else if (kind == CONF_KIND_SOURCE && strchr(name, ':') != NULL)
		conf_error(&l->report, b->at,
			"\"%.60s\" is no name for a source: behind a : stands its weight in a pool", name);
	else if (kind == CONF_KIND_SOURCE && name[0] == '@')
		conf_error(&l->report, b->at,
			"\"%.60s\" is no name for a source: with an @ begins that of a sender's domain",
			name);
}

static void
say_duplicate(struct conf_loader *l, int kind, size_t n, size_t first)
{
	const struct conf_raw_block *b = l->blocks[kind][n], *other = l->blocks[kind][first];

	conf_error(&l->report, b->at, "%s \"%.60s\" is there already, at %s:%d", conf_kinds[kind].word,
		b->title, other->at.file, other->at.line);
}

static const char *
name_of(const struct conf_loader *l, int kind, size_t n)
{
	return *(const char **)((char *)conf_block_at(l->conf, kind, n) + conf_kinds[kind].name);
}

void
conf_check_names(struct conf_loader *l, int kind, struct conf_index *index)
{
	size_t count = l->raw.counts[kind];

	conf_index_init(index, &l->owner->arena, count + 1);
	for (size_t n = 0; n < count; n++) {
		const char *name = name_of(l, kind, n);
		int64_t first;

		check_name(l, kind, n, name);
		first = conf_index_add(index, name, strnlen(name, 65536), (uint32_t)n);
		if (first >= 0)
			say_duplicate(l, kind, n, (size_t)first);
	}
}

void
conf_check_missing(struct conf_loader *l, struct conf_place at, int kind, const char *name)
{
	struct conf_nearest nearest = {.distance = 9};

	/* What is not shown need not be searched for; 50,000 wrong names would take minutes. */
	if (l->report.error_count < CONF_REPORT_MAX)
		for (size_t n = 0; n < l->raw.counts[kind]; n++)
			conf_nearest_consider(&nearest, name, name_of(l, kind, n));
	if (nearest.distance < 9)
		conf_error(&l->report, at, "there is no %s \"%.60s\"; did you mean \"%s\"?",
			conf_kinds[kind].word, name, nearest.word);
	else
		conf_error(&l->report, at, "there is no %s \"%.60s\"", conf_kinds[kind].word, name);
}

const char *
conf_check_pattern(struct conf_loader *l, struct conf_place at, const char *text, bool star_allowed)
{
	char name[DOMAIN_MAX + 2] = "*.";
	bool is_suffix = strncmp(text, "*.", 2) == 0;
	size_t skip = is_suffix ? 2 : 0;

	if (star_allowed && strncmp(text, "*", 2) == 0)
		return text;
	if (text[skip] != '[' && domain_normalise(text + skip, strnlen(text + skip, 65536), name + skip,
					 sizeof(name) - skip) >= 0)
		return conf_arena_text(&l->owner->arena, name, strnlen(name, sizeof(name)));
	conf_error(&l->report, at, "\"%.60s\" is no domain; write example.com, *.example.com%s", text,
		star_allowed ? " or *" : "");
	return "";
}

void
conf_check_patterns(struct conf_loader *l, struct conf_place at, struct conf_list *list, bool star_allowed)
{
	const char **items = conf_arena_alloc(&l->owner->arena, list->count * sizeof(*items));

	for (size_t i = 0; i < list->count; i++)
		items[i] = conf_check_pattern(l, at, list->items[i], star_allowed);
	list->items = items;
}

/* "*.suffix" is kept as ".suffix", "*" as "": see conf_find.c. */
static int64_t
add_pattern(struct conf_index *i, const char *pattern, size_t value)
{
	const char *key = pattern + (pattern[0] == '*' ? 1 : 0);

	return conf_index_add(i, key, strnlen(key, DOMAIN_MAX), (uint32_t)value);
}

static void
check_domains(struct conf_loader *l)
{
	struct conf *c = l->conf;

	conf_index_init(&l->owner->domains, &l->owner->arena, c->domain_count + 1);
	for (size_t n = 0; n < c->domain_count; n++) {
		struct conf_domain *d = &c->domains[n];
		int64_t first;

		d->name = conf_check_pattern(l, l->blocks[CONF_KIND_DOMAIN][n]->at, d->name, true);
		if (d->name[0] == '\0')
			continue;
		first = add_pattern(&l->owner->domains, d->name, n);
		if (first >= 0)
			say_duplicate(l, CONF_KIND_DOMAIN, n, (size_t)first);
	}
}

/* One domain or host can belong to one provider or route only; which one would otherwise depend on their
 * order. */
static void
index_patterns(struct conf_loader *l, int kind, size_t n, const char *setting, struct conf_index *index)
{
	const struct conf_block_kind *k = &conf_kinds[kind];
	int row = conf_kind_row_find(k, setting);
	const struct conf_list *list = conf_kind_field(k, (size_t)row, conf_block_at(l->conf, kind, n));

	for (size_t i = 0; i < list->count; i++) {
		int64_t first = list->items[i][0] == '\0' ? -1 : add_pattern(index, list->items[i], n);

		if (first >= 0)
			conf_error(&l->report, conf_place_of(l, kind, n, setting),
				"\"%s\" is in %s \"%.60s\" already", list->items[i], k->word,
				name_of(l, kind, (size_t)first));
	}
}

static size_t
count_items(struct conf_loader *l, int kind, const char *setting)
{
	const struct conf_block_kind *k = &conf_kinds[kind];
	size_t row = (size_t)conf_kind_row_find(k, setting), count = 1;

	for (size_t n = 0; n < l->raw.counts[kind]; n++)
		count +=
			((struct conf_list *)conf_kind_field(k, row, conf_block_at(l->conf, kind, n)))->count;
	return count;
}

static void
check_providers(struct conf_loader *l)
{
	struct conf *c = l->conf;
	struct conf_index names;

	conf_check_names(l, CONF_KIND_PROVIDER, &names);
	conf_index_init(&l->owner->provider_mx, &l->owner->arena, count_items(l, CONF_KIND_PROVIDER, "mx"));
	conf_index_init(
		&l->owner->provider_domains, &l->owner->arena, count_items(l, CONF_KIND_PROVIDER, "domains"));
	for (size_t n = 0; n < c->provider_count; n++) {
		struct conf_provider *p = &c->providers[n];

		if (p->mx.count + p->domains.count == 0)
			conf_error(&l->report, l->blocks[CONF_KIND_PROVIDER][n]->at,
				"provider \"%.60s\" has neither mx nor domains: no mail can belong to it",
				p->name);
		conf_check_patterns(l, conf_place_of(l, CONF_KIND_PROVIDER, n, "mx"), &p->mx, false);
		conf_check_patterns(
			l, conf_place_of(l, CONF_KIND_PROVIDER, n, "domains"), &p->domains, false);
		index_patterns(l, CONF_KIND_PROVIDER, n, "mx", &l->owner->provider_mx);
		index_patterns(l, CONF_KIND_PROVIDER, n, "domains", &l->owner->provider_domains);
	}
}

static void
check_dkims(struct conf_loader *l)
{
	struct conf *c = l->conf;

	conf_index_init(&l->owner->dkims, &l->owner->arena, c->dkim_count + 1);
	for (size_t n = 0; n < c->dkim_count; n++) {
		struct conf_dkim *d = &c->dkims[n];
		struct conf_place at = l->blocks[CONF_KIND_DKIM][n]->at;
		char selector[DOMAIN_MAX];
		const char *key;
		int64_t first;

		d->name = conf_check_pattern(l, at, d->name, false);
		if (d->selector[0] == '\0')
			conf_error(
				&l->report, at, "dkim \"%.60s\" has no selector: selector = NAME", d->name);
		else if (d->selector[0] == '[' || domain_normalise(d->selector, strnlen(d->selector, 65536),
							  selector, sizeof(selector)) < 0)
			conf_error(&l->report, conf_place_of(l, CONF_KIND_DKIM, n, "selector"),
				"\"%.60s\" is no selector", d->selector);
		if (d->key[0] == '\0')
			conf_error(&l->report, at, "dkim \"%.60s\" has no key: key = FILE", d->name);
		else
			conf_check_secret_file(l, conf_place_of(l, CONF_KIND_DKIM, n, "key"), d->key);
		key = conf_arena_printf(&l->owner->arena, "%s %s", d->selector, d->name);
		first = conf_index_add(&l->owner->dkims, key, strnlen(key, 131072), (uint32_t)n);
		if (first >= 0)
			say_duplicate(l, CONF_KIND_DKIM, n, (size_t)first);
	}
}

/* --- how mail is sent --- */

static void
check_delivery(struct conf_loader *l, struct conf_place at, const struct conf_delivery *d)
{
	if (d->tls == CONF_TLS_VERIFY)
		conf_check_readable(l, at, l->conf->tls_ca_file);
	if (d->expire <= d->retry.us[0])
		conf_warn(&l->report, at, "mail expires before its second attempt (expire, retry)");
	if (d->delay_notice > 0 && d->delay_notice >= d->expire)
		conf_warn(&l->report, at, "mail expires before delay-notice tells its sender");
}

/* As they will be when laid over the default, so that a contradiction of two blocks is seen. */
static void
check_deliveries(struct conf_loader *l)
{
	struct conf *c = l->conf;
	struct conf_delivery merged;
	int64_t star = conf_index_find(&l->owner->domains, "", 0);

	if (star >= 0) {
		c->delivery = c->domains[star].delivery;
		conf_check_pool_name(
			l, conf_place_of(l, CONF_KIND_DOMAIN, (size_t)star, "pool"), c->delivery.pool);
		check_delivery(l, l->blocks[CONF_KIND_DOMAIN][star]->at, &c->delivery);
	}
	c->delivery.is_set = (UINT64_C(1) << conf_delivery_row_count) - 1;
	for (size_t n = 0; n < c->domain_count; n++) {
		if ((int64_t)n == star)
			continue;
		conf_check_pool_name(
			l, conf_place_of(l, CONF_KIND_DOMAIN, n, "pool"), c->domains[n].delivery.pool);
		conf_delivery_merge(c, &c->domains[n], NULL, &merged);
		check_delivery(l, l->blocks[CONF_KIND_DOMAIN][n]->at, &merged);
	}
	for (size_t n = 0; n < c->provider_count; n++) {
		conf_check_pool_name(
			l, conf_place_of(l, CONF_KIND_PROVIDER, n, "pool"), c->providers[n].delivery.pool);
		conf_delivery_merge(c, NULL, &c->providers[n], &merged);
		check_delivery(l, l->blocks[CONF_KIND_PROVIDER][n]->at, &merged);
	}
}

/* --- the top level --- */

static void
check_hostname(struct conf_loader *l)
{
	struct conf *c = l->conf;
	struct conf_place at = conf_place_of(l, CONF_KIND_TOP, 0, "hostname");
	char name[DOMAIN_MAX];

	if (c->hostname[0] == '\0')
		return;
	if (c->hostname[0] == '[' ||
		domain_normalise(c->hostname, strnlen(c->hostname, 65536), name, sizeof(name)) < 0) {
		conf_error(&l->report, at, "\"%.60s\" is no host name", c->hostname);
		return;
	}
	c->hostname = conf_arena_text(&l->owner->arena, name, strnlen(name, sizeof(name)));
	if (strchr(name, '.') == NULL)
		conf_warn(
			&l->report, at, "\"%s\" is no full host name; many sites refuse mail from it", name);
}

static void
check_accounts(struct conf_loader *l)
{
	const struct conf *c = l->conf;

	if (c->run_as[0] != '\0' && getpwnam(c->run_as) == NULL)
		conf_error(&l->report, conf_place_of(l, CONF_KIND_TOP, 0, "run-as"),
			"there is no account \"%.60s\"", c->run_as);
	for (size_t i = 0; i < c->control_users.count; i++)
		if (getpwnam(c->control_users.items[i]) == NULL)
			conf_error(&l->report, conf_place_of(l, CONF_KIND_TOP, 0, "control-users"),
				"there is no account \"%.60s\"", c->control_users.items[i]);
}

static void
check_header_names(struct conf_loader *l, const char *setting, const struct conf_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *name = list->items[i];

		if (strncasecmp(name, "From", 5) == 0 || !conf_check_is_header_name(name))
			conf_error(&l->report, conf_place_of(l, CONF_KIND_TOP, 0, setting),
				"\"%.60s\" is no header field that can be removed%s", name,
				strchr(name, ':') != NULL ? "; write it without the colon" : "");
	}
}

static bool
is_dns_server(const char *text)
{
	struct conf_endpoint e[2];
	struct in6_addr address;
	struct conf_why why;

	if (inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1)
		return true;
	return text[0] != '/' && conf_value_endpoint(text, e, &why) == 1;
}

static void
check_lists(struct conf_loader *l)
{
	const struct conf *c = l->conf;

	for (size_t i = 0; i < c->dns_servers.count; i++)
		if (!is_dns_server(c->dns_servers.items[i]))
			conf_error(&l->report, conf_place_of(l, CONF_KIND_TOP, 0, "dns-servers"),
				"\"%.60s\" is no resolver; write 127.0.0.1, ::1, 127.0.0.1:53 or [::1]:53",
				c->dns_servers.items[i]);
	check_header_names(l, "job-headers", &c->job_headers);
	check_header_names(l, "class-headers", &c->class_headers);
	check_header_names(l, "pool-headers", &c->pool_headers);
	check_header_names(l, "class-headers", &c->class_headers);
	check_header_names(l, "schedule-headers", &c->schedule_headers);
	check_header_names(l, "remove-headers", &c->remove_headers);
}

static void
check_global(struct conf_loader *l)
{
	struct conf *c = l->conf;

	check_hostname(l);
	check_accounts(l);
	check_lists(l);
	if (c->bounce_from[0] != '\0')
		c->bounce_from = conf_check_address(
			l, conf_place_of(l, CONF_KIND_TOP, 0, "bounce-from"), c->bounce_from, false);
	if (strnlen(c->control_socket, 4096) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		conf_error(&l->report, conf_place_of(l, CONF_KIND_TOP, 0, "control-socket"),
			"the path of a socket has at most 107 bytes");
	if (strcmp(c->accounting_file, "none") != 0 && strcmp(c->accounting_file, c->accounting_json) == 0)
		conf_error(&l->report, conf_place_of(l, CONF_KIND_TOP, 0, "accounting-json"),
			"this is the path of accounting-file; each needs a file of its own");
	if (c->spool_max > 0 && c->spool_max < INT64_C(16) << 20)
		conf_error(&l->report, conf_place_of(l, CONF_KIND_TOP, 0, "spool-max"),
			"less than 16MB is no spool");
}

const char *
conf_check_address(struct conf_loader *l, struct conf_place at, const char *text, bool only_domain_allowed)
{
	const char *sign = strrchr(text, '@');
	char domain[DOMAIN_MAX];
	size_t local = sign != NULL ? (size_t)(sign - text) : 0;

	if (sign == NULL)
		conf_error(&l->report, at, "\"%.60s\" has no @; write user@example.com%s", text,
			only_domain_allowed ? ", or @example.com for all of a domain" : "");
	else if ((local == 0 && !only_domain_allowed) || local > 64 || strcspn(text, " <>\t") < local ||
		 domain_normalise(sign + 1, strnlen(sign + 1, 65536), domain, sizeof(domain)) < 0)
		conf_error(&l->report, at, "\"%.60s\" is no mail address", text);
	else
		return conf_arena_printf(&l->owner->arena, "%.*s@%s", (int)local, text, domain);
	return "";
}

void
conf_check(struct conf_loader *l)
{
	struct conf *c = l->conf;

	check_global(l);
	conf_check_rates(l);
	conf_check_names(l, CONF_KIND_POOL, &l->owner->pools);
	conf_check_names(l, CONF_KIND_SOURCE, &l->owner->sources);
	conf_check_names(l, CONF_KIND_USER, &l->owner->users);
	conf_check_listens(l);
	conf_check_users(l);
	conf_check_guards(l);
	conf_check_suppressions(l);
	conf_check_streams(l);
	conf_check_sources(l);
	conf_check_warmups(l);
	conf_check_pools(l);
	conf_check_feedback(l);
	check_dkims(l);
	check_domains(l);
	check_providers(l);
	conf_check_hours(l);
	check_deliveries(l);
	conf_check_profiles(l);
	conf_check_rules(l);
	conf_check_reports(l);
	conf_check_routes(l);
	conf_check_consumers(l);
	conf_index_init(&l->owner->routes, &l->owner->arena, count_items(l, CONF_KIND_ROUTE, "domains"));
	for (size_t n = 0; n < c->route_count; n++)
		index_patterns(l, CONF_KIND_ROUTE, n, "domains", &l->owner->routes);
}
