/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses, keys and values as the spool has them. Total functions: addresses come from clients, peers and
 * files.
 */
#include "base/domain.h"
#include "feedback/suppress_impl.h"
#include "smtp_addr.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { HASH_DIGITS = 2 * SUPPRESS_HASH_BYTES, NUMBER_BYTES = 8 };

static const char *const reasons[SUPPRESS_REASONS] = {
	[SUPPRESS_NONE] = "",
	[SUPPRESS_HARD_BOUNCE] = "hard-bounce",
	[SUPPRESS_SOFT_BOUNCES] = "soft-bounces",
	[SUPPRESS_COMPLAINT] = "complaint",
	[SUPPRESS_UNSUBSCRIBE] = "unsubscribe",
	[SUPPRESS_MANUAL] = "manual",
	[SUPPRESS_IMPORT] = "import",
	[SUPPRESS_ALLOW] = "allow",
	[SUPPRESS_DAMAGED] = "damaged",
};

const char *
suppress_reason_name(enum suppress_reason r)
{
	assert(r < SUPPRESS_REASONS);
	return reasons[r];
}

enum suppress_reason
suppress_reason_find(const char *name)
{
	for (int r = SUPPRESS_NONE + 1; r < SUPPRESS_DAMAGED; r++)
		if (strcmp(reasons[r], name) == 0)
			return (enum suppress_reason)r;
	return SUPPRESS_NONE;
}

/* --- addresses --- */

