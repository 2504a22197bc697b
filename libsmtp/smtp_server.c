/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving side of SMTP as a table of states (below). What holds at all times:
 *
 * - Only enter() moves, only along the table, and leaving the states marked in_mail is what ends a
 *   transaction, so each has exactly one END or ABORT however it ends.
 * - Input is eaten only when the output has room for the longest answer and a closing line behind it, so
 *   writing an answer cannot fail.
 * - Bytes of a peer who should be waiting for our answer are never read as what comes next (quiet_bytes).
 * - Chunks of BDAT are swallowed when refused, or the session ends; they are never read as commands.
 */
#include "smtp_server.h"

#include "smtp_cmd.h"
#include "smtp_server_impl.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Reads from the front of *in and returns the next state. */
typedef enum state (*eat_fn)(struct smtp_server *s, struct smtp_slice *in);

/* One row a state. `next` lists every legal move. */
struct step {
	const char *name;
	eat_fn eat;     /* NULL: nothing is read here */
	eat_fn on_line; /* for those that eat lines: the line is in s->line, *in is what came behind it */
	enum state (*answered)(struct smtp_server *s, int code); /* for those that ask */
	enum smtp_server_event event;                            /* handed out on the way in; MORE: none */
	const char *hint;                                        /* what 503 says to a command out of order */
	bool in_mail;                                            /* a transaction is open */
	bool is_quiet;                                           /* the peer must wait for our answer */
	uint32_t next;
};

static const struct step steps[ST_COUNT];

static void
check(const struct smtp_server *s)
{
	assert(s != NULL && s->magic == SERVER_MAGIC);
	assert(s->state < ST_COUNT && s->out_len <= OUT_MAX && s->quiet_bytes <= s->out_len);
}

/* ---- moving ---- */

const char *
smtp_server_hint(const struct smtp_server *s)
{
	assert(steps[s->state].hint != NULL);
	return steps[s->state].hint;
}

static void
reset_transaction(struct smtp_server *s)
{
	s->mail_is_utf8 = false;
	s->rcpt_count = 0;
	s->rcpt_tried = 0;
	s->rcpt_declined = 0;
	s->has_put_off = false;
	s->body_bytes = 0;
}

static void
enter(struct smtp_server *s, enum state next)
{
	const struct step *from = &steps[s->state];

	assert(next < ST_COUNT);
	assert(from->next & B(next));
	if (next == ST_CLOSED)
		s->due &= DUE_ABORT | DUE_REFUSED;
	if (from->in_mail && !steps[next].in_mail) {
		if (next != ST_ASK_END)
			s->due |= DUE_ABORT;
		reset_transaction(s);
	}
	if (steps[next].event != SMTP_SERVER_MORE)
		s->due |= DUE_STATE;
	s->state = next;
}

/* enter(), unless the last answer was one error too many. */
static void
move(struct smtp_server *s, enum state next)
{
	uint32_t error_max = s->conf->error_max;

	if (error_max != 0 && s->error_count >= error_max && next != ST_CLOSED)
		next = smtp_server_close_with(s, 421, "4.7.0", "too many errors");
	enter(s, next);
}

/* ---- reading ---- */

static void
skip(struct smtp_slice *in, size_t n)
{
	assert(n <= in->len);
	/* The empty slice may have no address, and even NULL + 0 is undefined. */
	if (n > 0)
		in->ptr += n;
	in->len -= n;
}

/* Moves bytes into s->line up to LF. True: a line is whole. */
static bool
take_line(struct smtp_server *s, struct smtp_slice *in)
{
	const char *lf = memchr(in->ptr, '\n', in->len);
	size_t n = lf != NULL ? (size_t)(lf - in->ptr) + 1 : in->len;

	if (s->line_bytes < SMTP_COMMAND_MAX) {
		size_t room = SMTP_COMMAND_MAX - (size_t)s->line_bytes;

		memcpy(s->line + s->line_bytes, in->ptr, n < room ? n : room);
	}
	s->line_bytes += n;
	skip(in, n);
	return lf != NULL;
}

static bool
is_binary(char c)
{
	return (c < ' ' && c != '\t' && c != '\r' && c != '\n') || c > '~';
}

