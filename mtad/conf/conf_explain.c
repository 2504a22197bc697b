/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which value is in force, and which line of which file says so. The places of settings are known only while
 * a file is being loaded, so it is loaded for the question; the daemon keeps none of this.
 *
 * Invariant: what is told here is laid over each other as conf_delivery_merge does it and mx.c chooses it: a
 * route's TLS, the domain, the provider unless there is a route, domain "*", the default.
 */
#include "conf/conf_check.h"

#include "base/domain.h"

#include <assert.h>
#include <string.h>

struct explain {
	struct conf_loader l;
	conf_on_explained *each;
	void *arg;
};

/* Blocks that may say how mail for one domain is sent, the most specific first; -1: there is none. */
struct layer {
	int kind;
	int64_t block;
};
enum { LAYERS = 3 };

/* `kind` without a block (-1) is a default. */
static void
tell(struct explain *e, const struct conf_row *row, const void *value, struct layer from,
	struct conf_place at)
{
	struct conf_arena *a = &e->l.scratch;
	char name[CONF_ROW_NAME_MAX];
	struct conf_explained told = {.name = conf_row_name(row, name),
		.value = conf_value_print(a, row, value),
		.block = "default",
		.at = ""};

	if (from.block >= 0) {
		told.at = conf_arena_printf(a, "%s:%d", at.file, at.line);
		told.block = from.kind == CONF_KIND_TOP
				     ? ""
				     : conf_arena_printf(a, "%s %s", conf_kinds[from.kind].word,
					       e->l.blocks[from.kind][from.block]->title);
	}
	e->each(e->arg, &told);
}

static const struct conf_delivery *
delivery_of(const struct explain *e, struct layer y)
{
	return (const struct conf_delivery *)((char *)conf_block_at(e->l.conf, y.kind, (size_t)y.block) +
					      conf_kinds[y.kind].delivery_offset);
}

static void
tell_delivery(struct explain *e, const struct layer layers[LAYERS], size_t n)
{
	const struct conf_row *row = &conf_delivery_rows[n];
	struct layer from = {CONF_KIND_DOMAIN, -1};
	const struct conf_delivery *d = &e->l.conf->delivery;
	struct conf_place at = {0};
	char name[CONF_ROW_NAME_MAX];

	for (int i = 0; i < LAYERS && from.block < 0; i++)
		if (layers[i].block >= 0 && (delivery_of(e, layers[i])->is_set >> n & 1) != 0)
			from = layers[i];
	if (from.block >= 0) {
		d = delivery_of(e, from);
		at = conf_place_of(&e->l, from.kind, (size_t)from.block, conf_row_name(row, name));
	}
	tell(e, row, (const char *)d + row->offset, from, at);
}

/* A route's own settings; whether it decides about TLS. */
static bool
tell_route(struct explain *e, const struct conf_route *r)
{
	const struct conf_block_kind *k = &conf_kinds[CONF_KIND_ROUTE];
	const size_t block = (size_t)(r - e->l.conf->routes);
	const struct conf_raw_block *raw = e->l.blocks[CONF_KIND_ROUTE][block];
	char name[CONF_ROW_NAME_MAX];

	for (size_t n = 0; n < k->row_count; n++) {
		const struct conf_raw_setting *s = conf_raw_find(raw, k, conf_row_name(&k->rows[n], name));

		/* Who logs in has verify unless the route says otherwise. */
		if (s == NULL && strncmp(name, "tls", sizeof(name)) == 0)
			s = conf_raw_find(raw, k, "user");
		if (s != NULL)
			tell(e, &k->rows[n], (const char *)r + k->rows[n].offset,
				(struct layer){CONF_KIND_ROUTE, (int64_t)block}, s->at);
	}
	return r->tls != CONF_TLS_UNSET;
}

static void
tell_domain(struct explain *e, const char *domain, const char *mx)
{
	const struct conf *c = e->l.conf;
	size_t len = strnlen(domain, DOMAIN_MAX);
	const struct conf_domain *d = conf_domain_find(c, domain, len);
	const struct conf_route *r = conf_route_find(c, domain, len);
	const struct conf_provider *p = r == NULL ? conf_provider_of_domain(c, domain, len) : NULL;
	bool has_tls = false;

	if (p == NULL && r == NULL && mx != NULL)
		p = conf_provider_of_mx(c, mx, strnlen(mx, DOMAIN_MAX));
	else if (p == NULL && r == NULL && c->provider_count > 0)
		fprintf(e->l.report.out,
			"providers are known by their MX hosts: name that of %s behind it, or its provider's "
			"settings are not shown\n",
			domain);

	int64_t star = conf_index_find(&e->l.owner->domains, "", 0);
	const struct layer layers[LAYERS] = {
		{CONF_KIND_DOMAIN, d != NULL && d - c->domains != star ? d - c->domains : -1},
		{CONF_KIND_PROVIDER, p != NULL ? p - c->providers : -1}, {CONF_KIND_DOMAIN, star}};

	if (r != NULL)
		has_tls = tell_route(e, r);
	for (size_t n = 0; n < conf_delivery_row_count; n++)
		if (!has_tls || strncmp(conf_delivery_rows[n].field, "tls", 4) != 0)
			tell_delivery(e, layers, n);
}

