/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA is most of what a signature costs, so nothing else may: keys are parsed at load, the message is
 * scanned and its body hashed once for all its signatures, and each signature adds the hash of one field
 * to a copy of the header's. Invariants:
 *   - keys are sorted by domain, exact before wildcard, then as configured; a lookup is a binary search
 *     for each label of the From domain;
 *   - what is hashed of the DKIM-Signature field are the very bytes that are sent;
 *   - every key in the list has made a signature that libopendkim accepted.
 */
#include "intake/dkim.h"

#include "intake/dkim_key.h"
#include "smtp_addr.h"
#include "smtp_base64.h"
#include "smtp_canon.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A key file, loaded once however many domains name it. */
struct key_file {
	const char *path; /* borrowed from the configuration, during load only */
	EVP_PKEY *key;
	bool is_checked;
};

struct dkim_key {
	char *domain; /* lower case, without "*." */
	char *selector;
	bool is_wildcard;
	size_t order; /* in the configuration */
	EVP_PKEY *key;
};

struct dkim_keys {
	struct dkim_key *items;
	size_t count;
	struct key_file *files;
	size_t file_count;
	EVP_MD *sha256; /* fetched once: OpenSSL 3 takes a lock to find it by name */
};

/* --- finding keys --- */

static int
compare_domain(const char *a, bool a_is_wildcard, const char *b, bool b_is_wildcard)
{
	int order = strcmp(a, b);

	return order != 0 ? order : (int)a_is_wildcard - (int)b_is_wildcard;
}

static int
compare_keys(const void *a, const void *b)
{
	const struct dkim_key *x = a, *y = b;
	int order = compare_domain(x->domain, x->is_wildcard, y->domain, y->is_wildcard);

	return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* The keys configured for exactly this text; *out_count of them. */
static const struct dkim_key *
find_text(const struct dkim_keys *keys, const char *domain, bool is_wildcard, size_t *out_count)
{
	size_t low = 0, high = keys->count, end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct dkim_key *k = &keys->items[middle];

		if (compare_domain(k->domain, k->is_wildcard, domain, is_wildcard) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < keys->count; end++)
		if (compare_domain(
			    keys->items[end].domain, keys->items[end].is_wildcard, domain, is_wildcard) != 0)
			break;
	*out_count = end - low;
	return keys->items + low;
}

static void
copy_lower(char *to, const char *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] + 32) : from[i];
	to[len] = '\0';
}

/* The keys of the most specific domain that covers `from_domain`. */
static const struct dkim_key *
find_keys(const struct dkim_keys *keys, struct smtp_slice from_domain, size_t *out_count)
{
	char domain[SMTP_DOMAIN_MAX + 1];
	const struct dkim_key *found;
	const char *parent = domain;

	*out_count = 0;
	if (keys->count == 0 || !smtp_domain_is_valid(from_domain))
		return NULL;
	copy_lower(domain, from_domain.ptr, from_domain.len);
	found = find_text(keys, domain, false, out_count);
	while (*out_count == 0 && (parent = strchr(parent, '.')) != NULL)
		found = find_text(keys, ++parent, true, out_count);
	return found;
}

/* --- hashing --- */

/* Canonical bytes come in small pieces, and each call of OpenSSL has its price. */
struct hash {
	EVP_MD_CTX *ctx;
	size_t len;
	bool has_failed;
	char buf[1024];
};

static void
hash_flush(struct hash *h)
{
	if (h->len > 0 && EVP_DigestUpdate(h->ctx, h->buf, h->len) != 1)
		h->has_failed = true;
	h->len = 0;
}

static void
hash_put(void *arg, struct smtp_slice in)
{
	struct hash *h = arg;

	if (in.len > sizeof(h->buf) - h->len)
		hash_flush(h);
	if (in.len > sizeof(h->buf)) {
		if (EVP_DigestUpdate(h->ctx, in.ptr, in.len) != 1)
			h->has_failed = true;
		return;
	}
	memcpy(h->buf + h->len, in.ptr, in.len);
	h->len += in.len;
}

static void
hash_begin(struct hash *h, EVP_MD_CTX *ctx, const EVP_MD *md)
{
	h->ctx = ctx;
	h->len = 0;
	h->has_failed = ctx == NULL || EVP_DigestInit_ex(ctx, md, NULL) != 1;
}

static bool
hash_end(struct hash *h, unsigned char digest[DKIM_DIGEST_BYTES])
{
	hash_flush(h);
	return !h->has_failed && EVP_DigestFinal_ex(h->ctx, digest, NULL) == 1;
}

/* --- signing --- */

