/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_TLS_H
#define MTAD_BASE_TLS_H
/*
 * tls - OpenSSL contexts and the memory of outbound sessions to resume
 *
 * Contexts are made at start and reload, shared read-only by all threads and counted by OpenSSL. A session
 * cache belongs to one io thread. TLS 1.2 is the least version, no renegotiation, no compression, no 0-RTT.
 */
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A context for outbound connections; with ca_file the peer's chain and name are verified. NULL and words on
 * failure. */
SSL_CTX *tls_client_create(const char *ca_file, char *why, size_t why_max);
/* For a listener. Refuses a key file others can read, a key that does not fit. */
SSL_CTX *tls_server_create(const char *cert_file, const char *key_file, char *why, size_t why_max);
/* When the first certificate of its chain ends, in seconds since 1970. */
int64_t tls_server_ends(SSL_CTX *ctx);

struct tls_cache;
/* Sessions by name (host and policy), at most `max`; the oldest go. NULL: no memory. */
struct tls_cache *tls_cache_create(size_t max);
void tls_cache_destroy(struct tls_cache **cp);
/* Takes it out (TLS 1.3 tickets are for one use); SSL_SESSION_free after use. NULL: none. */
SSL_SESSION *tls_cache_take(struct tls_cache *c, const char *name);
/* From now on sessions that come on `ssl` are put under `name` (borrowed for the life of ssl). */
struct tls_slot {
	struct tls_cache *cache;
	const char *name;
};
void tls_cache_watch(SSL *ssl, struct tls_slot *slot);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384" for logs and Received fields. */
int tls_describe(SSL *ssl, char *buf, size_t buf_max);
#endif
