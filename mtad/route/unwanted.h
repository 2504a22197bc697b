/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_UNWANTED_H
#define MTAD_ROUTE_UNWANTED_H
/*
 * unwanted - addresses that somebody else's DNS may not send our mail to: special ones, and our own
 *
 * route_is_unwanted (in route.h) knows the special ones; the set below knows this machine's: the addresses
 * of its interfaces when the set was made, and those of its listeners.
 *
 * Owner    struct route.
 * Memory   one allocation, at most 1,024 addresses.
 * Thread   the queue thread; route_is_unwanted: any.
 * Fails    an interface list that cannot be had leaves the listeners.
 * Spec     RFC 5321 5.1 (a host must not send to itself), RFC 6890 and the registries made after it.
 */
#include "conf/conf.h"

#include <sys/socket.h>

struct unwanted_own;

struct unwanted_own *unwanted_own_create(const struct conf *conf);
/* The set of the new configuration, and of the interfaces there are now. */
void unwanted_own_reload(struct unwanted_own *o, const struct conf *conf);
void unwanted_own_destroy(struct unwanted_own **op);
/* The address is this machine's, whatever the port. */
bool unwanted_own_has(const struct unwanted_own *o, const struct sockaddr *address);
/* One of our listeners is at this address and port: mail sent there would come back. */
bool unwanted_own_listens(const struct unwanted_own *o, const struct sockaddr *address);
#endif
