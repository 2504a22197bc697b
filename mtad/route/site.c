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
