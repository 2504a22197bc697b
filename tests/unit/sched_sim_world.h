/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_SCHED_SIM_WORLD_H
#define UNIT_SCHED_SIM_WORLD_H
/*
 * sched_sim_world - the model of test_queue_sched_sim.c: what it believes of messages, sessions and operators
 *
 * Owner    the test. Thread: one.
 */
#include "queue_names.h"
#include "queue_sources.h"

#define JITTER 20

enum {
	SEEDS = 9,
	STEPS = 2500,
	DOMAINS = 24,
	SITES = 8,
	SOURCES = 3,
	NAMES = 4, /* users, and jobs */
	RCPTS = 6, /* most of a message */
	MESSAGES = 40000,
	LIVE_MAX = 150,
	SESSIONS = 64,
	LEASES = 256,
	ORDERS_MAX = 20000,
};

struct m_rcpt {
	uint8_t domain;
	bool is_live, is_leased, is_held, is_doomed, is_seen;
	uint8_t attempts;
	uint32_t sticky, strict; /* source + 1 */
	int64_t due_us;
};
struct m_message {
	int64_t arrived_us, expire_us;
	uint8_t user, job, count;
	bool has_body;
	struct m_rcpt rcpts[RCPTS];
};
struct m_session {
	struct queue_session *s;
	uint32_t source;
	uint8_t site, leases;
	bool is_ready, can_overlap, is_closing, is_used;
};
struct m_lease {
	struct queue_lease *l;
	struct m_session *session;
};
struct m_domain {
	int site; /* as last answered; -1: none */
	bool is_asked, is_paused;
	int64_t answer_us;
};
struct world {
	struct queue_sched *q;
	struct queue_sched_conf conf;
	struct fake_sources fake;
	struct queue_policy policies[DOMAINS][SITES + 1];
	int64_t retry_us[4];
	int64_t now_us, last_us, grace_us;
	uint64_t random, seed;
	struct m_message *messages; /* by id, from 1 */
	queue_id last_id;
	uint32_t live, leased, session_count, bodies;
	struct m_domain domains[DOMAINS];
	struct m_session sessions[SESSIONS];
	struct m_lease leases[LEASES];
	bool site_paused[SITES], user_paused[NAMES], job_paused[NAMES], source_paused[SOURCES], all_paused,
		job_paused_at[NAMES * SITES];
	bool is_draining, has_jumps;
	uint64_t seen, states[6];
};
#endif
