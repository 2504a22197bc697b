/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries the addresses of a route in turn until one is ready for mail, then sends jobs until the engine is
 * down.
 *
 * Invariants: a session ends in session_end() and nowhere else; that answers every job still here and posts
 * `closed`. Before a host was ready its failure is the address's, and the jobs stay for the next address;
 * afterwards the engine has answered for the mails inside it and the rest go back unpenalised.
 */
#include "deliver/deliver_impl.h"

#include "base/local.h"
#include "base/smtp_heap.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FALL_OVER_US = 5000000,   /* wait for a connection while there are other addresses */
	QUIT_WAIT_US = 5000000,   /* D31: a site that does not answer QUIT is not waited for */
	IDLE_WAIT_US = 600000000, /* the queue closes idle sessions long before */
	BODY_BLOCK_BYTES =
		16384, /* progress that renews the data timer: a floor under the sending rate (D39) */
};
#define SESSION_MAGIC 0x53455353u

static struct deliver_session *
session_of(void *arg)
{
	struct deliver_session *s = arg;

	assert(s->magic == SESSION_MAGIC);
	return s;
}

static bool pump(struct deliver_session *s, struct smtp_slice *in);
static void connect_next(struct deliver_session *s);

/* --- jobs --- */

static void
copy_text(char *to, size_t max, const char *from)
{
	snprintf(to, max, "%.*s", (int)(max - 1), from);
}

static void
caps_words(unsigned caps, char *buf, size_t max)
{
	static const struct {
		unsigned cap;
		const char *name;
	} names[] = {{SMTP_CAP_PIPELINING, "PIPELINING"}, {SMTP_CAP_8BITMIME, "8BITMIME"},
		{SMTP_CAP_SIZE, "SIZE"}, {SMTP_CAP_STARTTLS, "STARTTLS"}, {SMTP_CAP_DSN, "DSN"},
		{SMTP_CAP_SMTPUTF8, "SMTPUTF8"}, {SMTP_CAP_CHUNKING, "CHUNKING"},
		{SMTP_CAP_DELIVERBY, "DELIVERBY"}};
	size_t i;
	int n = 0;

	buf[0] = '\0';
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((caps & names[i].cap) != 0 && n < (int)max - 16)
			n += snprintf(buf + n, max - (size_t)n, "%s%s", n > 0 ? "," : "", names[i].name);
}

/* Back to the queue thread, with what this session knows for the records. */
static void
give_back(struct deliver_session *s, struct job *job)
{
	const struct outbound *o = s->o;

	copy_text(job->source, sizeof(job->source), o->conf->sources[o->source].name);
	copy_text(job->site, sizeof(job->site), o->route->site);
	copy_text(job->host, sizeof(job->host), s->host != NULL ? s->host : "");
	copy_text(job->peer_ip, sizeof(job->peer_ip), s->peer_ip);
	copy_text(job->local_ip, sizeof(job->local_ip), s->local_ip);
	copy_text(job->tls, sizeof(job->tls), s->tls_words);
	if (s->smtp != NULL)
		caps_words(smtp_client_caps(s->smtp), job->caps, sizeof(job->caps));
	job->letter.kind = LETTER_JOB_DONE;
	worker_post(s->d->conf.queue, &job->letter);
}

static const struct verdict_output not_tried = {
	.verdict = {.kind = QUEUE_VERDICT_RETURN}, .bounce_class = BOUNCE_CLASS_SYSTEM_ERROR, .esc = "4.4.1"};

/* An address failed and said nothing about it. */
static struct verdict_output
silent_failure(enum bounce_class bounce_class)
{
	/* That the connection failed is said with its end. */
	struct verdict_output v = {.verdict = {.kind = QUEUE_VERDICT_LATER, .signal = QUEUE_SIGNAL_NONE},
		.bounce_class = bounce_class};

	snprintf(
		v.esc, sizeof(v.esc), "%s", bounce_class == BOUNCE_CLASS_PROTOCOL_ERRORS ? "4.7.5" : "4.4.1");
	return v;
}

