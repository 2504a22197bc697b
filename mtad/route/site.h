/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_SITE_H
#define MTAD_ROUTE_SITE_H
/*
 * site - one name for each receiving system, however many domains it serves
 *
 * A provider's name, "route:NAME", or the normalised MX set: its only name, or the best name and a hash of
 * all of them ("mx1.example.com+1a2b3c4d"). Domains of one site share connections and limits; those with
 * limits of their own stand apart by their block ("NAME@example.com"), and so do those with another tls or
 * port than the site's ("NAME/verify:25").
 *
 * Owner    nobody: pure functions. Memory: the caller's. Thread: any. Fails: never.
 */
#include "conf/conf.h"

#define SITE_NAME_MAX 576 /* two names of 255 bytes, a hash, TLS and port */

/* The provider a domain belongs to, by its own name or by its best MX (NULL: not known); index in
 * conf->providers, or -1. */
int site_provider(const struct conf *conf, const char *domain, const char *best_mx);

/* `names` lower case, best first, each once. Sorts a copy; count is 1 or more. */
void site_name_of_set(const char *const *names, size_t count, char out[SITE_NAME_MAX]);
/* Appends to the name what sets this domain apart from others of the site; provider: index, or -1. */
void site_set_apart(const struct conf *conf, const char *domain, int provider, char site[SITE_NAME_MAX]);
/* What the site of a domain, called `site` under `from`, would be called under `to`, as far as its name
 * tells: the MX hosts behind a provider's name are not known, so what is with a provider stays there while
 * there is one of that name, or stays together under it. */
void site_rename(const struct conf *from, const struct conf *to, const char *domain, const char *site,
	char out[SITE_NAME_MAX]);
#endif
