/* SPDX-License-Identifier: Apache-2.0 */
/* suppress: one spelling for each address; which entry counts for whose mail; what bounces lead to; sweeping.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feedback/suppress.h"
#include "store_fixture.h"

#define HOUR_US (INT64_C(3600) * 1000000)
#define DAY_US  (24 * HOUR_US)
#define NOW     (20000 * DAY_US + 12 * HOUR_US)

static struct queue_blob
text(const char *s)
{
	return (struct queue_blob){s, strnlen(s, SUPPRESS_SCOPE_MAX)};
}

static struct suppress *
list_of(struct fixture *f, bool is_hashed)
{
	char why[200] = "";
	struct suppress *s = suppress_create(f->store, why, sizeof(why));

	assert_non_null(s);
	suppress_set_hashed(s, is_hashed);
	return s;
}

/* --- spelling --- */

static void
test_canonical_form(void **state)
{
	static const struct {
		const char *in, *want; /* NULL: none */
	} cases[] = {
		{"Joe.User@Example.COM", "joe.user@example.com"},
		{"a@example.com.", NULL},
		{"@Example.com", "@example.com"},
		{"\"joe\"@example.com", "joe@example.com"},
		{"\"Joe.User\"@example.com", "joe.user@example.com"},
		{"\"joe user\"@example.com", "\"joe user\"@example.com"},
		{"\".joe\"@example.com", "\".joe\"@example.com"},
		{"\"joe.\"@example.com", "\"joe.\"@example.com"},
		{"\"j..e\"@example.com", "\"j..e\"@example.com"},
		{"\"\"@example.com", "\"\"@example.com"},
		{"a@b\xc3\xbc"
		 "cher.example",
			"a@xn--bcher-kva.example"},
		{"joe+tag@example.com", "joe+tag@example.com"},
		{"joe", NULL},
		{"joe@", NULL},
		{"@", NULL},
		{"", NULL},
		{"a b@example.com", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[SUPPRESS_ADDRESS_MAX] = "untouched";
		int n = suppress_canonical(text(cases[i].in), out);

		if (cases[i].want == NULL) {
			assert_int_equal(n, -1);
			continue;
		}
		assert_string_equal(out, cases[i].want);
		assert_int_equal(n, strnlen(cases[i].want, 400));
	}
}

static void
test_scopes(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{"global", ""},
		{"user shop", "shop"},
		{"user shop\r", NULL},
		{"user sh\x01op", NULL},
		{"stream shop/a/b", "shop/a/b"},
		{"stream /news", "/news"},
		{"user ", NULL},
		{"user a/b", NULL},
		{"stream shop", NULL},
		{"stream shop/", NULL},
		{"shop", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[SUPPRESS_SCOPE_MAX], again[SUPPRESS_SCOPE_MAX + 16];

		assert_int_equal(suppress_scope_parse(cases[i].in, out), cases[i].want != NULL);
		if (cases[i].want == NULL)
			continue;
		assert_string_equal(out, cases[i].want);
		suppress_scope_write(again, sizeof(again), text(out));
		assert_string_equal(again, cases[i].in);
	}
}

/* --- whose mail --- */

static void
put_entry(struct fixture *f, struct suppress *s, const char *address, const char *scope,
	enum suppress_reason reason, int64_t expires_us)
{
	struct suppress_batch *b = suppress_batch_create(1);
	struct suppress_item *item = b->items;
	char bytes[SUPPRESS_SCOPE_MAX];

	b->count = 1;
	assert_true(suppress_scope_parse(scope, bytes));
	assert_true(suppress_key_make(s, suppress_is_hashed(s), text(address), text(bytes), &item->key));
	item->op = SUPPRESS_PUT;
	item->reason = reason;
	item->added_us = NOW;
	item->expires_us = expires_us;
	OK(queue_store_begin(f->store));
	OK(suppress_write(s, b, NOW));
	OK(queue_store_commit(f->store));
	assert_int_equal(b->changed, 1);
	free(b);
}

static struct suppress_hit
find(struct suppress *s, const char *user, const char *job, const char *address)
{
	const struct suppress_whose whose = {text(user), text(job)};
	const struct queue_blob addresses[] = {text(address)};
	struct suppress_hit hit;

	OK(suppress_find(s, &whose, NOW, addresses, 1, &hit));
	return hit;
}

/* An entry, an allow, and whether they hold for the mail of user shop, job news. */
static void
test_which_entry_counts(void **state)
{
	static const struct {
		const char *address, *scope, *allow_address, *allow_scope;
		bool is_suppressed;
	} cases[] = {
		{"a@x.test", "global", NULL, NULL, true},
		{"a@x.test", "user shop", NULL, NULL, true},
		{"a@x.test", "user sho", NULL, NULL, false},
		{"a@x.test", "user shops", NULL, NULL, false},
		{"a@x.test", "stream shop/news", NULL, NULL, true},
		{"a@x.test", "stream shop/new", NULL, NULL, false},
		{"a@x.test", "stream club/news", NULL, NULL, false},
		{"@x.test", "user shop", NULL, NULL, true},
		{"@test", "global", NULL, NULL, false},
		{"b@x.test", "global", NULL, NULL, false},
		/* An allow overrides its own scope and wider ones. */
		{"a@x.test", "global", "a@x.test", "user shop", false},
		{"a@x.test", "global", "@x.test", "global", false},
		{"@x.test", "user shop", "a@x.test", "stream shop/news", false},
		{"@x.test", "user shop", "a@x.test", "global", true},
		{"a@x.test", "stream shop/news", "a@x.test", "user shop", true},
		{"a@x.test", "user shop", "a@x.test", "user club", true},
	};

	for (int is_hashed = 0; is_hashed < 2; is_hashed++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			void *fresh;
			struct suppress *s;

			set_up(&fresh);
			s = list_of(fresh, is_hashed);
			assert_true(suppress_is_empty(s));
			put_entry(fresh, s, cases[i].address, cases[i].scope, SUPPRESS_COMPLAINT, 0);
			if (cases[i].allow_address != NULL)
				put_entry(fresh, s, cases[i].allow_address, cases[i].allow_scope,
					SUPPRESS_ALLOW, 0);
			assert_false(suppress_is_empty(s));
			if ((find(s, "shop", "news", "A@X.test").reason == SUPPRESS_COMPLAINT) !=
				cases[i].is_suppressed)
				fail_msg("case %zu, hashed %d", i, is_hashed);
			suppress_destroy(&s);
			tear_down(&fresh);
		}
}

static void
test_what_is_over_does_not_count(void **state)
{
	struct suppress *s = list_of(*state, false);

	put_entry(*state, s, "past@x.test", "global", SUPPRESS_MANUAL, NOW);
	put_entry(*state, s, "future@x.test", "global", SUPPRESS_MANUAL, NOW + 1);
	put_entry(*state, s, "future@x.test", "user shop", SUPPRESS_ALLOW, NOW);
	assert_int_equal(find(s, "", "", "past@x.test").reason, SUPPRESS_NONE);
	assert_int_equal(find(s, "shop", "", "future@x.test").reason, SUPPRESS_MANUAL);
	suppress_destroy(&s);
}

/* More addresses than one portion, each with its own answer. */
static void
test_many_at_once(void **state)
{
	enum { MANY = 50 };
	struct suppress *s = list_of(*state, false);
	const struct suppress_whose whose = {{"", 0}, {"", 0}};
	struct queue_blob addresses[MANY];
	struct suppress_hit hits[MANY];
	char texts[MANY][32];

	for (int i = 0; i < MANY; i++) {
		snprintf(texts[i], sizeof(texts[i]), "r%d@x.test", i);
		addresses[i] = text(texts[i]);
		if (i % 3 == 0)
			put_entry(*state, s, texts[i], "global", SUPPRESS_IMPORT, 0);
	}
	addresses[3] = text("no address");
	OK(suppress_find(s, &whose, NOW, addresses, MANY, hits));
	for (int i = 0; i < MANY; i++)
		assert_int_equal(hits[i].reason, i % 3 == 0 && i != 3 ? SUPPRESS_IMPORT : SUPPRESS_NONE);
	suppress_destroy(&s);
}

/* --- what bounces lead to --- */

static const struct conf_suppression rules = {.scope = CONF_SUPPRESSION_USER,
	.hard_bounces = true,
	.hard_expire = 10 * DAY_US,
	.soft_bounces = 3,
	.soft_window = 5 * DAY_US};

struct outcome {
	int64_t at_us;
	enum bounce_class bounce_class; /* NONE: delivered */
	bool is_expired;
};

static void
end(struct fixture *f, struct suppress *s, const struct conf_suppression *r, const struct outcome *o)
{
	const struct suppress_end e = {.address = text("A@x.test"),
		.user = text("shop"),
		.job = text("news"),
		.is_delivered = o->bounce_class == BOUNCE_CLASS_NONE,
		.is_expired = o->is_expired,
		.bounce_class = o->bounce_class,
		.reply = text("550 no"),
		.now_us = o->at_us};

	OK(queue_store_begin(f->store));
	OK(suppress_on_end(s, r, &e));
	OK(queue_store_commit(f->store));
}

#define QUOTA BOUNCE_CLASS_QUOTA_ISSUES
#define DEAD  BOUNCE_CLASS_BAD_MAILBOX
#define FINE  BOUNCE_CLASS_NONE

static void
test_bounces_by_rule(void **state)
{
	static const struct {
		const char *name;
		struct outcome outcomes[6];
		int count;
		enum suppress_reason want;
	} cases[] = {
		{"dead", {{NOW, DEAD}}, 1, SUPPRESS_HARD_BOUNCE},
		{"a domain", {{NOW, BOUNCE_CLASS_BAD_DOMAIN}}, 1, SUPPRESS_HARD_BOUNCE},
		{"our own doing", {{NOW, BOUNCE_CLASS_SPAM_BLOCK}}, 1, SUPPRESS_NONE},
		{"dead, it says, but may come back", {{NOW, DEAD, true}}, 1, SUPPRESS_NONE},
		{"full on one day", {{NOW, QUOTA}, {NOW + 1, QUOTA}, {NOW + 2, QUOTA}}, 3, SUPPRESS_NONE},
		{"full on three days", {{NOW - 2 * DAY_US, QUOTA}, {NOW - DAY_US, QUOTA}, {NOW, QUOTA}}, 3,
			SUPPRESS_SOFT_BOUNCES},
		{"given up on as full and dead",
			{{NOW - 2 * DAY_US, QUOTA, true}, {NOW - DAY_US, DEAD, true}, {NOW, QUOTA}}, 3,
			SUPPRESS_SOFT_BOUNCES},
		{"the network",
			{{NOW - 2 * DAY_US, QUOTA}, {NOW - DAY_US, QUOTA},
				{NOW, BOUNCE_CLASS_BAD_CONNECTION, true}},
			3, SUPPRESS_NONE},
		{"a delivery between",
			{{NOW - 3 * DAY_US, QUOTA}, {NOW - 2 * DAY_US, QUOTA}, {NOW - DAY_US, FINE},
				{NOW, QUOTA}},
			4, SUPPRESS_NONE},
		{"out of the window", {{NOW - 6 * DAY_US, QUOTA}, {NOW - 5 * DAY_US, QUOTA}, {NOW, QUOTA}}, 3,
			SUPPRESS_NONE},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct suppress_hit hit;
		struct suppress *s;
		void *fresh;

		set_up(&fresh);
		s = list_of(fresh, i % 2 == 1);
		for (int n = 0; n < cases[i].count; n++)
			end(fresh, s, &rules, &cases[i].outcomes[n]);
		hit = find(s, "shop", "", "a@x.test");
		if (hit.reason != cases[i].want)
			fail_msg("%s: %s", cases[i].name, suppress_reason_name(hit.reason));
		assert_int_equal(find(s, "club", "", "a@x.test").reason, SUPPRESS_NONE);
		assert_int_equal(queue_suppress_count(((struct fixture *)fresh)->store, QUEUE_SUPPRESS_LIST),
			cases[i].want != SUPPRESS_NONE);
		suppress_destroy(&s);
		tear_down(&fresh);
	}
}

static void
test_rules_that_are_off(void **state)
{
	static const struct conf_suppression off = {.soft_window = DAY_US};
	const struct outcome dead = {NOW, BOUNCE_CLASS_BAD_MAILBOX}, full = {NOW, BOUNCE_CLASS_QUOTA_ISSUES};
	struct suppress *s = list_of(*state, false);
	struct fixture *f = *state;

	end(f, s, &off, &dead);
	end(f, s, &off, &full);
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 0);
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_STRIKES), 0);
	suppress_destroy(&s);
}

