/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With one socket for each thread the kernel spreads connections and a session never changes threads. A first
 * bind without SO_REUSEPORT finds out whether another program (or another mtad) has the port: with it two
 * daemons of the same user would share the port in silence.
 */
#include "intake/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

/* A socket left behind by a killed daemon is removed; one that answers belongs to somebody, and what is no
 * socket was never ours. */
static bool
clear_unix_path(const struct conf_endpoint *e)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&e->address;
	struct stat st;
	bool in_use;
	int fd;

	if (lstat(un->sun_path, &st) != 0)
		return errno == ENOENT;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return false;
	}
	/* Not blocking: a full backlog (EAGAIN) is an answer too. */
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0)
		return false;
	in_use = connect(fd, (const struct sockaddr *)un, e->address_len) == 0 || errno == EAGAIN;
	close(fd);
	if (in_use) {
		errno = EADDRINUSE;
		return false;
	}
	return unlink(un->sun_path) == 0 || errno == ENOENT;
}

/* A listening socket, or -1 with errno. */
static int
bind_one(const struct conf_endpoint *e, bool share)
{
	int fd, one = 1, err;

	if (e->family == AF_UNIX && !clear_unix_path(e))
		return -1;
	if ((fd = socket(e->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0)
		return -1;
	if (e->family != AF_UNIX) {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (share)
			(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	}
	/* "*:587" is two endpoints: the v6 one must not take v4 as well. */
	if (e->family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&e->address, e->address_len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

static bool
is_taken(const struct conf_endpoint *e)
{
	int fd;

	if (e->family == AF_UNIX)
		return false;
	if ((fd = bind_one(e, false)) < 0)
		return errno == EADDRINUSE;
	close(fd);
	return false;
}

static bool
add(struct listener_set *set, size_t listen, const struct conf_endpoint *e, int fd)
{
	struct listener *grown = realloc(set->items, (set->count + 1) * sizeof(*grown));

	if (grown == NULL) {
		errno = ENOMEM;
		return false;
	}
	set->items = grown;
	grown[set->count++] = (struct listener){listen, e, fd};
	return true;
}

static bool
bind_endpoint(struct listener_set *sets, size_t threads, size_t listen, const struct conf_endpoint *e)
{
	size_t i;
	int fd;

	if (is_taken(e)) {
		errno = EADDRINUSE;
		return false;
	}
	if (e->family == AF_UNIX)
		threads = 1;
	for (i = 0; i < threads; i++) {
		if ((fd = bind_one(e, true)) < 0)
			return false;
		if (!add(&sets[i], listen, e, fd)) {
			close(fd);
			return false;
		}
	}
	if (e->family == AF_UNIX)
		(void)chmod(((const struct sockaddr_un *)&e->address)->sun_path, 0666);
	return true;
}

/* The descriptor of this address in a set, -1: none. */
static int
find_endpoint(const struct listener_set *set, const struct conf_endpoint *e)
{
	size_t k;

	for (k = 0; k < set->count; k++) {
		const struct conf_endpoint *other = set->items[k].endpoint;

		if (other->family == e->family && other->address_len == e->address_len &&
			memcmp(&other->address, &e->address, e->address_len) == 0)
			return set->items[k].fd;
	}
	return -1;
}

static bool
keep_endpoint(struct listener_set *sets, size_t threads, const struct listener_set *old, size_t listen,
	const struct conf_endpoint *e)
{
	size_t i;
	int fd;

	for (i = 0; i < threads; i++)
		if ((fd = find_endpoint(&old[i], e)) >= 0 && !add(&sets[i], listen, e, fd))
			return false;
	return true;
}

static const char *
hint(const struct conf_endpoint *e, int err)
{
	return err == EACCES && e->family != AF_UNIX
		       ? "; a port below 1024 needs CAP_NET_BIND_SERVICE, or a start as root (run-as)"
		       : "";
}

/* A kernel without IPv6 is no reason not to serve IPv4 (K4). */
static bool
is_of_no_use(const struct conf_endpoint *e, int err)
{
	return err == EAFNOSUPPORT || (e->family == AF_INET6 && err == EADDRNOTAVAIL);
}

struct listener_set *
listener_bind(const struct conf *conf, size_t threads, const struct listener_set *old, struct log *log,
	char *why, size_t why_max)
{
	struct listener_set *sets = calloc(threads, sizeof(*sets));
	size_t i, k;

	if (sets == NULL)
		return NULL;
	for (i = 0; i < conf->listen_count; i++) {
		const struct conf_listen *l = &conf->listens[i];

		for (k = 0; k < l->endpoints.count; k++) {
			const struct conf_endpoint *e = &l->endpoints.items[k];
			bool is_kept = old != NULL && find_endpoint(&old[0], e) >= 0;

			if (is_kept ? keep_endpoint(sets, threads, old, i, e)
				    : bind_endpoint(sets, threads, i, e)) {
				if (!is_kept)
					log_event(log, LOG_EVENT_listening, "listen=%s address=%s", l->name,
						e->text);
				continue;
			}
			if (is_of_no_use(e, errno)) {
				log_event(log, LOG_EVENT_listen_failed,
					"listen=%s address=%s why=\"%s\" skipped=yes", l->name, e->text,
					strerror(errno));
				continue;
			}
			snprintf(why, why_max, "%s: listen %s cannot bind %s: %s%s", l->at, l->name, e->text,
				strerror(errno), hint(e, errno));
			log_event(log, LOG_EVENT_listen_failed, "listen=%s address=%s why=\"%s\"", l->name,
				e->text, strerror(errno));
			listener_close(&sets, threads, old);
			return NULL;
		}
	}
	return sets;
}

bool
listener_has(const struct listener_set *set, int fd)
{
	size_t k;

	for (k = 0; k < set->count; k++)
		if (set->items[k].fd == fd)
			return true;
	return false;
}

static void
free_sets(struct listener_set *sets, size_t threads)
{
	size_t i;

	for (i = 0; i < threads; i++)
		free(sets[i].items);
	free(sets);
}

void
listener_close(struct listener_set **setsp, size_t threads, const struct listener_set *kept)
{
	struct listener_set *sets = *setsp;
	size_t i, k;

	*setsp = NULL;
	if (sets == NULL)
		return;
	for (i = 0; i < threads; i++)
		for (k = 0; k < sets[i].count; k++)
			if (kept == NULL || !listener_has(&kept[i], sets[i].items[k].fd))
				close(sets[i].items[k].fd);
	free_sets(sets, threads);
}

void
listener_replace(
	struct listener_set **setsp, size_t threads, struct listener_set *take_fresh, struct log *log)
{
	struct listener_set *sets = *setsp;
	size_t k;

	*setsp = take_fresh;
	for (k = 0; k < sets[0].count; k++)
		if (!listener_has(&take_fresh[0], sets[0].items[k].fd))
			log_event(log, LOG_EVENT_listen_ended, "address=%s", sets[0].items[k].endpoint->text);
	free_sets(sets, threads);
}

bool
listener_copy(const struct listener_set *set, struct listener_set *out)
{
	out->items = calloc(set->count + 1, sizeof(out->items[0]));
	if (out->items == NULL)
		return false;
	if (set->count > 0)
		memcpy(out->items, set->items, set->count * sizeof(out->items[0]));
	out->count = set->count;
	return true;
}
