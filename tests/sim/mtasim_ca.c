/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates are made at start and live in memory; ECDSA P-256, because a thousand RSA keys would take
 * minutes. Only the CA's certificate is written, for the daemon's tls-ca-file; the keys never touch the disk.
 *
 * Invariant: every certificate is well-formed. A bad one is bad in exactly the one way the script says, so
 * that a test knows which check refused it.
 */
#include "mtasim_ca.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { DAY_S = 86400, NAMES_MAX = 65536 };

struct ca {
	EVP_PKEY *key, *leaf_key;
	X509 *cert;
	long serial;
};

struct cert_plan {
	const char *common_name;
	const char *alt_names; /* "DNS:a,DNS:b"; NULL: a CA */
	long from_s, until_s;
	EVP_PKEY *key;
	bool is_self_signed;
};

static bool
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;
	bool done;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	if ((extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value)) == NULL)
		return false;
	done = X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return done;
}

static bool
fill(X509 *cert, X509 *issuer, const struct cert_plan *plan, long serial)
{
	X509_NAME *name = X509_get_subject_name(cert);

	if (X509_set_version(cert, 2) != 1 || ASN1_INTEGER_set(X509_get_serialNumber(cert), serial) != 1 ||
		X509_gmtime_adj(X509_getm_notBefore(cert), plan->from_s) == NULL ||
		X509_gmtime_adj(X509_getm_notAfter(cert), plan->until_s) == NULL ||
		X509_NAME_add_entry_by_txt(
			name, "CN", MBSTRING_ASC, (const unsigned char *)plan->common_name, -1, -1, 0) != 1 ||
		X509_set_issuer_name(cert, X509_get_subject_name(issuer)) != 1 ||
		X509_set_pubkey(cert, plan->key) != 1 ||
		!add_extension(cert, issuer, NID_subject_key_identifier, "hash"))
		return false;
	if (plan->alt_names == NULL)
		return add_extension(cert, issuer, NID_basic_constraints, "critical,CA:TRUE") &&
		       add_extension(cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
	return add_extension(cert, issuer, NID_basic_constraints, "CA:FALSE") &&
	       add_extension(cert, issuer, NID_ext_key_usage, "serverAuth") &&
	       add_extension(cert, issuer, NID_subject_alt_name, plan->alt_names);
}

static X509 *
make_cert(struct ca *c, const struct cert_plan *plan)
{
	X509 *cert = X509_new();
	bool own = plan->is_self_signed;

	if (cert == NULL)
		return NULL;
	if (!fill(cert, own ? cert : c->cert, plan, ++c->serial) ||
		X509_sign(cert, own ? plan->key : c->key, EVP_sha256()) == 0) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

static bool
write_pem(const X509 *cert, const char *dir)
{
	char path[4096];
	FILE *file;
	bool done;

	if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
		fprintf(stderr, "mtasim: %s: %s\n", dir, strerror(errno));
		return false;
	}
	snprintf(path, sizeof(path), "%s/ca.pem", dir);
	if ((file = fopen(path, "w")) == NULL) {
		fprintf(stderr, "mtasim: %s: %s\n", path, strerror(errno));
		return false;
	}
	done = PEM_write_X509(file, cert) == 1;
	return fclose(file) == 0 && done;
}

static void
complain(const char *what)
{
	fprintf(stderr, "mtasim: %s: %s\n", what, ERR_reason_error_string(ERR_peek_error()));
	ERR_clear_error();
}

struct ca *
ca_create(const char *dir)
{
	struct ca *c = calloc(1, sizeof(*c));
	struct cert_plan plan = {.common_name = "mtasim CA",
		.from_s = -DAY_S,
		.until_s = 365L * DAY_S,
		.is_self_signed = true};

	if (c == NULL)
		return NULL;
	/* Another number at each start: a client that remembers last run's certificate must not find it
	 * again. */
	c->serial = (long)(time(NULL) & 0x7FFFFFFF);
	c->key = EVP_EC_gen("P-256");
	c->leaf_key = EVP_EC_gen("P-256");
	if (c->key != NULL && c->leaf_key != NULL) {
		plan.key = c->key;
		c->cert = make_cert(c, &plan);
	}
	if (c->cert == NULL)
		complain("the CA cannot be made");
	if (c->cert == NULL || (dir != NULL && !write_pem(c->cert, dir)))
		ca_destroy(&c);
	return c;
}

void
ca_destroy(struct ca **cp)
{
	struct ca *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	EVP_PKEY_free(c->key);
	EVP_PKEY_free(c->leaf_key);
	X509_free(c->cert);
	free(c);
}

static void
write_names(const struct sim_site *site, char *buf, size_t max)
{
	size_t used;
	uint32_t i;

	used = (size_t)snprintf(buf, max, "DNS:%s", site->hostname);
	for (i = 0; i < site->host_count && used < max; i++) {
		if (strcmp(site->hosts[i].name, site->hostname) != 0)
			used += (size_t)snprintf(buf + used, max - used, ",DNS:%s", site->hosts[i].name);
	}
}

static X509 *
site_cert(struct ca *c, const struct sim_site *site)
{
	struct cert_plan plan = {.common_name = site->name,
		.from_s = -30L * DAY_S,
		.until_s = 90L * DAY_S,
		.key = c->leaf_key};
	char *names = malloc(NAMES_MAX);
	X509 *cert;

	if (names == NULL)
		return NULL;
	write_names(site, names, NAMES_MAX);
	plan.alt_names = names;
	if (site->tls == SIM_TLS_EXPIRED)
		plan.until_s = -DAY_S;
	if (site->tls == SIM_TLS_WRONG_NAME)
		plan.alt_names = "DNS:wrong-name.invalid";
	plan.is_self_signed = site->tls == SIM_TLS_SELF_SIGNED;
	cert = make_cert(c, &plan);
	free(names);
	return cert;
}

SSL_CTX *
ca_context(struct ca *c, const struct sim_site *site)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	X509 *cert = NULL;
	bool done;

	assert(site->tls != SIM_TLS_NONE && site->tls != SIM_TLS_BROKEN);
	done = ctx != NULL && (cert = site_cert(c, site)) != NULL &&
	       SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, c->leaf_key) == 1 &&
	       SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, site->tls_12_only ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"mtasim", 6) == 1;
	X509_free(cert);
	if (done)
		return ctx;
	complain(site->name);
	SSL_CTX_free(ctx);
	return NULL;
}