/* What a client may send, and what intake puts above it. */
enum { FIELDS_MAX = SMTP_HEADER_FIELDS_MAX + 32 };

/* What the signatures of one message share. */
struct signing {
	const struct dkim_keys *keys;
	const struct dkim_message *message;
	struct smtp_field fields[FIELDS_MAX];
	struct smtp_header header;
	size_t body_piece, body_at; /* where the body begins */
	struct smtp_sign_entry entries[SMTP_SIGN_ENTRIES_MAX];
	uint32_t entry_count;
	char body_hash[SMTP_BASE64_LEN(DKIM_DIGEST_BYTES)];
	EVP_MD_CTX *header_ctx; /* has hashed the chosen fields */
	EVP_MD_CTX *work_ctx;
};

/* The header over as many pieces as it has. */
static int
scan_pieces(struct signing *s)
{
	const struct dkim_message *m = s->message;
	uint32_t count = 0;
	size_t at;

	for (size_t i = 0; i < m->piece_count; i++) {
		struct smtp_header part = {s->fields + count, FIELDS_MAX - count};
		int err = smtp_header_scan(&part, m->pieces[i], &at);

		if (err < 0)
			return err;
		count += part.count;
		s->body_piece = i;
		s->body_at = part.header_bytes;
		if (part.is_closed)
			break;
	}
	s->header.fields = s->fields;
	s->header.fields_max = s->header.count = count;
	s->entry_count = smtp_sign_choose(&s->header, s->entries);
	/* RFC 6376 5.4: From must be signed, so there must be one. */
	return s->entry_count > 0 ? SMTP_OK : SMTP_ESYNTAX;
}

static int
hash_body(struct signing *s)
{
	const struct dkim_message *m = s->message;
	unsigned char digest[DKIM_DIGEST_BYTES];
	struct smtp_canon_body canon;
	struct hash hash;
	int len;

	hash_begin(&hash, s->work_ctx, s->keys->sha256);
	if (hash.has_failed)
		return SMTP_ENOMEM;
	smtp_canon_body_init(&canon, SMTP_CANON_RELAXED, (struct smtp_canon_sink){hash_put, &hash});
	for (size_t i = s->body_piece; i < m->piece_count; i++) {
		size_t skip = i == s->body_piece ? s->body_at : 0;

		if (m->pieces[i].len > skip)
			smtp_canon_body_feed(&canon,
				(struct smtp_slice){m->pieces[i].ptr + skip, m->pieces[i].len - skip});
	}
	smtp_canon_body_end(&canon);
	if (!hash_end(&hash, digest))
		return SMTP_ENOMEM;
	len = smtp_base64_encode(
		(struct smtp_slice){(char *)digest, sizeof(digest)}, s->body_hash, sizeof(s->body_hash));
	assert(len == sizeof(s->body_hash));
	return SMTP_OK;
}

static int
hash_header(struct signing *s)
{
	struct hash hash;

	hash_begin(&hash, s->header_ctx, s->keys->sha256);
	if (hash.has_failed)
		return SMTP_ENOMEM;
	for (uint32_t i = 0; i < s->entry_count; i++)
		if (s->entries[i].field != NULL)
			smtp_canon_field(SMTP_CANON_RELAXED, s->entries[i].field,
				(struct smtp_canon_sink){hash_put, &hash});
	hash_flush(&hash);
	return hash.has_failed ? SMTP_ENOMEM : SMTP_OK;
}

/* The digest of the chosen fields and the unfinished DKIM-Signature field. */
static bool
hash_field(struct signing *s, struct smtp_slice field, unsigned char digest[DKIM_DIGEST_BYTES])
{
	struct hash hash = {.ctx = s->work_ctx};

	if (EVP_MD_CTX_copy_ex(s->work_ctx, s->header_ctx) != 1)
		return false;
	smtp_dkim_canon(SMTP_CANON_RELAXED, field, (struct smtp_canon_sink){hash_put, &hash});
	return hash_end(&hash, digest);
}

