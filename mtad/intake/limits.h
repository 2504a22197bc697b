/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_LIMITS_H
#define MTAD_INTAKE_LIMITS_H
/*
 * limits - connections, message rates and failed log-ins by name: one listener, one client address, one user
 *
 * Counts must hold over all io threads, so this is one table under one mutex (rule zero: the alternative, a
 * letter to an owning thread for every connection and message, costs more than the lock, which is held for a
 * hash look-up). Names nobody uses any more are forgotten; at most LIMITS_MAX are known, then unknown ones
 * are refused.
 *
 * Owner    main. Thread: any.
 */
#include "conf/conf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct limits;

enum { LIMITS_CLIENT_MAX = 80, LIMITS_FAMILIAR_MAX = 8 };

struct limits *limits_create(void);
void limits_destroy(struct limits **lp);
/* One more connection under this name; false: there are `max` already. */
bool limits_connect(struct limits *l, const char *name, int64_t max, int64_t mono_us);
void limits_disconnect(struct limits *l, const char *name);
/* One more message; a token bucket of rate.count refilled over rate.per_us. False: not now. A count of 0
 * always passes. */
bool limits_message(struct limits *l, const char *name, struct conf_rate rate, int64_t mono_us);
/* Failed log-ins of the last ten minutes under this name, this one included. */
unsigned limits_login_failed(struct limits *l, const char *name, int64_t mono_us);
unsigned limits_login_failures(struct limits *l, const char *name, int64_t mono_us);
/* `name` is a user, and this client had its password: one of the last LIMITS_FAMILIAR_MAX addresses it came
 * from. Those are kept as long as the daemon runs, so only for users that exist. */
void limits_login_worked(struct limits *l, const char *name, const char *client, int64_t mono_us);
bool limits_is_familiar(struct limits *l, const char *name, const char *client);
/* The name of a client: its address; of IPv6 the /64 around it, as one host may pick any address in there. */
void limits_client(const struct sockaddr_storage *peer, char buf[LIMITS_CLIENT_MAX]);
#endif
