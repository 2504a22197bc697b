/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start and stop order. Start is the list in app_start(), stop the same list read upwards in app_end(). The
 * main thread then only waits for signals, the control socket and the watchdog's clock.
 */
#include "app.h"
#include "base/tls.h"
#include "base/watchdog.h"
#include "control/control.h"
#include "intake/limits.h"
#include "intake/listener.h"
#include "intake/signer.h"
#include "io.h"
#include "queue/dispatch.h"
#include "queue/recover.h"
#include "queue/spool.h"
#include "report/report.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <openssl/ssl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum {
	WHY_MAX = 400,
	TICK_US = 50000, /* how often a stop looks whether everybody is done */
	WATCHDOG_US = 2000000,
	SILENT_US = 20000000,     /* a thread that answers nothing for so long is an error */
	FORCE_EXTRA_US = 5000000, /* after sessions were cut */
	MODE_DIR = 0700,
};

/* main's own; app.h is what others may know. */
struct daemon {
	struct app app;
	struct listener_set *listeners;
	struct worker **io_workers, **sign_workers;
	struct watchdog *watchdog;
	struct event *signals[5], *tick, *watch;
	int64_t stop_begun_us; /* monotonic */
	int ready_fd;          /* of the waiting parent; -1: foreground */
	bool is_cut;
};

static struct daemon *
daemon_of(struct app *a)
{
	return (struct daemon *)a;
}

