/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_DELIVER_DELIVER_IMPL_H
#define MTAD_DELIVER_DELIVER_IMPL_H
/*
 * deliver_impl - what the parts of the sending side share: deliver.c (what sessions of a thread have in
 * common, and the letters), session.c (one connection) and dial.c (which addresses it may be made to)
 *
 * Owner    deliver.h. Thread: its io thread's. Included by these files only.
 */
#include "base/tls.h"
#include "base/wire.h"
#include "deliver/deliver.h"
#include "deliver/hosts.h"
#include "deliver/transfer.h"

enum { ORDER_MAX = 50, TRANSFERS = 2 };

enum session_state { SS_CONNECTING, SS_TALKING, SS_HANDSHAKE, SS_ENDED };

struct deliver {
	struct deliver_conf conf;
	struct hosts *hosts;
	struct tls_cache *tls_cache;
	SSL_CTX *tls_plain, *tls_verify; /* opportunistic, and with the certificate checked */
	uint64_t verify_number;          /* of tls_verify, from 1: a reload makes the next one */
	struct deliver_session *first;
	uint32_t count;
	bool is_stopping;
};

struct deliver_session {
	unsigned magic;
	struct deliver_session *next, **prev;
	struct deliver *d;
	struct outbound *o;
	struct wire *wire;
	struct smtp_client *smtp;
	enum session_state state;
	struct transfer transfers[TRANSFERS];
	struct job *waiting[TRANSFERS]; /* jobs not yet in the engine, in order */
	unsigned waiting_count;
	uint16_t order[ORDER_MAX];
	uint32_t order_count, order_next;
	const struct route_address *peer;
	const char *host;
	unsigned faults; /* of the present host */
	bool was_ready;
	bool has_told_421;   /* the reply that ended it is in the verdict of a recipient */
	bool is_helo_only;   /* this connection is the second to the address, which broke on EHLO */
	bool is_sites_fault; /* an address of the site failed */
	bool is_short;       /* what it lacked may be there at any moment: an address, a port, a descriptor */
	bool is_hindered; /* this machine lacked what one of them needed: a local address, a port, a route */
	enum smtp_client_phase timed_phase; /* where the session was when its timer was set */
	uint32_t timed_replies;
	uint64_t timed_bytes;
	struct verdict_output failed; /* of the last address, for all that waits */
	struct tls_slot tls_slot;
	char tls_name[300], tls_words[48], peer_ip[48], local_ip[48];
	char failure[QUEUE_REPLY_MAX]; /* its words */
};

/* session.c: each may end the session, and free it. */

/* With o->first as its first job, which it takes. False: no memory, nothing was done. */
bool deliver_session_open(struct deliver *d, struct outbound *o);
/* False: as many wait already as it takes; the job is still the caller's. */
bool deliver_session_take(struct deliver_session *s, struct job *take_job);
/* No more mail: after the present ones QUIT; a session still connecting just ends. */
void deliver_session_quit(struct deliver_session *s, const char *why);
/* Now: of the mail inside nobody knows how it ended. */
void deliver_session_cut(struct deliver_session *s, const char *why);

/* --- dial.c --- */

/* The source's address of this family; NULL: the system chooses. False: it has none although it has
 * addresses. */
bool dial_from(const struct conf_source *source, sa_family_t family, const struct sockaddr **out);
/* The addresses of this attempt, in order; those of `host` (empty: none) first. */
void dial_choose(struct deliver_session *s, const char *host);
void dial_address_text(const struct route_address *address, char *buf, socklen_t max);
/* This errno of the present address says no more than that the machine has no IPv6. */
bool dial_is_without_v6(const struct deliver_session *s, int err);
#endif
