/* SPDX-License-Identifier: Apache-2.0 */
/* rcpt_set: what is the same recipient, and that thousands of them are found again. */
#include "intake/rcpt_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

/* True: it was new and has been added. */
static bool
add(struct rcpt_set *set, struct message *m, const char *local, const char *written, const char *domain)
{
	char address[200];
	struct queue_rcpt r = {.address = {address, 0}};
	int found = rcpt_set_find(set, m, (struct smtp_slice){local, strlen(local)},
		(struct smtp_slice){domain, strlen(domain)});

	assert_true(found >= 0);
	if (found > 0)
		return false;
	r.address.len = (size_t)snprintf(address, sizeof(address), "%s@%s", local, written);
	assert_true(message_add_rcpt(m, &r, (struct queue_blob){domain, strlen(domain)}));
	rcpt_set_add(set, m);
	return true;
}

static const struct {
	const char *local, *written, *domain;
	bool is_new;
} rcpts[] = {
	{"a", "x.test", "x.test", true},
	{"a", "x.test", "x.test", false},
	{"a", "X.Test", "x.test", false},
	{"A", "x.test", "x.test", true},
	{"a", "y.test", "y.test", true},
	{"ax", ".test", ".test", true}, /* the same bytes, cut elsewhere */
	{"\"a@x.test\"", "x.test", "x.test", true},
	{"\"a@x.test\"", "X.test", "x.test", false},
	{"\"a\"", "x.test", "x.test", true},
	{"a", "[192.0.2.1]", "[192.0.2.1]", true},
	{"", "x.test", "x.test", true},
};

static void
test_same(void **state)
{
	struct message *m = message_create(NULL);
	struct rcpt_set set = {0};

	for (size_t i = 0; i < sizeof(rcpts) / sizeof(rcpts[0]); i++)
		if (add(&set, m, rcpts[i].local, rcpts[i].written, rcpts[i].domain) != rcpts[i].is_new)
			fail_msg("%s@%s", rcpts[i].local, rcpts[i].written);
	rcpt_set_clear(&set);
	message_unref(m);
}

static void
test_many(void **state)
{
	struct message *m = message_create(NULL);
	struct rcpt_set set = {0};
	char local[20];

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 20000; i++) {
			snprintf(local, sizeof(local), "user%d", i);
			assert_int_equal(add(&set, m, local, "x.test", "x.test"), round == 0);
		}
	assert_int_equal(m->rcpt_count, 20000);
	rcpt_set_clear(&set);
	assert_true(set.slots == NULL && set.max == 0);
	message_unref(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
