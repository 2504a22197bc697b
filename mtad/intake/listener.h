/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_LISTENER_H
#define MTAD_INTAKE_LISTENER_H
/*
 * listener - bound sockets, one for each io thread and address (SO_REUSEPORT), bound before root is dropped
 *
 * A unix socket has one descriptor, which the first io thread serves.
 *
 * Owner    main makes the sets and closes them at the end; io threads accept from their own descriptors, and
 * close those that a reload takes away, as only they know when nobody accepts from them any more.
 */
#include "base/log.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>

struct listener {
	size_t listen;                        /* index in conf->listens */
	const struct conf_endpoint *endpoint; /* of that configuration */
	int fd;
};

/* The sockets of one io thread. */
struct listener_set {
	struct listener *items;
	size_t count;
};

/* The sockets of a configuration, for `threads` io threads: those of `old` (NULL: none) where an address
 * stays, new ones for the others. NULL and the reason logged (and in why) when one fails: then no new one is
 * left open and the old ones are as they were. */
struct listener_set *listener_bind(const struct conf *conf, size_t threads, const struct listener_set *old,
	struct log *log, char *why, size_t why_max);
/* Closes what `kept` (NULL: none) does not have. */
void listener_close(struct listener_set **sets, size_t threads, const struct listener_set *kept);
/* `fresh` takes the place of *sets, whose sockets are for the io threads to close; says which addresses go.
 */
void listener_replace(
	struct listener_set **sets, size_t threads, struct listener_set *take_fresh, struct log *log);
/* For an io thread: its items, to be freed. False: no memory. */
bool listener_copy(const struct listener_set *set, struct listener_set *out);
bool listener_has(const struct listener_set *set, int fd);
#endif
