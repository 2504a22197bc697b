/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_SHAPE_SANDBOX_H
#define MTAD_SHAPE_SANDBOX_H
/*
 * sandbox - which users an operator has let out of their sandbox, and what the sandbox leaves of their limits
 *
 * A user is new, and in its sandbox, as long as nobody said otherwise: what is remembered are those who are
 * out. It stands in the spool, as a note for each, so it outlives restarts and changes of the configuration;
 * a user whose block is taken away and comes back is known again.
 *
 * Owner    the queue thread. Fails: false without memory, and nothing changed.
 */
#include "conf/conf.h"
#include "queue_limits.h"

struct sandbox;

enum {
	SANDBOX_USER_MAX = 180, /* bytes of a name: what a note of the spool can be called by */
	SANDBOX_WORDS_MAX = 300,
	SANDBOX_NOTE_MAX = 8 + 2 + 2 * (SANDBOX_WORDS_MAX + 1),
};
#define SANDBOX_NOTES "user/"

struct sandbox_lift {
	int64_t at_us;
	char who[SANDBOX_WORDS_MAX];
	char reason[SANDBOX_WORDS_MAX]; /* "": none was given */
};

struct sandbox *sandbox_create(void);
void sandbox_destroy(struct sandbox **sp);

/* NULL: nobody has let it out. Valid until its next change. */
const struct sandbox_lift *sandbox_lifted(const struct sandbox *s, struct queue_blob user);
bool sandbox_lift(struct sandbox *s, struct queue_blob user, const struct sandbox_lift *lift);
/* False: it was not out. */
bool sandbox_return(struct sandbox *s, struct queue_blob user);

/* For the spool; the bytes used of buf. Decode: false when it is damaged. */
size_t sandbox_encode(const struct sandbox_lift *lift, uint8_t buf[SANDBOX_NOTE_MAX]);
bool sandbox_decode(struct queue_blob value, struct sandbox_lift *out);

/* A user's own limits (NULL: none), and of recipients those of its sandbox too: of two for one window the
 * tighter. Valid until the next call. */
const struct queue_limits *sandbox_limits(
	struct sandbox *s, const struct queue_limits *own, const struct conf_rates *rates);
/* Whether this limit of recipients is the sandbox's, and would be another without it. */
bool sandbox_is_tighter(const struct conf_rates *rates, const struct conf_rates *own, struct queue_rate rate);
#endif
