/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of libsmtp speaks correct SMTP; this file makes it misbehave as the script says. Each question
 * of the engine (and connect and EHLO, which are none) passes through decide(), is answered by give_answer(),
 * at once or later. A scripted reply is sent as it stands: the engine is told its code, so that both agree on
 * the state, and the engine's own words are dropped.
 *
 * Invariants: the ledger has a message before its 250 is in the output; a held answer is given exactly once
 * or its session ends; a session leaves the books of its unit exactly once.
 */
#include "mtasim_session.h"

#include "mtasim_output.h"
#include "mtasim_reply.h"
#include "mtasim_return.h"

#include "base/clock.h"
#include "base/smtp_heap.h"
#include "base/wire.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	IDLE_US = 300 * 1000000,
	LINGER_US = 2 * 1000000,
	STALL_CHECK_US = 1000000,
	HUGE_DEFAULT = 100000,
	RCPTS_BYTES_MAX = 32 << 20,
};

enum mode {
	MODE_TALK,
	MODE_HELD,       /* an answer is due later */
	MODE_STALL,      /* no answer will come; what the client says is thrown away */
	MODE_DEAF,       /* nor is anything read */
	MODE_TLS_DUE,    /* 220 is going out, then the handshake */
	MODE_TLS_BROKEN, /* the client's first flight gets rubbish */
	MODE_CLOSING,    /* the last words are going out */
	MODE_LINGER,     /* they are out; the client closes */
};
enum fate { FATE_NOW, FATE_LATER, FATE_GONE };

struct answer {
	enum sim_phase phase;
	int code;
	bool is_raw; /* s->reply instead of the engine's words */
	bool close;
	int64_t due_us;
};

struct session {
	LIST_ENTRY(session) link;
	struct session_host *host;
	struct sim *sim;
	struct sim_unit *unit;
	struct sim_client *client; /* NULL: has left the books */
	struct wire *wire;
	struct smtp_server *engine;
	struct event timer;
	struct sim_output out;
	enum mode mode;
	struct answer answer;
	struct sim_text reply;

	uint64_t connection;
	uint32_t messages;
	const struct sim_rule *body_rule;
	struct ledger_message message;
	struct sim_text rcpts; /* accepted ones, each ended by '\0' */
	uint32_t rcpt_count;
	uint32_t rcpt_tried; /* accepted or not */
	char sender[SMTP_ADDRESS_MAX + 1];
	char rcpt[SMTP_ADDRESS_MAX + 1]; /* the one in question */
	char client_name[SIM_ADDRESS_MAX];
	bool has_hung_up; /* and is not counted any more */
};

static int64_t
now(void)
{
	return clock_mono(clock_real());
}

/* As a C string; NUL never comes from the engine, but what comes from outside is not trusted with that. */
static void
copy_address(char *out, size_t max, struct smtp_slice in)
{
	size_t len = in.len < max ? in.len : max - 1, i;

	for (i = 0; i < len; i++)
		out[i] = in.ptr[i] != '\0' ? in.ptr[i] : '?';
	out[len] = '\0';
}

/* --- the end --- */

static void
leave_books(struct session *s)
{
	if (s->client == NULL)
		return;
	if (s->messages > s->client->peak_messages)
		s->client->peak_messages = s->messages;
	if (!s->has_hung_up)
		sim_unit_leave(s->unit, s->client);
	s->client = NULL;
}

static void
session_free(struct session *s)
{
	leave_books(s);
	LIST_REMOVE(s, link);
	event_del(&s->timer);
	wire_destroy(&s->wire);
	smtp_server_destroy(&s->engine);
	sim_output_fini(&s->out);
	ledger_fini(&s->message);
	free(s->reply.bytes);
	free(s->rcpts.bytes);
	free(s);
}

void
session_end_all(struct session_host *host)
{
	while (!LIST_EMPTY(&host->sessions))
		session_free(LIST_FIRST(&host->sessions));
}

/* Our side is closed; a close() now could destroy our last reply in the client's buffer (RST after unread
 * input). */
static void
linger(struct session *s)
{
	SSL *ssl = wire_ssl(s->wire);

	s->mode = MODE_LINGER;
	leave_books(s);
	if (ssl != NULL)
		SSL_shutdown(ssl);
	(void)shutdown(wire_fd(s->wire), SHUT_WR);
	wire_deadline(s->wire, LINGER_US);
}

