/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command: options, going to the background, the loop. What is started in which order is in
 * daemon_start.c.
 */
#include "daemon.h"

#include "base/descriptors.h"
#include "intake/signer.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static void
say(const char *what, const char *why)
{
	fprintf(stderr, "mtad: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
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
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error like a full disk */
	(void)signal(SIGUSR2, SIG_IGN);
}

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
		if (d->app.conf->log_target == CONF_LOG_SYSLOG)
			(void)dup2(null, 2);
		close(null);
	}
}

static void
warn_of_descriptors(const struct app *a)
{
	const struct descriptors share = descriptors_share(a->conf->connections_total);

	if (share.outbound < a->conf->connections_total)
		log_event(a->log, LOG_EVENT_descriptors_few,
			"deliveries=%lld clients=%lld connections-total=%lld", (long long)share.outbound,
			(long long)share.clients, (long long)a->conf->connections_total);
}

static int
run(struct daemon *d)
{
	struct app *a = &d->app;
	char why[DAEMON_WHY_MAX];
	bool started;

	a->clock = clock_real();
	a->started_us = clock_mono(a->clock);
	a->log = log_create(
		(enum conf_log_target)a->conf->log_target, (enum conf_log_level)a->conf->log_level, 2);
	if (a->log == NULL)
		return 1;
	atomic_store(&a->memory.max_bytes, a->conf->memory_max);
	descriptors_raise();
	warn_of_descriptors(a);
	block_signals(true);
	(void)umask(077);
	(void)prctl(PR_SET_DUMPABLE, 0); /* K5: keys and passwords stay out of core files */
	if ((started = daemon_start(d, why, sizeof(why)))) {
		block_signals(false);
		log_event(a->log, LOG_EVENT_started, "version=%s pid=%d spool=%s hostname=%s", MTAD_VERSION,
			(int)getpid(), a->conf->spool_dir, a->conf->hostname);
		daemon_warn_daily(d);
		tell_ready(d);
		event_base_dispatch(a->base);
	} else {
		say("cannot start", why);
	}
	daemon_end(d);
	if (started)
		log_event(a->log, LOG_EVENT_stopped, "forced=no");
	log_destroy(&a->log);
	conf_unref(a->conf);
	return started ? 0 : 1;
}

/* What a start would find out: certificates and keys too. */
static int
check(const char *file, const struct conf *conf)
{
	char why[DAEMON_WHY_MAX] = "";
	int64_t *ends = daemon_check_secrets(conf, why, sizeof(why));
	struct signer_keys *keys = ends != NULL ? signer_keys_load(conf, why, sizeof(why)) : NULL;

	if (keys != NULL) {
		daemon_warn_of_certificates(conf, ends, clock_now(clock_real()), stderr, NULL);
		printf("%s is good\n", file);
	} else {
		say(file, why);
	}
	free(ends);
	signer_keys_unref(keys);
	return keys != NULL ? 0 : 1;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {"print-manual-settings", no_argument, NULL, 'M'},
		{NULL, 0, NULL, 0}};
	const char *file = "/etc/mtad/mtad.conf";
	bool foreground = false, test = false;
	struct daemon *d;
	int option;

	while ((option = getopt_long(argc, argv, "c:fth", options, NULL)) != -1)
		switch (option) {
		case 'c':
			file = optarg;
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
	if ((d = calloc(1, sizeof(*d))) == NULL)
		return 1;
	d->app.conf_file = file;
	d->ready_fd = -1;
	d->warned_day = -1;
	if ((d->app.conf = conf_load(d->app.conf_file, stderr)) == NULL) {
		free(d);
		return 1;
	}
	if (test) {
		option = check(d->app.conf_file, d->app.conf);
		conf_unref(d->app.conf);
		free(d);
		return option;
	}
	if (!foreground)
		d->ready_fd = go_background();
	option = run(d);
	free(d);
	return option;
}
