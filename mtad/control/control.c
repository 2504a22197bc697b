/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket, its clients, and requests out and back. A client is known by number, so an answer that comes
 * after it has left finds nobody. A request is in another thread, or parked here with a client that has not
 * read the rows so far; so no more than the rows of one portion are held for it. When the client goes, a
 * parked request ends at once and one that is away at its next step.
 */
#include "control/control.h"

#include "control/ctl_proto.h"
#include "control/ctl_request.h"
#include "feedback/classify.h"
#include "queue/dispatch.h"
#include "queue_store.h"
#include "report/report.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS_MAX = 32, REQUEST_SECONDS = 30, SOCKET_BACKLOG = 64, ACCEPT_PAUSE_SECONDS = 1 };

static const struct ctl_command commands[] = {
	{"status", CTL_SLOW, ctl_status},
	{"queue", CTL_QUEUE, ctl_queue},
	{"sites", CTL_QUEUE, ctl_sites},
	{"why", CTL_QUEUE, ctl_why},
	{"lanes", CTL_QUEUE, ctl_lanes},
	{"sources", CTL_QUEUE, ctl_sources},
	{"streams", CTL_QUEUE, ctl_streams},
	{"limits", CTL_QUEUE, ctl_limits},
	{"list", CTL_QUEUE, ctl_list},
	{"show", CTL_QUEUE, ctl_show},
	{"count", CTL_QUEUE, ctl_count},
	{"retry", CTL_QUEUE, ctl_change},
	{"hold", CTL_QUEUE, ctl_change},
	{"release", CTL_QUEUE, ctl_change},
	{"bounce", CTL_QUEUE, ctl_change},
	{"delete", CTL_QUEUE, ctl_change},
	{"pause", CTL_QUEUE, ctl_pause},
	{"resume", CTL_QUEUE, ctl_resume},
	{"pauses", CTL_QUEUE, ctl_pauses},
	{"user", CTL_QUEUE, ctl_user},
	{"user-act", CTL_QUEUE, ctl_user_act},
	{"token", CTL_MAIN, ctl_token},
	{"warmup", CTL_QUEUE, ctl_warmup},
	{"warmup-act", CTL_QUEUE, ctl_warmup_act},
	{"suppress", CTL_SLOW, ctl_suppress},
	{"suppress-act", CTL_SLOW, ctl_suppress_act},
	{"clear", CTL_QUEUE, ctl_clear},
	{"set", CTL_QUEUE, ctl_set},
	{"unset", CTL_QUEUE, ctl_unset},
	{"overrides", CTL_QUEUE, ctl_overrides},
	{"simulate", CTL_MAIN, ctl_simulate},
	{"reload", CTL_MAIN, ctl_reload},
	{"stop", CTL_MAIN, ctl_stop},
	{"rotate", CTL_REPORT, ctl_rotate},
	{"webhooks", CTL_MAIN, ctl_webhooks},
	{"webhook-test", CTL_MAIN, ctl_webhook_test},
	{"audit", CTL_SLOW, ctl_audit},
	{"dkim-check", CTL_QUEUE, ctl_dkim_check},
};

struct client {
	struct client *next;
	struct control *control;
	struct event *read_event, *write_event;
	struct event *deadline; /* of the request */
	uint64_t number;
	int fd;
	char who[64];
	char in[CTL_HEAD_BYTES + CTL_FRAME_MAX];
	size_t in_len;
	char *out; /* frames not yet written */
	size_t out_len, out_max, out_sent;
	struct ctl_request *request; /* under way */
	bool is_parked;              /* the request goes on when out is written */
	bool is_last;                /* close when out is written */
};

struct control {
	struct app *app;
	struct worker *slow; /* reads of the spool */
	struct mailbox back;
	struct event *accept_event, *back_event;
	struct event *resume_event; /* accepts again */
	struct client *clients;
	unsigned client_count;
	uint64_t next_number;
	int fd;
	struct sockaddr_un address;
};

static void
request_free(struct ctl_request *r)
{
	json_decref(r->args);
	json_decref(r->frames);
	json_decref(r->part);
	json_decref(r->sums);
	queue_loaded_free(&r->loaded);
	classifier_unref(r->classifier);
	ctl_walk_free(r->walk);
	free(r->state);
	free(r);
}

