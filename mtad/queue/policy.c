/* SPDX-License-Identifier: Apache-2.0 */
/*
 * There are few domain and provider blocks and millions of domains, so what is merged is cached by the pair
 * of blocks and not by the domain. A row of the table belongs to a domain block (row 0: none), a column to a
 * provider (column 0: none). A site or lane for which an operator has overridden something has a copy of its
 * own.
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

/* What is overridden of one site, over one merging. */
struct site_own {
	struct site_own *next;
	const struct merged *of;
	struct merged merged;
	size_t site_len;
	char site[];
};
/* What is overridden of one lane. */
struct lane_own {
	struct lane_own *next;
	struct queue_lane_policy policy;
	struct queue_limits limits;
	size_t site_len;
	char source[QUEUE_NAME_MAX];
	char site[];
};

struct policy {
	const struct conf *conf;
	const struct pace *pace;
	struct merged **table;  /* (domain_count + 1) * (provider_count + 1), made when asked for */
	struct site_own *sites; /* few: only of what is overridden */
	struct lane_own *lanes;
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
	struct site_own *site;
	struct lane_own *lane;
	size_t i;

	*pp = NULL;
	if (p == NULL)
		return;
	while ((site = p->sites) != NULL) {
		p->sites = site->next;
		free(site);
	}
	while ((lane = p->lanes) != NULL) {
		p->lanes = lane->next;
		free(lane);
	}
	for (i = 0; i < (p->conf->domain_count + 1) * (p->conf->provider_count + 1); i++)
		free(p->table[i]);
	free(p->table);
	conf_unref(p->conf);
	free(p);
}

/* --- overrides --- */

static const struct queue_blob nothing = {"", 0};

static const struct override *
of_site(const struct policy *p, struct queue_blob site, enum override_setting s)
{
	return overrides_find(pace_overrides(p->pace), QUEUE_LEVEL_SITE, nothing, site, s);
}

/* Without memory it goes by the configuration until the next time that is asked for. */
static const struct merged *
with_overrides(struct policy *p, const struct merged *m, struct queue_blob site)
{
	const struct overrides *set = pace_overrides(p->pace);
	const struct override *messages, *rcpts;
	struct site_own *own;

	if (!overrides_touch(set, QUEUE_LEVEL_SITE, nothing, site))
		return m;
	for (own = p->sites; own != NULL; own = own->next)
		if (own->of == m && own->site_len == site.len && memcmp(own->site, site.ptr, site.len) == 0)
			return &own->merged;
	if ((own = calloc(1, sizeof(*own) + site.len)) == NULL)
		return m;
	own->of = m;
	own->site_len = site.len;
	memcpy(own->site, site.ptr, site.len);
	own->merged.delivery = m->delivery;
	fill(p->pace, &own->merged);
	overrides_lay(set, QUEUE_LEVEL_SITE, nothing, site, &own->merged.site);
	if ((messages = of_site(p, site, OVERRIDE_MESSAGES_PER_CONNECTION)) != NULL)
		own->merged.policy.messages_per_connection = messages->count;
	if ((rcpts = of_site(p, site, OVERRIDE_RECIPIENTS_PER_TRANSACTION)) != NULL)
		own->merged.policy.rcpts_per_transaction = rcpts->count;
	own->next = p->sites;
	p->sites = own;
	return &own->merged;
}

static void
fill_lane(struct policy *p, struct lane_own *own, struct queue_blob site, struct queue_blob source)
{
	const struct overrides *set = pace_overrides(p->pace);
	const struct override *messages =
		overrides_find(set, QUEUE_LEVEL_LANE, source, site, OVERRIDE_MESSAGES_PER_CONNECTION);

	own->limits = *policy_of(p, nothing, site)->lane;
	overrides_lay(set, QUEUE_LEVEL_LANE, source, site, &own->limits);
	own->policy = (struct queue_lane_policy){.limits = &own->limits,
		.connections = own->limits.connections,
		.has_messages_per_connection = messages != NULL,
		.messages_per_connection = messages != NULL ? messages->count : 0};
	own->limits.connections = 0; /* they are the policy's */
}

const struct queue_lane_policy *
policy_lane(struct policy *p, struct queue_blob site, const char *source)
{
	const struct queue_blob name = {source, strnlen(source, QUEUE_NAME_MAX - 1)};
	struct lane_own *own;

	if (!overrides_touch(pace_overrides(p->pace), QUEUE_LEVEL_LANE, name, site))
		return NULL;
	for (own = p->lanes; own != NULL; own = own->next)
		if (own->site_len == site.len && memcmp(own->site, site.ptr, site.len) == 0 &&
			strncmp(own->source, source, QUEUE_NAME_MAX) == 0)
			return &own->policy;
	if ((own = calloc(1, sizeof(*own) + site.len)) == NULL)
		return NULL;
	own->site_len = site.len;
	memcpy(own->site, site.ptr, site.len);
	memcpy(own->source, source, name.len);
	fill_lane(p, own, site, name);
	own->next = p->lanes;
	p->lanes = own;
	return &own->policy;
}

/* --- what holds --- */

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
	return &with_overrides(p, merged(p, domain, provider_of_site(p, site)), site)->policy;
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
