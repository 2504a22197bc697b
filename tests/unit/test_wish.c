/* SPDX-License-Identifier: Apache-2.0 */
/* What a message asks for: every time and class that is granted, and every one that is not, with its words.
 */
#include "intake/wish.h"

#include "queue/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S   INT64_C(1000000)
#define DAY (86400 * S)
/* 2026-12-24 08:00:00.000007 */
#define AT  INT64_C(1798099200)
#define NOW (AT * S + 7)

static bool
says(const char *text, const char *words)
{
	return text != NULL && strstr(text, words) != NULL;
}

/* --- MAIL --- */

static const struct {
	const char *name;
	struct smtp_server_mail mail;
	int64_t release_us, expire_us, notice_us;
	const char *why; /* NULL: granted */
} mails[] = {
	{"nothing", {.size = 0}, 0, 0, 0, NULL},
	{"for a second", {.has_hold = true, .hold_for_s = 1}, NOW + S, 0, 0, NULL},
	{"for 30 days", {.has_hold = true, .hold_for_s = 2592000}, NOW + 30 * DAY, 0, 0, NULL},
	{"for a second more", {.has_hold = true, .hold_for_s = 2592001}, 0, 0, 0, "30 days"},
	{"for 31 years", {.has_hold = true, .hold_for_s = 999999999}, 0, 0, 0, "30 days"},
	{"until then", {.has_hold = true, .hold_until = AT + 60}, (AT + 60) * S, 0, 0, NULL},
	{"until now", {.has_hold = true, .hold_until = AT}, 0, 0, 0, NULL},
	{"until long ago", {.has_hold = true, .hold_until = -1}, 0, 0, 0, NULL},
	{"until the end of dates", {.has_hold = true, .hold_until = 253402300799 + 86399}, 0, 0, 0,
		"30 days"},
	{"until 30 days", {.has_hold = true, .hold_until = AT + 2592000}, AT *S + 30 * DAY, 0, 0, NULL},
	{"until a second more", {.has_hold = true, .hold_until = AT + 2592001}, 0, 0, 0, "30 days"},
	{"return", {.by = SMTP_BY_RETURN, .by_s = 60}, 0, NOW + 60 * S, 0, NULL},
	{"notify", {.by = SMTP_BY_NOTIFY, .by_s = 60}, 0, 0, NOW + 60 * S, NULL},
	{"notify of what is over", {.by = SMTP_BY_NOTIFY, .by_s = -60}, 0, 0, NOW - 60 * S, NULL},
	{"both", {.has_hold = true, .hold_for_s = 59, .by = SMTP_BY_RETURN, .by_s = 60}, NOW + 59 * S,
		NOW + 60 * S, 0, NULL},
	{"over when it goes", {.has_hold = true, .hold_for_s = 60, .by = SMTP_BY_RETURN, .by_s = 60}, 0, 0, 0,
		"the time of BY"},
	{"noticed before it goes", {.has_hold = true, .hold_for_s = 60, .by = SMTP_BY_NOTIFY, .by_s = 1}, 0,
		0, 0, "the time of BY"},
	{"a date that is past does not count", {.has_hold = true, .by = SMTP_BY_NOTIFY, .by_s = -60}, 0, 0,
		NOW - 60 * S, NULL},
};

static void
test_mail(void **state)
{
	for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++) {
		struct queue_message m = {.id = 0};
		const char *why = NULL;
		bool ok = wish_of_mail(&mails[i].mail, NOW, &m, &why);

		if (ok != (mails[i].why == NULL) || (!ok && !says(why, mails[i].why)))
			fail_msg("%s: %s", mails[i].name, why);
		if (ok && (m.release_us != mails[i].release_us || m.expire_us != mails[i].expire_us ||
				  m.notice_us != mails[i].notice_us))
			fail_msg("%s: %lld %lld %lld", mails[i].name, (long long)m.release_us,
				(long long)m.expire_us, (long long)m.notice_us);
	}
}

/* A clock that stands at its beginning: 0 would say that no notice was asked for. */
static void
test_notice_before_the_first_second(void **state)
{
	const struct smtp_server_mail mail = {.by = SMTP_BY_NOTIFY, .by_s = -999999999};
	struct queue_message m = {.id = 0};
	const char *why;

	assert_true(wish_of_mail(&mail, 0, &m, &why));
	assert_int_equal(m.notice_us, 1);
}

/* --- the header --- */

