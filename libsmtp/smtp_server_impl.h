/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_SERVER_IMPL_H
#define LIBSMTP_SMTP_SERVER_IMPL_H
/*
 * smtp_server_impl - the inside of smtp_server, shared by its three files and nobody else
 *
 * smtp_server.c has the table of states, moves along it, reads lines and bodies, and is what the host calls;
 * smtp_server_cmd.c answers command lines and the AUTH dialogue: it decides, writes replies and never moves;
 * smtp_server_say.c writes replies and keeps account of refusals.
 */
#include "smtp_data_in.h"
#include "smtp_server.h"

#define SERVER_MAGIC   0x736d7464u
#define B(state)       (1u << (state))
#define COMMAND_STATES (B(ST_START) | B(ST_READY) | B(ST_MAIL) | B(ST_RCPT) | B(ST_CHUNK))
#define AUTH_STATES    (B(ST_AUTH_PLAIN) | B(ST_AUTH_USER) | B(ST_AUTH_PASS))

enum {
	OUT_MAX = 4096,
	REPLY_MAX = 448,      /* one line of ours with its CRLF */
	REPLY_TEXT_MAX = 400, /* of it the host's words */
	EHLO_MAX = 640,       /* the longest EHLO answer: 255 bytes of host name and all extensions */
	/* What one step may write: the answer, a closing 421, and the 421 of smtp_server_close(). */
	OUT_RESERVE = EHLO_MAX + 2 * REPLY_MAX,
	/* Bytes of a line that is read to its end, to answer 500; one that is longer closes the session. */
	LINE_BUDGET = 16 * SMTP_COMMAND_MAX,
	/* RFC 5321 4.5.3.1.10: excess recipients are answered 452; up to this many do not count as errors. */
	RCPT_OVERSHOOT = 1000,
};

enum state {
	ST_START,
	ST_READY,
	ST_MAIL,
	ST_RCPT,
	ST_CHUNK,
	ST_DATA,
	ST_DATA_REFUSED,
	ST_BDAT,
	ST_BDAT_REFUSED,
	ST_AUTH_PLAIN,
	ST_AUTH_USER,
	ST_AUTH_PASS,
	ST_ASK_AUTH,
	ST_ASK_MAIL,
	ST_ASK_RCPT,
	ST_ASK_DATA,
	ST_ASK_BDAT,
	ST_ASK_END,
	ST_TLS,
	ST_CLOSED,
	ST_COUNT,
};

/* Events found and not yet handed out, in the order in which they will be. STATE: that of the state entered.
 */
enum due { DUE_BODY = 1, DUE_ABORT = 2, DUE_REFUSED = 4, DUE_HELO = 8, DUE_STATE = 16 };

/* An answer of our own. */
struct refusal {
	int code;
	const char *esc, *text;
};

struct smtp_server {
	uint32_t magic;
	enum state state;
	const struct smtp_server_conf *conf;
	struct smtp_alloc alloc;
	struct smtp_server_fact fact;
	unsigned due; /* enum due */

	bool is_tls;
	bool is_esmtp;
	bool is_authenticated;
	uint32_t hold_max_s; /* 0: FUTURERELEASE is not for this client */
	int64_t hold_until;

	uint32_t error_count, junk_count, mail_count;

	/* The transaction; reset_transaction() clears it. */
	bool mail_is_utf8;
	uint32_t rcpt_count;    /* accepted */
	uint32_t rcpt_tried;    /* and refused ones */
	uint32_t rcpt_declined; /* of the refused ones: no error of the client */
	bool has_put_off;       /* a recipient too many: told to the host once */
	uint64_t body_bytes;    /* handed out */
	struct smtp_data_in data;

	/* The message or chunk being read; outlives its transaction when that was refused. */
	uint64_t raw_bytes;  /* of DATA, as they came */
	uint64_t chunk_left; /* of BDAT */
	bool chunk_is_last;
	const struct refusal *refusal; /* to be said at its end; NULL: was said before */

	struct smtp_slice why; /* the text of CLOSE; static */

	uint64_t line_bytes; /* of the line so far; beyond SMTP_COMMAND_MAX they are not kept */
	size_t out_len;
	size_t quiet_bytes; /* of the output: until they are drained the peer must be silent */
	size_t helo_len, user_len;

	char helo[SMTP_DOMAIN_MAX];
	char scratch[SMTP_ADDRESS_MAX]; /* the user of AUTH LOGIN, or the postmaster's full address */
	char line[SMTP_COMMAND_MAX];
	char out[OUT_MAX];
};

/* ---- smtp_server.c ---- */

/* What to do instead of a command that is out of order now. */
const char *smtp_server_hint(const struct smtp_server *s);

/* ---- smtp_server_say.c ---- */

void smtp_server_put(struct smtp_server *s, const char *bytes, size_t len);
/* One reply line. say() also counts refusals as errors, and tells the host of them. */
void smtp_server_reply(struct smtp_server *s, int code, const char *esc, const char *text);
void smtp_server_say(struct smtp_server *s, int code, const char *esc, const char *text);
void smtp_server_count_error(struct smtp_server *s, int code);
/* What was just said refuses more than a command. */
void smtp_server_mark_login(struct smtp_server *s);
/* 452 to a recipient, one too many: an error only of who goes on and on. The second tells the host, once. */
void smtp_server_reply_452(struct smtp_server *s, const char *esc, const char *text);
void smtp_server_put_off_rcpt(struct smtp_server *s, const char *esc, const char *text);
/* The last reply; `text` is static and also tells the host why. */
enum state smtp_server_close_with(struct smtp_server *s, int code, const char *esc, const char *text);
enum state smtp_server_spoke_too_early(struct smtp_server *s);
/* The peer has to read what is written so far before it may go on. */
void smtp_server_hush(struct smtp_server *s);

/* ---- smtp_server_cmd.c ---- */

extern const struct refusal smtp_server_too_big;
/* A line without its CRLF is in s->line, *in is what came behind it. Both return the next state. */
enum state smtp_server_on_command(struct smtp_server *s, struct smtp_slice *in);
enum state smtp_server_on_auth_line(struct smtp_server *s, struct smtp_slice *in);
#endif
