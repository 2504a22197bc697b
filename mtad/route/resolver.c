/* SPDX-License-Identifier: Apache-2.0 */
/*
 * c-ares carries packets: sockets, matching of answers to questions, TCP after truncation. Its own failover
 * is switched off (NOCHECKRESP, one server and one try a channel), because it would hide SERVFAIL behind
 * "connection refused" and make every question pay for a dead first resolver.
 *
 * Invariants: a question is in the line, or under way in exactly one channel. Callbacks of c-ares touch only
 * the line and the owner, never c-ares itself: all sending happens in pump(), which runs after c-ares has
 * returned. c-ares' timeouts are looked at in a fixed tick, since asking it for the next one walks all
 * questions.
 */
#include "route/resolver.h"

#include "route/alloc.h"
#include "route/resolver_servers.h"

#include <ares.h>
#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>

#define QUESTION_MAGIC 0x51554553u
#define SERVER_SOCKETS 4 /* c-ares holds one UDP and one TCP socket a server */
#define SILENT_MAX     3 /* answers missed in a row until a resolver counts as dead */
#define WINDOW_MIN     16
#define WINDOW_STEP    8
#define RCODE_BADVERS  16
#define SOCKET_BUFFER  (4 << 20)

static const int64_t second_us = 1000000;
static const int64_t tick_us = 100000;
static const int64_t slow_us = 200000;           /* unanswered for longer: not what fills the socket */
static const int64_t silent_us = 30 * second_us; /* then one question tries a dead resolver again */
static const int64_t renew_us =
	60 * second_us; /* a channel older than this ends when idle: new port, new trust in EDNS */
static const int64_t recheck_us = 10 * second_us; /* resolv.conf */

struct question {
	uint32_t magic;
	STAILQ_ENTRY(question) link;
	struct resolver *resolver;
	struct server *server; /* asked last */
	void *arg;
	const char *failure; /* what came of the last try; static text */
	uint32_t tried;      /* servers asked in this round, a bit each */
	uint32_t answered;   /* servers that need not be asked again */
	uint32_t ttl_s;      /* least of the aliases followed by asking again */
	uint16_t type, round, chain_count;
	bool has_edns;
	bool is_slow;
	int64_t sent_us;
	TAILQ_ENTRY(question) sent;
	char name[DOMAIN_MAX];
};

struct server_socket {
	struct server *server;
	evutil_socket_t fd; /* -1: free */
	struct event event;
};

struct server {
	struct resolver *resolver;
	struct resolver_address address;
	ares_channel channel; /* NULL until the first question */
	int64_t opened_us;
	uint32_t in_flight;
	uint32_t silent_count; /* since its last answer */
	int64_t silent_until_us;
	bool is_plain; /* it does not understand EDNS */
	struct server_socket sockets[SERVER_SOCKETS];
};

STAILQ_HEAD(question_line, question);
TAILQ_HEAD(question_list, question);

struct resolver {
	struct resolver_conf rc;
	uint32_t tries;
	int64_t timeout_us;
	bool is_closing;
	struct timespec resolv_mtime;
	int64_t rechecked_us;
	const struct conf *conf;
	struct server servers[RESOLVER_SERVERS_MAX];
	uint32_t server_count;
	struct question_line line;
	struct question_list sent; /* under way, oldest first */
	uint32_t slow_count;       /* of those, how many for longer than slow_us */
	uint32_t window, window_answers;
	int64_t slowed_us;
	struct event *pump_event, *tick_event;
	struct resolver_stats stats;
	struct dns_packet packet;
};

static bool
is_silent(const struct server *s, int64_t now_us)
{
	return s->silent_count >= SILENT_MAX && now_us < s->silent_until_us;
}

static void
give_answer(struct question *q, struct dns_packet *packet, const char *what)
{
	char why[RESOLVER_SERVER_TEXT_MAX + 64];
	const struct resolver_answer answer = {packet, why};
	struct resolver *r = q->resolver;

	snprintf(why, sizeof(why), "%s from %s", what,
		q->server != NULL ? q->server->address.text : "any resolver");
	r->rc.done(r->rc.owner, q->arg, &answer);
	q->magic = 0;
	free(q);
}

static void
to_front(struct question *q)
{
	STAILQ_INSERT_HEAD(&q->resolver->line, q, link);
}