static enum state
eat_line(struct smtp_server *s, struct smtp_slice *in)
{
	const struct step *step = &steps[s->state];
	enum state next;

	assert(step->on_line != NULL);
	/* A TLS hello or other binary protocol may never send a line end, so it is not waited for. */
	if (s->state == ST_START && s->line_bytes == 0 && is_binary(in->ptr[0]))
		return smtp_server_close_with(
			s, 554, "5.5.0", "this is a mail server, and TLS has not begun");
	if (!take_line(s, in)) {
		if (s->line_bytes > LINE_BUDGET)
			return smtp_server_close_with(s, 500, "5.5.2", "endless line");
		return s->state;
	}
	/* RFC 5321 2.3.8: only CRLF ends a line. A lone LF ends it too, to be refused, or a person would wait
	 * forever. */
	if (s->line_bytes > SMTP_COMMAND_MAX || s->line_bytes < 2 || s->line[s->line_bytes - 2] != '\r') {
		bool is_long = s->line_bytes > SMTP_COMMAND_MAX, in_auth = (B(s->state) & AUTH_STATES) != 0;

		/* RFC 4954 6 has a code of its own. */
		smtp_server_say(s, 500, is_long && in_auth ? "5.5.6" : "5.5.2",
			is_long ? "line is too long" : "line ends without CR");
		if (in_auth)
			smtp_server_mark_login(s);
		next = in_auth ? ST_READY : s->state;
	} else {
		s->line_bytes -= 2;
		next = step->on_line(s, in);
	}
	s->line_bytes = 0;
	return next;
}

static const struct refusal faults[] = {
	[SMTP_DATA_BARE_LF] = {550, "5.5.2", "message has lines that end with a bare LF"},
	[SMTP_DATA_BARE_CR] = {550, "5.5.2", "message has a bare CR"},
	[SMTP_DATA_NUL] = {550, "5.6.0", "message has a NUL byte"},
	[SMTP_DATA_LONG_LINE] = {550, "5.6.0", "message has a line that is too long"},
};

/* A piece of the body, or a fault, in the state that reads bodies. `refused` is where a bad message goes on.
 */
static enum state
take_body(struct smtp_server *s, enum smtp_data_in_result got, struct smtp_slice piece, enum state refused)
{
	if (got == SMTP_DATA_IN_FAULT) {
		s->refusal = &faults[s->data.fault];
		return refused;
	}
	if (got != SMTP_DATA_IN_PIECE)
		return s->state;
	if (piece.len > s->conf->message_bytes_max - s->body_bytes) {
		s->refusal = &smtp_server_too_big;
		return refused;
	}
	s->body_bytes += piece.len;
	s->fact = (struct smtp_server_fact){.text = piece};
	s->due |= DUE_BODY;
	return s->state;
}

static enum state
end_body(struct smtp_server *s)
{
	s->fact = (struct smtp_server_fact){.body_bytes = s->body_bytes};
	return ST_ASK_END;
}

static enum state
eat_data(struct smtp_server *s, struct smtp_slice *in)
{
	struct smtp_slice piece = {NULL, 0};
	size_t before = in->len;
	enum smtp_data_in_result got = smtp_data_in_next(&s->data, in, &piece);

	s->raw_bytes += before - in->len;
	if (got == SMTP_DATA_IN_END)
		return end_body(s);
	return take_body(s, got, piece, ST_DATA_REFUSED);
}

static void
say_refused_message(struct smtp_server *s)
{
	smtp_server_say(s, s->refusal->code, s->refusal->esc, s->refusal->text);
	s->fact.refused.is_message = true;
}

/* The client hears nothing before its final dot, so it must be read; but not for ever. */
static enum state
eat_refused_data(struct smtp_server *s, struct smtp_slice *in)
{
	struct smtp_slice piece;
	size_t before = in->len;
	enum smtp_data_in_result got = smtp_data_in_next(&s->data, in, &piece);

	assert(s->refusal != NULL);
	s->raw_bytes += before - in->len;
	if (s->raw_bytes / 2 > s->conf->message_bytes_max)
		return smtp_server_close_with(
			s, smtp_server_too_big.code, smtp_server_too_big.esc, smtp_server_too_big.text);
	if (got != SMTP_DATA_IN_END)
		return ST_DATA_REFUSED;
	say_refused_message(s);
	return ST_READY;
}

