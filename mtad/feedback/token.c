/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 25 bytes are 200 bits are 40 letters exactly: no letter has bits to spare, so a token has one spelling but
 * for its case. The MAC is compared in constant time, and before anything in the token is believed.
 */
#include "feedback/token.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

enum { CLAIM = 1 + TOKEN_KEY, MAC = 11, BYTES = CLAIM + MAC, SECRET_MAX = 4096 };
_Static_assert(BYTES * 8 == TOKEN_TEXT * 5, "no bits are left over");

static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char label[] = "mtad token 1"; /* what else may be signed with the secret is no token */

const char *
token_kind_text(enum token_kind kind)
{
	static const char *const names[TOKEN_KIND_COUNT] = {"", "return-path", "unsubscribe", "complaint"};

	return names[kind];
}

const char *
token_verdict_text(enum token_verdict verdict)
{
	static const char *const names[TOKEN_VERDICT_COUNT] = {"good", "none", "forged", "expired"};

	return names[verdict];
}

struct token
token_of(enum token_kind kind, const struct queue_message *m, uint16_t n)
{
	assert(m->nonce != 0);
	return (struct token){kind, m->arrived_us, m->nonce, n};
}

static uint8_t *
put_number(uint8_t *to, uint64_t number, int bytes)
{
	for (int i = bytes; i-- > 0; number >>= 8)
		to[i] = (uint8_t)number;
	return to + bytes;
}

static uint64_t
get_number(const uint8_t *from, int bytes)
{
	uint64_t number = 0;

	for (int i = 0; i < bytes; i++)
		number = number << 8 | from[i];
	return number;
}

/* By time, then by message: the table of issued tokens is appended to. */
struct queue_blob
token_key(const struct token *t, char buf[TOKEN_KEY])
{
	uint8_t *to = (uint8_t *)buf;

	to = put_number(to, (uint64_t)t->arrived_us, 7);
	to = put_number(to, t->nonce, 4);
	to = put_number(to, t->n, 2);
	assert(to == (uint8_t *)buf + TOKEN_KEY);
	return (struct queue_blob){buf, TOKEN_KEY};
}

static void
get_key(const uint8_t *from, struct token *out)
{
	out->arrived_us = (int64_t)get_number(from, 7);
	out->nonce = (uint32_t)get_number(from + 7, 4);
	out->n = (uint16_t)get_number(from + 11, 2);
}

bool
token_of_key(struct queue_blob key, struct token *out)
{
	if (key.len != TOKEN_KEY)
		return false;
	get_key(key.ptr, out);
	return true;
}

struct queue_blob
token_key_expired(const struct conf *c, int64_t now_us, char buf[TOKEN_KEY])
{
	const struct token first = {.arrived_us = now_us > c->token_expire ? now_us - c->token_expire : 0};

	return token_key(&first, buf);
}

static void
sign(const char *secret, const uint8_t claim[CLAIM], uint8_t mac[MAC])
{
	uint8_t text[sizeof(label) + CLAIM], whole[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	memcpy(text, label, sizeof(label));
	memcpy(text + sizeof(label), claim, CLAIM);
	if (HMAC(EVP_sha256(), secret, (int)strnlen(secret, SECRET_MAX), text, sizeof(text), whole, &len) ==
		NULL)
		memset(whole, 0,
			sizeof(whole)); /* no memory: one that nobody takes, token_read() sees to it */
	memcpy(mac, whole, MAC);
}

void
token_write(const struct conf *c, const struct token *t, char buf[TOKEN_TEXT])
{
	uint8_t bytes[BYTES];
	size_t i;

	assert(c->token_secrets[0][0] != '\0');
	bytes[0] = (uint8_t)t->kind;
	(void)token_key(t, (char *)bytes + 1);
	sign(c->token_secrets[0], bytes, bytes + CLAIM);
	for (i = 0; i < TOKEN_TEXT; i++) {
		size_t bit = i * 5;
		unsigned two =
			(unsigned)bytes[bit / 8] << 8 | (bit / 8 + 1 < BYTES ? bytes[bit / 8 + 1] : 0u);

		buf[i] = letters[two >> (11 - bit % 8) & 31];
	}
}

/* 0 to 31; -1: no letter of a token. */
static int
value_of(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

static bool
decode(struct smtp_slice text, uint8_t bytes[BYTES])
{
	size_t i;
	int v;

	if (text.len != TOKEN_TEXT)
		return false;
	memset(bytes, 0, BYTES);
	for (i = 0; i < TOKEN_TEXT; i++) {
		size_t bit = i * 5;
		unsigned two;

		if ((v = value_of(text.ptr[i])) < 0)
			return false;
		two = (unsigned)v << (11 - bit % 8);
		bytes[bit / 8] |= (uint8_t)(two >> 8);
		if (bit / 8 + 1 < BYTES)
			bytes[bit / 8 + 1] |= (uint8_t)two;
	}
	return true;
}

static bool
is_signed(const struct conf *c, const uint8_t bytes[BYTES])
{
	static const uint8_t nothing[MAC];
	uint8_t mac[MAC];

	for (size_t i = 0; i < sizeof(c->token_secrets) / sizeof(c->token_secrets[0]); i++) {
		if (c->token_secrets[i][0] == '\0')
			continue;
		sign(c->token_secrets[i], bytes, mac);
		if (CRYPTO_memcmp(mac, bytes + CLAIM, MAC) == 0 && CRYPTO_memcmp(mac, nothing, MAC) != 0)
			return true;
	}
	return false;
}

enum token_verdict
token_read(const struct conf *c, struct smtp_slice text, int64_t now_us, struct token *out)
{
	uint8_t bytes[BYTES];
	struct token t;

	if (!decode(text, bytes))
		return TOKEN_NONE;
	if (!is_signed(c, bytes) || bytes[0] == 0 || bytes[0] >= TOKEN_KIND_COUNT)
		return TOKEN_FORGED;
	t.kind = (enum token_kind)bytes[0];
	get_key(bytes + 1, &t);
	*out = t;
	return now_us - t.arrived_us >= c->token_expire ? TOKEN_EXPIRED : TOKEN_GOOD;
}

int
token_return_path(const struct conf *c, const struct token *t, char buf[SMTP_ADDRESS_MAX + 1])
{
	char text[TOKEN_TEXT];

	token_write(c, t, text);
	return snprintf(
		buf, SMTP_ADDRESS_MAX + 1, "bounce+%.*s@%s", (int)TOKEN_TEXT, text, c->return_path_domain);
}

static bool
may_stand_between(struct smtp_slice text, size_t from, size_t to)
{
	return (from == 0 || memchr("+/=", text.ptr[from - 1], 3) != NULL) &&
	       (to == text.len || memchr("@?&#/>", text.ptr[to], 6) != NULL);
}

enum token_verdict
token_find(const struct conf *c, struct smtp_slice text, int64_t now_us, struct token *out)
{
	enum token_verdict verdict = TOKEN_NONE, last;
	size_t i;

	for (i = 0; i + TOKEN_TEXT <= text.len; i++) {
		if (!may_stand_between(text, i, i + TOKEN_TEXT))
			continue;
		last = token_read(c, (struct smtp_slice){text.ptr + i, TOKEN_TEXT}, now_us, out);
		if (last != TOKEN_NONE)
			verdict = last;
	}
	return verdict;
}
