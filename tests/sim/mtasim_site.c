/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners, and the books of each receiving system.
 *
 * Invariants: a connection is counted a few turns of the event loop after it was accepted, so that a client
 * which closed one connection before it opened the next is never seen with both (its FIN was in our socket
 * first, but epoll promises no order). Every unit's counters are changed by its sessions only.
 */
#include "mtasim_site.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
	ACCEPT_BATCH = 64,
	SETTLE_TURNS = 3,
	BACKLOG = 1024,
	GREYLIST_MAX = 1 << 22,
	FILLERS = 2,
	ERRORS_MAX = 1000
};

struct sim_greylist {
	size_t mask, count;
	struct {
		uint64_t key;
		int64_t first_us;
	} * slots;
};

struct listener {
	struct sim_sites *sites;
	struct sim_unit *unit;
	struct event *event;
	int fd;
	int fillers[FILLERS]; /* of a host that hangs; -1: none */
};

struct arrival {
	STAILQ_ENTRY(arrival) link;
	struct sim_unit *unit;
	struct in_addr peer;
	int fd;
	int turns;
};

struct sim_sites {
	struct sim *sim;
	sim_on_arrival on_arrival;
	void *arg;
	struct sim_unit *units;
	size_t unit_count;
	struct listener *listeners;
	size_t listener_count;
	struct event *settle;
	STAILQ_HEAD(, arrival) arrivals;
};

/* --- the books --- */

void
sim_window_add(struct sim_window *w, int64_t now_us)
{
	if (w->second != now_us / 1000000) {
		w->second = now_us / 1000000;
		w->in_second = 0;
	}
	if (w->minute != now_us / 60000000) {
		w->minute = now_us / 60000000;
		w->in_minute = 0;
	}
	if (++w->in_second > w->peak_second)
		w->peak_second = w->in_second;
	if (++w->in_minute > w->peak_minute)
		w->peak_minute = w->in_minute;
}

struct sim_client *
sim_unit_enter(struct sim_unit *u, struct in_addr peer, int64_t now_us)
{
	struct sim_client *c;

	for (c = u->clients; c != NULL && c->address.s_addr != peer.s_addr; c = c->next)
		continue;
	if (c == NULL) {
		if (u->client_count >= SIM_CLIENTS_MAX || (c = calloc(1, sizeof(*c))) == NULL)
			return NULL;
		c->address = peer;
		(void)inet_ntop(AF_INET, &peer, c->name, sizeof(c->name));
		c->next = u->clients;
		u->clients = c;
		u->client_count++;
	}
	u->counts.connections++;
	u->counts.open++;
	if (++c->open > c->peak_open)
		c->peak_open = c->open;
	sim_window_add(&c->connects, now_us);
	return c;
}

void
sim_unit_leave(struct sim_unit *u, struct sim_client *c)
{
	assert(c->open > 0 && u->counts.open > 0);
	c->open--;
	u->counts.open--;
}

bool
sim_client_may_send(const struct sim_unit *u, struct sim_client *c, int64_t now_us)
{
	const struct sim_site *site = u->site;

	if (site->rate_count == 0)
		return true;
	if (now_us - c->rate_start_us >= site->rate_us) {
		c->rate_start_us = now_us;
		c->rate_used = 0;
	}
	if (c->rate_used >= site->rate_count) {
		c->blocked_until_us = now_us + site->block_us;
		return false;
	}
	c->rate_used++;
	return true;
}

bool
sim_client_is_blocked(const struct sim_unit *u, struct sim_client *c, int64_t now_us)
{
	if (now_us >= c->blocked_until_us)
		return false;
	c->blocked_until_us += u->site->block_push_us;
	return true;
}

static bool
greylist_grow(struct sim_greylist *g)
{
	struct sim_greylist old = *g;
	size_t slots = old.slots == NULL ? 1024 : 2 * (old.mask + 1), i, at;

	if (slots > GREYLIST_MAX || (g->slots = calloc(slots, sizeof(*g->slots))) == NULL) {
		*g = old;
		return false;
	}
	g->mask = slots - 1;
	for (i = 0; old.slots != NULL && i <= old.mask; i++) {
		if (old.slots[i].key == 0)
			continue;
		for (at = old.slots[i].key & g->mask; g->slots[at].key != 0; at = (at + 1) & g->mask)
			continue;
		g->slots[at].key = old.slots[i].key;
		g->slots[at].first_us = old.slots[i].first_us;
	}
	free(old.slots);
	return true;
}

bool
sim_unit_knows(struct sim_unit *u, uint64_t triplet, int64_t now_us)
{
	struct sim_greylist *g = u->greylist;
	size_t at;

	if (triplet == 0)
		triplet = 1; /* 0 marks an empty slot */
	if ((g->slots == NULL || g->count * 2 > g->mask) && !greylist_grow(g))
		return true;
	for (at = triplet & g->mask; g->slots[at].key != 0; at = (at + 1) & g->mask) {
		if (g->slots[at].key == triplet)
			return now_us - g->slots[at].first_us >= u->site->greylist_us;
	}
	g->slots[at].key = triplet;
	g->slots[at].first_us = now_us;
	g->count++;
	return false;
}

