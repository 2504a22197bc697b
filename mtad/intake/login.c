/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passwords of clients: hashed by the sign threads one at a time, and what guessing costs. Invariant: neither
 * whether a user exists nor whether a password was right shows to who may not log in.
 */
#include "intake/intake_impl.h"

#include "queue/letters.h"
#include "queue/quota.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LOGIN_FAILURES_MAX = 20, /* of one address in ten minutes: then refused unseen (A19) */
	USER_FAILURES_MAX = 50,  /* of one user, from where it is not known: then no password is right */
	LOGIN_DELAY_MAX_S = 8,
};

static bool
may_try_password(const struct intake_session *s)
{
	return limits_login_failures(s->in->conf.limits, s->client_name, mono(s)) < LOGIN_FAILURES_MAX;
}

static void
refuse_password(struct intake_session *s)
{
	log_event(
		s->in->conf.log, LOG_EVENT_login_failed, "client=%s why=\"too many failures\"", s->client_ip);
	smtp_server_answer(s->smtp, 421, "4.7.0", "Too many failed log-ins, try again later");
}

static struct password *
take_password(struct intake_session *s)
{
	struct password *p = s->password;

	s->password = NULL;
	s->waiting = WAIT_NOTHING;
	return p;
}

static void
hash(struct intake *in, struct password *p)
{
	in->is_hashing = true;
	worker_post(in->conf.signs[in->next_sign++ % in->conf.sign_count], &p->letter);
}

/*
 * One password of this thread is hashed at a time: it takes as long as hundreds of signatures, and a crowd
 * that guesses must not keep the sign threads from the mail. In their turn those are refused unseen whose
 * address has used up its failures meanwhile, so that guessing at once is no way around the limit.
 */
static void
hash_next(struct intake *in)
{
	while (!in->is_hashing && in->passwords != NULL) {
		struct password *p = (struct password *)in->passwords;
		struct intake_session *s = p->session;

		if ((in->passwords = p->letter.next) == NULL)
			in->passwords_end = &in->passwords;
		if (s->wire != NULL && may_try_password(s)) {
			hash(in, p);
			return;
		}
		explicit_bzero(p->secret, sizeof(p->secret));
		free(take_password(s));
		if (s->wire == NULL)
			intake_session_free_if_over(s);
		else {
			refuse_password(s);
			intake_session_pump(s);
		}
	}
}

void
intake_on_auth(struct intake_session *s, const struct smtp_server_fact *fact)
{
	struct intake *in = s->in;
	struct password *p;

	if (!may_try_password(s)) {
		refuse_password(s);
		return;
	}
	if (fact->user.len > SMTP_CREDENTIAL_MAX || fact->password.len > SMTP_CREDENTIAL_MAX ||
		memchr(fact->password.ptr, '\0', fact->password.len) != NULL ||
		(p = calloc(1, sizeof(*p))) == NULL) {
		smtp_server_answer(s->smtp, 535, "5.7.8", "Authentication failed");
		return;
	}
	p->letter.kind = LETTER_PASSWORD;
	p->reply_to = in->conf.io;
	p->session = s;
	p->conf = s->settings->conf;
	memcpy(p->user, fact->user.ptr, fact->user.len);
	memcpy(p->secret, fact->password.ptr, fact->password.len);
	s->password = p;
	s->waiting = WAIT_PASSWORD;
	wire_deadline(s->wire, 0);
	/* Without a second look: another thread may have counted one more failure since the first, and
	 * hash_next() would end the session under the callers of this. */
	if (!in->is_hashing) {
		hash(in, p);
		return;
	}
	*in->passwords_end = &p->letter;
	in->passwords_end = &p->letter.next;
}

static void
on_delay_over(evutil_socket_t fd, short what, void *arg)
{
	struct intake_session *s = intake_session_of(arg);

	s->waiting = WAIT_NOTHING;
	smtp_server_answer(s->smtp, 535, "5.7.8", "Authentication failed");
	intake_session_pump(s);
}

