/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_TURN_H
#define MTAD_BASE_TURN_H
/*
 * turn - costly steps of many wait in line, and a turn of the loop takes a few milliseconds of them
 *
 * A thousand TLS handshakes that are ready at once are half a second in which the loop answers nobody else.
 *
 * Owner    whoever embeds the struct, zeroed before its first use; it cancels before it frees it.
 * Thread   the base's; a thread has one line, and one base while anything waits in it.
 */
#include <stdbool.h>
#include <sys/queue.h>

struct event_base;

enum { TURN_US = 5000 }; /* of each turn of the loop; at least one step */

struct turn {
	TAILQ_ENTRY(turn) link;
	bool is_waiting;
	void (*step)(void *arg);
	void *arg;
};

/* step(arg) is called once, from the loop, after those that wait already. Nothing when it waits. */
void turn_wait(struct turn *t, struct event_base *base, void (*step)(void *arg), void *arg);
/* Not called any more. Nothing when it does not wait. */
void turn_cancel(struct turn *t);
#endif
