/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_SERVER_H
#define LIBSMTP_SMTP_SERVER_H
/*
 * smtp_server - the receiving side of one SMTP connection, without the connection
 *
 * The host feeds bytes, pulls events, answers the ones that ask for a decision, and sends what output() has:
 *
 *     while ((event = smtp_server_next(s, &in, &fact)) != SMTP_SERVER_MORE && event != SMTP_SERVER_WAIT)
 *             host reacts, for "asks" events with smtp_server_answer(), now or later
 *     host writes smtp_server_output(), reports smtp_server_drained()
 *
 * A transaction begins when MAIL is answered 250 and ends with exactly one END or one ABORT; BODY comes only
 * between DATA and that. A DATA or message that is refused, by the host or by the engine, ends it; so does
 * BDAT out of order, and DATA when recipients were tried and none accepted (554). Any other refusal leaves
 * it as it was.
 *
 * Owner    its session. Facts borrow the engine's or the caller's bytes until the next call of next(); user
 *          and password only until the answer, when they are wiped.
 * Memory   one allocation at create: line buffer, output buffer, fixed state (under 8 KiB). When replies
 *          fill the output buffer, next() says WAIT until some are drained.
 * Thread   the session's.
 * Fails    never: a peer's worst is CLOSE.
 * Limits   commands, errors, recipients, message size, junk commands: the engine counts and answers by
 *          itself. Error and junk counts begin anew with each accepted message. Declined recipients are no
 *          errors, nor is the DATA or RSET of a transaction that has no others.
 * Turns    the peer must read the greeting and the replies to EHLO, DATA, STARTTLS and AUTH before it goes
 *          on. Bytes given to next() while such a reply is awaited or not drained came too early: 554 5.5.0
 *          and CLOSE. So write before you read on.
 * Spec     RFC 5321, 6409, 1870, 2852, 2920, 3030, 3207, 3461, 4865, 4954, 6152, 6531, 6710, 9422;
 *          smuggling rules of RFC 5321 2.3.8.
 */
#include "smtp_types.h"

struct smtp_server;

/* What a listener offers; borrowed for the life of the engine. */
struct smtp_server_conf {
	struct smtp_slice hostname; /* in the greeting and the EHLO answer */
	uint64_t message_bytes_max; /* SIZE; never 0 */
	uint32_t rcpt_max;          /* recipients in one transaction; the excess gets 452 4.5.3 */
	uint32_t mail_max;          /* transactions in one connection, then 421 4.7.0; 0: no limit */
	uint32_t error_max;         /* 4xx/5xx answers to commands before 421 4.7.0 and close; 0: no limit */
	uint32_t junk_max; /* RSET/NOOP/VRFY/... without a message between them before 421; 0: no limit */
	bool has_starttls; /* offer STARTTLS while the connection is clear */
	bool has_auth;     /* offer AUTH PLAIN LOGIN (only over TLS unless auth_in_clear) */
	bool auth_in_clear;
	bool auth_required;     /* MAIL without AUTH: 530 5.7.0 */
	bool tls_required;      /* MAIL or AUTH without TLS: 530 5.7.0 */
	bool allow_bare_lf;     /* normalise bare LF to CRLF in data instead of refusing the message (A1) */
	uint32_t text_line_max; /* bytes of a text line without CRLF, longer: 550 5.6.0 (B2); 0: no limit */
	/* Not empty: "421 4.3.2 busy" or the like instead of the greeting, then CLOSE. */
	struct smtp_slice refuse_text;
};

enum smtp_server_event {
	SMTP_SERVER_MORE, /* all of *in is eaten: read more */
	SMTP_SERVER_WAIT, /* an answer or output room is owed; *in keeps the rest. Call again after it */
	SMTP_SERVER_HELO, /* fact.text: the client's name. Informs */
	/* Drain output, DISCARD *in and all buffered bytes (RFC 3207 4.2), then shake hands. Informs */
	SMTP_SERVER_STARTTLS,
	SMTP_SERVER_AUTH, /* fact.user, fact.password, decoded. Asks: 235 or 535 */
	SMTP_SERVER_MAIL, /* fact.mail. Asks: 250 or refusal */
	SMTP_SERVER_RCPT, /* fact.rcpt. Asks: 250 or refusal */
	/* DATA or first BDAT, at least one recipient accepted. Asks: 354 (any 3xx goes on) or refusal */
	SMTP_SERVER_DATA,
	SMTP_SERVER_BODY, /* fact.text: the next body bytes, dots removed, CRLF line ends. Informs */
	SMTP_SERVER_END,  /* the message is whole; fact.body_bytes. Asks: 250 or refusal */
	/* The transaction is gone (RSET, EHLO, refused body, closing ...): forget it. Informs */
	SMTP_SERVER_ABORT,
	SMTP_SERVER_REFUSED, /* fact.refused: what the engine refused by itself, for the log. Informs */
	/* Drain output, then close: QUIT, 421, too many errors. fact.text says why. Nothing follows */
	SMTP_SERVER_CLOSE,
};

