/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of counters. An entry without connections whose bucket is full again and whose failures are
 * old tells nothing any more, unless it is a user's, and is freed when a new name needs room in its chain.
 */
#include "intake/limits.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, LIMITS_MAX = 200000, NAME_BYTES = 160 };
static const int64_t failure_window_us = INT64_C(600000000);

/* Client addresses, the latest first. */
struct familiar {
	char clients[LIMITS_FAMILIAR_MAX][LIMITS_CLIENT_MAX];
};

struct entry {
	struct entry *next;
	struct familiar *familiar; /* NULL: nobody had this user's password yet */
	int64_t connections;
	int64_t allowed_us; /* GCRA: the earliest time the bucket is full again */
	int64_t last_failure_us;
	unsigned failures;
	char name[];
};

struct limits {
	pthread_mutex_t lock;
	struct entry *buckets[BUCKETS];
	size_t count;
};

struct limits *
limits_create(void)
{
	struct limits *l = calloc(1, sizeof(*l));

	if (l != NULL)
		pthread_mutex_init(&l->lock, NULL);
	return l;
}

static void
entry_free(struct entry *e)
{
	free(e->familiar);
	free(e);
}

void
limits_destroy(struct limits **lp)
{
	struct limits *l = *lp;
	struct entry *e, *next;
	size_t i;

	*lp = NULL;
	if (l == NULL)
		return;
	for (i = 0; i < BUCKETS; i++)
		for (e = l->buckets[i]; e != NULL; e = next) {
			next = e->next;
			entry_free(e);
		}
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static bool
is_idle(const struct entry *e, int64_t now_us)
{
	return e->connections == 0 && e->familiar == NULL && e->allowed_us <= now_us &&
	       (e->failures == 0 || e->last_failure_us + failure_window_us <= now_us);
}

/* Under the lock. Made when it is new and `make`; NULL: unknown, or no room. */
static struct entry *
find(struct limits *l, const char *name, int64_t now_us, bool make)
{
	size_t len = strnlen(name, NAME_BYTES), i;
	uint32_t hash = 2166136261u;
	struct entry **p, *e;

	for (i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	for (p = &l->buckets[hash % BUCKETS]; (e = *p) != NULL;) {
		if (strncmp(e->name, name, len + 1) == 0)
			return e;
		if (make && is_idle(e, now_us)) {
			*p = e->next;
			entry_free(e);
			l->count--;
		} else
			p = &e->next;
	}
	if (!make || len == NAME_BYTES || l->count >= LIMITS_MAX ||
		(e = calloc(1, sizeof(*e) + len + 1)) == NULL)
		return NULL;
	memcpy(e->name, name, len);
	*p = e;
	l->count++;
	return e;
}

bool
limits_connect(struct limits *l, const char *name, int64_t max, int64_t mono_us)
{
	struct entry *e;
	bool ok;

	pthread_mutex_lock(&l->lock);
	e = find(l, name, mono_us, true);
	ok = e != NULL && e->connections < max;
	if (ok)
		e->connections++;
	pthread_mutex_unlock(&l->lock);
	return ok;
}

void
limits_disconnect(struct limits *l, const char *name)
{
	struct entry *e;

	pthread_mutex_lock(&l->lock);
	if ((e = find(l, name, 0, false)) != NULL && e->connections > 0)
		e->connections--;
	pthread_mutex_unlock(&l->lock);
}

bool
limits_message(struct limits *l, const char *name, struct conf_rate rate, int64_t mono_us)
{
	struct entry *e;
	int64_t step_us;
	bool ok;

	if (rate.count == 0)
		return true;
	/* Rounded up, so that the rate is never passed; and the burst is counted in steps, so that exactly
	 * `count` fit although count steps may be longer than per_us. */
	step_us = (rate.per_us + rate.count - 1) / rate.count;
	pthread_mutex_lock(&l->lock);
	e = find(l, name, mono_us, true);
	ok = e != NULL && e->allowed_us <= mono_us + (rate.count - 1) * step_us;
	if (ok)
		e->allowed_us = (e->allowed_us > mono_us ? e->allowed_us : mono_us) + step_us;
	pthread_mutex_unlock(&l->lock);
	return ok;
}

unsigned
limits_login_failed(struct limits *l, const char *name, int64_t mono_us)
{
	struct entry *e;
	unsigned failures = 1;

	pthread_mutex_lock(&l->lock);
	if ((e = find(l, name, mono_us, true)) != NULL) {
		if (e->last_failure_us + failure_window_us <= mono_us)
			e->failures = 0;
		e->last_failure_us = mono_us;
		failures = ++e->failures;
	}
	pthread_mutex_unlock(&l->lock);
	return failures;
}

unsigned
limits_login_failures(struct limits *l, const char *name, int64_t mono_us)
{
	struct entry *e;
	unsigned failures = 0;

	pthread_mutex_lock(&l->lock);
	if ((e = find(l, name, mono_us, false)) != NULL && e->last_failure_us + failure_window_us > mono_us)
		failures = e->failures;
	pthread_mutex_unlock(&l->lock);
	return failures;
}

/* Its place in the list; LIMITS_FAMILIAR_MAX: none. */
static size_t
find_familiar(const struct familiar *f, const char *client)
{
	size_t i = 0;

	while (i < LIMITS_FAMILIAR_MAX && strncmp(f->clients[i], client, LIMITS_CLIENT_MAX) != 0)
		i++;
	return i;
}

void
limits_login_worked(struct limits *l, const char *name, const char *client, int64_t mono_us)
{
	struct entry *e;
	size_t i;

	pthread_mutex_lock(&l->lock);
	e = find(l, name, mono_us, true);
	if (e != NULL && (e->familiar != NULL || (e->familiar = calloc(1, sizeof(*e->familiar))) != NULL)) {
		if ((i = find_familiar(e->familiar, client)) == LIMITS_FAMILIAR_MAX)
			i--; /* the oldest makes room */
		memmove(e->familiar->clients[1], e->familiar->clients[0], i * LIMITS_CLIENT_MAX);
		snprintf(e->familiar->clients[0], LIMITS_CLIENT_MAX, "%s", client);
	}
	pthread_mutex_unlock(&l->lock);
}

bool
limits_is_familiar(struct limits *l, const char *name, const char *client)
{
	const struct entry *e;
	bool is;

	pthread_mutex_lock(&l->lock);
	e = find(l, name, 0, false);
	is = e != NULL && e->familiar != NULL && find_familiar(e->familiar, client) < LIMITS_FAMILIAR_MAX;
	pthread_mutex_unlock(&l->lock);
	return is;
}

void
limits_client(const struct sockaddr_storage *peer, char buf[LIMITS_CLIENT_MAX])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
	struct in6_addr v6 = ((const struct sockaddr_in6 *)peer)->sin6_addr;
	char text[INET6_ADDRSTRLEN] = "local";
	bool is_v6 = peer->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&v6);

	if (is_v6) {
		memset(v6.s6_addr + 8, 0, 8);
		(void)inet_ntop(AF_INET6, &v6, text, sizeof(text));
	} else if (peer->ss_family == AF_INET6)
		(void)inet_ntop(AF_INET, v6.s6_addr + 12, text, sizeof(text));
	else if (peer->ss_family == AF_INET)
		(void)inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
	snprintf(buf, LIMITS_CLIENT_MAX, "client %s%s", text, is_v6 ? "/64" : "");
}
