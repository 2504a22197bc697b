/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: sessions are kept under the name they were made for, used once, and the oldest go; keys others can
 * read and keys that do not fit are refused in words.
 */
#include "base/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cert_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct fixture {
	char dir[64], cert[96], key[96], other_key[96];
	SSL_CTX *server, *client;
};

static int
group_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	char why[200];

	snprintf(f->dir, sizeof(f->dir), "/tmp/mtad-tls-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->cert, sizeof(f->cert), "%s/cert.pem", f->dir);
	snprintf(f->key, sizeof(f->key), "%s/key.pem", f->dir);
	snprintf(f->other_key, sizeof(f->other_key), "%s/other.pem", f->dir);
	write_key(f->key, key);
	write_key(f->other_key, other);
	write_cert(f->cert, key);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	assert_non_null(f->server = tls_server_create(f->cert, f->key, why, sizeof(why)));
	assert_non_null(f->client = tls_client_create(NULL, why, sizeof(why)));
	*state = f;
	return 0;
}

static int
group_teardown(void **state)
{
	struct fixture *f = *state;

	SSL_CTX_free(f->server);
	SSL_CTX_free(f->client);
	unlink(f->cert);
	unlink(f->key);
	unlink(f->other_key);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* One conversation without a network: handshake, a byte from the server (behind its tickets), both close.
 * Returns whether the session was resumed; takes resume. */
static bool
converse(struct fixture *f, struct tls_cache *cache, const char *name, SSL_SESSION *take_resume, int version)
{
	SSL *client = SSL_new(f->client), *server = SSL_new(f->server);
	struct tls_slot slot = {cache, name};
	BIO *a, *b;
	bool resumed;
	char byte;
	int i;

	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(client, a, a);
	SSL_set_bio(server, b, b);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	SSL_set_max_proto_version(client, version);
	tls_cache_watch(client, &slot);
	if (take_resume != NULL)
		assert_int_equal(SSL_set_session(client, take_resume), 1);
	SSL_SESSION_free(take_resume);
	for (i = 0; i < 20 && (!SSL_is_init_finished(client) || !SSL_is_init_finished(server)); i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	assert_true(SSL_is_init_finished(client) && SSL_is_init_finished(server));
	assert_int_equal(SSL_write(server, "x", 1), 1);
	assert_int_equal(SSL_read(client, &byte, 1), 1);
	resumed = SSL_session_reused(client);
	SSL_shutdown(client);
	SSL_shutdown(server);
	SSL_free(client);
	SSL_free(server);
	return resumed;
}

static void
test_resumes_under_its_name_once(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		struct tls_cache *c = tls_cache_create(10);
		SSL_SESSION *session;

		assert_non_null(c);
		assert_null(tls_cache_take(c, "may mx.test"));
		assert_false(converse(f, c, "may mx.test", NULL, versions[i]));
		assert_null(tls_cache_take(c, "verify mx.test")); /* another policy */
		assert_null(tls_cache_take(c, "may mx.tes"));
		assert_non_null(session = tls_cache_take(c, "may mx.test"));
		assert_null(tls_cache_take(c, "may mx.test")); /* for one use */
		assert_true(converse(f, c, "may mx.test", session, versions[i]));
		tls_cache_destroy(&c);
		assert_null(c);
		tls_cache_destroy(&c);
	}
}

static void
test_oldest_go(void **state)
{
	struct fixture *f = *state;
	struct tls_cache *c = tls_cache_create(3);
	SSL_SESSION *session;
	char name[20];

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "may mx%d", i);
		assert_false(converse(f, c, name, NULL, TLS1_2_VERSION));
	}
	assert_null(tls_cache_take(c, "may mx0"));
	assert_null(tls_cache_take(c, "may mx1"));
	assert_non_null(session = tls_cache_take(c, "may mx3")); /* from the middle of the list */
	SSL_SESSION_free(session);
	assert_false(converse(f, c, "may mx5", NULL, TLS1_2_VERSION));
	assert_non_null(session = tls_cache_take(c, "may mx2"));
	SSL_SESSION_free(session);
	assert_non_null(session = tls_cache_take(c, "may mx5"));
	SSL_SESSION_free(session);
	tls_cache_destroy(&c);
}

/* Names longer than any host are not kept, no neighbour is found in their place, and none has to go for them.
 */
static void
test_long_names(void **state)
{
	struct fixture *f = *state;
	struct tls_cache *c = tls_cache_create(1);
	SSL_SESSION *session;
	char name[400];

	assert_false(converse(f, c, "may mx.test", NULL, TLS1_2_VERSION));

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_false(converse(f, c, name, NULL, TLS1_3_VERSION));
	assert_null(tls_cache_take(c, name));
	assert_non_null(session = tls_cache_take(c, "may mx.test"));
	SSL_SESSION_free(session);
	tls_cache_destroy(&c);
}

/* A connection nobody watches: its sessions go nowhere. */
static void
test_not_watched(void **state)
{
	struct fixture *f = *state;
	SSL *ssl = SSL_new(f->client);

	assert_null(SSL_get_app_data(ssl));
	SSL_free(ssl);
}

static void
test_refused_files(void **state)
{
	struct fixture *f = *state;
	char why[300];

	assert_null(tls_server_create(f->cert, f->other_key, why, sizeof(why)));
	assert_true(why[0] != '\0');
	assert_null(tls_server_create(f->cert, "/nonexistent/key", why, sizeof(why)));
	assert_non_null(strstr(why, "No such file"));
	assert_null(tls_server_create("/nonexistent/cert", f->key, why, sizeof(why)));
	assert_non_null(strstr(why, "/nonexistent/cert"));
	assert_null(tls_server_create(f->key, f->key, why, sizeof(why))); /* no certificate in it */
	assert_int_equal(chmod(f->key, 0640), 0);
	assert_null(tls_server_create(f->cert, f->key, why, sizeof(why)));
	assert_non_null(strstr(why, "mode 640"));
	assert_int_equal(chmod(f->key, 0600), 0);
	assert_null(tls_client_create("/nonexistent/ca", why, sizeof(why)));
	assert_non_null(strstr(why, "/nonexistent/ca"));
}

/* Of a chain the first end counts: without an authority in it the certificate proves nothing. */
static void
test_server_ends(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *authority = EVP_EC_gen("P-256");
	int64_t now = time(NULL);
	SSL_CTX *ctx;
	char why[300];

	assert_in_range(tls_server_ends(f->server), now + 864000 - 60, now + 864000);
	add_cert(f->cert, authority, 86400);
	add_cert(f->cert, authority, 1728000);
	assert_non_null(ctx = tls_server_create(f->cert, f->key, why, sizeof(why)));
	assert_in_range(tls_server_ends(ctx), now + 86400 - 60, now + 86400 + 60);
	SSL_CTX_free(ctx);
	EVP_PKEY_free(authority);
}

static void
test_least_version(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(SSL_CTX_get_min_proto_version(f->server), TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_get_min_proto_version(f->client), TLS1_2_VERSION);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resumes_under_its_name_once),
		cmocka_unit_test(test_oldest_go),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_not_watched),
		cmocka_unit_test(test_refused_files),
		cmocka_unit_test(test_server_ends),
		cmocka_unit_test(test_least_version),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
