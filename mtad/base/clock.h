/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_CLOCK_H
#define MTAD_BASE_CLOCK_H
/*
 * clock - the only place that reads time and chance, so that tests can hand in their own
 *
 * Thread   the real clock may be used from any thread.
 */
#include <stdbool.h>
#include <stdint.h>

struct clock {
	int64_t (*wall_us)(void *arg); /* Unix epoch: what is stored, logged and scheduled */
	int64_t (*mono_us)(void *arg); /* never jumps: protocol timeouts, rates */
	uint32_t (*random)(void *arg); /* not for keys */
	void *arg;
};

/* The machine's. Never fails. */
const struct clock *clock_real(void);

/* Nobody keeps the wall clock right (chrony, systemd-timesyncd ...). False also where the kernel does not
 * tell. */
bool clock_is_adrift(void);

/* Notices that somebody set the wall clock, or that the machine slept: then it goes another way than the
 * monotonic one. Begins as zeros; one thread. */
struct clock_watch {
	int64_t lead_us; /* of the wall clock, at the last look */
	bool has_lead;
};
/* The wall clock's time. *out_step_us: how far it was set since the last look; 0 for less than two seconds (a
 * slew, or this thread waited between the two clocks). */
int64_t clock_watch_now(struct clock_watch *w, const struct clock *c, int64_t *out_step_us);

static inline int64_t
clock_now(const struct clock *c)
{
	return c->wall_us(c->arg);
}
static inline int64_t
clock_mono(const struct clock *c)
{
	return c->mono_us(c->arg);
}
static inline uint32_t
clock_random(const struct clock *c)
{
	return c->random(c->arg);
}
#endif
