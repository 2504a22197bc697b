/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables: what IANA's registry says of subject and detail, and RFC 5321 (with its extensions) of the
 * basic code. Most of what sites mean by these codes is in their words; this is what is left when those are
 * unknown, so it is careful with the classes that are held against an address.
 */
#include "feedback/status.h"

#include "smtp_esc.h"

#include <string.h>

#define C(name) BOUNCE_CLASS_##name

/* Details from 0 on; what is not listed is that of detail 0. */
enum { DETAILS = 31 };
static const uint8_t details[8][DETAILS] = {
	/* 1: address */
	[1] = {C(OTHER), C(BAD_MAILBOX), C(BAD_DOMAIN), C(BAD_MAILBOX), C(BAD_MAILBOX), C(OTHER),
		C(INACTIVE_MAILBOX), C(INVALID_SENDER), C(INVALID_SENDER), C(PROTOCOL_ERRORS), C(BAD_DOMAIN)},
	/* 2: mailbox */
	[2] = {C(OTHER), C(INACTIVE_MAILBOX), C(QUOTA_ISSUES), C(MESSAGE_TOO_LARGE), C(SYSTEM_ERROR)},
	/* 3: mail system */
	[3] = {C(SYSTEM_ERROR), C(SYSTEM_ERROR), C(SYSTEM_ERROR), C(PROTOCOL_ERRORS), C(MESSAGE_TOO_LARGE),
		C(SYSTEM_ERROR)},
	/* 4: network and routing */
	[4] = {C(NO_ANSWER_FROM_HOST), C(NO_ANSWER_FROM_HOST), C(BAD_CONNECTION), C(ROUTING_ERRORS),
		C(ROUTING_ERRORS), C(RATE_LIMITED), C(ROUTING_ERRORS), C(MESSAGE_EXPIRED)},
	/* 5: protocol */
	[5] = {C(OTHER), C(PROTOCOL_ERRORS), C(PROTOCOL_ERRORS), C(RATE_LIMITED), C(PROTOCOL_ERRORS),
		C(PROTOCOL_ERRORS), C(RELAYING_ISSUES)},
	/* 6: content; 6.7 to 6.10 are RFC 6531's: the way does not take UTF-8 addresses */
	[6] = {C(CONTENT_RELATED), [7] = C(PROTOCOL_ERRORS), [8] = C(PROTOCOL_ERRORS),
		[9] = C(PROTOCOL_ERRORS), [10] = C(PROTOCOL_ERRORS)},
	/* 7: security and policy; 4 to 14 are RFC 4954's and its like, 17 to 19 RFC 7293's, 20 to 29 RFC
	   7372's and its like */
	[7] = {C(POLICY_RELATED), [4] = C(RELAYING_ISSUES), [8] = C(RELAYING_ISSUES),
		[9] = C(RELAYING_ISSUES), [10] = C(PROTOCOL_ERRORS), [11] = C(PROTOCOL_ERRORS),
		[12] = C(RELAYING_ISSUES), [13] = C(INACTIVE_MAILBOX), [14] = C(RELAYING_ISSUES),
		[17] = C(BAD_MAILBOX), [18] = C(BAD_DOMAIN), [20] = C(AUTH_FAILED), [21] = C(AUTH_FAILED),
		[22] = C(AUTH_FAILED), [23] = C(AUTH_FAILED), [24] = C(AUTH_FAILED), [25] = C(AUTH_FAILED),
		[26] = C(AUTH_FAILED), [27] = C(INVALID_SENDER), [28] = C(RATE_LIMITED),
		[29] = C(AUTH_FAILED), [30] = C(PROTOCOL_ERRORS)},
};

static enum bounce_class
of_esc(struct smtp_esc esc)
{
	uint8_t found = C(NONE);

	if (esc.class_digit == 0 || esc.subject == 0 || esc.subject > 7)
		return C(OTHER);
	/* RFC 3463 3.5: X.4.4 is "unable to route"; for good, that is a domain without a mail server. */
	if (esc.class_digit == 5 && esc.subject == 4 && esc.detail == 4)
		return C(BAD_DOMAIN);
	if (esc.detail < DETAILS)
		found = details[esc.subject][esc.detail];
	return (enum bounce_class)(found != C(NONE) ? found : details[esc.subject][0]);
}

static enum bounce_class
of_code(uint16_t code)
{
	static const struct {
		uint16_t code;
		uint8_t bounce_class;
	} codes[] = {{421, C(SYSTEM_ERROR)}, {422, C(QUOTA_ISSUES)}, {431, C(SYSTEM_ERROR)},
		{432, C(SYSTEM_ERROR)}, {441, C(NO_ANSWER_FROM_HOST)}, {442, C(BAD_CONNECTION)},
		{446, C(ROUTING_ERRORS)}, {447, C(MESSAGE_EXPIRED)}, {450, C(SYSTEM_ERROR)},
		{451, C(SYSTEM_ERROR)}, {452, C(SYSTEM_ERROR)}, {454, C(PROTOCOL_ERRORS)},
		{455, C(PROTOCOL_ERRORS)}, {500, C(PROTOCOL_ERRORS)}, {501, C(PROTOCOL_ERRORS)},
		{502, C(PROTOCOL_ERRORS)}, {503, C(PROTOCOL_ERRORS)}, {504, C(PROTOCOL_ERRORS)},
		{510, C(BAD_MAILBOX)}, {511, C(BAD_MAILBOX)}, {512, C(BAD_DOMAIN)},
		{523, C(MESSAGE_TOO_LARGE)}, {530, C(RELAYING_ISSUES)}, {534, C(RELAYING_ISSUES)},
		{535, C(RELAYING_ISSUES)}, {538, C(PROTOCOL_ERRORS)}, {541, C(SPAM_CONTENT)},
		{552, C(MESSAGE_TOO_LARGE)}, {555, C(PROTOCOL_ERRORS)}, {556, C(BAD_DOMAIN)},
		{571, C(POLICY_RELATED)}};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return (enum bounce_class)codes[i].bounce_class;
	return C(OTHER);
}

enum bounce_class
status_class(struct smtp_esc esc, uint16_t code)
{
	enum bounce_class found = of_esc(esc);

	return found != C(OTHER) ? found : of_code(code);
}

enum bounce_class
status_class_of_text(const char *text)
{
	struct smtp_esc esc;

	if (smtp_esc_parse((struct smtp_slice){text, strnlen(text, SMTP_ESC_TEXT_MAX + 1)}, &esc) < 0)
		return C(OTHER);
	return status_class(esc, 0);
}
