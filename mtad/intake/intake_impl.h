/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_INTAKE_IMPL_H
#define MTAD_INTAKE_INTAKE_IMPL_H
/*
 * intake_impl - what the parts of intake share: accept.c (settings, sockets, how a session begins), session.c
 * (the conversation in SMTP, and how it ends) with one of its roles, submission.c or reports.c, login.c
 * (passwords) and unsubscribe.c (the conversation with a browser)
 *
 * Owner    intake.h. Thread: its io thread's. Included by these files only.
 */
#include "base/tls.h"
#include "base/wire.h"
#include "intake/auth.h"
#include "intake/intake.h"
#include "intake/limits.h"
#include "intake/rcpt_set.h"
#include "intake/returned.h"
#include "smtp_server.h"

#include <assert.h>

struct event;

#define INTAKE_MAGIC 0x494e544bu

enum { UNSUBSCRIBE_REQUEST_US = 30000000 }; /* for a whole request, however it comes */

/* One configuration as the sessions of this thread see it. */
struct intake_settings {
	unsigned refs;
	const struct conf *conf;
	bool has_keys;
	int64_t clients_max;             /* what is left of the descriptors */
	SSL_CTX **tls;                   /* of conf->listens[i]; NULL: no certificate */
	struct smtp_server_conf *engine; /* of conf->listens[i] */
};

/* A listening socket, and the settings its next sessions get. */
struct accepter {
	struct intake *in;
	struct event *event;
	struct intake_settings *settings; /* a reference */
	size_t listen;                    /* index in their conf->listens */
	int fd;
};

struct intake {
	struct intake_conf conf;
	struct intake_settings *settings;
	struct accepter *accepters;
	size_t accepter_count;
	struct event *resume_accept; /* after EMFILE */
	struct intake_session *first;
	uint32_t count;
	size_t next_sign;
	struct letter *passwords, **passwords_end; /* wait for their turn; not empty: is_hashing */
	bool is_hashing;
	bool is_stopping;
};

struct intake_session;

/* What a session in SMTP is for: it answers these. */
struct intake_role {
	void (*mail)(struct intake_session *s, const struct smtp_server_mail *mail);
	void (*rcpt)(struct intake_session *s, const struct smtp_server_rcpt *rcpt);
	void (*end)(struct intake_session *s); /* all of the message is there */
};
extern const struct intake_role submission_role, reports_role;

enum waiting_for { WAIT_NOTHING, WAIT_SPOOL, WAIT_PASSWORD, WAIT_DELAY };

struct intake_session {
	unsigned magic;
	struct intake_session *next, **prev;
	struct intake *in;
	struct intake_settings *settings;
	const struct conf_listen *listen;
	size_t listen_index;
	struct wire *wire; /* NULL: the client has gone, a letter is still out */
	struct smtp_server *smtp;
	const struct intake_role *role;  /* of it */
	struct unsubscribe *unsubscribe; /* of an unsubscribe listener, in place of smtp */
	struct message *message;         /* being received */
	struct rcpt_set rcpt_set;        /* of it */
	struct accept accept;            /* submission: the message at the spool */
	struct returned returned;        /* reports: the mail at the reader */
	struct password *password;
	struct event *delay;
	enum waiting_for waiting;
	const struct conf_user *user;
	const struct quota *quota; /* of user, when mail over it is to be refused */
	bool in_networks, is_counted, is_closing, is_conversing, has_no_memory, message_is_utf8;
	char client_ip[64];
	char client_name[LIMITS_CLIENT_MAX];
	char user_name[SMTP_CREDENTIAL_MAX + 8];
	bool has_priority;       /* the one being received: MAIL asked for it, and may */
	unsigned rejected_count; /* since the last message taken */
	int64_t login_by_us;     /* monotonic; who has no other right to be here must have logged in */
	uint64_t timed_bytes;
	bool timed_data;
};

static inline int64_t
mono(const struct intake_session *s)
{
	return clock_mono(s->in->conf.clock);
}

static inline struct intake_session *
intake_session_of(void *arg)
{
	struct intake_session *s = arg;

	assert(s->magic == INTAKE_MAGIC);
	return s;
}

/* accept.c */
/* "192.0.2.1", "2001:db8::1", "local" of a unix socket. */
void intake_address_text(const struct sockaddr_storage *address, char *buf, size_t max);
void intake_settings_unref(struct intake_settings *st);
/* A counted session has ended. */
void intake_session_uncount(const struct intake_session *s);
/* session.c */
bool intake_has_memory(const struct intake_session *s);
/* Whether a message can be taken at all just now. False: answered. */
bool intake_may_begin(struct intake_session *s);
/* Answers, with a line in the log. `command`: static. */
void intake_refuse(
	struct intake_session *s, const char *command, int code, const char *esc, const char *text);
/* A recipient that is refused without fault of the client (smtp_server_decline_rcpt). */
void intake_decline_rcpt(struct intake_session *s, int code, const char *esc, const char *text);
void intake_drop_message(struct intake_session *s);
/* submission.c: who may choose when its mail goes, is told so by EHLO from now on. */
void intake_offer_hold(struct intake_session *s);
void submission_on_letter(struct letter *l); /* ACCEPTED */
/* reports.c */
void reports_on_letter(struct letter *l); /* RETURNED_DONE */
/* session.c: goes on after an answer: output, then what was kept. */
void intake_session_pump(struct intake_session *s);
/* login.c */
void intake_on_auth(struct intake_session *s, const struct smtp_server_fact *fact);
void intake_on_password(struct intake *in, struct password *p);
/* login.c: counts a failure of the address, and writes its line. */
unsigned intake_count_login_failure(struct intake_session *s, const char *why, const char *user);
/* session.c: frees the session unless a letter is out; then its return does. */
void intake_session_free_if_over(struct intake_session *s);
extern const struct wire_ops intake_wire_ops;
/* session.c: the client has gone, or is to go. */
void intake_session_close(struct intake_session *s);
/* unsubscribe.c: what such a session has. False: no memory. */
bool unsubscribe_create(struct intake_session *s, const struct sockaddr_storage *peer);
/* FEEDBACK_DONE */
void unsubscribe_on_letter(struct letter *l);
extern const struct wire_ops unsubscribe_wire_ops;
#endif