/* RFC 5322 3.2.3: what stands without quotes; the dots between are the caller's matter. */
static bool
is_atext(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (unsigned char)c > 127 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* "a.b" is a.b (RFC 5321 4.1.2): quotes that hold nothing that needs them are left out. */
static struct smtp_slice
without_quotes(struct smtp_slice local)
{
	struct smtp_slice inner = {local.ptr + 1, local.len - 2};
	char before = '.';

	if (local.len < 3 || local.ptr[0] != '"')
		return local;
	for (size_t i = 0; i < inner.len; i++) {
		if (!is_atext(inner.ptr[i]) && (inner.ptr[i] != '.' || before == '.'))
			return local;
		before = inner.ptr[i];
	}
	return before == '.' ? local : inner;
}

int
suppress_canonical(struct queue_blob text, char out[SUPPRESS_ADDRESS_MAX])
{
	struct smtp_slice local = {"", 0}, domain;
	struct smtp_addr addr;
	char name[DOMAIN_MAX];
	int n;

	if (text.len < 2 || text.len >= SUPPRESS_ADDRESS_MAX)
		return -1;
	domain = (struct smtp_slice){(const char *)text.ptr + 1, text.len - 1};
	if (*(const char *)text.ptr != '@') {
		if (smtp_addr_parse((struct smtp_slice){text.ptr, text.len}, &addr) != SMTP_OK)
			return -1;
		local = without_quotes(addr.local);
		domain = addr.domain;
	}
	if ((n = domain_normalise(domain.ptr, domain.len, name, sizeof(name))) <= 0 ||
		local.len + 1 + (size_t)n >= SUPPRESS_ADDRESS_MAX)
		return -1;
	for (size_t i = 0; i < local.len; i++)
		out[i] = (char)(local.ptr[i] >= 'A' && local.ptr[i] <= 'Z' ? local.ptr[i] | 0x20
									   : local.ptr[i]);
	out[local.len] = '@';
	memcpy(out + local.len + 1, name, (size_t)n + 1);
	return (int)local.len + 1 + n;
}

/* --- scopes --- */

bool
suppress_scope_parse(const char *text, char out[SUPPRESS_SCOPE_MAX])
{
	static const char user[] = "user ", stream[] = "stream ";
	bool is_stream = strncmp(text, stream, sizeof(stream) - 1) == 0;
	const char *name = text + (is_stream ? sizeof(stream) : sizeof(user)) - 1, *slash;

	if (strcmp(text, "global") == 0) {
		out[0] = '\0';
		return true;
	}
	if (!is_stream && strncmp(text, user, sizeof(user) - 1) != 0)
		return false;
	for (const char *c = name; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			return false;
	slash = strchr(name, '/');
	if (name[0] == '\0' || (slash != NULL) != is_stream || (slash != NULL && slash[1] == '\0'))
		return false;
	return snprintf(out, SUPPRESS_SCOPE_MAX, "%s", name) < SUPPRESS_SCOPE_MAX;
}

void
suppress_scope_write(char *buf, size_t max, struct queue_blob scope)
{
	bool is_stream = scope.len > 0 && memchr(scope.ptr, '/', scope.len) != NULL;

	snprintf(buf, max, "%s%.*s",
		scope.len == 0 ? "global"
		: is_stream    ? "stream "
			       : "user ",
		(int)scope.len, (const char *)scope.ptr);
}

/* --- keys --- */

bool
suppress_is_hashed(const struct suppress *s)
{
	return atomic_load_explicit(&s->is_hashed, memory_order_relaxed);
}

/* Half of the digest is cut off, so nobody can go on from it (length extension), and the secret in front
 * serves as a key at half the price of HMAC. */
static bool
hash(const struct suppress *s, EVP_MD_CTX *md, const char *address, size_t len, char out[SUPPRESS_HASH_BYTES])
{
	EVP_MD_CTX *own = md == NULL ? EVP_MD_CTX_new() : NULL, *ctx = md == NULL ? own : md;
	uint8_t digest[EVP_MAX_MD_SIZE];
	bool ok;

	assert(len < SUPPRESS_ADDRESS_MAX);
	ok = ctx != NULL && EVP_DigestInit_ex2(ctx, s->sha256, NULL) == 1 &&
	     EVP_DigestUpdate(ctx, s->secret, SECRET_BYTES) == 1 &&
	     EVP_DigestUpdate(ctx, address, len) == 1 && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
	if (ok)
		memcpy(out, digest, SUPPRESS_HASH_BYTES);
	EVP_MD_CTX_free(own);
	return ok;
}

bool
suppress_prefix(const struct suppress *s, EVP_MD_CTX *md, bool is_hashed, const char *address, size_t len,
	struct suppress_key *out)
{
	out->bytes[0] = is_hashed ? FORM_HASHED : FORM_PLAIN;
	if (is_hashed) {
		out->len = 1 + SUPPRESS_HASH_BYTES;
		return hash(s, md, address, len, out->bytes + 1);
	}
	out->len = 1 + len + 1;
	memcpy(out->bytes + 1, address, len);
	out->bytes[1 + len] = '\0';
	return true;
}

bool
suppress_key_scope(struct suppress_key *key, struct queue_blob scope)
{
	if (scope.len > sizeof(key->bytes) - key->len)
		return false;
	if (scope.len > 0)
		memcpy(key->bytes + key->len, scope.ptr, scope.len);
	key->len += scope.len;
	return true;
}

size_t
suppress_prefix_len(struct queue_blob key)
{
	const char *bytes = key.ptr, *end;

	if (key.len > SUPPRESS_HASH_BYTES && bytes[0] == FORM_HASHED)
		return 1 + SUPPRESS_HASH_BYTES;
	if (key.len < 3 || bytes[0] != FORM_PLAIN || (end = memchr(bytes, '\0', key.len)) == NULL ||
		end - bytes > SUPPRESS_ADDRESS_MAX)
		return 0;
	return (size_t)(end - bytes) + 1;
}

static int
digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
read_hash(struct queue_blob text, char out[SUPPRESS_HASH_BYTES])
{
	const char *p = text.ptr;

	if (text.len != HASH_DIGITS)
		return false;
	for (size_t i = 0; i < SUPPRESS_HASH_BYTES; i++) {
		if (digit(p[2 * i]) < 0 || digit(p[2 * i + 1]) < 0)
			return false;
		out[i] = (char)(digit(p[2 * i]) << 4 | digit(p[2 * i + 1]));
	}
	return true;
}

bool
suppress_is_hash(struct queue_blob text)
{
	char bytes[SUPPRESS_HASH_BYTES];

	return read_hash(text, bytes);
}

bool
suppress_key_make(const struct suppress *s, bool is_hashed, struct queue_blob address,
	struct queue_blob scope, struct suppress_key *out)
{
	char canonical[SUPPRESS_ADDRESS_MAX];
	int len = suppress_canonical(address, canonical);

	if (len > 0)
		return suppress_prefix(s, NULL, is_hashed, canonical, (size_t)len, out) &&
		       suppress_key_scope(out, scope);
	out->bytes[0] = FORM_HASHED;
	out->len = 1 + SUPPRESS_HASH_BYTES;
	return read_hash(address, out->bytes + 1) && suppress_key_scope(out, scope);
}

/* --- values --- */

static void
write_number(char *p, uint64_t v)
{
	for (int i = 0; i < NUMBER_BYTES; i++)
		p[i] = (char)(v >> (8 * i));
}

static uint64_t
read_number(const char *p)
{
	uint64_t v = 0;

	for (int i = NUMBER_BYTES; i-- > 0;)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

size_t
suppress_value_write(char out[VALUE_MAX], enum suppress_reason reason, enum bounce_class bounce_class,
	int64_t added_us, struct queue_blob note)
{
	size_t len = note.len < SUPPRESS_NOTE_MAX ? note.len : SUPPRESS_NOTE_MAX;

	assert(reason > SUPPRESS_NONE && reason < SUPPRESS_DAMAGED);
	out[0] = (char)reason;
	out[1] = (char)bounce_class;
	write_number(out + 2, (uint64_t)added_us);
	if (len > 0)
		memcpy(out + VALUE_HEAD, note.ptr, len);
	return VALUE_HEAD + len;
}

void
suppress_value_read(struct queue_blob bytes, struct suppress_value *out)
{
	const char *p = bytes.ptr;

	*out = (struct suppress_value){.reason = SUPPRESS_DAMAGED, .note = {"", 0}};
	if (p == NULL || bytes.len < VALUE_HEAD || p[0] <= SUPPRESS_NONE || p[0] >= SUPPRESS_DAMAGED)
		return;
	out->reason = (enum suppress_reason)p[0];
	if ((unsigned char)p[1] < BOUNCE_CLASS_COUNT)
		out->bounce_class = (enum bounce_class)p[1];
	out->added_us = (int64_t)read_number(p + 2);
	out->note = (struct queue_blob){p + VALUE_HEAD, bytes.len - VALUE_HEAD};
}

bool
suppress_view(struct queue_blob key, const struct queue_suppress_entry *e, struct suppress_view *out)
{
	size_t prefix = suppress_prefix_len(key);
	const char *bytes = key.ptr;
	struct suppress_value v;

	if (prefix == 0)
		return false;
	*out = (struct suppress_view){.is_hash = bytes[0] == FORM_HASHED,
		.scope = {bytes + prefix, key.len - prefix},
		.expires_us = e->expires_us};
	if (out->is_hash)
		for (size_t i = 0; i < SUPPRESS_HASH_BYTES; i++)
			snprintf(out->address + 2 * i, 3, "%02x", (unsigned char)bytes[1 + i]);
	else
		snprintf(out->address, sizeof(out->address), "%.*s", (int)(prefix - 2), bytes + 1);
	suppress_value_read(e->value, &v);
	out->reason = v.reason;
	out->bounce_class = v.bounce_class;
	out->added_us = v.added_us;
	snprintf(out->note, sizeof(out->note), "%.*s", (int)v.note.len, (const char *)v.note.ptr);
	return true;
}