#define FORMS "write 2026-12-24T08:00:00+01:00"
static const struct {
	const char *value;
	int64_t want_us;
	const char *why;
} releases[] = {
	{"2026-12-24T08:01:00Z", (AT + 60) * S, NULL},
	{"2026-12-24T10:01:00+02:00", (AT + 60) * S, NULL},
	{"Thu, 24 Dec 2026 08:01:00 +0000", (AT + 60) * S, NULL},
	{"24 Dec 2026 10:01 +0200 (EET)", (AT + 60) * S, NULL},
	{"after 2h", NOW + 7200 * S, NULL},
	{"After\t 1h30m", NOW + 5400 * S, NULL},
	{"after 30d", NOW + 30 * DAY, NULL},
	{"after 0s", 0, NULL},
	{"2026-12-24T07:59:59Z", 0, NULL},
	{"Mon, 01 Jan 2001 00:00:00 +0000", 0, NULL},
	{"after 31d", 0, "30 days"},
	{"after 9000000000d", 0, FORMS},
	{"after 100000000d", 0, "30 days"},
	{"2027-01-23T08:00:01Z", 0, "30 days"},
	{"9999-12-31T23:59:59-23:59", 0, "30 days"},
	{"", 0, FORMS},
	{"after", 0, FORMS},
	{"after ", 0, FORMS},
	{"after2h", 0, FORMS},
	{"after 2", 0, FORMS},
	{"after -2h", 0, FORMS},
	{"after 2 weeks", 0, FORMS},
	{"in 2h", 0, FORMS},
	{"2h", 0, FORMS},
	{"tomorrow", 0, FORMS},
	{"1798099260", 0, FORMS},
	{"2026-12-24", 0, FORMS},
	{"2026-12-24T08:01", 0, FORMS},
	{"24.12.2026 08:01", 0, FORMS},
	{"Fri, 24 Dec 2026 08:01:00 +0000", 0, FORMS},
};

static void
test_release(void **state)
{
	for (size_t i = 0; i < sizeof(releases) / sizeof(releases[0]); i++) {
		struct queue_message m = {.release_us = 99};
		const char *why = NULL;
		bool ok = wish_release(releases[i].value, NOW, &m, &why);

		if (ok != (releases[i].why == NULL) || (!ok && !says(why, releases[i].why)) ||
			(ok && m.release_us != releases[i].want_us))
			fail_msg("%s: %lld %s", releases[i].value, (long long)m.release_us, why);
	}
}

/* MAIL with BY, then a header. */
static void
test_release_after_the_limit(void **state)
{
	for (int by_notice = 0; by_notice < 2; by_notice++) {
		struct queue_message m = {.id = 0};
		const char *why = NULL;

		*(by_notice ? &m.notice_us : &m.expire_us) = NOW + 3600 * S;
		assert_false(wish_release("after 1h", NOW, &m, &why));
		assert_true(says(why, "BY"));
		assert_true(wish_release("after 59m", NOW, &m, &why));
	}
}

/* --- the class --- */

static void
test_class(void **state)
{
	static const struct {
		struct smtp_slice value;
		int want; /* -1: none */
	} cases[] = {
		{SMTP_LIT("normal"), QUEUE_CLASS_NORMAL},
		{SMTP_LIT("urgent"), QUEUE_CLASS_URGENT},
		{SMTP_LIT("BULK"), QUEUE_CLASS_BULK},
		{SMTP_LIT(""), -1},
		{SMTP_LIT("bul"), -1},
		{SMTP_LIT("bulky"), -1},
		{SMTP_LIT("bulk\0"), -1},
		{SMTP_LIT("high"), -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum queue_class c = QUEUE_CLASS_COUNT;
		const char *why = NULL;
		bool ok = wish_class(cases[i].value, &c, &why);

		assert_int_equal(ok, cases[i].want >= 0);
		if (ok)
			assert_int_equal(c, cases[i].want);
		else
			assert_true(says(why, "urgent, normal and bulk"));
	}
}

/* RFC 6710 5: a number between the levels of the profile (-4, 0, 4) is rounded up to the next, one above them
 * down to the last. RFC 6710 7: none but these numbers. */
static void
test_priority(void **state)
{
	for (int p = -12; p <= 12; p++) {
		enum queue_class want = p > 0     ? QUEUE_CLASS_URGENT
					: p <= -4 ? QUEUE_CLASS_BULK
						  : QUEUE_CLASS_NORMAL;
		struct queue_message m = {.klass = QUEUE_CLASS_COUNT};
		const char *why = NULL;
		char text[8];
		int len = snprintf(text, sizeof(text), "%d", p);
		bool ok = wish_priority((struct smtp_slice){text, (size_t)len}, &m, &why);

		assert_int_equal(ok, p >= -9 && p <= 9);
		assert_int_equal(m.klass, ok ? want : QUEUE_CLASS_COUNT);
		assert_int_equal(m.priority, ok ? p : 0);
		assert_true(ok || says(why, "from -9 to 9"));
		assert_true(!ok || wish_class_of_priority(p) == want);
	}
}

/* RFC 2852 4.1.4, RFC 4865 5.1.2: what reports and sites are told of it later. */
static void
test_what_is_told(void **state)
{
	const struct smtp_server_mail mail = {
		.has_hold = true, .hold_for_s = 60, .by = SMTP_BY_NOTIFY, .by_s = 120, .by_trace = true};
	struct queue_message m = {.flags = QUEUE_MESSAGE_8BIT};
	const char *why;

	assert_true(wish_of_mail(&mail, NOW, &m, &why));
	assert_int_equal(m.flags, QUEUE_MESSAGE_8BIT | QUEUE_MESSAGE_TRACE);
	assert_int_equal(m.hold_s, 60);
	assert_int_equal(message_deliver_by(&m), NOW + 120 * S);
	assert_true(wish_release("after 30s", NOW, &m, &why));
	assert_int_equal(m.hold_s, 0);
	m = (struct queue_message){.expire_us = 5};
	assert_int_equal(message_deliver_by(&m), 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_notice_before_the_first_second),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_release_after_the_limit),
		cmocka_unit_test(test_class),
		cmocka_unit_test(test_priority),
		cmocka_unit_test(test_what_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
