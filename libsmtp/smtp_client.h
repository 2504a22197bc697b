/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_CLIENT_H
#define LIBSMTP_SMTP_CLIENT_H
/*
 * smtp_client - the sending side of one SMTP connection, without the connection
 *
 * The host feeds bytes, pulls events, hands in mails, and sends what output() holds. At most two mails are in
 * the engine: the one whose results are awaited, and the next, whose envelope is sent together with the final
 * dot of the first where the peer offers PIPELINING and conf.may_overlap is set (RFC 2920 3.1).
 *
 *     while ((event = smtp_client_next(c, &in, &fact)) != SMTP_CLIENT_MORE)
 *             host reacts; after DOWN it closes
 *     host writes smtp_client_output(), reports smtp_client_drained(), sets the timer of smtp_client_phase()
 *
 * Pull events (with an empty *in) after mail(), quit(), tls_started() and lost() too: a mail the peer cannot
 * take is answered without a byte being sent.
 *
 * Each recipient of each mail handed in gets exactly one RESULT, each mail then exactly one MAIL_DONE,
 * whatever happens, provided the host pulls events until SMTP_CLIENT_DOWN. After DOWN nothing else comes.
 *
 * Owner    its session. Facts borrow the engine's bytes until the next call. Mails are borrowed until
 * MAIL_DONE; what the conf's slices point to is borrowed for the life of the engine. Memory   one allocation
 * at create (under 8 KiB). Bodies are not copied: output() points into the mail. Thread   the session's.
 * Fails    never: a peer's worst is DOWN with the rest of the recipients answered "lost".
 * Spec     RFC 5321 (timers 4.5.3.2), 1870, 2852 4.1.4, 2920, 3207, 3461, 4954, 6152, 6531, 6710 4.2, 9422.
 */
#include "smtp_data_out.h"
#include "smtp_ehlo.h"
#include "smtp_types.h"

#include <sys/uio.h>

struct smtp_client;

enum { SMTP_CLIENT_RCPT_MAX = 4096 }; /* recipients of one mail */

enum smtp_client_tls { SMTP_CLIENT_TLS_NONE, SMTP_CLIENT_TLS_MAY, SMTP_CLIENT_TLS_MUST };

struct smtp_client_conf {
	struct smtp_slice ehlo_name; /* 1..SMTP_DOMAIN_MAX bytes */
	enum smtp_client_tls
		tls; /* MUST without an offer, or refused: DOWN in phase STARTTLS, outcome REFUSED */
	struct smtp_slice user, password; /* AUTH when user.len > 0; needs an offer, else DOWN in phase AUTH.
					   * Each at most SMTP_CREDENTIAL_MAX */
	bool auth_in_clear;               /* send a password without TLS: off by default (E22) */
	bool is_tls;                      /* the connection is TLS from its first byte */
	bool may_overlap;                 /* next envelope with the final dot */
	bool may_pipeline; /* false: wait for each reply although PIPELINING is offered (D16) */
	bool helo_only;    /* start with HELO (a host that broke on EHLO) */
};

struct smtp_client_rcpt {
	struct smtp_slice address;
	struct smtp_slice orcpt; /* decoded; passed on when the peer offers DSN */
	unsigned notify;
};

/* One transaction. Lives in the host until MAIL_DONE; the engine keeps the pointer. */
struct smtp_client_mail {
	struct smtp_slice sender;
	const struct smtp_client_rcpt *rcpts;
	uint32_t rcpt_count;                      /* 1..SMTP_CLIENT_RCPT_MAX */
	struct smtp_slice body[SMTP_DATA_PIECES]; /* the message, CRLF lines, not dot-stuffed; unused pieces
						   * are empty. Pieces end at line ends. A bare CR, bare LF or
						   * NUL: refused 5.6.0 */
	struct smtp_slice envid;
	enum smtp_ret ret;
	bool is_8bit; /* body or headers hold bytes above 127: BODY=8BITMIME, else results refused 5.6.3 */
	bool is_utf8; /* needs SMTPUTF8: else results refused 5.6.7 */
	/* The time left for its delivery, passed on when the peer offers DELIVERBY; RETURN when that peer
	 * wants more: results refused 5.4.7. A peer without it gets the mail all the same (see wish.h of
	 * mtad). */
	enum smtp_by by;
	int32_t by_s; /* above zero with RETURN */
	bool by_trace;
	int priority; /* -9..9, passed on when the peer offers MT-PRIORITY */
	void *user;   /* the host's */
};

