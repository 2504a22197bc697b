/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_RETURN_H
#define MTASIM_RETURN_H
/*
 * mtasim_return - what comes back later: bounces, complaints, unsubscriptions, replies, by the script's
 * `return` blocks
 *
 * Who sends something back is decided by his address and the seed alone, so that a run can be repeated. A
 * return that is put off (4xx; HTTP 429 and 5xx) or meets no server is tried again until the end.
 *
 * Owner    main.
 * Memory   each return is whole in memory until it is over: a few KB. RETURNS_OPEN_MAX connections at once.
 * Thread   the base's.
 * Fails    at create, NULL: no memory. A return there is no memory for ends the process: its ledger would
 * lie.
 */
#include "mtasim_site.h"

enum { RETURNS_OPEN_MAX = 20 };

struct returns;

struct returns_conf {
	struct sim *sim;
	struct sockaddr_in mail; /* port 0: none */
	struct sockaddr_in web;  /* one-click unsubscriptions; port 0: none */
};

/* Has each `return` of the script a server to go to? False: words are on stderr. */
bool returns_are_possible(const struct sim_script *script, const struct returns_conf *conf);
struct returns *returns_create(const struct returns_conf *conf);
/* What is still waiting gets its line in the ledger. */
void returns_destroy(struct returns **rp);
/* How many something may still come of. */
uint64_t returns_left(const struct returns *r);

/* A message was accepted (or not: then nothing comes back). Its copy has its header. */
void returns_plan(struct returns *r, const struct sim_site *site, const struct ledger_message *message,
	const struct ledger_entry *entry);
#endif
