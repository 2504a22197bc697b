/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile record is the normal case here: every loop ends with the text, every copy has a bound, and
 * nothing is expanded that has not been checked. RFC 7208 4.6: a mistake anywhere spoils the record, so the
 * terms are read to the end once before the first is used.
 */
#include "intake/spf_record.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define EXPANSION_MAX 1024 /* before it is cut; a name is 253 at most */
#define NAME_BYTES    253
#define PARTS_MAX     512 /* of one value; an address has 320 bytes */

/* What may follow the name of a term. */
enum shape { SHAPE_BARE, SHAPE_DOMAIN, SHAPE_ADDRESS, SHAPE_MACRO };

static const struct {
	struct smtp_slice name;
	enum spf_kind kind;
	enum shape shape;
	char sign; /* between name and domain */
	bool needs_domain, takes_bits;
} kinds[] = {
	{SMTP_LIT("all"), SPF_ALL, SHAPE_BARE, ':', false, false},
	{SMTP_LIT("include"), SPF_INCLUDE, SHAPE_DOMAIN, ':', true, false},
	{SMTP_LIT("a"), SPF_A, SHAPE_DOMAIN, ':', false, true},
	{SMTP_LIT("mx"), SPF_MX, SHAPE_DOMAIN, ':', false, true},
	{SMTP_LIT("ptr"), SPF_PTR, SHAPE_DOMAIN, ':', false, false},
	{SMTP_LIT("ip4"), SPF_IP4, SHAPE_ADDRESS, ':', true, true},
	{SMTP_LIT("ip6"), SPF_IP6, SHAPE_ADDRESS, ':', true, true},
	{SMTP_LIT("exists"), SPF_EXISTS, SHAPE_DOMAIN, ':', true, false},
	{SMTP_LIT("redirect"), SPF_REDIRECT, SHAPE_DOMAIN, '=', true, false},
	{SMTP_LIT("exp"), SPF_EXP, SHAPE_DOMAIN, '=', true, false},
};
enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_in(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static struct smtp_slice
rest(struct smtp_slice s, size_t from)
{
	return (struct smtp_slice){s.ptr + from, s.len - from};
}

/* --- macros --- */

struct macro {
	char letter;   /* as written: upper case asks for URL escapes; else '%', ' ' or '-' */
	uint32_t keep; /* parts from the right; 0: all */
	bool is_reversed;
	struct smtp_slice delimiters;
};

/* "%..." at the start of `in`. Its length, or -1. */
static int
read_macro(struct smtp_slice in, struct macro *out)
{
	size_t at = 3, from;

	*out = (struct macro){0};
	if (in.len >= 2 && is_in(in.ptr[1], "%_-")) {
		out->letter = in.ptr[1];
		return 2;
	}
	if (in.len < 4 || in.ptr[1] != '{' || !is_alpha(in.ptr[2]))
		return -1;
	out->letter = in.ptr[2];
	for (from = at; at < in.len && is_digit(in.ptr[at]); at++)
		out->keep = out->keep < 1000 ? out->keep * 10 + (uint32_t)(in.ptr[at] - '0') : 1000;
	if (at > from && out->keep == 0)
		return -1;
	if (at < in.len && (in.ptr[at] == 'r' || in.ptr[at] == 'R')) {
		out->is_reversed = true;
		at++;
	}
	for (from = at; at < in.len && is_in(in.ptr[at], ".-+,/_="); at++)
		;
	out->delimiters = at > from ? (struct smtp_slice){in.ptr + from, at - from} : SMTP_LIT(".");
	return at < in.len && in.ptr[at] == '}' ? (int)at + 1 : -1;
}

/* RFC 7208 7.1, macro-string. *out_is_end: the last thing in it is a macro. */
static bool
check_macros(struct smtp_slice text, const char *letters, bool *out_is_end)
{
	*out_is_end = false;
	for (size_t i = 0; i < text.len;) {
		struct macro macro;
		int len = 1;

		if (text.ptr[i] < 0x21 || text.ptr[i] > 0x7e)
			return false;
		*out_is_end = text.ptr[i] == '%';
		if (*out_is_end) {
			len = read_macro(rest(text, i), &macro);
			if (len < 0 || (len > 2 && !is_in((char)(macro.letter | 0x20), letters)))
				return false;
		}
		i += (size_t)len;
	}
	return true;
}

/* RFC 7208 7.1, toplabel: not all digits, no hyphen at either end. */
static bool
is_top_label(struct smtp_slice label)
{
	bool has_letter = false;

	for (size_t i = 0; i < label.len; i++) {
		char c = label.ptr[i];

		if (!is_alpha(c) && !is_digit(c) && c != '-')
			return false;
		has_letter |= !is_digit(c);
	}
	return has_letter && label.ptr[0] != '-' && label.ptr[label.len - 1] != '-';
}

static bool
check_domain(struct smtp_slice text)
{
	size_t at;
	bool is_end;

	if (!check_macros(text, "slodiphv", &is_end))
		return false;
	if (is_end)
		return true;
	if (text.len > 0 && text.ptr[text.len - 1] == '.')
		text.len--;
	for (at = text.len; at > 0 && text.ptr[at - 1] != '.'; at--)
		;
	return at > 0 && is_top_label(rest(text, at));
}

bool
spf_macro_has(struct smtp_slice text, char letter)
{
	for (size_t i = 0; i + 2 < text.len; i++)
		if (text.ptr[i] == '%' && text.ptr[i + 1] == '{' && (text.ptr[i + 2] | 0x20) == letter)
			return true;
	return false;
}

struct expansion {
	char text[EXPANSION_MAX];
	size_t len;
	bool is_full;
};

static void
put(struct expansion *e, struct smtp_slice s)
{
	e->is_full |= s.len > sizeof(e->text) - e->len;
	if (e->is_full || s.len == 0)
		return;
	memcpy(e->text + e->len, s.ptr, s.len);
	e->len += s.len;
}

/* RFC 7208 7.3: upper case macros, everything but RFC 3986's unreserved characters. */
static void
put_escaped(struct expansion *e, struct smtp_slice s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (is_alpha((char)c) || is_digit((char)c) || is_in((char)c, "-._~"))
			put(e, (struct smtp_slice){s.ptr + i, 1});
		else
			put(e, (struct smtp_slice){(const char[]){'%', hex[c >> 4], hex[c & 15]}, 3});
	}
}

