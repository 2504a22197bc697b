/* SPDX-License-Identifier: Apache-2.0 */
/*
 * c-ares could read resolv.conf itself, but only once, with its search list, and without ports for
 * dns-servers. resolv.conf is read with ports too ("[127.0.0.1]:5353", as OpenBSD writes them): one reader
 * for both places.
 */
#include "route/resolver_servers.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define DNS_PORT        53
#define RESOLV_LINE_MAX 256

static bool
parse_port(const char *text, size_t len, uint16_t *out)
{
	uint32_t port = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		port = port * 10 + (uint32_t)(text[i] - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return false;
	*out = (uint16_t)port;
	return true;
}

/* Splits "host:port"; a bare IPv6 address has several colons and no port. False: nonsense. */
static bool
split(const char *text, size_t len, size_t *host_at, size_t *host_len, uint16_t *port)
{
	const char *colon, *bracket;
	size_t end;

	*port = DNS_PORT;
	*host_at = 0;
	*host_len = len;
	if (len > 0 && text[0] == '[') {
		if ((bracket = memchr(text, ']', len)) == NULL)
			return false;
		end = (size_t)(bracket - text);
		*host_at = 1;
		*host_len = end - 1;
		if (end + 1 == len)
			return true;
		return text[end + 1] == ':' && parse_port(text + end + 2, len - end - 2, port);
	}
	colon = memchr(text, ':', len);
	if (colon == NULL || memchr(colon + 1, ':', len - (size_t)(colon + 1 - text)) != NULL)
		return true;
	*host_len = (size_t)(colon - text);
	return parse_port(colon + 1, len - *host_len - 1, port);
}

bool
resolver_address_parse(const char *text, size_t len, struct resolver_address *out)
{
	struct resolver_address a = {0};
	char host[INET6_ADDRSTRLEN];
	size_t at, host_len;

	if (!split(text, len, &at, &host_len, &a.port) || host_len == 0 || host_len >= sizeof(host))
		return false;
	memcpy(host, text + at, host_len);
	host[host_len] = '\0';
	if (inet_pton(AF_INET, host, &a.v4) == 1)
		a.family = AF_INET;
	else if (inet_pton(AF_INET6, host, &a.v6) == 1)
		a.family = AF_INET6;
	else
		return false;
	if (inet_ntop(a.family, a.family == AF_INET ? (void *)&a.v4 : (void *)&a.v6, host, sizeof(host)) ==
		NULL)
		return false;
	snprintf(a.text, sizeof(a.text), a.family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, a.port);
	*out = a;
	return true;
}

/* The address of a "nameserver" line. */
static bool
parse_line(const char *line, struct resolver_address *out)
{
	static const char word[] = "nameserver";
	size_t at = sizeof(word) - 1, len;

	if (strncmp(line, word, at) != 0 || (line[at] != ' ' && line[at] != '\t'))
		return false;
	at += strspn(line + at, " \t");
	len = strcspn(line + at, " \t\r\n#;");
	return resolver_address_parse(line + at, len, out);
}

static uint32_t
read_file(const char *path, struct resolver_address *out, uint32_t max)
{
	char line[RESOLV_LINE_MAX];
	uint32_t count = 0;
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return 0;
	while (count < max && fgets(line, sizeof(line), f) != NULL)
		if (parse_line(line, &out[count]))
			count++;
	fclose(f);
	return count;
}

uint32_t
resolver_servers_read(
	const struct conf *conf, const char *resolv_path, struct resolver_address *out, uint32_t max)
{
	static const char loopback[] = "127.0.0.1";
	uint32_t count = 0;

	assert(max > 0);
	for (size_t i = 0; i < conf->dns_servers.count && count < max; i++) {
		const char *text = conf->dns_servers.items[i];

		if (resolver_address_parse(text, strnlen(text, RESOLV_LINE_MAX), &out[count]))
			count++;
	}
	if (count == 0)
		count = read_file(resolv_path, out, max);
	if (count == 0 && resolver_address_parse(loopback, sizeof(loopback) - 1, &out[0]))
		count = 1;
	return count;
}