/* From the first server again: other servers now, or another name. */
static void
start_again(struct question *q)
{
	q->tried = q->answered = 0;
	q->round = 0;
	q->server = NULL;
	to_front(q);
}

static uint32_t
bit_of(const struct question *q)
{
	return 1u << (q->server - q->resolver->servers);
}

/* It said something, but nothing that helps. Its mind will not change within seconds (RFC 9520 3.2). */
static void
try_others(struct question *q, const char *failure)
{
	q->failure = failure;
	q->answered |= bit_of(q);
	to_front(q);
}

/* C35: a resolver that refuses may be refusing the number. */
static void
slow_down(struct resolver *r)
{
	int64_t now_us = clock_mono(r->rc.clock);

	if (now_us - r->slowed_us < second_us)
		return;
	r->slowed_us = now_us;
	r->window_answers = 0;
	r->window = r->window / 2 > WINDOW_MIN ? r->window / 2 : WINDOW_MIN;
}

static void
speed_up(struct resolver *r)
{
	if (r->window == RESOLVER_WINDOW || ++r->window_answers < r->window)
		return;
	r->window_answers = 0;
	r->window = r->window + WINDOW_STEP < RESOLVER_WINDOW ? r->window + WINDOW_STEP : RESOLVER_WINDOW;
}

/* The answer ends in a name without records and without "there are none": the resolver leaves the rest to us.
 */
static bool
is_referral(const struct dns_packet *p)
{
	return p->rcode == DNS_RCODE_NOERROR && p->record_count == 0 && p->chain_count > 0 && !p->has_soa;
}

static void
follow_referral(struct question *q, const struct dns_packet *p)
{
	q->chain_count += p->chain_count;
	if (p->ttl_s < q->ttl_s)
		q->ttl_s = p->ttl_s;
	if (q->chain_count > DNS_CHAIN_MAX) {
		give_answer(q, NULL, "a CNAME loop");
		return;
	}
	memcpy(q->name, p->alias, sizeof(q->name));
	start_again(q);
}

static void
take_noerror(struct question *q, struct dns_packet *p)
{
	if (is_referral(p)) {
		follow_referral(q, p);
		return;
	}
	if (p->record_count == 0 && p->skipped_count > 0) {
		try_others(q, "malformed records");
		return;
	}
	if (q->ttl_s < p->ttl_s)
		p->ttl_s = q->ttl_s;
	speed_up(q->resolver);
	give_answer(q, p, dns_rcode_text(p->rcode));
}

/* An answer that came for the question; what is it worth? */
static void
judge(struct question *q, const uint8_t *bytes, size_t len)
{
	struct resolver *r = q->resolver;
	struct dns_packet *p = &r->packet;
	int err = dns_packet_parse(bytes, len, q->name, q->type, p);

	if (err == DNS_PACKET_ECHAIN) {
		give_answer(q, NULL, "a CNAME loop");
		return;
	}
	if (err < 0) {
		try_others(q, err == DNS_PACKET_ETRUNCATED ? "a truncated answer" : "a malformed answer");
		return;
	}
	switch (p->rcode) {
	case DNS_RCODE_NOERROR:
		take_noerror(q, p);
		return;
	case DNS_RCODE_NXDOMAIN:
		r->stats.nxdomains++;
		speed_up(r);
		give_answer(q, p, dns_rcode_text(p->rcode));
		return;
	case DNS_RCODE_FORMERR:
	case DNS_RCODE_NOTIMP:
	case RCODE_BADVERS:
		/* RFC 6891 7: so an old server says that it does not know EDNS. */
		if (q->has_edns) {
			q->server->is_plain = true;
			q->tried &= ~bit_of(q);
			to_front(q);
			return;
		}
		break;
	case DNS_RCODE_SERVFAIL:
		r->stats.servfails++;
		break;
	case DNS_RCODE_REFUSED:
		slow_down(r);
		break;
	default:
		break;
	}
	try_others(q, dns_rcode_text(p->rcode));
}

static void
note_silence(struct server *s)
{
	s->resolver->stats.timeouts++;
	if (++s->silent_count >= SILENT_MAX)
		s->silent_until_us = clock_mono(s->resolver->rc.clock) + silent_us;
}

