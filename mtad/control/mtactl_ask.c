/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request, one connection. What cannot be asked is said on stderr in words an operator can act on.
 */
#include "control/ctl_proto.h"
#include "control/mtactl.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void complain(const struct mtactl *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
complain(const struct mtactl *m, const char *format, ...)
{
	va_list ap;

	if (m->is_quiet)
		return;
	fputs("mtactl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static int
connect_daemon(struct mtactl *m)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	errno = ENAMETOOLONG;
	if (fd >= 0 &&
		snprintf(address.sun_path, sizeof(address.sun_path), "%s", m->socket) <
			(int)sizeof(address.sun_path) &&
		connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
		m->daemon = peer.pid;
		return fd;
	}
	if (errno == ENOENT || errno == ECONNREFUSED)
		complain(
			m, "nobody answers at %s: is mtad running, and with this control-socket?", m->socket);
	else if (errno == EACCES || errno == EPERM)
		complain(m, "%s: permission denied: be root, the daemon's account, or one of control-users",
			m->socket);
	else
		complain(m, "%s: %s", m->socket, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool
send_request(int fd, const json_t *request)
{
	size_t len, sent = 0;
	char *frame = ctl_write_frame(request, &len);
	ssize_t n;

	while (frame != NULL && sent < len) {
		n = send(fd, frame + sent, len - sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	free(frame);
	return frame != NULL && sent == len;
}

static void
append(json_t *answer, json_t *row)
{
	(void)json_array_append(json_object_get(answer, "rows"), row);
}

/* What becomes of rows. */
struct taker {
	mtactl_on_row *on_row;
	mtactl_each_row *each; /* NULL: on_row */
	void *arg;
};

/* One frame into the answer. False: it was the last. */
static bool
take_frame(json_t *answer, json_t *frame, const struct taker *t, int *out_exit)
{
	json_t *row = json_object_get(frame, "row"), *end = json_object_get(frame, "end");

	if (end != NULL) {
		*out_exit = (int)json_integer_value(end);
		return false;
	}
	if (row != NULL && t->each != NULL)
		t->each(t->arg, row);
	else if (row != NULL)
		t->on_row(answer, row);
	else
		(void)json_object_update(answer, frame);
	return true;
}

static bool
read_answer(const struct mtactl *m, int fd, json_t *answer, const struct taker *t, int *out_exit)
{
	static char buf[4 * (CTL_HEAD_BYTES + CTL_FRAME_MAX)];
	size_t len = 0, used;
	json_t *frame;
	bool more = true;
	ssize_t n;
	int got = 0;

	while (more) {
		n = read(fd, buf + len, sizeof(buf) - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		len += (size_t)n;
		for (used = 0; more && (got = ctl_read_frame(buf + used, len - used, &frame)) > 0;
			used += (size_t)got) {
			more = take_frame(answer, frame, t, out_exit);
			json_decref(frame);
		}
		if (got < 0) {
			complain(m, "%s", ctl_err_text(got));
			return false;
		}
		memmove(buf, buf + used, len - used);
		len -= used;
	}
	return true;
}

int
mtactl_ask_begin(struct mtactl *m, json_t *take_request)
{
	int fd = connect_daemon(m);

	/* A daemon that refuses us may close before it has read all: its reasons are there to be read all the
	 * same. */
	if (fd >= 0)
		(void)send_request(fd, take_request);
	json_decref(take_request);
	return fd;
}

static json_t *
hear(struct mtactl *m, int take_fd, const struct taker *t, int *out_exit)
{
	json_t *answer = json_pack("{s:[]}", "rows");
	bool ok = false;

	if (take_fd >= 0) {
		ok = read_answer(m, take_fd, answer, t, out_exit);
		close(take_fd);
		if (!ok)
			complain(m, "the daemon closed the connection before its answer was whole");
	}
	if (ok)
		return answer;
	json_decref(answer);
	*out_exit = 2;
	return NULL;
}

json_t *
mtactl_ask_end(struct mtactl *m, int take_asked, int *out_exit)
{
	const struct taker t = {.on_row = append};

	return hear(m, take_asked, &t, out_exit);
}

json_t *
mtactl_ask(struct mtactl *m, json_t *take_request, mtactl_on_row *on_row, int *out_exit)
{
	const struct taker t = {.on_row = on_row != NULL ? on_row : append};

	return hear(m, mtactl_ask_begin(m, take_request), &t, out_exit);
}

json_t *
mtactl_ask_each(struct mtactl *m, json_t *take_request, mtactl_each_row *each, void *arg, int *out_exit)
{
	const struct taker t = {.each = each, .arg = arg};

	assert(each != NULL);
	return hear(m, mtactl_ask_begin(m, take_request), &t, out_exit);
}