static void
tell_top(struct explain *e)
{
	const struct conf_block_kind *k = &conf_kinds[CONF_KIND_TOP];
	char name[CONF_ROW_NAME_MAX];

	for (size_t n = 0; n < k->row_count; n++) {
		struct conf_place at =
			conf_place_of(&e->l, CONF_KIND_TOP, 0, conf_row_name(&k->rows[n], name));

		tell(e, &k->rows[n], conf_kind_field(k, n, e->l.conf),
			(struct layer){CONF_KIND_TOP, at.line > 0 ? 0 : -1}, at);
	}
}

/* A block's own settings. */
static void
tell_block(struct explain *e, int kind, size_t n)
{
	const struct conf_block_kind *k = &conf_kinds[kind];
	char name[CONF_ROW_NAME_MAX];

	for (size_t i = 0; i < k->row_count; i++) {
		const struct conf_raw_setting *s =
			conf_raw_find(e->l.blocks[kind][n], k, conf_row_name(&k->rows[i], name));

		tell(e, &k->rows[i], conf_kind_field(k, i, conf_block_at(e->l.conf, kind, n)),
			(struct layer){kind, s != NULL ? (int64_t)n : -1},
			s != NULL ? s->at : (struct conf_place){0});
	}
}

/* All blocks of that name: a domain may have several keys. */
static bool
tell_blocks(struct explain *e, int kind, const char *name)
{
	const int64_t star = conf_index_find(&e->l.owner->domains, "", 0);
	bool is_there = false;

	for (size_t n = 0; n < e->l.raw.counts[kind]; n++) {
		const struct layer layers[LAYERS] = {
			{CONF_KIND_DOMAIN, -1}, {kind, (int64_t)n}, {CONF_KIND_DOMAIN, star}};

		if (strcmp(e->l.blocks[kind][n]->title, name) != 0)
			continue;
		is_there = true;
		tell_block(e, kind, n);
		for (size_t i = 0; conf_kinds[kind].has_delivery && i < conf_delivery_row_count; i++)
			tell_delivery(e, layers, i);
	}
	if (!is_there)
		conf_check_missing(&e->l, (struct conf_place){0}, kind, name);
	return is_there;
}

/* A name in its normal spelling; "" and said when it is none. */
static const char *
normal_name(struct explain *e, const char *text, char out[DOMAIN_MAX])
{
	if (text[0] == '[' || domain_normalise(text, strnlen(text, 65536), out, DOMAIN_MAX) < 0) {
		fprintf(e->l.report.out, "\"%.60s\" is no domain\n", text);
		return "";
	}
	return out;
}

/* The kind of block that is asked for by name; CONF_KIND_TOP: none, it is a domain. */
static int
kind_of(const char *what, const char *of)
{
	for (int kind = CONF_KIND_TOP + 1; of != NULL && kind < CONF_KIND_COUNT; kind++)
		if (kind != CONF_KIND_DOMAIN && strcmp(conf_kinds[kind].word, what) == 0)
			return kind;
	return CONF_KIND_TOP;
}

bool
conf_explain(
	const char *file, const char *what, const char *of, FILE *out, conf_on_explained *each, void *arg)
{
	struct explain e = {.each = each, .arg = arg};
	int kind = what != NULL ? kind_of(what, of) : CONF_KIND_TOP;
	char domain[DOMAIN_MAX], mx[DOMAIN_MAX];
	bool ok = true;

	conf_loader_init(&e.l, file, out);
	conf_parse_file(&e.l.raw, &e.l.scratch, file, &e.l.report);
	if (kind == CONF_KIND_TOP && what != NULL)
		ok = (what = normal_name(&e, what, domain))[0] != '\0';
	if (kind == CONF_KIND_TOP && of != NULL)
		ok &= (of = normal_name(&e, of, mx))[0] != '\0';
	ok &= conf_loader_build(&e.l);
	if (ok && kind != CONF_KIND_TOP)
		ok = tell_blocks(&e, kind, of);
	else if (ok && what != NULL)
		tell_domain(&e, what, of);
	else if (ok)
		tell_top(&e);
	conf_loader_fini(&e.l);
	return ok;
}
