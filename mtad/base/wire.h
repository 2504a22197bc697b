/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_WIRE_H
#define MTAD_BASE_WIRE_H
/*
 * wire - one byte stream: a non-blocking socket, TLS when wanted, a deadline
 *
 * Reading is pushed: on_bytes gets what arrived and says how much of it was eaten; the rest is kept (bounded)
 * and shown again with the next bytes or after wire_resume(). Writing is pulled: the wire asks `pull` for
 * iovecs whenever the socket takes more and reports what went out, so there is no output buffer and bodies
 * are not copied.
 *
 * Owner    the session; lives on one thread's event base.
 * Memory   about 300 bytes idle; kept input is allocated when needed. TLS adds OpenSSL's own.
 * Thread   the base's.
 * Fails    through on_down, once, never from inside wire_start_* or wire_destroy; after it nothing is called.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct event_base;
struct ssl_ctx_st;
struct ssl_st;
struct wire;

enum wire_down {
	WIRE_EOF,     /* the peer closed (under TLS with or without close_notify), and all input was eaten */
	WIRE_ERROR,   /* errno in detail */
	WIRE_TIMEOUT, /* the deadline passed */
	WIRE_TLS,     /* handshake or record failure; words from OpenSSL in detail */
	WIRE_MEMORY,  /* we have none left: says nothing about the peer */
};
enum { WIRE_INPUT_MAX = 131072, WIRE_READ_BYTES = 65536, WIRE_IOV_MAX = 256 };

struct wire_ops {
	void (*on_connected)(void *arg);                              /* wire_connect only */
	void (*on_tls)(void *arg);                                    /* handshake done */
	size_t (*on_bytes)(void *arg, const char *bytes, size_t len); /* returns how many were eaten */
	int (*pull)(void *arg, struct iovec *iov, int iov_max); /* fill with what to write now; 0: nothing */
	void (*on_sent)(void *arg, size_t bytes);               /* of what pull gave */
	void (*on_down)(void *arg, enum wire_down why, const char *detail);
};

/* Takes fd (closed by destroy). NULL: no memory; fd is closed then too. */
struct wire *wire_create(struct event_base *base, int fd, const struct wire_ops *ops, void *arg);
/* A new socket, bound to `local` when not NULL, connecting; the result is on_connected or on_down. NULL: no
 * socket or no memory or bind failed; errno says which. */
struct wire *wire_connect(struct event_base *base, const struct sockaddr *peer, const struct sockaddr *local,
	const struct wire_ops *ops, void *arg);
/* Safe inside any callback of the wire: it is freed when the callback returns. Closes without further calls.
 */
void wire_destroy(struct wire **wp);

/* Handshake from here on. Kept input is dropped; true when there was some (bytes glued behind STARTTLS: an
 * attack). Inside on_bytes what it does not eat is dropped, and only the caller can tell whether that is any.
 * `host` is sent as SNI and checked when the context verifies; `session` to resume or NULL (not kept). */
bool wire_start_tls_client(struct wire *w, struct ssl_ctx_st *ctx, const char *host, void *session);
bool wire_start_tls_server(struct wire *w, struct ssl_ctx_st *ctx);
struct ssl_st *wire_ssl(struct wire *w); /* NULL without TLS */

/* There may be something to pull: tries to write at once. */
void wire_send(struct wire *w);
/* Show kept input again (an answer arrived, the engine can go on). */
void wire_resume(struct wire *w);
/* Stop or go on reading (back-pressure). */
void wire_pause(struct wire *w, bool pause);
/* One deadline; microseconds from now, 0: none. Passing it is on_down(WIRE_TIMEOUT). */
void wire_deadline(struct wire *w, int64_t us);
/* Read and written so far. */
uint64_t wire_bytes_in(const struct wire *w);
uint64_t wire_bytes_out(const struct wire *w);
int wire_fd(const struct wire *w);
#endif
