/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: two of them on one loop, over socketpairs and loopback, in clear and with TLS on both sides. What one
 * sends the other must see whole and in order however it is cut, and a wire may be destroyed wherever it
 * calls back.
 */
#include "base/tls.h"
#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cert_fixture.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BIG = 700000, PATIENCE_US = 10000000 };

/* Where an end destroys its own wire. */
enum spot { NOWHERE, IN_CONNECTED, IN_TLS, IN_BYTES, IN_PULL, IN_SENT, IN_DOWN };

struct end {
	struct wire *wire;
	enum spot destroy_in;
	const char *out; /* to be sent */
	size_t out_len, out_at;
	size_t per_pull; /* most bytes a pull gives; 0: all */
	char *in;        /* what was eaten */
	size_t in_len, in_max;
	size_t eat_max;   /* most bytes eaten a call; 0: all */
	size_t shown_len; /* of the last call of on_bytes */
	bool eats_nothing, wants_resume;
	const char *tls_after; /* start TLS as a server inside on_bytes, when these bytes were shown */
	SSL_CTX *ctx;
	bool had_input; /* what wire_start_tls_server said */
	int connected, tls, downs;
	enum wire_down why;
	char detail[120];
};

static void
may_destroy(struct end *e, enum spot spot)
{
	if (e->destroy_in == spot)
		wire_destroy(&e->wire);
}

static void
on_connected(void *arg)
{
	struct end *e = arg;

	e->connected++;
	may_destroy(e, IN_CONNECTED);
}

static void
on_tls(void *arg)
{
	struct end *e = arg;

	e->tls++;
	may_destroy(e, IN_TLS);
}

static void
take(struct end *e, const char *bytes, size_t len)
{
	assert_true(e->in_len + len <= e->in_max);
	memcpy(e->in + e->in_len, bytes, len);
	e->in_len += len;
}

static size_t
on_bytes(void *arg, const char *bytes, size_t len)
{
	struct end *e = arg;
	size_t eaten = e->eats_nothing ? 0 : e->eat_max > 0 && e->eat_max < len ? e->eat_max : len;

	assert_int_equal(e->downs, 0);
	e->shown_len = len;
	take(e, bytes, eaten);
	if (e->tls_after != NULL && eaten > 0) {
		e->tls_after = NULL;
		e->had_input = wire_start_tls_server(e->wire, e->ctx);
		/* The bytes are still there: a session looks at what it left. */
		assert_true(memchr(bytes, '\0', len) == NULL);
		return eaten;
	}
	if (e->wants_resume && eaten > 0)
		wire_resume(e->wire);
	may_destroy(e, IN_BYTES);
	return eaten;
}

static int
on_pull(void *arg, struct iovec *iov, int iov_max)
{
	struct end *e = arg;
	size_t left = e->out_len - e->out_at, half;

	assert_int_equal(iov_max, WIRE_IOV_MAX);
	may_destroy(e, IN_PULL);
	if (left == 0)
		return 0;
	if (e->per_pull > 0 && left > e->per_pull)
		left = e->per_pull;
	half = left / 2;
	iov[0] = (struct iovec){(void *)(uintptr_t)(e->out + e->out_at), half};
	iov[1] = (struct iovec){(void *)(uintptr_t)(e->out + e->out_at + half), left - half};
	return 2;
}

static void
on_sent(void *arg, size_t bytes)
{
	struct end *e = arg;

	e->out_at += bytes;
	assert_true(e->out_at <= e->out_len);
	may_destroy(e, IN_SENT);
}

static void
on_down(void *arg, enum wire_down why, const char *detail)
{
	struct end *e = arg;

	e->downs++;
	e->why = why;
	snprintf(e->detail, sizeof(e->detail), "%s", detail);
	may_destroy(e, IN_DOWN);
}

static const struct wire_ops ops = {on_connected, on_tls, on_bytes, on_pull, on_sent, on_down};

/* --- one loop, two ends --- */

struct fixture {
	struct event_base *base;
	struct end a, b;
	char dir[64], cert[96], key[96];
	SSL_CTX *server, *client, *verifying;
	char *big;
};

static void
no_patience(evutil_socket_t fd, short what, void *arg)
{
	*(bool *)arg = true;
}

