/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_DELIVER_HOSTS_H
#define MTAD_DELIVER_HOSTS_H
/*
 * hosts - what an io thread has learnt about single hosts (broken TLS, broken pipelining) and addresses
 *
 * Owner    one io thread; each learns for itself. Bounded, forgets after an hour so that a repaired host is
 * used well again.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hosts_fault {
	HOSTS_TLS_BROKEN = 1,    /* STARTTLS offered and failed: in clear where the policy is may */
	HOSTS_NO_OVERLAP = 2,    /* fell out of step with the next envelope sent early */
	HOSTS_NO_PIPELINING = 4, /* fell out of step without it */
	HOSTS_UNREACHABLE = 8,   /* of an address: no connection */
};

struct hosts;
struct hosts *hosts_create(size_t max);
void hosts_destroy(struct hosts **hp);
unsigned hosts_faults(const struct hosts *h, const char *name, int64_t mono_us);
void hosts_learn(struct hosts *h, const char *name, unsigned faults, int64_t mono_us);
#endif
