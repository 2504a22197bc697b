/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_INT_H
#define LIBQUEUE_QUEUE_SCHED_INT_H
/*
 * queue_sched_int - what the files queue_sched*.c call of each other
 *
 *   queue_sched.c      create, add, settle, evict      _place.c  find, make and free the objects; routes
 *   _cell.c   the one place that moves a recipient     _way.c  whose turn it is
 *   _order.c  next()      _session.c  lanes and sessions      _lease.c  leases
 *   _time.c   the clock and its jumps, timers, expiry      _pause.c  pauses
 *   _gate.c   limits and who waits for them      _limits.c  those of the objects, from the settings
 *   _warm.c   warm-ups      _guard.c  guards      _user.c  quotas      _feedback.c  what comes back
 *   _health.c what lanes learn      _note.c  what the disk knows
 *   _admin.c  filters      _view.c  tables      _why.c  what mail waits for, and how fast it goes
 *   _snapshot.c  what is queued and known, for a simulation
 */
#include "queue_sched_objects.h"

/* queue_sched_place.c */
void *sched_alloc(struct queue_sched *q, size_t size);
void sched_free(struct queue_sched *q, void *p, size_t size);
void sched_text_set(struct queue_sched *q, struct sched_text **t, struct queue_blob b);
void sched_text_free(struct queue_sched *q, struct sched_text **t);
struct queue_blob sched_text_blob(const struct sched_text *t);
bool sched_name_is(const char *name, size_t len, struct queue_blob b);
struct sched_message *sched_message_of(struct sched_rcpt *r);
struct sched_message *sched_message_find(const struct queue_sched *q, queue_id id);
struct sched_stream *sched_stream_get(struct queue_sched *q, const struct queue_message *m);
void sched_stream_release(struct queue_sched *q, struct sched_stream *s);
struct sched_domain *sched_domain_find(const struct queue_sched *q, struct queue_blob name);
struct sched_domain *sched_domain_get(struct queue_sched *q, struct queue_blob name);
void sched_domain_set_policy(struct queue_sched *q, struct sched_domain *d);
void sched_domain_want(struct queue_sched *q, struct sched_domain *d);
/* It is empty: kept for its route, but not for long. */
void sched_domain_linger(struct queue_sched *q, struct sched_domain *d);
void sched_domain_free(struct queue_sched *q, struct sched_domain *d);
struct sched_site *sched_site_find(const struct queue_sched *q, struct queue_blob name);
struct sched_site *sched_site_get(struct queue_sched *q, struct queue_blob name); /* NULL: no memory */
void sched_site_release(struct queue_sched *q, struct sched_site *s);
/* NULL: no memory. */
struct queue_lane *sched_lane_get(struct queue_sched *q, struct sched_site *site, uint32_t source);
void sched_option_attach(struct sched_option *o, struct queue_lane *lane);
void sched_option_detach(struct queue_sched *q, struct sched_option *o);
void sched_lane_release(struct queue_sched *q, struct queue_lane *lane);

/* queue_sched_cell.c */
struct sched_cell *sched_cell_get(struct queue_sched *q, struct sched_domain *d, struct sched_stream *s,
	uint32_t pool, uint32_t sticky);
void sched_cell_release(struct queue_sched *q, struct sched_cell *cell);
void sched_cell_update(struct queue_sched *q, struct sched_cell *cell);
void sched_cell_reroute(struct queue_sched *q, struct sched_cell *cell);
void sched_rcpt_enter(struct queue_sched *q, struct sched_rcpt *r, enum sched_state state);
void sched_rcpt_move(struct queue_sched *q, struct sched_rcpt *r, enum sched_state state);
void sched_rcpt_move_front(struct queue_sched *q, struct sched_rcpt *r);
void sched_rcpt_rehome(struct queue_sched *q, struct sched_rcpt *r, struct sched_cell *cell);

