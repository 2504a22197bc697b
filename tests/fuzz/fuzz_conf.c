/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a configuration: an answer, no crash, no leak. What loads is walked whole: every look-up, the
 * comparison with itself (must be empty), the printed values.
 */
#include "conf/conf_load.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(const struct conf *c, FILE *out)
{
	struct conf_delivery d;

	if (conf_diff(c, c, out) != 0)
		abort();
	for (size_t n = 0; n < c->domain_count; n++) {
		const char *name = c->domains[n].name;

		if (name[0] != '*' && conf_domain_find(c, name, strnlen(name, 256)) != &c->domains[n])
			abort();
		conf_delivery_merge(c, &c->domains[n], c->provider_count > 0 ? &c->providers[0] : NULL, &d);
		if (d.retry.count == 0)
			abort();
	}
	for (size_t n = 0; n < c->pool_count; n++) {
		const struct conf_pool *p = &c->pools[n];

		for (size_t i = 0; i < p->sources.count; i++)
			if (p->source_index[i] >= c->source_count || p->source_weight[i] < 1)
				abort();
		for (size_t i = 0; i < p->senders.count; i++)
			if (conf_pool_of_sender(c, p->senders.items[i], strnlen(p->senders.items[i], 400)) !=
				(int)n)
				abort();
	}
	for (int k = 0; k < CONF_CLASS_COUNT; k++)
		conf_stream_find(c, "shop", 4, "news-1", 6, (enum conf_class)k);
	for (size_t i = 1; i < c->rate_total.count; i++)
		if (c->rate_total.items[i - 1].per_us >= c->rate_total.items[i].per_us)
			abort();
	for (size_t n = 0; n < c->listen_count; n++)
		for (size_t i = 0; i < c->listens[n].endpoints.count; i++)
			conf_network_has(&c->listens[n].nets,
				(const struct sockaddr *)&c->listens[n].endpoints.items[i].address);
	if (c->source_count == 0 || c->listen_count == 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *out = fopen("/dev/null", "w");
	char *bytes = malloc(size + 1);
	const struct conf *c;

	if (out == NULL || bytes == NULL)
		abort();
	memcpy(bytes, data, size);
	c = conf_load_bytes("/nonexistent/fuzz.conf", bytes, size, out);
	if (c != NULL)
		walk(c, out);
	conf_unref(c);
	free(bytes);
	fclose(out);
	return 0;
}
