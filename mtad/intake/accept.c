/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where submissions begin: the settings of a configuration as this thread's sessions see them, the listening
 * sockets, and who is let in. Invariants: a session keeps the settings it began with; a connection that is
 * not let in costs one line and is counted nowhere.
 */
#include "intake/intake_impl.h"

#include "base/descriptors.h"
#include "base/smtp_heap.h"
#include "queue/message.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPTS_A_TURN = 64, LAST_TURNS = 32, ACCEPT_PAUSE_US = 200000, COUNTED_NAMES = 3 };

/* --- settings --- */

void
intake_settings_unref(struct intake_settings *st)
{
	size_t i;

	if (st == NULL || --st->refs > 0)
		return;
	for (i = 0; i < st->conf->listen_count; i++)
		SSL_CTX_free(st->tls[i]);
	free(st->tls);
	free(st->engine);
	conf_unref(st->conf);
	free(st);
}

static void
engine_conf(const struct conf *c, const struct conf_listen *l, bool has_tls, struct smtp_server_conf *out)
{
	bool is_submission = l->kind == CONF_LISTEN_SUBMISSION;

	*out = (struct smtp_server_conf){
		.hostname = {c->hostname, strnlen(c->hostname, SMTP_DOMAIN_MAX)},
		.message_bytes_max = (uint64_t)l->message_max,
		.rcpt_max = (uint32_t)l->recipients_max,
		.mail_max = (uint32_t)l->messages_per_connection,
		.error_max = (uint32_t)l->errors_max,
		.junk_max = 100,
		.has_starttls =
			has_tls && (l->tls == CONF_LISTEN_TLS_MAY || l->tls == CONF_LISTEN_TLS_REQUIRED),
		.has_auth = is_submission && l->auth != CONF_AUTH_NONE && c->user_count > 0,
		.auth_in_clear = l->auth_in_clear,
		.auth_required = is_submission && l->auth == CONF_AUTH_REQUIRED,
		.tls_required = l->tls == CONF_LISTEN_TLS_REQUIRED,
		/* What comes back is read and goes nowhere, so it may be as odd as it is. */
		.allow_bare_lf = !is_submission || l->bare_lf == CONF_BARE_LF_NORMALISE,
		.text_line_max = is_submission ? (uint32_t)l->line_max : 0,
	};
}

static struct intake_settings *
settings_create(const struct conf *conf, bool has_keys, char *why, size_t why_max)
{
	struct intake_settings *st = calloc(1, sizeof(*st));
	size_t i;

	if (st == NULL)
		return NULL;
	st->refs = 1;
	st->conf = conf_ref(conf);
	st->has_keys = has_keys;
	st->clients_max = descriptors_share(conf->connections_total).clients;
	st->tls = calloc(conf->listen_count + 1, sizeof(st->tls[0]));
	st->engine = calloc(conf->listen_count + 1, sizeof(st->engine[0]));
	for (i = 0; st->tls != NULL && st->engine != NULL && i < conf->listen_count; i++) {
		const struct conf_listen *l = &conf->listens[i];

		if (l->certificate[0] != '\0' && l->tls != CONF_LISTEN_TLS_NONE &&
			(st->tls[i] = tls_server_create(l->certificate, l->key, why, why_max)) == NULL)
			break;
		engine_conf(conf, l, st->tls[i] != NULL, &st->engine[i]);
	}
	if (st->tls != NULL && st->engine != NULL && i == conf->listen_count)
		return st;
	if (st->tls == NULL) { /* intake_settings_unref walks it */
		conf_unref(st->conf);
		free(st->engine);
		free(st);
	} else
		intake_settings_unref(st);
	return NULL;
}

/* --- accepting --- */

void
intake_address_text(const struct sockaddr_storage *address, char *buf, size_t max)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_UNIX)
		snprintf(buf, max, "local");
	else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		(void)inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, buf, (socklen_t)max);
	else
		(void)inet_ntop(address->ss_family,
			address->ss_family == AF_INET6
				? (const void *)&v6->sin6_addr
				: (const void *)&((const struct sockaddr_in *)address)->sin_addr,
			buf, (socklen_t)max);
}

static void
describe_client(struct intake_session *s, const struct sockaddr_storage *peer)
{
	intake_address_text(peer, s->client_ip, sizeof(s->client_ip));
	limits_client(peer, s->client_name);
}

static bool
is_in_networks(const struct conf_listen *l, const struct sockaddr_storage *peer)
{
	return l->kind == CONF_LISTEN_SUBMISSION && l->auth != CONF_AUTH_REQUIRED &&
	       conf_network_has(&l->nets, (const struct sockaddr *)peer);
}

/* The names a session is counted under, and how many each may have. */
struct counted {
	const char *name;
	int64_t max;
};