static struct smtp_slice
value_of(const struct spf_values *v, char letter)
{
	switch (letter | 0x20) {
	case 's':
		return v->sender;
	case 'l':
		return v->local;
	case 'o':
		return v->sender_domain;
	case 'd':
		return v->domain;
	case 'i':
		return (struct smtp_slice){v->address, strnlen(v->address, sizeof(v->address))};
	case 'p':
		return v->client_name;
	case 'h':
		return v->helo;
	default:
		return v->is_v6 ? SMTP_LIT("ip6") : SMTP_LIT("in-addr");
	}
}

static size_t
split(struct smtp_slice value, struct smtp_slice delimiters, struct smtp_slice parts[PARTS_MAX])
{
	size_t count = 0, from = 0;

	for (size_t i = 0; i <= value.len && count < PARTS_MAX; i++) {
		if (i < value.len && memchr(delimiters.ptr, value.ptr[i], delimiters.len) == NULL)
			continue;
		parts[count++] = (struct smtp_slice){value.ptr + from, i - from};
		from = i + 1;
	}
	return count;
}

static void
put_macro(struct expansion *e, const struct macro *m, const struct spf_values *v)
{
	struct smtp_slice parts[PARTS_MAX];
	size_t count = split(value_of(v, m->letter), m->delimiters, parts);
	size_t first = m->keep > 0 && m->keep < count ? count - m->keep : 0;

	for (size_t i = first; i < count; i++) {
		struct smtp_slice part = parts[m->is_reversed ? count - 1 - i : i];

		if (i > first)
			put(e, SMTP_LIT("."));
		if (m->letter >= 'A' && m->letter <= 'Z')
			put_escaped(e, part);
		else
			put(e, part);
	}
}

int
spf_macro_expand(struct smtp_slice text, const struct spf_values *v, char out[DOMAIN_MAX])
{
	struct expansion e = {.len = 0};
	size_t from = 0;

	for (size_t i = 0; i < text.len;) {
		struct macro macro;
		int len = 1;

		if (text.ptr[i] != '%') {
			put(&e, (struct smtp_slice){text.ptr + i, 1});
		} else {
			len = read_macro(rest(text, i), &macro);
			assert(len > 0); /* spf_term_next has seen it */
			if (len > 2)
				put_macro(&e, &macro, v);
			else if (macro.letter == '-')
				put(&e, SMTP_LIT("%20"));
			else
				put(&e, macro.letter == '_' ? SMTP_LIT(" ") : SMTP_LIT("%"));
		}
		i += (size_t)len;
	}
	if (e.is_full)
		return -1;
	e.len -= e.len > 0 && e.text[e.len - 1] == '.';
	/* RFC 7208 7.3: whole labels go, from the left. */
	while (e.len - from > NAME_BYTES) {
		const char *dot = memchr(e.text + from, '.', e.len - from);

		if (dot == NULL)
			return -1;
		from = (size_t)(dot - e.text) + 1;
	}
	memcpy(out, e.text + from, e.len - from);
	out[e.len - from] = '\0';
	return (int)(e.len - from);
}