/* Nobody waits for it any more. */
static void
request_end(struct ctl_request *r)
{
	if (!r->is_done)
		ctl_left(r);
	request_free(r);
}

static void
client_close(struct client *c)
{
	struct client **p = &c->control->clients;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->control->client_count--;
	if (c->is_parked)
		request_end(c->request);
	else if (c->request != NULL)
		atomic_store(&c->request->is_left, true);
	if (c->read_event != NULL)
		event_free(c->read_event);
	if (c->write_event != NULL)
		event_free(c->write_event);
	if (c->deadline != NULL)
		event_free(c->deadline);
	close(c->fd);
	free(c->out);
	free(c);
}

static void
client_write(struct client *c)
{
	struct timeval tv = {REQUEST_SECONDS, 0};
	ssize_t n;

	while (c->out_sent < c->out_len) {
		n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(c->write_event, &tv);
			return;
		}
		if (n <= 0) {
			client_close(c);
			return;
		}
		c->out_sent += (size_t)n;
	}
	c->out_len = c->out_sent = 0;
	if (c->is_last) {
		client_close(c);
	} else if (c->is_parked) {
		c->is_parked = false;
		worker_post(c->request->worker, &c->request->call.letter);
	}
}

static void
on_client_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	if ((what & EV_TIMEOUT) != 0)
		client_close(c); /* it does not read */
	else
		client_write(c);
}

static bool
out_add(struct client *c, const json_t *object)
{
	size_t len = 0, max = c->out_max > 0 ? c->out_max : 4096;
	char *frame = ctl_write_frame(object, &len), *grown;
	bool ok = frame != NULL;

	while (max - c->out_len < len)
		max *= 2;
	if (ok && max > c->out_max) {
		if ((ok = (grown = realloc(c->out, max)) != NULL)) {
			c->out = grown;
			c->out_max = max;
		}
	}
	if (ok) {
		memcpy(c->out + c->out_len, frame, len);
		c->out_len += len;
	}
	free(frame);
	return ok;
}

static void
send_end(struct client *c, int exit_code)
{
	json_t *end = json_pack("{s:i}", "end", exit_code);

	(void)out_add(c, end);
	json_decref(end);
	c->is_last = true;
	client_write(c);
}

static void
refuse(struct client *c, const char *words)
{
	json_t *error = json_pack("{s:s}", "error", words);

	(void)out_add(c, error);
	json_decref(error);
	send_end(c, 2);
}

/* A portion is done: to the client, if it is still there. */
static void
take_back(struct control *control, struct ctl_request *r)
{
	bool whole = true;
	struct client *c;
	size_t i;

	for (c = control->clients; c != NULL && c->number != r->client; c = c->next)
		;
	if (c == NULL) {
		request_end(r);
		return;
	}
	for (i = 0; i < json_array_size(r->frames); i++)
		whole = out_add(c, json_array_get(r->frames, i)) && whole;
	json_array_clear(r->frames);
	if (whole && !r->is_done) {
		c->is_parked = true;
		client_write(c);
		return;
	}
	c->request = NULL;
	if (whole)
		send_end(c, r->exit_code);
	else
		refuse(c, "a part of the answer is missing: it is too long, or there is no memory");
	request_end(r);
}

/* In the thread where the request belongs. Without rows to send it goes straight on. */
static void
run_request(struct call *call)
{
	struct ctl_request *r = (struct ctl_request *)call;

	if (!atomic_load(&r->is_left)) {
		r->is_done = r->run(r);
		if (!r->is_done && json_array_size(r->frames) == 0) {
			worker_post(r->worker, &r->call.letter);
			return;
		}
	}
	if (!r->is_pending)
		mailbox_post(r->back, &r->call.letter);
}

static void
on_back(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;
	struct letter *l = mailbox_take(&control->back), *next;

	for (; l != NULL; l = next) {
		next = l->next;
		take_back(control, (struct ctl_request *)l);
	}
}

