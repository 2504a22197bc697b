/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_AUTH_H
#define MTAD_INTAKE_AUTH_H
/*
 * auth - passwords against their crypt(3) hashes, and who may send as whom
 *
 * A yescrypt hash takes tens of milliseconds on purpose, so it is computed in a sign thread; the session
 * waits for the letter. An unknown user costs the same time as a wrong password.
 *
 * Thread   auth_check: a sign thread. The rest: any.
 */
#include "conf/conf.h"
#include "queue/letters.h"
#include "smtp_types.h"

struct intake_session;

/* io -> sign (LETTER_PASSWORD) and back with is_right. Lives in the session. */
struct password {
	struct letter letter;
	struct worker *reply_to;
	struct intake_session *session;
	const struct conf *conf; /* a reference, dropped by the session */
	char user[SMTP_CREDENTIAL_MAX + 1];
	char secret[SMTP_CREDENTIAL_MAX + 1]; /* zeroed by auth_check */
	bool is_right;
};

void auth_check(struct password *p);
/* A new hash for `mtactl passwd`; false: crypt(3) refused. */
bool auth_hash(const char *secret, char *buf, size_t buf_max);
/* Whether `user` may write as this address, in the envelope (where the null sender is always allowed) or in
 * From. */
bool auth_may_send_as(const struct conf_user *user, struct smtp_slice sender);
#endif