static void
answer_waiting(struct deliver_session *s, const struct verdict_output *v, const char *words)
{
	struct queue_blob text = {words, strnlen(words, QUEUE_REPLY_MAX)};
	unsigned i;
	uint32_t n;

	for (i = 0; i < s->waiting_count; i++) {
		for (n = 0; n < v->rules.count; n++)
			job_rules_add(&s->waiting[i]->rules, v->rules.items[n]);
		for (n = 0; n < s->waiting[i]->rcpt_count; n++)
			job_answer(s->waiting[i], n, &v->verdict, v->bounce_class, v->esc, text);
		give_back(s, s->waiting[i]);
	}
	s->waiting_count = 0;
}

static struct transfer *
free_transfer(struct deliver_session *s)
{
	unsigned i;

	for (i = 0; i < TRANSFERS; i++)
		if (s->transfers[i].job == NULL)
			return &s->transfers[i];
	return NULL;
}

/* Hands waiting jobs to the engine while it takes them. */
static void
fill(struct deliver_session *s)
{
	struct transfer *t;
	struct job *job;

	while (s->waiting_count > 0 && smtp_client_can_take(s->smtp) && (t = free_transfer(s)) != NULL) {
		job = s->waiting[0];
		memmove(s->waiting, s->waiting + 1, (--s->waiting_count) * sizeof(s->waiting[0]));
		if (transfer_begin(t, job, s->d->conf.store, s->d->conf.suppress, s->d->conf.memory,
			    clock_now(s->d->conf.clock)))
			smtp_client_mail(s->smtp, &t->mail);
		else
			give_back(s, job);
	}
}

/* --- the end --- */

static void
unlink_session(struct deliver_session *s)
{
	*s->prev = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	s->d->count--;
}

static void
close_connection(struct deliver_session *s)
{
	wire_destroy(&s->wire);
	smtp_client_destroy(&s->smtp);
}

/* The only end. What still waits was not tried here: it goes back, penalised only if no address of the site
 * worked. Without a route the site is not to blame, but for the mail it is an attempt: its sender has to be
 * told some day. */
static void
session_end(struct deliver_session *s, const char *why)
{
	bool is_attempt = !s->was_ready && (s->is_sites_fault || (s->is_hindered && !s->is_short));
	char escaped[400];
	struct outbound *o = s->o;
	unsigned i;

	assert(s->state != SS_ENDED);
	s->state = SS_ENDED;
	for (i = 0; i < TRANSFERS; i++)
		assert(s->transfers[i].job == NULL);
	answer_waiting(s, is_attempt ? &s->failed : &not_tried, why);
	if (s->was_ready)
		log_event(s->d->conf.log, LOG_EVENT_session_down, "site=%s host=%s peer=%s why=\"%s\"",
			o->route->site, s->host, s->peer_ip,
			log_escape(escaped, sizeof(escaped), why, strnlen(why, sizeof(escaped) / 4)));
	o->end = s->was_ready        ? QUEUE_SESSION_OVER
		 : s->is_sites_fault ? QUEUE_SESSION_FAILED
				     : QUEUE_SESSION_HINDERED;
	copy_text(o->why, sizeof(o->why), why);
	o->deliver = NULL;
	close_connection(s);
	unlink_session(s);
	s->magic = 0;
	free(s);
	o->closed.kind = LETTER_CLOSED;
	worker_post(o->queue, &o->closed);
}

static void
remember_failure(struct deliver_session *s, struct verdict_output v, const char *words)
{
	s->failed = v;
	if (v.verdict.code != 0)
		copy_text(s->failure, sizeof(s->failure), words);
	else
		snprintf(s->failure, sizeof(s->failure), "%s (%s): %s", s->host, s->peer_ip, words);
}