static const struct ctl_command *
command_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void
begin(struct client *c, json_t *take_args)
{
	const json_t *name = json_object_get(take_args, "command");
	const struct ctl_command *command =
		json_is_string(name) ? command_find(json_string_value(name)) : NULL;
	struct control *control = c->control;
	struct ctl_request *r = NULL;

	if (command == NULL || (r = calloc(1, sizeof(*r))) == NULL || (r->frames = json_array()) == NULL) {
		free(r);
		json_decref(take_args);
		refuse(c, command == NULL ? "unknown command (is mtactl newer than mtad?)" : "out of memory");
		return;
	}
	c->request = r;
	r->call.letter.kind = LETTER_CALL;
	r->call.run = run_request;
	r->app = control->app;
	r->back = &control->back;
	r->slow = control->slow;
	r->is_stopping = control->app->is_stopping;
	r->client = c->number;
	r->args = take_args;
	r->run = command->run;
	memcpy(r->who, c->who, sizeof(r->who));
	switch (command->place) {
	case CTL_MAIN:
		r->is_done = r->run(r);
		take_back(control, r);
		return;
	case CTL_QUEUE:
		r->worker = dispatch_worker(control->app->dispatch);
		break;
	case CTL_REPORT:
		r->worker = report_worker(control->app->report);
		break;
	case CTL_SLOW:
		r->worker = control->slow;
		break;
	}
	worker_post(r->worker, &r->call.letter);
}

static void
on_client_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	json_t *args;
	ssize_t n;
	int used;

	if (c->request != NULL ||
		c->is_last) /* one request a connection; what follows it is read over its bytes */
		c->in_len = 0;
	n = read(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(c);
		return;
	}
	if (c->request != NULL || c->is_last)
		return;
	c->in_len += (size_t)n;
	used = ctl_read_frame(c->in, c->in_len, &args);
	if (used != 0)
		event_del(c->deadline);
	if (used > 0)
		begin(c, args);
	else if (used < 0)
		refuse(c, ctl_err_text(used));
}

/* A byte now and then is no request either. */
static void
on_client_late(evutil_socket_t fd, short what, void *arg)
{
	client_close(arg);
}

/* root, our own account, or one named in control-users. */
static bool
may_ask(const struct conf *conf, int fd, char *who, size_t who_max)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	const struct passwd *account;
	size_t i;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	account = getpwuid(peer.uid);
	snprintf(who, who_max, "%s(%u)", account != NULL ? account->pw_name : "?", (unsigned)peer.uid);
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	for (i = 0; account != NULL && i < conf->control_users.count; i++)
		if (strcmp(account->pw_name, conf->control_users.items[i]) == 0)
			return true;
	return false;
}

/* Without descriptors accept() fails as long as somebody waits: the loop would spin. */
static void
pause_accepting(struct control *control)
{
	struct timeval tv = {ACCEPT_PAUSE_SECONDS, 0};

	log_event(control->app->log, LOG_EVENT_accept_failed, "listen=control why=\"%s\"", strerror(errno));
	event_del(control->accept_event);
	event_add(control->resume_event, &tv);
}

static void
on_resume_accept(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	event_add(control->accept_event, NULL);
}

static void
on_acceptable(evutil_socket_t listening, short what, void *arg)
{
	struct control *control = arg;
	struct timeval tv = {REQUEST_SECONDS, 0};
	int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c;

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accepting(control);
		return;
	}
	if (control->client_count >= CLIENTS_MAX || (c = calloc(1, sizeof(*c))) == NULL) {
		close(fd);
		return;
	}
	c->control = control;
	c->fd = fd;
	c->number = ++control->next_number;
	c->next = control->clients;
	control->clients = c;
	control->client_count++;
	c->read_event = event_new(control->app->base, fd, EV_READ | EV_PERSIST, on_client_readable, c);
	c->write_event = event_new(control->app->base, fd, EV_WRITE, on_client_writable, c);
	c->deadline = event_new(control->app->base, -1, 0, on_client_late, c);
	if (c->read_event == NULL || c->write_event == NULL || c->deadline == NULL ||
		event_add(c->read_event, NULL) != 0 || event_add(c->deadline, &tv) != 0) {
		client_close(c);
		return;
	}
	if (!may_ask(control->app->conf, fd, c->who, sizeof(c->who)))
		refuse(c, "permission denied: only root, the daemon's account and control-users may use "
			  "mtactl");
}