static void
on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
	struct question *q = arg;
	struct resolver *r;

	assert(q->magic == QUESTION_MAGIC);
	r = q->resolver;
	assert(q->server->in_flight > 0);
	q->server->in_flight--;
	r->stats.in_flight--;
	TAILQ_REMOVE(&r->sent, q, sent);
	r->slow_count -= q->is_slow;
	if (r->is_closing) {
		free(q);
	} else if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED) {
		start_again(q);
	} else if (status != ARES_SUCCESS || bytes == NULL) {
		note_silence(q->server);
		q->failure = "no answer";
		to_front(q);
	} else {
		r->stats.answers++;
		q->server->silent_count = 0;
		judge(q, bytes, (size_t)len);
	}
}

/* --- servers --- */

static void pump(struct resolver *r);

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct server_socket *ss = arg;
	struct server *s = ss->server;

	ares_process_fd(
		s->channel, what & EV_READ ? fd : ARES_SOCKET_BAD, what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	pump(s->resolver);
}

static struct server_socket *
find_socket(struct server *s, evutil_socket_t fd)
{
	for (int i = 0; i < SERVER_SOCKETS; i++)
		if (s->sockets[i].fd == fd)
			return &s->sockets[i];
	return NULL;
}

static void
on_socket_state(void *arg, ares_socket_t fd, int is_read, int is_write)
{
	struct server *s = arg;
	struct server_socket *ss = find_socket(s, fd);
	short what = (short)((is_read ? EV_READ : 0) | (is_write ? EV_WRITE : 0) | EV_PERSIST);

	if (ss != NULL)
		event_del(&ss->event);
	else
		ss = find_socket(s, -1);
	if (ss == NULL)
		return; /* its questions then end by timeout */
	ss->fd = -1;
	if (!is_read && !is_write)
		return;
	ss->fd = fd;
	event_assign(&ss->event, s->resolver->rc.base, fd, what, on_socket, ss);
	event_add(&ss->event, NULL);
}

static void
server_close(struct server *s)
{
	ares_channel channel = s->channel;

	s->channel = NULL;
	s->is_plain = false;
	if (channel != NULL)
		ares_destroy(channel);
	assert(s->in_flight == 0);
}

static bool
server_open(struct server *s)
{
	char lookups[] = "b", nowhere[] = "/dev/null"; /* copied */
	struct resolver *r = s->resolver;
	struct ares_addr_port_node node = {.family = s->address.family};
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_STAYOPEN | ARES_FLAG_EDNS | ARES_FLAG_NOALIASES |
			 ARES_FLAG_NOCHECKRESP,
		.timeout = (int)(r->timeout_us / 1000),
		.tries = 1,
		.ednspsz = DNS_UDP_BYTES,
		.lookups = lookups,
		.resolvconf_path = nowhere,
		.socket_receive_buffer_size = SOCKET_BUFFER,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = s,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
		   ARES_OPT_LOOKUPS | ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB |
		   ARES_OPT_DOMAINS;

	if (ares_init_options(&s->channel, &o, mask) != ARES_SUCCESS) {
		s->channel = NULL;
		return false;
	}
	if (s->address.family == AF_INET)
		node.addr.addr4 = s->address.v4;
	else
		memcpy(&node.addr.addr6, &s->address.v6, sizeof(s->address.v6));
	node.udp_port = node.tcp_port = s->address.port;
	if (ares_set_servers_ports(s->channel, &node) != ARES_SUCCESS) {
		server_close(s);
		return false;
	}
	s->opened_us = clock_mono(r->rc.clock);
	return true;
}

/* C25. The file is small and looked at every 10 s at most, so the loop may do it. */
static bool
has_new_resolv(struct resolver *r)
{
	struct stat st;

	if (stat(r->rc.resolv_path, &st) != 0 || (st.st_mtim.tv_sec == r->resolv_mtime.tv_sec &&
							 st.st_mtim.tv_nsec == r->resolv_mtime.tv_nsec))
		return false;
	r->resolv_mtime = st.st_mtim;
	return true;
}

static bool
is_same_set(const struct resolver *r, const struct resolver_address *list, uint32_t count)
{
	if (count != r->server_count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(r->servers[i].address.text, list[i].text) != 0)
			return false;
	return true;
}

