/* SPDX-License-Identifier: Apache-2.0 */
/* listener: what is taken is refused, what is stale is taken over, and nothing that is not ours is removed.
 */
#include "intake/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { THREADS = 3 };

struct fixture {
	char dir[64], path[96];
	struct conf_endpoint endpoints[2];
	struct conf_listen listen;
	struct conf conf;
	struct listener_set *sets;
	char why[300];
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/mtad-listen-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/submit", f->dir);
	f->listen.name = "l";
	f->listen.at = "mtad.conf:1";
	f->listen.endpoints.items = f->endpoints;
	f->conf.listens = &f->listen;
	f->conf.listen_count = 1;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	listener_close(&f->sets, THREADS, NULL);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void
use_port(struct fixture *f, uint16_t port)
{
	struct conf_endpoint *e = &f->endpoints[f->listen.endpoints.count++];
	struct sockaddr_in *in = (struct sockaddr_in *)&e->address;

	*in = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
	e->family = AF_INET;
	e->address_len = sizeof(*in);
	e->text = "127.0.0.1";
}

static void
use_path(struct fixture *f)
{
	struct conf_endpoint *e = &f->endpoints[f->listen.endpoints.count++];
	struct sockaddr_un *un = (struct sockaddr_un *)&e->address;

	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(un->sun_path, sizeof(un->sun_path), "%s", f->path);
	e->family = AF_UNIX;
	e->address_len = sizeof(*un);
	e->text = f->path;
}

static bool
bind_all(struct fixture *f)
{
	f->why[0] = '\0';
	f->sets = listener_bind(&f->conf, THREADS, NULL, NULL, f->why, sizeof(f->why));
	return f->sets != NULL;
}

/* A port of loopback nobody has just now; *out_fd holds it when not NULL. */
static uint16_t
some_port(int *out_fd)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	if (out_fd != NULL) {
		assert_int_equal(listen(fd, 1), 0);
		*out_fd = fd;
	} else
		close(fd);
	return ntohs(in.sin_port);
}

static int
connect_unix(const struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	const struct conf_endpoint *e = &f->endpoints[0];
	int err = connect(fd, (const struct sockaddr *)&e->address, e->address_len);

	if (err == 0)
		return fd;
	close(fd);
	return -1;
}

static void
test_one_socket_for_each_thread(void **state)
{
	struct fixture *f = *state;

	use_port(f, some_port(NULL));
	use_path(f);
	assert_true(bind_all(f));
	assert_int_equal(f->sets[0].count, 2); /* the unix socket has one */
	assert_int_equal(f->sets[1].count, 1);
	assert_int_equal(f->sets[2].count, 1);
	assert_true(f->sets[0].items[0].fd != f->sets[1].items[0].fd);
	assert_int_equal(f->sets[0].items[0].listen, 0);
}

static void
test_port_is_busy(void **state)
{
	struct fixture *f = *state;
	int fd;

	use_path(f);
	use_port(f, some_port(&fd));
	assert_false(bind_all(f));
	assert_non_null(strstr(f->why, "mtad.conf:1: listen l cannot bind 127.0.0.1: "));
	assert_non_null(strstr(f->why, "in use"));
	close(fd);
	assert_true(bind_all(f)); /* nothing of the first try is left in the way */
}

/* A second daemon of the same user would share the port in silence. */
static void
test_second_daemon(void **state)
{
	struct fixture *f = *state, second = {0};

	use_port(f, some_port(NULL));
	assert_true(bind_all(f));
	second = *f;
	second.conf.listens = &second.listen;
	second.listen.endpoints.items = second.endpoints;
	second.sets = NULL;
	assert_false(bind_all(&second));
	listener_close(&f->sets, THREADS, NULL);
	assert_true(bind_all(f)); /* and at once again after a stop */
}

static void
test_stale_unix_socket(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int fd;

	use_path(f);
	assert_true(bind_all(f));
	listener_close(&f->sets, THREADS, NULL); /* killed: the path stays */
	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(connect_unix(f), -1);
	assert_true(bind_all(f));
	assert_true((fd = connect_unix(f)) >= 0);
	close(fd);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
}

