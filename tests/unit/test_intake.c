/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake: the io thread and a sign thread, both driven by the test, so that what another io thread does comes
 * exactly between two steps of this one. It comes when the clock is read.
 */
#include "intake/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "intake/auth.h"
#include "starve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define CLIENT "client 127.0.0.1"

enum { FAILURES_MAX = 20, TURNS_MAX = 5000 };

static bool has_no_descriptors;

int
accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags)
{
	if (!has_no_descriptors)
		return (int)syscall(SYS_accept4, fd, peer, len, flags);
	errno = EMFILE;
	return -1;
}

struct scene {
	struct worker *io, *sign;
	struct limits *limits;
	struct intake *intake;
	struct clock clock;
	struct memory memory;
	const struct conf *conf;
	struct listener socket;
	int client;
	bool keeps_passwords; /* the sign thread does not answer any more */
	int hashed;           /* passwords that came to the sign thread */
	int looks_to_come;    /* readings of the clock until another thread counts a failure; 0: never */
};

static int64_t
fake_wall(void *arg)
{
	return INT64_C(1793534400000000);
}

static int64_t
fake_mono(void *arg)
{
	struct scene *s = arg;

	if (s->looks_to_come > 0 && --s->looks_to_come == 0)
		(void)limits_login_failed(s->limits, CLIENT, 1000000);
	return 1000000;
}

static void
on_io_letter(void *arg, struct letter *l)
{
	struct scene *s = arg;

	intake_on_letter(s->intake, l);
}

static void
on_sign_letter(void *arg, struct letter *l)
{
	struct scene *s = arg;
	struct password *p = (struct password *)l;

	s->hashed++;
	p->is_right = true;
	if (!s->keeps_passwords)
		worker_post(p->reply_to, l);
}

static int
listen_on_loopback(void)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static int
connect_to(int listening)
{
	struct sockaddr_in there;
	socklen_t len = sizeof(there);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(getsockname(listening, (struct sockaddr *)&there, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&there, len), 0);
	return fd;
}

static void
scene_begin(struct scene *s, const struct folder *f)
{
	struct listener_set set = {&s->socket, 1};
	char why[200] = "";

	*s = (struct scene){.clock = {fake_wall, fake_mono, NULL, s}};
	put_secrets(f, "");
	s->conf = must_load(f,
		HOST "listen l { address = { 127.0.0.1:2525 } auth = required auth-in-clear = yes }\n"
		     "source a { address = { 127.0.0.1 } }\n"
		     "user shop { password-file = secrets/shop }\n");
	const struct worker_conf io = {"io", &s->clock, on_io_letter, NULL, s};
	const struct worker_conf sign = {"sign", &s->clock, on_sign_letter, NULL, s};

	assert_non_null(s->io = worker_create(&io));
	assert_non_null(s->sign = worker_create(&sign));
	assert_non_null(s->limits = limits_create());
	const struct intake_conf ic = {.io = s->io,
		.clock = &s->clock,
		.memory = &s->memory,
		.limits = s->limits,
		.signs = &s->sign,
		.sign_count = 1};

	assert_non_null(s->intake = intake_create(&ic));
	const struct intake_change change = {s->conf, false, &set};

	s->socket.fd = listen_on_loopback();
	if (!intake_reconfigure(s->intake, &change, why, sizeof(why)))
		fail_msg("%s", why);
	s->client = connect_to(s->socket.fd);
}

static void
scene_end(struct scene *s)
{
	close(s->client);
	if (s->intake != NULL) {
		intake_stop(s->intake, true);
		intake_destroy(&s->intake);
	}
	close(s->socket.fd);
	limits_destroy(&s->limits);
	worker_destroy(&s->io);
	worker_destroy(&s->sign);
	conf_unref(s->conf);
}

static void
turn(struct scene *s)
{
	(void)event_base_loop(worker_base(s->io), EVLOOP_ONCE | EVLOOP_NONBLOCK);
	(void)event_base_loop(worker_base(s->sign), EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* Turns both loops until a reply with this code has come. */
static void
hear(struct scene *s, const char *code)
{
	struct pollfd p = {.fd = s->client, .events = POLLIN};
	char have[2000];
	size_t len = 0;
	ssize_t n;

	for (int i = 0; i < TURNS_MAX; i++) {
		turn(s);
		if (poll(&p, 1, 1) <= 0)
			continue;
		if ((n = read(s->client, have + len, sizeof(have) - 1 - len)) <= 0)
			break;
		have[len += (size_t)n] = '\0';
		if (have[len - 1] == '\n' && strstr(have, code) != NULL)
			return;
	}
	have[len] = '\0';
	fail_msg("no %s: %s", code, have);
}

static void
say(struct scene *s, const char *words)
{
	size_t len = text_len(words);

	assert_int_equal(write(s->client, words, len), len);
}

/* An io thread looks whether the address may try, lets it, and only then another one counts the failure that
 * is one too many. It is no reason to end the session under itself. */
static void
test_A19_the_last_failure_is_counted_elsewhere(void **state)
{
	struct scene s;

	for (int look = 1; look <= 4; look++) {
		scene_begin(&s, *state);
		hear(&s, "220 ");
		say(&s, "EHLO x\r\n");
		hear(&s, "250 ");
		for (int i = 1; i < FAILURES_MAX; i++)
			(void)limits_login_failed(s.limits, CLIENT, 1000000);
		s.looks_to_come = look;
		say(&s, "AUTH PLAIN AHNob3AAeA==\r\n");
		hear(&s, look == 1 ? "421 " : "235 ");
		assert_int_equal(s.hashed, look == 1 ? 0 : 1);
		scene_end(&s);
	}
}

/* No descriptors, and no memory for the timer that ends the pause: there is none then. */
static void
test_I1_accepting_goes_on(void **state)
{
	struct scene s;

	for (int has_memory = 0; has_memory <= 1; has_memory++) {
		scene_begin(&s, *state);
		has_no_descriptors = true;
		if (!has_memory)
			starve_begin(1, true);
		turn(&s);
		assert_true(has_memory || starve_end() > 0);
		has_no_descriptors = false;
		hear(&s, "220 ");
		scene_end(&s);
	}
}

/* A start that fails when this thread ran already: whatever its clients were at, nothing is left. */
static void
test_clients_of_a_start_that_fails(void **state)
{
	struct scene s;

	for (int with_password = 0; with_password <= 1; with_password++) {
		scene_begin(&s, *state);
		s.keeps_passwords = true;
		hear(&s, "220 ");
		say(&s, "EHLO x\r\n");
		hear(&s, "250 ");
		if (with_password)
			say(&s, "AUTH PLAIN AHNob3AAeA==\r\n");
		for (int i = 0; i < TURNS_MAX && s.hashed < with_password; i++) {
			turn(&s);
			(void)poll(NULL, 0, 1);
		}
		assert_int_equal(s.hashed, with_password);
		intake_destroy(&s.intake);
		scene_end(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_A19_the_last_failure_is_counted_elsewhere),
		WITH_FOLDER(test_I1_accepting_goes_on),
		WITH_FOLDER(test_clients_of_a_start_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