static void
record(struct session *s, bool is_ok)
{
	SSL *ssl = wire_ssl(s->wire);
	struct ledger_entry entry = {
		.site = s->unit->name,
		.sender = {s->sender, strnlen(s->sender, sizeof(s->sender))},
		.rcpts = s->rcpts.bytes,
		.rcpt_count = s->rcpt_count,
		.connection = s->connection,
		.message = s->messages + 1u,
		.tls = ssl != NULL ? SSL_get_version(ssl) : "-",
		.client = s->client_name,
		.is_ok = is_ok,
	};

	ledger_write(s->sim->ledger, &s->message, &entry);
	returns_plan(s->sim->returns, s->unit->site, &s->message, &entry);
}

/*
 * The session is gone after this. What was said before goes out first, held back or not: the ledger calls a
 * message "ok" because its 250 was said, and a pipelining client may have both in one turn.
 */
static void
cut(struct session *s, enum sim_phase phase, bool with_reset)
{
	const struct linger at_once = {1, 0};

	if (phase == SIM_DOT)
		record(s, false);
	s->unit->counts.dropped++;
	s->out.latency_us = s->out.drip_us = 0;
	wire_send(s->wire);
	if (with_reset)
		(void)setsockopt(wire_fd(s->wire), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	session_free(s);
}

/* --- output --- */

/* Time, where this output cares: asking for it was a tenth of the whole process. */
static int64_t
output_time(const struct session *s)
{
	return s->out.latency_us > 0 || s->out.drip_us > 0 ? now() : 0;
}

static void
say(struct session *s, struct smtp_slice bytes)
{
	if (!sim_output_put(&s->out, bytes, output_time(s)))
		s->mode = MODE_CLOSING; /* no memory: this client has to come again */
}

static void
take_output(struct session *s)
{
	struct smtp_slice bytes = smtp_server_output(s->engine);

	if (bytes.len == 0)
		return;
	say(s, bytes);
	smtp_server_drained(s->engine, bytes.len);
}

static void
drop_output(struct session *s)
{
	smtp_server_drained(s->engine, smtp_server_output(s->engine).len);
}

static void
arm(struct session *s)
{
	int64_t due_us = sim_output_due(&s->out), left_us;
	struct timeval tv;

	if (s->mode == MODE_HELD && (due_us == 0 || s->answer.due_us < due_us))
		due_us = s->answer.due_us;
	if (s->mode == MODE_DEAF)
		due_us = now() + STALL_CHECK_US;
	if (due_us == 0)
		return;
	left_us = due_us - now();
	left_us = left_us > 0 ? left_us : 0;
	tv.tv_sec = left_us / 1000000;
	tv.tv_usec = left_us % 1000000;
	event_add(&s->timer, &tv);
}

static void
start_tls(struct session *s)
{
	assert(s->unit->tls != NULL);
	s->mode = MODE_TALK;
	(void)wire_start_tls_server(s->wire, s->unit->tls);
}

/* What comes after the output is out. */
static void
on_all_sent(struct session *s)
{
	if (s->mode == MODE_CLOSING)
		linger(s);
	else if (s->mode == MODE_TLS_DUE)
		start_tls(s);
}

static void
flush(struct session *s)
{
	if (sim_output_is_empty(&s->out))
		on_all_sent(s);
	else
		wire_send(s->wire);
	arm(s);
}

/* --- decisions --- */

/* The engine has written its greeting or EHLO answer already; from here on it is an answer like the others.
 */
static void
take_as_answer(struct session *s)
{
	struct smtp_slice bytes = smtp_server_output(s->engine);

	sim_text_ehlo(&s->reply, s->unit->site, bytes);
	smtp_server_drained(s->engine, bytes.len);
	s->answer.is_raw = true;
}

static void
set_reply(struct session *s, const char *reply, bool close)
{
	const struct sim_names names = {s->client_name, s->sender, s->rcpt};

	sim_text_expand(&s->reply, reply, &names);
	s->answer.is_raw = true;
	s->answer.code = (int)strtol(reply, NULL, 10);
	s->answer.close = close || s->answer.code == 421;
}

/* What the site does by its settings when no rule says otherwise. */
static void
apply_limits(struct session *s, int64_t now_us)
{
	const struct sim_site *site = s->unit->site;
	const char *at;
	uint64_t triplet;
	uint32_t index;

	if (s->answer.phase == SIM_MAIL) {
		if (site->messages_max > 0 && s->messages >= site->messages_max &&
			site->messages_reply != NULL)
			set_reply(s, site->messages_reply, true);
		else if (sim_client_is_blocked(s->unit, s->client, now_us))
			set_reply(s, site->block_reply, true);
		else if (!sim_client_may_send(s->unit, s->client, now_us))
			set_reply(s, site->rate_reply, false);
	}
	if (s->answer.phase != SIM_RCPT)
		return;
	if (site->check_domain) {
		at = strrchr(s->rcpt, '@');
		at = at != NULL ? at + 1 : "";
		if (script_site_of(s->sim->script, (struct smtp_slice){at, strnlen(at, SMTP_DOMAIN_MAX)},
			    &index) != site) {
			set_reply(s, "554 5.7.1 <{rcpt}>: Relay access denied", false);
			return;
		}
	}
	if (site->greylist_us > 0) {
		triplet = sim_hash(0, s->client_name, strnlen(s->client_name, sizeof(s->client_name)));
		triplet = sim_hash(triplet, s->sender, strnlen(s->sender, sizeof(s->sender)));
		triplet = sim_hash(triplet, s->rcpt, strnlen(s->rcpt, sizeof(s->rcpt)));
		if (!sim_unit_knows(s->unit, triplet, now_us))
			set_reply(s, site->greylist_reply, false);
	}
}

static enum fate
apply_rule(struct session *s, const struct sim_rule *rule)
{
	static const char junk[] = "\x01\x80\xFFthis is not SMTP\r\n\r\n999999 nor this\r\n";

	if (rule->drip_us > 0)
		s->out.drip_us = rule->drip_us;
	switch (rule->act) {
	case SIM_ACT_DROP:
	case SIM_ACT_RESET:
		cut(s, rule->phase, rule->act == SIM_ACT_RESET);
		return FATE_GONE;
	case SIM_ACT_STALL:
		s->mode = MODE_STALL;
		return FATE_LATER;
	case SIM_ACT_GARBAGE:
		s->reply.len = 0;
		(void)sim_text_add(&s->reply, junk, sizeof(junk) - 1, sizeof(junk));
		s->answer.is_raw = true;
		s->answer.code = 451;
		break;
	case SIM_ACT_HUGE:
		if (rule->reply != NULL)
			s->answer.code = (int)strtol(rule->reply, NULL, 10);
		sim_text_huge(&s->reply, s->answer.code, rule->bytes > 0 ? rule->bytes : HUGE_DEFAULT);
		s->answer.is_raw = true;
		break;
	case SIM_ACT_REPLY:
		set_reply(s, rule->reply, false);
		break;
	case SIM_ACT_ACCEPT:
		break;
	}
	s->answer.close |= rule->close;
	return FATE_NOW;
}

/* s->answer is what is to be said afterwards. GONE: the session is. */
static enum fate
decide(struct session *s, enum sim_phase phase, const char *subject)
{
	const struct sim_site *site = s->unit->site;
	const struct sim_rule *rule;
	int64_t delay_us = site->tarpit_us;

	s->answer = (struct answer){.phase = phase, .code = phase == SIM_DATA ? 354 : 250};
	if (phase == SIM_CONNECT || phase == SIM_EHLO || phase == SIM_HELO)
		take_as_answer(s);
	if (phase == SIM_CONNECT)
		s->answer.code = 220;
	rule = site->rule_count > 0 ? sim_unit_rule(s->sim, s->unit, phase, subject) : NULL;
	if (rule != NULL) {
		enum fate fate = apply_rule(s, rule);

		if (fate != FATE_NOW)
			return fate;
		delay_us += rule->delay_us;
	} else if (phase == SIM_MAIL || phase == SIM_RCPT)
		apply_limits(s, now());
	/* The engine knows no refusal here: what was refused before the first MAIL ends the connection,
	 * except that EHLO may be followed by HELO. */
	if (phase == SIM_CONNECT && s->answer.code >= 400)
		s->answer.close = true;
	if (delay_us == 0)
		return FATE_NOW;
	s->answer.due_us = now() + delay_us;
	s->mode = MODE_HELD;
	return FATE_LATER;
}

/* --- answers --- */

static void
note_accepted(struct session *s)
{
	struct sim_counts *counts = &s->unit->counts;

	switch (s->answer.phase) {
	case SIM_RCPT:
		if (!sim_text_add(&s->rcpts, s->rcpt, strnlen(s->rcpt, sizeof(s->rcpt)) + 1, RCPTS_BYTES_MAX))
			s->answer.code = 452;
		else
			s->rcpt_count++;
		break;
	case SIM_DOT:
		record(s, true);
		s->messages++;
		counts->messages++;
		counts->recipients += s->rcpt_count;
		counts->bytes += s->message.bytes;
		if (s->unit->site->messages_max > 0 && s->messages >= s->unit->site->messages_max &&
			s->unit->site->messages_reply == NULL)
			s->answer.close = true;
		break;
	default:
		break;
	}
}

static void
give_answer(struct session *s)
{
	static const struct {
		const char *esc, *text;
	} words[SIM_PHASE_COUNT] = {
		[SIM_MAIL] = {"2.1.0", "sender ok"},
		[SIM_RCPT] = {"2.1.5", "recipient ok"},
		[SIM_DATA] = {NULL, "go ahead"},
		[SIM_DOT] = {"2.0.0", "message accepted"},
	};
	enum sim_phase phase = s->answer.phase;

	s->mode = MODE_TALK;
	if (s->answer.code < 400)
		note_accepted(s);
	s->unit->counts.deferred += s->answer.code >= 400 && s->answer.code < 500;
	s->unit->counts.rejected += s->answer.code >= 500;
	if (words[phase].text != NULL) {
		bool is_default = s->answer.code < 400;

		smtp_server_answer(s->engine, s->answer.code, is_default ? words[phase].esc : NULL,
			is_default ? words[phase].text : "refused");
		if (s->answer.is_raw)
			drop_output(s);
		else
			take_output(s);
	}
	if (s->answer.is_raw)
		say(s, (struct smtp_slice){s->reply.bytes, s->reply.len});
	if (s->answer.close)
		s->mode = MODE_CLOSING;
}

/* FATE_GONE: the session is. */
static enum fate
ask(struct session *s, enum sim_phase phase, const char *subject)
{
	enum fate fate = decide(s, phase, subject);

	if (fate == FATE_NOW)
		give_answer(s);
	return fate;
}

/* --- events of the engine --- */

static enum fate
on_mail(struct session *s, const struct smtp_server_fact *fact)
{
	copy_address(s->sender, sizeof(s->sender), fact->mail.sender);
	s->rcpt_count = s->rcpt_tried = 0;
	s->rcpts.len = 0;
	sim_window_add(&s->client->messages, now());
	return ask(s, SIM_MAIL, s->sender);
}

static enum fate
on_rcpt(struct session *s, const struct smtp_server_fact *fact)
{
	copy_address(s->rcpt, sizeof(s->rcpt), fact->rcpt.address);
	if (++s->rcpt_tried > s->client->peak_rcpts)
		s->client->peak_rcpts = s->rcpt_tried;
	return ask(s, SIM_RCPT, s->rcpt);
}

static enum fate
on_data(struct session *s)
{
	const struct sim_site *site = s->unit->site;

	ledger_begin(&s->message);
	s->body_rule = site->rule_count > 0 ? sim_unit_rule(s->sim, s->unit, SIM_BODY, s->sender) : NULL;
	return ask(s, SIM_DATA, s->sender);
}

static enum fate
on_body(struct session *s, struct smtp_slice bytes)
{
	const struct sim_rule *rule = s->body_rule;

	ledger_feed(s->sim->ledger, &s->message, bytes);
	if (rule == NULL || s->message.bytes < rule->bytes)
		return FATE_NOW;
	if (rule->act == SIM_ACT_STALL) {
		s->mode = MODE_DEAF;
		wire_pause(s->wire, true);
		return FATE_LATER;
	}
	cut(s, SIM_BODY, rule->act == SIM_ACT_RESET);
	return FATE_GONE;
}

static enum fate
on_starttls(struct session *s)
{
	take_output(s);
	s->mode = s->unit->tls != NULL ? MODE_TLS_DUE : MODE_TLS_BROKEN;
	return FATE_LATER;
}

/* The last words of the engine; only those after QUIT can be scripted. */
static enum fate
on_close(struct session *s)
{
	struct smtp_slice bytes = smtp_server_output(s->engine);
	enum fate fate = FATE_NOW;

	if (s->unit->site->rule_count > 0 && bytes.len > 3 && memcmp(bytes.ptr, "221", 3) == 0) {
		fate = decide(s, SIM_QUIT, s->client_name);
		if (fate == FATE_GONE || s->mode == MODE_STALL)
			return fate;
	}
	take_output(s);
	s->mode = MODE_CLOSING;
	return FATE_NOW;
}

static enum fate
on_engine(struct session *s, enum smtp_server_event event, const struct smtp_server_fact *fact)
{
	char name[SMTP_DOMAIN_MAX + 1];

	switch (event) {
	case SMTP_SERVER_HELO:
		copy_address(name, sizeof(name), fact->text);
		return ask(s, smtp_server_is_esmtp(s->engine) ? SIM_EHLO : SIM_HELO, name);
	case SMTP_SERVER_STARTTLS:
		return on_starttls(s);
	case SMTP_SERVER_MAIL:
		return on_mail(s, fact);
	case SMTP_SERVER_RCPT:
		return on_rcpt(s, fact);
	case SMTP_SERVER_DATA:
		return on_data(s);
	case SMTP_SERVER_BODY:
		return on_body(s, fact->text);
	case SMTP_SERVER_END:
		return ask(s, SIM_DOT, s->sender);
	case SMTP_SERVER_CLOSE:
		return on_close(s);
	case SMTP_SERVER_AUTH: /* not offered */
	case SMTP_SERVER_ABORT:
	case SMTP_SERVER_REFUSED:
	case SMTP_SERVER_MORE:
	case SMTP_SERVER_WAIT:
		break;
	}
	return FATE_NOW;
}

/* STARTTLS is the one command the engine answers by itself; a site that refuses it has to see it first. */
static bool
is_starttls(const struct session *s, struct smtp_slice in)
{
	static const char command[] = "STARTTLS\r\n";

	return s->unit->has_starttls_rule && in.len >= sizeof(command) - 1 &&
	       !smtp_server_in_data(s->engine) && strncasecmp(in.ptr, command, sizeof(command) - 1) == 0;
}

/* True: it was taken. */
static bool
take_starttls(struct session *s, struct smtp_slice *in, enum fate *out_fate)
{
	enum fate fate = decide(s, SIM_STARTTLS, s->client_name);

	/* Consent is the engine's to give, and at once. */
	if (fate != FATE_GONE && s->mode != MODE_STALL && !s->answer.is_raw) {
		s->mode = MODE_TALK;
		fate = FATE_NOW;
	}
	*out_fate = fate;
	if (fate == FATE_GONE || s->mode == MODE_STALL)
		return true;
	if (!s->answer.is_raw)
		return false;
	in->ptr += 10;
	in->len -= 10;
	if (fate == FATE_NOW)
		give_answer(s);
	return true;
}

/* Runs the engine until it needs more. False: the session is gone. */
static bool
pump(struct session *s, struct smtp_slice *in)
{
	struct smtp_server_fact fact;
	enum smtp_server_event event;
	enum fate fate = FATE_NOW;
	bool did_wait = false;

	while (s->mode == MODE_TALK) {
		if (is_starttls(s, *in) && take_starttls(s, in, &fate)) {
			if (fate == FATE_GONE)
				return false;
			continue;
		}
		if (fate == FATE_GONE)
			return false;
		event = smtp_server_next(s->engine, in, &fact);
		if (event == SMTP_SERVER_MORE || (event == SMTP_SERVER_WAIT && did_wait))
			break;
		did_wait = event == SMTP_SERVER_WAIT;
		fate = on_engine(s, event, &fact);
		if (fate == FATE_GONE)
			return false;
		if (s->mode == MODE_TALK)
			take_output(s);
	}
	if (s->mode == MODE_TALK)
		take_output(s);
	return true;
}

/* --- events of the wire --- */

static size_t
on_bytes(void *arg, const char *bytes, size_t len)
{
	static const char rubbish[] = "\x16\x03\x01\x00\x05this is no handshake\r\n";
	struct session *s = arg;
	struct smtp_slice in = {bytes, len};

	switch (s->mode) {
	case MODE_TALK:
		wire_deadline(s->wire, IDLE_US);
		if (!pump(s, &in))
			return len;
		break;
	case MODE_HELD:
	case MODE_DEAF:
		return 0;
	case MODE_TLS_BROKEN:
		say(s, (struct smtp_slice){rubbish, sizeof(rubbish) - 1});
		s->mode = MODE_CLOSING;
		break;
	case MODE_STALL:
	case MODE_TLS_DUE:
	case MODE_CLOSING:
	case MODE_LINGER:
		return len;
	}
	len -= in.len;
	/* RFC 3207 4.2: what came glued to STARTTLS is thrown away, and so is what follows our last words. */
	if (s->mode != MODE_TALK && s->mode != MODE_HELD && s->mode != MODE_DEAF)
		len += in.len;
	flush(s);
	return len;
}

static int
on_pull(void *arg, struct iovec *iov, int iov_max)
{
	struct session *s = arg;
	struct smtp_slice ready = sim_output_ready(&s->out, output_time(s));

	if (ready.len == 0)
		return 0;
	iov[0] = (struct iovec){(char *)(uintptr_t)ready.ptr, ready.len};
	return 1;
}

static void
on_sent(void *arg, size_t bytes)
{
	struct session *s = arg;

	sim_output_sent(&s->out, bytes, output_time(s));
	if (sim_output_is_empty(&s->out))
		on_all_sent(s);
	else
		arm(s);
}

static void
on_tls(void *arg)
{
	struct session *s = arg;

	s->unit->counts.tls++;
	smtp_server_tls_started(s->engine);
}

static void
on_down(void *arg, enum wire_down why, const char *detail)
{
	session_free(arg);
}

static const struct wire_ops ops = {
	.on_tls = on_tls, .on_bytes = on_bytes, .pull = on_pull, .on_sent = on_sent, .on_down = on_down};

static bool
peer_is_gone(const struct session *s)
{
	struct pollfd p = {.fd = wire_fd(s->wire), .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct smtp_slice none = {"", 0};

	if (s->mode == MODE_DEAF && peer_is_gone(s)) {
		session_free(s);
		return;
	}
	if (s->mode != MODE_HELD || now() < s->answer.due_us) {
		flush(s);
		return;
	}
	give_answer(s);
	/* A 421 has made the engine close; it says so without input. */
	if (s->mode == MODE_TALK && !pump(s, &none))
		return;
	flush(s);
	wire_resume(s->wire);
}

static bool
has_too_many(const struct session *s)
{
	uint32_t max = s->unit->site->connections_max;

	return max > 0 && s->client->open > max;
}

/* Why this client has no greeting; NULL: it has one. */
static const char *
refusal(struct session *s)
{
	if (sim_client_is_blocked(s->unit, s->client, now()))
		return s->unit->site->block_reply;
	return has_too_many(s) ? s->unit->site->connections_reply : NULL;
}

/* The greeting, or what the site does instead. */
static void
greet(struct session *s)
{
	const char *reply = refusal(s);

	s->answer = (struct answer){.phase = SIM_CONNECT};
	if (reply != NULL) {
		drop_output(s);
		set_reply(s, reply, true);
		give_answer(s);
	} else if (ask(s, SIM_CONNECT, s->client_name) == FATE_GONE)
		return;
	flush(s);
}

/* Who hung up before this connection came is gone, though his end stands behind it among the events of this
 * turn. A hundred are enough for any limit that is looked at. */
static void
notice_hang_ups(struct session_host *host, const struct sim_unit *unit, struct in_addr peer)
{
	struct session *s;

	LIST_FOREACH(s, &host->sessions, link)
	{
		struct pollfd p = {.events = POLLRDHUP};

		if (s->unit != unit || s->client == NULL || s->client->address.s_addr != peer.s_addr ||
			s->has_hung_up || s->client->open > 100)
			continue;
		p.fd = wire_fd(s->wire);
		s->has_hung_up = poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
		if (s->has_hung_up)
			sim_unit_leave(s->unit, s->client);
	}
}

void
session_begin(void *arg, struct sim_unit *unit, evutil_socket_t fd, struct in_addr peer)
{
	struct session_host *host = arg;
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		close(fd);
		return;
	}
	s->host = host;
	s->sim = host->sim;
	s->unit = unit;
	s->out.latency_us = unit->site->latency_us;
	s->connection = ++s->sim->connections;
	event_assign(&s->timer, s->sim->base, -1, 0, on_timer, s);
	LIST_INSERT_HEAD(&host->sessions, s, link);
	s->engine = smtp_server_create(&smtp_heap, &unit->conf);
	s->wire = wire_create(s->sim->base, fd, &ops, s);
	notice_hang_ups(host, unit, peer);
	s->client = sim_unit_enter(unit, peer, now());
	if (s->engine == NULL || s->wire == NULL || s->client == NULL) {
		session_free(s);
		return;
	}
	memcpy(s->client_name, s->client->name, sizeof(s->client_name));
	wire_deadline(s->wire, IDLE_US);
	greet(s);
}