/* Where in the conversation something happened: names the timer, the log and the accounting. */
enum smtp_client_phase {
	SMTP_PHASE_CONNECT, /* never used by the engine; the host's, before it exists */
	SMTP_PHASE_GREETING,
	SMTP_PHASE_EHLO,
	SMTP_PHASE_STARTTLS,
	SMTP_PHASE_TLS, /* the host's handshake */
	SMTP_PHASE_AUTH,
	SMTP_PHASE_MAIL,
	SMTP_PHASE_RCPT,
	SMTP_PHASE_DATA, /* waiting for 354 */
	SMTP_PHASE_BODY, /* sending the message */
	SMTP_PHASE_DOT,  /* final dot sent, waiting for its reply */
	SMTP_PHASE_RSET,
	SMTP_PHASE_IDLE, /* nothing to do, connection open */
	SMTP_PHASE_QUIT,
	SMTP_PHASE_COUNT,
};
const char *smtp_client_phase_name(enum smtp_client_phase phase);

/* How a recipient's result came about. */
enum smtp_client_outcome {
	SMTP_OUTCOME_REPLY, /* fact.reply decides: 2xx delivered, 4xx, 5xx */
	SMTP_OUTCOME_LOST,  /* the connection or the protocol broke before the peer had the whole message */
	SMTP_OUTCOME_UNCERTAIN, /* it broke after the final dot was sent and before its reply (RFC 1047) */
	SMTP_OUTCOME_UNTRIED,   /* not one byte of this mail was answered: reused connection was dead, 421
				   before, closing; or more recipients than the peer's RCPTMAX (RFC 9422) */
	SMTP_OUTCOME_REFUSED, /* by us: the peer lacks SIZE room, 8BITMIME, SMTPUTF8, TLS or AUTH, or the mail
			       * is unfit to be sent; reply holds our 5xx/4xx text */
};

enum smtp_client_event {
	SMTP_CLIENT_MORE,     /* eaten: read more, write output */
	SMTP_CLIENT_STARTTLS, /* discard buffered input (leftover bytes: call lost()), shake hands, then
				 tls_started() */
	SMTP_CLIENT_READY, /* can take a mail now: after EHLO, and each time the first of two slots empties */
	SMTP_CLIENT_RESULT,    /* fact.mail, fact.rcpt_index, outcome, reply, phase */
	SMTP_CLIENT_MAIL_DONE, /* fact.mail is the host's again */
	SMTP_CLIENT_DOWN, /* session is over: close. fact.reply, phase and text say why; QUIT was answered
			   * when is_clean. fact.outcome is what it means for mails the host meant to hand in:
			   * REPLY (the peer said 421, 554 ...), REFUSED (TLS or AUTH lacking; our 4xx) or
			   * LOST */
};

struct smtp_client_fact {
	struct smtp_client_mail *mail;
	uint32_t rcpt_index;
	enum smtp_client_outcome outcome;
	enum smtp_client_phase phase;
	struct smtp_reply reply; /* code 0 when none came */
	struct smtp_slice text;  /* DOWN and the RESULTs before it: in our words, e.g. "timeout in rcpt" */
	bool is_clean;           /* DOWN after QUIT */
	bool pipeline_broken; /* DOWN: replies went out of step while pipelining or overlapping: remember the
				 host (D16) */
};

struct smtp_client *smtp_client_create(const struct smtp_alloc *alloc, const struct smtp_client_conf *conf);
void smtp_client_destroy(struct smtp_client **cp);

enum smtp_client_event smtp_client_next(
	struct smtp_client *c, struct smtp_slice *in, struct smtp_client_fact *out_fact);

/* True after READY until two mails are inside (one when overlap is not possible and the first is unanswered),
 * or the peer has had as many as its MAILMAX (RFC 9422): QUIT follows the last one. */
bool smtp_client_can_take(const struct smtp_client *c);
/* Only when can_take. Keeps take_mail until MAIL_DONE. */
void smtp_client_mail(struct smtp_client *c, struct smtp_client_mail *take_mail);
/* No more mails: QUIT after the present ones (at once when idle), then DOWN. */
void smtp_client_quit(struct smtp_client *c);
/* After event STARTTLS, when the handshake is done. */
void smtp_client_tls_started(struct smtp_client *c);
/* The connection broke, a timer ran out, or the host gives up; text in our words, copied. Then pull events.
 * Report what was written with drained() first: it tells lost from uncertain. */
void smtp_client_lost(struct smtp_client *c, struct smtp_slice text);

/* What to write now, in order: commands from the engine's buffer, pieces of the body with dots inserted.
 * Returns how many iovecs were filled (0: nothing to write). The same bytes again until drained() says they
 * are sent. */
int smtp_client_output(struct smtp_client *c, struct iovec *iov, int iov_max);
void smtp_client_drained(struct smtp_client *c, size_t bytes);

enum smtp_client_phase smtp_client_phase(const struct smtp_client *c); /* what we wait for: picks the timer */
/* Whole replies taken so far. The timer begins anew with the phase and with each of them, never with a part.
 */
uint32_t smtp_client_replies(const struct smtp_client *c);
unsigned smtp_client_caps(const struct smtp_client *c); /* enum smtp_client_cap bits of the last EHLO */
#endif
