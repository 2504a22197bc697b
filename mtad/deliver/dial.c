/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses of a site a source can dial: those of a family it has an address of, that this machine has.
 */
#include "deliver/deliver_impl.h"

#include <errno.h>

/* The source's address of the peer's family. False: this source has none of that family although it has
 * addresses. */
bool
dial_from(const struct conf_source *source, sa_family_t family, const struct sockaddr **out)
{
	*out = NULL;
	if (!source->has_v4 && !source->has_v6)
		return true;
	if (family == AF_INET && source->has_v4)
		*out = (const struct sockaddr *)&source->v4;
	if (family == AF_INET6 && source->has_v6)
		*out = (const struct sockaddr *)&source->v6;
	return *out != NULL;
}

/* This source can dial it, as far as is known. */
static bool
can_dial(const struct deliver_session *s, uint16_t n)
{
	const struct outbound *o = s->o;
	sa_family_t family = o->route->addresses[n].any.sa_family;
	const struct sockaddr *local;

	return dial_from(&o->conf->sources[o->source], family, &local) &&
	       !(family == AF_INET6 ? o->lacks_v6 : o->lacks_v4);
}

/* What it cannot dial must not take the place of what it can (hosts-max). When there is nothing else, all
 * stays: the attempt says what is wrong. */
void
dial_leave_out(struct deliver_session *s)
{
	uint32_t i, kept = 0;

	for (i = 0; i < s->order_count; i++)
		if (can_dial(s, s->order[i]))
			s->order[kept++] = s->order[i];
	if (kept > 0)
		s->order_count = kept;
}

/* A machine without IPv6 says so for each site that has it: nobody must act. */
bool
dial_is_without_v6(const struct deliver_session *s, int err)
{
	return s->peer->any.sa_family == AF_INET6 && !s->o->conf->sources[s->o->source].has_v6 &&
	       (err == EADDRNOTAVAIL || err == ENETUNREACH || err == EAFNOSUPPORT);
}
