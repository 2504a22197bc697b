/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address grammar. Each function below is one rule of RFC 5321 4.1.2 and eats what it matches from the
 * front of a slice, so the code reads like the grammar. Strictness is the point: an address that passes here
 * is later written into commands, headers, reports and logs, and none of those places needs to look again for
 * line ends, NUL or brackets.
 */
#include "smtp_addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum {
	LABEL_MAX = 63,
	/* RFC 5321 4.5.3.1.3: a path is 256 bytes with its brackets. */
	PATH_MAX_BARE = 254,
};

static void
skip(struct smtp_slice *in, size_t n)
{
	assert(n <= in->len);
	in->ptr += n;
	in->len -= n;
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Bytes of the UTF-8 sequence at the front (RFC 3629 4: no overlong forms, no surrogates), 0: none, or a
 * control. */
static size_t
utf8_len(struct smtp_slice in)
{
	static const struct {
		unsigned char first_low, first_high, second_low, second_high, len;
	} forms[] = {
		{0x20, 0x7e, 0x00, 0x00, 1},
		/* U+0080 to U+009F are control characters and no text. */
		{0xc2, 0xc2, 0xa0, 0xbf, 2},
		{0xc3, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	const unsigned char *p = (const unsigned char *)in.ptr;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && in.len > 0; i++) {
		if (p[0] < forms[i].first_low || p[0] > forms[i].first_high || in.len < forms[i].len)
			continue;
		if (forms[i].len > 1 && (p[1] < forms[i].second_low || p[1] > forms[i].second_high))
			continue;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

bool
smtp_utf8_is_text(struct smtp_slice text)
{
	while (text.len > 0) {
		size_t n = utf8_len(text);

		if (n == 0)
			return false;
		skip(&text, n);
	}
	return true;
}

/* atext of RFC 5321 and 6531: one character of a dot-string, in bytes; 0: none. */
static size_t
atext_len(struct smtp_slice in)
{
	static const char specials[] = "!#$%&'*+-/=?^_`{|}~";

	if (in.len == 0)
		return 0;
	if (is_alnum(in.ptr[0]) ||
		(in.ptr[0] != '\0' && memchr(specials, in.ptr[0], sizeof(specials) - 1) != NULL))
		return 1;
	return (unsigned char)in.ptr[0] > 127 ? utf8_len(in) : 0;
}

/* Dot-string = Atom *("." Atom). Stops at the first byte that does not belong to it. */
static bool
eat_dot_string(struct smtp_slice *in)
{
	for (;;) {
		size_t n = atext_len(*in);

		if (n == 0)
			return false;
		while (n > 0) {
			skip(in, n);
			n = atext_len(*in);
		}
		if (in->len == 0 || in->ptr[0] != '.')
			return true;
		skip(in, 1);
	}
}

/* Quoted-string = DQUOTE *(qtextSMTP / quoted-pairSMTP) DQUOTE. Its characters mean themselves, whatever they
 * are. */
static bool
eat_quoted_string(struct smtp_slice *in)
{
	skip(in, 1);
	while (in->len > 0 && in->ptr[0] != '"') {
		size_t n = utf8_len(*in);

		if (n == 0)
			return false;
		if (in->ptr[0] == '\\') {
			skip(in, 1);
			if (in->len == 0 || (unsigned char)in->ptr[0] > 127 || (n = utf8_len(*in)) == 0)
				return false;
		}
		skip(in, n);
	}
	if (in->len == 0)
		return false;
	skip(in, 1);
	return true;
}

static bool
has_high_byte(struct smtp_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] > 127)
			return true;
	return false;
}

/* LABEL_MAX is a limit of the DNS; a UTF-8 label shrinks on its way there, so only its ASCII form can be
 * measured. */
static bool
label_is_valid(struct smtp_slice label)
{
	if (label.len == 0 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
		return false;
	if (label.ptr[0] == '_' || label.ptr[label.len - 1] == '_')
		return false;
	if (label.len > LABEL_MAX && !has_high_byte(label))
		return false;
	while (label.len > 0) {
		char c = label.ptr[0];
		size_t n = is_alnum(c) || c == '-' || c == '_';

		if ((unsigned char)c > 127)
			n = utf8_len(label);
		if (n == 0)
			return false;
		skip(&label, n);
	}
	return true;
}

bool
smtp_domain_is_valid(struct smtp_slice domain)
{
	if (domain.len == 0 || domain.len > SMTP_DOMAIN_MAX)
		return false;
	for (;;) {
		const char *dot = memchr(domain.ptr, '.', domain.len);
		struct smtp_slice label = {domain.ptr, dot != NULL ? (size_t)(dot - domain.ptr) : domain.len};

		if (!label_is_valid(label))
			return false;
		if (dot == NULL)
			return true;
		skip(&domain, label.len + 1);
	}
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]"; other tags are registered for nothing. */
static bool
literal_is_valid(struct smtp_slice text)
{
	static const struct smtp_slice tag = SMTP_LIT("IPv6:");
	unsigned char address[16];
	char buf[INET6_ADDRSTRLEN];
	int family = AF_INET;

	assert(text.len > 0 && text.ptr[0] == '[');
	if (text.len < 3 || text.ptr[text.len - 1] != ']')
		return false;
	text = (struct smtp_slice){text.ptr + 1, text.len - 2};
	if (text.len > tag.len && smtp_slice_is_nocase((struct smtp_slice){text.ptr, tag.len}, tag)) {
		skip(&text, tag.len);
		family = AF_INET6;
	}
	if (text.len >= sizeof(buf) || memchr(text.ptr, '\0', text.len) != NULL)
		return false;
	memcpy(buf, text.ptr, text.len);
	buf[text.len] = '\0';
	return inet_pton(family, buf, address) == 1;
}

/* "@one.example,@two.example:" is dropped, as RFC 5321 appendix C advises: the mailbox behind it is what
 * counts. */
static bool
eat_source_route(struct smtp_slice *in)
{
	while (in->len > 0 && in->ptr[0] == '@') {
		size_t n = 0;

		skip(in, 1);
		while (n < in->len && in->ptr[n] != ',' && in->ptr[n] != ':')
			n++;
		if (n == in->len || !smtp_domain_is_valid((struct smtp_slice){in->ptr, n}))
			return false;
		skip(in, n);
		if (in->ptr[0] == ':') {
			skip(in, 1);
			return true;
		}
		skip(in, 1);
	}
	return false;
}

/* Bytes above 127 that are not text make every rule fail; the caller wants to know that this was the reason.
 */
static int
syntax_or_utf8(struct smtp_slice text)
{
	return has_high_byte(text) && !smtp_utf8_is_text(text) ? SMTP_EUTF8 : SMTP_ESYNTAX;
}

int
smtp_addr_parse(struct smtp_slice text, struct smtp_addr *out_addr)
{
	struct smtp_addr addr = {.whole = text};
	struct smtp_slice in = text;

	if (text.len == 0)
		return SMTP_ESYNTAX;
	if (text.ptr[0] == '@') {
		if (!eat_source_route(&in))
			return syntax_or_utf8(text);
		addr.whole = in;
	}
	if (in.len == 0 || !(in.ptr[0] == '"' ? eat_quoted_string(&in) : eat_dot_string(&in)))
		return syntax_or_utf8(text);
	addr.local = (struct smtp_slice){addr.whole.ptr, (size_t)(in.ptr - addr.whole.ptr)};
	if (in.len < 2 || in.ptr[0] != '@')
		return syntax_or_utf8(text);
	skip(&in, 1);
	addr.domain = in;
	if (addr.local.len > SMTP_LOCAL_MAX || addr.domain.len > SMTP_DOMAIN_MAX ||
		addr.whole.len > PATH_MAX_BARE)
		return SMTP_ETOOLONG;
	addr.is_literal = in.ptr[0] == '[';
	if (!(addr.is_literal ? literal_is_valid(in) : smtp_domain_is_valid(in)))
		return syntax_or_utf8(text);
	addr.is_utf8 = has_high_byte(addr.whole);
	*out_addr = addr;
	return SMTP_OK;
}