/* queue_sched_time.c */
void sched_clock(struct queue_sched *q, int64_t now_us);
bool sched_rcpt_is_scheduled(struct sched_rcpt *r);
int64_t sched_rcpt_expires_us(const struct queue_sched *q, struct sched_rcpt *r);
bool sched_rcpt_has_own_limit(const struct queue_sched *q, struct sched_rcpt *r);
bool sched_is_expiry_held(const struct queue_sched *q, int64_t expires_us);
void sched_rcpt_arm(struct queue_sched *q, struct sched_rcpt *r);
void sched_domain_arm(struct queue_sched *q, struct sched_domain *d);
void sched_lane_arm(struct queue_sched *q, struct queue_lane *lane);
void sched_make_timed(struct queue_sched *q, struct sched_rcpt *r);
/* It is timed from the beginning. */
void sched_start_timed(struct sched_rcpt *r);
/* True: *out is an order. *out_more: there is more to do at this time. */
bool sched_timers(struct queue_sched *q, struct queue_order *out, bool *out_more);

/* queue_sched_session.c */
void sched_lane_able(struct queue_sched *q, struct queue_lane *lane, bool at_front);
void sched_lane_rests(struct queue_sched *q, struct queue_lane *lane);
void sched_lane_unstarve(struct queue_sched *q, struct queue_lane *lane);
bool sched_lane_has_mail(const struct queue_lane *lane);
void sched_way_try_lanes(struct queue_sched *q, struct sched_way *way);
bool sched_lane_is_paused(const struct queue_lane *lane);
void sched_session_place(struct queue_sched *q, struct queue_session *s);
void sched_session_order_close(struct queue_sched *q, struct queue_session *s);

/* queue_sched_health.c */
/* Connections its settings allow. */
uint32_t sched_lane_connections_max(const struct queue_lane *lane);
/* Connections it may have now, 0 while it is paused; messages of one, 0: any number. */
uint32_t sched_lane_connections(const struct queue_lane *lane);
uint32_t sched_lane_messages_max(const struct queue_lane *lane);
bool sched_lane_is_careful(const struct queue_lane *lane);
bool sched_lane_is_stopped(const struct queue_lane *lane);
bool sched_lane_is_learned(const struct queue_lane *lane);
int64_t sched_lane_health_us(const struct queue_lane *lane);
void sched_lane_fact(struct queue_sched *q, struct queue_lane *lane, const struct queue_recovery_fact *fact);
void sched_lane_signal(struct queue_sched *q, struct queue_lease *l, const struct queue_verdict *v);
/* Time has gone by, or the settings are others. */
void sched_lane_look(struct queue_sched *q, struct queue_lane *lane);
void sched_lane_reconfigured(struct queue_sched *q, struct queue_lane *lane);
bool sched_lane_set_profile_limits(struct queue_sched *q, struct queue_lane *lane);
bool sched_lane_clear(struct queue_sched *q, struct queue_lane *lane);
void sched_lane_forget(struct queue_sched *q, struct queue_lane *lane);
void sched_lane_health_fini(struct queue_sched *q, struct queue_lane *lane);
/* NULL: no such source now, or no memory. */
struct queue_lane *sched_lane_of_names(
	struct queue_sched *q, struct queue_blob site, struct queue_blob source);
void sched_lane_learned(
	struct queue_sched *q, struct queue_lane *lane, struct queue_blob profile, int64_t until_us);

/* queue_sched_limits.c */
struct queue_blob sched_source_name(const struct queue_sched *q, uint32_t source);
bool sched_limits_apply(struct queue_sched *q);
void sched_limits_fini(struct queue_sched *q);
/* Asks for what goes for it alone; before its limits are set. */
void sched_lane_find_own(struct queue_sched *q, struct queue_lane *lane);
bool sched_lane_set_limits(struct queue_sched *q, struct queue_lane *lane);
bool sched_site_set_limits(struct queue_sched *q, struct sched_site *site);
bool sched_site_is_quiet(struct queue_sched *q, struct sched_site *site);
bool sched_stream_set_limits(struct queue_sched *q, struct sched_stream *s);
/* Everything that limits mail of a cell and pool on a lane, by slot; NULL: no limit. Those before
 * SCHED_GATES_CONNECTED count connections. */
