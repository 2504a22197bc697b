/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses of a site an attempt dials, and in which order: those of a family its source has an address
 * of and this machine has a way for, by preference, those that did not answer lately behind their equals, no
 * more than hosts-max. session.c dials them.
 */
#include "deliver/deliver_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

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
static void
leave_out(struct deliver_session *s)
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

void
dial_address_text(const struct route_address *address, char *buf, socklen_t max)
{
	const void *ip = address->any.sa_family == AF_INET6 ? (const void *)&address->v6.sin6_addr
							    : (const void *)&address->v4.sin_addr;

	(void)inet_ntop(address->any.sa_family, ip, buf, max);
}

/* By preference, and of equal ones those last that did not answer lately (D42). When there are more than one
 * attempt tries they are last of all: else addresses behind dead ones would never have their turn (D41). */
static unsigned
rank(const struct deliver_session *s, uint16_t n, bool are_too_many)
{
	const struct route_address *address = &s->o->route->addresses[n];
	unsigned preference = s->o->route->hosts[address->host].preference;
	char ip[INET6_ADDRSTRLEN];
	bool is_dead;

	dial_address_text(address, ip, sizeof(ip));
	is_dead = (hosts_faults(s->d->hosts, ip, clock_mono(s->d->conf.clock)) & HOSTS_UNREACHABLE) != 0;
	return are_too_many ? preference + is_dead * 65536u : preference * 2 + is_dead;
}

static void
sort_order(struct deliver_session *s, bool are_too_many)
{
	unsigned ranks[ORDER_MAX];
	uint32_t i, k;

	for (i = 0; i < s->order_count; i++) {
		uint16_t n = s->order[i];
		unsigned r = rank(s, n, are_too_many);

		for (k = i; k > 0 && ranks[k - 1] > r; k--) {
			s->order[k] = s->order[k - 1];
			ranks[k] = ranks[k - 1];
		}
		s->order[k] = n;
		ranks[k] = r;
	}
}

/* Which addresses this attempt tries. The last of them is drawn among all that are left, since another thread
 * may have learnt which are dead. */
static void
choose(struct deliver_session *s)
{
	const struct conf_delivery *c = &s->o->settings;
	uint32_t max = c->hosts_max < ORDER_MAX ? (uint32_t)c->hosts_max : ORDER_MAX, drawn;

	s->order_count =
		route_order(s->o->route, s->d->conf.clock, (enum conf_family)c->family, s->order, ORDER_MAX);
	leave_out(s);
	sort_order(s, s->order_count > max);
	if (s->order_count <= max)
		return;
	if (max > 1) {
		drawn = max - 1 + clock_random(s->d->conf.clock) % (s->order_count - max + 1);
		s->order[max - 1] = s->order[drawn];
	}
	s->order_count = max;
}

/* An uncertain end before: the same host can tell a repeated message better than another (and greylisting
 * likes it). It comes first also when chance has left it out of the order. */
static void
prefer_host(struct deliver_session *s, const char *host)
{
	const struct route_result *r = s->o->route;
	uint32_t at = 0;
	uint16_t chosen = 0;

	if (host[0] == '\0' || s->order_count == 0)
		return;
	while (chosen < r->address_count && strcmp(r->hosts[r->addresses[chosen].host].name, host) != 0)
		chosen++;
	if (chosen == r->address_count)
		return;
	while (at < s->order_count - 1 && s->order[at] != chosen)
		at++;
	memmove(s->order + 1, s->order, at * sizeof(s->order[0]));
	s->order[0] = chosen;
}

void
dial_choose(struct deliver_session *s, const char *host)
{
	choose(s);
	prefer_host(s, host);
}
