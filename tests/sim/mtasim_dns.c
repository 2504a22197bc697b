/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DNS server's sockets. Connections over TCP stay open for many queries, because resolvers reuse them;
 * there a bufferevent is fast enough.
 *
 * Invariants: a read of UDP takes at most UDP_BATCH queries, so that mail goes on under a flood; held answers
 * are in one list and freed with the server.
 */
#include "mtasim_dns.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

enum { UDP_BATCH = 64, UDP_QUERY_MAX = 4096, TCP_MAX = 500, TCP_IDLE_S = 30, HELD_MAX = 10000 };

struct held {
	LIST_ENTRY(held) link;
	struct dns *dns;
	struct event *timer;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	size_t len;
	uint8_t bytes[];
};

struct tcp {
	LIST_ENTRY(tcp) link;
	struct dns *dns;
	struct bufferevent *stream;
};

struct dns {
	struct event_base *base;
	const struct sim_script *script;
	struct event *udp_event;
	struct evconnlistener *listener;
	int udp_fd;
	int64_t start_us;
	struct dns_counts counts;
	unsigned tcp_count, held_count;
	LIST_HEAD(, tcp) tcps;
	LIST_HEAD(, held) held;
	uint8_t answer[ZONE_ANSWER_MAX];
};

static void
count(struct dns *d, const struct zone_query *q, const struct zone_fact *fact, size_t len)
{
	if (q->is_tcp)
		d->counts.tcp++;
	else
		d->counts.udp++;
	if (fact->type == ZONE_MX)
		d->counts.mx++;
	else if (fact->type == ZONE_A || fact->type == ZONE_AAAA)
		d->counts.address++;
	else
		d->counts.other++;
	if (len == 0) {
		d->counts.silent++;
		return;
	}
	d->counts.rcodes[fact->rcode]++;
	d->counts.truncated += fact->is_truncated;
	d->counts.empty += fact->is_empty;
	d->counts.answered += fact->rcode == ZONE_NOERROR && !fact->is_truncated && !fact->is_empty;
}

static size_t
answer(struct dns *d, struct zone_query *q, struct zone_fact *out_fact)
{
	size_t len;

	q->since_start_us = clock_mono(clock_real()) - d->start_us;
	len = zone_answer(d->script, q, d->answer, out_fact);
	count(d, q, out_fact, len);
	return len;
}

static void
release(struct held *h)
{
	h->dns->held_count--;
	LIST_REMOVE(h, link);
	event_free(h->timer);
	free(h);
}

static void
on_held(evutil_socket_t fd, short what, void *arg)
{
	struct held *h = arg;

	(void)sendto(h->dns->udp_fd, h->bytes, h->len, 0, (struct sockaddr *)&h->peer, h->peer_len);
	release(h);
}

/* An answer that cannot be held is not sent: the asker's timeout covers it, as with a lost datagram. */
static void
hold(struct dns *d, const struct sockaddr_storage *peer, socklen_t peer_len, size_t len, int64_t delay_us)
{
	const struct timeval tv = {delay_us / 1000000, delay_us % 1000000};
	struct held *h;

	if (d->held_count >= HELD_MAX || (h = calloc(1, sizeof(*h) + len)) == NULL)
		return;
	h->dns = d;
	h->peer = *peer;
	h->peer_len = peer_len;
	h->len = len;
	memcpy(h->bytes, d->answer, len);
	if ((h->timer = evtimer_new(d->base, on_held, h)) == NULL) {
		free(h);
		return;
	}
	LIST_INSERT_HEAD(&d->held, h, link);
	d->held_count++;
	evtimer_add(h->timer, &tv);
}

static void
on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;
	uint8_t bytes[UDP_QUERY_MAX];
	struct sockaddr_storage peer;
	struct zone_fact fact;
	int i;

	for (i = 0; i < UDP_BATCH; i++) {
		socklen_t peer_len = sizeof(peer);
		ssize_t n =
			recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *)&peer, &peer_len);
		struct zone_query q = {.bytes = bytes, .len = n > 0 ? (size_t)n : 0};
		size_t len;

		if (n < 0)
			return;
		if ((len = answer(d, &q, &fact)) == 0)
			continue;
		if (fact.delay_us > 0)
			hold(d, &peer, peer_len, len, fact.delay_us);
		else
			(void)sendto(fd, d->answer, len, MSG_DONTWAIT, (struct sockaddr *)&peer, peer_len);
	}
}