/* Turns the loop until *flag (an int or a size as seen by `done`) holds; false: it never did. */
static bool
turn_until(struct fixture *f, bool (*done)(const struct fixture *f))
{
	struct timeval tv = {PATIENCE_US / 1000000, 0};
	bool is_over = false;
	struct event *timer = event_new(f->base, -1, 0, no_patience, &is_over);

	event_add(timer, &tv);
	while (!done(f) && !is_over)
		event_base_loop(f->base, EVLOOP_ONCE);
	event_free(timer);
	return !is_over;
}

/* A few turns in which nothing more is expected. */
static void
turn_a_bit(struct fixture *f)
{
	for (int i = 0; i < 20; i++) {
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		usleep(500);
	}
}

static bool
b_has_all(const struct fixture *f)
{
	return f->b.in_len >= f->a.out_len;
}
static bool
a_has_all(const struct fixture *f)
{
	return f->a.in_len >= f->b.out_len;
}
static bool
a_is_down(const struct fixture *f)
{
	return f->a.downs > 0;
}
static bool
b_is_down(const struct fixture *f)
{
	return f->b.downs > 0;
}
static bool
both_tls(const struct fixture *f)
{
	return f->a.tls > 0 && f->b.tls > 0;
}
static bool
a_connected(const struct fixture *f)
{
	return f->a.connected > 0;
}
static bool
b_saw_some(const struct fixture *f)
{
	return f->b.shown_len > 0;
}
static bool
a_gone(const struct fixture *f)
{
	return f->a.wire == NULL;
}

static int
group_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char why[200];

	signal(SIGPIPE, SIG_IGN); /* as main does: OpenSSL writes without MSG_NOSIGNAL */
	snprintf(f->dir, sizeof(f->dir), "/tmp/mtad-wire-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->cert, sizeof(f->cert), "%s/cert.pem", f->dir);
	snprintf(f->key, sizeof(f->key), "%s/key.pem", f->dir);
	write_key(f->key, key);
	write_cert(f->cert, key);
	EVP_PKEY_free(key);
	assert_non_null(f->server = tls_server_create(f->cert, f->key, why, sizeof(why)));
	assert_non_null(f->client = tls_client_create(NULL, why, sizeof(why)));
	assert_non_null(f->verifying = tls_client_create(f->cert, why, sizeof(why)));
	assert_non_null(f->big = malloc(BIG));
	for (size_t i = 0; i < BIG; i++)
		f->big[i] = (char)('a' + (i * 7 + i / 251) % 26);
	*state = f;
	return 0;
}

static int
group_teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->cert);
	unlink(f->key);
	rmdir(f->dir);
	SSL_CTX_free(f->server);
	SSL_CTX_free(f->client);
	SSL_CTX_free(f->verifying);
	free(f->big);
	free(f);
	return 0;
}

static void
use(struct fixture *f, struct end *e)
{
	*e = (struct end){.in = malloc(BIG), .in_max = BIG};
	assert_non_null(e->in);
}

/* Two ends of a socketpair. */
static void
begin(struct fixture *f)
{
	int fds[2];

	assert_non_null(f->base = event_base_new());
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	use(f, &f->a);
	use(f, &f->b);
	assert_non_null(f->a.wire = wire_create(f->base, fds[0], &ops, &f->a));
	assert_non_null(f->b.wire = wire_create(f->base, fds[1], &ops, &f->b));
}

static void
begin_tls(struct fixture *f)
{
	begin(f);
	assert_false(wire_start_tls_client(f->a.wire, f->client, "mx.test", NULL));
	assert_false(wire_start_tls_server(f->b.wire, f->server));
	assert_true(turn_until(f, both_tls));
}

static void
finish(struct fixture *f)
{
	wire_destroy(&f->a.wire);
	wire_destroy(&f->b.wire);
	turn_a_bit(f);
	free(f->a.in);
	free(f->b.in);
	event_base_free(f->base);
}

static void
a_says(struct fixture *f, const char *text, size_t len)
{
	f->a.out = text;
	f->a.out_len = len;
	f->a.out_at = 0;
	wire_send(f->a.wire);
}

/* --- bytes --- */

static const struct {
	const char *name;
	size_t len, per_pull, eat_max;
	bool is_tls;
} transfers[] = {
	{"one byte", 1, 0, 0, false},
	{"a byte a pull", 3000, 1, 0, false},
	{"more than the socket takes", BIG, 0, 0, false},
	{"eaten in small bites", 100000, 0, 999, false},
	{"both", 200000, 5000, 7000, false},
	{"TLS: one byte", 1, 0, 0, true},
	{"TLS: a byte a pull", 500, 1, 0, true},
	{"TLS: more than the socket takes", BIG, 0, 0, true},
	{"TLS: eaten in small bites", 100000, 0, 999, true},
	{"TLS: a record and one byte", 16385, 0, 0, true},
};

