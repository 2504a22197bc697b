/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors are told apart in this one place. A connect() that fails at once has not asked anybody: the kernel
 * found no route (ENETUNREACH; EHOSTUNREACH of a route of type unreachable), no free port (EADDRNOTAVAIL) or
 * a rule against it (EACCES, EPERM). The same words some time later are the network's or the peer's.
 */
#include "base/local.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

int
local_probe(const struct sockaddr *address)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a;
	socklen_t len = address->sa_family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4);
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, err = 0;

	if (fd < 0)
		return errno;
	memcpy(&a, address, len);
	if (a.any.sa_family == AF_INET6)
		a.v6.sin6_port = 0;
	else
		a.v4.sin_port = 0;
	/* Else it would fail while all ports are in use. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, &a.any, len) != 0)
		err = errno;
	close(fd);
	return err;
}

bool
local_is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS || err == EADDRINUSE ||
	       err == EAGAIN;
}

bool
local_is_no_route(int err)
{
	return err == ENETUNREACH || err == EHOSTUNREACH;
}

bool
local_is_fault(int err)
{
	return local_is_shortage(err) || local_is_no_route(err) || err == EADDRNOTAVAIL || err == EACCES ||
	       err == EPERM || err == EAFNOSUPPORT || err == ENETDOWN;
}
