/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A limit so low that nothing is left still leaves each side one session: such a start is refused nowhere,
 * it is only slow, and the log says why.
 */
#include "base/descriptors.h"

#include <sys/resource.h>

void
descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

struct descriptors
descriptors_share(int64_t connections_total)
{
	struct rlimit limit = {0, 0};
	struct descriptors share;
	int64_t all;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX)
		limit.rlim_cur = INT32_MAX;
	all = (int64_t)limit.rlim_cur - DESCRIPTORS_OWN;
	share.outbound = connections_total < all / 4 * 3 ? connections_total : all / 4 * 3;
	share.outbound = share.outbound > 0 ? share.outbound : 1;
	share.clients = all - share.outbound > 0 ? all - share.outbound : 1;
	return share;
}
