/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters and xtext: results are bounded printable text inside the buffer, and xtext survives a round
 * trip. */
#include "smtp_params.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(struct smtp_slice text, size_t max)
{
	assert(text.len <= max);
	for (size_t i = 0; i < text.len; i++)
		assert(text.ptr[i] >= ' ' && text.ptr[i] <= '~');
}

static void
check_xtext(struct smtp_slice in)
{
	size_t max = in.len * 3 + 1;
	char *encoded = malloc(max), *decoded = malloc(max);
	int len = smtp_xtext_encode(in, encoded, max);
	int back;

	assert(len >= 0);
	back = smtp_xtext_decode((struct smtp_slice){encoded, (size_t)len}, decoded, max);
	assert(back == SMTP_ESYNTAX || ((size_t)back == in.len && memcmp(decoded, in.ptr, in.len) == 0));
	back = smtp_xtext_decode(in, decoded, in.len);
	assert(back >= 0 || back == SMTP_ESYNTAX);
	free(encoded);
	free(decoded);
}

static void
check_wishes(const struct smtp_server_mail *mail)
{
	assert(mail->hold_for_s <= 999999999 && (mail->hold_for_s == 0 || mail->has_hold));
	assert(mail->by_s <= 999999999 && mail->by_s >= -999999999);
	assert(mail->by != SMTP_BY_RETURN || mail->by_s > 0);
	assert(mail->by != SMTP_BY_NONE || !mail->by_trace);
	assert(mail->priority <= 9 && mail->priority >= -9 && (mail->priority == 0 || mail->has_priority));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_server_mail mail = {.size = 1};
	struct smtp_server_rcpt rcpt = {.notify = 0};
	const char *why;
	char *text = malloc(size + 1);

	if (size > SMTP_COMMAND_MAX)
		size = SMTP_COMMAND_MAX;
	if (size > 0)
		check_xtext((struct smtp_slice){(const char *)data, size});
	memcpy(text, data, size);
	if (smtp_params_mail(text, size, &mail, &why) == SMTP_OK) {
		check_text(mail.envid, SMTP_ENVID_MAX);
		check_text(mail.auth, SMTP_ADDRESS_MAX);
		check_wishes(&mail);
	}
	memcpy(text, data, size);
	if (smtp_params_rcpt(text, size, &rcpt) == SMTP_OK) {
		check_text(rcpt.orcpt, SMTP_ORCPT_MAX);
		assert(rcpt.notify < 16 &&
			(rcpt.notify == SMTP_NOTIFY_NEVER || (rcpt.notify & SMTP_NOTIFY_NEVER) == 0));
	}
	free(text);
	return 0;
}
