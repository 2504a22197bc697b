/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a file in memory that was written before the program begins: no pipe can fill up or break, and
 * a program that reads half of it hurts nobody. Its end is told by a descriptor of the process, so no signal
 * handler is needed, and no other child can be mistaken for it.
 */
#include "report/program.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_REFUSED = 65 };

struct program {
	pid_t pid;
	int pid_fd;
	struct event *ended;
	outlet_on_answer *on_answer;
	void *arg;
};

static void
program_free(struct program *p)
{
	if (p->ended != NULL)
		event_free(p->ended);
	if (p->pid_fd >= 0)
		close(p->pid_fd);
	free(p);
}

static int
reap(struct program *p)
{
	int status = 0;

	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void
kill_group(const struct program *p)
{
	(void)kill(-p->pid, SIGKILL);
	(void)kill(p->pid, SIGKILL); /* it may have left its group */
}

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct program *p = arg;
	struct outlet_answer a = {.result = OUTLET_LATER};
	outlet_on_answer *on_answer = p->on_answer;
	void *its_arg = p->arg;
	bool is_late = (what & EV_TIMEOUT) != 0;
	int status;

	if (is_late)
		kill_group(p);
	status = reap(p);
	if (is_late)
		snprintf(a.why, sizeof(a.why), "it ran longer than timeout and was killed");
	else if (WIFEXITED(status)) {
		a.result = WEXITSTATUS(status) == 0              ? OUTLET_TAKEN
			   : WEXITSTATUS(status) == EXIT_REFUSED ? OUTLET_REFUSED
								 : OUTLET_LATER;
		snprintf(a.why, sizeof(a.why), "exit status %d", WEXITSTATUS(status));
	} else
		snprintf(a.why, sizeof(a.why), "ended by signal %d", WTERMSIG(status));
	program_free(p);
	on_answer(its_arg, &a);
}

static int
input_file(struct queue_blob input)
{
	int fd = memfd_create("mtad-events", MFD_CLOEXEC);
	const char *at = input.ptr;
	size_t left = input.len;

	while (fd >= 0 && left > 0) {
		ssize_t n = write(fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			close(fd);
			return -1;
		}
		at += n;
		left -= (size_t)n;
	}
	if (fd >= 0)
		(void)lseek(fd, 0, SEEK_SET);
	return fd;
}

/* A group of its own, to be killed as one; no signal is blocked or ignored, no descriptor of ours is left. */
static int
spawn(struct program *p, const char *command, int input)
{
	char *const argv[] = {
		(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	if ((err = posix_spawn_file_actions_init(&files)) != 0)
		return err;
	if ((err = posix_spawnattr_init(&attr)) != 0) {
		posix_spawn_file_actions_destroy(&files);
		return err;
	}
	(void)posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setpgroup(&attr, 0);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	if ((err = posix_spawn_file_actions_adddup2(&files, input, 0)) == 0 &&
		(err = posix_spawn_file_actions_adddup2(&files, 2, 1)) == 0 &&
		(err = posix_spawn_file_actions_addclosefrom_np(&files, 3)) == 0)
		err = posix_spawn(&p->pid, "/bin/sh", &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return err;
}

static bool
watch(struct program *p, struct event_base *base, int64_t timeout_us)
{
	struct timeval tv = {timeout_us / 1000000, timeout_us % 1000000};

	return (p->pid_fd = pidfd_open(p->pid, 0)) >= 0 &&
	       (p->ended = event_new(base, p->pid_fd, EV_READ, on_ended, p)) != NULL &&
	       event_add(p->ended, &tv) == 0;
}

struct program *
program_start(struct event_base *base, const struct conf_pipe *conf, struct queue_blob input,
	outlet_on_answer *on_answer, void *arg)
{
	struct program *p = calloc(1, sizeof(*p));
	int fd = p != NULL ? input_file(input) : -1, err = 0;

	if (fd < 0 || (err = spawn(p, conf->command, fd)) != 0) {
		if (fd >= 0)
			close(fd);
		free(p);
		errno = err != 0 ? err : errno;
		return NULL;
	}
	close(fd);
	p->pid_fd = -1;
	p->on_answer = on_answer;
	p->arg = arg;
	if (!watch(p, base, conf->outlet.timeout)) {
		err = errno;
		program_cancel(&p);
		errno = err;
	}
	return p;
}

void
program_cancel(struct program **pp)
{
	struct program *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	kill_group(p);
	(void)reap(p);
	program_free(p);
}