static void
test_bytes_arrive_whole_and_in_order(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(transfers) / sizeof(transfers[0]); i++) {
		if (transfers[i].is_tls)
			begin_tls(f);
		else
			begin(f);
		f->a.per_pull = transfers[i].per_pull;
		f->b.eat_max = transfers[i].eat_max;
		f->b.wants_resume = transfers[i].eat_max > 0;
		a_says(f, f->big, transfers[i].len);
		if (!turn_until(f, b_has_all))
			fail_msg("%s: %zu of %zu", transfers[i].name, f->b.in_len, transfers[i].len);
		assert_memory_equal(f->b.in, f->big, transfers[i].len);
		assert_int_equal(wire_bytes_out(f->a.wire), transfers[i].len);
		assert_int_equal(wire_bytes_in(f->b.wire), transfers[i].len);
		assert_int_equal(f->a.downs + f->b.downs, 0);
		finish(f);
	}
}

/* A session that eats nothing is not given more than the bound, and loses nothing. */
static void
test_kept_input_is_bounded(void **state)
{
	struct fixture *f = *state;

	for (int is_tls = 0; is_tls < 2; is_tls++) {
		if (is_tls)
			begin_tls(f);
		else
			begin(f);
		f->b.eats_nothing = true;
		a_says(f, f->big, BIG);
		turn_a_bit(f);
		assert_true(f->b.shown_len > 0 && f->b.shown_len <= WIRE_INPUT_MAX);
		assert_true(f->a.out_at < BIG);
		f->b.eats_nothing = false;
		wire_resume(f->b.wire);
		assert_true(turn_until(f, b_has_all));
		assert_memory_equal(f->b.in, f->big, BIG);
		finish(f);
	}
}

static void
test_paused_wire_reads_nothing(void **state)
{
	struct fixture *f = *state;

	for (int is_tls = 0; is_tls < 2; is_tls++) {
		if (is_tls)
			begin_tls(f);
		else
			begin(f);
		wire_pause(f->b.wire, true);
		a_says(f, "hello", 5);
		turn_a_bit(f);
		assert_int_equal(f->b.in_len, 0);
		wire_pause(f->b.wire, false);
		assert_true(turn_until(f, b_has_all));
		finish(f);
	}
}

/* --- the end of a stream --- */

static const struct {
	const char *name;
	bool is_tls, is_cut; /* without close_notify */
	const char *detail;
} ends[] = {
	{"clear", false, false, "closed by peer"},
	{"close_notify", true, false, "closed by peer"},
	{"no close_notify", true, true, "closed by peer without close_notify"},
};

static void
test_eof_waits_for_kept_input(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (ends[i].is_tls)
			begin_tls(f);
		else
			begin(f);
		f->b.eats_nothing = true;
		a_says(f, "last words", 10);
		assert_true(turn_until(f, b_saw_some));
		if (ends[i].is_cut)
			SSL_set_quiet_shutdown(wire_ssl(f->a.wire), 1);
		wire_destroy(&f->a.wire);
		turn_a_bit(f);
		assert_int_equal(f->b.downs, 0);
		f->b.eats_nothing = false;
		f->b.eat_max = 4;
		wire_resume(f->b.wire);
		turn_a_bit(f);
		assert_int_equal(f->b.downs, 0);
		f->b.eat_max = 0;
		wire_resume(f->b.wire);
		assert_true(turn_until(f, b_is_down));
		assert_int_equal(f->b.why, WIRE_EOF);
		assert_string_equal(f->b.detail, ends[i].detail);
		assert_memory_equal(f->b.in, "last words", 10);
		turn_a_bit(f);
		assert_int_equal(f->b.downs, 1);
		finish(f);
	}
}

/* A peer that goes away while we write: what it said first is still heard. */
static void
test_last_words_before_a_broken_pipe(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (ends[i].is_tls)
			begin_tls(f);
		else
			begin(f);
		turn_a_bit(f);
		wire_pause(f->b.wire, true);
		a_says(f, "421 bye\r\n", 9);
		assert_int_equal(f->a.out_at, 9);
		if (ends[i].is_cut)
			SSL_set_quiet_shutdown(wire_ssl(f->a.wire), 1);
		wire_destroy(&f->a.wire);
		wire_pause(f->b.wire, false);
		f->b.out = f->big;
		f->b.out_len = BIG;
		wire_send(f->b.wire);
		assert_true(turn_until(f, b_is_down));
		assert_int_equal(f->b.in_len, 9);
		turn_a_bit(f);
		assert_int_equal(f->b.downs, 1);
		finish(f);
	}
}