static enum state
end_chunk(struct smtp_server *s)
{
	struct smtp_slice piece = {NULL, 0};
	enum smtp_data_in_result got;

	if (!s->chunk_is_last) {
		smtp_server_say(s, 250, "2.0.0", "chunk taken");
		return ST_CHUNK;
	}
	got = smtp_data_in_finish(&s->data, &piece);
	return got == SMTP_DATA_IN_END ? end_body(s) : take_body(s, got, piece, ST_BDAT_REFUSED);
}

/* Also called without input when the chunk is at its end. */
static enum state
eat_chunk(struct smtp_server *s, struct smtp_slice *in)
{
	struct smtp_slice chunk = {in->ptr, s->chunk_left < in->len ? (size_t)s->chunk_left : in->len};
	struct smtp_slice piece = {NULL, 0};
	enum smtp_data_in_result got;
	size_t eaten;

	if (s->chunk_left == 0)
		return end_chunk(s);
	eaten = chunk.len;
	got = smtp_data_in_next(&s->data, &chunk, &piece);
	eaten -= chunk.len;
	s->chunk_left -= eaten;
	skip(in, eaten);
	return take_body(s, got, piece, ST_BDAT_REFUSED);
}

static enum state
eat_refused_chunk(struct smtp_server *s, struct smtp_slice *in)
{
	size_t n = s->chunk_left < in->len ? (size_t)s->chunk_left : in->len;

	s->chunk_left -= n;
	skip(in, n);
	if (s->chunk_left > 0)
		return ST_BDAT_REFUSED;
	if (s->refusal != NULL)
		say_refused_message(s);
	return ST_READY;
}

/* ---- the host's answers ---- */

static enum state
answered_auth(struct smtp_server *s, int code)
{
	s->is_authenticated = code == 235;
	explicit_bzero(s->line, sizeof(s->line));
	explicit_bzero(s->scratch, sizeof(s->scratch));
	s->fact = (struct smtp_server_fact){.body_bytes = 0};
	smtp_server_hush(s);
	return ST_READY;
}

static enum state
answered_mail(struct smtp_server *s, int code)
{
	if (code >= 300) {
		reset_transaction(s);
		return ST_READY;
	}
	s->mail_count++;
	return ST_MAIL;
}

static enum state
answered_rcpt(struct smtp_server *s, int code)
{
	if (code < 300)
		s->rcpt_count++;
	return s->rcpt_count > 0 ? ST_RCPT : ST_MAIL;
}

static void
begin_body(struct smtp_server *s, bool has_dots)
{
	s->raw_bytes = 0;
	s->body_bytes = 0;
	smtp_data_in_init(&s->data, has_dots, s->conf->allow_bare_lf, s->conf->text_line_max);
}

static enum state
answered_data(struct smtp_server *s, int code)
{
	smtp_server_hush(s);
	if (code >= 400)
		return ST_READY;
	begin_body(s, true);
	return ST_DATA;
}

static enum state
answered_bdat(struct smtp_server *s, int code)
{
	if (code >= 400)
		return ST_BDAT_REFUSED;
	begin_body(s, false);
	return ST_BDAT;
}

static enum state
answered_end(struct smtp_server *s, int code)
{
	if (code < 300) {
		s->error_count = 0;
		s->junk_count = 0;
	}
	return ST_READY;
}

/* ---- the table ---- */

