/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every other file of libsmtp shares and what is too long for an inline function. Case is folded by hand
 * because the C library's tolower() asks the locale, and a Turkish locale would make "MAIL" differ from
 * "mail".
 */
#include "smtp_types.h"

const char *
smtp_err_text(int err)
{
	switch (err) {
	case SMTP_OK:
		return "no error";
	case SMTP_ESYNTAX:
		return "syntax error";
	case SMTP_ETOOLONG:
		return "too long";
	case SMTP_ENOSPACE:
		return "buffer too small";
	case SMTP_ENOMEM:
		return "out of memory";
	case SMTP_EUTF8:
		return "bytes that are not ASCII or not UTF-8";
	default:
		return "unknown error";
	}
}

static unsigned char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : (unsigned char)c;
}

bool
smtp_slice_is_nocase(struct smtp_slice a, struct smtp_slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}
