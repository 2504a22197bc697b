/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAIL and RCPT parameters. Each keyword is a row of a table; a row's function gets the value and fills one
 * field. A keyword seen twice is refused, because two readers of "SIZE=1 SIZE=9" rarely agree on which one
 * counts.
 */
#include "smtp_params.h"

#include "smtp_addr.h"
#include "smtp_cmd.h"
#include "smtp_date.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

/* What a row's function may touch. One of mail and rcpt is set, by the table it belongs to. */
struct target {
	struct smtp_server_mail *mail;
	struct smtp_server_rcpt *rcpt;
	char *base; /* the writable bytes all slices point into */
	const char *why;
};

enum { INTERVAL_DIGITS = 9 }; /* of HOLDFOR and BY: RFC 4865 3, RFC 2852 4 */

struct param {
	struct smtp_slice keyword;
	bool has_value;
	int (*set)(struct target *t, struct smtp_slice value);
};

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	/* RFC 3461 4: upper case only. */
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
smtp_xtext_decode(struct smtp_slice in, char *buf, size_t buf_max)
{
	size_t out = 0;

	for (size_t i = 0; i < in.len; i++) {
		int c = (unsigned char)in.ptr[i];

		if (c == '=' || c <= ' ')
			return SMTP_ESYNTAX;
		if (c == '+') {
			if (in.len - i < 3 || hex_value(in.ptr[i + 1]) < 0 || hex_value(in.ptr[i + 2]) < 0)
				return SMTP_ESYNTAX;
			c = hex_value(in.ptr[i + 1]) << 4 | hex_value(in.ptr[i + 2]);
			i += 2;
		}
		if (c < ' ' || c >= 127)
			return SMTP_ESYNTAX;
		if (out == buf_max || out == INT_MAX)
			return SMTP_ENOSPACE;
		buf[out++] = (char)c;
	}
	return (int)out;
}

int
smtp_xtext_encode(struct smtp_slice in, char *buf, size_t buf_max)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t out = 0;

	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.ptr[i];
		bool is_plain = c > ' ' && c < 127 && c != '+' && c != '=';

		if (buf_max - out < (is_plain ? 1u : 3u) || out > INT_MAX - 3)
			return SMTP_ENOSPACE;
		if (!is_plain) {
			buf[out++] = '+';
			buf[out++] = hex[c >> 4];
			c = (unsigned char)hex[c & 15];
		}
		buf[out++] = (char)c;
	}
	return (int)out;
}

/* Decodes where it stands. */
static int
decode(struct target *t, struct smtp_slice value, size_t max, struct smtp_slice *out_text)
{
	char *at = t->base + (value.ptr - t->base);
	int len = smtp_xtext_decode(value, at, value.len);

	if (len < 0)
		return len;
	if ((size_t)len > max)
		return SMTP_ETOOLONG;
	*out_text = (struct smtp_slice){at, (size_t)len};
	return SMTP_OK;
}

static int
read_number(struct smtp_slice value, uint64_t *out)
{
	uint64_t number = 0;

	for (size_t i = 0; i < value.len; i++) {
		unsigned digit = (unsigned)(unsigned char)value.ptr[i] - '0';

		if (digit > 9)
			return SMTP_ESYNTAX;
		if (number > (UINT64_MAX - digit) / 10)
			return SMTP_ETOOLONG;
		number = number * 10 + digit;
	}
	*out = number;
	return SMTP_OK;
}

static int
set_size(struct target *t, struct smtp_slice value)
{
	return read_number(value, &t->mail->size);
}

static int
refuse(struct target *t, const char *why)
{
	t->why = why;
	return SMTP_ESYNTAX;
}

/* RFC 4865 4.2, 9: one of the two, once. */
static int
set_hold(struct target *t)
{
	if (t->mail->has_hold)
		return refuse(t, "HOLDFOR or HOLDUNTIL, not both");
	t->mail->has_hold = true;
	return SMTP_OK;
}

static int
set_holdfor(struct target *t, struct smtp_slice value)
{
	uint64_t seconds;

	if (value.len > INTERVAL_DIGITS || value.ptr[0] == '0' || read_number(value, &seconds) < 0)
		return refuse(t, "HOLDFOR is a number of seconds, from 1 to 999999999");
	t->mail->hold_for_s = (uint32_t)seconds;
	return set_hold(t);
}

static int
set_holduntil(struct target *t, struct smtp_slice value)
{
	if (smtp_date_parse_stamp(value, &t->mail->hold_until) < 0)
		return refuse(t, "HOLDUNTIL is a date and time with its zone, such as 2026-12-24T08:00:00Z");
	return set_hold(t);
}

/* RFC 2852 4: by-time ";" by-mode ["T"]. The time is no longer than that of the clause, and above zero with
 * R. */
