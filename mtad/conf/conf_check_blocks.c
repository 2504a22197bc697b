/* SPDX-License-Identifier: Apache-2.0 */
/* Users, sources, pools and routes: names they refer to, addresses, and the secrets they need. */
#include "conf/conf_check.h"

#include "base/domain.h"
#include "base/local.h"
#include "queue_types.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

void
conf_check_pool_name(struct conf_loader *l, struct conf_place at, const char *pool)
{
	if (pool[0] != '\0' && conf_pool_find(l->conf, pool, strnlen(pool, 65536)) < 0)
		conf_check_missing(l, at, CONF_KIND_POOL, pool);
}

static void
check_senders(struct conf_loader *l, int kind, size_t n, struct conf_list *senders)
{
	const char **items = conf_arena_alloc(&l->owner->arena, senders->count * sizeof(*items));
	struct conf_place at = conf_place_of(l, kind, n, "senders");

	for (size_t i = 0; i < senders->count; i++)
		items[i] = conf_check_address(l, at, senders->items[i], true);
	senders->items = items;
}

/* By its name a user is found again in the spool, and its streams are called "user/job/class". */
static void
check_user_name(struct conf_loader *l, size_t n, const char *name)
{
	struct conf_place at = l->blocks[CONF_KIND_USER][n]->at;

	if (strnlen(name, QUEUE_NAME_MAX + 1) > QUEUE_NAME_MAX)
		conf_error(&l->report, at, "user \"%.60s...\": a name has at most %d bytes", name,
			QUEUE_NAME_MAX);
	else if (strchr(name, '/') != NULL)
		conf_error(&l->report, at,
			"user \"%.60s\": a name has no slash, which stands between user and job", name);
}

void
conf_check_users(struct conf_loader *l)
{
	const struct conf_block_kind *k = &conf_kinds[CONF_KIND_USER];
	struct conf *c = l->conf;

	for (size_t n = 0; n < c->user_count; n++) {
		struct conf_user *u = &c->users[n];
		struct conf_place at = conf_place_of(l, CONF_KIND_USER, n, "password-file");

		if (l->is_copy) {
			u->password_hash = "";
		} else if (u->password_file[0] == '\0') {
			conf_error(&l->report, at, "user \"%.60s\" has no password-file", u->name);
		} else {
			u->password_hash = conf_read_secret(l, at, u->password_file);
			if (u->password_hash[0] != '\0')
				conf_check_password_hash(l, at, u->password_file, u->password_hash);
		}
		check_user_name(l, n, u->name);
		check_senders(l, CONF_KIND_USER, n, &u->senders);
		conf_check_pool_name(l, conf_place_of(l, CONF_KIND_USER, n, "pool"), u->pool);
		if (conf_raw_find(l->blocks[CONF_KIND_USER][n], k, "sandbox") == NULL)
			u->sandbox = c->sandbox;
	}
}

/* Only a warning: an address may come up later. Until then its mail waits with the event source_down. */
static void
warn_if_absent(struct conf_loader *l, struct conf_place at, const char *text, const struct sockaddr *address)
{
	if (local_probe(address) == EADDRNOTAVAIL)
		conf_warn(&l->report, at, "this machine has no address %s; mail from there waits", text);
}

static void
check_source_address(struct conf_loader *l, size_t n, struct conf_source *s, const char *text)
{
	struct conf_place at = conf_place_of(l, CONF_KIND_SOURCE, n, "address");
	struct in_addr v4;
	struct in6_addr v6;
	bool is_v4 = inet_pton(AF_INET, text, &v4) == 1;

	if (!is_v4 && inet_pton(AF_INET6, text, &v6) != 1) {
		conf_error(&l->report, at, "\"%.60s\" is no address; write 192.0.2.10 or 2001:db8::10", text);
	} else if ((is_v4 && v4.s_addr == 0) || (!is_v4 && IN6_IS_ADDR_UNSPECIFIED(&v6))) {
		conf_error(&l->report, at,
			"\"%s\" is no address to send from; leave the line out to let the system choose",
			text);
	} else if (is_v4 ? s->has_v4 : s->has_v6) {
		conf_error(&l->report, at, "a second %s address; make another source of it",
			is_v4 ? "IPv4" : "IPv6");
	} else if (is_v4) {
		s->has_v4 = true;
		s->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = v4};
		warn_if_absent(l, at, text, (const struct sockaddr *)&s->v4);
	} else {
		s->has_v6 = true;
		s->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = v6};
		warn_if_absent(l, at, text, (const struct sockaddr *)&s->v6);
	}
}

