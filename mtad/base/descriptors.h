/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_DESCRIPTORS_H
#define MTAD_BASE_DESCRIPTORS_H
/*
 * descriptors - who may use how many of the process's file descriptors (RLIMIT_NOFILE)
 *
 * Clients must not take those that deliveries need, nor either those of the spool, reports, DNS and mtactl.
 * So each side has its share, and is refused or waits at its end instead of failing with EMFILE somewhere.
 *
 * Thread   any.
 */
#include <stdint.h>

/* For everything that is no session. */
enum { DESCRIPTORS_OWN = 256 };

struct descriptors {
	int64_t outbound; /* connections-total, or three quarters of what there is */
	int64_t clients;  /* the rest */
};

/* The soft limit becomes the hard one: epoll knows no 1024. */
void descriptors_raise(void);
struct descriptors descriptors_share(int64_t connections_total);
#endif
