/* SPDX-License-Identifier: Apache-2.0 */
/* auth: only the right password of a known user is right, secrets do not stay, and users send as themselves.
 */
#include "intake/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECRET "correct horse battery staple"

struct fixture {
	char dir[64], conf_path[96], hash_path[96];
	char hash[200];
	const struct conf *conf;
};

static int
group_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	FILE *out;

	assert_true(auth_hash(SECRET, f->hash, sizeof(f->hash)));
	snprintf(f->dir, sizeof(f->dir), "/tmp/mtad-auth-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->conf_path, sizeof(f->conf_path), "%s/mtad.conf", f->dir);
	snprintf(f->hash_path, sizeof(f->hash_path), "%s/shop", f->dir);
	assert_non_null(out = fopen(f->hash_path, "w"));
	fprintf(out, "%s\n", f->hash);
	fclose(out);
	assert_int_equal(chmod(f->hash_path, 0600), 0);
	assert_non_null(out = fopen(f->conf_path, "w"));
	fprintf(out,
		"hostname = mta.x.test\naccounting-file = none\nspool-dir = %s/spool\n"
		"listen l { address = { \"127.0.0.1:2525\" } auth-in-clear = yes }\n"
		"user shop { password-file = %s senders = { \"@example.com\", \"Boss@other.test\", "
		"\"@b\xc3\xbc"
		"cher.test\" } }\n"
		"user any { password-file = %s }\n",
		f->dir, f->hash_path, f->hash_path);
	fclose(out);
	f->conf = conf_load(f->conf_path, stderr);
	assert_non_null(f->conf);
	*state = f;
	return 0;
}

static int
group_teardown(void **state)
{
	struct fixture *f = *state;

	conf_unref(f->conf);
	unlink(f->conf_path);
	unlink(f->hash_path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static const struct {
	const char *user, *secret;
	bool is_right;
} passwords[] = {
	{"shop", SECRET, true},
	{"any", SECRET, true},
	{"shop", "correct horse battery stapl", false},
	{"shop", "Correct horse battery staple", false},
	{"shop", "", false},
	{"nobody", SECRET, false},
	{"", SECRET, false},
	{"", "", false},
	{"shop ", SECRET, false},
	{"sho", SECRET, false},
};

static void
test_passwords(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(passwords) / sizeof(passwords[0]); i++) {
		struct password p = {.conf = f->conf, .is_right = true};

		snprintf(p.user, sizeof(p.user), "%s", passwords[i].user);
		snprintf(p.secret, sizeof(p.secret), "%s", passwords[i].secret);
		auth_check(&p);
		if (p.is_right != passwords[i].is_right)
			fail_msg("\"%s\" \"%s\"", passwords[i].user, passwords[i].secret);
		for (size_t k = 0; k < sizeof(p.secret); k++)
			assert_int_equal(p.secret[k], 0);
	}
}

/* CPU time of one check, the least of some. */
static int64_t
cost_us(const struct conf *conf, const char *user)
{
	struct timespec from, to;
	int64_t least = INT64_MAX, us;

	for (int i = 0; i < 3; i++) {
		struct password p = {.conf = conf};

		snprintf(p.user, sizeof(p.user), "%s", user);
		snprintf(p.secret, sizeof(p.secret), "wrong");
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
		auth_check(&p);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
		assert_false(p.is_right);
		us = (to.tv_sec - from.tv_sec) * INT64_C(1000000) + (to.tv_nsec - from.tv_nsec) / 1000;
		least = us < least ? us : least;
	}
	return least;
}

/* Names cannot be told by the clock. */
static void
test_unknown_user_costs_the_same(void **state)
{
	const struct fixture *f = *state;
	int64_t known = cost_us(f->conf, "shop"), unknown = cost_us(f->conf, "nobody");

	assert_true(known > 1000); /* slow on purpose */
	assert_true(unknown > known / 2 && unknown < known * 2);
}

/* The longest of everything; and the password that is the hash itself. */
static void
test_odd_passwords(void **state)
{
	const struct fixture *f = *state;
	struct password p = {.conf = f->conf};

	memset(p.user, 'u', SMTP_CREDENTIAL_MAX);
	memset(p.secret, 's', SMTP_CREDENTIAL_MAX);
	auth_check(&p);
	assert_false(p.is_right);
	p = (struct password){.conf = f->conf, .user = "shop"};
	snprintf(p.secret, sizeof(p.secret), "%s", f->hash);
	auth_check(&p);
	assert_false(p.is_right);
}

static void
test_hash(void **state)
{
	const struct fixture *f = *state;
	char again[200], small[20];

	assert_memory_equal(f->hash, "$y$", 3);
	assert_true(auth_hash(SECRET, again, sizeof(again)));
	assert_string_not_equal(again, f->hash); /* salted */
	assert_false(auth_hash(SECRET, small, sizeof(small)));
}

static const struct {
	const char *user, *sender;
	bool may;
} senders[] = {
	{"any", "who@ever.test", true},
	{"shop", "news@example.com", true},
	{"shop", "News@EXAMPLE.com", true},
	{"shop", "boss@other.test", true},
	{"shop", "staff@other.test", false},
	{"shop",
		"a@B\xc3\x9c"
		"CHER.test",
		true},
	{"shop", "a@xn--bcher-kva.test", true},
	{"shop",
		"a@b\xc3\xbc"
		"ch.test",
		false},
	{"shop", "a@[192.0.2.1]", false},
	{"shop", "news@sub.example.com", false},
	{"shop", "news@badexample.com", false},
	{"shop", "news@example.com.evil.test", false},
	{"shop", "\"x@example.com\"@evil.test", false},
	{"shop", "example.com", false},
	{"shop", "@example.com", true}, /* no local part: the parser refuses it before */
	{"shop", "postmaster", false},
};

static void
test_senders(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
		const struct conf_user *user =
			conf_user_find(f->conf, senders[i].user, strlen(senders[i].user));
		struct smtp_slice s = {senders[i].sender, strlen(senders[i].sender)};

		assert_non_null(user);
		if (auth_may_send_as(user, s) != senders[i].may)
			fail_msg("%s as %s", senders[i].user, senders[i].sender);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_unknown_user_costs_the_same),
		cmocka_unit_test(test_odd_passwords),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_senders),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
