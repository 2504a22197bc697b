/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_H
#define LIBQUEUE_QUEUE_SCHED_H
/*
 * queue_sched - which recipients go where next: the whole schedule in memory, on a clock handed in
 *
 * Facts go in (add, routed, settle, session_*), orders come out (queue_sched_next). No I/O, no threads,
 * no clock, no SMTP.
 *
 *   domain   destination domain of a recipient; routing maps it to a site or says why not
 *   stream   (user, job, class, domain of the envelope sender): the unit of fairness, quotas and pauses
 *   cell     (domain, stream, pool or sticky source): a FIFO of ready recipients; what pausing takes away
 *   site     receiving system
 *   lane     (source, site): sessions and limits
 *   pool     sources among which mail is spread by weight; a message that names none goes by the pool of
 *            where it goes to, and that is pool 0 unless the policy says otherwise
 *   session  one outbound connection of a lane; holds at most two leases (the second is sent with
 *            the first's final dot)
 *   lease    recipients of one message for one site, handed out by an order, settled one by one
 *
 * Time     wall clock, handed in. Age limits hold in every state: ready, waiting, held, paused, not
 *          routed; leased recipients are judged when they are settled. When a call comes more than an
 *          hour after the one before (the process was stopped), nothing expires for ten minutes, so that
 *          what is due is tried first; queue_sched_wake_us() asks for a call each half hour at least.
 *          When the clock is set back, waits keep their length and no age is negative. That it was set
 *          ahead only the host can know (queue_sched_clock_ahead): then ages keep their length too.
 *          No due time is further away than the longest retry wait (at least a day, for explicit waits)
 *          with its jitter: longer ones, read at start, come from a wrong clock. The release of a message
 *          is a date and not a wait: no recipient that has not been tried is due before, however far away
 *          it is and however the clock is set; ages count from it.
 * Memory   aim: 256 bytes a queued recipient in all. Addresses and bodies are not here; the host keeps
 *          them with `body` (fresh mail) or loads them from the store by id. A domain without recipients
 *          is forgotten when its route has expired, ten minutes after its last recipient at the latest.
 * Thread   one owner, no locks. Callbacks may not call back.
 * Fails    QUEUE_ENOMEM from calls that add; nothing half-added stays. QUEUE_EINVAL from add: no
 *          recipients, too many, names that are too long, or an id that is queued already. next()
 *          without memory gives no order for a second.
 */
#include "queue_sched_conf.h"
#include "queue_types.h"

struct queue_sched;
struct queue_lease;
struct queue_lane;

QUEUE_MUST_USE int queue_sched_create(const struct queue_sched_conf *conf, struct queue_sched **out);
void queue_sched_destroy(struct queue_sched **qp);
/* Policies changed: forget cached ones, take the new totals, recompute expiries. Learned state stays. */
void queue_sched_reconfigured(struct queue_sched *q, const struct queue_sched_conf *conf, int64_t now_us);

/* The wall clock was set ahead by step_us: waits and ages keep their length. Before any call with a time
 * after the step. */
void queue_sched_clock_ahead(struct queue_sched *q, int64_t step_us);
/* Mail of an earlier run comes, and nobody knows whether the clock was right then or is now: what is over its
 * limit at now_us expires in ten minutes and not before, so that it is tried, and the clock may be mended. */
void queue_sched_doubt_ages(struct queue_sched *q, int64_t now_us);

/* --- facts --- */

struct queue_sched_rcpt {
	uint16_t n;
	uint16_t attempts;
	uint8_t flags;            /* QUEUE_RCPT_... */
	int64_t due_us;           /* 0 or past: ready */
	struct queue_blob domain; /* normalised by the host (lower case A-label) */
	uint32_t sticky_source;   /* source number + 1 it must use again; 0: any of its pool */
	uint32_t pool;            /* number; 0: the message names none */
};
/* A message accepted or read at start. `body` is the host's (may be NULL) and is given back by body_unref,
 * when all of its recipients that are left wait at the latest. */
QUEUE_MUST_USE int queue_sched_add(struct queue_sched *q, const struct queue_message *m,
	const struct queue_sched_rcpt *rcpts, uint32_t rcpt_count, void *body, int64_t now_us);
/* The host needs memory: it drops its body of this message (after this, leases carry body NULL). Oldest
 * first, up to `count` messages that are not leased; calls body_unref for each; returns how many. */
uint32_t queue_sched_evict(struct queue_sched *q, uint32_t count);

