/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only the hand-over rules of the header; what a session does is in session.c, when one is opened in
 * queue/dispatch.c.
 */
#include "deliver/outbound.h"

#include <stddef.h>
#include <stdlib.h>

void
outbound_free(struct outbound *o)
{
	if (o->route != NULL)
		route_unref(o->route);
	rules_unref(o->rules);
	classifier_unref(o->classifier);
	conf_unref(o->conf);
	free(o);
}

static struct outbound *
owner(struct letter *l, size_t offset)
{
	return (struct outbound *)(void *)((char *)l - offset);
}

struct outbound *
outbound_of_ready(struct letter *l)
{
	return owner(l, offsetof(struct outbound, ready));
}

struct outbound *
outbound_of_quit(struct letter *l)
{
	return owner(l, offsetof(struct outbound, quit));
}

struct outbound *
outbound_of_closed(struct letter *l)
{
	return owner(l, offsetof(struct outbound, closed));
}
