/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_SUPPRESS_IMPL_H
#define MTAD_FEEDBACK_SUPPRESS_IMPL_H
/*
 * suppress_impl - what suppress_key.c (addresses, keys, values as bytes) and suppress.c (the list) share; for
 * them alone
 *
 *   key      form (1: 'p' text, 'h' hash), address and NUL, or 16 bytes, then the scope
 *   value    reason 1, class 1, added_us 8 (little endian), note
 *   strike   the key of the entry it would become; days 1, first_us 8, last_us 8
 *
 * All scopes of an address stand side by side, so one look finds them.
 */
#include "feedback/suppress.h"

#include <openssl/evp.h>
#include <stdatomic.h>

enum { SECRET_BYTES = 32, VALUE_HEAD = 10, VALUE_MAX = VALUE_HEAD + SUPPRESS_NOTE_MAX };
enum { FORM_PLAIN = 'p', FORM_HASHED = 'h', FORMS = 2 };

struct suppress {
	struct queue_store *store;
	EVP_MD *sha256;
	uint8_t secret[SECRET_BYTES];
	_Atomic bool is_hashed;
	/* Set for good by the first entry of its form: a form nobody has used is not looked for. */
	_Atomic bool has_form[FORMS]; /* plain, hashed */
	/* The spool thread's. */
	struct suppress_key swept[QUEUE_SUPPRESS_LISTS]; /* so far */
	int64_t sweep_us[QUEUE_SUPPRESS_LISTS];          /* not before */
};

/* What keys of a canonical address begin with; md may be NULL, and makes many of them cheaper. False: no hash
 * could be made (no memory). */
bool suppress_prefix(const struct suppress *s, EVP_MD_CTX *md, bool is_hashed, const char *address,
	size_t len, struct suppress_key *out);
/* Behind the prefix. False: too long. */
bool suppress_key_scope(struct suppress_key *key, struct queue_blob scope);
/* Bytes of the prefix of a key; 0: nobody wrote it. */
size_t suppress_prefix_len(struct queue_blob key);

/* Bytes of a value; note is cut. */
size_t suppress_value_write(char out[VALUE_MAX], enum suppress_reason reason, enum bounce_class bounce_class,
	int64_t added_us, struct queue_blob note);
struct suppress_value {
	enum suppress_reason reason;
	enum bounce_class bounce_class;
	int64_t added_us;
	struct queue_blob note;
};
/* One that cannot be read is SUPPRESS_DAMAGED. */
void suppress_value_read(struct queue_blob bytes, struct suppress_value *out);
#endif
