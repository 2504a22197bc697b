/* SPDX-License-Identifier: Apache-2.0 */
/* What a site would be called under another configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "route/site.h"

static const char from_text[] =
	HOST "provider old { mx = \"*.old.example\" }\nprovider both { domains = both.example }\n"
	     "route gone { domains = gone.example hosts = 192.0.2.1 }\n";
static const char to_text[] =
	HOST "provider both { domains = both.example }\nprovider fresh { mx = \"*.mx.example\" }\n"
	     "route r { domains = routed.example hosts = 192.0.2.1 }\n"
	     "domain apart.example { rate = 1/m }\ndomain tls.example { tls = encrypt }\n";

static const struct {
	const char *name, *domain, *site, *want;
} cases[] = {
	{"nothing changes", "a.example", "mx1.a.example+1a2b3c4d", "mx1.a.example+1a2b3c4d"},
	{"one host", "a.example", "mx1.a.example", "mx1.a.example"},
	{"a provider takes the best host", "a.example", "in.mx.example+1a2b3c4d", "fresh"},
	{"a provider stays", "both.example", "both", "both"},
	{"its mx set is not known", "x.example", "both", "both"},
	{"a provider goes", "x.example", "old", "old"},
	{"a route comes", "routed.example", "mx1.routed.example", "route:r"},
	{"a route goes", "gone.example", "route:gone", "gone.example"},
	{"limits of its own", "apart.example", "mx.apart.example", "mx.apart.example@apart.example"},
	{"limits no longer its own", "was.example", "mx.was.example@was.example", "mx.was.example"},
	{"tls of its own", "tls.example", "mx.tls.example", "mx.tls.example/encrypt:25"},
	{"an address", "[192.0.2.1]", "[192.0.2.1]", "[192.0.2.1]"},
};

static void
test_rename(void **state)
{
	const struct conf *from = must_load(*state, from_text), *to = must_load(*state, to_text);
	char out[SITE_NAME_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		site_rename(from, to, cases[i].domain, cases[i].site, out);
		if (strcmp(out, cases[i].want) != 0)
			fail_msg("%s: %s, not %s", cases[i].name, out, cases[i].want);
	}
	conf_unref(from);
	conf_unref(to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {WITH_FOLDER(test_rename)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
