/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_ROUTE_SERVER_H
#define TEST_ROUTE_SERVER_H
/*
 * test_route_server - a resolver for tests: a thread with a UDP and a TCP socket on 127.0.0.1, a zone as
 * text, and moods
 *
 * Zone: lines of "name ttl TYPE data". TYPE is A, AAAA, MX, CNAME, PTR, TXT, "MXHEX" (raw data in hex), or
 * "MOOD": what comes instead of an answer, for all types or the one named after it (see moods below). CNAMEs
 * are followed as a resolver does. A name that stands in no line is NXDOMAIN; every negative answer carries a
 * SOA with 300 s.
 *
 * Owner    the test. The thread reads `zone` and `mood` and writes counters, all atomic.
 */
#include "route/dns_packet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_PACKET_MAX 65535
#define SERVER_LINKS_MAX  30

enum mood {
	MOOD_NONE,
	MOOD_SILENT,
	MOOD_SERVFAIL,
	MOOD_REFUSED,
	MOOD_NOTIMP,
	MOOD_FORMERR,
	MOOD_NO_EDNS,   /* FORMERR while the question has an OPT */
	MOOD_TRUNCATE,  /* UDP: TC without records; TCP: all */
	MOOD_CUT,       /* TC over UDP, silence over TCP */
	MOOD_GARBAGE,   /* the right question, then 40 random bytes as the answer */
	MOOD_IMPOSTORS, /* wrong id, wrong question, zero bytes, noise; then the answer */
	MOOD_ALIAS,     /* of a CNAME only the first link, without SOA */
	MOOD_COUNT
};
static const char *const mood_names[] = {"NONE", "SILENT", "SERVFAIL", "REFUSED", "NOTIMP", "FORMERR",
	"NO_EDNS", "TRUNCATE", "CUT", "GARBAGE", "IMPOSTORS", "ALIAS"};

struct server {
	pthread_t thread;
	int udp, tcp, stop[2];
	uint16_t port;
	char text[32]; /* "127.0.0.1:5353" */
	_Atomic(const char *) zone;
	_Atomic int mood; /* of every name, unless MOOD_NONE */
	_Atomic unsigned query_count, tcp_count, ad_count;
	_Atomic(const char *) watched; /* questions for this name are counted too */
	_Atomic unsigned watched_count;
};

struct reply {
	uint8_t bytes[SERVER_PACKET_MAX];
	size_t len;
	unsigned answers;
};

struct line {
	char name[DOMAIN_MAX], type[16], data[300];
	uint32_t ttl_s;
};

static inline void
reply_put(struct reply *r, const void *bytes, size_t len)
{
	if (r->len + len <= sizeof(r->bytes)) {
		memcpy(r->bytes + r->len, bytes, len);
		r->len += len;
	}
}

