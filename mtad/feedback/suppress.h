/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_SUPPRESS_H
#define MTAD_FEEDBACK_SUPPRESS_H
/*
 * suppress - addresses that get no more mail: who is on the list, who comes onto it, who is let off
 *
 * An entry is an address (or @domain, for all of a domain) and a scope: global, the mail of one user, or of
 * one user and job. It holds for the mail of its scope, unless an entry `allow` of the same address or domain
 * overrides it: that of a scope overrides every suppression of this scope and of wider ones.
 *
 * Addresses are compared in canonical form: the domain as domain_normalise() spells it, the local part with
 * small letters and without quotes it does not need. The spool keeps that text, or (suppression-storage =
 * hashed) 16 bytes of SHA-256 over a secret of the spool and the text.
 *
 * Mail with the null sender, our own bounce mails with it, is neither looked up nor counted: it tells a
 * sender what became of its mail, and the list says whom senders may not write to.
 *
 * Owner    main. Thread: looking up: any. suppress_add(), suppress_on_end() and suppress_write() are the
 * spool thread's, inside its transaction. Memory   fixed. Fails    enum queue_err. While the list is empty
 * nothing is read: one atomic load.
 */
#include "base/bounce_class.h"
#include "base/mailbox.h"
#include "conf/conf.h"
#include "queue_suppress.h"

struct suppress;

/* The numbers stand on disk. */
enum suppress_reason {
	SUPPRESS_NONE,
	SUPPRESS_HARD_BOUNCE,
	SUPPRESS_SOFT_BOUNCES,
	SUPPRESS_COMPLAINT,
	SUPPRESS_UNSUBSCRIBE,
	SUPPRESS_MANUAL,
	SUPPRESS_IMPORT,
	SUPPRESS_ALLOW,
	SUPPRESS_DAMAGED, /* its entry cannot be read: never written, better a mail too few */
	SUPPRESS_REASONS,
};
/* From wide to narrow. */
enum suppress_level { SUPPRESS_GLOBAL, SUPPRESS_USER, SUPPRESS_STREAM };

enum {
	SUPPRESS_ADDRESS_MAX = 330, /* canonical; longer ones are nobody's */
	SUPPRESS_SCOPE_MAX = 300,
	SUPPRESS_NOTE_MAX = 200,
	SUPPRESS_HASH_BYTES = 16,
	SUPPRESS_WORDS_MAX = 160,
};

const char *suppress_reason_name(enum suppress_reason r); /* "hard-bounce" ... */
/* Of those that can be given; SUPPRESS_NONE: no such word. */
enum suppress_reason suppress_reason_find(const char *name);

/* The store is borrowed. Makes the secret in a spool that has none: before the spool thread runs. NULL and
 * words. */
struct suppress *suppress_create(struct queue_store *store, char *why, size_t why_max);
void suppress_destroy(struct suppress **sp);
/* Spool thread, or before it runs: how entries are written from now on. */
void suppress_set_hashed(struct suppress *s, bool is_hashed);

/* --- keys --- */

/* Canonical form with a NUL; the length, or -1: no address and no @domain. */
int suppress_canonical(struct queue_blob text, char out[SUPPRESS_ADDRESS_MAX]);

/* A scope as commands and files write it, "global", "user NAME", "stream USER/JOB", and as keys have it: "",
 * "NAME", "USER/JOB" (no name of a user has a slash). */
bool suppress_scope_parse(const char *text, char out[SUPPRESS_SCOPE_MAX]);
void suppress_scope_write(char *buf, size_t max, struct queue_blob scope);

struct suppress_key {
	size_t len;
	char bytes[QUEUE_SUPPRESS_KEY_MAX];
};
/* Of an address in any spelling, or of a hash as 32 hexadecimal digits. Hashed: which form it gets. False: it
 * is neither, or too long. */
bool suppress_key_make(const struct suppress *s, bool is_hashed, struct queue_blob address,
	struct queue_blob scope, struct suppress_key *out);
/* 32 small hexadecimal digits. */
bool suppress_is_hash(struct queue_blob text);
/* The form that is written at present. */
bool suppress_is_hashed(const struct suppress *s);