enum queue_route_kind {
	QUEUE_ROUTE_SITE, /* go there */
	QUEUE_ROUTE_WAIT, /* not now (DNS trouble): ask again at until_us; recipients wait, no attempt counts
			   */
	/* Never (NXDOMAIN, Null MX): every recipient of the domain that is ready, or gets ready until
	 * until_us, is handed out with QUEUE_ORDER_REJECT. Waiting, held and paused ones stay; their turn
	 * asks for the route again. */
	QUEUE_ROUTE_FAIL,
};
struct queue_route {
	enum queue_route_kind kind;
	struct queue_blob site;
	/* Valid until (a second at least): then RESOLVE is ordered with the next lease, which still goes the
	 * old way. */
	int64_t until_us;
	struct queue_blob why; /* WAIT and FAIL: in words, shown to the operator */
};
/* The answer to QUEUE_ORDER_RESOLVE. QUEUE_ENOMEM, QUEUE_EINVAL (no site): as if it had said "wait a minute",
 * or go on the old way. QUEUE_ENOTFOUND: nobody asked, the domain is not known. */
QUEUE_MUST_USE int queue_sched_routed(
	struct queue_sched *q, struct queue_blob domain, const struct queue_route *route, int64_t now_us);

/* Sessions: `session` is the pointer the host got with QUEUE_ORDER_OPEN. */
struct queue_session;
/* It can take mail from now on (connected, EHLO done). Until then only its first lease is with it. */
void queue_sched_session_ready(struct queue_sched *q, struct queue_session *s, bool can_overlap);
/* It takes no more mail: its connection is gone, though leases of it are still under way. */
void queue_sched_session_ends(struct queue_sched *q, struct queue_session *s);
enum queue_session_end {
	QUEUE_SESSION_OVER,
	QUEUE_SESSION_FAILED, /* it never became ready, and the site has a part in that: the lane learns from
				 it */
	QUEUE_SESSION_HINDERED, /* nor did it, for reasons of this machine alone: no address, port, route,
				   memory */
};
/* It is gone. All its leases must be settled before. Unless it is just over, the lane waits retry_after_us
 * before it opens another (0: at once) and tells `why` to the operator. */
void queue_sched_session_closed(struct queue_sched *q, struct queue_session *s, enum queue_session_end end,
	int64_t retry_after_us, struct queue_blob why, int64_t now_us);

enum queue_verdict_kind {
	QUEUE_VERDICT_DELIVERED,
	QUEUE_VERDICT_FAILED,    /* for good */
	QUEUE_VERDICT_LATER,     /* by the retry schedule, or after wait_us when > 0 */
	QUEUE_VERDICT_UNCERTAIN, /* LATER after uncertain_retry_us, same source */
	QUEUE_VERDICT_RETURN,    /* no attempt was made: ready again at once, at the front; costs nothing */
	QUEUE_VERDICT_EXPIRED,
	QUEUE_VERDICT_DROPPED, /* by an operator */
};
enum queue_signal {
	QUEUE_SIGNAL_ANSWERED, /* nothing: it is about the recipient or the message */
	QUEUE_SIGNAL_FAILED,   /* a timeout, a connection broken off */
	QUEUE_SIGNAL_SLOWER,   /* the site wants less */
	QUEUE_SIGNAL_CROWDED,  /* or fewer connections */
	QUEUE_SIGNAL_NONE,     /* nobody was asked */
};
/* What a LATER or FAILED is evidence of. */
enum queue_blame {
	QUEUE_BLAME_RECIPIENT, /* the address is no good: counts as bounced, for guards and warm-ups */
	QUEUE_BLAME_US,        /* our address or its reputation: counts as blocked, for warm-ups */
	QUEUE_BLAME_NOBODY,    /* this message, the site, the way: counts as neither */
};
struct queue_verdict {
	enum queue_verdict_kind kind;
	int64_t wait_us;         /* exact, without jitter; at most a day or the longest retry wait */
	struct queue_blob reply; /* unless of a success, kept (cut) for the operator */
	uint16_t code;           /* of the reply, 0: none */
	uint8_t set_flags;       /* LATER: QUEUE_RCPT_DELAY_SENT, to be remembered */
	bool next_source;        /* LATER: the reply blames the address; the next attempt is from another */
	/* LATER, FAILED, UNCERTAIN: what it says about the lane. */
	enum queue_signal signal;
	uint32_t keep;          /* SLOWER, CROWDED: per mille of the present speed; 0: as is usual */
	enum queue_blame blame; /* LATER, FAILED */
};
/* What became of the recipient: for the store and the event. */
struct queue_settled {
	/* LATER turns into EXPIRED when its next attempt would be past the age limit. */
	enum queue_verdict_kind kind;
	uint16_t n;
	uint16_t attempts;
	uint8_t flags;
	int64_t due_us;    /* LATER, UNCERTAIN */
	bool is_own_limit; /* EXPIRED: by its message's limit, not by its domain's */
	bool is_last;      /* the message has no queued recipient left: remove it from the store */
};
/* One recipient of the lease, by index 0..rcpt_count-1, once each. After the last one call
 * queue_sched_lease_done. */
void queue_sched_settle(struct queue_sched *q, struct queue_lease *l, uint32_t index,
	const struct queue_verdict *v, int64_t now_us, struct queue_settled *out);