static const struct step steps[ST_COUNT] = {
	[ST_START] = {.name = "start",
		.eat = eat_line,
		.on_line = smtp_server_on_command,
		.hint = "send EHLO first",
		.next = B(ST_START) | B(ST_READY) | B(ST_CLOSED)},
	[ST_READY] = {.name = "ready",
		.eat = eat_line,
		.on_line = smtp_server_on_command,
		.hint = "send MAIL first",
		.next = B(ST_READY) | B(ST_ASK_MAIL) | B(ST_BDAT_REFUSED) | B(ST_ASK_AUTH) | AUTH_STATES |
			B(ST_TLS) | B(ST_CLOSED)},
	[ST_MAIL] = {.name = "mail",
		.eat = eat_line,
		.on_line = smtp_server_on_command,
		.hint = "send RCPT first",
		.in_mail = true,
		.next = B(ST_MAIL) | B(ST_ASK_RCPT) | B(ST_READY) | B(ST_BDAT_REFUSED) | B(ST_CLOSED)},
	[ST_RCPT] = {.name = "rcpt",
		.eat = eat_line,
		.on_line = smtp_server_on_command,
		.hint = "a message is under way",
		.in_mail = true,
		.next = B(ST_RCPT) | B(ST_ASK_RCPT) | B(ST_ASK_DATA) | B(ST_ASK_BDAT) | B(ST_READY) |
			B(ST_BDAT_REFUSED) | B(ST_CLOSED)},
	[ST_CHUNK] = {.name = "chunk",
		.eat = eat_line,
		.on_line = smtp_server_on_command,
		.hint = "send BDAT or RSET",
		.in_mail = true,
		.next = B(ST_CHUNK) | B(ST_BDAT) | B(ST_BDAT_REFUSED) | B(ST_READY) | B(ST_CLOSED)},
	[ST_DATA] = {.name = "data",
		.eat = eat_data,
		.in_mail = true,
		.next = B(ST_DATA) | B(ST_DATA_REFUSED) | B(ST_ASK_END) | B(ST_CLOSED)},
	[ST_DATA_REFUSED] = {.name = "data-refused",
		.eat = eat_refused_data,
		.next = B(ST_DATA_REFUSED) | B(ST_READY) | B(ST_CLOSED)},
	[ST_BDAT] = {.name = "bdat",
		.eat = eat_chunk,
		.in_mail = true,
		.next = B(ST_BDAT) | B(ST_BDAT_REFUSED) | B(ST_CHUNK) | B(ST_ASK_END) | B(ST_CLOSED)},
	[ST_BDAT_REFUSED] = {.name = "bdat-refused",
		.eat = eat_refused_chunk,
		.next = B(ST_BDAT_REFUSED) | B(ST_READY) | B(ST_CLOSED)},
	[ST_AUTH_PLAIN] = {.name = "auth-plain",
		.eat = eat_line,
		.on_line = smtp_server_on_auth_line,
		.next = B(ST_AUTH_PLAIN) | B(ST_ASK_AUTH) | B(ST_READY) | B(ST_CLOSED)},
	[ST_AUTH_USER] = {.name = "auth-user",
		.eat = eat_line,
		.on_line = smtp_server_on_auth_line,
		.next = B(ST_AUTH_USER) | B(ST_AUTH_PASS) | B(ST_READY) | B(ST_CLOSED)},
	[ST_AUTH_PASS] = {.name = "auth-pass",
		.eat = eat_line,
		.on_line = smtp_server_on_auth_line,
		.next = B(ST_AUTH_PASS) | B(ST_ASK_AUTH) | B(ST_READY) | B(ST_CLOSED)},
	[ST_ASK_AUTH] = {.name = "ask-auth",
		.answered = answered_auth,
		.event = SMTP_SERVER_AUTH,
		.is_quiet = true,
		.next = B(ST_READY) | B(ST_CLOSED)},
	[ST_ASK_MAIL] = {.name = "ask-mail",
		.answered = answered_mail,
		.event = SMTP_SERVER_MAIL,
		.next = B(ST_MAIL) | B(ST_READY) | B(ST_CLOSED)},
	[ST_ASK_RCPT] = {.name = "ask-rcpt",
		.answered = answered_rcpt,
		.event = SMTP_SERVER_RCPT,
		.in_mail = true,
		.next = B(ST_MAIL) | B(ST_RCPT) | B(ST_CLOSED)},
	[ST_ASK_DATA] = {.name = "ask-data",
		.answered = answered_data,
		.event = SMTP_SERVER_DATA,
		.in_mail = true,
		.is_quiet = true,
		.next = B(ST_DATA) | B(ST_READY) | B(ST_CLOSED)},
	[ST_ASK_BDAT] = {.name = "ask-bdat",
		.answered = answered_bdat,
		.event = SMTP_SERVER_DATA,
		.in_mail = true,
		.next = B(ST_BDAT) | B(ST_BDAT_REFUSED) | B(ST_CLOSED)},
	[ST_ASK_END] = {.name = "ask-end",
		.answered = answered_end,
		.event = SMTP_SERVER_END,
		.next = B(ST_READY) | B(ST_CLOSED)},
	[ST_TLS] = {.name = "tls", .event = SMTP_SERVER_STARTTLS, .next = B(ST_START) | B(ST_CLOSED)},
	[ST_CLOSED] = {.name = "closed", .next = B(ST_CLOSED)},
};