unsigned
intake_count_login_failure(struct intake_session *s, const char *why, const char *user)
{
	unsigned failures = limits_login_failed(s->in->conf.limits, s->client_name, mono(s));
	char escaped[SMTP_CREDENTIAL_MAX * 4];

	log_event(s->in->conf.log, LOG_EVENT_login_failed, "client=%s failures=%u why=\"%s\" user=\"%s\"",
		s->client_ip, failures, why,
		log_escape(escaped, sizeof(escaped), user, strnlen(user, SMTP_CREDENTIAL_MAX)));
	return failures;
}

/* A wrong password costs a growing wait, for this session only; the failures of the address count for all
 * (A19). */
static void
login_failed(struct intake_session *s, const char *why, const char *user)
{
	unsigned failures = intake_count_login_failure(s, why, user);
	struct timeval tv = {failures < LOGIN_DELAY_MAX_S ? failures : LOGIN_DELAY_MAX_S, 0};

	if (s->delay == NULL)
		s->delay = event_new(worker_base(s->in->conf.io), -1, 0, on_delay_over, s);
	if (s->delay == NULL || s->in->is_stopping) {
		smtp_server_answer(s->smtp, 535, "5.7.8", "Authentication failed");
		return;
	}
	s->waiting = WAIT_DELAY;
	event_add(s->delay, &tv);
}

/*
 * Many addresses may guess the password of one user (A19). They end at a bound of the user's own, which does
 * not hold for the addresses it logged in from lately, so that nobody can keep it out of where it is at home.
 * Who is out is told what a wrong password is told, and as late: neither the password nor the user shows.
 */
static const char *
why_not(struct intake_session *s, const struct password *p, const struct conf_user *user)
{
	struct limits *limits = s->in->conf.limits;
	bool is_stranger = user != NULL && !limits_is_familiar(limits, s->user_name, s->client_name);
	bool is_right = p->is_right && user != NULL;

	if (is_stranger && limits_login_failures(limits, s->user_name, mono(s)) >= USER_FAILURES_MAX)
		return is_right ? "too many failures of this user, although it was the password"
				: "too many failures of this user";
	if (is_stranger && !is_right)
		(void)limits_login_failed(limits, s->user_name, mono(s));
	return is_right ? NULL : "authentication failed";
}

static void
check_password(struct intake_session *s)
{
	struct password *p = take_password(s);
	const struct conf_user *user =
		conf_user_find(s->settings->conf, p->user, strnlen(p->user, sizeof(p->user)));
	const char *why;

	if (s->wire == NULL) {
		free(p);
		intake_session_free_if_over(s);
		return;
	}
	if (user != NULL)
		snprintf(s->user_name, sizeof(s->user_name), "user %s", user->name);
	if ((why = why_not(s, p, user)) != NULL)
		login_failed(s, why, p->user);
	else {
		limits_login_worked(s->in->conf.limits, s->user_name, s->client_name, mono(s));
		if (!limits_connect(s->in->conf.limits, s->user_name, user->connections_max, mono(s)))
			smtp_server_answer(s->smtp, 454, "4.7.0", "Too many connections of this user");
		else {
			s->user = user;
			s->quota = user->over_quota == CONF_OVER_QUOTA_REFUSE
					   ? quota_of(s->in->conf.quotas,
						     (struct queue_blob){
							     user->name, strnlen(user->name, QUEUE_NAME_MAX)})
					   : NULL;
			intake_offer_hold(s);
			log_event(s->in->conf.log, LOG_EVENT_login, "client=%s user=%s", s->client_ip,
				user->name);
			smtp_server_answer(s->smtp, 235, "2.7.0", "Authentication successful");
		}
	}
	free(p);
	intake_session_pump(s);
}

void
intake_on_password(struct intake *in, struct password *p)
{
	struct intake_session *s = p->session;

	in->is_hashing = false;
	hash_next(in);
	check_password(s);
}
