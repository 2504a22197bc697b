/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading is a line of steps over one loader: parse (conf_parse), fill (conf_fill), check (conf_check). Each
 * says all it can; the configuration exists only when none said "error". So a reload that fails has touched
 * nothing: the caller still holds the old configuration and simply keeps it.
 *
 * Invariant: struct conf is the first member of its owner, and nobody but conf_unref frees an owner that was
 * given out.
 */
#include "conf/conf_check.h"
#include "conf/conf_copy.h"
#include "conf/conf_load.h"

#include "base/domain.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* hostname -f: what the system calls itself. A name without a dot is asked for in /etc/hosts or DNS, once a
 * load. */
static const char *
system_hostname(struct conf_arena *a)
{
	char host[HOST_NAME_MAX + 1] = "", name[DOMAIN_MAX];
	struct addrinfo hints = {.ai_flags = AI_CANONNAME}, *info = NULL;
	const char *full = host;

	if (gethostname(host, sizeof(host) - 1) < 0)
		return "localhost";
	if (strchr(host, '.') == NULL && getaddrinfo(host, NULL, &hints, &info) == 0 &&
		info->ai_canonname != NULL)
		full = info->ai_canonname;
	if (domain_normalise(full, strnlen(full, DOMAIN_MAX), name, sizeof(name)) < 0)
		snprintf(name, sizeof(name), "localhost");
	if (info != NULL)
		freeaddrinfo(info);
	return conf_arena_text(a, name, strnlen(name, sizeof(name)));
}

/* Settings whose default is another setting. */
static void
fill_names(struct conf_loader *l)
{
	struct conf *c = l->conf;

	if (c->hostname[0] == '\0') {
		c->hostname = system_hostname(&l->owner->arena);
		if (strchr(c->hostname, '.') == NULL)
			conf_warn(&l->report, (struct conf_place){c->file, 0},
				"this system's name, \"%s\", is no full host name; set hostname",
				c->hostname);
	}
	if (c->bounce_from[0] == '\0')
		c->bounce_from = conf_arena_printf(&l->owner->arena, "MAILER-DAEMON@%s", c->hostname);
	if (c->unread_reports[0] == '\0')
		c->unread_reports = conf_arena_printf(&l->owner->arena, "%s/unread", c->spool_dir);
	for (size_t n = 0; n < c->source_count; n++)
		if (c->sources[n].ehlo[0] == '\0')
			c->sources[n].ehlo = c->hostname;
}

/* Delivery defaults come before domain "*", which conf_check lays over them. */
static void
fill_delivery(struct conf_loader *l)
{
	struct conf_value_env env = {&l->owner->arena, "/"};

	for (size_t n = 0; n < conf_delivery_row_count; n++)
		conf_value_store_default(&env, &conf_delivery_rows[n],
			(char *)&l->conf->delivery + conf_delivery_rows[n].offset);
}

void
conf_loader_init(struct conf_loader *l, const char *file, FILE *out)
{
	char folder[PATH_MAX];

	memset(l, 0, sizeof(*l));
	l->owner = calloc(1, sizeof(*l->owner));
	if (l->owner == NULL)
		abort(); /* as conf_arena */
	l->conf = &l->owner->conf;
	l->report.out = out;
	if (getcwd(folder, sizeof(folder)) == NULL)
		snprintf(folder, sizeof(folder), "/");
	l->folder = conf_arena_text(&l->scratch, folder, strnlen(folder, sizeof(folder)));
	l->conf->file = file[0] == '/' ? conf_arena_text(&l->owner->arena, file, strnlen(file, PATH_MAX))
				       : conf_arena_printf(&l->owner->arena, "%s/%s", folder, file);
}

bool
conf_loader_build(struct conf_loader *l)
{
	fill_delivery(l);
	conf_fill(l);
	if (l->report.error_count == 0)
		conf_check(l);
	if (l->report.error_count == 0)
		fill_names(l);
	else if (l->report.error_count > CONF_REPORT_MAX)
		fprintf(l->report.out, "%d errors in all\n", l->report.error_count);
	return l->report.error_count == 0;
}

