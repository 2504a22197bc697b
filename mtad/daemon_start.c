/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start and stop order: daemon_start() is the list, daemon_end() the same list read upwards. Ports and the
 * control socket are bound before root is dropped, the spool is opened after it.
 */
#include "daemon.h"

#include "control/control.h"
#include "feedback/suppress.h"
#include "intake/limits.h"
#include "intake/reader.h"
#include "intake/signer.h"
#include "io.h"
#include "queue/dispatch.h"
#include "queue/quota.h"
#include "queue/recover.h"
#include "queue/spool.h"
#include "report/outlets.h"
#include "report/report.h"

#include <errno.h>
#include <event2/event.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum {
	WATCHDOG_SECONDS = 2,
	SILENT_US = 20000000, /* a thread that answers nothing for so long is an error */
	MODE_DIR = 0700,
};

/* --- signals and the watchdog --- */

static void
rotate_reports(void *object, bool flag)
{
	char why[300];

	(void)report_rotate(object, why, sizeof(why)); /* the log has it */
}

static void
on_reload(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	if (!d->app.is_stopping)
		(void)app_reload(&d->app, stderr);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	const struct timeval now = {0, 0};
	struct daemon *d = arg;

	switch (number) {
	case SIGTERM:
	case SIGINT:
		app_stop(&d->app);
		return;
	case SIGHUP:
		/* libevent calls once for each signal: those that come during a reload are one more, and
		 * mtactl is answered in between (H6). */
		event_add(d->reload, &now);
		return;
	case SIGUSR1: /* logrotate */
		(void)daemon_call(report_worker(d->app.report), d->app.report, rotate_reports, false);
		return;
	default:
		return;
	}
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	struct timeval tv = {WATCHDOG_SECONDS, 0};

	if (watchdog_ask(d->watchdog, SILENT_US))
		(void)sd_notify(0, "WATCHDOG=1");
	(void)memory_give_back(&d->app.memory);
	daemon_warn_daily(d);
	event_add(d->watch, &tv);
}

static bool
add_events(struct daemon *d)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	struct timeval tv = {WATCHDOG_SECONDS, 0};
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		d->signals[i] = evsignal_new(d->app.base, numbers[i], on_signal, d);
		if (d->signals[i] == NULL || event_add(d->signals[i], NULL) != 0)
			return false;
	}
	d->reload = event_new(d->app.base, -1, 0, on_reload, d);
	d->tick = event_new(d->app.base, -1, 0, daemon_on_tick, d);
	d->watch = event_new(d->app.base, -1, 0, on_watch, d);
	return d->reload != NULL && d->tick != NULL && d->watch != NULL && event_add(d->watch, &tv) == 0;
}

/* The folder of a file or the folder itself, given to the account the daemon will run as. */
static bool
make_dir(const char *path, const struct passwd *owner, char *why, size_t why_max)
{
	if (mkdir(path, MODE_DIR) != 0 && errno != EEXIST) {
		snprintf(why, why_max, "cannot make %s: %s", path, strerror(errno));
		return false;
	}
	if (owner != NULL && chown(path, owner->pw_uid, owner->pw_gid) != 0) {
		snprintf(why, why_max, "cannot give %s to %s: %s", path, owner->pw_name, strerror(errno));
		return false;
	}
	return true;
}

/* The folder of a report file, when it is not there yet: one that exists belongs to whoever made it. */
static bool
make_folder_of(const char *file, const struct passwd *owner, char *why, size_t why_max)
{
	const char *slash = strrchr(file, '/');
	char folder[4096];

	if (slash == NULL || slash == file)
		return true;
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - file), file);
	return access(folder, F_OK) == 0 || make_dir(folder, owner, why, why_max);
}

/* Also makes the folders that this account may not be able to make afterwards. */
static bool
drop_root(const struct conf *conf, char *why, size_t why_max)
{
	bool drops = geteuid() == 0 && conf->run_as[0] != '\0';
	const struct passwd *owner = drops ? getpwnam(conf->run_as) : NULL;

	if (drops && owner == NULL) {
		snprintf(why, why_max, "run-as: there is no account \"%s\"", conf->run_as);
		return false;
	}
	if ((drops && !make_dir(conf->spool_dir, owner, why, why_max)) ||
		!make_folder_of(conf->accounting_file, owner, why, why_max) ||
		!make_folder_of(conf->accounting_json, owner, why, why_max))
		return false;
	if (!drops)
		return true;
	if (initgroups(owner->pw_name, owner->pw_gid) != 0 || setgid(owner->pw_gid) != 0 ||
		setuid(owner->pw_uid) != 0 || setuid(0) == 0) {
		snprintf(why, why_max, "cannot become %s: %s", owner->pw_name, strerror(errno));
		return false;
	}
	return true;
}