static void
counted_names(const struct intake_session *s, struct counted names[COUNTED_NAMES])
{
	names[0] = (struct counted){s->client_name, s->listen->connections_per_client};
	names[1] = (struct counted){s->listen->name, s->listen->connections_max};
	names[2] = (struct counted){"all clients", s->settings->clients_max};
}

static bool
within_limits(const struct intake_session *s)
{
	struct limits *limits = s->in->conf.limits;
	struct counted names[COUNTED_NAMES];
	int i;

	counted_names(s, names);
	for (i = 0; i < COUNTED_NAMES; i++)
		if (!limits_connect(limits, names[i].name, names[i].max, mono(s)))
			break;
	if (i == COUNTED_NAMES)
		return true;
	while (i-- > 0)
		limits_disconnect(limits, names[i].name);
	return false;
}

void
intake_session_uncount(const struct intake_session *s)
{
	struct counted names[COUNTED_NAMES];
	int i;

	counted_names(s, names);
	for (i = 0; i < COUNTED_NAMES; i++)
		limits_disconnect(s->in->conf.limits, names[i].name);
}

static void
refuse_connection(int fd, const struct conf_listen *l, const struct conf *conf)
{
	char line[SMTP_DOMAIN_MAX + 64];
	int n = snprintf(
		line, sizeof(line), "421 4.3.2 %s Too many connections, try again later\r\n", conf->hostname);

	/* Cheaply: if the line does not fit into an empty socket buffer, the client does without. */
	if (l->kind != CONF_LISTEN_UNSUBSCRIBE)
		(void)!send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

/* What talks to the client. False: no memory. */
static bool
give_engine(struct intake_session *s, const struct sockaddr_storage *peer)
{
	if (s->listen->kind == CONF_LISTEN_UNSUBSCRIBE)
		return unsubscribe_create(s, peer);
	s->role = s->listen->kind == CONF_LISTEN_REPORTS ? &reports_role : &submission_role;
	if ((s->smtp = smtp_server_create(&smtp_heap, &s->settings->engine[s->listen_index])) == NULL)
		return false;
	intake_offer_hold(s);
	return true;
}

static void
begin(const struct accepter *a, int fd, const struct sockaddr_storage *peer)
{
	struct intake_session *s = calloc(1, sizeof(*s));
	struct intake *in = a->in;
	size_t listen = a->listen;

	if (s == NULL) {
		refuse_connection(fd, &a->settings->conf->listens[listen], a->settings->conf);
		return;
	}
	s->magic = INTAKE_MAGIC;
	s->in = in;
	s->settings = a->settings;
	s->settings->refs++;
	s->listen_index = listen;
	s->listen = &s->settings->conf->listens[listen];
	s->next = in->first;
	s->prev = &in->first;
	if (in->first != NULL)
		in->first->prev = &s->next;
	in->first = s;
	in->count++;
	describe_client(s, peer);
	s->in_networks = is_in_networks(s->listen, peer);
	s->is_counted = within_limits(s);
	if (!s->is_counted || !give_engine(s, peer)) {
		log_event(in->conf.log, LOG_EVENT_client_refused, "client=%s listen=%s", s->client_ip,
			s->listen->name);
		refuse_connection(fd, s->listen, s->settings->conf);
		intake_session_free_if_over(s);
		return;
	}
	s->wire = wire_create(
		worker_base(in->conf.io), fd, s->smtp != NULL ? &intake_wire_ops : &unsubscribe_wire_ops, s);
	if (s->wire == NULL) {
		intake_session_free_if_over(s);
		return;
	}
	log_event(in->conf.log, LOG_EVENT_client_connected, "client=%s listen=%s", s->client_ip,
		s->listen->name);
	if (s->listen->tls == CONF_LISTEN_TLS_IMPLICIT && s->settings->tls[listen] != NULL)
		(void)wire_start_tls_server(s->wire, s->settings->tls[listen]);
	else
		wire_send(s->wire);
	s->login_by_us = mono(s) + s->listen->command_timeout;
	if (s->smtp != NULL)
		wire_deadline(s->wire, s->listen->command_timeout);
	else
		wire_deadline(s->wire, UNSUBSCRIBE_REQUEST_US);
}

/* Without room for the timer the loop spins, which is better than never to accept again. */
static void
pause_accepting(struct intake *in)
{
	struct timeval tv = {0, ACCEPT_PAUSE_US};
	size_t i;

	if (event_add(in->resume_accept, &tv) != 0)
		return;
	for (i = 0; i < in->accepter_count; i++)
		event_del(in->accepters[i].event);
}

static void
on_resume_accept(evutil_socket_t fd, short what, void *arg)
{
	struct intake *in = arg;
	size_t i;

	if (in->is_stopping)
		return;
	for (i = 0; i < in->accepter_count; i++)
		if (event_add(in->accepters[i].event, NULL) != 0) {
			pause_accepting(in);
			return;
		}
}

/* True: there may be more. */
static bool
accept_some(struct accepter *a)
{
	struct sockaddr_storage peer;
	socklen_t len;
	int i, client;

	for (i = 0; i < ACCEPTS_A_TURN; i++) {
		len = sizeof(peer);
		peer.ss_family = AF_UNIX;
		client = accept4(a->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client >= 0) {
			begin(a, client, &peer);
			continue;
		}
		if (errno == EAGAIN)
			return false;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		/* EMFILE and its kin would make the loop spin: a moment's pause (I1). */
		log_event(a->in->conf.log, LOG_EVENT_accept_failed, "why=\"%s\"", strerror(errno));
		pause_accepting(a->in);
		return false;
	}
	return true;
}

static void
on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	(void)accept_some(arg);
}