static void
tcp_close(struct tcp *t)
{
	t->dns->tcp_count--;
	LIST_REMOVE(t, link);
	bufferevent_free(t->stream);
	free(t);
}

static void
on_tcp_event(struct bufferevent *stream, short what, void *arg)
{
	tcp_close(arg);
}

static void
on_tcp_bytes(struct bufferevent *stream, void *arg)
{
	struct tcp *t = arg;
	struct evbuffer *in = bufferevent_get_input(stream);
	struct zone_fact fact;
	uint8_t *bytes, prefix[2];
	size_t want, len;

	while (evbuffer_copyout(in, prefix, 2) == 2) {
		want = 2u + (size_t)(prefix[0] << 8 | prefix[1]);
		if (evbuffer_get_length(in) < want || (bytes = evbuffer_pullup(in, (ev_ssize_t)want)) == NULL)
			return;
		struct zone_query q = {.bytes = bytes + 2, .len = want - 2, .is_tcp = true};

		len = answer(t->dns, &q, &fact);
		evbuffer_drain(in, want);
		if (len == 0)
			continue;
		prefix[0] = (uint8_t)(len >> 8);
		prefix[1] = (uint8_t)len;
		bufferevent_write(stream, prefix, 2);
		bufferevent_write(stream, t->dns->answer, len);
	}
}

static void
on_tcp_accept(
	struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int peer_len, void *arg)
{
	const struct timeval idle = {TCP_IDLE_S, 0};
	struct dns *d = arg;
	struct tcp *t = NULL;

	if (d->tcp_count < TCP_MAX && (t = calloc(1, sizeof(*t))) != NULL)
		t->stream = bufferevent_socket_new(d->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (t == NULL || t->stream == NULL) {
		free(t);
		close(fd);
		return;
	}
	t->dns = d;
	d->tcp_count++;
	LIST_INSERT_HEAD(&d->tcps, t, link);
	bufferevent_setcb(t->stream, on_tcp_bytes, NULL, on_tcp_event, t);
	bufferevent_set_timeouts(t->stream, &idle, &idle);
	bufferevent_enable(t->stream, EV_READ | EV_WRITE);
}

struct dns *
dns_create(struct event_base *base, const struct sim_script *s, const struct sockaddr_in *address)
{
	struct dns *d = calloc(1, sizeof(*d));
	int buffer_bytes = 4 << 20, err;

	if (d == NULL)
		return NULL;
	d->base = base;
	d->script = s;
	d->start_us = clock_mono(clock_real());
	LIST_INIT(&d->tcps);
	LIST_INIT(&d->held);
	d->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->udp_fd < 0 || bind(d->udp_fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		goto failed;
	/* A cold start of mtad asks for thousands of domains at once; a full buffer would look like a
	 * timeout. */
	(void)setsockopt(d->udp_fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes));
	d->listener = evconnlistener_new_bind(base, on_tcp_accept, d,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC, 128,
		(const struct sockaddr *)address, sizeof(*address));
	d->udp_event = event_new(base, d->udp_fd, EV_READ | EV_PERSIST, on_udp, d);
	if (d->listener == NULL || d->udp_event == NULL || event_add(d->udp_event, NULL) != 0)
		goto failed;
	return d;
failed:
	err = errno;
	dns_destroy(&d);
	errno = err;
	return NULL;
}

void
dns_destroy(struct dns **dp)
{
	struct dns *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	while (!LIST_EMPTY(&d->tcps))
		tcp_close(LIST_FIRST(&d->tcps));
	while (!LIST_EMPTY(&d->held))
		release(LIST_FIRST(&d->held));
	assert(d->tcp_count == 0 && d->held_count == 0);
	if (d->udp_event != NULL)
		event_free(d->udp_event);
	if (d->listener != NULL)
		evconnlistener_free(d->listener);
	if (d->udp_fd >= 0)
		close(d->udp_fd);
	free(d);
}

const struct dns_counts *
dns_counts(const struct dns *d)
{
	return &d->counts;
}
