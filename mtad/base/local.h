/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_LOCAL_H
#define MTAD_BASE_LOCAL_H
/*
 * local - what a connection needs of this machine: an address, a port, a route, a descriptor
 *
 * Thread   any.
 */
#include <stdbool.h>
#include <sys/socket.h>

/* Can a connection be made from this IPv4 or IPv6 address? By a bind that takes no port and sends nothing. 0:
 * yes; else the errno. */
int local_probe(const struct sockaddr *address);
/* The errno of a probe that could not be made: it says nothing about the address. */
bool local_is_shortage(int err);
/* What connect() said at once: this machine knows no way to that address. It may have none for good, as one
 * without IPv6 has. */
bool local_is_no_route(int err);
/* What socket(), bind() or connect() said at once is a matter of this machine, not of the peer. */
bool local_is_fault(int err);
#endif
