/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_CLIENT_IMPL_H
#define LIBSMTP_SMTP_CLIENT_IMPL_H
/*
 * smtp_client_impl - the inside of smtp_client, shared by its two files and nobody else
 *
 * smtp_client_steps.c has the table of steps: what each says, and what its reply means. It decides and never
 * moves. smtp_client.c moves along the table, gives results, ends sessions, and is what the host calls.
 */
#include "smtp_client.h"
#include "smtp_pipe.h"
#include "smtp_reply.h"

#define B(step) (1u << (step))

enum { WORDS_MAX = 256 };

enum step_id {
	ST_STAY, /* as a next step: the cursor stays where it is */
	ST_WAIT, /* the cursor rests until a reply moves it */
	ST_GREETING,
	ST_EHLO,
	ST_HELO,
	ST_STARTTLS,
	ST_TLS,
	ST_AUTH_PLAIN,
	ST_AUTH_LOGIN,
	ST_AUTH_USER,
	ST_AUTH_PASS,
	ST_IDLE,
	ST_RSET,
	ST_MAIL,
	ST_UNFIT, /* silent: the mail is refused by us */
	ST_RCPT,
	ST_SKIP, /* silent: the recipient is refused by us */
	ST_REST, /* silent: recipients beyond the peer's RCPTMAX, for another transaction */
	ST_DATA,
	ST_BODY,     /* the message, its final dot, and the reply to that */
	ST_LONE_DOT, /* D19: 354 although no recipient was accepted */
	ST_END,      /* silent: the mail is over */
	ST_QUIT,
	ST_COUNT,
};

struct step {
	enum smtp_client_phase phase; /* the timer, RFC 5321 4.5.3.2 */
	bool is_piped;                /* may be said while replies are outstanding (RFC 2920 3.1) */
	enum step_id (*say)(struct smtp_client *c);
	enum step_id (*hear)(struct smtp_client *c, const struct smtp_reply *reply);
	unsigned codes; /* first digits of replies that fit; 0: silent, heard without a reply */
	uint32_t next;  /* where saying and hearing may lead, besides ST_WAIT */
};

enum life { LIFE_OPENING, LIFE_READY, LIFE_FALLING, LIFE_DOWN };

/* RESULTs due: recipients next..end-1 without those already answered. */
struct settle {
	uint32_t next, end;
	enum smtp_client_outcome outcome;
	enum smtp_client_phase phase;
	struct smtp_reply reply;
};

/* What is known about the first mail inside, the one that replies are about. */
struct heard {
	uint32_t rcpts; /* replies to RCPT so far */
	uint32_t accepted;
	uint32_t answered;
	bool has_reply;  /* to MAIL or later */
	bool mail_is_ok; /* MAIL was accepted: the peer has a transaction open */
};

struct smtp_client {
	struct smtp_alloc alloc;
	struct smtp_client_conf conf;
	struct smtp_ehlo ehlo;
	enum life life;
	enum step_id cursor; /* the next step to say */
	bool is_tls;
	bool is_quitting;
	bool ready_due; /* events owed to the host */
	bool starttls_due;
	bool must_reset;  /* a transaction was left open: RSET before the next MAIL */
	bool no_mail_yet; /* the first mail inside is the first of this session */

	struct smtp_client_mail *mails[2];
	uint32_t mail_count;
	uint32_t mails_taken; /* in all */
	uint32_t replies;
	uint32_t mails_said;        /* of those inside: all of their commands were said */
	uint32_t rcpts_said;        /* of the mail whose commands are being said */
	struct smtp_data_look look; /* of the same mail */
	struct smtp_data_out body;
	struct heard heard_mail;
	struct settle settle;
	struct smtp_client_fact down; /* DOWN as it will be told, from LIFE_FALLING on */

	uint8_t answered[SMTP_CLIENT_RCPT_MAX / 8];
	struct smtp_reply_parser parser;
	struct smtp_pipe pipe;
	char words[WORDS_MAX]; /* of DOWN */
};
_Static_assert(sizeof(struct smtp_client) <= 6144, "ten thousand sessions are planned for");

/* ---- smtp_client.c ---- */

bool smtp_client_is_answered(const struct smtp_client *c, uint32_t index);
/* The results of recipients first..end-1 of the first mail inside; those answered already keep theirs. */
void smtp_client_settle(struct smtp_client *c, uint32_t first, uint32_t end, enum smtp_client_outcome outcome,
	enum smtp_client_phase phase, const struct smtp_reply *reply);
void smtp_client_settle_all(struct smtp_client *c, enum smtp_client_outcome outcome,
	enum smtp_client_phase phase, const struct smtp_reply *reply);
/* The session is over; the first reason is the one that counts. */
void smtp_client_fall(struct smtp_client *c, enum smtp_client_outcome outcome, const struct smtp_reply *reply,
	struct smtp_slice why);
/* By this reply; ST_STAY, for the step that heard it to return. */
enum step_id smtp_client_fall_replied(struct smtp_client *c, const struct smtp_reply *reply);

/* ---- smtp_client_steps.c ---- */

extern const struct step smtp_client_steps[ST_COUNT];
/* Between mails, and after the opening: what to say next. */
enum step_id smtp_client_next_mail(const struct smtp_client *c);
#endif
