/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions are cached by us and not by OpenSSL: its internal cache is keyed by session id, which helps
 * servers only, and a session made under one policy must never serve another (it would skip the certificate
 * check), so the policy is part of the name.
 */
#include "base/tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { NAME_MAX_BYTES = 300, BUCKETS = 1024 };

struct entry {
	struct entry *next;          /* in its bucket */
	struct entry *older, *newer; /* by age */
	SSL_SESSION *session;
	uint32_t hash;
	char name[];
};

struct tls_cache {
	struct entry *buckets[BUCKETS];
	struct entry *oldest, *newest;
	size_t count, max;
};

static void
explain(char *why, size_t why_max, const char *what, const char *file)
{
	unsigned long code = ERR_peek_last_error();
	const char *words = code != 0 ? ERR_reason_error_string(code) : NULL;

	snprintf(why, why_max, "%s%s%s: %s", what, file != NULL ? " " : "", file != NULL ? file : "",
		words != NULL ? words : "unknown TLS library failure");
	ERR_clear_error();
}

static int on_new_session(SSL *ssl, SSL_SESSION *session);

static SSL_CTX *
context(const SSL_METHOD *method, char *why, size_t why_max)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL) {
		explain(why, why_max, "TLS context", NULL);
		return NULL;
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_verify_depth(ctx, 10);
	return ctx;
}

SSL_CTX *
tls_client_create(const char *ca_file, char *why, size_t why_max)
{
	SSL_CTX *ctx = context(TLS_client_method(), why, why_max);

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	if (ca_file == NULL)
		return ctx;
	if (SSL_CTX_load_verify_file(ctx, ca_file) != 1) {
		explain(why, why_max, "certification authorities", ca_file);
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return ctx;
}

SSL_CTX *
tls_server_create(const char *cert_file, const char *key_file, char *why, size_t why_max)
{
	static const unsigned char id[] = "mtad";
	struct stat st;
	SSL_CTX *ctx;

	if (stat(key_file, &st) != 0) {
		snprintf(why, why_max, "key %s: %s", key_file, strerror(errno));
		return NULL;
	}
	if ((st.st_mode & 077) != 0) {
		snprintf(why, why_max, "key %s can be read by others (mode %03o): chmod 600 it", key_file,
			(unsigned)(st.st_mode & 0777));
		return NULL;
	}
	if ((ctx = context(TLS_server_method(), why, why_max)) == NULL)
		return NULL;
	/* Ticket keys are the context's own, so a ticket of one listener means nothing to another. */
	SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
	if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
		explain(why, why_max, "certificate", cert_file);
	else if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
		explain(why, why_max, "key", key_file);
	else if (SSL_CTX_check_private_key(ctx) != 1)
		explain(why, why_max, "certificate and key do not belong together:", cert_file);
	else
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static int64_t
ends(const X509 *certificate)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1 ? timegm(&tm) : INT64_MAX;
}

int64_t
tls_server_ends(SSL_CTX *ctx)
{
	int64_t first = ends(SSL_CTX_get0_certificate(ctx)), next;
	STACK_OF(X509) *chain = NULL;
	int i;

	SSL_CTX_get0_chain_certs(ctx, &chain);
	for (i = 0; i < sk_X509_num(chain); i++)
		if ((next = ends(sk_X509_value(chain, i))) < first)
			first = next;
	return first;
}

static uint32_t
hash_name(const char *name, size_t len)
{
	uint32_t h = 2166136261u;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	return h;
}

static void
unlink_age(struct tls_cache *c, struct entry *e)
{
	*(e->older != NULL ? &e->older->newer : &c->oldest) = e->newer;
	*(e->newer != NULL ? &e->newer->older : &c->newest) = e->older;
}

/* Out of both lists; the entry is the caller's. */
static void
unlink_entry(struct tls_cache *c, struct entry *e)
{
	struct entry **p = &c->buckets[e->hash % BUCKETS];

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	unlink_age(c, e);
	c->count--;
}

struct tls_cache *
tls_cache_create(size_t max)
{
	struct tls_cache *c = calloc(1, sizeof(*c));

	if (c != NULL)
		c->max = max;
	return c;
}

void
tls_cache_destroy(struct tls_cache **cp)
{
	struct tls_cache *c = *cp;
	struct entry *e, *newer;

	*cp = NULL;
	if (c == NULL)
		return;
	for (e = c->oldest; e != NULL; e = newer) {
		newer = e->newer;
		SSL_SESSION_free(e->session);
		free(e);
	}
	free(c);
}

static struct entry *
find(struct tls_cache *c, const char *name, size_t len, uint32_t hash)
{
	struct entry *e;

	for (e = c->buckets[hash % BUCKETS]; e != NULL; e = e->next)
		if (e->hash == hash && strncmp(e->name, name, len + 1) == 0)
			return e;
	return NULL;
}

SSL_SESSION *
tls_cache_take(struct tls_cache *c, const char *name)
{
	size_t len = strnlen(name, NAME_MAX_BYTES);
	struct entry *e = find(c, name, len, hash_name(name, len));
	SSL_SESSION *session;

	if (e == NULL)
		return NULL;
	session = e->session;
	unlink_entry(c, e);
	free(e);
	return session;
}

/* Keeps the newest session of a name. True: the reference is ours now. */
static bool
put(struct tls_cache *c, const char *name, SSL_SESSION *take_session)
{
	size_t len = strnlen(name, NAME_MAX_BYTES);
	uint32_t hash = hash_name(name, len);
	struct entry *e = find(c, name, len, hash), *oldest;

	if (e != NULL) {
		SSL_SESSION_free(e->session);
		e->session = take_session;
		return true;
	}
	if (len >= NAME_MAX_BYTES || (e = calloc(1, sizeof(*e) + len + 1)) == NULL)
		return false;
	if (c->count >= c->max && (oldest = c->oldest) != NULL) {
		unlink_entry(c, oldest);
		SSL_SESSION_free(oldest->session);
		free(oldest);
	}
	memcpy(e->name, name, len);
	e->hash = hash;
	e->session = take_session;
	e->next = c->buckets[hash % BUCKETS];
	c->buckets[hash % BUCKETS] = e;
	e->older = c->newest;
	*(c->newest != NULL ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
	c->count++;
	return true;
}

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_slot *slot = SSL_get_app_data(ssl);

	return slot != NULL && put(slot->cache, slot->name, session) ? 1 : 0;
}

void
tls_cache_watch(SSL *ssl, struct tls_slot *slot)
{
	SSL_set_app_data(ssl, slot);
}

int
tls_describe(SSL *ssl, char *buf, size_t buf_max)
{
	return snprintf(buf, buf_max, "%s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
}