static bool
load_servers(struct resolver *r)
{
	struct resolver_address list[RESOLVER_SERVERS_MAX];
	uint32_t count = resolver_servers_read(r->conf, r->rc.resolv_path, list, RESOLVER_SERVERS_MAX);
	struct question *q;

	if (is_same_set(r, list, count))
		return false;
	for (uint32_t i = 0; i < r->server_count; i++)
		server_close(&r->servers[i]);
	STAILQ_FOREACH(q, &r->line, link)
	{
		q->tried = q->answered = 0;
		q->server = NULL;
	}
	r->server_count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct server *s = &r->servers[i];

		memset(s, 0, sizeof(*s));
		s->resolver = r;
		s->address = list[i];
		for (int k = 0; k < SERVER_SOCKETS; k++)
			s->sockets[k] = (struct server_socket){.server = s, .fd = -1};
	}
	return true;
}

static void
recheck_servers(struct resolver *r)
{
	int64_t now_us = clock_mono(r->rc.clock);

	if (r->conf->dns_servers.count > 0 || now_us - r->rechecked_us < recheck_us)
		return;
	r->rechecked_us = now_us;
	if (has_new_resolv(r))
		load_servers(r);
}

/* --- sending --- */

static bool
are_all_silent(const struct resolver *r, int64_t now_us)
{
	for (uint32_t i = 0; i < r->server_count; i++)
		if (!is_silent(&r->servers[i], now_us))
			return false;
	return true;
}

/* The first server in order that may still help; silent ones only when all are. NULL: none is left. */
static struct server *
choose(struct question *q)
{
	struct resolver *r = q->resolver;
	int64_t now_us = clock_mono(r->rc.clock);
	bool is_hopeless = are_all_silent(r, now_us);

	/* While nobody answers at all, one round has to do: the line is long and there is no hope in it. */
	for (; q->round < (is_hopeless ? 1 : r->tries); q->round++) {
		for (uint32_t i = 0; i < r->server_count; i++) {
			struct server *s = &r->servers[i];

			if ((q->tried | q->answered) & 1u << i)
				continue;
			if (is_hopeless || !is_silent(s, now_us))
				return s;
		}
		q->tried = 0;
	}
	return NULL;
}

static void
send_to(struct question *q, struct server *s)
{
	struct resolver *r = q->resolver;
	int64_t now_us = clock_mono(r->rc.clock);
	uint8_t packet[DNS_QUERY_MAX];
	size_t len;

	q->server = s;
	q->tried |= bit_of(q);
	if (s->silent_count >= SILENT_MAX)
		s->silent_until_us = now_us + silent_us; /* only this question finds out whether it is back */
	if (s->in_flight == 0 && s->channel != NULL && now_us - s->opened_us > renew_us)
		server_close(s);
	if (s->channel == NULL && !server_open(s)) {
		q->failure = "no socket for an answer";
		to_front(q);
		return;
	}
	q->has_edns = !s->is_plain;
	len = dns_packet_write_query(
		packet, q->name, q->type, (uint16_t)clock_random(r->rc.clock), q->has_edns);
	if (len == 0) {
		give_answer(q, NULL, "an alias that is no name"); /* the root, say */
		return;
	}
	q->sent_us = now_us;
	q->is_slow = false;
	TAILQ_INSERT_TAIL(&r->sent, q, sent);
	s->in_flight++;
	r->stats.in_flight++;
	r->stats.queries++;
	ares_send(s->channel, packet, (int)len, on_answer, q);
}

/* C24: names whose servers are slow or dead must not take the places of those that are answered in
 * milliseconds. The window guards against bursts of answers, and from slow ones none come. */
static void
count_slow(struct resolver *r)
{
	int64_t until_us = clock_mono(r->rc.clock) - slow_us;
	struct question *q;

	TAILQ_FOREACH(q, &r->sent, sent)
	{
		if (q->sent_us > until_us)
			break;
		r->slow_count += !q->is_slow;
		q->is_slow = true;
	}
}

static bool
has_room(const struct resolver *r)
{
	if (are_all_silent(r, clock_mono(r->rc.clock)))
		return r->stats.in_flight < r->window;
	return r->stats.in_flight - r->slow_count < r->window && r->slow_count < RESOLVER_SLOW_MAX;
}

