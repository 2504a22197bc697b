/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How recipients answer: return paths, unsubscribe links, and the secret that makes them ours. What a block
 * asks for is only there when all of it is set, so that no mail goes out with a way back that leads nowhere.
 */
#include "conf/conf_check.h"

#include "base/domain.h"

#include <string.h>

enum {
	SECRET_LEN_MIN = 32,
	URL_LEN_MAX = 400,
	MAILTO_LOCAL_MAX = 64 - 41, /* RFC 5321 4.5.3.1.1, less +TOKEN (feedback/token.h) */
};

static struct conf_place
at_top(struct conf_loader *l, const char *setting)
{
	return conf_place_of(l, CONF_KIND_TOP, 0, setting);
}

static void
read_secret(struct conf_loader *l, size_t n, const char *setting, const char *path)
{
	struct conf_place at = at_top(l, setting);

	l->conf->token_secrets[n] = "";
	if (path[0] == '\0' || l->is_copy)
		return;
	l->conf->token_secrets[n] = conf_read_secret(l, at, path);
	if (l->conf->token_secrets[n][0] != '\0' &&
		strnlen(l->conf->token_secrets[n], SECRET_LEN_MIN) < SECRET_LEN_MIN)
		conf_error(&l->report, at,
			"%s: a secret has at least %d characters; run: head -c 32 /dev/urandom | base64 > %s",
			path, SECRET_LEN_MIN, path);
}

static void
check_secrets(struct conf_loader *l)
{
	struct conf *c = l->conf;

	read_secret(l, 0, "token-secret-file", c->token_secret_file);
	read_secret(l, 1, "token-secret-previous", c->token_secret_previous);
	if (c->token_secret_previous[0] != '\0' && c->token_secret_file[0] == '\0')
		conf_error(&l->report, at_top(l, "token-secret-previous"),
			"token-secret-previous without token-secret-file: there is nothing to sign with");
}

static void
check_return_path_domain(struct conf_loader *l)
{
	struct conf *c = l->conf;
	char name[DOMAIN_MAX];

	if (c->return_path_domain[0] == '\0')
		return;
	if (c->return_path_domain[0] == '[' ||
		domain_normalise(
			c->return_path_domain, strnlen(c->return_path_domain, 65536), name, sizeof(name)) < 0)
		conf_error(&l->report, at_top(l, "return-path-domain"), "\"%.60s\" is no domain",
			c->return_path_domain);
	else
		c->return_path_domain = conf_arena_text(&l->owner->arena, name, strnlen(name, sizeof(name)));
}

/* It stands between <>, and a comma would end it (RFC 2369 2). */
static bool
is_url(const char *url)
{
	size_t len = strnlen(url, 65536);

	if (strncmp(url, "https://", 8) != 0 || len <= 8 || len > URL_LEN_MAX || url[8] == '/')
		return false;
	for (size_t i = 0; i < len; i++)
		if (url[i] <= ' ' || url[i] > '~' || strchr("<>\"\\,", url[i]) != NULL)
			return false;
	return url[len - 1] == '/' || url[len - 1] == '=';
}

static bool
is_local(const char *local, size_t len)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

	return strspn(local, good) >= len && len <= MAILTO_LOCAL_MAX;
}

/* An address that tokens are put into. */
static const char *
check_token_address(struct conf_loader *l, const char *setting, const char *address)
{
	struct conf_place at = at_top(l, setting);
	const char *sign;

	if (address[0] == '\0')
		return address;
	address = conf_check_address(l, at, address, false);
	sign = strrchr(address, '@');
	if (sign != NULL && !is_local(address, (size_t)(sign - address)))
		conf_error(&l->report, at,
			"\"%.60s\": before the @ stand at most %d letters, digits, hyphens and dots", address,
			MAILTO_LOCAL_MAX);
	return address;
}

static void
check_unsubscribe(struct conf_loader *l)
{
	struct conf *c = l->conf;

	/* RFC 8058 3.1 */
	if (c->unsubscribe_url[0] != '\0' && !is_url(c->unsubscribe_url))
		conf_error(&l->report, at_top(l, "unsubscribe-url"),
			"\"%.60s\": write https://, your host and a path that ends in / or =, at most %d "
			"characters",
			c->unsubscribe_url, URL_LEN_MAX);
	c->unsubscribe_mailto = check_token_address(l, "unsubscribe-mailto", c->unsubscribe_mailto);
	c->cfbl_address = check_token_address(l, "cfbl-address", c->cfbl_address);
}

/* Whole addresses, in normal form from then on. */
static void
check_addresses(struct conf_loader *l, const char *setting, struct conf_list *addresses)
{
	const char **list = conf_arena_alloc(&l->owner->arena, addresses->count * sizeof(*list));

	for (size_t i = 0; i < addresses->count; i++)
		list[i] = conf_check_address(l, at_top(l, setting), addresses->items[i], false);
	addresses->items = list;
}

/* What one block asks for. */
static void
check_block(struct conf_loader *l, int kind, size_t n, const struct conf_feedback *f)
{
	const struct conf *c = l->conf;
	bool has_secret = c->token_secret_file[0] != '\0';

	if (f->return_path == CONF_RETURN_PATH_VERP && (c->return_path_domain[0] == '\0' || !has_secret))
		conf_error(&l->report, conf_place_of(l, kind, n, "return-path"),
			"return-path = verp needs %s outside of blocks",
			has_secret ? "return-path-domain" : "token-secret-file");
	if (f->list_unsubscribe == CONF_LIST_UNSUBSCRIBE_YES &&
		((c->unsubscribe_url[0] == '\0' && c->unsubscribe_mailto[0] == '\0') || !has_secret))
		conf_error(&l->report, conf_place_of(l, kind, n, "list-unsubscribe"),
			"list-unsubscribe = yes needs %s outside of blocks",
			has_secret ? "unsubscribe-url" : "token-secret-file");
	if (f->cfbl == CONF_CFBL_YES && (c->cfbl_address[0] == '\0' || !has_secret))
		conf_error(&l->report, conf_place_of(l, kind, n, "cfbl"),
			"cfbl = yes needs %s outside of blocks",
			has_secret ? "cfbl-address" : "token-secret-file");
}

void
conf_check_feedback(struct conf_loader *l)
{
	struct conf *c = l->conf;

	check_secrets(l);
	check_return_path_domain(l);
	check_unsubscribe(l);
	check_addresses(l, "report-addresses", &c->report_addresses);
	check_addresses(l, "trusted-reporters", &c->trusted_reporters);
	for (size_t n = 0; n < c->user_count; n++)
		check_block(l, CONF_KIND_USER, n, &c->users[n].feedback);
	for (size_t n = 0; n < c->stream_count; n++)
		check_block(l, CONF_KIND_STREAM, n, &c->streams[n].feedback);
	for (size_t n = 0; n < c->pool_count; n++)
		check_block(l, CONF_KIND_POOL, n, &c->pools[n].feedback);
}
