/* SPDX-License-Identifier: Apache-2.0 */
/* unwanted: C18, each kind of address with its first and last one, and a neighbour that is wanted. */
#include "route/route.h"
#include "route/unwanted.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const unwanted[] = {
	"0.0.0.0",
	"0.255.255.255",
	"10.0.0.0",
	"10.255.255.255",
	"100.64.0.0",
	"100.127.255.255",
	"127.0.0.1",
	"127.255.255.255",
	"169.254.0.0",
	"169.254.169.254",
	"172.16.0.0",
	"172.31.255.255",
	"192.0.0.1",
	"192.0.2.1",
	"192.88.99.1",
	"192.168.0.1",
	"192.168.255.255",
	"198.18.0.0",
	"198.19.255.255",
	"198.51.100.7",
	"203.0.113.9",
	"224.0.0.1",
	"239.255.255.255",
	"240.0.0.1",
	"255.255.255.255",
	"::",
	"::1",
	"::7f00:1",
	"::ffff:127.0.0.1",
	"::ffff:10.0.0.1",
	"::ffff:0.0.0.0",
	"64:ff9b::10.0.0.1",
	"64:ff9b::127.0.0.1",
	"64:ff9b:1::1",
	"100::1",
	"2001::1",
	"2001:2::1",
	"2001:10::1",
	"2001:db8::1",
	"2002:a00:1::1",
	"2002:7f00:1::1",
	"3fff::1",
	"5f00::1",
	"fc00::1",
	"fdff::1",
	"fe80::1",
	"febf::1",
	"fec0::1",
	"ff02::1",
};
static const char *const wanted[] = {
	"1.0.0.0",
	"9.255.255.255",
	"11.0.0.0",
	"100.63.255.255",
	"100.128.0.0",
	"126.255.255.255",
	"128.0.0.0",
	"169.253.255.255",
	"169.255.0.0",
	"172.15.255.255",
	"172.32.0.0",
	"192.0.1.1",
	"192.0.3.1",
	"192.167.255.255",
	"192.169.0.0",
	"198.17.255.255",
	"198.20.0.0",
	"203.0.114.1",
	"223.255.255.255",
	"8.8.8.8",
	"::ffff:8.8.8.8",
	"64:ff9b::8.8.8.8",
	"2002:808:808::1",
	"2001:200::1",
	"2001:4860:4860::8888",
	"2600::1",
	"2a00::1",
	"3ffe::1",
	"fbff::1",
	"100:1::1",
};

static struct sockaddr_storage
address(const char *text, uint16_t port)
{
	struct sockaddr_storage s = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&s;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&s;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
	} else {
		memset(&s, 0, sizeof(s));
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
	}
	return s;
}

static bool
is_unwanted(const char *text)
{
	struct sockaddr_storage s = address(text, 25);

	return route_is_unwanted((struct sockaddr *)&s);
}

static void
test_C18_lists(void **state)
{
	struct sockaddr local = {.sa_family = AF_UNIX};

	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
		if (!is_unwanted(unwanted[i]))
			fail_msg("%s is let through", unwanted[i]);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (is_unwanted(wanted[i]))
			fail_msg("%s is refused", wanted[i]);
	assert_true(route_is_unwanted(&local));
}

static bool
has(const struct unwanted_own *o, const char *text)
{
	struct sockaddr_storage s = address(text, 25);

	return unwanted_own_has(o, (struct sockaddr *)&s);
}

static bool
listens(const struct unwanted_own *o, const char *text, uint16_t port)
{
	struct sockaddr_storage s = address(text, port);

	return unwanted_own_listens(o, (struct sockaddr *)&s);
}

static void
test_C18_C19_own(void **state)
{
	const struct conf_endpoint endpoints[] = {
		{.family = AF_INET, .address = address("5.5.5.5", 587)},
		{.family = AF_INET, .address = address("0.0.0.0", 465)},
		{.family = AF_INET6, .address = address("2600::5", 587)},
		{.family = AF_UNIX, .address = {.ss_family = AF_UNIX}},
	};
	struct conf_listen listen = {.endpoints = {endpoints, 4}};
	const struct conf conf = {.listens = &listen, .listen_count = 1};
	struct unwanted_own *o = unwanted_own_create(&conf);

	assert_true(has(o, "127.0.0.1")); /* an interface's */
	assert_true(has(o, "127.9.9.9"));
	assert_true(has(o, "5.5.5.5")); /* a listener's */
	assert_true(has(o, "::ffff:5.5.5.5"));
	assert_true(has(o, "2600::5"));
	assert_false(has(o, "0.0.0.0")); /* a wildcard is nobody's address */
	assert_false(has(o, "5.5.5.6"));
	assert_false(has(o, "2600::6"));
	assert_true(listens(o, "5.5.5.5", 587));
	assert_false(listens(o, "5.5.5.5", 25));
	assert_false(listens(o, "5.5.5.6", 587));
	assert_true(listens(o, "127.0.0.1", 465)); /* by the wildcard */
	assert_false(listens(o, "127.0.0.1", 587));
	assert_false(listens(o, "5.5.5.6", 465));
	unwanted_own_destroy(&o);
	assert_null(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_C18_lists),
		cmocka_unit_test(test_C18_C19_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