/* --- terms --- */

bool
spf_record_is(struct smtp_slice text, struct smtp_slice *out_terms)
{
	static const struct smtp_slice version = SMTP_LIT("v=spf1");

	if (text.len < version.len ||
		!smtp_slice_is_nocase((struct smtp_slice){text.ptr, version.len}, version))
		return false;
	if (text.len > version.len && text.ptr[version.len] != ' ')
		return false;
	*out_terms = rest(text, version.len);
	return true;
}

/* A number at the end of *s behind `mark`, cut off. 1: one; 0: none; -1: not from 0 to max, or with zeros in
 * front. */
static int
cut_bits(struct smtp_slice *s, struct smtp_slice mark, unsigned max, uint8_t *out)
{
	size_t at = s->len;
	unsigned value = 0;

	while (at > 0 && is_digit(s->ptr[at - 1]))
		at--;
	if (at == s->len || at < mark.len ||
		!smtp_slice_is((struct smtp_slice){s->ptr + at - mark.len, mark.len}, mark))
		return 0;
	if (s->len - at > 3 || (s->ptr[at] == '0' && s->len - at > 1))
		return -1;
	for (size_t i = at; i < s->len; i++)
		value = value * 10 + (unsigned)(s->ptr[i] - '0');
	if (value > max)
		return -1;
	*out = (uint8_t)value;
	s->len = at - mark.len;
	return 1;
}

/* "/24//64" of a and mx. */
static bool
cut_both_bits(struct smtp_slice *s, struct spf_term *out)
{
	return cut_bits(s, SMTP_LIT("//"), 128, &out->v6_bits) >= 0 &&
	       cut_bits(s, SMTP_LIT("/"), 32, &out->v4_bits) >= 0;
}

static bool
read_address(struct smtp_slice s, struct spf_term *out)
{
	bool is_v6 = out->kind == SPF_IP6;
	char text[INET6_ADDRSTRLEN];

	if (cut_bits(&s, SMTP_LIT("/"), is_v6 ? 128 : 32, is_v6 ? &out->v6_bits : &out->v4_bits) < 0)
		return false;
	if (s.len >= sizeof(text) || memchr(s.ptr, '\0', s.len) != NULL)
		return false;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	return inet_pton(is_v6 ? AF_INET6 : AF_INET, text, is_v6 ? (void *)&out->v6 : &out->v4) == 1;
}

/* What follows the name of a known term. */
static bool
read_rest(size_t kind, struct smtp_slice s, struct spf_term *out)
{
	out->kind = kinds[kind].kind;
	if (kinds[kind].takes_bits && kinds[kind].shape == SHAPE_DOMAIN && !cut_both_bits(&s, out))
		return false;
	if (s.len == 0)
		return !kinds[kind].needs_domain;
	if (kinds[kind].shape == SHAPE_BARE || s.ptr[0] != kinds[kind].sign)
		return false;
	s = rest(s, 1);
	if (kinds[kind].shape == SHAPE_ADDRESS)
		return read_address(s, out);
	out->domain = s;
	return check_domain(s);
}

static bool
read_term(struct smtp_slice s, struct spf_term *out)
{
	bool has_qualifier = is_in(s.ptr[0], "+-?~");
	struct smtp_slice name;
	bool is_end;

	if (has_qualifier) {
		out->qualifier = s.ptr[0];
		s = rest(s, 1);
	}
	name = (struct smtp_slice){s.ptr, 0};
	while (name.len < s.len &&
		(is_alpha(s.ptr[name.len]) ||
			(name.len > 0 && (is_digit(s.ptr[name.len]) || is_in(s.ptr[name.len], "-_.")))))
		name.len++;
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (smtp_slice_is_nocase(name, kinds[i].name))
			return (!has_qualifier || kinds[i].sign == ':') &&
			       read_rest(i, rest(s, name.len), out);
	out->kind = SPF_OTHER;
	return !has_qualifier && name.len > 0 && name.len < s.len && s.ptr[name.len] == '=' &&
	       check_macros(rest(s, name.len + 1), "slodiphvcrt", &is_end);
}

int
spf_term_next(struct smtp_slice *in, struct spf_term *out)
{
	struct smtp_slice term;

	while (in->len > 0 && in->ptr[0] == ' ')
		*in = rest(*in, 1);
	if (in->len == 0)
		return 0;
	term = (struct smtp_slice){in->ptr, 0};
	while (term.len < in->len && in->ptr[term.len] != ' ')
		term.len++;
	*in = rest(*in, term.len);
	*out = (struct spf_term){.qualifier = '+', .v4_bits = 32, .v6_bits = 128};
	return read_term(term, out) ? 1 : -1;
}