static bool
open_store(struct app *a, char *why, size_t why_max)
{
	char words[DAEMON_WHY_MAX] = "";
	const struct queue_store_conf sc = {
		.dir = a->conf->spool_dir, .why = words, .why_max = sizeof(words)};
	int err = queue_store_open(&sc, &a->store);

	if (err < 0)
		snprintf(why, why_max, "spool %s: %s", a->conf->spool_dir,
			words[0] != '\0' ? words : queue_err_text(err));
	return err == 0;
}

static size_t
threads_of(int64_t wanted)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return wanted > 0 ? (size_t)wanted : cores > 0 ? (size_t)cores : 1;
}

static bool
make_signers(struct daemon *d)
{
	struct app *a = &d->app;
	size_t i;

	a->signer_count = threads_of(a->conf->sign_threads);
	a->signers = calloc(a->signer_count, sizeof(a->signers[0]));
	d->sign_workers = calloc(a->signer_count, sizeof(d->sign_workers[0]));
	if (a->signers == NULL || d->sign_workers == NULL)
		return false;
	for (i = 0; i < a->signer_count; i++) {
		const struct signer_conf sc = {a->clock, a->log, &a->memory, a->store, (unsigned)i};

		if ((a->signers[i] = signer_create(&sc)) == NULL)
			return false;
		d->sign_workers[i] = signer_worker(a->signers[i]);
		signer_connect(a->signers[i], spool_worker(a->spool));
		signer_reconfigure(a->signers[i], a->conf, a->keys);
	}
	return true;
}

static bool
make_ios(struct daemon *d, char *why, size_t why_max)
{
	struct app *a = &d->app;
	const struct io_peers peers = {dispatch_worker(a->dispatch), a->spool, d->sign_workers,
		a->signer_count, reader_worker(a->reader)};
	size_t i;

	for (i = 0; i < a->io_count; i++) {
		const struct io_conf ic = {a->clock, a->log, &a->memory, a->limits, a->store, a->quotas,
			a->suppress, (unsigned)i};
		const struct intake_change change = {a->conf, a->conf->dkim_count > 0, &d->listeners[i]};

		if ((a->ios[i] = io_create(&ic)) == NULL || !io_connect(a->ios[i], &peers) ||
			!io_reconfigure(a->ios[i], &change, why, why_max))
			return false;
		d->io_workers[i] = io_worker(a->ios[i]);
	}
	return true;
}

static bool
start_workers(struct daemon *d)
{
	struct app *a = &d->app;
	bool ok = worker_start(spool_worker(a->spool)) && worker_start(report_worker(a->report)) &&
		  worker_start(outlets_worker(a->outlets)) && worker_start(dispatch_worker(a->dispatch));
	size_t i;

	watchdog_add(d->watchdog, spool_worker(a->spool), "spool");
	watchdog_add(d->watchdog, report_worker(a->report), "report");
	watchdog_add(d->watchdog, outlets_worker(a->outlets), "outlets");
	watchdog_add(d->watchdog, dispatch_worker(a->dispatch), "queue");
	for (i = 0; ok && i < a->signer_count; i++) {
		ok = worker_start(d->sign_workers[i]);
		watchdog_add(d->watchdog, d->sign_workers[i], "sign");
	}
	ok = ok && worker_start(reader_worker(a->reader));
	watchdog_add(d->watchdog, reader_worker(a->reader), "reader");
	for (i = 0; ok && i < a->io_count; i++) {
		ok = worker_start(d->io_workers[i]);
		watchdog_add(d->watchdog, d->io_workers[i], "io");
	}
	return ok && recover_start(a->recover);
}

/* Everything that needs the rights of root. */
static bool
bind_all(struct daemon *d, char *why, size_t why_max)
{
	struct app *a = &d->app;

	a->io_count = threads_of(a->conf->io_threads);
	a->ios = calloc(a->io_count, sizeof(a->ios[0]));
	d->io_workers = calloc(a->io_count, sizeof(d->io_workers[0]));
	if (a->ios == NULL || d->io_workers == NULL)
		return false;
	d->listeners = listener_bind(a->conf, a->io_count, NULL, a->log, why, why_max);
	if (d->listeners == NULL)
		return false;
	a->control = control_create(a, why, why_max);
	return a->control != NULL && drop_root(a->conf, why, why_max);
}