/* One field into buf; its length or enum smtp_err. */
static int
sign_with(struct signing *s, const struct dkim_key *k, char *buf, size_t max)
{
	unsigned char digest[DKIM_DIGEST_BYTES], signature[DKIM_SIGNATURE_MAX];
	char text[SMTP_BASE64_LEN(DKIM_SIGNATURE_MAX)];
	struct smtp_dkim_tags tags = {
		.algorithm = dkim_key_is_rsa(k->key) ? SMTP_LIT("rsa-sha256") : SMTP_LIT("ed25519-sha256"),
		.domain = {k->domain, strnlen(k->domain, SMTP_DOMAIN_MAX)},
		.selector = {k->selector, strnlen(k->selector, SMTP_DOMAIN_MAX)},
		.header_kind = SMTP_CANON_RELAXED,
		.body_kind = SMTP_CANON_RELAXED,
		.signed_at = s->message->now_seconds,
		.body_hash = {s->body_hash, sizeof(s->body_hash)},
		.entries = s->entries,
		.entry_count = s->entry_count,
	};
	int len = smtp_dkim_write(&tags, buf, max), signature_len, text_len;

	if (len < 0)
		return len;
	if (!hash_field(s, (struct smtp_slice){buf, (size_t)len}, digest))
		return SMTP_ENOMEM;
	if ((signature_len = dkim_key_sign(k->key, digest, signature)) < 0)
		return signature_len;
	text_len = smtp_base64_encode(
		(struct smtp_slice){(char *)signature, (size_t)signature_len}, text, sizeof(text));
	assert(text_len > 0);
	return smtp_dkim_finish(buf, (size_t)len, max, (struct smtp_slice){text, (size_t)text_len});
}

static int
sign_all(struct signing *s, const struct dkim_key *first, size_t count, char *buf, size_t max)
{
	size_t len = 0;
	int err = scan_pieces(s);

	if (err == SMTP_OK)
		err = hash_body(s);
	if (err == SMTP_OK)
		err = hash_header(s);
	for (size_t i = 0; i < count && err >= 0; i++) {
		err = sign_with(s, &first[i], buf + len, max - len);
		if (err > 0)
			len += (size_t)err;
	}
	return err < 0 ? err : (int)len;
}

int
dkim_keys_sign(const struct dkim_keys *keys, const struct dkim_message *m, char *buf, size_t buf_max)
{
	struct signing s;
	size_t count;
	const struct dkim_key *first = find_keys(keys, m->from_domain, &count);
	int result = SMTP_ENOMEM;

	if (count == 0)
		return 0;
	s.keys = keys;
	s.message = m;
	s.body_piece = s.body_at = 0;
	s.header_ctx = EVP_MD_CTX_new();
	s.work_ctx = EVP_MD_CTX_new();
	if (s.header_ctx != NULL && s.work_ctx != NULL)
		result = sign_all(&s, first, count, buf, buf_max);
	EVP_MD_CTX_free(s.header_ctx);
	EVP_MD_CTX_free(s.work_ctx);
	if (result < 0)
		ERR_clear_error();
	return result;
}

/* --- loading --- */

void
dkim_keys_destroy(struct dkim_keys **kp)
{
	struct dkim_keys *keys = *kp;

	*kp = NULL;
	if (keys == NULL)
		return;
	for (size_t i = 0; i < keys->count; i++) {
		free(keys->items[i].domain);
		free(keys->items[i].selector);
	}
	for (size_t i = 0; i < keys->file_count; i++)
		EVP_PKEY_free(keys->files[i].key);
	EVP_MD_free(keys->sha256);
	free(keys->items);
	free(keys->files);
	free(keys);
}

static bool
copy_conf(struct dkim_key *k, const struct dkim_key_conf *c, size_t order)
{
	const char *domain = c->domain;

	k->is_wildcard = domain[0] == '*';
	domain += k->is_wildcard ? 2 : 0;
	k->order = order;
	k->domain = strdup(domain);
	k->selector = strdup(c->selector);
	if (k->domain == NULL || k->selector == NULL)
		return false;
	copy_lower(k->domain, domain, strnlen(domain, SMTP_DOMAIN_MAX));
	return true;
}