/* conf.h promises that there is always one. conf_fill has put the defaults behind the last block. */
static void
add_default_source(struct conf_loader *l)
{
	struct conf *c = l->conf;

	c->source_count = 1;
	c->sources[0].name = "default";
	c->sources[0].at = c->file;
	conf_index_add(&l->owner->sources, c->sources[0].name, 7, 0);
}

void
conf_check_sources(struct conf_loader *l)
{
	struct conf *c = l->conf;
	char name[DOMAIN_MAX];

	for (size_t n = 0; n < c->source_count; n++) {
		struct conf_source *s = &c->sources[n];

		for (size_t i = 0; i < s->address.count; i++)
			check_source_address(l, n, s, s->address.items[i]);
		if (s->ehlo[0] == '\0')
			continue;
		if (domain_normalise(s->ehlo, strnlen(s->ehlo, 65536), name, sizeof(name)) < 0)
			conf_error(&l->report, conf_place_of(l, CONF_KIND_SOURCE, n, "ehlo"),
				"\"%.60s\" is no host name", s->ehlo);
		else
			s->ehlo = conf_arena_text(&l->owner->arena, name, strnlen(name, sizeof(name)));
	}
	if (c->source_count == 0)
		add_default_source(l);
}

/* "ip-b:3": the source and how often it is taken. False: reported. */
static bool
parse_pool_source(struct conf_loader *l, struct conf_place at, const char *text, uint32_t *out_source,
	uint32_t *out_weight)
{
	const char *colon = strchr(text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : strnlen(text, 65536);
	int source = conf_source_find(l->conf, text, len);
	int64_t weight = 1;
	struct conf_why why;

	if (source < 0) {
		conf_check_missing(l, at, CONF_KIND_SOURCE, conf_arena_text(&l->scratch, text, len));
		return false;
	}
	if (colon != NULL &&
		(!conf_value_count(colon + 1, &weight, &why) || weight < 1 || weight > CONF_WEIGHT_MAX)) {
		conf_error(&l->report, at, "\"%.60s\": a weight is a number from 1 to %d", text,
			CONF_WEIGHT_MAX);
		return false;
	}
	*out_source = (uint32_t)source;
	*out_weight = (uint32_t)weight;
	return true;
}

static void
check_pool_sources(struct conf_loader *l, size_t n, struct conf_pool *p, bool *used)
{
	uint32_t *index = conf_arena_alloc(&l->owner->arena, p->sources.count * sizeof(*index));
	uint32_t *weight = conf_arena_alloc(&l->owner->arena, p->sources.count * sizeof(*weight));
	struct conf_place at = conf_place_of(l, CONF_KIND_POOL, n, "sources");
	struct conf_index seen;

	conf_index_init(&seen, &l->scratch, p->sources.count + 1);
	for (size_t i = 0; i < p->sources.count; i++) {
		const char *name;

		if (!parse_pool_source(l, at, p->sources.items[i], &index[i], &weight[i]))
			continue;
		name = l->conf->sources[index[i]].name;
		if (conf_index_add(&seen, name, strnlen(name, 65536), 0) >= 0)
			conf_error(&l->report, at, "source \"%.60s\" is in this pool twice", name);
		used[index[i]] = true;
	}
	p->source_index = index;
	p->source_weight = weight;
	if (p->sources.count == 0)
		conf_error(&l->report, at, "pool \"%.60s\" has no sources: sources = { NAME, ... }", p->name);
}

/* One sender goes by one pool only; which one would otherwise depend on their order. */
static void
index_pool_senders(struct conf_loader *l, size_t n, struct conf_pool *p)
{
	char key[CONF_SENDER_KEY_MAX];

	check_senders(l, CONF_KIND_POOL, n, &p->senders);
	for (size_t i = 0; i < p->senders.count; i++) {
		const char *sender = p->senders.items[i];
		int len = conf_sender_key(sender, strnlen(sender, CONF_SENDER_KEY_MAX), key);
		int64_t first;

		if (len < 0) /* reported */
			continue;
		first = conf_index_add(&l->owner->pool_senders,
			conf_arena_text(&l->owner->arena, key, (size_t)len), (size_t)len, (uint32_t)n);
		if (first >= 0)
			conf_error(&l->report, conf_place_of(l, CONF_KIND_POOL, n, "senders"),
				"\"%.60s\" is in pool \"%.60s\" already", sender, l->conf->pools[first].name);
	}
}

static void
mark_pool(const struct conf *c, const char *pool, bool *named)
{
	int n = conf_pool_find(c, pool, strnlen(pool, 65536));

	if (n >= 0)
		named[n] = true;
}

/* A pool that only a header can name is in use when somebody may write that header. */
static void
warn_of_unused_pools(struct conf_loader *l)
{
	const struct conf *c = l->conf;
	bool *named = conf_arena_alloc(&l->scratch, c->pool_count * sizeof(*named));

	for (size_t n = 0; n < c->listen_count; n++) {
		if (c->listens[n].trusted && c->pool_headers.count > 0)
			return;
		mark_pool(c, c->listens[n].pool, named);
	}
	for (size_t n = 0; n < c->user_count; n++)
		mark_pool(c, c->users[n].pool, named);
	for (size_t n = 0; n < c->domain_count; n++)
		mark_pool(c, c->domains[n].delivery.pool, named);
	for (size_t n = 0; n < c->provider_count; n++)
		mark_pool(c, c->providers[n].delivery.pool, named);
	for (size_t n = 0; n < c->pool_count; n++)
		if (!named[n] && c->pools[n].senders.count == 0)
			conf_warn(&l->report, l->blocks[CONF_KIND_POOL][n]->at, "pool \"%.60s\" is not used",
				c->pools[n].name);
}

void
conf_check_pools(struct conf_loader *l)
{
	struct conf *c = l->conf;
	bool *used = conf_arena_alloc(&l->scratch, c->source_count * sizeof(*used));
	size_t sender_count = 1;

	for (size_t n = 0; n < c->pool_count; n++)
		sender_count += c->pools[n].senders.count;
	conf_index_init(&l->owner->pool_senders, &l->owner->arena, sender_count);
	for (size_t n = 0; n < c->pool_count; n++) {
		check_pool_sources(l, n, &c->pools[n], used);
		index_pool_senders(l, n, &c->pools[n]);
	}
	warn_of_unused_pools(l);
	/* Mail without a pool leaves by the first source, so that one is always in use. */
	for (size_t n = 1; n < c->source_count; n++)
		if (!used[n])
			conf_warn(&l->report, l->blocks[CONF_KIND_SOURCE][n]->at,
				"source \"%.60s\" is in no pool and so is not used", c->sources[n].name);
}

/* "host", "host:port", "192.0.2.1:25", "[2001:db8::1]:25" or "2001:db8::1". */
static bool
parse_route_host(struct conf_loader *l, struct conf_place at, const char *text, size_t len,
	struct conf_route_host *out)
{
	const char *colon = memrchr(text, ':', len);
	bool has_port =
		colon != NULL && (memchr(text, ':', len) == colon || (text[0] == '[' && colon[-1] == ']'));
	size_t host_len = has_port ? (size_t)(colon - text) : len;
	char host[DOMAIN_MAX];
	struct in6_addr address;
	struct conf_why why;
	int64_t port = 0;

	if (has_port &&
		!conf_value_count(conf_arena_text(&l->scratch, colon + 1, len - host_len - 1), &port, &why))
		port = -1;
	if (port < (has_port ? 1 : 0) || port > 65535) {
		conf_error(&l->report, at, "\"%.*s\": a port is a number from 1 to 65535",
			(int)(len < 60 ? len : 60), text);
		return false;
	}
	if (host_len > 2 && text[0] == '[' && text[host_len - 1] == ']') {
		text++;
		host_len -= 2;
	}
	if (host_len < sizeof(host)) {
		memcpy(host, text, host_len);
		host[host_len] = '\0';
		if (inet_pton(AF_INET6, host, &address) == 1 ||
			domain_normalise(text, host_len, host, sizeof(host)) > 0) {
			out->name = conf_arena_text(&l->owner->arena, host, strnlen(host, sizeof(host)));
			out->port = (uint16_t)port;
			if (port == 465)
				conf_warn(&l->report, at,
					"port 465 wants TLS from the first byte, mtad says STARTTLS; use "
					"port 587");
			return true;
		}
	}
	conf_error(&l->report, at,
		"\"%.*s\" is no host; write mail.example.com, mail.example.com:587, 192.0.2.1:25 or "
		"[2001:db8::1]:25",
		(int)(host_len < 60 ? host_len : 60), text);
	return false;
}

static void
check_route_hosts(struct conf_loader *l, size_t n, struct conf_route *r)
{
	struct conf_place at = conf_place_of(l, CONF_KIND_ROUTE, n, "hosts");
	struct conf_route_host *hosts;
	size_t count = 0, room = r->hosts.count;

	for (size_t i = 0; i < r->hosts.count; i++)
		for (const char *p = r->hosts.items[i]; *p != '\0'; p++)
			room += *p == '|';
	hosts = conf_arena_alloc(&l->owner->arena, room * sizeof(*hosts));
	for (size_t i = 0; i < r->hosts.count && i < 1000; i++) {
		const char *p = r->hosts.items[i];

		for (;;) {
			size_t len = strcspn(p, "|");

			hosts[count].preference = (uint16_t)i;
			if (parse_route_host(l, at, p, len, &hosts[count]))
				count++;
			if (p[len] == '\0')
				break;
			p += len + 1;
		}
	}
	if (r->hosts.count == 0)
		conf_error(&l->report, at, "route \"%.60s\" has no hosts: hosts = { mail.example.com:587 }",
			r->name);
	if (r->hosts.count > 1000)
		conf_error(&l->report, at, "route \"%.60s\" has more than 1000 hosts", r->name);
	r->host_list = hosts;
	r->host_count = count;
}

static void
check_route_login(struct conf_loader *l, size_t n, struct conf_route *r)
{
	bool has_user = r->user[0] != '\0', has_password = r->password_file[0] != '\0';
	struct conf_place at = conf_place_of(l, CONF_KIND_ROUTE, n, "password-file");

	if (l->is_copy)
		return;
	if (has_user && !has_password)
		conf_error(&l->report, conf_place_of(l, CONF_KIND_ROUTE, n, "user"),
			"user without password-file");
	if (!has_user && has_password)
		conf_error(&l->report, at, "password-file without user");
	if (has_password)
		r->password = conf_read_secret(l, at, r->password_file);
	if (has_user && r->tls == CONF_TLS_UNSET)
		r->tls = CONF_TLS_VERIFY;
	if (r->tls == CONF_TLS_VERIFY)
		conf_check_readable(l, conf_place_of(l, CONF_KIND_ROUTE, n, "tls"), l->conf->tls_ca_file);
	if (has_user && (r->tls == CONF_TLS_NONE || r->tls == CONF_TLS_MAY))
		conf_warn(&l->report, conf_place_of(l, CONF_KIND_ROUTE, n, "tls"),
			"the password may go over the network in clear; set tls = verify");
}

void
conf_check_routes(struct conf_loader *l)
{
	struct conf *c = l->conf;
	struct conf_index names;

	conf_check_names(l, CONF_KIND_ROUTE, &names);
	for (size_t n = 0; n < c->route_count; n++) {
		struct conf_route *r = &c->routes[n];

		if (r->domains.count == 0)
			conf_error(&l->report, conf_place_of(l, CONF_KIND_ROUTE, n, "domains"),
				"route \"%.60s\" has no domains: domains = { example.com } or { \"*\" }",
				r->name);
		conf_check_patterns(l, conf_place_of(l, CONF_KIND_ROUTE, n, "domains"), &r->domains, true);
		check_route_hosts(l, n, r);
		check_route_login(l, n, r);
	}
}