void
conf_loader_fini(struct conf_loader *l)
{
	conf_arena_fini(&l->owner->arena);
	free(l->owner);
	conf_arena_fini(&l->scratch);
}

/* From raw blocks to the configuration, or to nothing. */
static const struct conf *
loader_finish(struct conf_loader *l)
{
	if (!conf_loader_build(l)) {
		conf_loader_fini(l);
		return NULL;
	}
	conf_arena_fini(&l->scratch);
	atomic_store(&l->owner->ref_count, 1);
	return l->conf;
}

const struct conf *
conf_load(const char *file, FILE *out)
{
	struct conf_loader l;

	conf_loader_init(&l, file, out);
	conf_parse_file(&l.raw, &l.scratch, file, &l.report);
	return loader_finish(&l);
}

const struct conf *
conf_load_alone(const char *file, FILE *out)
{
	struct conf_loader l;

	conf_loader_init(&l, file, out);
	l.is_copy = true;
	conf_parse_file(&l.raw, &l.scratch, file, &l.report);
	return loader_finish(&l);
}

const struct conf *
conf_load_bytes(const char *file, const char *bytes, size_t len, FILE *out)
{
	struct conf_loader l;

	conf_loader_init(&l, file, out);
	conf_parse_bytes(&l.raw, &l.scratch, file, bytes, len, &l.report);
	return loader_finish(&l);
}

const struct conf *
conf_load_copy(const char *file, const char *bytes, size_t len, FILE *out)
{
	struct conf_loader l;

	conf_loader_init(&l, file, out);
	l.is_copy = true;
	conf_parse_bytes(&l.raw, &l.scratch, file, bytes, len, &l.report);
	return loader_finish(&l);
}

char *
conf_path(const char *file, const char *setting, FILE *out)
{
	const struct conf_block_kind *top = &conf_kinds[CONF_KIND_TOP];
	int row = conf_kind_row_find(top, setting);
	FILE *nowhere = fopen("/dev/null", "we");
	struct conf_loader l;
	bool is_known;
	char *path;

	assert(row >= 0 && conf_kind_row(top, (size_t)row)->type == CONF_TYPE_PATH);
	if (nowhere == NULL || access(file, R_OK) != 0) {
		fprintf(out, "%s: cannot be opened: %s\n", file, strerror(errno));
		if (nowhere != NULL)
			fclose(nowhere);
		return NULL;
	}
	conf_loader_init(&l, file, nowhere);
	conf_parse_file(&l.raw, &l.scratch, file, &l.report);
	is_known = l.report.error_count == 0 || conf_place_of(&l, CONF_KIND_TOP, 0, setting).line > 0;
	conf_fill(&l);
	if (!is_known) /* the default might be another daemon's */
		fprintf(out, "%s: has errors, mtad -t says them, and no %s that can be read\n", file,
			setting);
	path = is_known ? strdup(*(const char **)conf_kind_field(top, (size_t)row, l.conf)) : NULL;
	conf_loader_fini(&l);
	fclose(nowhere);
	return path;
}

/* The count is the only part of a configuration that changes. */
static struct conf_owner *
owner_of(const struct conf *c)
{
	return (struct conf_owner *)(uintptr_t)c;
}

const struct conf *
conf_ref(const struct conf *c)
{
	int before = atomic_fetch_add_explicit(&owner_of(c)->ref_count, 1, memory_order_relaxed);

	assert(before > 0);
	return c;
}

void
conf_unref(const struct conf *c)
{
	struct conf_owner *o = owner_of(c);
	struct conf_arena arena;
	int before;

	if (c == NULL)
		return;
	before = atomic_fetch_sub_explicit(&o->ref_count, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before > 1)
		return;
	arena = o->arena;
	free(o);
	conf_arena_fini(&arena);
}
