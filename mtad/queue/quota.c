/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of places under one mutex; what is in a place is not under it.
 */
#include "queue/quota.h"

#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct quota {
	_Atomic int64_t until_us;
	int64_t day; /* of the last news; the queue thread's */
	size_t name_len;
	const char *name; /* behind it */
};

struct quotas {
	pthread_mutex_t lock;
	void *tree; /* by name, for tsearch(3) */
};

static int
by_name(const void *a, const void *b)
{
	const struct quota *x = a, *y = b;

	if (x->name_len != y->name_len)
		return x->name_len > y->name_len ? 1 : -1;
	return x->name_len > 0 ? memcmp(x->name, y->name, x->name_len) : 0;
}

struct quotas *
quotas_create(void)
{
	struct quotas *q = calloc(1, sizeof(*q));

	if (q != NULL)
		pthread_mutex_init(&q->lock, NULL);
	return q;
}

void
quotas_destroy(struct quotas **qp)
{
	struct quotas *q = *qp;
	struct quota *one;

	*qp = NULL;
	if (q == NULL)
		return;
	while (q->tree != NULL) {
		one = *(struct quota **)q->tree;
		(void)tdelete(one, &q->tree, by_name);
		free(one);
	}
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* Under the lock. */
static struct quota *
make(struct quotas *q, struct queue_blob user)
{
	struct quota *one = calloc(1, sizeof(*one) + user.len);
	char *name;

	if (one == NULL)
		return NULL;
	name = (char *)(one + 1);
	if (user.len > 0)
		memcpy(name, user.ptr, user.len);
	one->name = name;
	one->name_len = user.len;
	if (tsearch(one, &q->tree, by_name) != NULL)
		return one;
	free(one);
	return NULL;
}

struct quota *
quota_of(struct quotas *q, struct queue_blob user)
{
	const struct quota key = {.name = user.ptr, .name_len = user.len};
	struct quota *const *at, *one;

	pthread_mutex_lock(&q->lock);
	at = tfind(&key, &q->tree, by_name);
	one = at != NULL ? *at : make(q, user);
	pthread_mutex_unlock(&q->lock);
	return one;
}

bool
quota_is_full(const struct quota *q, int64_t now_us, char words[QUOTA_WORDS_MAX])
{
	int64_t until_us = atomic_load_explicit(&q->until_us, memory_order_relaxed);
	time_t at = (time_t)(until_us / 1000000);
	struct tm tm;

	if (until_us <= now_us)
		return false;
	gmtime_r(&at, &tm);
	(void)strftime(words, QUOTA_WORDS_MAX,
		"Recipient quota of this user is used up until %Y-%m-%d %H:%M UTC, try again then", &tm);
	return true;
}

void
quota_set(struct quota *q, int64_t until_us)
{
	atomic_store_explicit(&q->until_us, until_us, memory_order_relaxed);
}

bool
quota_is_news(struct quota *q, int64_t day)
{
	bool is_news = q->day != day;

	q->day = day;
	return is_news;
}