static void
test_deadline(void **state)
{
	struct fixture *f = *state;

	begin(f);
	wire_deadline(f->a.wire, 20000);
	wire_deadline(f->a.wire, 60000000); /* later */
	turn_a_bit(f);
	usleep(30000);
	turn_a_bit(f);
	assert_int_equal(f->a.downs, 0);
	wire_deadline(f->a.wire, 20000); /* sooner than its timer */
	assert_true(turn_until(f, a_is_down));
	assert_int_equal(f->a.why, WIRE_TIMEOUT);
	turn_a_bit(f);
	assert_int_equal(f->a.downs, 1);
	wire_deadline(f->b.wire, 10000);
	wire_deadline(f->b.wire, 0);
	usleep(20000);
	turn_a_bit(f);
	assert_int_equal(f->b.downs, 0);
	finish(f);
}

/* --- TLS --- */

static const struct {
	const char *name, *host;
	bool verifies, want_tls;
} handshakes[] = {
	{"not verified", "whoever.test", false, true},
	{"no name", NULL, false, true},
	{"right name", "mx.test", true, true},
	{"other name", "other.test", true, false},
	{"right address", "192.0.2.1", true, true},
	{"other address", "192.0.2.2", true, false},
};

static void
test_handshakes(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(handshakes) / sizeof(handshakes[0]); i++) {
		char words[100];

		begin(f);
		(void)wire_start_tls_client(f->a.wire, handshakes[i].verifies ? f->verifying : f->client,
			handshakes[i].host, NULL);
		(void)wire_start_tls_server(f->b.wire, f->server);
		if (handshakes[i].want_tls) {
			assert_true(turn_until(f, both_tls));
			assert_true(tls_describe(wire_ssl(f->a.wire), words, sizeof(words)) > 0);
			assert_non_null(strstr(words, "TLSv1."));
		} else {
			assert_true(turn_until(f, a_is_down));
			assert_int_equal(f->a.why, WIRE_TLS);
			assert_non_null(strstr(f->a.detail, "certificate verify failed"));
			assert_int_equal(f->a.tls, 0);
		}
		finish(f);
	}
}

