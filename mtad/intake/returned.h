/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_RETURNED_H
#define MTAD_INTAKE_RETURNED_H
/*
 * returned - a mail that came back: which addresses take one, and what is made of it
 *
 * Whose mail it is about is known by the token it was sent to; else by a token in the header that came back
 * with it; else by the id of our own Received field or the Message-ID there. What leads to nobody is left to
 * a person, unless it is a complaint that a trusted reporter signed: that is recorded as it says, and its
 * address suppressed for everybody.
 *
 * Owner    who has the struct. Thread: any that has its own reader.
 * Memory   an outcome: one block of some 12 KB for each recipient.
 * Fails    enum queue_err, and then nothing is made of it yet: the same mail may be judged again.
 * Spec     RFC 3464, RFC 5965, RFC 9477, RFC 2369 3.2; RFC 5321 4.5.1 (postmaster), 4.5.5 (nobody answers a
 *          bounce, and this answers nobody).
 */
#include "base/worker.h"
#include "feedback/classify.h"
#include "feedback/read.h"
#include "feedback/token.h"
#include "queue/feedback.h"
#include "queue/letters.h"

struct message;

/* --- addresses --- */

enum returned_to {
	RETURNED_TO_NOBODY,
	RETURNED_TO_TOKEN,   /* bounce+TOKEN, unsubscribe+TOKEN, cfbl+TOKEN: its kind says which */
	RETURNED_TO_ADDRESS, /* one of report-addresses, the address for CFBL, or a postmaster */
};
struct returned_address {
	enum returned_to to;
	enum token_verdict verdict; /* of an address with a token; not TOKEN_GOOD: TO_NOBODY */
	struct token token;
};
/* Does a report listener take mail to it? */
struct returned_address returned_address(const struct conf *c, struct smtp_slice address, int64_t now_us);

/* --- what is made of it --- */

struct returned_judge {
	const struct conf *conf;
	const struct classifier *classifier;
	struct feedback_reader *reader;
	struct queue_store *store;
};
struct returned_mail {
	struct smtp_slice bytes, sender;
	struct smtp_slice client_ip, helo; /* who handed it in */
	struct smtp_slice local_ip;        /* and where */
	struct returned_address to;
	int64_t now_us;
	struct smtp_slice auth; /* who vouches for it: "dkim=pass d=example.com spf=none"; "": not asked */
	bool is_vouched;        /* by one of trusted-reporters */
};
enum returned_result {
	RETURNED_RECORD, /* items are to be written */
	RETURNED_IGNORE, /* understood, and nothing to count: an auto-reply, a delay */
	RETURNED_UNREAD, /* not understood, or of nobody: for the operator */
};
struct returned_outcome {
	enum returned_result result;
	enum finding_kind kind;
	const char *why; /* RETURNED_UNREAD: static words */
	uint32_t count;
	struct feedback_item *items; /* and their texts; free() */
};
QUEUE_MUST_USE int returned_judge(
	const struct returned_judge *j, const struct returned_mail *mail, struct returned_outcome *out);

/* --- on its way --- */

/* LETTER_RETURNED, io -> reader: from an SMTP session, in which it lives; back as LETTER_RETURNED_DONE. */
struct returned {
	struct letter letter;
	struct message *message; /* bytes, sender and the one recipient; the session's reference */
	struct returned_address to;
	const char *client_ip;
	char local_ip[64];
	struct smtp_slice helo;
	struct worker *reply_to;
	int result; /* out: QUEUE_OK: it is on record, or kept; else it may come again */
};
#endif