/* This address failed before it was ready for mail: the next one. */
static void
address_failed(struct deliver_session *s, struct verdict_output v, const char *words)
{
	char escaped[QUEUE_REPLY_MAX];

	s->is_sites_fault = true;
	remember_failure(s, v, words);
	log_event(s->d->conf.log, LOG_EVENT_session_failed, "site=%s source=%s host=%s peer=%s why=\"%s\"",
		s->o->route->site, s->o->conf->sources[s->o->source].name, s->host, s->peer_ip,
		log_escape(escaped, sizeof(escaped), words, strnlen(words, sizeof(escaped))));
	close_connection(s);
	connect_next(s);
}

/* --- timers --- */

static int64_t
phase_timeout(const struct deliver_session *s, enum smtp_client_phase phase)
{
	const struct conf_delivery *c = &s->o->settings;

	switch (phase) {
	case SMTP_PHASE_CONNECT:
		return c->connect_timeout;
	case SMTP_PHASE_GREETING:
		return c->greeting_timeout;
	case SMTP_PHASE_BODY:
		return c->data_timeout;
	case SMTP_PHASE_DOT:
		return c->dot_timeout;
	case SMTP_PHASE_IDLE:
		return IDLE_WAIT_US;
	case SMTP_PHASE_QUIT:
		return QUIT_WAIT_US;
	default:
		return c->command_timeout;
	}
}

/* A timer for each phase and each whole reply (of a hundred pipelined recipients each has the time of RFC
 * 5321 4.5.3.2.3), never for each byte: a peer that dribbles does not renew it (D6). */
static void
set_timer(struct deliver_session *s)
{
	enum smtp_client_phase phase = smtp_client_phase(s->smtp);
	uint32_t replies = smtp_client_replies(s->smtp);
	uint64_t sent = wire_bytes_out(s->wire);
	bool has_block = phase == SMTP_PHASE_BODY && sent - s->timed_bytes >= BODY_BLOCK_BYTES;

	if (phase == s->timed_phase && replies == s->timed_replies && !has_block)
		return;
	s->timed_phase = phase;
	s->timed_replies = replies;
	s->timed_bytes = sent;
	wire_deadline(s->wire, phase_timeout(s, phase));
}

/* --- the conversation --- */

static enum smtp_client_tls
tls_wish(const struct deliver_session *s)
{
	switch ((enum conf_tls)s->o->settings.tls) {
	case CONF_TLS_ENCRYPT:
	case CONF_TLS_VERIFY:
		return SMTP_CLIENT_TLS_MUST;
	case CONF_TLS_MAY:
		return (s->faults & HOSTS_TLS_BROKEN) != 0 ? SMTP_CLIENT_TLS_NONE : SMTP_CLIENT_TLS_MAY;
	case CONF_TLS_NONE:
	case CONF_TLS_UNSET:
	default:
		return SMTP_CLIENT_TLS_NONE;
	}
}

static bool
start_engine(struct deliver_session *s)
{
	const struct outbound *o = s->o;
	const char *ehlo = o->conf->sources[o->source].ehlo;
	struct smtp_client_conf c = {.tls = tls_wish(s)};

	if (ehlo[0] == '\0')
		ehlo = o->conf->hostname;
	c.ehlo_name = (struct smtp_slice){ehlo, strnlen(ehlo, SMTP_DOMAIN_MAX)};
	c.may_pipeline = o->settings.pipelining && (s->faults & HOSTS_NO_PIPELINING) == 0;
	c.may_overlap = c.may_pipeline && o->settings.overlap && (s->faults & HOSTS_NO_OVERLAP) == 0;
	c.helo_only = s->is_helo_only;
	if (o->route->static_route >= 0 && o->conf->routes[o->route->static_route].user[0] != '\0') {
		const struct conf_route *r = &o->conf->routes[o->route->static_route];

		c.user = (struct smtp_slice){r->user, strnlen(r->user, SMTP_CREDENTIAL_MAX)};
		c.password = (struct smtp_slice){r->password, strnlen(r->password, SMTP_CREDENTIAL_MAX)};
	}
	s->smtp = smtp_client_create(&smtp_heap, &c);
	return s->smtp != NULL;
}