/* What an operator has said, or what lasts longer, stays. */
static void
test_what_a_bounce_does_not_replace(void **state)
{
	static const struct {
		enum suppress_reason before;
		int64_t expires_us;
		enum suppress_reason want;
	} cases[] = {
		{SUPPRESS_ALLOW, 0, SUPPRESS_NONE},
		{SUPPRESS_ALLOW, NOW + 1, SUPPRESS_NONE},
		{SUPPRESS_COMPLAINT, 0, SUPPRESS_COMPLAINT},
		{SUPPRESS_MANUAL, NOW + 11 * DAY_US, SUPPRESS_MANUAL},
		{SUPPRESS_MANUAL, NOW + DAY_US, SUPPRESS_HARD_BOUNCE},
		{SUPPRESS_MANUAL, NOW - 1, SUPPRESS_HARD_BOUNCE},
	};
	const struct outcome dead = {NOW, BOUNCE_CLASS_BAD_MAILBOX};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct suppress *s;
		void *fresh;

		set_up(&fresh);
		s = list_of(fresh, false);
		put_entry(fresh, s, "a@x.test", "user shop", cases[i].before, cases[i].expires_us);
		end(fresh, s, &rules, &dead);
		assert_int_equal(find(s, "shop", "", "a@x.test").reason, cases[i].want);
		suppress_destroy(&s);
		tear_down(&fresh);
	}
}

