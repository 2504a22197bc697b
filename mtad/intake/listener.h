/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_LISTENER_H
#define MTAD_INTAKE_LISTENER_H
/*
 * listener - bound sockets, one for each io thread and address (SO_REUSEPORT), bound before root is dropped
 *
 * A unix socket has one descriptor, which the first io thread serves.
 *
 * Owner    main makes and closes the set; io threads accept from their own descriptors.
 */
#include "base/log.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>

struct listener {
	size_t listen;    /* index in conf->listens */
	const char *text; /* the address as written; of the configuration it was bound from */
	int fd;
};

/* The sockets of one io thread. */
struct listener_set {
	struct listener *items;
	size_t count;
};

/* Binds everything for `threads` io threads. NULL and the reason logged (and in why) when one fails: then
 * none is left open. */
struct listener_set *listener_bind(
	const struct conf *conf, size_t threads, struct log *log, char *why, size_t why_max);
void listener_close(struct listener_set **sets, size_t threads);
#endif