static void
start_tls(struct deliver_session *s, size_t leftover)
{
	bool verify = s->o->settings.tls == CONF_TLS_VERIFY;
	SSL_CTX *ctx = verify ? s->d->tls_verify : s->d->tls_plain;
	SSL_SESSION *session;

	if (ctx == NULL) {
		address_failed(s, silent_failure(BOUNCE_CLASS_PROTOCOL_ERRORS),
			"no certification authorities could be loaded (tls-ca-file)");
		return;
	}
	s->state = SS_HANDSHAKE;
	/* A resumed session is not verified again, so one of other authorities must not be found. */
	snprintf(s->tls_name, sizeof(s->tls_name), "%llu %s",
		verify ? (unsigned long long)s->d->verify_number : 0ULL, s->host);
	session = tls_cache_take(s->d->tls_cache, s->tls_name);
	/* E4: bytes glued behind "220 ready" were sent in clear by somebody in the middle. */
	if (wire_start_tls_client(s->wire, ctx, s->host, session) || leftover > 0) {
		SSL_SESSION_free(session);
		address_failed(s, silent_failure(BOUNCE_CLASS_PROTOCOL_ERRORS),
			"bytes behind the reply to STARTTLS");
		return;
	}
	SSL_SESSION_free(session);
	s->tls_slot = (struct tls_slot){s->d->tls_cache, s->tls_name};
	if (wire_ssl(s->wire) != NULL)
		tls_cache_watch(wire_ssl(s->wire), &s->tls_slot);
	wire_deadline(s->wire, s->o->settings.command_timeout);
}

static void
learn(struct deliver_session *s, const char *name, unsigned faults)
{
	hosts_learn(s->d->hosts, name, faults, clock_mono(s->d->conf.clock));
}

/* The same address once more, in clear; only when the lesson was kept, or this would never end. */
static void
repeat_in_clear(struct deliver_session *s, const char *words)
{
	log_event(s->d->conf.log, LOG_EVENT_tls_fallback, "site=%s host=%s why=\"%s\"", s->o->route->site,
		s->host, words);
	learn(s, s->host, HOSTS_TLS_BROKEN);
	if ((hosts_faults(s->d->hosts, s->host, clock_mono(s->d->conf.clock)) & HOSTS_TLS_BROKEN) != 0)
		s->order_next--;
}

/* D13: the host closes on EHLO. Inside TLS it has answered one before, and HELO would give the TLS away. */
static bool
breaks_on_ehlo(const struct deliver_session *s, const struct smtp_client_fact *fact)
{
	return fact->phase == SMTP_PHASE_EHLO && fact->reply.code == 0 && wire_ssl(s->wire) == NULL &&
	       tls_wish(s) != SMTP_CLIENT_TLS_MUST && !s->is_helo_only;
}

/* Once, and not remembered: a host in a bad moment breaks on EHLO too, and its next mail should have TLS
 * again.
 */
static void
repeat_with_helo(struct deliver_session *s)
{
	s->is_helo_only = true;
	s->order_next--;
}

/* E1: the host offers STARTTLS and then closes, stalls or talks nonsense. Under `may` that is a broken
 * handshake. */
static bool
breaks_on_starttls(const struct deliver_session *s, const struct smtp_client_fact *fact)
{
	return fact->phase == SMTP_PHASE_STARTTLS && fact->reply.code == 0 &&
	       tls_wish(s) == SMTP_CLIENT_TLS_MAY;
}

static void
on_ready(struct deliver_session *s)
{
	struct outbound *o = s->o;

	if (!s->was_ready) {
		s->was_ready = true;
		o->can_overlap = o->settings.overlap && o->settings.pipelining &&
				 (s->faults & (HOSTS_NO_OVERLAP | HOSTS_NO_PIPELINING)) == 0 &&
				 (smtp_client_caps(s->smtp) & SMTP_CAP_PIPELINING) != 0;
		o->ready.kind = LETTER_READY;
		worker_post(o->queue, &o->ready);
	}
	fill(s);
}