enum sched_gate_slot {
	SCHED_GATE_LANE,
	SCHED_GATE_PROFILE,
	SCHED_GATE_SITE,
	SCHED_GATE_SOURCE,
	SCHED_GATE_POOL,
	SCHED_GATE_ALL,
	SCHED_GATES_CONNECTED,
	SCHED_GATE_WARM = SCHED_GATES_CONNECTED,
	SCHED_GATES_OF_LANE,
	SCHED_GATE_STREAM = SCHED_GATES_OF_LANE,
	SCHED_GATE_USER,
	SCHED_GATE_SENDER, /* the warm-up of the sender domain */
	SCHED_GATES
};
/* Without a cell, whose mail it is, those of the lane alone. */
void sched_gates_of(struct queue_sched *q, const struct queue_lane *lane, uint32_t pool,
	const struct sched_cell *cell, struct sched_gate *gates[SCHED_GATES]);
/* A lease goes out: all its limits are taken from. */
void sched_limits_leased(
	struct queue_sched *q, struct queue_lease *l, struct queue_lane *lane, const struct sched_cell *cell);
/* A recipient of a lease comes back (l->open counts those that are still out). */
void sched_limits_settled(struct queue_sched *q, struct queue_lease *l, const struct sched_cell *cell,
	const struct queue_verdict *v);
/* A session of the lane comes (1) or goes (-1). */
void sched_limits_connected(struct queue_sched *q, struct queue_lane *lane, uint32_t pool, int by);
struct sched_share *sched_source(struct queue_sched *q, uint32_t source);
struct sched_share *sched_pool(struct queue_sched *q, uint32_t pool);

/* queue_sched_warm.c */
/* Makes lane->warm_gate that of its source and group, or NULL. False: no memory. */
bool sched_lane_set_warmup(struct queue_sched *q, struct queue_lane *lane);
/* The same of the flow and its sender domain. */
bool sched_flow_set_warmup(struct queue_sched *q, struct sched_flow *f);
/* So many recipients more of it may have their turn, or fewer: its way and the warm-up of its domain count
 * them. */
void sched_flow_count(struct sched_flow *f, int64_t by);
/* The plans are others: before anything looks at the old ones. Also of warm-ups that nothing uses now. */
void sched_warm_find_plans(struct queue_sched *q);
void sched_warm_demand(struct sched_gate *g, uint32_t rcpts);
int64_t sched_warm_ready_us(struct queue_sched *q, struct sched_gate *g);
int64_t sched_warm_room(struct queue_sched *q, struct sched_gate *g);
/* Makes *slot, which is NULL, a reference to g, where they are counted; unless g counts nothing now. */
void sched_warm_lease(struct queue_sched *q, struct sched_gate **slot, struct sched_gate *g, uint32_t rcpts);
void sched_warm_settle(struct queue_sched *q, struct sched_gate *g, enum queue_warmup_outcome outcome);
void sched_warm_complained(struct queue_sched *q, const struct queue_feedback *f);
bool sched_warm_wants_note(const struct sched_gate *g);
/* It is that of a sender domain. */
bool sched_warm_is_of_sender(const struct sched_gate *g);
int sched_warm_restore(
	struct queue_sched *q, struct queue_blob group, struct queue_blob source, struct queue_blob record);

/* queue_sched_lease.c */
void sched_stall(struct queue_sched *q);
/* NULL: no memory, and next() stays quiet for a second. */
struct queue_lease *sched_lease_create(struct queue_sched *q, struct sched_message *m, uint32_t room);
void sched_lease_add(struct queue_sched *q, struct queue_lease *l, struct sched_rcpt *r);
void sched_lease_free(struct queue_sched *q, struct queue_lease *l);
/* The first ready recipient of the cell, and others of its message that can go the same way. NULL: no memory.
 */
struct queue_lease *sched_lease_from(struct queue_sched *q, struct sched_cell *cell, uint32_t rcpts_max);