static int
set_by(struct target *t, struct smtp_slice value)
{
	static const char form[] = "BY is seconds;R (return it then) or seconds;N (notify then): 3600;R";
	const char *semicolon = memchr(value.ptr, ';', value.len);
	struct smtp_slice time = {value.ptr, semicolon != NULL ? (size_t)(semicolon - value.ptr) : 0}, mode;
	bool is_negative = time.len > 0 && time.ptr[0] == '-';
	uint64_t seconds;

	if (semicolon == NULL)
		return refuse(t, form);
	mode = (struct smtp_slice){semicolon + 1, value.len - time.len - 1};
	if (time.len > 0 && (is_negative || time.ptr[0] == '+'))
		time = (struct smtp_slice){time.ptr + 1, time.len - 1};
	if (time.len == 0 || time.len > INTERVAL_DIGITS || read_number(time, &seconds) < 0)
		return refuse(t, form);
	t->mail->by_s = is_negative ? -(int32_t)seconds : (int32_t)seconds;
	if (mode.len == 2 && (mode.ptr[1] | 0x20) == 't') {
		t->mail->by_trace = true;
		mode.len = 1;
	}
	if (smtp_slice_is_nocase(mode, SMTP_LIT("N")))
		t->mail->by = SMTP_BY_NOTIFY;
	else if (smtp_slice_is_nocase(mode, SMTP_LIT("R")))
		t->mail->by = SMTP_BY_RETURN;
	else
		return refuse(t, form);
	if (t->mail->by == SMTP_BY_RETURN && t->mail->by_s <= 0)
		return refuse(t, "BY with R needs a time above zero");
	return SMTP_OK;
}

int
smtp_params_priority(struct smtp_slice value, int *out_priority)
{
	bool is_negative = value.len > 0 && value.ptr[0] == '-';
	uint64_t number;

	if (is_negative)
		value = (struct smtp_slice){value.ptr + 1, value.len - 1};
	if (value.len != 1 || read_number(value, &number) < 0 || (is_negative && number == 0))
		return SMTP_ESYNTAX;
	*out_priority = is_negative ? -(int)number : (int)number;
	return SMTP_OK;
}

static int
set_priority(struct target *t, struct smtp_slice value)
{
	if (smtp_params_priority(value, &t->mail->priority) < 0)
		return refuse(t, "MT-PRIORITY is a whole number from -9 to 9");
	t->mail->has_priority = true;
	return SMTP_OK;
}

static int
set_body(struct target *t, struct smtp_slice value)
{
	t->mail->is_8bit = smtp_slice_is_nocase(value, SMTP_LIT("8BITMIME"));
	return t->mail->is_8bit || smtp_slice_is_nocase(value, SMTP_LIT("7BIT")) ? SMTP_OK
										 : SMTP_PARAMS_UNKNOWN;
}

static int
set_smtputf8(struct target *t, struct smtp_slice value)
{
	t->mail->is_utf8 = true;
	return SMTP_OK;
}

static int
set_ret(struct target *t, struct smtp_slice value)
{
	if (smtp_slice_is_nocase(value, SMTP_LIT("FULL")))
		t->mail->ret = SMTP_RET_FULL;
	else if (smtp_slice_is_nocase(value, SMTP_LIT("HDRS")))
		t->mail->ret = SMTP_RET_HDRS;
	else
		return SMTP_ESYNTAX;
	return SMTP_OK;
}

static int
set_envid(struct target *t, struct smtp_slice value)
{
	return decode(t, value, SMTP_ENVID_MAX, &t->mail->envid);
}

static int
set_auth(struct target *t, struct smtp_slice value)
{
	struct smtp_addr addr;
	int err;

	/* "<>" holds no character xtext would encode, so it reads the same before and after. */
	if (smtp_slice_is(value, SMTP_LIT("<>"))) {
		t->mail->auth = (struct smtp_slice){value.ptr, 0};
		return SMTP_OK;
	}
	if ((err = decode(t, value, SMTP_ADDRESS_MAX, &t->mail->auth)) < 0)
		return err;
	return smtp_addr_parse(t->mail->auth, &addr);
}

static int
set_notify(struct target *t, struct smtp_slice value)
{
	static const struct {
		struct smtp_slice word;
		unsigned bit;
	} words[] = {
		{SMTP_LIT("SUCCESS"), SMTP_NOTIFY_SUCCESS},
		{SMTP_LIT("FAILURE"), SMTP_NOTIFY_FAILURE},
		{SMTP_LIT("DELAY"), SMTP_NOTIFY_DELAY},
		{SMTP_LIT("NEVER"), SMTP_NOTIFY_NEVER},
	};
	unsigned notify = 0;

	for (;;) {
		const char *comma = memchr(value.ptr, ',', value.len);
		struct smtp_slice word = {value.ptr, comma != NULL ? (size_t)(comma - value.ptr) : value.len};
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (smtp_slice_is_nocase(word, words[i].word))
				bit = words[i].bit;
		if (bit == 0 || (notify & bit) != 0)
			return SMTP_ESYNTAX;
		notify |= bit;
		if (comma == NULL)
			break;
		value = (struct smtp_slice){comma + 1, value.len - word.len - 1};
	}
	/* RFC 3461 4.1: NEVER stands alone. */
	if ((notify & SMTP_NOTIFY_NEVER) != 0 && notify != SMTP_NOTIFY_NEVER)
		return SMTP_ESYNTAX;
	t->rcpt->notify = notify;
	return SMTP_OK;
}