/* The engine is down. */
static void
on_engine_down(struct deliver_session *s, const struct smtp_client_fact *fact)
{
	struct verdict_input in = {fact->outcome, fact->phase, fact->reply.code, fact->reply.esc, 0,
		s->o->rules, s->o->route->provider, &fact->reply, s->o->classifier, false};
	struct verdict_output v;
	char words[QUEUE_REPLY_MAX];

	if (fact->reply.code != 0)
		snprintf(words, sizeof(words), "%u %.*s", (unsigned)fact->reply.code,
			(int)fact->reply.text.len, fact->reply.text.ptr);
	else
		snprintf(words, sizeof(words), "%.*s", (int)fact->text.len, fact->text.ptr);
	if (fact->pipeline_broken)
		learn(s, s->host,
			(s->faults & HOSTS_NO_OVERLAP) != 0 || !s->o->can_overlap ? HOSTS_NO_PIPELINING
										  : HOSTS_NO_OVERLAP);
	verdict_decide(&in, &v);
	if (s->was_ready) {
		/* RFC 5321 3.8: the site closes, maybe while the connection rests. Rules see it once. */
		if (fact->reply.code == 421 && !s->has_told_421)
			s->o->rules_at_end = v.rules;
		session_end(s, words);
		return;
	}
	if (fact->phase == SMTP_PHASE_AUTH && in.code >= 500)
		log_event(s->d->conf.log, LOG_EVENT_login_refused, "site=%s host=%s peer=%s code=%u",
			s->o->route->site, s->host, s->peer_ip, (unsigned)in.code);
	if (fact->phase == SMTP_PHASE_STARTTLS)
		v.bounce_class = BOUNCE_CLASS_PROTOCOL_ERRORS;
	if (breaks_on_ehlo(s, fact))
		repeat_with_helo(s);
	else if (breaks_on_starttls(s, fact))
		repeat_in_clear(s, words);
	address_failed(s, v, words);
}

/* Pulls events until the engine wants more. False: the session or its connection is another one now. */
static bool
pump(struct deliver_session *s, struct smtp_slice *in)
{
	enum smtp_client_event event;
	struct smtp_client_fact fact;

	while ((event = smtp_client_next(s->smtp, in, &fact)) != SMTP_CLIENT_MORE) {
		switch (event) {
		case SMTP_CLIENT_STARTTLS:
			wire_send(s->wire);
			start_tls(s, in->len);
			return false;
		case SMTP_CLIENT_READY:
			on_ready(s);
			break;
		case SMTP_CLIENT_RESULT:
			s->has_told_421 = s->has_told_421 || fact.reply.code == 421;
			transfer_result(fact.mail->user, &fact);
			break;
		case SMTP_CLIENT_MAIL_DONE:
			give_back(s, transfer_end(fact.mail->user));
			break;
		case SMTP_CLIENT_DOWN:
			on_engine_down(s, &fact);
			return false;
		case SMTP_CLIENT_MORE:
			break;
		}
	}
	wire_send(s->wire);
	set_timer(s);
	return true;
}

static void
pump_nothing(struct deliver_session *s)
{
	struct smtp_slice none = {"", 0};

	(void)pump(s, &none);
}

static void
on_connected(void *arg)
{
	struct deliver_session *s = session_of(arg);
	struct sockaddr_storage local = {0};
	socklen_t len = sizeof(local);

	if (getsockname(wire_fd(s->wire), (struct sockaddr *)&local, &len) == 0)
		(void)inet_ntop(local.ss_family,
			local.ss_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&local)->sin6_addr
						    : (void *)&((struct sockaddr_in *)&local)->sin_addr,
			s->local_ip, sizeof(s->local_ip));
	s->state = SS_TALKING;
	if (!start_engine(s)) {
		s->is_sites_fault = false;
		session_end(s, "out of memory");
		return;
	}
	set_timer(s);
}