bool
daemon_start(struct daemon *d, char *why, size_t why_max)
{
	struct app *a = &d->app;

	snprintf(why, why_max, "out of memory");
	if ((a->base = event_base_new()) == NULL || (a->limits = limits_create()) == NULL ||
		(a->quotas = quotas_create()) == NULL ||
		(d->watchdog = watchdog_create(a->log, a->clock)) == NULL)
		return false;
	if (!bind_all(d, why, why_max) ||
		(d->certificate_ends = daemon_check_secrets(a->conf, why, why_max)) == NULL ||
		(a->keys = signer_keys_load(a->conf, why, why_max)) == NULL || !open_store(a, why, why_max) ||
		(a->suppress = suppress_create(a->store, why, why_max)) == NULL)
		return false;

	const struct spool_conf sc = {a->clock, a->log, a->conf, a->store, a->suppress, NULL, NULL};
	const struct report_conf rc = {a->clock, a->log, a->conf, a->store};
	const struct outlets_conf oc = {a->clock, a->log, a->store};
	const struct reader_conf ec = {a->clock, a->log, a->store};
	const struct dispatch_conf dc = {a->clock, a->log, &a->memory, a->conf, a->store, a->quotas};

	if ((a->outlets = outlets_create(&oc)) == NULL ||
		(a->report = report_create(&rc, why, why_max)) == NULL ||
		(a->spool = spool_create(&sc)) == NULL || (a->dispatch = dispatch_create(&dc)) == NULL ||
		(a->reader = reader_create(&ec)) == NULL || !reader_reconfigure(a->reader, a->conf) ||
		!make_signers(d) || !make_ios(d, why, why_max))
		return false;

	const struct dispatch_peers peers = {
		d->io_workers, a->io_count, d->sign_workers, a->signer_count, spool_worker(a->spool)};

	spool_connect(a->spool, dispatch_worker(a->dispatch), report_worker(a->report));
	report_connect(a->report, spool_worker(a->spool), a->outlets);
	outlets_connect(a->outlets, report_worker(a->report));
	dispatch_connect(a->dispatch, &peers);
	reader_connect(a->reader, spool_worker(a->spool), dispatch_worker(a->dispatch));
	a->recover = recover_create(a->store, dispatch_worker(a->dispatch), a->log, a->clock);
	if (a->recover == NULL || !add_events(d))
		return false;
	d->has_threads = true;
	return start_workers(d) && control_start(a->control);
}

/* --- end: daemon_start read upwards --- */

static void
end_worker(struct worker *w)
{
	worker_stop(w);
	worker_join(w);
}

static void
flush_reports(void *object, bool flag)
{
	report_flush(object);
}

static void
end_threads(struct daemon *d)
{
	struct app *a = &d->app;
	size_t i;

	for (i = 0; i < a->io_count; i++)
		end_worker(d->io_workers[i]);
	end_worker(reader_worker(a->reader));
	for (i = 0; i < a->signer_count; i++)
		end_worker(d->sign_workers[i]);
	end_worker(dispatch_worker(a->dispatch));
	end_worker(outlets_worker(a->outlets));
	/* The spool after the report, so that the last "these events are in the files" is kept. */
	(void)daemon_call(report_worker(a->report), a->report, flush_reports, false);
	end_worker(report_worker(a->report));
	end_worker(spool_worker(a->spool));
}

static void
free_event(struct event *e)
{
	if (e != NULL)
		event_free(e);
}

void
daemon_end(struct daemon *d)
{
	struct app *a = &d->app;
	size_t i;

	recover_destroy(&a->recover);
	if (d->has_threads)
		end_threads(d);
	control_destroy(&a->control);
	for (i = 0; a->ios != NULL && i < a->io_count; i++)
		io_destroy(&a->ios[i]);
	for (i = 0; a->signers != NULL && i < a->signer_count; i++)
		signer_destroy(&a->signers[i]);
	reader_destroy(&a->reader);
	dispatch_destroy(&a->dispatch);
	spool_destroy(&a->spool);
	report_destroy(&a->report);
	outlets_destroy(&a->outlets);
	suppress_destroy(&a->suppress);
	queue_store_close(&a->store);
	listener_close(&d->listeners, a->io_count, NULL);
	watchdog_destroy(&d->watchdog);
	limits_destroy(&a->limits);
	quotas_destroy(&a->quotas);
	signer_keys_unref(a->keys);
	for (i = 0; i < sizeof(d->signals) / sizeof(d->signals[0]); i++)
		free_event(d->signals[i]);
	free_event(d->reload);
	free_event(d->tick);
	free_event(d->watch);
	if (a->base != NULL)
		event_base_free(a->base);
	free(d->certificate_ends);
	free(a->ios);
	free(a->signers);
	free(d->io_workers);
	free(d->sign_workers);
}
