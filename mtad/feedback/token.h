/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_TOKEN_H
#define MTAD_FEEDBACK_TOKEN_H
/*
 * token - what names one recipient of one message to those who answer: in return paths and unsubscribe links
 *
 * A token says which recipient and what it is for, and is signed, so that nobody can answer for somebody else
 * or invent bounces. It holds no address: those are longer than the 64 octets of a local part, and would be
 * shown to everybody. Whose it is stands in the spool (queue_issued.h) under token_key(), from before the
 * message is accepted until the token is over.
 *
 *   1 kind   7 arrival in microseconds   4 nonce of the message   2 recipient   11 HMAC-SHA256, cut to 88
 * bits
 *
 * are 25 bytes: 40 letters and digits of base32, in small letters. Mail systems may change their case.
 *
 * Owner    nobody: pure functions. Memory: the caller's. Thread: any.
 * Spec     RFC 4648 6 (base32), RFC 5321 4.5.3.1.1 (64 octets), RFC 2104 5 (80 bits at least; half of the
 * hash, which it advises, has no room, and guards against what costs a forger nothing: here each try is a
 *          connection).
 */
#include "conf/conf.h"
#include "queue_types.h"
#include "smtp_types.h"

enum { TOKEN_TEXT = 40, TOKEN_KEY = 13 };

/* As stored in issued tokens: never changed. */
enum token_kind { TOKEN_RETURN_PATH = 1, TOKEN_UNSUBSCRIBE = 2, TOKEN_COMPLAINT = 3, TOKEN_KIND_COUNT };

struct token {
	enum token_kind kind;
	int64_t arrived_us; /* of the message */
	uint32_t nonce;
	uint16_t n; /* of the recipient in the message */
};

enum token_verdict {
	TOKEN_GOOD,
	TOKEN_NONE,    /* no token at all */
	TOKEN_FORGED,  /* it looks like one, and is not of ours; or its secret has been given up */
	TOKEN_EXPIRED, /* it was one; *out is filled */
	TOKEN_VERDICT_COUNT,
};

/* "return-path", "unsubscribe", "complaint"; "good", "none" ... */
const char *token_kind_text(enum token_kind kind);
const char *token_verdict_text(enum token_verdict verdict);

/* Of this recipient of m; m->nonce is set. */
struct token token_of(enum token_kind kind, const struct queue_message *m, uint16_t n);
/* TOKEN_TEXT characters, without NUL, signed with the present secret, which is there. */
void token_write(const struct conf *c, const struct token *t, char buf[TOKEN_TEXT]);
/* `text` is one token, in any case. Good by the present secret or the previous one. */
enum token_verdict token_read(
	const struct conf *c, struct smtp_slice text, int64_t now_us, struct token *out);

/* "bounce+TOKEN@bounces.example.com", with NUL. Returns its length. */
int token_return_path(const struct conf *c, const struct token *t, char buf[SMTP_ADDRESS_MAX + 1]);
/* The token in an address (+TOKEN@, of any domain), in a link (/TOKEN or =TOKEN, maybe in <>) or alone; of
 * several the last. */
enum token_verdict token_find(
	const struct conf *c, struct smtp_slice text, int64_t now_us, struct token *out);

/* What issued tokens of this recipient are found under, whatever their kind. */
struct queue_blob token_key(const struct token *t, char buf[TOKEN_KEY]);
/* What a key says; the kind is not in it. False: it is none. */
bool token_of_key(struct queue_blob key, struct token *out);
/* Issued tokens with keys less than this one are over at now_us. */
struct queue_blob token_key_expired(const struct conf *c, int64_t now_us, char buf[TOKEN_KEY]);
#endif
