/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain's owner writes its MX and address records, so they may name our database's port-forward or the
 * router. The check is made on the addresses that sessions dial, not on names, so a record that changes in
 * between cannot get round it.
 *
 * Invariant: forms that carry an IPv4 address inside IPv6 (mapped, NAT64, 6to4) are as wanted as the address
 * inside.
 */
#include "route/unwanted.h"

#include "route/alloc.h"
#include "route/route.h"

#include <ifaddrs.h>
#include <string.h>

#define OWN_MAX 1024

struct prefix {
	uint8_t bytes[16];
	uint8_t bits;
};

/* RFC 6890 and the IANA special-purpose registry, without what is globally reachable. */
static const struct prefix v4_unwanted[] = {
	{{0}, 8},             /* this network */
	{{10}, 8},            /* private */
	{{100, 64}, 10},      /* carrier NAT */
	{{127}, 8},           /* loopback */
	{{169, 254}, 16},     /* link-local */
	{{172, 16}, 12},      /* private */
	{{192, 0, 0}, 24},    /* protocol assignments */
	{{192, 0, 2}, 24},    /* documentation */
	{{192, 88, 99}, 24},  /* 6to4 relays, gone */
	{{192, 168}, 16},     /* private */
	{{198, 18}, 15},      /* benchmarks */
	{{198, 51, 100}, 24}, /* documentation */
	{{203, 0, 113}, 24},  /* documentation */
	{{224}, 4},           /* multicast */
	{{240}, 4},           /* reserved, broadcast */
};
static const struct prefix v6_unwanted[] = {
	{{0}, 96},                                  /* unspecified, loopback, IPv4-compatible */
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48}, /* NAT64 of some local network */
	{{0x01, 0x00}, 64},                         /* discard */
	{{0x20, 0x01, 0x00}, 23},                   /* protocol assignments: Teredo, ORCHID, benchmarks ... */
	{{0x20, 0x01, 0x0d, 0xb8}, 32},             /* documentation */
	{{0x3f, 0xff, 0x00}, 20},                   /* documentation */
	{{0x5f, 0x00}, 16},                         /* segment routing */
	{{0xfc}, 7},                                /* private */
	{{0xfe, 0x80}, 10},                         /* link-local */
	{{0xfe, 0xc0}, 10},                         /* site-local, gone */
	{{0xff}, 8},                                /* multicast */
};
/* Where an IPv4 address stands inside. */
static const struct {
	struct prefix prefix;
	uint8_t at;
} v6_carriers[] = {
	{{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, 12}, /* mapped */
	{{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},                   /* NAT64 */
	{{{0x20, 0x02}, 16}, 2},                                /* 6to4 */
};

static bool
is_inside(const uint8_t *address, const struct prefix *p)
{
	size_t whole = p->bits / 8;
	uint8_t mask = (uint8_t)(0xff00 >> p->bits % 8);

	if (memcmp(address, p->bytes, whole) != 0)
		return false;
	return p->bits % 8 == 0 || ((address[whole] ^ p->bytes[whole]) & mask) == 0;
}

static bool
is_in_list(const uint8_t *address, const struct prefix *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_inside(address, &list[i]))
			return true;
	return false;
}

static bool
is_v4_unwanted(const uint8_t *address)
{
	return is_in_list(address, v4_unwanted, sizeof(v4_unwanted) / sizeof(v4_unwanted[0]));
}

static bool
is_v6_unwanted(const uint8_t *address)
{
	for (size_t i = 0; i < sizeof(v6_carriers) / sizeof(v6_carriers[0]); i++)
		if (is_inside(address, &v6_carriers[i].prefix))
			return is_v4_unwanted(address + v6_carriers[i].at);
	return is_in_list(address, v6_unwanted, sizeof(v6_unwanted) / sizeof(v6_unwanted[0]));
}

bool
route_is_unwanted(const struct sockaddr *address)
{
	switch (address->sa_family) {
	case AF_INET:
		return is_v4_unwanted((const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr);
	case AF_INET6:
		return is_v6_unwanted(((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr);
	default:
		return true;
	}
}

/* --- our own --- */

struct own_address {
	struct in6_addr address; /* IPv4 as mapped */
	uint16_t port;           /* of a listener, network order; 0: an interface */
};

struct unwanted_own {
	size_t count;
	struct own_address list[OWN_MAX];
};

/* Both families in one form. False: another family. */
static bool
as_own(const struct sockaddr *sa, struct own_address *out)
{
	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;

		out->address.s6_addr[10] = out->address.s6_addr[11] = 0xff;
		memcpy(out->address.s6_addr + 12, &v4->sin_addr, 4);
		out->port = v4->sin_port;
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;

		out->address = v6->sin6_addr;
		out->port = v6->sin6_port;
		return true;
	}
	return false;
}

static bool
is_any(const struct in6_addr *a)
{
	static const struct in6_addr v4_any = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}};

	return IN6_IS_ADDR_UNSPECIFIED(a) || IN6_ARE_ADDR_EQUAL(a, &v4_any);
}

static void
add(struct unwanted_own *o, const struct sockaddr *sa, bool is_listener)
{
	if (o->count == OWN_MAX || !as_own(sa, &o->list[o->count]))
		return;
	if (!is_listener)
		o->list[o->count].port = 0;
	o->count++;
}

void
unwanted_own_reload(struct unwanted_own *o, const struct conf *conf)
{
	struct ifaddrs *interfaces = NULL;

	o->count = 0;
	for (size_t i = 0; i < conf->listen_count; i++)
		for (size_t k = 0; k < conf->listens[i].endpoints.count; k++)
			add(o, (const struct sockaddr *)&conf->listens[i].endpoints.items[k].address, true);
	if (getifaddrs(&interfaces) == 0) {
		for (const struct ifaddrs *i = interfaces; i != NULL; i = i->ifa_next)
			if (i->ifa_addr != NULL)
				add(o, i->ifa_addr, false);
		freeifaddrs(interfaces);
	}
}

struct unwanted_own *
unwanted_own_create(const struct conf *conf)
{
	struct unwanted_own *o = route_alloc(sizeof(*o));

	unwanted_own_reload(o, conf);
	return o;
}

void
unwanted_own_destroy(struct unwanted_own **op)
{
	free(*op);
	*op = NULL;
}

bool
unwanted_own_has(const struct unwanted_own *o, const struct sockaddr *address)
{
	struct own_address a;

	if (!as_own(address, &a))
		return false;
	/* All of 127/8 is ours, though the interface names one address of it. */
	if (IN6_IS_ADDR_V4MAPPED(&a.address) && a.address.s6_addr[12] == 127)
		return true;
	for (size_t i = 0; i < o->count; i++)
		if (IN6_ARE_ADDR_EQUAL(&o->list[i].address, &a.address) && !is_any(&a.address))
			return true;
	return false;
}

bool
unwanted_own_listens(const struct unwanted_own *o, const struct sockaddr *address)
{
	struct own_address a;

	if (!as_own(address, &a))
		return false;
	for (size_t i = 0; i < o->count; i++) {
		const struct own_address *l = &o->list[i];

		if (l->port == 0 || l->port != a.port)
			continue;
		if (IN6_ARE_ADDR_EQUAL(&l->address, &a.address) ||
			(is_any(&l->address) && unwanted_own_has(o, address)))
			return true;
	}
	return false;
}
