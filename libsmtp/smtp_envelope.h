/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_ENVELOPE_H
#define LIBSMTP_SMTP_ENVELOPE_H
/*
 * smtp_envelope - MAIL and RCPT of a mail for one peer: refused by us, or put into the pipe
 *
 * Parameters are written only where the peer offers them. Whatever is in an address, it stays between its
 * brackets.
 *
 * Owner    the client engine; all arguments are borrowed for the call, refusals are constants.
 * Memory   none.
 * Fails    never: what cannot be said has a refusal.
 * Spec     RFC 5321 4.1.1.2 and 4.1.1.3, RFC 1870, 2852 4.1.4, 3461, 6152, 6531, 6710 4.2.
 */
#include "smtp_client.h"
#include "smtp_pipe.h"

/* Why the mail cannot be sent to a peer that offers `ehlo`; NULL: it can. `look` is of the mail's body. */
const struct smtp_reply *smtp_envelope_mail_refusal(
	const struct smtp_client_mail *mail, const struct smtp_ehlo *ehlo, const struct smtp_data_look *look);
const struct smtp_reply *smtp_envelope_rcpt_refusal(const struct smtp_client_mail *mail, uint32_t index);

/* The command without its CRLF. Only for what has no refusal. */
void smtp_envelope_put_mail(struct smtp_pipe *p, const struct smtp_client_mail *mail,
	const struct smtp_ehlo *ehlo, const struct smtp_data_look *look);
void smtp_envelope_put_rcpt(struct smtp_pipe *p, const struct smtp_client_mail *mail,
	const struct smtp_ehlo *ehlo, uint32_t index);
#endif
