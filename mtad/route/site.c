/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits are kept for each site across restarts, so the name must come out the same whatever the order of the
 * records, and must say to an operator who is meant: hence the best host's name, and a hash of the sorted set
 * behind it.
 */
#include "route/site.h"

#include "route/dns_packet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int
site_provider(const struct conf *conf, const char *domain, const char *best_mx)
{
	const struct conf_provider *p = conf_provider_of_domain(conf, domain, strnlen(domain, DOMAIN_MAX));

	if (p == NULL && best_mx != NULL)
		p = conf_provider_of_mx(conf, best_mx, strnlen(best_mx, DOMAIN_MAX));
	return p != NULL ? (int)(p - conf->providers) : -1;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void
site_name_of_set(const char *const *names, size_t count, char out[SITE_NAME_MAX])
{
	const char *sorted[DNS_RECORDS_MAX];
	uint32_t h = 2166136261u; /* FNV-1a: fixed, since the name outlives the process */

	assert(count > 0 && count <= DNS_RECORDS_MAX);
	if (count == 1) {
		snprintf(out, SITE_NAME_MAX, "%s", names[0]);
		return;
	}
	memcpy(sorted, names, count * sizeof(names[0]));
	qsort(sorted, count, sizeof(sorted[0]), by_name);
	for (size_t i = 0; i < count; i++) {
		const char *c = sorted[i];

		do
			h = (h ^ (uint8_t)*c) * 16777619u;
		while (*c++ != '\0');
	}
	snprintf(out, SITE_NAME_MAX, "%s+%08x", names[0], h);
}

void
site_set_apart(const struct conf *conf, const char *domain, int provider, char site[SITE_NAME_MAX])
{
	static const char *const tls_words[] = {"none", "may", "encrypt", "verify"}; /* of enum conf_tls */
	const struct conf_provider *p = provider >= 0 ? &conf->providers[provider] : NULL;
	const struct conf_domain *block = conf_domain_find(conf, domain, strnlen(domain, DOMAIN_MAX));
	size_t len = strnlen(site, SITE_NAME_MAX);
	struct conf_delivery own, common;

	/* Sessions and limits serve all domains of a site. So a domain block with limits of its own is a site
	 * of its own, and a domain with TLS or a port of its own as well: its mail must not go through a
	 * session that was opened without its certificate check. */
	conf_delivery_merge(conf, block, p, &own);
	conf_delivery_merge(conf, NULL, p, &common);
	if (block != NULL && strncmp(block->name, "*", 2) != 0 && conf_delivery_is_limited(&block->delivery))
		snprintf(site + len, SITE_NAME_MAX - len, "@%s", block->name);
	len = strnlen(site, SITE_NAME_MAX);
	if (own.tls != common.tls || own.port != common.port)
		snprintf(site + len, SITE_NAME_MAX - len, "/%s:%u", tls_words[own.tls], (unsigned)own.port);
}

static int
provider_called(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->provider_count; i++)
		if (strncmp(conf->providers[i].name, name, SITE_NAME_MAX) == 0)
			return (int)i;
	return -1;
}

void
site_rename(const struct conf *from, const struct conf *to, const char *domain, const char *site,
	char out[SITE_NAME_MAX])
{
	const struct conf_route *route = conf_route_find(to, domain, strnlen(domain, DOMAIN_MAX));
	char base[SITE_NAME_MAX], best[SITE_NAME_MAX];
	bool was_provider, was_route = strncmp(site, "route:", 6) == 0;
	int provider = -1;

	snprintf(base, sizeof(base), "%.*s", (int)strcspn(site, "@/"), site);
	snprintf(best, sizeof(best), "%.*s", (int)strcspn(base, "+"), base);
	was_provider = provider_called(from, base) >= 0;
	if (domain[0] == '[') {
		snprintf(out, SITE_NAME_MAX, "%s", site);
		return;
	}
	if (route != NULL) {
		snprintf(out, SITE_NAME_MAX, "route:%.280s", route->name);
	} else {
		provider = site_provider(to, domain, was_provider || was_route ? NULL : best);
		if (provider < 0 && was_provider)
			provider = provider_called(to, base);
		snprintf(out, SITE_NAME_MAX, "%s",
			provider >= 0 ? to->providers[provider].name
			: was_route   ? domain
				      : base);
	}
	site_set_apart(to, domain, provider, out);
}