struct smtp_server_mail {
	struct smtp_slice sender; /* without brackets; empty: null sender */
	uint64_t size;            /* SIZE=, 0: not given */
	struct smtp_slice envid;  /* decoded */
	struct smtp_slice auth;   /* AUTH=, decoded, "<>" as empty */
	int64_t hold_until;       /* HOLDUNTIL=, Unix seconds */
	uint32_t hold_for_s;      /* HOLDFOR=; 0: has_hold means HOLDUNTIL */
	int32_t by_s;             /* BY=; 0 and below with NOTIFY alone: the time is over */
	enum smtp_by by;
	bool by_trace; /* BY= with T: tell the sender of each hand-over */
	int priority;  /* MT-PRIORITY=, -9..9 */
	enum smtp_ret ret;
	bool has_hold, has_priority;
	bool is_8bit; /* BODY=8BITMIME */
	bool is_utf8; /* SMTPUTF8 */
};

struct smtp_server_rcpt {
	struct smtp_slice address; /* without brackets and source route; domain as written */
	struct smtp_slice orcpt;   /* decoded "type;address"; empty: not given */
	unsigned notify;           /* enum smtp_notify bits, 0: not given */
};

struct smtp_server_refusal {
	bool is_login;   /* AUTH came to nothing: malformed, cancelled, or credentials nobody can have */
	bool is_message; /* a whole message, at its end */
	bool is_end;     /* CLOSE follows */
	int code;
	const char *esc, *text;    /* as the client was told; static */
	struct smtp_slice command; /* "MAIL"; "DATA" for a message; empty: it was none we know */
	struct smtp_slice said;    /* the line as it came; empty where it might be a password */
};

struct smtp_server_fact {
	struct smtp_slice text;
	struct smtp_slice user, password;
	struct smtp_server_mail mail;
	struct smtp_server_rcpt rcpt;
	struct smtp_server_refusal refused;
	uint64_t body_bytes;
};

/* NULL: no memory. *conf is borrowed for the engine's life. Puts the greeting (or, with refuse_text, a
 * 554/421 refusal line and CLOSE) into the output. */
struct smtp_server *smtp_server_create(const struct smtp_alloc *alloc, const struct smtp_server_conf *conf);
void smtp_server_destroy(struct smtp_server **sp);

/* Eats from the front of *in, in any portions; never more than one event a call. */
enum smtp_server_event smtp_server_next(
	struct smtp_server *s, struct smtp_slice *in, struct smtp_server_fact *out_fact);

/*
 * The host's decision for the pending asking event. `code` 200..599; `esc` such as "2.1.0" or NULL; `text` is
 * one line of printable ASCII (others are replaced), cut after 400 bytes. A 421 also closes. Ignored after
 * CLOSE is due, as an answer may come long after its session was given up.
 */
void smtp_server_answer(struct smtp_server *s, int code, const char *esc, const char *text);

/* The same for a recipient that is refused (code 500..599) for what is known of it, not for what the client
 * did: error_max is for clients that do something wrong. */
void smtp_server_decline_rcpt(struct smtp_server *s, int code, const char *esc, const char *text);

/* FUTURERELEASE is for those who may (RFC 4865): from now on this client may have mail held for up to max_s
 * seconds, and EHLO tells it so, with the date that is from `now` (Unix seconds); 0: HOLDFOR and HOLDUNTIL
 * are unknown (555), as at the beginning. What is beyond these two is refused here (4.2, 7 and 8). */
void smtp_server_offer_hold(struct smtp_server *s, uint32_t max_s, int64_t now);

/* For closing an idle or overlong session from outside (timer, shutdown): 421, then ABORT if a transaction is
 * open, CLOSE. */
void smtp_server_close(struct smtp_server *s, const char *esc, const char *text);

/* After the handshake the session is as new (RFC 3207 4.2): no greeting, EHLO expected. For implicit TLS call
 * it before the first next(). */
void smtp_server_tls_started(struct smtp_server *s);

struct smtp_slice smtp_server_output(const struct smtp_server *s);
void smtp_server_drained(struct smtp_server *s, size_t bytes);

bool smtp_server_is_tls(const struct smtp_server *s);
bool smtp_server_is_esmtp(const struct smtp_server *s); /* EHLO, not HELO */
/* The last HELO/EHLO name; valid until the next next(). */
struct smtp_slice smtp_server_helo(const struct smtp_server *s);
/* Between messages and owing nothing: a graceful stop may close it now. */
bool smtp_server_is_idle(const struct smtp_server *s);
/* Inside DATA/BDAT: the host's timer is the data timer (3 min), else the command timer (5 min). */
bool smtp_server_in_data(const struct smtp_server *s);
/* The name of the present state, for logs and tests. */
const char *smtp_server_state_name(const struct smtp_server *s);
#endif
