/* SPDX-License-Identifier: Apache-2.0 */
/* Sources whose addresses come and go, on a clock of the test's. The probe itself: test_local.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "shape/source.h"

#include <errno.h>
#include <netinet/in.h>

#define SEC   INT64_C(1000000)
#define BEGUN (1000 * SEC)

/* The machine: what probes find, and what was told. */
static struct machine {
	struct sources *sources;
	int v4, v6; /* errno of a probe */
	int probes, told;
	enum source_state from;
	int64_t from_us;
	struct source_view view;
	char why[SOURCE_WHY_MAX], addresses[SOURCE_ADDRESSES_MAX];
} m;

static int
probe(const struct sockaddr *address)
{
	m.probes++;
	return address->sa_family == AF_INET6 ? m.v6 : m.v4;
}

static void
look(size_t source)
{
	sources_view(m.sources, source, &m.view);
	snprintf(m.why, sizeof(m.why), "%s", m.view.why);
	snprintf(m.addresses, sizeof(m.addresses), "%s", m.view.addresses);
}

static void
on_tell(void *arg, size_t source, enum source_state from, int64_t from_us)
{
	assert_ptr_equal(arg, &m);
	m.told++;
	m.from = from;
	m.from_us = from_us;
	look(source);
}

static void
use(const struct conf *conf)
{
	const struct sources_conf sc = {conf, probe, on_tell, &m};
	struct sources *old = m.sources;

	m.sources = sources_create(&sc, old);
	assert_non_null(m.sources);
	sources_destroy(&old);
	conf_unref(conf);
}

static void
begin(const struct folder *f, const char *source)
{
	char text[300];

	m = (struct machine){.v4 = 0};
	snprintf(text, sizeof(text), HOST "source a { %s }\n", source);
	use(must_load(f, text));
}

/* Each case is a list of times, what the addresses say from then on, and what is known then. */
static void
test_states(void **state)
{
	static const char two[] = "address = { 127.0.0.9, ::1 }", one[] = "address = 127.0.0.9";
	static const struct {
		const char *name, *source;
		struct {
			int at_s, v4, v6;
			enum source_state state;
			int told;            /* since the step before */
			int since_s, next_s; /* after at_s */
			const char *why;
		} steps[6];
	} cases[] = {
		{"always there", one,
			{{0, 0, 0, SOURCE_UP, 0, 0, 60, ""}, {60, 0, 0, SOURCE_UP, 0, 0, 60, ""}}},
		{"missing at the start, then there", one,
			{{0, EADDRNOTAVAIL, 0, SOURCE_DOWN, 1, 0, 1,
				 "cannot bind 127.0.0.9: Cannot assign requested address"},
				{1, EADDRNOTAVAIL, 0, SOURCE_DOWN, 0, 0, 1,
					"cannot bind 127.0.0.9: Cannot assign requested address"},
				{2, 0, 0, SOURCE_UP, 1, 2, 60, ""}}},
		{"goes away", one,
			{{0, 0, 0, SOURCE_UP, 0, 0, 60, ""},
				{60, EACCES, 0, SOURCE_DOWN, 1, 60, 1,
					"cannot bind 127.0.0.9: Permission denied"}}},
		{"goes for another reason", one,
			{{0, EACCES, 0, SOURCE_DOWN, 1, 0, 1, "cannot bind 127.0.0.9: Permission denied"},
				{1, EPERM, 0, SOURCE_DOWN, 1, 0, 1,
					"cannot bind 127.0.0.9: Operation not permitted"}}},
		{"of two the one and the other", two,
			{{0, 0, EADDRNOTAVAIL, SOURCE_DEGRADED, 1, 0, 1,
				 "cannot bind ::1: Cannot assign requested address"},
				{1, EADDRNOTAVAIL, EADDRNOTAVAIL, SOURCE_DOWN, 1, 1, 1,
					"cannot bind 127.0.0.9: Cannot assign requested address; cannot bind "
					"::1: Cannot assign requested address"},
				{2, EADDRNOTAVAIL, 0, SOURCE_DEGRADED, 1, 2, 1,
					"cannot bind 127.0.0.9: Cannot assign requested address"},
				{3, 0, 0, SOURCE_UP, 1, 3, 60, ""}}},
		{"no IPv6 at all", two,
			{{0, 0, EAFNOSUPPORT, SOURCE_DEGRADED, 1, 0, 1,
				"cannot bind ::1: Address family not supported by protocol"}}},
		{"without descriptors nothing changes", one,
			{{0, EMFILE, 0, SOURCE_UP, 0, 0, 60, ""},
				{60, EADDRNOTAVAIL, 0, SOURCE_DOWN, 1, 60, 1,
					"cannot bind 127.0.0.9: Cannot assign requested address"},
				{61, ENFILE, 0, SOURCE_DOWN, 0, 60, 1,
					"cannot bind 127.0.0.9: Cannot assign requested address"}}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(*state, cases[i].source);
		for (size_t k = 0; k < 6 && cases[i].steps[k].why != NULL; k++) {
			int64_t now_us = BEGUN + cases[i].steps[k].at_s * SEC;

			m.told = 0;
			m.v4 = cases[i].steps[k].v4;
			m.v6 = cases[i].steps[k].v6;
			sources_check(m.sources, now_us);
			look(0);
			if (m.view.state != cases[i].steps[k].state || m.told != cases[i].steps[k].told ||
				m.view.since_us != BEGUN + cases[i].steps[k].since_s * SEC ||
				m.view.next_us != now_us + cases[i].steps[k].next_s * SEC ||
				strcmp(m.why, cases[i].steps[k].why) != 0)
				fail_msg("%s, step %zu: state %d, told %d, since %lld, next %lld, \"%s\"",
					cases[i].name, k, (int)m.view.state, m.told,
					(long long)(m.view.since_us - BEGUN),
					(long long)(m.view.next_us - now_us), m.why);
			assert_int_equal(m.view.lacks_v4, strstr(m.why, "127.0.0.9") != NULL);
			assert_int_equal(m.view.lacks_v6, strstr(m.why, "::1") != NULL);
		}
		sources_destroy(&m.sources);
	}
}

/* Twice as long each time, up to a minute; said at once, and then once an hour. */
static void
test_backoff(void **state)
{
	static const int waits_s[] = {1, 1, 2, 4, 8, 16, 32, 60, 60};
	int64_t now_us = BEGUN;

	begin(*state, "address = 127.0.0.9");
	m.v4 = EADDRNOTAVAIL;
	for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
		int before = m.probes;

		sources_check(m.sources, now_us);
		assert_int_equal(m.probes, before + 1);
		sources_check(m.sources, now_us + waits_s[i] * SEC - 1);
		assert_int_equal(m.probes, before + 1);
		now_us += waits_s[i] * SEC;
	}
	for (; now_us < BEGUN + 7100 * SEC; now_us += SEC)
		sources_check(m.sources, now_us);
	assert_int_equal(m.told, 2);
	assert_int_equal(m.from, SOURCE_DOWN);
	assert_in_range(m.probes, 7100 / 60, 7100 / 60 + 8);
	sources_destroy(&m.sources);
}