static void
say(const char *what, const char *why)
{
	fprintf(stderr, "mtad: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
}

/* --- reload
 * ------------------------------------------------------------------------------------------------------- */

enum reload_target { RELOAD_SPOOL, RELOAD_REPORT, RELOAD_DISPATCH, RELOAD_SIGNER, RELOAD_IO };

/* One thread's part of a reload; frees itself when it has run. */
struct reload {
	struct call call;
	enum reload_target target;
	void *object;
	const struct conf *conf;
	struct signer_keys *keys;
	bool has_keys;
	struct log *log;
};

static void
run_reload(struct call *c)
{
	struct reload *r = (struct reload *)c;
	char why[WHY_MAX] = "out of memory";
	bool ok = true;

	switch (r->target) {
	case RELOAD_SPOOL:
		spool_reconfigure(r->object, r->conf);
		break;
	case RELOAD_REPORT:
		report_reconfigure(r->object, r->conf);
		break;
	case RELOAD_DISPATCH:
		ok = dispatch_reconfigure(r->object, r->conf);
		break;
	case RELOAD_SIGNER:
		signer_reconfigure(r->object, r->conf, r->keys);
		break;
	case RELOAD_IO:
		ok = io_reconfigure(r->object, r->conf, r->has_keys, why, sizeof(why));
		break;
	}
	if (!ok)
		log_event(
			r->log, LOG_EVENT_config_refused, "why=\"a thread keeps the old settings: %s\"", why);
	signer_keys_unref(r->keys);
	conf_unref(r->conf);
	free(r);
}

static bool
prepare_reload(struct reload **out, struct app *a, const struct conf *conf, struct signer_keys *keys,
	enum reload_target target)
{
	struct reload *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return false;
	r->call.letter.kind = LETTER_CALL;
	r->call.run = run_reload;
	r->target = target;
	r->conf = conf_ref(conf);
	r->keys = signer_keys_ref(keys);
	r->has_keys = conf->dkim_count > 0;
	r->log = a->log;
	*out = r;
	return true;
}

/* Posts every part, or none when there is no memory for all. */
static bool
spread(struct app *a, const struct conf *conf, struct signer_keys *keys)
{
	struct daemon *d = daemon_of(a);
	size_t count = 3 + a->signer_count + a->io_count, n = 0, i;
	struct reload **parts = calloc(count, sizeof(*parts));
	struct worker **workers = calloc(count, sizeof(*workers));
	bool ok = parts != NULL && workers != NULL;

	for (i = 0; ok && i < count; i++) {
		enum reload_target target = i < 3                     ? (enum reload_target)i
					    : i < 3 + a->signer_count ? RELOAD_SIGNER
								      : RELOAD_IO;

		ok = prepare_reload(&parts[i], a, conf, keys, target);
		n += ok;
	}
	for (i = 0; i < n; i++) {
		if (!ok) {
			signer_keys_unref(parts[i]->keys);
			conf_unref(parts[i]->conf);
			free(parts[i]);
			continue;
		}
		parts[i]->object = i == 0                    ? (void *)a->spool
				   : i == 1                  ? (void *)a->report
				   : i == 2                  ? (void *)a->dispatch
				   : i < 3 + a->signer_count ? (void *)a->signers[i - 3]
							     : (void *)a->ios[i - 3 - a->signer_count];
		workers[i] = i == 0                    ? spool_worker(a->spool)
			     : i == 1                  ? report_worker(a->report)
			     : i == 2                  ? dispatch_worker(a->dispatch)
			     : i < 3 + a->signer_count ? d->sign_workers[i - 3]
						       : d->io_workers[i - 3 - a->signer_count];
		worker_post(workers[i], &parts[i]->call.letter);
	}
	free(parts);
	free(workers);
	return ok;
}

/* Certificates and keys are tried before anything is swapped. */
static bool
check_secrets(const struct conf *conf, char *why, size_t why_max)
{
	SSL_CTX *ctx;
	size_t i;

	for (i = 0; i < conf->listen_count; i++) {
		const struct conf_listen *l = &conf->listens[i];

		if (l->certificate[0] == '\0' || l->tls == CONF_LISTEN_TLS_NONE)
			continue;
		if ((ctx = tls_server_create(l->certificate, l->key, why, why_max)) == NULL)
			return false;
		SSL_CTX_free(ctx);
	}
	return true;
}

static void
apply_main(struct app *a, const struct conf *conf, struct signer_keys *keys)
{
	const struct conf *old = a->conf;

	a->conf = conf;
	log_set_level(a->log, (enum conf_log_level)conf->log_level);
	atomic_store(&a->memory.max_bytes, conf->memory_max);
	signer_keys_unref(a->keys);
	a->keys = keys;
	conf_unref(old);
}

bool
app_reload(struct app *a, FILE *out)
{
	const struct conf *fresh = conf_load(a->conf_file, out);
	struct signer_keys *keys = NULL;
	char why[WHY_MAX] = "";

	if (fresh != NULL && check_secrets(fresh, why, sizeof(why)))
		keys = signer_keys_load(fresh, why, sizeof(why));
	if (fresh == NULL || keys == NULL) {
		if (why[0] != '\0')
			fprintf(out, "%s\n", why);
		fprintf(out, "nothing was changed\n");
		log_event(a->log, LOG_EVENT_config_refused, "file=%s why=\"%s\"", a->conf_file,
			why[0] != '\0' ? why : "see mtad -t");
		conf_unref(fresh);
		return false;
	}
	conf_diff(a->conf, fresh, out);
	if (!spread(a, fresh, keys)) {
		fprintf(out, "out of memory, nothing was changed\n");
		signer_keys_unref(keys);
		conf_unref(fresh);
		return false;
	}
	apply_main(a, fresh, keys);
	log_event(a->log, LOG_EVENT_config_loaded, "file=%s", a->conf_file);
	return true;
}

/* --- stop
 * ---------------------------------------------------------------------------------------------------------
 */

struct stop_call {
	struct call call;
	void *object;
	bool cut;
};

static void
run_stop_io(struct call *c)
{
	struct stop_call *s = (struct stop_call *)c;

	io_stop(s->object, s->cut);
	free(s);
}

static void
run_stop_dispatch(struct call *c)
{
	struct stop_call *s = (struct stop_call *)c;

	dispatch_stop(s->object);
	free(s);
}

static void
post_stop(struct worker *w, void *object, void (*run)(struct call *), bool cut)
{
	struct stop_call *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return; /* the end comes by time then */
	s->call.letter.kind = LETTER_CALL;
	s->call.run = run;
	s->object = object;
	s->cut = cut;
	worker_post(w, &s->call.letter);
}

static void
stop_sessions(struct daemon *d, bool cut)
{
	size_t i;

	d->is_cut = cut;
	for (i = 0; i < d->app.io_count; i++)
		post_stop(d->io_workers[i], d->app.ios[i], run_stop_io, cut);
}

void
app_stop(struct app *a)
{
	struct daemon *d = daemon_of(a);
	struct timeval tv = {0, TICK_US};

	if (a->is_stopping) {
		stop_sessions(d, true);
		return;
	}
	a->is_stopping = true;
	d->stop_begun_us = clock_mono(a->clock);
	log_event(a->log, LOG_EVENT_stopping, "within=%llds", (long long)a->conf->stop_timeout / 1000000);
	(void)sd_notify(0, "STOPPING=1");
	post_stop(dispatch_worker(a->dispatch), a->dispatch, run_stop_dispatch, false);
	stop_sessions(d, a->conf->stop_timeout == 0);
	event_add(d->tick, &tv);
}

/* Asked in the owning threads; the answers are a moment old, so two quiet ticks in a row are wanted. */
struct quiet {
	struct call call;
	struct dispatch *dispatch;
	struct io *io;
	_Atomic bool is_out;
	_Atomic int is_quiet;
};

static void
run_quiet(struct call *c)
{
	struct quiet *q = (struct quiet *)c;
	bool quiet = q->dispatch != NULL ? dispatch_is_idle(q->dispatch) : io_count(q->io) == 0;

	atomic_store(&q->is_quiet, quiet ? atomic_load(&q->is_quiet) + 1 : 0);
	atomic_store(&q->is_out, false);
}

/* Asks everybody; true when all were quiet twice. The questions live as long as the process. */
static bool
all_quiet(struct daemon *d)
{
	static struct quiet *questions; /* rule zero: made once, at the end of the process */
	size_t count = 1 + d->app.io_count, i;
	bool quiet = true;

	if (questions == NULL && (questions = calloc(count, sizeof(*questions))) == NULL)
		return false;
	for (i = 0; i < count; i++) {
		struct quiet *q = &questions[i];

		quiet = quiet && atomic_load(&q->is_quiet) >= 2;
		if (atomic_load(&q->is_out))
			continue;
		q->call.letter.kind = LETTER_CALL;
		q->call.run = run_quiet;
		q->dispatch = i == 0 ? d->app.dispatch : NULL;
		q->io = i == 0 ? NULL : d->app.ios[i - 1];
		atomic_store(&q->is_out, true);
		worker_post(
			i == 0 ? dispatch_worker(d->app.dispatch) : d->io_workers[i - 1], &q->call.letter);
	}
	return quiet;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	int64_t gone_us = clock_mono(d->app.clock) - d->stop_begun_us;
	struct timeval tv = {0, TICK_US};

	if (all_quiet(d)) {
		event_base_loopbreak(d->app.base);
		return;
	}
	if (!d->is_cut && gone_us > d->app.conf->stop_timeout)
		stop_sessions(d, true);
	if (gone_us > d->app.conf->stop_timeout + FORCE_EXTRA_US) {
		/* A store that cannot be written or a thread that hangs. Nothing accepted is lost by leaving
		 * now. */
		log_event(d->app.log, LOG_EVENT_stopped, "forced=yes");
		_exit(1);
	}
	event_add(d->tick, &tv);
}

/* --- signals and the watchdog
 * ---------------------------------------------------------------------------------------- */

static void
run_rotate(struct call *c)
{
	struct stop_call *s = (struct stop_call *)c;

	report_rotate(s->object);
	free(s);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct daemon *d = arg;

	switch (number) {
	case SIGTERM:
	case SIGINT:
		app_stop(&d->app);
		return;
	case SIGHUP:
		if (!d->app.is_stopping)
			(void)app_reload(&d->app, stderr);
		return;
	case SIGUSR1: /* logrotate */
		post_stop(report_worker(d->app.report), d->app.report, run_rotate, false);
		return;
	default:
		return;
	}
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	struct timeval tv = {WATCHDOG_US / 1000000, 0};

	if (watchdog_ask(d->watchdog, SILENT_US))
		(void)sd_notify(0, "WATCHDOG=1");
	event_add(d->watch, &tv);
}

static bool
add_events(struct daemon *d)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	struct timeval tv = {WATCHDOG_US / 1000000, 0};
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		d->signals[i] = evsignal_new(d->app.base, numbers[i], on_signal, d);
		if (d->signals[i] == NULL || event_add(d->signals[i], NULL) != 0)
			return false;
	}
	d->tick = event_new(d->app.base, -1, 0, on_tick, d);
	d->watch = event_new(d->app.base, -1, 0, on_watch, d);
	return d->tick != NULL && d->watch != NULL && event_add(d->watch, &tv) == 0;
}