static inline void
reply_put16(struct reply *r, unsigned v)
{
	reply_put(r, (const uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static inline void
reply_put_name(struct reply *r, const char *name)
{
	while (*name != '\0' && strcmp(name, ".") != 0) {
		uint8_t len = (uint8_t)strcspn(name, ".");

		reply_put(r, &len, 1);
		reply_put(r, name, len);
		name += len + (name[len] == '.');
	}
	reply_put(r, "", 1);
}

static inline uint16_t
line_type(const char *type)
{
	static const struct {
		const char *name;
		uint16_t type;
	} types[] = {
		{"A", 1}, {"AAAA", 28}, {"MX", 15}, {"MXHEX", 15}, {"CNAME", 5}, {"TXT", 16}, {"PTR", 12}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i].name) == 0)
			return types[i].type;
	return 0;
}

/* The next line of the zone that is of `name`; false at its end. */
static inline bool
next_line(const char **at, const char *name, struct line *out)
{
	size_t name_len = strnlen(name, DOMAIN_MAX);

	while (**at != '\0') {
		const char *line = *at;
		size_t len = strcspn(line, "\n");
		char copy[700]; /* sscanf measures what it is given: not the whole zone each time */

		*at += len + (line[len] == '\n');
		if (len <= name_len || len >= sizeof(copy) || line[name_len] != ' ' ||
			strncasecmp(line, name, name_len) != 0)
			continue;
		memcpy(copy, line, len);
		copy[len] = '\0';
		if (sscanf(copy, "%255s %u %15s %299[^\n]", out->name, &out->ttl_s, out->type, out->data) ==
			4)
			return true;
	}
	return false;
}

static inline void
put_data(struct reply *r, const struct line *l)
{
	unsigned preference, byte;
	uint8_t address[16], len;
	char name[300];

	if (inet_pton(AF_INET, l->data, address) == 1 && strcmp(l->type, "A") == 0) {
		reply_put(r, address, 4);
	} else if (strcmp(l->type, "AAAA") == 0 && inet_pton(AF_INET6, l->data, address) == 1) {
		reply_put(r, address, 16);
	} else if (strcmp(l->type, "MX") == 0 && sscanf(l->data, "%u %299s", &preference, name) == 2) {
		reply_put16(r, preference);
		reply_put_name(r, name);
	} else if (strcmp(l->type, "MXHEX") == 0) {
		for (const char *h = l->data; sscanf(h, "%2x", &byte) == 1; h += 2)
			reply_put(r, (const uint8_t[]){(uint8_t)byte}, 1);
	} else if (strcmp(l->type, "CNAME") == 0 || strcmp(l->type, "PTR") == 0) {
		reply_put_name(r, l->data);
	} else {
		len = (uint8_t)strnlen(l->data, 255);
		reply_put(r, &len, 1);
		reply_put(r, l->data, len);
	}
}

static inline void
put_record(struct reply *r, const struct line *l)
{
	size_t at;

	reply_put_name(r, l->name);
	reply_put16(r, line_type(l->type));
	reply_put16(r, 1);
	reply_put16(r, l->ttl_s >> 16);
	reply_put16(r, l->ttl_s & 0xffff);
	at = r->len;
	reply_put16(r, 0);
	put_data(r, l);
	r->bytes[at] = (uint8_t)((r->len - at - 2) >> 8);
	r->bytes[at + 1] = (uint8_t)(r->len - at - 2);
	r->answers++;
}

static inline void
put_soa(struct reply *r)
{
	static const uint8_t soa[] =
		"\0\0\6\0\1\0\0\1\x2c\0\x16\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\1\x2c";

	reply_put(r, soa, sizeof(soa) - 1);
	r->bytes[9] = 1;
}

static inline enum mood
mood_of(const struct server *s, const char *name, uint16_t type)
{
	const char *at = s->zone;
	struct line l;

	if (s->mood != MOOD_NONE)
		return (enum mood)s->mood;
	while (next_line(&at, name, &l)) {
		char mood[32], only[16] = "";

		if (strcmp(l.type, "MOOD") != 0 || sscanf(l.data, "%31s %15s", mood, only) < 1)
			continue;
		if (only[0] != '\0' && line_type(only) != type)
			continue;
		for (int i = 0; i < MOOD_COUNT; i++)
			if (strcmp(mood, mood_names[i]) == 0)
				return (enum mood)i;
	}
	return MOOD_NONE;
}

/* Records of the type, or the CNAME and on from there. */
static inline void
put_answer(const struct server *s, struct reply *r, const char *asked, uint16_t type, bool is_first_link_only)
{
	char name[DOMAIN_MAX];
	bool is_known = false;

	snprintf(name, sizeof(name), "%s", asked);
	for (int link = 0; link < SERVER_LINKS_MAX; link++) {
		const char *at = s->zone;
		bool has_alias = false;
		struct line l;

		is_known = false;
		while (next_line(&at, name, &l)) {
			is_known = true;
			if (line_type(l.type) == type || strcmp(l.type, "CNAME") == 0) {
				put_record(r, &l);
				if (strcmp(l.type, "CNAME") == 0 && type != DNS_TYPE_CNAME) {
					has_alias = true;
					snprintf(name, sizeof(name), "%.255s", l.data);
					break;
				}
			}
		}
		if (!has_alias)
			break;
		if (is_first_link_only)
			goto out;
	}
	if (!is_known)
		r->bytes[3] |= DNS_RCODE_NXDOMAIN;
	if (!is_known || r->answers == 0)
		put_soa(r);
out:
	r->bytes[6] = (uint8_t)(r->answers >> 8);
	r->bytes[7] = (uint8_t)r->answers;
}

static inline bool
read_question(const uint8_t *in, size_t len, char name[DOMAIN_MAX], uint16_t *type, size_t *end)
{
	size_t p = 12, at = 0;

	while (p < len && in[p] != 0 && p + in[p] < len && at + in[p] + 1 < DOMAIN_MAX) {
		if (at > 0)
			name[at++] = '.';
		memcpy(name + at, in + p + 1, in[p]);
		at += in[p];
		p += in[p] + 1u;
	}
	name[at] = '\0';
	if (p + 5 > len)
		return false;
	*type = (uint16_t)(in[p + 1] << 8 | in[p + 2]);
	*end = p + 5;
	return true;
}

/* False: silence. */
static inline bool
make_reply(struct server *s, const uint8_t *in, size_t len, bool is_tcp, struct reply *r, enum mood *out_mood)
{
	char name[DOMAIN_MAX];
	const char *watched;
	uint16_t type;
	size_t end;

	r->len = r->answers = 0;
	if (!read_question(in, len, name, &type, &end))
		return false;
	s->query_count++;
	s->ad_count += (in[3] & 0x20) != 0;
	s->tcp_count += is_tcp;
	if ((watched = s->watched) != NULL && strcmp(watched, name) == 0)
		s->watched_count++;
	reply_put(r, in, end);
	memcpy(r->bytes + 2, "\x81\xa0", 2); /* QR, RD, RA, AD */
	memset(r->bytes + 6, 0, 6);
	*out_mood = mood_of(s, name, type);
	switch (*out_mood) {
	case MOOD_SILENT:
		return false;
	case MOOD_SERVFAIL:
	case MOOD_REFUSED:
	case MOOD_NOTIMP:
	case MOOD_FORMERR: {
		static const uint8_t codes[] = {
			[MOOD_SERVFAIL] = 2, [MOOD_REFUSED] = 5, [MOOD_NOTIMP] = 4, [MOOD_FORMERR] = 1};

		r->bytes[3] |= codes[*out_mood];
		return true;
	}
	case MOOD_NO_EDNS:
		if (in[11] > 0) {
			r->bytes[3] |= DNS_RCODE_FORMERR;
			return true;
		}
		break;
	case MOOD_CUT:
		if (is_tcp)
			return false;
		/* fallthrough */
	case MOOD_TRUNCATE:
		if (!is_tcp) {
			r->bytes[2] |= 0x02;
			return true;
		}
		break;
	case MOOD_GARBAGE:
		r->bytes[7] = 1;
		for (int i = 0; i < 40; i++)
			reply_put(r, (const uint8_t[]){(uint8_t)(random() | 0xc0)}, 1);
		return true;
	default:
		break;
	}
	put_answer(s, r, name, type, *out_mood == MOOD_ALIAS);
	return true;
}

static inline void
send_impostors(int fd, const struct reply *r, const struct sockaddr *to, socklen_t to_len)
{
	static uint8_t copy[SERVER_PACKET_MAX];

	memcpy(copy, r->bytes, r->len);
	copy[0] ^= 0x55; /* another id, NXDOMAIN */
	copy[3] |= 3;
	sendto(fd, copy, r->len, 0, to, to_len);
	copy[0] ^= 0x55;
	copy[14] ^= 1; /* another question */
	sendto(fd, copy, r->len, 0, to, to_len);
	sendto(fd, "", 0, 0, to, to_len);
	sendto(fd, "\xff\xfe\xfd\xfc\xfb", 5, 0, to, to_len);
}

static inline void
serve_udp(struct server *s)
{
	static _Thread_local struct reply r;
	uint8_t in[4096];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(s->udp, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len);
	enum mood mood;

	if (n < 12 || !make_reply(s, in, (size_t)n, false, &r, &mood))
		return;
	if (mood == MOOD_IMPOSTORS)
		send_impostors(s->udp, &r, (struct sockaddr *)&from, from_len);
	if (r.len > 1232) {
		r.bytes[2] |= 0x02;
		r.bytes[6] = r.bytes[7] = 0;
		r.len = 12;
		while (r.bytes[r.len] != 0)
			r.len += r.bytes[r.len] + 1u;
		r.len += 5;
	}
	sendto(s->udp, r.bytes, r.len, 0, (struct sockaddr *)&from, from_len);
}

/* One whole question of the connection. False: it has ended. */
static inline bool
serve_tcp(struct server *s, int fd)
{
	static _Thread_local struct reply r;
	uint8_t head[2], in[4096];
	enum mood mood;
	size_t len;

	if (recv(fd, head, 2, MSG_WAITALL) != 2)
		return false;
	len = (size_t)(head[0] << 8 | head[1]);
	if (len > sizeof(in) || recv(fd, in, len, MSG_WAITALL) != (ssize_t)len)
		return false;
	if (!make_reply(s, in, len, true, &r, &mood))
		return true;
	head[0] = (uint8_t)(r.len >> 8);
	head[1] = (uint8_t)r.len;
	return send(fd, head, 2, MSG_NOSIGNAL) == 2 &&
	       send(fd, r.bytes, r.len, MSG_NOSIGNAL) == (ssize_t)r.len;
}

/* The newest connection is served; UDP is never held up by it. */
static inline void *
serve(void *arg)
{
	struct server *s = arg;
	struct pollfd p[4] = {
		{s->udp, POLLIN, 0}, {s->tcp, POLLIN, 0}, {s->stop[0], POLLIN, 0}, {-1, POLLIN, 0}};

	while (poll(p, 4, -1) > 0 && p[2].revents == 0) {
		if (p[0].revents != 0)
			serve_udp(s);
		if (p[3].revents != 0 && !serve_tcp(s, p[3].fd)) {
			close(p[3].fd);
			p[3].fd = -1;
		}
		if (p[1].revents != 0) {
			if (p[3].fd >= 0)
				close(p[3].fd);
			p[3].fd = accept(s->tcp, NULL, NULL);
		}
	}
	if (p[3].fd >= 0)
		close(p[3].fd);
	return NULL;
}

static inline bool
server_bind(struct server *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int size = 8 << 20;

	s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(s->udp, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(s->udp, (struct sockaddr *)&a, len) != 0 ||
		getsockname(s->udp, (struct sockaddr *)&a, &len) != 0)
		return false;
	s->port = ntohs(a.sin_port);
	snprintf(s->text, sizeof(s->text), "127.0.0.1:%u", s->port);
	return bind(s->tcp, (struct sockaddr *)&a, len) == 0 && listen(s->tcp, 16) == 0;
}

/* TCP's port of the same number may be taken by somebody: then another one is tried. */
static inline void
server_start_with(struct server *s, const char *zone, bool has_tcp)
{
	bool is_bound = false;

	memset(s, 0, sizeof(*s));
	s->zone = zone;
	for (int i = 0; i < 20 && !is_bound; i++) {
		is_bound = server_bind(s);
		if (!is_bound) {
			close(s->udp);
			close(s->tcp);
		}
	}
	if (!has_tcp) {
		close(s->tcp);
		s->tcp = -1; /* poll() passes over it */
	}
	assert(is_bound && pipe(s->stop) == 0);
	assert(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static inline void
server_start(struct server *s, const char *zone)
{
	server_start_with(s, zone, true);
}

static inline void
server_stop(struct server *s)
{
	close(s->stop[1]);
	pthread_join(s->thread, NULL);
	close(s->stop[0]);
	close(s->udp);
	if (s->tcp >= 0)
		close(s->tcp);
}
#endif
