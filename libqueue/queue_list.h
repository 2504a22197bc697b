/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_LIST_H
#define LIBQUEUE_QUEUE_LIST_H
/*
 * queue_list - doubly linked rings whose links live inside the objects
 *
 * A list head is a link that belongs to no object. A link that is in no list points to itself, so removing
 * twice is harmless and "is it in a list" needs no flag.
 *
 * Owner    the object that contains the link.
 * Memory   two pointers, nothing allocated.
 * Thread   the owner's.
 */
#include <stdbool.h>
#include <stddef.h>

struct queue_link {
	struct queue_link *next, *prev;
};

/* The object of `type` whose `member` is at `ptr`. */
#define QUEUE_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void
queue_link_init(struct queue_link *l)
{
	l->next = l;
	l->prev = l;
}
static inline bool
queue_link_is_alone(const struct queue_link *l)
{
	return l->next == l;
}
static inline void
queue_link_remove(struct queue_link *l)
{
	l->next->prev = l->prev;
	l->prev->next = l->next;
	queue_link_init(l);
}
/* `l` must be in no list. */
static inline void
queue_link_front(struct queue_link *head, struct queue_link *l)
{
	l->prev = head;
	l->next = head->next;
	head->next->prev = l;
	head->next = l;
}
static inline void
queue_link_back(struct queue_link *head, struct queue_link *l)
{
	queue_link_front(head->prev, l);
}
#endif