/* ---- what the host calls ---- */

struct smtp_server *
smtp_server_create(const struct smtp_alloc *alloc, const struct smtp_server_conf *conf)
{
	struct smtp_server *s = alloc->get(alloc->arg, sizeof(*s));
	char greeting[REPLY_MAX];
	int len;

	assert(conf->hostname.len > 0 && conf->hostname.len <= SMTP_DOMAIN_MAX &&
		conf->message_bytes_max > 0);
	if (s == NULL)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->magic = SERVER_MAGIC;
	s->conf = conf;
	s->alloc = *alloc;
	if (conf->refuse_text.len > 0) {
		len = snprintf(greeting, sizeof(greeting), "%.*s\r\n",
			(int)(conf->refuse_text.len < REPLY_TEXT_MAX ? conf->refuse_text.len
								     : REPLY_TEXT_MAX),
			conf->refuse_text.ptr);
		s->why = SMTP_LIT("refused");
		enter(s, ST_CLOSED);
	} else {
		len = snprintf(greeting, sizeof(greeting), "220 %.*s ESMTP\r\n", (int)conf->hostname.len,
			conf->hostname.ptr);
	}
	assert(len > 0 && (size_t)len < sizeof(greeting));
	smtp_server_put(s, greeting, (size_t)len);
	smtp_server_hush(s);
	return s;
}

void
smtp_server_destroy(struct smtp_server **sp)
{
	struct smtp_server *s = *sp;
	struct smtp_alloc alloc;

	*sp = NULL;
	if (s == NULL)
		return;
	check(s);
	alloc = s->alloc;
	/* Its pages go to the next session; no password goes with them. */
	explicit_bzero(s, sizeof(*s));
	alloc.put(alloc.arg, s);
}

/* The first event that is due, or MORE. */
static enum smtp_server_event
take_due(struct smtp_server *s, struct smtp_server_fact *out_fact)
{
	static const struct {
		enum due due;
		enum smtp_server_event event;
	} order[] = {
		{DUE_BODY, SMTP_SERVER_BODY},
		{DUE_ABORT, SMTP_SERVER_ABORT},
		{DUE_REFUSED, SMTP_SERVER_REFUSED},
		{DUE_HELO, SMTP_SERVER_HELO},
	};

	*out_fact = s->fact;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if ((s->due & order[i].due) == 0)
			continue;
		s->due &= ~(unsigned)order[i].due;
		return order[i].event;
	}
	if ((s->due & DUE_STATE) == 0)
		return SMTP_SERVER_MORE;
	s->due = 0;
	return steps[s->state].event;
}

/* True: the state reads, and has something to read. The end of a chunk needs no byte to be seen. */
static bool
can_eat(const struct smtp_server *s, struct smtp_slice in)
{
	bool is_chunk = s->state == ST_BDAT || s->state == ST_BDAT_REFUSED;

	return in.len > 0 || (is_chunk && s->chunk_left == 0);
}

enum smtp_server_event
smtp_server_next(struct smtp_server *s, struct smtp_slice *in, struct smtp_server_fact *out_fact)
{
	enum smtp_server_event event;

	check(s);
	/* Each turn eats input, ends a chunk, or closes; most return. */
	for (;;) {
		const struct step *step = &steps[s->state];

		if ((event = take_due(s, out_fact)) != SMTP_SERVER_MORE)
			return event;
		if (s->state == ST_CLOSED) {
			out_fact->text = s->why;
			skip(in, in->len);
			return SMTP_SERVER_CLOSE;
		}
		if (in->len > 0 && (s->quiet_bytes > 0 || step->is_quiet) && s->state != ST_TLS) {
			enter(s, smtp_server_spoke_too_early(s));
			continue;
		}
		if (step->eat == NULL || OUT_MAX - s->out_len < OUT_RESERVE)
			return SMTP_SERVER_WAIT;
		if (!can_eat(s, *in))
			return SMTP_SERVER_MORE;
		move(s, step->eat(s, in));
	}
}

