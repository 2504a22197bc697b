/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners, and the one rule that has no override: mail of strangers is not relayed. Who may submit without
 * a password is said by `networks`; a public range in it may be one's own servers, but not a provider's or
 * the world's.
 */
#include "conf/conf_check.h"

#include <arpa/inet.h>
#include <string.h>

#define WIDEST_V4 24 /* of a public range */
#define WIDEST_V6 48

/* Ranges that strangers cannot come from. */
static const struct {
	const char *network;
} closed[] = {
	{"127.0.0.0/8"},
	{"10.0.0.0/8"},
	{"172.16.0.0/12"},
	{"192.168.0.0/16"},
	{"169.254.0.0/16"},
	{"::1/128"},
	{"fc00::/7"},
	{"fe80::/10"},
};

static bool
is_inside(const struct conf_network *n, const char *text)
{
	struct conf_network outer;
	struct conf_networks list = {&outer, 1};
	struct sockaddr_in6 first = {.sin6_family = AF_INET6, .sin6_addr = n->address};
	struct conf_why why;

	return conf_value_network(text, &outer, &why) && n->prefix >= outer.prefix &&
	       conf_network_has(&list, (const struct sockaddr *)&first);
}

static void
check_open_relay(struct conf_loader *l, size_t block, const char *text, const struct conf_network *n)
{
	bool is_v4 = n->prefix >= 96 && IN6_IS_ADDR_V4MAPPED(&n->address);
	int widest = is_v4 ? 96 + WIDEST_V4 : WIDEST_V6;

	for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
		if (is_inside(n, closed[i].network))
			return;
	if (n->prefix >= widest)
		return;
	conf_error(&l->report, conf_place_of(l, CONF_KIND_LISTEN, block, "networks"),
		"%s would let strangers send mail without a password (an open relay): name networks of your "
		"own, at most "
		"/%d, or set auth = required",
		text, is_v4 ? WIDEST_V4 : WIDEST_V6);
}

static void
check_networks(struct conf_loader *l, size_t block, struct conf_listen *listen)
{
	struct conf_network *nets =
		conf_arena_alloc(&l->owner->arena, listen->networks.count * sizeof(*nets));
	size_t count = 0;
	struct conf_why why;

	for (size_t i = 0; i < listen->networks.count; i++) {
		if (!conf_value_network(listen->networks.items[i], &nets[count], &why)) {
			conf_error(&l->report, conf_place_of(l, CONF_KIND_LISTEN, block, "networks"), "%s",
				why.text);
			continue;
		}
		/* With auth = required the networks give nobody the right to send. */
		if (listen->auth != CONF_AUTH_REQUIRED && listen->kind == CONF_LISTEN_SUBMISSION)
			check_open_relay(l, block, listen->networks.items[i], &nets[count]);
		count++;
	}
	listen->nets = (struct conf_networks){nets, count};
}

static void
check_proxies(struct conf_loader *l, size_t block, struct conf_listen *listen)
{
	struct conf_network *nets = conf_arena_alloc(&l->owner->arena, listen->proxies.count * sizeof(*nets));
	size_t count = 0;
	struct conf_why why;

	for (size_t i = 0; i < listen->proxies.count; i++)
		if (conf_value_network(listen->proxies.items[i], &nets[count], &why))
			count++;
		else
			conf_error(&l->report, conf_place_of(l, CONF_KIND_LISTEN, block, "proxies"), "%s",
				why.text);
	listen->proxy_nets = (struct conf_networks){nets, count};
}

static void
check_endpoints(struct conf_loader *l, size_t block, struct conf_listen *listen)
{
	struct conf_endpoint *list =
		conf_arena_alloc(&l->owner->arena, listen->address.count * 2 * sizeof(*list));
	size_t count = 0;
	struct conf_place at = conf_place_of(l, CONF_KIND_LISTEN, block, "address");
	struct conf_why why;

	for (size_t i = 0; i < listen->address.count; i++) {
		struct conf_endpoint two[2];
		const char *text = listen->address.items[i];
		int found;

		/* A socket's path is relative to the file like any other. */
		if (text[0] != '/' && strchr(text, '/') != NULL)
			text = conf_arena_printf(&l->owner->arena, "%s/%s", conf_folder_of(l, at.file), text);
		found = conf_value_endpoint(text, two, &why);

		if (found == 0)
			conf_error(&l->report, at, "address: %s", why.text);
		for (int n = 0; n < found; n++)
			list[count++] = two[n];
	}
	listen->endpoints = (struct conf_endpoints){list, count};
	if (listen->address.count == 0)
		conf_error(&l->report, at, "listen \"%.60s\" has no address: address = 127.0.0.1:587",
			listen->name);
}