static void
free_accepters(struct accepter *accepters, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (accepters[i].event != NULL)
			event_free(accepters[i].event);
		intake_settings_unref(accepters[i].settings);
	}
	free(accepters);
}

static struct accepter *
make_accepters(struct intake *in, struct intake_settings *settings, const struct listener_set *set)
{
	struct accepter *made = calloc(set->count + 1, sizeof(*made));
	size_t i;

	for (i = 0; made != NULL && i < set->count; i++) {
		struct accepter *a = &made[i];

		*a = (struct accepter){.in = in,
			.settings = settings,
			.listen = set->items[i].listen,
			.fd = set->items[i].fd};
		settings->refs++;
		a->event = event_new(worker_base(in->conf.io), a->fd, EV_READ | EV_PERSIST, on_acceptable, a);
		if (a->event == NULL) {
			free_accepters(made, i + 1);
			return NULL;
		}
	}
	return made;
}

/* Whom the kernel has let in already is served: with the socket they would be reset. */
static void
end_accepter(struct accepter *a)
{
	int turn;

	for (turn = 0; turn < LAST_TURNS && !a->in->is_stopping && accept_some(a); turn++)
		;
	event_del(a->event);
	close(a->fd);
}

/* From now on these are the sockets; what was there and is not among them is closed. */
static bool
take_sockets(struct intake *in, struct intake_settings *settings, const struct listener_set *set)
{
	struct accepter *made = make_accepters(in, settings, set);
	size_t i;

	if (made == NULL)
		return false;
	for (i = 0; i < in->accepter_count; i++)
		if (!listener_has(set, in->accepters[i].fd))
			end_accepter(&in->accepters[i]);
	free_accepters(in->accepters, in->accepter_count);
	in->accepters = made;
	in->accepter_count = set->count;
	for (i = 0; !in->is_stopping && i < set->count; i++)
		event_add(made[i].event, NULL);
	return true;
}

/* --- the root --- */

uint32_t
intake_count(const struct intake *in)
{
	return in->count;
}

bool
intake_reconfigure(struct intake *in, const struct intake_change *change, char *why, size_t why_max)
{
	struct intake_settings *fresh = settings_create(change->conf, change->has_keys, why, why_max);

	if (fresh == NULL)
		return false;
	if (!take_sockets(in, fresh, change->sockets)) {
		intake_settings_unref(fresh);
		return false;
	}
	intake_settings_unref(in->settings);
	in->settings = fresh;
	return true;
}

struct intake *
intake_create(const struct intake_conf *conf)
{
	struct intake *in = calloc(1, sizeof(*in));

	if (in == NULL)
		return NULL;
	in->conf = *conf;
	in->passwords_end = &in->passwords;
	in->resume_accept = event_new(worker_base(conf->io), -1, 0, on_resume_accept, in);
	if (in->resume_accept == NULL)
		intake_destroy(&in);
	return in;
}

/* After a start that failed later on: clients may have come in. No thread runs any more, so no letter comes
 * back. */
static void
end_sessions(struct intake *in)
{
	struct intake_session *s;

	while ((s = in->first) != NULL) {
		if (s->waiting == WAIT_SPOOL)
			message_unref(s->accept.message != NULL ? s->accept.message : s->returned.message);
		s->waiting = WAIT_NOTHING;
		wire_destroy(&s->wire);
		intake_session_free_if_over(s);
	}
}

void
intake_destroy(struct intake **inp)
{
	struct intake *in = *inp;

	*inp = NULL;
	if (in == NULL)
		return;
	end_sessions(in);
	assert(in->count == 0);
	free_accepters(in->accepters, in->accepter_count);
	if (in->resume_accept != NULL)
		event_free(in->resume_accept);
	intake_settings_unref(in->settings);
	free(in);
}