static void
test_live_unix_socket(void **state)
{
	struct fixture *f = *state;
	struct listener_set *first;
	int fd;

	use_path(f);
	assert_true(bind_all(f));
	first = f->sets;
	assert_false(bind_all(f));
	assert_non_null(strstr(f->why, "in use"));
	assert_true((fd = connect_unix(f)) >= 0); /* the first still has it */
	close(fd);
	f->sets = first;
}

/* A daemon too busy to accept is there all the same, and asking must not wait for it. */
static void
test_full_backlog_is_alive(void **state)
{
	struct fixture *f = *state;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client;

	use_path(f);
	assert_int_equal(
		bind(fd, (struct sockaddr *)&f->endpoints[0].address, sizeof(struct sockaddr_un)), 0);
	assert_int_equal(listen(fd, 0), 0);
	client = connect_unix(f);
	assert_true(client >= 0);
	assert_false(bind_all(f));
	assert_non_null(strstr(f->why, "in use"));
	close(client);
	close(fd);
}

/* A mistake in the configuration must not cost a file. */
static void
test_path_of_a_file(void **state)
{
	struct fixture *f = *state;
	FILE *out = fopen(f->path, "w");
	struct stat st;

	fputs("precious\n", out);
	fclose(out);
	use_path(f);
	assert_false(bind_all(f));
	assert_non_null(strstr(f->why, "exists"));
	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_size, 9);
	/* Nor what a link points to. */
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(symlink("/etc/hostname", f->path), 0);
	assert_false(bind_all(f));
	assert_int_equal(lstat(f->path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
}

static void
test_address_that_is_not_ours(void **state)
{
	struct fixture *f = *state;

	use_port(f, 2525);
	inet_pton(AF_INET, "192.0.2.1", &((struct sockaddr_in *)&f->endpoints[0].address)->sin_addr);
	assert_false(bind_all(f));
	assert_non_null(strstr(f->why, "assign"));
}

/* What stays keeps its sockets, and what is taken away is for others to close. */
static void
test_reload(void **state)
{
	struct fixture *f = *state, fresh;
	int kept[THREADS], gone;

	use_port(f, some_port(NULL));
	use_path(f);
	assert_true(bind_all(f));
	for (int i = 0; i < THREADS; i++)
		kept[i] = f->sets[i].items[0].fd;
	gone = f->sets[0].items[1].fd;
	fresh = *f;
	fresh.conf.listens = &fresh.listen;
	fresh.listen.endpoints = (struct conf_endpoints){fresh.endpoints, 1};
	use_port(&fresh, some_port(NULL));
	fresh.sets = listener_bind(&fresh.conf, THREADS, f->sets, NULL, f->why, sizeof(f->why));
	assert_non_null(fresh.sets);
	listener_replace(&f->sets, THREADS, fresh.sets, NULL);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(f->sets[i].count, 2);
		assert_int_equal(f->sets[i].items[0].fd, kept[i]);
	}
	assert_false(listener_has(&f->sets[0], gone));
	assert_int_equal(close(gone), 0);
}

static void
test_reload_that_fails(void **state)
{
	struct fixture *f = *state, fresh;
	int fd, kept;

	use_port(f, some_port(NULL));
	assert_true(bind_all(f));
	kept = f->sets[0].items[0].fd;
	fresh = *f;
	fresh.conf.listens = &fresh.listen;
	fresh.listen.endpoints.items = fresh.endpoints;
	use_port(&fresh, some_port(&fd));
	assert_null(listener_bind(&fresh.conf, THREADS, f->sets, NULL, f->why, sizeof(f->why)));
	assert_non_null(strstr(f->why, "in use"));
	assert_int_equal(fcntl(kept, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC); /* still open */
	close(fd);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_one_socket_for_each_thread),
		CASE(test_port_is_busy),
		CASE(test_second_daemon),
		CASE(test_stale_unix_socket),
		CASE(test_live_unix_socket),
		CASE(test_full_backlog_is_alive),
		CASE(test_path_of_a_file),
		CASE(test_address_that_is_not_ours),
		CASE(test_reload),
		CASE(test_reload_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
