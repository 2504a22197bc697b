/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_SHAPE_SOURCE_H
#define MTAD_SHAPE_SOURCE_H
/*
 * source - whether this machine has the addresses of its sources
 *
 * Each address is probed: at the start, at each reload, once a minute while it is there; when it is missing
 * after 1 s, 2 s, 4 s ... 60 s; and when a connection lacked something of this machine. A source is
 * degraded while one of its two addresses is missing, down while it has none left. One without addresses is
 * always up: the system chooses. Nothing is kept on disk.
 *
 * Owner    the queue thread. Time: monotonic, handed in.
 * Fails    sources_create is NULL without memory. A probe that cannot be made (no descriptors) changes
 * nothing.
 */
#include "conf/conf.h"

#include <sys/socket.h>

enum source_state { SOURCE_UP, SOURCE_DEGRADED, SOURCE_DOWN };

enum { SOURCE_ADDRESSES_MAX = 100, SOURCE_WHY_MAX = 300 };
struct source_view {
	const char *name; /* the configuration's */
	enum source_state state;
	int64_t since_us;        /* of the state */
	int64_t next_us;         /* the next probe; INT64_MAX: none */
	bool lacks_v4, lacks_v6; /* it has such an address, and this machine has not */
	const char *addresses;   /* that are missing: "192.0.2.1, 2001:db8::1"; valid until the next call */
	const char *why;         /* "cannot bind 192.0.2.1: Cannot assign requested address"; likewise */
};

struct sources_conf {
	const struct conf *conf;                      /* a reference is taken */
	int (*probe)(const struct sockaddr *address); /* local_probe() */
	/* The state or its cause is another, or it has been DEGRADED or DOWN for another hour; `from` was the
	 * state since from_us. May call sources_view. */
	void (*tell)(void *arg, size_t source, enum source_state from, int64_t from_us);
	void *arg;
};

struct sources;

/* In the order of conf->sources, numbered as there. What `old` (may be NULL) knows of sources with the same
 * names goes on. All are due to be probed. */
struct sources *sources_create(const struct sources_conf *conf, const struct sources *old);
void sources_destroy(struct sources **sp);
/* Probes those that are due. Costs next to nothing while none is. */
void sources_check(struct sources *s, int64_t mono_us);
/* A connection from it lacked something of this machine: it is probed now, unless it is down already. True:
 * its addresses are there, so it was something else, and nothing has been said about that for a minute. */
bool sources_suspect(struct sources *s, size_t source, int64_t mono_us);
void sources_view(const struct sources *s, size_t source, struct source_view *out);
#endif