/* --- start
 * ------------------------------------------------------------------------------------------------------------
 */

static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Signals are the main thread's: blocked before threads are made, unblocked by libevent's handlers' delivery
 * to main. */
static void
block_signals(bool block)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGUSR2, SIG_IGN);
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

static bool
drop_root(const struct conf *conf, char *why, size_t why_max)
{
	const struct passwd *owner;

	if (geteuid() != 0 || conf->run_as[0] == '\0')
		return true;
	if ((owner = getpwnam(conf->run_as)) == NULL) {
		snprintf(why, why_max, "run-as: there is no account \"%s\"", conf->run_as);
		return false;
	}
	if (!make_dir(conf->spool_dir, owner, why, why_max))
		return false;
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
	const struct queue_store_conf sc = {.dir = a->conf->spool_dir,
		.spool_bytes_max = (uint64_t)a->conf->spool_max,
		.disk_free_min_bytes = (uint64_t)a->conf->disk_free_min,
		.disk_free_min_inodes = (uint64_t)a->conf->disk_free_min_inodes};
	int err = queue_store_open(&sc, &a->store);

	if (err < 0)
		snprintf(why, why_max, "spool %s: %s", a->conf->spool_dir, queue_err_text(err));
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
	const struct io_peers peers = {
		dispatch_worker(a->dispatch), a->spool, d->sign_workers, a->signer_count};
	size_t i;

	for (i = 0; i < a->io_count; i++) {
		const struct io_conf ic = {a->clock, a->log, &a->memory, a->limits, a->store, (unsigned)i};

		if ((a->ios[i] = io_create(&ic)) == NULL || !io_connect(a->ios[i], &peers) ||
			!io_reconfigure(a->ios[i], a->conf, a->conf->dkim_count > 0, why, why_max) ||
			!io_listen(a->ios[i], &d->listeners[i]))
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
		  worker_start(dispatch_worker(a->dispatch));
	size_t i;

	watchdog_add(d->watchdog, spool_worker(a->spool), "spool");
	watchdog_add(d->watchdog, report_worker(a->report), "report");
	watchdog_add(d->watchdog, dispatch_worker(a->dispatch), "queue");
	for (i = 0; ok && i < a->signer_count; i++) {
		ok = worker_start(d->sign_workers[i]);
		watchdog_add(d->watchdog, d->sign_workers[i], "sign");
	}
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
	d->listeners = listener_bind(a->conf, a->io_count, a->log, why, why_max);
	if (d->listeners == NULL)
		return false;
	a->control = control_create(a, why, why_max);
	return a->control != NULL && drop_root(a->conf, why, why_max);
}

static bool
app_start(struct daemon *d, char *why, size_t why_max)
{
	struct app *a = &d->app;

	snprintf(why, why_max, "out of memory");
	if ((a->base = event_base_new()) == NULL || (a->limits = limits_create()) == NULL ||
		(d->watchdog = watchdog_create(a->log, a->clock)) == NULL)
		return false;
	if (!bind_all(d, why, why_max) || !check_secrets(a->conf, why, why_max) ||
		(a->keys = signer_keys_load(a->conf, why, why_max)) == NULL || !open_store(a, why, why_max))
		return false;

	const struct spool_conf sc = {a->clock, a->log, a->conf, a->store, NULL, NULL};
	const struct report_conf rc = {a->clock, a->log, a->conf, a->store};
	const struct dispatch_conf dc = {a->clock, a->log, &a->memory, a->conf, a->store};

	if ((a->report = report_create(&rc, why, why_max)) == NULL ||
		(a->spool = spool_create(&sc)) == NULL || (a->dispatch = dispatch_create(&dc)) == NULL ||
		!make_signers(d) || !make_ios(d, why, why_max))
		return false;

	const struct dispatch_peers peers = {
		d->io_workers, a->io_count, d->sign_workers, a->signer_count, spool_worker(a->spool)};

	spool_connect(a->spool, dispatch_worker(a->dispatch), report_worker(a->report));
	report_connect(a->report, spool_worker(a->spool));
	dispatch_connect(a->dispatch, &peers);
	a->recover = recover_create(a->store, dispatch_worker(a->dispatch), a->log, a->clock);
	return a->recover != NULL && add_events(d) && start_workers(d) && control_start(a->control);
}

/* --- end: app_start read upwards
 * --------------------------------------------------------------------------------------- */

static void
end_worker(struct worker *w)
{
	worker_stop(w);
	worker_join(w);
}

static void
run_flush(struct call *c)
{
	struct stop_call *s = (struct stop_call *)c;

	report_flush(s->object);
	free(s);
}

static void
app_end(struct daemon *d)
{
	struct app *a = &d->app;
	size_t i;

	recover_destroy(&a->recover);
	for (i = 0; i < a->io_count; i++)
		end_worker(d->io_workers[i]);
	for (i = 0; i < a->signer_count; i++)
		end_worker(d->sign_workers[i]);
	end_worker(dispatch_worker(a->dispatch));
	/* The spool after the report, so that the last "these events are in the files" is kept. */
	post_stop(report_worker(a->report), a->report, run_flush, false);
	end_worker(report_worker(a->report));
	end_worker(spool_worker(a->spool));
	control_destroy(&a->control);
	for (i = 0; i < a->io_count; i++)
		io_destroy(&a->ios[i]);
	for (i = 0; i < a->signer_count; i++)
		signer_destroy(&a->signers[i]);
	dispatch_destroy(&a->dispatch);
	spool_destroy(&a->spool);
	report_destroy(&a->report);
	queue_store_close(&a->store);
	listener_close(&d->listeners, a->io_count);
	watchdog_destroy(&d->watchdog);
	limits_destroy(&a->limits);
	signer_keys_unref(a->keys);
	for (i = 0; i < sizeof(d->signals) / sizeof(d->signals[0]); i++)
		if (d->signals[i] != NULL)
			event_free(d->signals[i]);
	event_free(d->tick);
	event_free(d->watch);
	event_base_free(a->base);
	free(a->ios);
	free(a->signers);
	free(d->io_workers);
	free(d->sign_workers);
}

/* --- the command
 * -----------------------------------------------------------------------------------------------------------
 */

static void
usage(FILE *out)
{
	fputs("usage: mtad [-f] [-c FILE]     run (-f: in the foreground)\n"
	      "       mtad -t [-c FILE]       check the configuration and exit\n"
	      "       mtad --print-manual-settings | --version | --help\n"
	      "FILE defaults to /etc/mtad/mtad.conf. See mtad(8), mtad.conf(5), mtactl(8).\n",
		out);
}

/* Leaves the terminal: the parent waits until the child says that it runs, so that scripts see a failed
 * start. */
static int
go_background(void)
{
	int fds[2];
	char byte;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
		say("cannot go to the background", strerror(errno));
		exit(1);
	}
	if (pid > 0) {
		close(fds[1]);
		exit(read(fds[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(fds[0]);
	(void)setsid();
	return fds[1];
}

static void
tell_ready(struct daemon *d)
{
	int null;

	(void)sd_notifyf(0, "READY=1\nSTATUS=serving\nMAINPID=%d", (int)getpid());
	if (d->ready_fd < 0)
		return;
	if (write(d->ready_fd, "", 1) != 1)
		say("the starting process has gone", "");
	close(d->ready_fd);
	if ((null = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0) {
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		if (d->app.conf->log_target != CONF_LOG_STDERR)
			(void)dup2(null, 2);
		close(null);
	}
}

static int
run(struct daemon *d)
{
	struct app *a = &d->app;
	char why[WHY_MAX];

	a->clock = clock_real();
	a->started_us = clock_now(a->clock);
	a->log = log_create(
		(enum conf_log_target)a->conf->log_target, (enum conf_log_level)a->conf->log_level, 2);
	if (a->log == NULL)
		return 1;
	atomic_store(&a->memory.max_bytes, a->conf->memory_max);
	raise_descriptors();
	block_signals(true);
	(void)umask(077);
	(void)prctl(PR_SET_DUMPABLE, 0); /* K5: keys and passwords stay out of core files */
	if (!app_start(d, why, sizeof(why))) {
		say("cannot start", why);
		return 1;
	}
	block_signals(false);
	log_event(a->log, LOG_EVENT_started, "version=%s pid=%d spool=%s hostname=%s", MTAD_VERSION,
		(int)getpid(), a->conf->spool_dir, a->conf->hostname);
	tell_ready(d);
	event_base_dispatch(a->base);
	app_end(d);
	log_event(a->log, LOG_EVENT_stopped, "forced=no");
	log_destroy(&a->log);
	conf_unref(a->conf);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {"print-manual-settings", no_argument, NULL, 'M'},
		{NULL, 0, NULL, 0}};
	struct daemon *d = calloc(1, sizeof(*d));
	bool foreground = false, test = false;
	int option;

	if (d == NULL)
		return 1;
	d->app.conf_file = "/etc/mtad/mtad.conf";
	d->ready_fd = -1;
	while ((option = getopt_long(argc, argv, "c:fth", options, NULL)) != -1)
		switch (option) {
		case 'c':
			d->app.conf_file = optarg;
			break;
		case 'f':
			foreground = true;
			break;
		case 't':
			test = true;
			break;
		case 'V':
			puts("mtad " MTAD_VERSION);
			return 0;
		case 'M':
			conf_print_manual(stdout);
			return 0;
		default:
			usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	if ((d->app.conf = conf_load(d->app.conf_file, stderr)) == NULL)
		return 1;
	if (test) {
		printf("%s is good\n", d->app.conf_file);
		return 0;
	}
	if (!foreground)
		d->ready_fd = go_background();
	option = run(d);
	free(d);
	return option;
}
