/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enhanced status codes sit at the front of reply texts that peers write freely ("5.7 GB left" is no code,
 * nor is "5.1.1x"), so the grammar is applied to the letter and whatever does not fit is text. The code is
 * kept as it was sent even when it contradicts the basic code: the basic code decides (RFC 5321 4.2), rules
 * may look at this one.
 */
#include "smtp_esc.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* One to three digits at *at; leading zeros are forbidden by RFC 3463 2 but sent, and harmless. */
static bool
take_number(struct smtp_slice text, size_t *at, uint16_t *out_value)
{
	size_t start = *at;
	uint16_t value = 0;

	while (*at < text.len && *at - start < 3 && text.ptr[*at] >= '0' && text.ptr[*at] <= '9')
		value = (uint16_t)(value * 10 + (text.ptr[(*at)++] - '0'));
	*out_value = value;
	return *at > start;
}

static bool
take_dot(struct smtp_slice text, size_t *at)
{
	return *at < text.len && text.ptr[(*at)++] == '.';
}

int
smtp_esc_parse(struct smtp_slice text, struct smtp_esc *out_esc)
{
	struct smtp_esc esc = {0};
	size_t at = 1;

	if (text.len == 0 || (text.ptr[0] != '2' && text.ptr[0] != '4' && text.ptr[0] != '5'))
		return SMTP_ESYNTAX;
	esc.class_digit = (uint8_t)(text.ptr[0] - '0');
	if (!take_dot(text, &at) || !take_number(text, &at, &esc.subject))
		return SMTP_ESYNTAX;
	if (!take_dot(text, &at) || !take_number(text, &at, &esc.detail))
		return SMTP_ESYNTAX;
	if (at < text.len && memchr(" \t\r\n", text.ptr[at], 4) == NULL)
		return SMTP_ESYNTAX;
	*out_esc = esc;
	return (int)at;
}

int
smtp_esc_write(struct smtp_esc esc, char *buf, size_t buf_max)
{
	char text[24];
	int len;

	assert(esc.class_digit == 2 || esc.class_digit == 4 || esc.class_digit == 5);
	assert(esc.subject <= 999 && esc.detail <= 999);
	len = snprintf(text, sizeof(text), "%u.%u.%u", esc.class_digit, esc.subject, esc.detail);
	if (len < 0 || (size_t)len > buf_max)
		return SMTP_ENOSPACE;
	memcpy(buf, text, (size_t)len);
	return len;
}
