/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_QUOTA_H
#define MTAD_QUEUE_QUOTA_H
/*
 * quota - until when the quotas of users are used up: the queue thread says it, intake asks
 *
 * The schedule counts what is sent, io threads decide what is taken; between them is one time for each user,
 * written by the queue thread alone and read without a lock. Finding a user's place takes one (rule zero: at
 * log-in and when a quota is used up or given back, not for each message). Places are never taken away; there
 * is one for each user that ever was in the configuration and came by.
 *
 * Owner    main. Thread: any, but for what says otherwise.
 */
#include "queue_types.h"

struct quotas;
struct quota;

struct quotas *quotas_create(void);
/* When no thread runs any more. */
void quotas_destroy(struct quotas **qp);
/* The user's place, made when it is new; valid until quotas_destroy(). NULL: no memory. */
struct quota *quota_of(struct quotas *q, struct queue_blob user);
/* It is used up: in words for the client, with the time in UTC, as its windows are. */
enum { QUOTA_WORDS_MAX = 120 };
bool quota_is_full(const struct quota *q, int64_t now_us, char words[QUOTA_WORDS_MAX]);

/* In the queue thread. until_us: wall clock; 0 or past: there is room. */
void quota_set(struct quota *q, int64_t until_us);
/* True the first time that it is asked for this day. */
bool quota_is_news(struct quota *q, int64_t day);
#endif