/* --- sweeping, and the secret --- */

static uint32_t
sweep(struct fixture *f, struct suppress *s, int64_t now_us)
{
	struct suppress_batch *b = suppress_sweep(s, now_us);
	uint32_t changed = 0;

	if (b == NULL)
		return 0;
	OK(queue_store_begin(f->store));
	OK(suppress_write(s, b, now_us));
	OK(queue_store_commit(f->store));
	changed = b->changed;
	free(b);
	return changed;
}

static void
test_sweeping(void **state)
{
	struct suppress *s = list_of(*state, false);
	struct fixture *f = *state;

	put_entry(f, s, "a@x.test", "global", SUPPRESS_MANUAL, NOW - 1);
	put_entry(f, s, "b@x.test", "global", SUPPRESS_MANUAL, 0);
	put_entry(f, s, "c@x.test", "global", SUPPRESS_MANUAL, NOW + DAY_US);
	assert_int_equal(sweep(f, s, NOW), 1);
	assert_int_equal(sweep(f, s, NOW + DAY_US - HOUR_US), 0);
	assert_int_equal(sweep(f, s, NOW + DAY_US + HOUR_US), 1);
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 1);
	suppress_destroy(&s);
}

/* What was put anew between the look and the commit stays. */
static void
test_sweeping_looks_again(void **state)
{
	struct suppress *s = list_of(*state, false);
	struct fixture *f = *state;
	struct suppress_batch *b;

	put_entry(f, s, "a@x.test", "global", SUPPRESS_MANUAL, NOW - 1);
	assert_non_null(b = suppress_sweep(s, NOW));
	put_entry(f, s, "a@x.test", "global", SUPPRESS_MANUAL, 0);
	OK(queue_store_begin(f->store));
	OK(suppress_write(s, b, NOW));
	OK(queue_store_commit(f->store));
	free(b);
	assert_int_equal(find(s, "", "", "a@x.test").reason, SUPPRESS_MANUAL);
	suppress_destroy(&s);
}