/*
 * The draw of a rule: for a recipient once and for all (an unknown user stays unknown), in other phases each
 * time anew, from the seed and the number of the event. The same seed and the same order of events give the
 * same faults.
 */
static bool
is_drawn(const struct sim *sim, struct sim_unit *u, size_t index, const char *subject)
{
	const struct sim_rule *rule = &u->site->rules[index];
	uint64_t seed = sim->seed + index * 0x9E3779B97F4A7C15u;
	uint64_t draw;

	if (rule->share >= 100.0)
		return true;
	if (rule->each || rule->phase != SIM_RCPT)
		draw = sim_hash(seed + u->rule_seen[index], u->name, strnlen(u->name, sizeof(u->name)));
	else
		draw = sim_hash(seed, subject, strnlen(subject, SMTP_ADDRESS_MAX + 1));
	return (double)(draw % 10000) < rule->share * 100.0;
}

const struct sim_rule *
sim_unit_rule(const struct sim *sim, struct sim_unit *u, enum sim_phase phase, const char *subject)
{
	size_t i;
	int64_t since_us;

	for (i = 0; i < u->site->rule_count; i++) {
		const struct sim_rule *rule = &u->site->rules[i];

		if (rule->phase != phase)
			continue;
		if (rule->match != NULL && fnmatch(rule->match, subject, FNM_CASEFOLD) != 0)
			continue;
		if (rule->from_us > 0 || rule->until_us > 0) {
			since_us = clock_mono(clock_real()) - sim->start_us;
			if (since_us < rule->from_us || (rule->until_us > 0 && since_us >= rule->until_us))
				continue;
		}
		u->rule_seen[i]++;
		if (u->rule_seen[i] <= rule->skip || (rule->count > 0 && u->rule_hits[i] >= rule->count) ||
			!is_drawn(sim, u, i, subject))
			continue;
		u->rule_hits[i]++;
		return rule;
	}
	return NULL;
}

/* --- listeners --- */

static void
on_settle(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval now = {0, 0};
	struct sim_sites *s = arg;
	struct arrival *a;

	STAILQ_FOREACH(a, &s->arrivals, link)
	{
		a->turns--;
	}
	while ((a = STAILQ_FIRST(&s->arrivals)) != NULL && a->turns <= 0) {
		STAILQ_REMOVE_HEAD(&s->arrivals, link);
		s->on_arrival(s->arg, a->unit, a->fd, a->peer);
		free(a);
	}
	if (!STAILQ_EMPTY(&s->arrivals))
		evtimer_add(s->settle, &now);
}

static void
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	const struct timeval now = {0, 0};
	struct listener *l = arg;
	struct sim_sites *s = l->sites;
	int i;

	for (i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_in peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(listen_fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct arrival *a;

		if (fd < 0)
			break;
		if ((a = calloc(1, sizeof(*a))) == NULL) {
			close(fd);
			break;
		}
		*a = (struct arrival){
			.unit = l->unit, .peer = peer.sin_addr, .fd = fd, .turns = SETTLE_TURNS};
		STAILQ_INSERT_TAIL(&s->arrivals, a, link);
	}
	if (!STAILQ_EMPTY(&s->arrivals) && !evtimer_pending(s->settle, NULL))
		evtimer_add(s->settle, &now);
}

/* With the queue of a listener full, Linux drops further SYNs: the client's connect times out. */
static void
fill_backlog(struct listener *l, const struct sockaddr_in *address)
{
	int i;

	for (i = 0; i < FILLERS; i++) {
		l->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (l->fillers[i] >= 0)
			(void)connect(l->fillers[i], (const struct sockaddr *)address, sizeof(*address));
	}
}

static bool
listen_on(struct sim_sites *s, struct sim_unit *u, const struct sim_host *host)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(s->sim->port), .sin_addr = host->address};
	struct listener *l = &s->listeners[s->listener_count];
	bool hangs = host->fault == SIM_FAULT_HANG;
	char text[SIM_ADDRESS_MAX];
	int one = 1;

	if (host->fault == SIM_FAULT_REFUSE)
		return true;
	l->sites = s;
	l->unit = u;
	l->fillers[0] = l->fillers[1] = -1;
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	s->listener_count++;
	if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
		bind(l->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
		listen(l->fd, hangs ? 0 : BACKLOG) != 0) {
		(void)inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
		fprintf(stderr, "mtasim: %s:%u: %s\n", text, s->sim->port, strerror(errno));
		return false;
	}
	if (hangs) {
		fill_backlog(l, &address);
		return true;
	}
	l->event = event_new(s->sim->base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
	return l->event != NULL && event_add(l->event, NULL) == 0;
}