/* count KeyUpdates (RFC 8446, 4.6.3) from a, read by b as they come. */
static void
key_updates(struct fixture *f, int count)
{
	while (count-- > 0 && f->b.downs == 0) {
		assert_int_equal(SSL_key_update(wire_ssl(f->a.wire), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		while (SSL_do_handshake(wire_ssl(f->a.wire)) != 1 && f->b.downs == 0)
			event_base_loop(f->base, EVLOOP_NONBLOCK);
		if (count % 100 == 0)
			turn_a_bit(f);
	}
	turn_a_bit(f);
}

static void
test_E11_flood_of_key_updates(void **state)
{
	struct fixture *f = *state;

	begin_tls(f);
	for (int i = 0; i < 10; i++) { /* data between them: legal, however many they become */
		key_updates(f, 300);
		f->b.in_len = 0;
		a_says(f, "NOOP\r\n", 6);
		assert_true(turn_until(f, b_has_all));
	}
	assert_int_equal(f->b.downs, 0);
	key_updates(f, 3000);
	assert_int_equal(f->b.downs, 1);
	assert_int_equal(f->b.why, WIRE_TLS);
	assert_string_equal(f->b.detail, "too many TLS records without data");
	finish(f);
}

/* Bytes in records of their own, as many as the socket takes; b gets some of them in each turn of the loop,
 * and all in the end. */
static void
test_E11_flood_of_tiny_records(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0, before;

	begin_tls(f);
	while (SSL_write(wire_ssl(f->a.wire), "x", 1) == 1)
		sent++;
	assert_true(sent > 100);
	while (f->b.in_len < sent) {
		before = f->b.in_len;
		event_base_loop(f->base, EVLOOP_ONCE);
		assert_true(f->b.in_len - before <= 40);
	}
	assert_int_equal(f->b.downs, 0);
	finish(f);
}

/* TLS 1.2: refused with a warning, which ends it at a's side. */
static void
test_E11_renegotiation(void **state)
{
	struct fixture *f = *state;
	SSL *ssl;

	begin(f);
	assert_false(wire_start_tls_client(f->a.wire, f->client, "mx.test", NULL));
	ssl = wire_ssl(f->a.wire);
	SSL_clear_options(ssl, SSL_OP_NO_RENEGOTIATION);
	assert_int_equal(SSL_set_max_proto_version(ssl, TLS1_2_VERSION), 1);
	assert_false(wire_start_tls_server(f->b.wire, f->server));
	assert_true(turn_until(f, both_tls));
	a_says(f, "NOOP\r\n", 6);
	assert_true(turn_until(f, b_has_all));
	assert_int_equal(SSL_renegotiate(ssl), 1);
	(void)SSL_do_handshake(ssl);
	assert_true(turn_until(f, a_is_down));
	assert_string_equal(f->a.detail, "no renegotiation");
	assert_int_equal(f->b.tls, 1);
	finish(f);
}

static void
test_garbage_for_a_handshake(void **state)
{
	struct fixture *f = *state;

	begin(f);
	(void)wire_start_tls_server(f->b.wire, f->server);
	a_says(f, "EHLO this is no ClientHello\r\n", 29);
	assert_true(turn_until(f, b_is_down));
	assert_int_equal(f->b.why, WIRE_TLS);
	assert_int_equal(f->b.tls, 0);
	finish(f);
}

/* Bytes glued behind STARTTLS: told when they were kept, dropped when they are in the hands of on_bytes. */
static void
test_starttls_leftover(void **state)
{
	struct fixture *f = *state;

	begin(f);
	f->b.eat_max = 10;
	a_says(f, "STARTTLS\r\nMAIL FROM:<evil@x>\r\n", 30);
	assert_true(turn_until(f, b_saw_some));
	assert_true(wire_start_tls_server(f->b.wire, f->server));
	finish(f);

	begin(f);
	f->b.tls_after = "";
	f->b.ctx = f->server;
	f->b.eat_max = 10;
	a_says(f, "STARTTLS\r\nMAIL FROM:<evil@x>\r\n", 30);
	assert_true(turn_until(f, b_saw_some));
	assert_int_equal(f->b.in_len, 10);
	assert_false(f->b.had_input); /* on_bytes knows by itself */
	(void)wire_start_tls_client(f->a.wire, f->client, NULL, NULL);
	assert_true(turn_until(f, both_tls));
	turn_a_bit(f);
	assert_int_equal(f->b.in_len, 10); /* the glued bytes are gone */
	finish(f);
}

/* A session that was waiting sees STARTTLS in kept input; nothing is behind it, so nothing is wrong. */
static void
test_starttls_from_kept_input(void **state)
{
	struct fixture *f = *state;

	begin(f);
	f->b.eats_nothing = true;
	a_says(f, "RSET\r\nSTARTTLS\r\n", 16);
	assert_true(turn_until(f, b_saw_some));
	f->b.eats_nothing = false;
	f->b.tls_after = "";
	f->b.ctx = f->server;
	wire_resume(f->b.wire);
	assert_int_equal(f->b.in_len, 16);
	assert_false(f->b.had_input);
	(void)wire_start_tls_client(f->a.wire, f->client, NULL, NULL);
	assert_true(turn_until(f, both_tls));
	a_says(f, "hidden", 6);
	turn_a_bit(f);
	assert_memory_equal(f->b.in + 16, "hidden", 6);
	finish(f);
}

/* --- destroy anywhere --- */

static const struct {
	const char *name;
	enum spot spot;
	bool is_tls;
} spots[] = {
	{"on_bytes", IN_BYTES, false},
	{"pull", IN_PULL, false},
	{"on_sent", IN_SENT, false},
	{"on_down", IN_DOWN, false},
	{"on_tls", IN_TLS, true},
	{"on_bytes, TLS", IN_BYTES, true},
	{"pull right after the handshake", IN_PULL, true},
	{"on_sent right after the handshake", IN_SENT, true},
	{"on_down, TLS", IN_DOWN, true},
};

static void
test_destroy_inside_callbacks(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(spots) / sizeof(spots[0]); i++) {
		begin(f);
		f->a.destroy_in = spots[i].spot;
		f->a.out = f->b.out = "words to say";
		f->a.out_len = f->b.out_len = 12;
		if (spots[i].is_tls) {
			(void)wire_start_tls_client(f->a.wire, f->client, NULL, NULL);
			(void)wire_start_tls_server(f->b.wire, f->server);
		} else
			wire_send(f->a.wire);
		if (f->b.wire != NULL && !spots[i].is_tls)
			wire_send(f->b.wire);
		if (spots[i].spot == IN_DOWN) {
			assert_true(turn_until(f, a_has_all));
			wire_destroy(&f->b.wire);
		}
		if (!turn_until(f, a_gone))
			fail_msg("%s was not called", spots[i].name);
		turn_a_bit(f);
		finish(f);
	}
}

/* --- connecting --- */

static int
listen_on_loopback(struct sockaddr_in *out)
{
	socklen_t len = sizeof(*out);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*out = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)out, len), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)out, &len), 0);
	return fd;
}