/* An entry as it is shown. */
struct suppress_view {
	char address[SUPPRESS_ADDRESS_MAX]; /* or the hash */
	struct queue_blob scope;            /* points into the key */
	bool is_hash;
	enum suppress_reason reason;
	enum bounce_class bounce_class;
	int64_t added_us, expires_us;
	char note[SUPPRESS_NOTE_MAX + 1];
};
/* False: a key nobody wrote. */
bool suppress_view(struct queue_blob key, const struct queue_suppress_entry *e, struct suppress_view *out);

/* --- looking up --- */

/* Whose mail it is. */
struct suppress_whose {
	struct queue_blob user, job; /* empty: none, or not known yet */
};
struct suppress_hit {
	enum suppress_reason reason; /* SUPPRESS_NONE: not suppressed */
	enum suppress_level level;
	bool is_domain;
	enum bounce_class bounce_class; /* of the bounce that put it there */
	int64_t added_us;
};
bool suppress_is_empty(const struct suppress *s);
/* Which of these addresses are suppressed now; one read transaction for every 16.
 */
QUEUE_MUST_USE int suppress_find(struct suppress *s, const struct suppress_whose *whose, int64_t now_us,
	const struct queue_blob *addresses, uint32_t count, struct suppress_hit *hits);
/* "recipient is suppressed: hard bounce (bad-mailbox) on 2026-11-30". */
void suppress_words(char *buf, size_t max, const struct suppress_hit *hit);
/* What is reported of a suppressed recipient: the class it was put there with, else policy-related. */
enum bounce_class suppress_class(const struct suppress_hit *hit);
/* Every entry of an address, a @domain or a hash, in all scopes; with_domain: of the address's domain too.
 * QUEUE_EINVAL: it is none of them. */
QUEUE_MUST_USE int suppress_each(struct suppress *s, struct queue_blob address, bool with_domain,
	queue_suppress_found *found, void *arg);

/* --- adding, inside the transaction of what has happened --- */

struct suppress_addition {
	struct queue_blob address;
	struct queue_blob user, job; /* of the mail */
	enum suppress_level
		level; /* user and stream of mail without user: global; stream without job: user */
	enum suppress_reason reason;
	enum bounce_class bounce_class;
	int64_t now_us;
	int64_t expire_us;      /* so long; 0: for good */
	struct queue_blob note; /* left out where addresses are hashed: it may name one */
};
/* Of what these rules bring. */
enum suppress_level suppress_level_of(const struct conf_suppression *rules);
/* An entry that lasts as long or longer stays as it is, as does an allow. */
QUEUE_MUST_USE int suppress_add(struct suppress *s, const struct suppress_addition *a);

/* How a recipient has ended. */
struct suppress_end {
	struct queue_blob address, user, job;
	bool is_delivered;
	bool is_expired; /* given up, not refused */
	enum bounce_class bounce_class;
	struct queue_blob reply;
	int64_t now_us;
};
/* By the rules of its user: suppresses it, gives it a strike, or takes its strikes away. */
QUEUE_MUST_USE int suppress_on_end(
	struct suppress *s, const struct conf_suppression *rules, const struct suppress_end *end);

/* --- changes from elsewhere: LETTER_SUPPRESS to the spool thread --- */

enum suppress_op { SUPPRESS_PUT, SUPPRESS_REMOVE, SUPPRESS_SWEEP, SUPPRESS_SWEEP_STRIKE };
struct suppress_item {
	enum suppress_op op;
	enum suppress_reason reason;
	struct suppress_key key;
	int64_t added_us, expires_us; /* 0: never */
	char note[SUPPRESS_NOTE_MAX + 1];
};
struct suppress_batch {
	struct letter letter;
	/* In the spool thread when all of it is on disk (or err: refused as a whole); frees it. NULL: freed.
	 */
	void (*done)(struct suppress_batch *b);
	void *arg;
	int err; /* QUEUE_OK, QUEUE_ENOSPACE */
	uint32_t count;
	uint32_t changed; /* put, removed */
	struct suppress_item items[];
};
/* NULL: no memory. Its count is 0. */
struct suppress_batch *suppress_batch_create(uint32_t max);
/* An error only of the store; QUEUE_ENOSPACE is the batch's. */
QUEUE_MUST_USE int suppress_write(struct suppress *s, struct suppress_batch *b, int64_t now_us);
/* Spool thread, from time to time: the next portion of what is over, and of text that is to become hashes.
 * NULL: there was nothing. */
struct suppress_batch *suppress_sweep(struct suppress *s, int64_t now_us);
#endif