static bool
unit_init(struct sim_unit *u, const struct sim_site *site, const struct sim_host *host, SSL_CTX *tls)
{
	size_t i;

	u->site = site;
	if (site->is_spread && host != NULL)
		snprintf(u->name, sizeof(u->name), "%.60s/%u", site->name, host->number);
	else
		snprintf(u->name, sizeof(u->name), "%.60s", site->name);
	if (tls != NULL && SSL_CTX_up_ref(tls) == 1)
		u->tls = tls;
	u->conf = (struct smtp_server_conf){
		.hostname = {site->hostname, strnlen(site->hostname, SMTP_DOMAIN_MAX)},
		.message_bytes_max = site->size_max,
		.rcpt_max = site->rcpt_max,
		.error_max = ERRORS_MAX,
		.junk_max = ERRORS_MAX,
		.has_starttls = site->tls != SIM_TLS_NONE,
		.tls_required = site->tls_required,
	};
	u->rule_seen = calloc(site->rule_count + 1, sizeof(*u->rule_seen));
	u->rule_hits = calloc(site->rule_count + 1, sizeof(*u->rule_hits));
	u->greylist = calloc(1, sizeof(*u->greylist));
	for (i = 0; i < site->rule_count; i++)
		u->has_starttls_rule |= site->rules[i].phase == SIM_STARTTLS;
	return u->rule_seen != NULL && u->rule_hits != NULL && u->greylist != NULL;
}

static bool
open_site(struct sim_sites *s, const struct sim_site *site)
{
	SSL_CTX *tls = NULL;
	struct sim_unit *u = NULL;
	bool done = true;
	uint32_t i;

	if (site->tls != SIM_TLS_NONE && site->tls != SIM_TLS_BROKEN &&
		(tls = ca_context(s->sim->ca, site)) == NULL)
		return false;
	for (i = 0; done && i < site->host_count; i++) {
		if (u == NULL || site->is_spread) {
			u = &s->units[s->unit_count++];
			done = unit_init(u, site, &site->hosts[i], tls);
		}
		done = done && listen_on(s, u, &site->hosts[i]);
	}
	SSL_CTX_free(tls);
	return done;
}

struct sim_sites *
sim_sites_create(struct sim *sim, sim_on_arrival on_arrival, void *arg)
{
	struct sim_sites *s = calloc(1, sizeof(*s));
	size_t hosts = 1, i;

	if (s == NULL)
		return NULL;
	for (i = 0; i < sim->script->site_count; i++)
		hosts += sim->script->sites[i].host_count;
	s->sim = sim;
	s->on_arrival = on_arrival;
	s->arg = arg;
	STAILQ_INIT(&s->arrivals);
	s->units = calloc(hosts, sizeof(*s->units));
	s->listeners = calloc(hosts, sizeof(*s->listeners));
	s->settle = evtimer_new(sim->base, on_settle, s);
	if (s->units == NULL || s->listeners == NULL || s->settle == NULL)
		goto failed;
	for (i = 0; i < sim->script->site_count; i++) {
		if (!open_site(s, &sim->script->sites[i]))
			goto failed;
	}
	return s;
failed:
	sim_sites_destroy(&s);
	return NULL;
}

static void
unit_fini(struct sim_unit *u)
{
	struct sim_client *c;

	while ((c = u->clients) != NULL) {
		u->clients = c->next;
		free(c);
	}
	SSL_CTX_free(u->tls);
	free(u->rule_seen);
	free(u->rule_hits);
	if (u->greylist != NULL)
		free(u->greylist->slots);
	free(u->greylist);
}

static void
listener_fini(struct listener *l)
{
	int i;

	if (l->event != NULL)
		event_free(l->event);
	if (l->fd >= 0)
		close(l->fd);
	for (i = 0; i < FILLERS; i++) {
		if (l->fillers[i] >= 0)
			close(l->fillers[i]);
	}
}

void
sim_sites_destroy(struct sim_sites **sp)
{
	struct sim_sites *s = *sp;
	struct arrival *a;
	size_t i;

	*sp = NULL;
	if (s == NULL)
		return;
	while ((a = STAILQ_FIRST(&s->arrivals)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->arrivals, link);
		close(a->fd);
		free(a);
	}
	for (i = 0; i < s->listener_count; i++)
		listener_fini(&s->listeners[i]);
	for (i = 0; i < s->unit_count; i++)
		unit_fini(&s->units[i]);
	if (s->settle != NULL)
		event_free(s->settle);
	free(s->listeners);
	free(s->units);
	free(s);
}

struct sim_unit *
sim_sites_unit(struct sim_sites *s, size_t i)
{
	return i < s->unit_count ? &s->units[i] : NULL;
}

size_t
sim_sites_listener_count(const struct sim_sites *s)
{
	return s->listener_count;
}