static bool
is_closed_endpoint(const struct conf_endpoint *e)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&e->address;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&e->address;

	if (e->family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return e->family == AF_UNIX || IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static void
check_tls(struct conf_loader *l, size_t block, struct conf_listen *listen)
{
	struct conf_place certificate = conf_place_of(l, CONF_KIND_LISTEN, block, "certificate");
	struct conf_place key = conf_place_of(l, CONF_KIND_LISTEN, block, "key");
	struct conf_place tls = conf_place_of(l, CONF_KIND_LISTEN, block, "tls");
	bool has_certificate = listen->certificate[0] != '\0', has_key = listen->key[0] != '\0';

	if (has_certificate && !has_key)
		conf_error(&l->report, certificate, "certificate without key: key = FILE");
	if (has_key && !has_certificate)
		conf_error(&l->report, key, "key without certificate: certificate = FILE");
	if (has_certificate)
		conf_check_readable(l, certificate, listen->certificate);
	if (has_key)
		conf_check_secret_file(l, key, listen->key);
	if (!has_certificate &&
		(listen->tls == CONF_LISTEN_TLS_REQUIRED || listen->tls == CONF_LISTEN_TLS_IMPLICIT))
		conf_error(&l->report, tls, "tls = %s needs certificate and key",
			listen->tls == CONF_LISTEN_TLS_REQUIRED ? "required" : "implicit");
	if (has_certificate && listen->tls == CONF_LISTEN_TLS_NONE)
		conf_warn(&l->report, tls, "tls = none: the certificate is not used");
}

static void
check_auth(struct conf_loader *l, size_t block, struct conf_listen *listen)
{
	struct conf_place at = conf_place_of(l, CONF_KIND_LISTEN, block, "auth");
	bool has_tls = listen->certificate[0] != '\0' && listen->tls != CONF_LISTEN_TLS_NONE;

	if (listen->auth == CONF_AUTH_REQUIRED && l->conf->user_count == 0)
		conf_error(&l->report, at, "auth = required, but there is no user block: nobody could send");
	if (listen->auth == CONF_AUTH_REQUIRED && !has_tls && !listen->auth_in_clear)
		conf_error(&l->report, at,
			"auth = required, but log-in is only offered under TLS: set certificate and key (or, "
			"on loopback, "
			"auth-in-clear = yes)");
	if (listen->auth == CONF_AUTH_NONE && listen->nets.count == 0)
		conf_error(&l->report, at, "auth = none and no networks: nobody could send");
	if (listen->auth == CONF_AUTH_OPTIONAL && listen->nets.count == 0 && l->conf->user_count == 0)
		conf_error(&l->report, at, "no networks and no user block: nobody could send");
	for (size_t i = 0; listen->auth_in_clear && i < listen->endpoints.count; i++) {
		if (is_closed_endpoint(&listen->endpoints.items[i]))
			continue;
		conf_error(&l->report, conf_place_of(l, CONF_KIND_LISTEN, block, "auth-in-clear"),
			"auth-in-clear would show passwords to the network at %.60s; it is for loopback",
			listen->endpoints.items[i].text);
		break;
	}
}

/* HTTP knows no STARTTLS, and a link that nobody can check is of no use. */
static void
check_unsubscribe(struct conf_loader *l, size_t block, const struct conf_listen *listen)
{
	struct conf_place tls = conf_place_of(l, CONF_KIND_LISTEN, block, "tls");

	if (listen->tls == CONF_LISTEN_TLS_REQUIRED ||
		(listen->tls == CONF_LISTEN_TLS_MAY && listen->certificate[0] != '\0'))
		conf_error(&l->report, tls,
			"of an unsubscribe listener tls is none (behind a web server) or implicit");
	if (l->conf->token_secret_file[0] == '\0')
		conf_error(&l->report, l->blocks[CONF_KIND_LISTEN][block]->at,
			"listen \"%.60s\" takes unsubscriptions, but there is no token-secret-file to check "
			"them with",
			listen->name);
}

/* Somebody must be able to write to it. */
static void
check_reports(struct conf_loader *l, size_t block, const struct conf_listen *listen)
{
	const struct conf *c = l->conf;
	bool has_tokens = c->token_secret_file[0] != '\0' &&
			  (c->return_path_domain[0] != '\0' || c->unsubscribe_mailto[0] != '\0' ||
				  c->cfbl_address[0] != '\0');

	if (!has_tokens && c->report_addresses.count == 0)
		conf_error(&l->report, l->blocks[CONF_KIND_LISTEN][block]->at,
			"listen \"%.60s\" takes reports, but there is no address they could come to: set "
			"token-secret-file and return-path-domain, or report-addresses",
			listen->name);
}

/* Two sockets of one address can share it (SO_REUSEPORT), and then chance would choose the listener. */
static void
check_unique_endpoints(struct conf_loader *l)
{
	struct conf *c = l->conf;
	struct conf_index seen;
	size_t count = 1;

	for (size_t n = 0; n < c->listen_count; n++)
		count += c->listens[n].endpoints.count;
	conf_index_init(&seen, &l->scratch, count);
	for (size_t n = 0; n < c->listen_count; n++) {
		for (size_t i = 0; i < c->listens[n].endpoints.count; i++) {
			const struct conf_endpoint *e = &c->listens[n].endpoints.items[i];

			if (conf_index_add(
				    &seen, (const char *)&e->address, sizeof(e->address), (uint32_t)n) >= 0)
				conf_error(&l->report, conf_place_of(l, CONF_KIND_LISTEN, n, "address"),
					"%.60s is listened on already", e->text);
		}
	}
}

/* RFC 6409 3.1's port, reachable from this machine alone: what an empty file means. */
static void
add_default_listen(struct conf_loader *l)
{
	static const char *const addresses[] = {"127.0.0.1:587", "[::1]:587"};
	struct conf *c = l->conf;
	struct conf_raw_block *raw = conf_arena_alloc(&l->scratch, sizeof(*raw));
	size_t n = c->listen_count;

	/* conf_fill has put the defaults behind the last block of each kind. */
	raw->at = (struct conf_place){c->file, 0};
	raw->title = "submission";
	l->blocks[CONF_KIND_LISTEN][n] = raw;
	l->raw.counts[CONF_KIND_LISTEN] = c->listen_count = n + 1;
	c->listens[n].name = raw->title;
	c->listens[n].at = c->file;
	c->listens[n].address = (struct conf_list){addresses, 2};
}

static bool
has_submission(const struct conf *c)
{
	for (size_t n = 0; n < c->listen_count; n++)
		if (c->listens[n].kind == CONF_LISTEN_SUBMISSION)
			return true;
	return false;
}

void
conf_check_listens(struct conf_loader *l)
{
	struct conf *c = l->conf;
	struct conf_index names;

	if (!has_submission(c))
		add_default_listen(l);
	conf_check_names(l, CONF_KIND_LISTEN, &names);
	for (size_t n = 0; n < c->listen_count; n++) {
		struct conf_listen *listen = &c->listens[n];

		check_endpoints(l, n, listen);
		check_networks(l, n, listen);
		check_proxies(l, n, listen);
		check_tls(l, n, listen);
		if (listen->kind == CONF_LISTEN_UNSUBSCRIBE)
			check_unsubscribe(l, n, listen);
		else if (listen->kind == CONF_LISTEN_REPORTS)
			check_reports(l, n, listen);
		else
			check_auth(l, n, listen);
		conf_check_pool_name(l, conf_place_of(l, CONF_KIND_LISTEN, n, "pool"), listen->pool);
	}
	check_unique_endpoints(l);
}
