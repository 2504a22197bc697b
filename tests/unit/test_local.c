/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/local.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/resource.h>

static int
probe(const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(25)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return local_probe((const struct sockaddr *)&v4);
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return local_probe((const struct sockaddr *)&v6);
}

static void
test_probe(void **state)
{
	int err = probe("2001:db8::1");

	assert_int_equal(probe("127.0.0.1"), 0);
	assert_int_equal(probe("127.9.9.9"), 0);
	assert_int_equal(probe("192.0.2.1"), EADDRNOTAVAIL);
	assert_true(err == EADDRNOTAVAIL || err == EAFNOSUPPORT); /* without any IPv6 */
}

/* Without descriptors nothing is known, and that can be told. */
static void
test_shortage(void **state)
{
	struct rlimit before, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_true(local_is_shortage(probe("127.0.0.1")));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void
test_whose_fault(void **state)
{
	static const struct {
		int err;
		bool is_ours, is_shortage;
	} cases[] = {{EADDRNOTAVAIL, true, false}, {EACCES, true, false}, {EPERM, true, false},
		{EAFNOSUPPORT, true, false}, {ENETUNREACH, true, false}, {EHOSTUNREACH, true, false},
		{ENETDOWN, true, false}, {EMFILE, true, true}, {ENOBUFS, true, true},
		{EADDRINUSE, true, true}, {ECONNREFUSED, false, false}, {ETIMEDOUT, false, false},
		{ECONNRESET, false, false}, {EINVAL, false, false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(local_is_fault(cases[i].err), cases[i].is_ours);
		assert_int_equal(local_is_shortage(cases[i].err), cases[i].is_shortage);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_shortage),
		cmocka_unit_test(test_whose_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
