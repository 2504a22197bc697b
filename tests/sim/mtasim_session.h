/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_SESSION_H
#define MTASIM_SESSION_H
/*
 * mtasim_session - one SMTP connection to a simulated site, behaving as scripted
 *
 * Owner    itself; ends with its connection. session_end_all() at exit.
 * Memory   the engine's 8 KB and what is waiting to be sent.
 * Thread   the base's.
 * Fails    by closing the connection.
 */
#include "mtasim_site.h"

#include <sys/queue.h>

struct session;
LIST_HEAD(session_list, session);

struct session_host {
	struct sim *sim;
	struct session_list sessions;
};

/* A sim_on_arrival; arg is a struct session_host. */
void session_begin(void *arg, struct sim_unit *unit, evutil_socket_t fd, struct in_addr peer);
void session_end_all(struct session_host *host);
#endif
