/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_CERT_FIXTURE_H
#define TESTS_UNIT_CERT_FIXTURE_H
/*
 * cert_fixture - a key, and certificates signed by themselves that are good today for mx.test and 192.0.2.1
 *
 * For tests that include it after cmocka's headers.
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

static inline void
write_key(const char *path, EVP_PKEY *key)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_int_equal(fchmod(fileno(out), 0600), 0);
	assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(out);
}

/* Good for so long, behind those that are in the file. */
static inline void
add_cert(const char *path, EVP_PKEY *key, long seconds)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *san;
	FILE *out = fopen(path, "a");

	assert_non_null(out);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_set_version(x, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), seconds);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"mx.test", -1, -1, 0);
	X509_set_issuer_name(x, name);
	san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:mx.test,IP:192.0.2.1");
	X509_add_ext(x, san, -1);
	X509_EXTENSION_free(san);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(out, x), 1);
	fclose(out);
	X509_free(x);
}

static inline void
write_cert(const char *path, EVP_PKEY *key)
{
	(void)remove(path);
	add_cert(path, key, 864000);
}
#endif
