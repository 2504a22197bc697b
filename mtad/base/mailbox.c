/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock-free stack that is always taken whole, so there is no ABA problem: push is one compare-and-swap,
 * take is one exchange followed by a reversal. The eventfd is written only by the push that found the box
 * empty.
 */
#include "base/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool
mailbox_init(struct mailbox *m)
{
	atomic_init(&m->head, NULL);
	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return m->fd >= 0;
}

void
mailbox_fini(struct mailbox *m)
{
	close(m->fd);
	m->fd = -1;
}

void
mailbox_post_all(struct mailbox *m, struct letter *take_newest, struct letter *oldest)
{
	struct letter *head = atomic_load_explicit(&m->head, memory_order_relaxed);
	uint64_t one = 1;
	ssize_t n;

	do {
		oldest->next = head;
	} while (!atomic_compare_exchange_weak_explicit(
		&m->head, &head, take_newest, memory_order_release, memory_order_relaxed));
	if (head != NULL)
		return;
	do {
		n = write(m->fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
	assert(n == sizeof(one) || errno == EAGAIN); /* EAGAIN: it already is as readable as can be */
}

void
mailbox_post(struct mailbox *m, struct letter *take_letter)
{
	mailbox_post_all(m, take_letter, take_letter);
}

struct letter *
mailbox_take(struct mailbox *m)
{
	struct letter *list, *next, *ordered = NULL;
	uint64_t count;
	ssize_t n;

	/* Clear the eventfd before taking: a post after the exchange finds the box empty and writes it again.
	 */
	do {
		n = read(m->fd, &count, sizeof(count));
	} while (n < 0 && errno == EINTR);
	list = atomic_exchange_explicit(&m->head, NULL, memory_order_acquire);
	for (; list != NULL; list = next) {
		next = list->next;
		list->next = ordered;
		ordered = list;
	}
	return ordered;
}