static void
pump(struct resolver *r)
{
	const struct timeval tick = {0, tick_us};
	struct question *q;

	recheck_servers(r);
	while (has_room(r) && (q = STAILQ_FIRST(&r->line)) != NULL) {
		struct server *s = choose(q);

		STAILQ_REMOVE_HEAD(&r->line, link);
		if (s != NULL)
			send_to(q, s);
		else
			give_answer(q, NULL, q->failure);
	}
	if (r->stats.in_flight == 0)
		event_del(r->tick_event);
	else if (!event_pending(r->tick_event, EV_TIMEOUT, NULL))
		event_add(r->tick_event, &tick);
}

static void
on_pump(evutil_socket_t fd, short what, void *arg)
{
	pump(arg);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;

	for (uint32_t i = 0; i < r->server_count; i++)
		if (r->servers[i].in_flight > 0)
			ares_process_fd(r->servers[i].channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	count_slow(r);
	pump(r);
}

bool
resolver_ask(struct resolver *r, const char *name, uint16_t type, void *arg)
{
	uint8_t packet[DNS_QUERY_MAX];
	size_t len = strnlen(name, DOMAIN_MAX);
	struct question *q;

	if (dns_packet_write_query(packet, name, type, 0, true) == 0)
		return false;
	q = route_alloc(sizeof(*q));
	q->magic = QUESTION_MAGIC;
	q->resolver = r;
	q->arg = arg;
	q->type = type;
	q->failure = "no answer";
	q->ttl_s = UINT32_MAX;
	memcpy(q->name, name, len + 1);
	STAILQ_INSERT_TAIL(&r->line, q, link);
	event_active(r->pump_event, EV_TIMEOUT, 1);
	return true;
}

static void
take_conf(struct resolver *r, const struct conf *conf)
{
	const struct conf *old = r->conf;

	r->conf = conf_ref(conf);
	r->tries = (uint32_t)conf->dns_tries;
	r->timeout_us = conf->dns_timeout;
	if (old != NULL)
		conf_unref(old);
}

bool
resolver_reconfigure(struct resolver *r, const struct conf *conf)
{
	int64_t timeout_us = r->timeout_us;
	bool is_new_set;

	take_conf(r, conf);
	is_new_set = load_servers(r);
	for (uint32_t i = 0; i < r->server_count && timeout_us != r->timeout_us; i++)
		server_close(&r->servers[i]); /* opened again with the new timeout */
	event_active(r->pump_event, EV_TIMEOUT, 1);
	return is_new_set;
}

struct resolver *
resolver_create(const struct resolver_conf *rc, const struct conf *conf)
{
	struct resolver *r;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return NULL;
	r = route_alloc(sizeof(*r));
	r->rc = *rc;
	r->window = RESOLVER_WINDOW;
	STAILQ_INIT(&r->line);
	TAILQ_INIT(&r->sent);
	take_conf(r, conf);
	has_new_resolv(r);
	load_servers(r);
	r->rechecked_us = clock_mono(rc->clock);
	r->pump_event = event_new(rc->base, -1, 0, on_pump, r);
	r->tick_event = event_new(rc->base, -1, EV_PERSIST, on_tick, r);
	if (r->pump_event == NULL || r->tick_event == NULL)
		resolver_destroy(&r);
	return r;
}

void
resolver_destroy(struct resolver **rp)
{
	struct resolver *r = *rp;
	struct question *q;

	*rp = NULL;
	if (r == NULL)
		return;
	r->is_closing = true;
	for (uint32_t i = 0; i < r->server_count; i++)
		server_close(&r->servers[i]);
	while ((q = STAILQ_FIRST(&r->line)) != NULL) {
		STAILQ_REMOVE_HEAD(&r->line, link);
		free(q);
	}
	if (r->pump_event != NULL)
		event_free(r->pump_event);
	if (r->tick_event != NULL)
		event_free(r->tick_event);
	conf_unref(r->conf);
	free(r);
	ares_library_cleanup();
}

void
resolver_stats(const struct resolver *r, struct resolver_stats *out)
{
	const struct question *q;

	*out = r->stats;
	out->window = r->window;
	out->waiting = 0;
	STAILQ_FOREACH(q, &r->line, link)
	out->waiting++;
}

const char *
resolver_server(const struct resolver *r, uint32_t index)
{
	return index < r->server_count ? r->servers[index].address.text : NULL;
}
