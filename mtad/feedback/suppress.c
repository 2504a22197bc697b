/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list: looked up by everybody, written by the spool thread in the transactions of other things.
 *
 * Invariants: an entry that is over does not count, whether it was swept or not. What comes by rule never
 * takes the place of an allow, nor of an entry that lasts longer.
 */
#include "feedback/suppress_impl.h"

#include <assert.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_US      (INT64_C(86400) * 1000000)
#define SWEEP_US    (INT64_C(3600) * 1000000)
#define SECRET_NOTE ((struct queue_blob){"suppress/secret", 15})
enum { BATCH = 16, SWEEP_PORTION = 4096, SWEEP_ITEMS = 2048, PREFIXES = 2 * FORMS, STRIKE_BYTES = 17 };

/* --- life --- */

static bool
write_secret(struct suppress *s)
{
	struct queue_blob value = {s->secret, SECRET_BYTES};

	if (RAND_bytes(s->secret, SECRET_BYTES) != 1 || queue_store_begin(s->store) < 0)
		return false;
	if (queue_store_note(s->store, SECRET_NOTE, value) < 0) {
		queue_store_abort(s->store);
		return false;
	}
	return queue_store_commit(s->store) == QUEUE_OK;
}

static bool
see_form(void *arg, uint32_t i, struct queue_blob key, const struct queue_suppress_entry *e)
{
	struct suppress *s = arg;

	atomic_store(&s->has_form[i], true);
	return false;
}

/* Which forms there are: the first entry of each. */
static bool
read_forms(struct suppress *s)
{
	static const char forms[FORMS] = {FORM_PLAIN, FORM_HASHED};

	for (int i = 0; i < FORMS; i++) {
		const struct queue_blob prefixes[FORMS] = {
			{forms, i == 0 ? 1 : 0}, {forms + 1, i == 0 ? 0 : 1}};

		if (queue_suppress_find(s->store, QUEUE_SUPPRESS_LIST, prefixes, FORMS, see_form, s) < 0)
			return false;
	}
	return true;
}

struct suppress *
suppress_create(struct queue_store *store, char *why, size_t why_max)
{
	struct suppress *s = calloc(1, sizeof(*s));
	int n;

	if (s == NULL)
		return NULL;
	s->store = store;
	s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	n = queue_store_note_get(store, SECRET_NOTE, s->secret, SECRET_BYTES);
	if (s->sha256 != NULL && (n == SECRET_BYTES || (n == QUEUE_ENOTFOUND && write_secret(s))) &&
		read_forms(s))
		return s;
	/* A new secret would make nobody of everybody on a hashed list. */
	snprintf(why, why_max, "the secret of the suppression list cannot be %s: %s",
		n == QUEUE_ENOTFOUND ? "written" : "read",
		n < 0 ? queue_err_text(n == QUEUE_ENOTFOUND ? QUEUE_EIO : n) : "it has another length");
	suppress_destroy(&s);
	return NULL;
}

void
suppress_destroy(struct suppress **sp)
{
	struct suppress *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	EVP_MD_free(s->sha256);
	free(s);
}

void
suppress_set_hashed(struct suppress *s, bool is_hashed)
{
	if (suppress_is_hashed(s) == is_hashed)
		return;
	atomic_store_explicit(&s->is_hashed, is_hashed, memory_order_relaxed);
	for (int i = 0; i < QUEUE_SUPPRESS_LISTS; i++) {
		s->swept[i].len = 0;
		s->sweep_us[i] = 0;
	}
}

/* --- looking up --- */

bool
suppress_is_empty(const struct suppress *s)
{
	return s == NULL || queue_suppress_count(s->store, QUEUE_SUPPRESS_LIST) == 0;
}