/* Text becomes hashes, which the next start still recognises. */
static void
test_from_text_to_hashes(void **state)
{
	struct suppress *s = list_of(*state, false);
	struct fixture *f = *state;

	put_entry(f, s, "a@x.test", "user shop", SUPPRESS_MANUAL, 0);
	put_entry(f, s, "b@x.test", "user shop", SUPPRESS_ALLOW, 0);
	suppress_set_hashed(s, true);
	put_entry(f, s, "b@x.test", "user shop", SUPPRESS_MANUAL, 0);
	assert_int_equal(find(s, "shop", "", "b@x.test").reason, SUPPRESS_NONE);
	assert_int_equal(sweep(f, s, NOW), 2);
	suppress_destroy(&s);
	stop(f);
	start(f);
	s = list_of(f, false);
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 2);
	assert_int_equal(find(s, "shop", "", "a@x.test").reason, SUPPRESS_MANUAL);
	assert_int_equal(find(s, "shop", "", "b@x.test").reason, SUPPRESS_NONE);
	suppress_destroy(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical_form),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_which_entry_counts),
		CASE(test_what_is_over_does_not_count),
		CASE(test_many_at_once),
		cmocka_unit_test(test_bounces_by_rule),
		CASE(test_rules_that_are_off),
		cmocka_unit_test(test_what_a_bounce_does_not_replace),
		CASE(test_sweeping),
		CASE(test_sweeping_looks_again),
		CASE(test_from_text_to_hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