/* A connection that failed has it probed before its time; what it lacked otherwise is worth a word a minute.
 */
static void
test_suspect(void **state)
{
	int before;

	begin(*state, "address = 127.0.0.9");
	sources_check(m.sources, BEGUN);
	assert_true(sources_suspect(m.sources, 0, BEGUN + SEC));
	assert_false(sources_suspect(m.sources, 0, BEGUN + 2 * SEC));
	assert_true(sources_suspect(m.sources, 0, BEGUN + 61 * SEC));
	assert_int_equal(m.told, 0);
	m.v4 = EADDRNOTAVAIL;
	assert_false(sources_suspect(m.sources, 0, BEGUN + 200 * SEC));
	assert_int_equal(m.told, 1);
	assert_int_equal(m.view.state, SOURCE_DOWN);
	assert_int_equal(m.from_us, BEGUN);
	/* A hundred lanes say the same: one probe was enough. */
	before = m.probes;
	assert_false(sources_suspect(m.sources, 0, BEGUN + 200 * SEC));
	assert_int_equal(m.probes, before);
	m.v4 = 0;
	sources_check(m.sources, BEGUN + 201 * SEC);
	assert_int_equal(m.view.state, SOURCE_UP);
	assert_int_equal(m.from, SOURCE_DOWN);
	assert_int_equal(m.from_us, BEGUN + 200 * SEC);
	sources_destroy(&m.sources);
}

/* Known by name; probed at once; and a source that takes its address from the system is never down. */
static void
test_reload(void **state)
{
	begin(*state, "address = 127.0.0.9");
	m.v4 = EADDRNOTAVAIL;
	sources_check(m.sources, BEGUN);
	sources_check(m.sources, BEGUN + 100 * SEC);
	assert_int_equal(m.told, 1);
	use(must_load(*state, HOST "source b { address = ::1 }\nsource a { address = 127.0.0.9 }\n"));
	sources_check(m.sources, BEGUN + 101 * SEC);
	assert_int_equal(m.told, 1);
	look(1);
	assert_string_equal(m.view.name, "a");
	assert_int_equal(m.view.state, SOURCE_DOWN);
	assert_int_equal(m.view.since_us, BEGUN);
	assert_int_equal(m.view.next_us, BEGUN + 161 * SEC);
	/* Another address, missing too. */
	use(must_load(*state, HOST "source a { address = 127.0.0.10 }\n"));
	sources_check(m.sources, BEGUN + 102 * SEC);
	assert_int_equal(m.told, 2);
	assert_string_equal(m.addresses, "127.0.0.10");
	use(must_load(*state, HOST "source a { ehlo = a.example.com }\n"));
	sources_check(m.sources, BEGUN + 103 * SEC);
	assert_int_equal(m.told, 3);
	assert_int_equal(m.view.state, SOURCE_UP);
	assert_int_equal(m.view.next_us, INT64_MAX);
	sources_destroy(&m.sources);
}

/* Of two missing addresses one is taken out of the configuration: the other is still missing, and was all it
 * had. */
static void
test_reload_leaves_one(void **state)
{
	begin(*state, "address = { 127.0.0.9, ::1 }");
	m.v4 = EADDRNOTAVAIL;
	sources_check(m.sources, BEGUN);
	assert_int_equal(m.view.state, SOURCE_DEGRADED);
	use(must_load(*state, HOST "source a { address = 127.0.0.9 }\n"));
	sources_check(m.sources, BEGUN + SEC);
	assert_int_equal(m.told, 2);
	assert_int_equal(m.view.state, SOURCE_DOWN);
	sources_destroy(&m.sources);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_states),
		WITH_FOLDER(test_backoff),
		WITH_FOLDER(test_suspect),
		WITH_FOLDER(test_reload),
		WITH_FOLDER(test_reload_leaves_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