void
smtp_server_answer(struct smtp_server *s, int code, const char *esc, const char *text)
{
	const struct step *step = &steps[s->state];
	enum state next;

	check(s);
	if (s->state == ST_CLOSED)
		return;
	assert(step->answered != NULL && s->due == 0);
	if (code == 421) {
		smtp_server_reply(s, code, esc, text);
		s->why = SMTP_LIT("closed by our policy");
		enter(s, ST_CLOSED);
		return;
	}
	/* DATA is answered 3xx, AUTH 235, the others 2xx, or refused. */
	assert(code >= 400 || (code < 300) == (step->event != SMTP_SERVER_DATA));
	if (s->state == ST_ASK_RCPT && code == 452)
		smtp_server_reply_452(s, esc, text);
	/* The peer's chunk is on its way already; there is nothing to invite. */
	else if (s->state != ST_ASK_BDAT || code >= 400) {
		smtp_server_count_error(s, code);
		smtp_server_reply(s, code, esc, text);
	}
	next = step->answered(s, code);
	move(s, next);
}

void
smtp_server_decline_rcpt(struct smtp_server *s, int code, const char *esc, const char *text)
{
	check(s);
	if (s->state == ST_CLOSED)
		return;
	assert(s->state == ST_ASK_RCPT && s->due == 0);
	assert(code >= 500);
	s->rcpt_declined++;
	smtp_server_reply(s, code, esc, text);
	move(s, answered_rcpt(s, code));
}

void
smtp_server_offer_hold(struct smtp_server *s, uint32_t max_s, int64_t now)
{
	check(s);
	s->hold_max_s = max_s;
	s->hold_until = now + max_s;
}

void
smtp_server_close(struct smtp_server *s, const char *esc, const char *text)
{
	check(s);
	if (s->state == ST_CLOSED)
		return;
	smtp_server_reply(s, 421, esc, text);
	s->why = SMTP_LIT("closed by us");
	enter(s, ST_CLOSED);
}

void
smtp_server_tls_started(struct smtp_server *s)
{
	check(s);
	assert(!s->is_tls && s->due == 0 && (s->state == ST_TLS || s->state == ST_START));
	/* RFC 3207 4.2: what was said in the clear was said by anybody. */
	s->is_tls = true;
	s->is_esmtp = false;
	s->is_authenticated = false;
	s->helo_len = 0;
	s->line_bytes = 0;
	enter(s, ST_START);
}

struct smtp_slice
smtp_server_output(const struct smtp_server *s)
{
	check(s);
	return (struct smtp_slice){s->out, s->out_len};
}

void
smtp_server_drained(struct smtp_server *s, size_t bytes)
{
	check(s);
	assert(bytes <= s->out_len);
	memmove(s->out, s->out + bytes, s->out_len - bytes);
	s->out_len -= bytes;
	s->quiet_bytes -= bytes < s->quiet_bytes ? bytes : s->quiet_bytes;
}

bool
smtp_server_is_tls(const struct smtp_server *s)
{
	check(s);
	return s->is_tls;
}

bool
smtp_server_is_esmtp(const struct smtp_server *s)
{
	check(s);
	return s->is_esmtp;
}

struct smtp_slice
smtp_server_helo(const struct smtp_server *s)
{
	check(s);
	return (struct smtp_slice){s->helo, s->helo_len};
}

bool
smtp_server_is_idle(const struct smtp_server *s)
{
	check(s);
	return (s->state == ST_START || s->state == ST_READY) && s->line_bytes == 0 && s->due == 0;
}

bool
smtp_server_in_data(const struct smtp_server *s)
{
	check(s);
	return (B(s->state) & (B(ST_DATA) | B(ST_DATA_REFUSED) | B(ST_BDAT) | B(ST_BDAT_REFUSED))) != 0;
}

const char *
smtp_server_state_name(const struct smtp_server *s)
{
	check(s);
	return steps[s->state].name;
}
