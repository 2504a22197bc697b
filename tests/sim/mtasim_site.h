/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_SITE_H
#define MTASIM_SITE_H
/*
 * mtasim_site - the receiving systems at run time: their listeners, counters, limits and what they saw of
 * each client
 *
 * A unit is what counts and limits for itself: a site, or one host of a site with spread = yes. Peaks are
 * taken by the receiver's clock, so that a sender's limits can be judged from outside.
 *
 * Owner    main creates the sites; a session borrows its unit and client.
 * Memory   a record for each (unit, client address), at most SIM_CLIENTS_MAX in a unit; greylists grow to 4M
 * triplets. Thread   the base's. Fails    at create, with words on stderr.
 */
#include "mtasim_ca.h"
#include "mtasim_ledger.h"
#include "smtp_server.h"

#include <event2/util.h>

struct event_base;

enum { SIM_CLIENTS_MAX = 4096, SIM_ADDRESS_MAX = 16 };

/* Events in the present second and minute, and the most there were in one. */
struct sim_window {
	int64_t second, minute;
	uint32_t in_second, in_minute, peak_second, peak_minute;
};

struct sim_client {
	struct sim_client *next;
	struct in_addr address;
	char name[SIM_ADDRESS_MAX];
	uint32_t open, peak_open;
	struct sim_window connects, messages;
	uint32_t peak_rcpts;    /* in one transaction */
	uint32_t peak_messages; /* in one connection */
	int64_t rate_start_us, blocked_until_us;
	uint32_t rate_used;
};

struct sim_counts {
	uint64_t connections, open, messages, recipients, bytes;
	uint64_t deferred, rejected; /* replies of ours: 4xx, 5xx */
	uint64_t dropped;            /* connections cut by the script */
	uint64_t tls;
};

struct sim_greylist;

struct sim_unit {
	const struct sim_site *site;
	char name[80];
	SSL_CTX *tls; /* NULL: no usable certificate */
	struct smtp_server_conf conf;
	struct sim_counts counts;
	struct sim_client *clients;
	uint32_t client_count;
	uint32_t *rule_seen, *rule_hits; /* by position of the rule */
	struct sim_greylist *greylist;
	bool has_starttls_rule;
};

struct returns;
struct sim_sites;

/* What sessions and listeners share. */
struct sim {
	struct event_base *base;
	const struct sim_script *script;
	struct ledger *ledger;
	struct ca *ca;
	struct returns *returns;
	uint64_t seed;
	int64_t start_us; /* monotonic */
	uint64_t connections;
	uint16_t port;
};

/* The session takes fd. */
typedef void (*sim_on_arrival)(void *arg, struct sim_unit *unit, evutil_socket_t fd, struct in_addr peer);

struct sim_sites *sim_sites_create(struct sim *sim, sim_on_arrival on_arrival, void *arg);
void sim_sites_destroy(struct sim_sites **sp);
/* Unit number i; NULL behind the last one. */
struct sim_unit *sim_sites_unit(struct sim_sites *s, size_t i);
size_t sim_sites_listener_count(const struct sim_sites *s);

/* NULL: more than SIM_CLIENTS_MAX. Counts the connection as open. */
struct sim_client *sim_unit_enter(struct sim_unit *u, struct in_addr peer, int64_t now_us);
void sim_unit_leave(struct sim_unit *u, struct sim_client *c);
void sim_window_add(struct sim_window *w, int64_t now_us);
/* True: one more message is within the site's rate. False may begin a block. */
bool sim_client_may_send(const struct sim_unit *u, struct sim_client *c, int64_t now_us);
/* True: it is blocked, and this attempt makes it longer. */
bool sim_client_is_blocked(const struct sim_unit *u, struct sim_client *c, int64_t now_us);
/* True: seen long enough ago. */
bool sim_unit_knows(struct sim_unit *u, uint64_t triplet, int64_t now_us);

/* The rule that fits, NULL: none. `subject`: what the phase is about (address, name); NUL-terminated. */
const struct sim_rule *sim_unit_rule(
	const struct sim *sim, struct sim_unit *u, enum sim_phase phase, const char *subject);
#endif