static void
on_tls(void *arg)
{
	struct deliver_session *s = session_of(arg);

	s->state = SS_TALKING;
	(void)tls_describe(wire_ssl(s->wire), s->tls_words, sizeof(s->tls_words));
	smtp_client_tls_started(s->smtp);
	pump_nothing(s);
}

static size_t
on_bytes(void *arg, const char *bytes, size_t len)
{
	struct deliver_session *s = session_of(arg);
	struct smtp_slice in = {bytes, len};

	if (!pump(s, &in))
		return len;
	return len - in.len;
}

static int
on_pull(void *arg, struct iovec *iov, int iov_max)
{
	struct deliver_session *s = session_of(arg);

	return smtp_client_output(s->smtp, iov, iov_max);
}

static void
on_sent(void *arg, size_t bytes)
{
	struct deliver_session *s = session_of(arg);

	smtp_client_drained(s->smtp, bytes);
	set_timer(s);
}

static void
handshake_failed(struct deliver_session *s, enum wire_down why, const char *detail)
{
	char words[QUEUE_REPLY_MAX];

	snprintf(words, sizeof(words), "TLS handshake: %s", detail);
	if (s->o->settings.tls == CONF_TLS_MAY && why != WIRE_MEMORY)
		repeat_in_clear(s, words);
	address_failed(s, silent_failure(BOUNCE_CLASS_PROTOCOL_ERRORS), words);
}

static void
on_down(void *arg, enum wire_down why, const char *detail)
{
	struct deliver_session *s = session_of(arg);

	if (why == WIRE_TIMEOUT && s->smtp != NULL && smtp_client_phase(s->smtp) == SMTP_PHASE_QUIT)
		detail = "closed";
	switch (s->state) {
	case SS_CONNECTING:
		if (why != WIRE_MEMORY)
			learn(s, s->peer_ip, HOSTS_UNREACHABLE);
		address_failed(s, silent_failure(BOUNCE_CLASS_NO_ANSWER_FROM_HOST), detail);
		return;
	case SS_HANDSHAKE:
		handshake_failed(s, why, detail);
		return;
	case SS_TALKING:
		smtp_client_lost(s->smtp, (struct smtp_slice){detail, strnlen(detail, 120)});
		pump_nothing(s);
		return;
	case SS_ENDED:
		return;
	}
}

/* --- connecting --- */

static const struct wire_ops wire_operations = {on_connected, on_tls, on_bytes, on_pull, on_sent, on_down};

static void
describe_peer(struct deliver_session *s)
{
	s->host = s->o->route->hosts[s->peer->host].name;
	dial_address_text(s->peer, s->peer_ip, sizeof(s->peer_ip));
	s->local_ip[0] = s->tls_words[0] = '\0';
	s->faults = hosts_faults(s->d->hosts, s->host, clock_mono(s->d->conf.clock));
}

/* While another address is left, one that does not answer (a family without a way out, a dead host) is left
 * soon. */
static int64_t
connect_timeout(const struct deliver_session *s)
{
	int64_t all_us = s->o->settings.connect_timeout;

	return s->order_next < s->order_count && all_us > FALL_OVER_US ? FALL_OVER_US : all_us;
}

/* This address is not even dialled. A local reason is no reason to wait for the site, nor to leave its
 * addresses of the other family untried; and what the site has said before says more. */
static void
not_dialled(struct deliver_session *s, int err)
{
	if (!local_is_fault(err)) {
		remember_failure(s, silent_failure(BOUNCE_CLASS_NO_ANSWER_FROM_HOST), strerror(err));
		s->is_sites_fault = true;
		return;
	}
	if (!s->is_sites_fault)
		remember_failure(s, silent_failure(BOUNCE_CLASS_NO_ANSWER_FROM_HOST), strerror(err));
	s->is_hindered = true;
	s->is_short = s->is_short || !local_is_no_route(err);
	if (!dial_is_without_v6(s, err))
		s->o->local_error = err;
}

