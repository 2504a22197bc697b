/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_REPLY_H
#define MTASIM_REPLY_H
/*
 * mtasim_reply - what a site says in place of the engine's words: a script's reply, a huge one, the EHLO
 * answer of a site that offers less
 *
 * Owner    the caller's struct; bytes are freed by it. Memory: grows, 16 MB for a reply.
 * Fails    a reply is cut when there is no memory: it is a bad one then anyway.
 */
#include "mtasim_site.h"

struct sim_text {
	char *bytes;
	size_t len, max;
};
/* What {client}, {from} and {rcpt} stand for. */
struct sim_names {
	const char *client, *sender, *rcpt;
};

/* False: it would be longer than max, or there is no memory; nothing was added. */
bool sim_text_add(struct sim_text *t, const char *bytes, size_t len, size_t max);

/* Each of these begins anew. */
void sim_text_expand(struct sim_text *t, const char *reply, const struct sim_names *names);
void sim_text_huge(struct sim_text *t, int code, uint64_t bytes);
/* The engine's EHLO answer without what this site does not offer. */
void sim_text_ehlo(struct sim_text *t, const struct sim_site *site, struct smtp_slice text);
#endif
