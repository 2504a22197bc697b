/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_DAEMON_H
#define MTAD_DAEMON_H
/*
 * daemon - what only main.c and its parts (start, reload, stop) share: the app and the things it is run with
 *
 * Owner    main(). Thread: the main thread.
 */
#include "app.h"
#include "base/watchdog.h"
#include "base/worker.h"
#include "intake/listener.h"

struct event;

enum { DAEMON_WHY_MAX = 400 };

struct daemon {
	struct app app;
	struct listener_set *listeners;
	struct worker **io_workers, **sign_workers;
	struct watchdog *watchdog;
	struct event *signals[4], *reload, *tick, *watch;
	int64_t *certificate_ends; /* of app.conf->listens[i]; see daemon_check_secrets */
	int64_t warned_day;        /* since 1970 */
	int64_t stop_begun_us;     /* monotonic */
	int ready_fd;              /* of the waiting parent; -1: foreground */
	bool is_cut;
	bool has_threads; /* the workers may run */
};

/* daemon_start.c: everything in order; false and words: the process ends. */
bool daemon_start(struct daemon *d, char *why, size_t why_max);
/* The same list read upwards, after the loop has ended or a start has failed, wherever that was. */
void daemon_end(struct daemon *d);
/* daemon_reload.c: certificates and keys of a configuration are tried before anything uses it. When the
 * certificate of each conf->listens[i] ends (seconds since 1970; INT64_MAX: there is none), to be freed; NULL
 * and words. */
int64_t *daemon_check_secrets(const struct conf *conf, char *why, size_t why_max);
/* daemon_warn.c: certificates that have ended or soon will; to `out` like mistakes of the configuration, to
 * the log; either may be NULL. Nothing is refused for it. */
void daemon_warn_of_certificates(
	const struct conf *conf, const int64_t *ends, int64_t now_us, FILE *out, struct log *log);
/* What nobody may have noticed: at the first call and then once a day. */
void daemon_warn_daily(struct daemon *d);
/* daemon_stop.c: asks whether everybody is done, until that is so or the time is over. */
void daemon_on_tick(int fd, short what, void *arg);
/* Runs `run` in a worker with this object; the call frees itself. False: no memory. */
bool daemon_call(struct worker *w, void *object, void (*run)(void *object, bool flag), bool flag);
#endif