/* One portion of addresses, and what is known of each so far. */
struct search {
	struct suppress_whose whose;
	int64_t now_us;
	EVP_MD_CTX *md; /* NULL: there are no hashes */
	struct suppress_key keys[BATCH * PREFIXES];
	struct queue_blob prefixes[BATCH * PREFIXES];
	struct {
		uint32_t address;
		bool is_domain;
	} of[BATCH * PREFIXES];
	uint32_t count;
	int allowed[BATCH]; /* the narrowest level that is; -1: none */
	struct suppress_hit *hits;
};

static bool
is_same(struct queue_blob a, struct queue_blob b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* -1: the scope is of other mail. */
static int
level_of(const struct search *q, struct queue_blob scope)
{
	const char *slash = scope.len > 0 ? memchr(scope.ptr, '/', scope.len) : NULL;
	size_t user_len = slash != NULL ? (size_t)(slash - (const char *)scope.ptr) : scope.len;

	if (scope.len == 0)
		return SUPPRESS_GLOBAL;
	if (!is_same(q->whose.user, (struct queue_blob){scope.ptr, user_len}))
		return -1;
	if (slash == NULL)
		return SUPPRESS_USER;
	return is_same(q->whose.job, (struct queue_blob){slash + 1, scope.len - user_len - 1})
		       ? SUPPRESS_STREAM
		       : -1;
}

static bool
is_over(int64_t expires_us, int64_t now_us)
{
	return expires_us != 0 && expires_us <= now_us;
}

static bool
on_found(void *arg, uint32_t i, struct queue_blob key, const struct queue_suppress_entry *e)
{
	struct search *q = arg;
	uint32_t a = q->of[i].address;
	size_t prefix = q->prefixes[i].len;
	int level = level_of(q, (struct queue_blob){(const char *)key.ptr + prefix, key.len - prefix});
	struct suppress_hit *hit = &q->hits[a];
	struct suppress_value v;

	if (level < 0 || is_over(e->expires_us, q->now_us))
		return true;
	suppress_value_read(e->value, &v);
	if (v.reason == SUPPRESS_ALLOW) {
		q->allowed[a] = level > q->allowed[a] ? level : q->allowed[a];
		return true;
	}
	/* The narrowest tells why; of an address and its domain, the address, which comes first. */
	if (hit->reason != SUPPRESS_NONE && (int)hit->level >= level)
		return true;
	*hit = (struct suppress_hit){.reason = v.reason,
		.level = (enum suppress_level)level,
		.is_domain = q->of[i].is_domain,
		.bounce_class = v.bounce_class,
		.added_us = v.added_us};
	return true;
}

/* The prefixes of one canonical address, or of its domain. False: no hash. */
static bool
search_add(const struct suppress *s, struct search *q, uint32_t address, const char *text, size_t len)
{
	for (int form = 0; form < FORMS; form++) {
		struct suppress_key *key = &q->keys[q->count];

		if (!atomic_load_explicit(&s->has_form[form], memory_order_acquire))
			continue;
		if (!suppress_prefix(s, q->md, form == 1, text, len, key))
			return false;
		q->prefixes[q->count] = (struct queue_blob){key->bytes, key->len};
		q->of[q->count].address = address;
		q->of[q->count].is_domain = text[0] == '@';
		q->count++;
	}
	return true;
}

static int
find_portion(struct suppress *s, struct search *q, const struct queue_blob *addresses, uint32_t count)
{
	char text[SUPPRESS_ADDRESS_MAX];
	int err;

	q->count = 0;
	for (uint32_t i = 0; i < count; i++) {
		int len = suppress_canonical(addresses[i], text);
		const char *at = len > 0 ? memrchr(text, '@', (size_t)len) : NULL;

		q->allowed[i] = -1;
		q->hits[i] = (struct suppress_hit){.reason = SUPPRESS_NONE};
		if (at == NULL)
			continue;
		if (!search_add(s, q, i, text, (size_t)len) ||
			!search_add(s, q, i, at, (size_t)(text + len - at)))
			return QUEUE_ENOMEM;
	}
	if ((err = queue_suppress_find(s->store, QUEUE_SUPPRESS_LIST, q->prefixes, q->count, on_found, q)) <
		0)
		return err;
	for (uint32_t i = 0; i < count; i++)
		if (q->allowed[i] >= (int)q->hits[i].level)
			q->hits[i].reason = SUPPRESS_NONE;
	return QUEUE_OK;
}

int
suppress_find(struct suppress *s, const struct suppress_whose *whose, int64_t now_us,
	const struct queue_blob *addresses, uint32_t count, struct suppress_hit *hits)
{
	struct search q;
	int err = QUEUE_OK;

	q.whose = *whose;
	q.now_us = now_us;
	q.md = atomic_load_explicit(&s->has_form[1], memory_order_relaxed) ? EVP_MD_CTX_new() : NULL;
	for (uint32_t i = 0; i < count && err == QUEUE_OK; i += BATCH) {
		q.hits = hits + i;
		err = find_portion(s, &q, addresses + i, count - i < BATCH ? count - i : BATCH);
	}
	EVP_MD_CTX_free(q.md);
	return err;
}

int
suppress_each(struct suppress *s, struct queue_blob address, bool with_domain, queue_suppress_found *found,
	void *arg)
{
	struct suppress_key key;
	struct queue_blob prefix;
	struct search q = {.count = 0};
	char text[SUPPRESS_ADDRESS_MAX];
	int len = suppress_canonical(address, text);
	const char *at = len > 0 ? memrchr(text, '@', (size_t)len) : NULL;

	if (at != NULL) {
		if (!search_add(s, &q, 0, text, (size_t)len) ||
			(with_domain && at != text && !search_add(s, &q, 0, at, (size_t)(text + len - at))))
			return QUEUE_ENOMEM;
		return queue_suppress_find(s->store, QUEUE_SUPPRESS_LIST, q.prefixes, q.count, found, arg);
	}
	if (!suppress_key_make(s, true, address, (struct queue_blob){"", 0}, &key))
		return QUEUE_EINVAL;
	prefix = (struct queue_blob){key.bytes, key.len};
	return queue_suppress_find(s->store, QUEUE_SUPPRESS_LIST, &prefix, 1, found, arg);
}

static void
write_day(char out[16], int64_t us)
{
	time_t at = (time_t)(us / 1000000);
	struct tm tm;

	gmtime_r(&at, &tm);
	(void)strftime(out, 16, "%Y-%m-%d", &tm);
}

void
suppress_words(char *buf, size_t max, const struct suppress_hit *hit)
{
	static const char *const words[SUPPRESS_REASONS] = {
		[SUPPRESS_NONE] = "",
		[SUPPRESS_HARD_BOUNCE] = "it bounced",
		[SUPPRESS_SOFT_BOUNCES] = "it bounced again and again",
		[SUPPRESS_COMPLAINT] = "its owner complained",
		[SUPPRESS_UNSUBSCRIBE] = "its owner unsubscribed",
		[SUPPRESS_MANUAL] = "put on the list by an operator",
		[SUPPRESS_IMPORT] = "put on the list by an import",
		[SUPPRESS_ALLOW] = "",
		[SUPPRESS_DAMAGED] = "its entry in the list is damaged",
	};
	char day[16] = "";

	assert(hit->reason < SUPPRESS_REASONS);
	write_day(day, hit->added_us);
	snprintf(buf, max, "%s is suppressed: %s%s%s%s%s%s",
		hit->is_domain ? "The recipient's domain" : "The recipient", words[hit->reason],
		hit->bounce_class != BOUNCE_CLASS_NONE ? " (" : "", bounce_class_name(hit->bounce_class),
		hit->bounce_class != BOUNCE_CLASS_NONE ? ")" : "",
		hit->reason != SUPPRESS_DAMAGED ? ", " : "", hit->reason != SUPPRESS_DAMAGED ? day : "");
}

enum bounce_class
suppress_class(const struct suppress_hit *hit)
{
	return hit->bounce_class != BOUNCE_CLASS_NONE ? hit->bounce_class : BOUNCE_CLASS_POLICY_RELATED;
}

/* --- writing --- */

static int
put(struct suppress *s, const struct suppress_key *key, const struct queue_suppress_entry *e, bool is_new)
{
	int err = queue_suppress_put(
		s->store, QUEUE_SUPPRESS_LIST, (struct queue_blob){key->bytes, key->len}, e, is_new);

	if (err == QUEUE_OK)
		atomic_store_explicit(&s->has_form[key->bytes[0] == FORM_HASHED], true, memory_order_release);
	return err;
}

/* The scope of an entry in the list of this mail; it is narrower only as far as the mail says whose it is. */
static struct queue_blob
scope_of(char out[SUPPRESS_SCOPE_MAX], const struct suppress_addition *a)
{
	int n = 0;

	if (a->level == SUPPRESS_STREAM && a->job.len > 0)
		n = snprintf(out, SUPPRESS_SCOPE_MAX, "%.*s/%.*s", (int)a->user.len,
			(const char *)a->user.ptr, (int)a->job.len, (const char *)a->job.ptr);
	else if (a->level != SUPPRESS_GLOBAL)
		n = snprintf(out, SUPPRESS_SCOPE_MAX, "%.*s", (int)a->user.len, (const char *)a->user.ptr);
	return (struct queue_blob){out, (size_t)(n < SUPPRESS_SCOPE_MAX ? n : SUPPRESS_SCOPE_MAX - 1)};
}

static int
add(struct suppress *s, const struct suppress_key *key, const struct suppress_addition *a)
{
	struct queue_blob note = suppress_is_hashed(s) ? (struct queue_blob){"", 0} : a->note;
	int64_t expires_us = a->expire_us > 0 ? a->now_us + a->expire_us : 0;
	struct queue_suppress_entry old, fresh = {.expires_us = expires_us};
	struct suppress_value v;
	char value[VALUE_MAX];
	int err = queue_suppress_get(
		s->store, QUEUE_SUPPRESS_LIST, (struct queue_blob){key->bytes, key->len}, &old);

	if (err == QUEUE_OK && !is_over(old.expires_us, a->now_us)) {
		suppress_value_read(old.value, &v);
		if (v.reason == SUPPRESS_ALLOW || old.expires_us == 0 ||
			(expires_us != 0 && old.expires_us >= expires_us))
			return QUEUE_OK;
	} else if (err != QUEUE_OK && err != QUEUE_ENOTFOUND && err != QUEUE_EDAMAGED)
		return err == QUEUE_EVERSION ? QUEUE_OK : err;
	fresh.value = (struct queue_blob){
		value, suppress_value_write(value, a->reason, a->bounce_class, a->now_us, note)};
	return put(s, key, &fresh, false);
}

/* False: nobody's address. */
static bool
addition_key(const struct suppress *s, const struct suppress_addition *a, struct suppress_key *out)
{
	char scope[SUPPRESS_SCOPE_MAX];

	return suppress_key_make(s, suppress_is_hashed(s), a->address, scope_of(scope, a), out);
}

int
suppress_add(struct suppress *s, const struct suppress_addition *a)
{
	struct suppress_key key;

	return addition_key(s, a, &key) ? add(s, &key, a) : QUEUE_OK;
}

/* --- rules --- */

struct strike {
	uint8_t days;
	int64_t first_us, last_us;
};

/* One that cannot be read is none. */
static int
read_strike(struct suppress *s, const struct suppress_key *key, int64_t now_us, struct strike *out)
{
	struct queue_suppress_entry e;
	int err = queue_suppress_get(
		s->store, QUEUE_SUPPRESS_STRIKES, (struct queue_blob){key->bytes, key->len}, &e);

	*out = (struct strike){.days = 0};
	if (err == QUEUE_ENOTFOUND || err == QUEUE_EDAMAGED || err == QUEUE_EVERSION)
		return QUEUE_OK;
	if (err == QUEUE_OK && e.value.len == STRIKE_BYTES && !is_over(e.expires_us, now_us)) {
		out->days = *(const uint8_t *)e.value.ptr;
		memcpy(&out->first_us, (const char *)e.value.ptr + 1, 8);
		memcpy(&out->last_us, (const char *)e.value.ptr + 9, 8);
	}
	return err;
}

static int
write_strike(
	struct suppress *s, const struct suppress_key *key, const struct strike *strike, int64_t window_us)
{
	char value[STRIKE_BYTES];
	const struct queue_suppress_entry e = {strike->first_us + window_us, {value, sizeof(value)}};

	value[0] = (char)strike->days;
	memcpy(value + 1, &strike->first_us, 8);
	memcpy(value + 9, &strike->last_us, 8);
	return queue_suppress_put(
		s->store, QUEUE_SUPPRESS_STRIKES, (struct queue_blob){key->bytes, key->len}, &e, false);
}

static int
clear_strikes(struct suppress *s, const struct suppress_key *key)
{
	int err = queue_suppress_delete(
		s->store, QUEUE_SUPPRESS_STRIKES, (struct queue_blob){key->bytes, key->len});

	return err == QUEUE_ENOTFOUND ? QUEUE_OK : err;
}

/* A day counts once: five messages to a mailbox that is full today are one reason to doubt it. */
static int
add_strike(struct suppress *s, const struct conf_suppression *rules, const struct suppress_key *key,
	const struct suppress_addition *a)
{
	struct strike strike;
	int err = read_strike(s, key, a->now_us, &strike);

	if (err < 0 || (strike.days > 0 && a->now_us / DAY_US == strike.last_us / DAY_US))
		return err;
	strike.days++;
	strike.last_us = a->now_us;
	if (strike.days == 1)
		strike.first_us = a->now_us;
	if (strike.days < rules->soft_bounces)
		return write_strike(s, key, &strike, rules->soft_window);
	err = add(s, key, a);
	return err < 0 ? err : clear_strikes(s, key);
}

/* Something about the mailbox that may pass. What is given up for a reason of the sender's or of the network
 * says nothing about the address. */
static bool
is_soft(const struct suppress_end *end)
{
	enum bounce_group group = bounce_class_group(end->bounce_class);

	return group == BOUNCE_GROUP_QUOTA || (end->is_expired && group == BOUNCE_GROUP_SUPPRESS);
}

static bool
is_hard(const struct suppress_end *end)
{
	return !end->is_expired && bounce_class_group(end->bounce_class) == BOUNCE_GROUP_SUPPRESS;
}

enum suppress_level
suppress_level_of(const struct conf_suppression *rules)
{
	static const enum suppress_level levels[] = {[CONF_SUPPRESSION_USER] = SUPPRESS_USER,
		[CONF_SUPPRESSION_STREAM] = SUPPRESS_STREAM,
		[CONF_SUPPRESSION_GLOBAL] = SUPPRESS_GLOBAL};

	return levels[rules->scope];
}

int
suppress_on_end(struct suppress *s, const struct conf_suppression *rules, const struct suppress_end *end)
{
	struct suppress_addition a = {.address = end->address,
		.user = end->user,
		.job = end->job,
		.level = suppress_level_of(rules),
		.reason = SUPPRESS_HARD_BOUNCE,
		.bounce_class = end->bounce_class,
		.now_us = end->now_us,
		.expire_us = rules->hard_expire,
		.note = end->reply};
	bool adds_hard = !end->is_delivered && is_hard(end) && rules->hard_bounces;
	bool adds_soft = !end->is_delivered && is_soft(end) && rules->soft_bounces > 0;
	bool clears = end->is_delivered && queue_suppress_count(s->store, QUEUE_SUPPRESS_STRIKES) > 0;
	struct suppress_key key;

	if ((!adds_hard && !adds_soft && !clears) || !addition_key(s, &a, &key))
		return QUEUE_OK;
	if (clears)
		return clear_strikes(s, &key);
	if (adds_hard)
		return add(s, &key, &a);
	a.reason = SUPPRESS_SOFT_BOUNCES;
	a.expire_us = rules->soft_expire;
	return add_strike(s, rules, &key, &a);
}

/* --- changes from elsewhere --- */

struct suppress_batch *
suppress_batch_create(uint32_t max)
{
	return calloc(1, sizeof(struct suppress_batch) + max * sizeof(struct suppress_item));
}

static int
put_item(struct suppress *s, const struct suppress_item *item)
{
	struct queue_blob note = {item->note, strnlen(item->note, SUPPRESS_NOTE_MAX)};
	char value[VALUE_MAX];
	const struct queue_suppress_entry e = {item->expires_us,
		{value, suppress_value_write(value, item->reason, BOUNCE_CLASS_NONE, item->added_us, note)}};

	return put(s, &item->key, &e, true);
}

/* The entry as a hash, if there is none yet; an allow in any case, as nothing that comes by rule takes its
 * place. */
static int
rekey(struct suppress *s, const struct suppress_item *item, enum queue_suppress_list list,
	const struct queue_suppress_entry *old)
{
	size_t prefix = suppress_prefix_len((struct queue_blob){item->key.bytes, item->key.len});
	char value[QUEUE_SUPPRESS_VALUE_MAX];
	struct queue_suppress_entry e = {old->expires_us, {value, old->value.len}}, there;
	struct suppress_key key;
	struct queue_blob bytes;
	int err;

	/* Copied before it is written: a write may move the page that it is on. */
	memcpy(value, old->value.ptr, old->value.len);
	if (list == QUEUE_SUPPRESS_LIST && e.value.len > VALUE_HEAD)
		e.value.len = VALUE_HEAD; /* the note may name the address */
	if (!suppress_prefix(s, NULL, true, item->key.bytes + 1, prefix - 2, &key))
		return QUEUE_ENOMEM;
	if (!suppress_key_scope(&key, (struct queue_blob){item->key.bytes + prefix, item->key.len - prefix}))
		return QUEUE_OK;
	bytes = (struct queue_blob){key.bytes, key.len};
	err = queue_suppress_get(s->store, list, bytes, &there);
	if (err == QUEUE_ENOTFOUND || (err == QUEUE_OK && value[0] == SUPPRESS_ALLOW))
		err = queue_suppress_put(s->store, list, bytes, &e, false);
	if (err == QUEUE_OK && list == QUEUE_SUPPRESS_LIST)
		atomic_store_explicit(&s->has_form[1], true, memory_order_release);
	return err == QUEUE_EDAMAGED || err == QUEUE_EVERSION ? QUEUE_OK : err;
}

/* It may have changed since it was seen. */
static int
sweep_item(struct suppress *s, const struct suppress_item *item, int64_t now_us)
{
	enum queue_suppress_list list =
		item->op == SUPPRESS_SWEEP ? QUEUE_SUPPRESS_LIST : QUEUE_SUPPRESS_STRIKES;
	struct queue_blob key = {item->key.bytes, item->key.len};
	struct queue_suppress_entry e;
	int err = queue_suppress_get(s->store, list, key, &e);

	if (err != QUEUE_OK)
		return err == QUEUE_ENOTFOUND || err == QUEUE_EDAMAGED || err == QUEUE_EVERSION ? QUEUE_OK
												: err;
	if (!is_over(e.expires_us, now_us)) {
		if (item->key.bytes[0] != FORM_PLAIN || !suppress_is_hashed(s))
			return QUEUE_OK;
		if ((err = rekey(s, item, list, &e)) < 0)
			return err;
	}
	err = queue_suppress_delete(s->store, list, key);
	return err == QUEUE_ENOTFOUND ? QUEUE_OK : err;
}

static int
remove_item(struct suppress *s, const struct suppress_item *item)
{
	return queue_suppress_delete(
		s->store, QUEUE_SUPPRESS_LIST, (struct queue_blob){item->key.bytes, item->key.len});
}

int
suppress_write(struct suppress *s, struct suppress_batch *b, int64_t now_us)
{
	int err = QUEUE_OK;

	b->changed = 0;
	b->err = QUEUE_OK;
	for (uint32_t i = 0; i < b->count; i++) {
		const struct suppress_item *item = &b->items[i];

		if (item->op == SUPPRESS_PUT)
			err = put_item(s, item);
		else if (item->op == SUPPRESS_REMOVE)
			err = remove_item(s, item);
		else
			err = sweep_item(s, item, now_us);
		if (err == QUEUE_ENOSPACE && item->op == SUPPRESS_PUT) {
			b->err = err;
			return QUEUE_OK;
		}
		if (err < 0 && err != QUEUE_ENOTFOUND && err != QUEUE_EINVAL)
			return err;
		b->changed += err == QUEUE_OK;
	}
	return QUEUE_OK;
}

/* --- sweeping --- */

struct sweep {
	struct suppress *s;
	struct suppress_batch *batch;
	struct suppress_key *at;
	enum suppress_op op;
	int64_t now_us;
};

static bool
on_sweep(void *arg, struct queue_blob key, const struct queue_suppress_entry *e)
{
	struct sweep *w = arg;
	const char *bytes = key.ptr;
	struct suppress_item *item = &w->batch->items[w->batch->count];

	memcpy(w->at->bytes, key.ptr, key.len);
	w->at->len = key.len;
	if (e->value.ptr == NULL || suppress_prefix_len(key) == 0)
		return true;
	if (!is_over(e->expires_us, w->now_us) && (bytes[0] != FORM_PLAIN || !suppress_is_hashed(w->s)))
		return true;
	item->op = w->op;
	memcpy(item->key.bytes, key.ptr, key.len);
	item->key.len = key.len;
	return ++w->batch->count < SWEEP_ITEMS;
}

/* True: a portion was looked at. */
static bool
sweep_list(struct sweep *w, enum queue_suppress_list list)
{
	struct suppress *s = w->s;
	int n;

	if (w->now_us < s->sweep_us[list] || queue_suppress_count(s->store, list) == 0)
		return false;
	w->at = &s->swept[list];
	w->op = list == QUEUE_SUPPRESS_LIST ? SUPPRESS_SWEEP : SUPPRESS_SWEEP_STRIKE;
	n = queue_suppress_scan(
		s->store, list, (struct queue_blob){w->at->bytes, w->at->len}, SWEEP_PORTION, on_sweep, w);
	if (n < SWEEP_PORTION && w->batch->count < SWEEP_ITEMS) { /* the end, or an error */
		s->sweep_us[list] = w->now_us + SWEEP_US;
		w->at->len = 0;
	}
	return true;
}

struct suppress_batch *
suppress_sweep(struct suppress *s, int64_t now_us)
{
	struct sweep w = {.s = s, .now_us = now_us};
	bool has_looked = false;

	if (queue_suppress_count(s->store, QUEUE_SUPPRESS_LIST) == 0 &&
		queue_suppress_count(s->store, QUEUE_SUPPRESS_STRIKES) == 0)
		return NULL;
	if ((w.batch = suppress_batch_create(SWEEP_ITEMS)) == NULL)
		return NULL;
	for (int i = 0; i < QUEUE_SUPPRESS_LISTS && !has_looked; i++)
		has_looked = sweep_list(&w, (enum queue_suppress_list)i);
	if (w.batch->count > 0)
		return w.batch;
	free(w.batch);
	return NULL;
}