/* One address. True: connecting. */
static bool
connect_one(struct deliver_session *s)
{
	const struct conf_source *source = &s->o->conf->sources[s->o->source];
	const struct sockaddr *local;

	s->is_helo_only = s->is_helo_only && s->peer == &s->o->route->addresses[s->order[s->order_next]];
	s->peer = &s->o->route->addresses[s->order[s->order_next++]];
	describe_peer(s);
	if (!dial_from(source, s->peer->any.sa_family, &local)) {
		if (!s->is_sites_fault)
			remember_failure(s, silent_failure(BOUNCE_CLASS_NO_ANSWER_FROM_HOST),
				"the source has no address of this family");
		return false;
	}
	s->wire = wire_connect(worker_base(s->d->conf.io), &s->peer->any, local, &wire_operations, s);
	if (s->wire == NULL) {
		not_dialled(s, errno);
		return false;
	}
	s->state = SS_CONNECTING;
	s->timed_phase = SMTP_PHASE_CONNECT;
	wire_deadline(s->wire, connect_timeout(s));
	return true;
}

static void
connect_next(struct deliver_session *s)
{
	while (s->order_next < s->order_count)
		if (connect_one(s))
			return;
	if (s->failure[0] == '\0') {
		s->failed = silent_failure(BOUNCE_CLASS_NO_ANSWER_FROM_HOST);
		copy_text(s->failure, sizeof(s->failure), "no address to try");
	}
	/* Without an address that could be dialled there is nothing here that passes: the usual waits. */
	s->is_sites_fault = s->is_sites_fault || !s->is_hindered;
	session_end(s, s->failure);
}

bool
deliver_session_open(struct deliver *d, struct outbound *o)
{
	struct deliver_session *s = calloc(1, sizeof(*s));
	struct job *job = o->first;

	if (s == NULL)
		return false;
	s->magic = SESSION_MAGIC;
	s->d = d;
	s->o = o;
	s->waiting[s->waiting_count++] = job;
	o->first = NULL;
	o->deliver = s;
	s->next = d->first;
	s->prev = &d->first;
	if (d->first != NULL)
		d->first->prev = &s->next;
	d->first = s;
	d->count++;
	dial_choose(s, job->host);
	connect_next(s);
	return true;
}

/* --- what the queue wants --- */

/* It ended uncertainly at another host of this site. */
static bool
belongs_elsewhere(const struct deliver_session *s, const struct job *job)
{
	const struct route_result *r = s->o->route;
	uint32_t i;

	if (job->host[0] == '\0' || strcmp(job->host, s->host) == 0)
		return false;
	for (i = 0; i < r->host_count; i++)
		if (strcmp(r->hosts[i].name, job->host) == 0)
			return true;
	return false;
}

bool
deliver_session_take(struct deliver_session *s, struct job *take_job)
{
	if (s->waiting_count == TRANSFERS)
		return false;
	s->waiting[s->waiting_count++] = take_job;
	if (s->was_ready && s->state == SS_TALKING) {
		/* It waits for the end, goes back untried, and this session has made room for one there. */
		if (belongs_elsewhere(s, take_job))
			smtp_client_quit(s->smtp);
		fill(s);
		pump_nothing(s);
	}
	return true;
}

void
deliver_session_quit(struct deliver_session *s, const char *why)
{
	answer_waiting(s, &not_tried, why);
	if (!s->was_ready || s->state != SS_TALKING) {
		s->is_sites_fault = false;
		session_end(s, why);
		return;
	}
	smtp_client_quit(s->smtp);
	pump_nothing(s);
}

void
deliver_session_cut(struct deliver_session *s, const char *why)
{
	if (!s->was_ready) {
		deliver_session_quit(s, why);
		return;
	}
	answer_waiting(s, &not_tried, why);
	smtp_client_lost(s->smtp, (struct smtp_slice){why, strnlen(why, 120)});
	pump_nothing(s);
}