static int
compare_paths(const void *a, const void *b)
{
	const struct key_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* files: one entry for each distinct path, with its key. */
static bool
load_files(struct dkim_keys *keys, const struct dkim_key_conf *confs, size_t n, char *why, size_t why_max)
{
	for (size_t i = 0; i < n; i++)
		keys->files[i].path = confs[i].key_path;
	qsort(keys->files, n, sizeof(keys->files[0]), compare_paths);
	for (size_t i = 0; i < n; i++) {
		struct key_file *f = &keys->files[keys->file_count];

		f->path = keys->files[i].path;
		if (keys->file_count > 0 && compare_paths(f - 1, f) == 0)
			continue;
		f->key = dkim_key_read(f->path, why, why_max);
		if (f->key == NULL)
			return false;
		keys->file_count++;
	}
	return true;
}

static struct key_file *
find_file(const struct dkim_keys *keys, const char *path)
{
	struct key_file wanted = {.path = path}, *found;

	found = bsearch(&wanted, keys->files, keys->file_count, sizeof(wanted), compare_paths);
	assert(found != NULL);
	return found;
}

/* In order: not too many keys for one domain, no selector twice. */
static bool
keys_are_distinct(const struct dkim_keys *keys, char *why, size_t why_max)
{
	for (size_t i = 0; i < keys->count; i++) {
		const struct dkim_key *k = &keys->items[i];
		size_t same;
		const struct dkim_key *first = find_text(keys, k->domain, k->is_wildcard, &same);

		if (same > DKIM_KEYS_PER_DOMAIN_MAX) {
			snprintf(why, why_max, "dkim %s%s: %zu keys; %d at most sign a message",
				k->is_wildcard ? "*." : "", k->domain, same, DKIM_KEYS_PER_DOMAIN_MAX);
			return false;
		}
		for (; first < k; first++)
			if (strcmp(first->selector, k->selector) == 0) {
				snprintf(why, why_max, "dkim %s%s: selector %s twice",
					k->is_wildcard ? "*." : "", k->domain, k->selector);
				return false;
			}
	}
	return true;
}

/* A probe signed by this key alone, for libopendkim to verify. */
static bool
check_key(const struct dkim_keys *keys, const struct dkim_key *k, const char *path, char *why, size_t why_max)
{
	static const struct smtp_slice probe = SMTP_LIT(
		"From: probe@example.com\r\nSubject:  key \r\n\tcheck\r\nList-Unsubscribe: "
		"<https://example.com/>"
		"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nProbe \t text. \r\n\r\n\r\n");
	struct dkim_key exact = *k;
	struct dkim_keys alone = {.items = &exact, .count = 1, .sha256 = keys->sha256};
	/* libopendkim refuses signatures of the future, and a machine whose clock begins at 1970 must start,
	 * too. Not less than the 300 s it forgives: it takes them off without a look at the sign. */
	struct dkim_message m = {&probe, 1, {k->domain, strnlen(k->domain, SMTP_DOMAIN_MAX)}, 300};
	char record[DKIM_RECORD_MAX], message[SMTP_DKIM_FIELD_MAX + 512], fault[200];
	int len;

	exact.is_wildcard = false;
	len = dkim_keys_sign(&alone, &m, message, SMTP_DKIM_FIELD_MAX);
	if (len <= 0 || !dkim_key_record(k->key, record)) {
		snprintf(why, why_max, "%s: the key makes no signature", path);
		return false;
	}
	assert(probe.len <= sizeof(message) - (size_t)len);
	memcpy(message + len, probe.ptr, probe.len);
	if (dkim_key_judge(
		    (struct smtp_slice){message, (size_t)len + probe.len}, record, fault, sizeof(fault)))
		return true;
	snprintf(why, why_max, "%s: libopendkim does not accept a signature of this key: %s", path, fault);
	return false;
}

/* Names copied, keys found and checked, in the order of the configuration. */
static bool
load_keys(struct dkim_keys *keys, const struct dkim_key_conf *confs, size_t n, char *why, size_t why_max)
{
	for (size_t i = 0; i < n; i++) {
		struct dkim_key *k = &keys->items[i];
		struct key_file *f = find_file(keys, confs[i].key_path);

		keys->count = i + 1;
		if (!copy_conf(k, &confs[i], i)) {
			snprintf(why, why_max, "out of memory");
			return false;
		}
		k->key = f->key;
		if (!f->is_checked && !check_key(keys, k, f->path, why, why_max))
			return false;
		f->is_checked = true;
	}
	return true;
}

static bool
load(struct dkim_keys *keys, const struct dkim_key_conf *confs, size_t n, char *why, size_t why_max)
{
	keys->items = calloc(n + 1, sizeof(keys->items[0]));
	keys->files = calloc(n + 1, sizeof(keys->files[0]));
	keys->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (keys->items == NULL || keys->files == NULL || keys->sha256 == NULL) {
		snprintf(why, why_max, "out of memory");
		return false;
	}
	for (size_t i = 0; i < n; i++)
		if (!dkim_key_names_ok(&confs[i], why, why_max))
			return false;
	if (!load_files(keys, confs, n, why, why_max) || !load_keys(keys, confs, n, why, why_max))
		return false;
	qsort(keys->items, n, sizeof(keys->items[0]), compare_keys);
	return keys_are_distinct(keys, why, why_max);
}

int
dkim_keys_load(
	const struct dkim_key_conf *confs, size_t n, char *why, size_t why_max, struct dkim_keys **out_keys)
{
	struct dkim_keys *keys = calloc(1, sizeof(*keys));

	if (keys == NULL) {
		snprintf(why, why_max, "out of memory");
		return -1;
	}
	if (!load(keys, confs, n, why, why_max)) {
		dkim_keys_destroy(&keys);
		return -1;
	}
	*out_keys = keys;
	return 0;
}