/* queue_sched_guard.c */
void sched_stream_find_guards(struct queue_sched *q, struct sched_stream *s);
void sched_guard_leave(struct sched_guard **slot);
/* A recipient of a session's lease comes back. */
void sched_guards_fed_back(struct queue_sched *q, const struct queue_feedback *f);
void sched_guards_settled(struct queue_sched *q, const struct queue_lease *l, struct sched_stream *s,
	const struct queue_verdict *v);
/* What guards have come to takes effect: limits and pauses. */
void sched_guards_apply(struct queue_sched *q);
/* The limits of a user or stream, less while its guard says so: then in *buf. */
const struct queue_limits *sched_guard_limits(
	const struct sched_guard *g, const struct queue_limits *limits, struct queue_limits *buf);
/* A pause has ended: the guard that had asked for it is released. */
void sched_guard_resumed(struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name);
void sched_guard_timers(struct queue_sched *q);
void sched_guards_reconfigured(struct queue_sched *q);
void sched_guards_shift(struct queue_sched *q, int64_t step_us);
void sched_guards_free(struct queue_sched *q);
/* NULL: it has none. */
const struct sched_guard *sched_guard_of_user(const struct queue_sched *q, struct queue_blob user);
bool sched_guard_is_over(const struct queue_sched *q, const struct sched_guard *g);
void sched_guard_noted(struct queue_sched *q, struct sched_guard *g, bool failed);
/* name: the kind as a digit, then as in struct sched_guard. */
int sched_guard_restore(struct queue_sched *q, struct queue_blob name, struct queue_blob record);

/* queue_sched_user.c */
/* Tells the host when a quota of the user is used up, or no longer; and of all that have mail. */
void sched_user_look(struct queue_sched *q, struct sched_user *u);
void sched_users_look(struct queue_sched *q);
/* A long limit of the stream or its user is used up: its mail waits for the next window. */
bool sched_stream_is_used_up(const struct queue_sched *q, const struct sched_stream *s);

/* queue_sched_view.c: buckets in an order that a growing table does not disturb; begins and ends with 0 */
uint64_t sched_walk_next(const struct queue_map *m, uint64_t at);
void sched_walk_table(const struct queue_map *m, struct queue_walk *walk,
	bool (*show)(void *arg, struct queue_map_node *n), void *arg);
/* The earliest due time of the waiting; INT64_MAX: none waits. */
int64_t sched_cell_next_us(struct sched_cell *cell);

/* queue_sched_why.c: how fast a site takes mail */
void sched_tally_add(struct sched_tally *t, int64_t now_us);
uint64_t sched_tally_per_hour(const struct sched_tally *t, int64_t now_us);
/* The session has become ready, or is through with a lease (else NULL): what it took, for the site. */
void sched_session_timed(struct queue_sched *q, struct queue_session *s, const struct queue_lease *l);

/* queue_sched_pause.c */
bool sched_is_paused(
	const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name, uint32_t source);
/* By a pause, or because it is down. */
bool sched_source_is_paused(const struct queue_sched *q, uint32_t source);
/* Until when, and why; unchanged when there is no such pause. */
void sched_pause_view(const struct queue_sched *q, enum queue_pause_kind kind, struct queue_blob name,
	uint32_t source, int64_t *out_until_us, struct queue_blob *out_reason);
/* A new stream learns which pauses hold for it. */
void sched_stream_ask_pauses(struct queue_sched *q, struct sched_stream *s);
/* The flags of a new flow. */
uint16_t sched_flow_ask_pauses(const struct queue_sched *q, const struct sched_flow *f);
/* The first pause that holds for it; false: none does. */
bool sched_stream_pause_view(
	const struct queue_sched *q, const struct sched_stream *s, struct queue_pause_view *out);
bool sched_flow_pause_view(
	const struct queue_sched *q, const struct sched_flow *f, struct queue_pause_view *out);
/* Of what is ready in it: only a resume lets it go. */
bool sched_cell_is_paused(const struct queue_sched *q, const struct sched_cell *cell);
void sched_pause_timers(struct queue_sched *q);
void sched_pauses_shift(struct queue_sched *q, int64_t step_us);
void sched_pauses_free(struct queue_sched *q);
#endif
