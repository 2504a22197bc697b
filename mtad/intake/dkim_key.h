/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_DKIM_KEY_H
#define MTAD_INTAKE_DKIM_KEY_H
/*
 * dkim_key - one private key: its file, its DNS record, a signature; private to the dkim files
 *
 * Owner    the caller. Memory: OpenSSL's.
 * Thread   dkim_key_sign with one key from many threads is fine; the rest is start-up and mtactl.
 * Fails    read: NULL and words; judge and record: false; sign: enum smtp_err.
 * Spec     RFC 6376 3.3 and 3.6.1, RFC 8463 3.
 */
#include "intake/dkim.h"

#include <openssl/evp.h>

enum { DKIM_DIGEST_BYTES = 32, DKIM_SIGNATURE_MAX = DKIM_RSA_BITS_MAX / 8 };

/* Are domain and selector what DNS can hold? Else false, and why. */
SMTP_MUST_USE bool dkim_key_names_ok(const struct dkim_key_conf *key, char *why, size_t why_max);
/* Refuses a file others can read, a key that is encrypted, of another kind, too short or too long. */
EVP_PKEY *dkim_key_read(const char *path, char *why, size_t why_max);
bool dkim_key_is_rsa(const EVP_PKEY *key);
/* The text for DNS, with a NUL. */
SMTP_MUST_USE bool dkim_key_record(EVP_PKEY *key, char record[DKIM_RECORD_MAX]);
/* Signs a SHA-256 digest. Returns the signature's bytes. */
SMTP_MUST_USE int dkim_key_sign(EVP_PKEY *key, const unsigned char digest[DKIM_DIGEST_BYTES],
	unsigned char signature[DKIM_SIGNATURE_MAX]);
/* Does libopendkim, told that `record` is in DNS, accept the signature of this message? Else false, and why.
 */
SMTP_MUST_USE bool dkim_key_judge(struct smtp_slice message, const char *record, char *why, size_t why_max);
#endif
