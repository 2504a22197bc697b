/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_WATCHDOG_H
#define MTAD_BASE_WATCHDOG_H
/*
 * watchdog - does every thread still finish turns? Asked by a letter each few seconds; a silent thread is
 * logged
 *
 * Owner    main. Thread: the main thread; the letters run in the watched ones.
 */
#include "base/log.h"
#include "base/worker.h"

struct watchdog;

struct watchdog *watchdog_create(struct log *log, const struct clock *clock);
void watchdog_add(struct watchdog *w, struct worker *worker, const char *name);
/* Asks those that have answered, logs those that have not for `limit_us`. True: all answered in time. */
bool watchdog_ask(struct watchdog *w, int64_t limit_us);
/* After the watched workers were joined. */
void watchdog_destroy(struct watchdog **wp);
#endif