static void
on_slow_letter(void *arg, struct letter *l)
{
	((struct call *)l)->run((struct call *)l);
}

/* A socket nobody listens on is left from a kill and replaced. */
static bool
bind_socket(struct control *control, char *why, size_t why_max)
{
	const char *path = control->app->conf->control_socket;
	char folder[sizeof(control->address.sun_path)];
	const char *slash = strrchr(path, '/');
	struct stat st;
	int probe;

	control->address.sun_family = AF_UNIX;
	if (snprintf(control->address.sun_path, sizeof(control->address.sun_path), "%s", path) >=
		(int)sizeof(control->address.sun_path)) {
		snprintf(why, why_max, "control-socket %s: the path is longer than %zu bytes", path,
			sizeof(control->address.sun_path) - 1);
		return false;
	}
	snprintf(folder, sizeof(folder), "%.*s", slash != NULL && slash != path ? (int)(slash - path) : 1,
		path);
	if (mkdir(folder, 0755) == 0)
		(void)chmod(folder, 0755);
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		snprintf(why, why_max, "control-socket %s: there is something that is no socket", path);
		return false;
	}
	/* Without waiting: a daemon whose backlog is full (EAGAIN) lives too. */
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe >= 0 &&
		(connect(probe, (const struct sockaddr *)&control->address, sizeof(control->address)) == 0 ||
			errno == EAGAIN)) {
		close(probe);
		snprintf(why, why_max, "control-socket %s: another mtad answers there", path);
		return false;
	}
	if (probe >= 0)
		close(probe);
	(void)unlink(path);
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (control->fd < 0 ||
		bind(control->fd, (const struct sockaddr *)&control->address, sizeof(control->address)) !=
			0 ||
		chmod(path, 0666) != 0 || listen(control->fd, SOCKET_BACKLOG) != 0) {
		snprintf(why, why_max, "control-socket %s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

struct control *
control_create(struct app *app, char *why, size_t why_max)
{
	struct control *control = calloc(1, sizeof(*control));
	struct worker_conf wc = {.name = "control", .clock = app->clock, .on_letter = on_slow_letter};

	if (control == NULL)
		return NULL;
	control->app = app;
	control->fd = control->back.fd = -1;
	if (!bind_socket(control, why, why_max) || !mailbox_init(&control->back) ||
		(control->slow = worker_create(&wc)) == NULL)
		control_destroy(&control);
	return control;
}

bool
control_start(struct control *control)
{
	control->accept_event =
		event_new(control->app->base, control->fd, EV_READ | EV_PERSIST, on_acceptable, control);
	control->back_event =
		event_new(control->app->base, control->back.fd, EV_READ | EV_PERSIST, on_back, control);
	control->resume_event = event_new(control->app->base, -1, 0, on_resume_accept, control);
	return control->accept_event != NULL && control->back_event != NULL &&
	       control->resume_event != NULL && event_add(control->accept_event, NULL) == 0 &&
	       event_add(control->back_event, NULL) == 0 && worker_start(control->slow);
}

void
control_destroy(struct control **cp)
{
	struct control *control = *cp;
	struct letter *l, *next;

	*cp = NULL;
	if (control == NULL)
		return;
	if (control->slow != NULL) {
		worker_stop(control->slow);
		worker_join(control->slow);
	}
	while (control->clients != NULL)
		client_close(control->clients);
	for (l = control->back.fd >= 0 ? mailbox_take(&control->back) : NULL; l != NULL; l = next) {
		next = l->next;
		request_free((struct ctl_request *)l);
	}
	if (control->accept_event != NULL)
		event_free(control->accept_event);
	if (control->resume_event != NULL)
		event_free(control->resume_event);
	if (control->back_event != NULL)
		event_free(control->back_event);
	if (control->back.fd >= 0)
		mailbox_fini(&control->back);
	worker_destroy(&control->slow);
	if (control->fd >= 0) {
		close(control->fd);
		(void)unlink(control->address.sun_path);
	}
	free(control);
}
