/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_ROUTE_MX_H
#define MTAD_ROUTE_MX_H
/*
 * mx - one domain: which hosts take its mail, best first, with their addresses
 *
 * Owner    struct route, on the queue thread. The object ends itself when it has handed over its result.
 * Memory   bounded by DNS_RECORDS_MAX hosts.
 * Thread   the queue thread's.
 * Fails    never: what cannot be found is a result too. Ends at once with a result or later with one
 *          callback.
 * Spec     RFC 5321 5.1, RFC 7505, RFC 5321 4.1.3 (address literals), RFC 3463 for the codes.
 */
#include "route/dns.h"
#include "route/route.h"
#include "route/unwanted.h"

struct mx;

struct mx_context {
	struct dns *dns;
	const struct clock *clock;
	const struct unwanted_own *own; /* while any mx runs */
};
typedef void mx_done(void *arg, struct route_result *take_result);

/* The result, now the caller's, when everything needed is known; else NULL: *out_mx runs, and done is called
 * later. */
struct route_result *mx_start(const struct mx_context *context, const struct conf *conf, const char *domain,
	mx_done *done, void *arg, struct mx **out_mx);
/* Without an answer; its dns must be gone already, since it may be waited for there. */
void mx_abandon(struct mx **mp);
#endif