void queue_sched_lease_done(struct queue_sched *q, struct queue_lease *take_lease, int64_t now_us);

/* --- orders --- */

enum queue_order_kind {
	QUEUE_ORDER_NONE,    /* nothing until queue_sched_wake_us() or the next fact */
	QUEUE_ORDER_RESOLVE, /* domain: find its route, answer with queue_sched_routed */
	QUEUE_ORDER_OPEN,    /* open a connection for session (lane: source, site), first lease included */
	QUEUE_ORDER_GIVE,    /* hand lease to an open session */
	QUEUE_ORDER_CLOSE,   /* session is idle or surplus: QUIT; answered by session_closed */
	QUEUE_ORDER_REJECT,  /* the domain's route is FAIL: settle lease as FAILED, for the reason in `why` */
	QUEUE_ORDER_EXPIRE,  /* over the age limit: settle lease as EXPIRED */
	/* Write `value` under `note` (an empty value: remove it), in the order of the orders, then call
	 * queue_sched_noted(). Mail that waits for a long limit goes when it is on disk. */
	QUEUE_ORDER_NOTE,
};
struct queue_noting;
struct queue_order {
	enum queue_order_kind kind;
	struct queue_blob domain; /* all but CLOSE: of the first recipient; valid until the next call */
	struct queue_blob site;   /* OPEN, GIVE */
	uint32_t source;          /* OPEN, GIVE */
	struct queue_session *session;
	struct queue_lease *lease;
	struct queue_blob why; /* REJECT: why the domain's route is FAIL, as given to queue_sched_routed */
	struct queue_blob note, value; /* NOTE: valid until the next call; 200 and 4,096 bytes at most */
	struct queue_noting *noting;   /* NOTE: for queue_sched_noted */
};
/* One order a call, until NONE. */
void queue_sched_next(struct queue_sched *q, int64_t now_us, struct queue_order *out);
/* What NOTE asked for is on disk; or failed, then it is asked for again. */
void queue_sched_noted(struct queue_sched *q, struct queue_noting *take_noting, bool failed, int64_t now_us);
/* At a clean stop, when no lease is out and none will be: exact notes in place of those that look ahead, to
 * be written after all that was ordered. */
typedef void queue_sched_visit_note(void *arg, struct queue_blob note, struct queue_blob value);
void queue_sched_last_notes(struct queue_sched *q, queue_sched_visit_note *visit, void *arg, int64_t now_us);
/* At start, before mail is added: a note whose name begins with QUEUE_SCHED_NOTES. QUEUE_EDAMAGED,
 * QUEUE_EINVAL (given already): nothing changed. */
#define QUEUE_SCHED_NOTES "pace/"
QUEUE_MUST_USE int queue_sched_restore(struct queue_sched *q, struct queue_blob value, int64_t now_us);
/* When next() could have something without a new fact; INT64_MAX: never. */
int64_t queue_sched_wake_us(const struct queue_sched *q);

/* What a rule makes of a reply: the session's lane is paused, slowed, or gets a profile, from a message begun
 * at begun_us on. Zeros do nothing. */
struct queue_reaction {
	int64_t begun_us, pause_us;
	uint32_t keep; /* per mille of the present speed */
	bool is_crowded;
	struct queue_blob profile; /* its name; empty: none */
	int64_t profile_us;
	struct queue_blob why;
};
/* False: there is no such profile; everything else is done. */
bool queue_sched_react(
	struct queue_sched *q, struct queue_session *s, const struct queue_reaction *r, int64_t now_us);
/* By an operator: the lanes of a site (of this source, or UINT32_MAX: of all) know nothing any more. Returns
 * how many had something to forget. */
uint32_t queue_sched_clear(struct queue_sched *q, struct queue_blob site, uint32_t source, int64_t now_us);

/* Leases, for the host. */
queue_id queue_lease_message(const struct queue_lease *l);
uint32_t queue_lease_rcpt_count(const struct queue_lease *l);
uint16_t queue_lease_rcpt(const struct queue_lease *l, uint32_t index); /* its n */
uint16_t queue_lease_attempts(const struct queue_lease *l, uint32_t index);
void *queue_lease_body(const struct queue_lease *l); /* the host's, or NULL: load from the store */
void queue_session_set_user(struct queue_session *s, void *user);
void *queue_session_user(const struct queue_session *s);

struct queue_sched_stats {
	uint64_t messages, rcpts, ready, waiting, leased, held;
	uint64_t domains, sites, sessions;
	uint64_t doubted; /* recipients added over their limit, see queue_sched_doubt_ages() */
	uint64_t bytes;   /* memory used, near enough */
};
void queue_sched_stats(const struct queue_sched *q, struct queue_sched_stats *out);

/* What operators do and see, and what comes back; in files of their own only for their length. */
#include "queue_sched_admin.h"
#include "queue_sched_feedback.h"
#include "queue_sched_user.h"
#endif
