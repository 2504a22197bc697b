/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_DKIM_H
#define MTAD_INTAKE_DKIM_H
/*
 * dkim - private keys, and the DKIM-Signature fields made with them
 *
 * Keys are parsed once, at start and reload, and each must make a signature that libopendkim (the
 * verifier of another project) accepts. `*.example.com` signs for every subdomain of example.com, with
 * d=example.com; so the one record is at SELECTOR._domainkey.example.com, as for the key of example.com
 * itself. The most specific domain wins; all keys of that domain sign.
 *
 * The function that signs is dkim_keys_sign, because libopendkim exports a dkim_sign of its own.
 *
 * Owner    conf's holder: keys live as long as the configuration they come from. Conf is copied.
 * Memory   about 10 KB a key; a key file named by many domains is loaded once.
 * Thread   load and destroy: one; keys are read-only in between: any number sign with them at once.
 * Fails    with words in `why` where there is one; dkim_keys_sign with enum smtp_err.
 * Spec     RFC 6376, RFC 8301 (sha256, RSA of 1024 bits or more), RFC 8463 (Ed25519).
 */
#include "smtp_types.h"

enum {
	DKIM_KEYS_PER_DOMAIN_MAX = 4,
	DKIM_RSA_BITS_MIN = 1024,
	DKIM_RSA_BITS_MAX = 4096,
	DKIM_RECORD_MAX = 1024,  /* room for any record, with its NUL */
	DKIM_SIGNED_MAX = 16384, /* room for the fields of any dkim_keys_sign */
};

struct dkim_key_conf {
	const char *domain;   /* "example.com", or "*.example.com" for its subdomains */
	const char *selector; /* "s2026" */
	const char *key_path; /* PEM, PKCS#8 or PKCS#1, RSA or Ed25519, not readable by others */
};

struct dkim_keys;

/* 0, or -1 and `why` names the file and what is wrong with it. No keys at all is fine. */
SMTP_MUST_USE int dkim_keys_load(
	const struct dkim_key_conf *confs, size_t n, char *why, size_t why_max, struct dkim_keys **out_keys);
void dkim_keys_destroy(struct dkim_keys **kp);

struct dkim_message {
	const struct smtp_slice *pieces; /* header and body; each piece ends at the end of a field or line */
	size_t piece_count;
	struct smtp_slice from_domain; /* smtp_header_domain() of the From field; any case, A-labels */
	int64_t now_seconds;           /* t= */
};

/*
 * Writes "DKIM-Signature: ...CRLF", one for each key that matches, in the order of the configuration;
 * they belong above the header. Returns the bytes written, 0 when no key matches. SMTP_ESYNTAX: the header
 * cannot be scanned or has no From; SMTP_ETOOLONG; SMTP_ENOSPACE; SMTP_ENOMEM.
 */
SMTP_MUST_USE int dkim_keys_sign(
	const struct dkim_keys *keys, const struct dkim_message *m, char *buf, size_t buf_max);

/* --- for mtactl --- */

/*
 * Writes a new key to key->key_path, mode 0600, never over an existing file. `algorithm` is rsa2048,
 * rsa4096 or ed25519. `record` gets the text for DNS, with a NUL. 0, or -1 and why.
 */
SMTP_MUST_USE int dkim_keygen(const struct dkim_key_conf *key, const char *algorithm,
	char record[DKIM_RECORD_MAX], char *why, size_t why_max);
/* "v=DKIM1; k=rsa; p=..." of a private key, with a NUL. 0, or -1 and why. */
SMTP_MUST_USE int dkim_public_record(
	const char *key_path, char record[DKIM_RECORD_MAX], char *why, size_t why_max);
/* The name the record has in DNS, without a dot at the end: "s2026._domainkey.example.com", with a NUL. */
SMTP_MUST_USE int dkim_record_name(const struct dkim_key_conf *key, char *buf, size_t max);
/* The record as a line of a zone file, cut into strings of 255 bytes, with NUL and line end. */
SMTP_MUST_USE int dkim_record_zone(
	const struct dkim_key_conf *key, const char *record, char *buf, size_t max);
/*
 * Would receivers that read this text from DNS (its strings joined) accept our signatures? 0: yes, `why`
 * may hold a remark; 1: no, and why; -1: the key cannot be read, and why.
 */
SMTP_MUST_USE int dkim_record_compare(
	const char *txt_from_dns, const char *key_path, char *why, size_t why_max);
#endif