static int
set_orcpt(struct target *t, struct smtp_slice value)
{
	const char *semicolon = memchr(value.ptr, ';', value.len);
	size_t type_len = semicolon != NULL ? (size_t)(semicolon - value.ptr) : 0;

	/* "type;address", both there, the type a plain atom: "rfc822", "utf-8", "x400". */
	if (type_len == 0 || type_len + 1 == value.len)
		return SMTP_ESYNTAX;
	for (size_t i = 0; i < type_len; i++) {
		unsigned char c = (unsigned char)(value.ptr[i] | 0x20);

		if (!(c >= 'a' && c <= 'z') && !(value.ptr[i] >= '0' && value.ptr[i] <= '9') &&
			value.ptr[i] != '-')
			return SMTP_ESYNTAX;
	}
	return decode(t, value, SMTP_ORCPT_MAX, &t->rcpt->orcpt);
}

static const struct param mail_params[] = {
	{SMTP_LIT("SIZE"), true, set_size},
	{SMTP_LIT("BODY"), true, set_body},
	{SMTP_LIT("RET"), true, set_ret},
	{SMTP_LIT("ENVID"), true, set_envid},
	{SMTP_LIT("AUTH"), true, set_auth},
	{SMTP_LIT("HOLDFOR"), true, set_holdfor},
	{SMTP_LIT("HOLDUNTIL"), true, set_holduntil},
	{SMTP_LIT("BY"), true, set_by},
	{SMTP_LIT("MT-PRIORITY"), true, set_priority},
	{SMTP_LIT("SMTPUTF8"), false, set_smtputf8},
};

static const struct param rcpt_params[] = {
	{SMTP_LIT("NOTIFY"), true, set_notify},
	{SMTP_LIT("ORCPT"), true, set_orcpt},
};

/* One "KEYWORD" or "KEYWORD=value". *seen has a bit for each row met before. */
static int
parse_one(struct target *t, struct smtp_slice word, const struct param *params, size_t count, unsigned *seen)
{
	const char *equals = memchr(word.ptr, '=', word.len);
	struct smtp_slice keyword = {word.ptr, equals != NULL ? (size_t)(equals - word.ptr) : word.len};
	struct smtp_slice value = {word.ptr + keyword.len, 0};

	if (equals != NULL)
		value = (struct smtp_slice){equals + 1, word.len - keyword.len - 1};
	for (size_t i = 0; i < count; i++) {
		if (!smtp_slice_is_nocase(keyword, params[i].keyword))
			continue;
		if ((*seen & 1u << i) != 0 || params[i].has_value != (equals != NULL))
			return SMTP_ESYNTAX;
		if (params[i].has_value && value.len == 0)
			return SMTP_ESYNTAX;
		*seen |= 1u << i;
		return params[i].set(t, value);
	}
	return SMTP_PARAMS_UNKNOWN;
}

static int
parse_all(struct target *t, size_t text_len, const struct param *params, size_t count)
{
	struct smtp_slice in = {t->base, text_len};
	unsigned seen = 0;

	assert(count <= sizeof(seen) * CHAR_BIT);
	while (in.len > 0) {
		struct smtp_slice word = smtp_cmd_word(&in);
		int got;

		/* Only blanks in front give an empty word. */
		if (word.len == 0)
			continue;
		if ((got = parse_one(t, word, params, count, &seen)) != SMTP_OK)
			return got;
	}
	return SMTP_OK;
}

int
smtp_params_mail(char *text, size_t text_len, struct smtp_server_mail *mail, const char **out_why)
{
	struct smtp_server_mail result = {.sender = mail->sender};
	struct target t = {.mail = &result, .base = text, .why = "bad parameter value"};
	int got = parse_all(&t, text_len, mail_params, sizeof(mail_params) / sizeof(mail_params[0]));

	if (got == SMTP_OK)
		*mail = result;
	else
		*out_why = t.why;
	return got;
}

int
smtp_params_rcpt(char *text, size_t text_len, struct smtp_server_rcpt *rcpt)
{
	struct smtp_server_rcpt result = {.address = rcpt->address};
	struct target t = {.rcpt = &result, .base = text};
	int got = parse_all(&t, text_len, rcpt_params, sizeof(rcpt_params) / sizeof(rcpt_params[0]));

	if (got == SMTP_OK)
		*rcpt = result;
	return got;
}