static void
test_connect(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in peer, local = {.sin_family = AF_INET}, seen;
	socklen_t len = sizeof(seen);
	int fd = listen_on_loopback(&peer), client;

	inet_pton(AF_INET, "127.0.0.77", &local.sin_addr);
	assert_non_null(f->base = event_base_new());
	use(f, &f->a);
	use(f, &f->b);
	f->b.wire = NULL;
	f->a.wire = wire_connect(f->base, (struct sockaddr *)&peer, (struct sockaddr *)&local, &ops, &f->a);
	assert_non_null(f->a.wire);
	assert_int_equal(f->a.connected, 0);
	assert_true(turn_until(f, a_connected));
	assert_true((client = accept(fd, (struct sockaddr *)&seen, &len)) >= 0);
	assert_int_equal(seen.sin_addr.s_addr, local.sin_addr.s_addr);
	f->b.out = "220 hello\r\n";
	f->b.out_len = 11;
	assert_int_equal(write(client, f->b.out, 11), 11);
	assert_true(turn_until(f, a_has_all));
	close(client);
	assert_true(turn_until(f, a_is_down));
	assert_int_equal(f->a.why, WIRE_EOF);
	close(fd);
	finish(f);
}

static void
test_connect_fails(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in peer, elsewhere = {.sin_family = AF_INET};
	int fd = listen_on_loopback(&peer);

	assert_non_null(f->base = event_base_new());
	use(f, &f->a);
	use(f, &f->b);
	/* An address that is not ours cannot be bound. */
	inet_pton(AF_INET, "192.0.2.1", &elsewhere.sin_addr);
	errno = 0;
	f->a.wire =
		wire_connect(f->base, (struct sockaddr *)&peer, (struct sockaddr *)&elsewhere, &ops, &f->a);
	assert_null(f->a.wire);
	assert_int_equal(errno, EADDRNOTAVAIL);
	/* Nobody listens any more. */
	close(fd);
	f->a.wire = wire_connect(f->base, (struct sockaddr *)&peer, NULL, &ops, &f->a);
	if (f->a.wire != NULL) {
		assert_true(turn_until(f, a_is_down));
		assert_int_equal(f->a.why, WIRE_ERROR);
		assert_int_equal(f->a.connected, 0);
	} else
		assert_int_equal(errno, ECONNREFUSED);
	finish(f);
}

static void
test_destroy_inside_connected(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in peer;
	int fd = listen_on_loopback(&peer);

	assert_non_null(f->base = event_base_new());
	use(f, &f->a);
	use(f, &f->b);
	f->a.destroy_in = IN_CONNECTED;
	assert_non_null(f->a.wire = wire_connect(f->base, (struct sockaddr *)&peer, NULL, &ops, &f->a));
	assert_true(turn_until(f, a_gone));
	close(fd);
	finish(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_arrive_whole_and_in_order),
		cmocka_unit_test(test_kept_input_is_bounded),
		cmocka_unit_test(test_paused_wire_reads_nothing),
		cmocka_unit_test(test_eof_waits_for_kept_input),
		cmocka_unit_test(test_last_words_before_a_broken_pipe),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_handshakes),
		cmocka_unit_test(test_E11_flood_of_key_updates),
		cmocka_unit_test(test_E11_flood_of_tiny_records),
		cmocka_unit_test(test_E11_renegotiation),
		cmocka_unit_test(test_garbage_for_a_handshake),
		cmocka_unit_test(test_starttls_leftover),
		cmocka_unit_test(test_starttls_from_kept_input),
		cmocka_unit_test(test_destroy_inside_callbacks),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_connect_fails),
		cmocka_unit_test(test_destroy_inside_connected),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
