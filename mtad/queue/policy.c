/* SPDX-License-Identifier: Apache-2.0 */
/*
 * There are few domain and provider blocks and millions of domains, so what is merged is cached by the pair
 * of blocks and not by the domain. A row of the table belongs to a domain block (row 0: none), a column to a
 * provider (column 0: none).
 */
#include "queue/policy.h"

#include <stdlib.h>
#include <string.h>

/* Then one more with each message the site takes. */
enum { CONNECTIONS_START = 4 };

struct merged {
	struct conf_delivery delivery;
	struct queue_policy policy;
	struct queue_limits lane, site;
};

struct policy {
	const struct conf *conf;
	const struct pace *pace;
	struct merged **table;  /* (domain_count + 1) * (provider_count + 1), made when asked for */
	struct merged fallback; /* when there is no memory for more: domain "*" */
};

static void
fill(const struct pace *pace, struct merged *m)
{
	const struct conf_delivery *d = &m->delivery;
	uint32_t pool = 0;

	pace_lane_limits(d, &m->lane);
	pace_site_limits(d, &m->site);
	(void)pace_pool_number(pace, d->pool, strnlen(d->pool, QUEUE_NAME_MAX), &pool);
	m->policy = (struct queue_policy){
		.retry_us = d->retry.us,
		.retry_count = (uint32_t)d->retry.count,
		.expire_us = d->expire,
		.uncertain_retry_us = d->uncertain_retry,
		.connections = (uint32_t)d->connections,
		.messages_per_connection = (uint32_t)d->messages_per_connection,
		.rcpts_per_transaction = (uint32_t)d->recipients_per_transaction,
		.idle_us = d->idle,
		.connections_start = CONNECTIONS_START,
		.pool = pool,
		.urgent_percent = (uint32_t)d->urgent_share,
		.lane = &m->lane,
		.site = &m->site,
		.hours = d->hours,
	};
}

struct policy *
policy_create(const struct conf *conf, const struct pace *pace)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->table = calloc((conf->domain_count + 1) * (conf->provider_count + 1), sizeof(p->table[0]));
	if (p->table == NULL) {
		free(p);
		return NULL;
	}
	p->conf = conf_ref(conf);
	p->pace = pace;
	p->fallback.delivery = conf->delivery;
	fill(pace, &p->fallback);
	return p;
}

void
policy_destroy(struct policy **pp)
{
	struct policy *p = *pp;
	size_t i;

	*pp = NULL;
	if (p == NULL)
		return;
	for (i = 0; i < (p->conf->domain_count + 1) * (p->conf->provider_count + 1); i++)
		free(p->table[i]);
	free(p->table);
	conf_unref(p->conf);
	free(p);
}

static struct merged *
merged(struct policy *p, struct queue_blob domain, int provider)
{
	const struct conf *c = p->conf;
	const struct conf_domain *d = conf_domain_find(c, domain.ptr, domain.len);
	const struct conf_provider *v =
		provider >= 0 && (size_t)provider < c->provider_count ? &c->providers[provider] : NULL;
	size_t row = d != NULL ? (size_t)(d - c->domains) + 1 : 0;
	struct merged **at =
		&p->table[row * (c->provider_count + 1) + (v != NULL ? (size_t)provider + 1 : 0)];

	if (*at != NULL)
		return *at;
	if ((*at = calloc(1, sizeof(**at))) == NULL)
		return &p->fallback;
	conf_delivery_merge(c, d, v, &(*at)->delivery);
	fill(p->pace, *at);
	return *at;
}

/* Providers are few; their names are the names of their sites, or stand in front in the name of one set apart
 * (route/site.h). */
static int
provider_named(const struct conf *c, struct queue_blob site)
{
	const char *name = site.ptr;
	size_t i, len;

	for (i = 0; i < c->provider_count; i++) {
		len = strnlen(c->providers[i].name, site.len + 1);
		if (len <= site.len && memcmp(c->providers[i].name, name, len) == 0 &&
			(len == site.len || name[len] == '/' || name[len] == '@'))
			return (int)i;
	}
	return -1;
}

static int
provider_of_site(const struct policy *p, struct queue_blob site)
{
	return site.len > 0 ? provider_named(p->conf, site) : -1;
}

/* The domain block a site is set apart for, by name; empty: it is not. */
static struct queue_blob
block_of_site(struct queue_blob site)
{
	const char *at = site.len > 0 ? memchr(site.ptr, '@', site.len) : NULL, *end;

	if (at == NULL)
		return (struct queue_blob){"", 0};
	at++;
	site.len -= (size_t)(at - (const char *)site.ptr);
	end = memchr(at, '/', site.len);
	return (struct queue_blob){at, end != NULL ? (size_t)(end - at) : site.len};
}

const struct queue_policy *
policy_of(struct policy *p, struct queue_blob domain, struct queue_blob site)
{
	if (domain.len == 0)
		domain = block_of_site(site);
	return &merged(p, domain, provider_of_site(p, site))->policy;
}

const struct conf_delivery *
policy_delivery_of(struct policy *p, struct queue_blob domain, struct queue_blob site)
{
	return &merged(p, domain, provider_of_site(p, site))->delivery;
}

const struct conf_delivery *
policy_delivery(struct policy *p, struct queue_blob domain, int provider)
{
	return &merged(p, domain, provider)->delivery;
}

const struct conf *
policy_conf(const struct policy *p)
{
	return p->conf;
}

const char *
policy_provider(const struct policy *p, struct queue_blob site)
{
	int n = provider_of_site(p, site);

	return n >= 0 ? p->conf->providers[n].name : NULL;
}
