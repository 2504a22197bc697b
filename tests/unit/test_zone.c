/* SPDX-License-Identifier: Apache-2.0 */
/* Zones of the system against the C library, which reads them in its own way; and files that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define END_S INT64_C(4102358400) /* a day before 2100 */

/* Ordinary ones, none at all, both ends of the day, half hours, four changes a year, summer that is the
 * exception, rules with hours beyond a day and before midnight, the southern hemisphere. */
static const char *const names[] = {"UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata",
	"Australia/Lord_Howe", "Africa/Casablanca", "Europe/Dublin", "Asia/Gaza", "America/Nuuk",
	"Pacific/Kiritimati", "Pacific/Chatham", "America/Santiago", "Asia/Jerusalem", "Etc/GMT+12",
	"Antarctica/Troll", "America/Sao_Paulo"};

static int32_t
offset_at(const struct queue_hours_change *changes, int count, int64_t at_s)
{
	int i = 0;

	while (i + 1 < count && changes[i + 1].from_us <= at_s * 1000000)
		i++;
	return changes[i].offset_s;
}

static void
test_as_the_C_library_has_it(void **state)
{
	static struct queue_hours_change changes[ZONE_CHANGES_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int count = zone_read(names[i], changes);

		assert_in_range(count, 1, ZONE_CHANGES_MAX);
		setenv("TZ", names[i], 1);
		tzset();
		for (time_t t = ZONE_FIRST_US / 1000000; t < END_S; t += 12 * 3600) {
			struct tm local;

			localtime_r(&t, &local);
			if (offset_at(changes, count, t) != local.tm_gmtoff)
				fail_msg("%s at %lld: %d, not %ld", names[i], (long long)t,
					offset_at(changes, count, t), local.tm_gmtoff);
		}
		/* To the second. */
		for (int n = 1; n < count; n++) {
			time_t t = changes[n].from_us / 1000000 - 1;
			struct tm local;

			localtime_r(&t, &local);
			assert_int_equal(local.tm_gmtoff, changes[n - 1].offset_s);
			t++;
			localtime_r(&t, &local);
			assert_int_equal(local.tm_gmtoff, changes[n].offset_s);
		}
	}
	unsetenv("TZ");
	tzset();
}

static void
test_names(void **state)
{
	static const char *const wrong[] = {"", "/etc/hosts", "../../../etc/hosts", "Europe",
		"Europe/Berlin/", "Europe/ Berlin", "Europe/Berlim", "tzdata.zi",
		"/usr/share/zoneinfo/Europe/Berlin"};
	static struct queue_hours_change changes[ZONE_CHANGES_MAX];
	char long_name[600];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (zone_read(wrong[i], changes) != ZONE_ENOTFOUND)
			fail_msg("\"%s\"", wrong[i]);
	memset(long_name, 'a', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(zone_read(long_name, changes), ZONE_ENOTFOUND);
}

/* --- files of our own --- */

struct file {
	uint8_t bytes[400];
	size_t len;
};

static void
put_numbers(struct file *f, const int32_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (int shift = 24; shift >= 0; shift -= 8)
			f->bytes[f->len++] = (uint8_t)((uint32_t)numbers[i] >> shift);
}

static void
put_header(struct file *f, char version, int32_t leap, int32_t times, int32_t types)
{
	memcpy(f->bytes + f->len, "TZif", 4);
	f->bytes[f->len + 4] = (uint8_t)version;
	memset(f->bytes + f->len + 5, 0, 15);
	f->len += 20;
	put_numbers(f, (const int32_t[]){0, 0, leap, times, types, 4}, 6);
}

/* One type of UTC+1, `times` changes to it, and the line. */
static struct file
file_of(int32_t times, uint8_t index, const char *line)
{
	struct file f = {.len = 0};

	put_header(&f, '2', 0, 0, 1);
	put_numbers(&f, (const int32_t[]){3600}, 1);
	memcpy(f.bytes + f.len, "\0\0CET", 6);
	f.len += 6;
	put_header(&f, '2', 0, times, 1);
	for (int32_t i = 0; i < times; i++)
		put_numbers(&f, (const int32_t[]){0, 1600000000 + i}, 2);
	for (int32_t i = 0; i < times; i++)
		f.bytes[f.len++] = index;
	put_numbers(&f, (const int32_t[]){3600}, 1);
	memcpy(f.bytes + f.len, "\0\0CET", 6);
	f.len += 6;
	f.len += (size_t)snprintf((char *)f.bytes + f.len, sizeof(f.bytes) - f.len, "%s", line);
	return f;
}

static int
parse(const struct file *f, struct queue_hours_change out[ZONE_CHANGES_MAX])
{
	/* Of its own length on the heap, so that a byte too far is seen. */
	uint8_t *bytes = malloc(f->len > 0 ? f->len : 1);
	int count;

	assert_non_null(bytes);
	memcpy(bytes, f->bytes, f->len);
	count = zone_parse((struct queue_blob){bytes, f->len}, out);
	free(bytes);
	return count;
}

/* A file that leaves all to its line is as good as one that lists the changes. */
static void
test_line_alone(void **state)
{
	static struct queue_hours_change listed[ZONE_CHANGES_MAX], ruled[ZONE_CHANGES_MAX];
	struct file f = file_of(0, 0, "\nCET-1CEST,M3.5.0,M10.5.0/3\n");
	int count = zone_read("Europe/Berlin", listed);

	assert_int_equal(count, 1 + 2 * 80);
	assert_int_equal(parse(&f, ruled), count);
	for (int i = 0; i < count; i++) {
		assert_int_equal(ruled[i].from_us, listed[i].from_us);
		assert_int_equal(ruled[i].offset_s, listed[i].offset_s);
	}
}

static void
test_lines(void **state)
{
	static const struct {
		const char *line;
		int want;
	} cases[] = {
		{"\nCET-1\n", 1},
		{"\n\n", 1},
		{"\n<+01>-1\n", 1},
		{"\nCET-1:00:00CEST-2,M3.5.0/2:00:00,M10.5.0/3\n", 161},
		{"\n<-01>1<+00>,M3.5.0/-1,M10.5.0/0\n", 161},
		{"\nCET-1CEST,M3.5.0\n", ZONE_EDAMAGED},
		{"\nCET-1CEST\n", ZONE_EDAMAGED},
		{"\nCET-1CEST,J60,J300\n", ZONE_EDAMAGED},
		{"\nCET-1CEST,M13.5.0,M10.5.0\n", ZONE_EDAMAGED},
		{"\nCET-1CEST,M3.6.0,M10.5.0\n", ZONE_EDAMAGED},
		{"\nCET-1CEST,M3.5.7,M10.5.0\n", ZONE_EDAMAGED},
		{"\nCET-1CEST,M3.5.0,M10.5.0,\n", ZONE_EDAMAGED},
		{"\nCET-1CEST,M3.5.0/168,M10.5.0\n", ZONE_EDAMAGED},
		{"\nCET-1CEST,M3.5.0/99999999999,M10.5.0\n", ZONE_EDAMAGED},
		{"\nCET-30\n", ZONE_EDAMAGED},
		{"\nCET\n", ZONE_EDAMAGED},
		{"\n-1\n", ZONE_EDAMAGED},
		{"\n<+01-1\n", ZONE_EDAMAGED},
		{"\nCET-1", ZONE_EDAMAGED},
		{"CET-1\n", ZONE_EDAMAGED},
		{"\nCET-1\nCET-1\n", ZONE_EDAMAGED},
		{"\n", ZONE_EDAMAGED},
		{"", ZONE_EDAMAGED},
	};
	static struct queue_hours_change changes[ZONE_CHANGES_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct file f = file_of(0, 0, cases[i].line);
		int is = parse(&f, changes);

		if (is != cases[i].want)
			fail_msg("\"%s\": %d", cases[i].line, is);
	}
}

static void
test_damaged(void **state)
{
	static struct queue_hours_change changes[ZONE_CHANGES_MAX];
	struct file good = file_of(3, 0, "\nCET-1CEST,M3.5.0,M10.5.0/3\n"), f = file_of(3, 1, "\nCET-1\n");
	uint64_t random = 17;

	assert_int_equal(parse(&f, changes), ZONE_EDAMAGED); /* a type that is not there */
	assert_true(parse(&good, changes) > 1);
	for (size_t len = 0; len < good.len; len++) {
		f = good;
		f.len = len;
		assert_int_equal(parse(&f, changes), ZONE_EDAMAGED);
	}
	f = good;
	f.bytes[4] = '\0'; /* version 1 alone */
	assert_int_equal(parse(&f, changes), ZONE_EDAMAGED);
	f = good;
	f.bytes[44 + 10 + 20 + 11] = 1; /* a leap second */
	assert_int_equal(parse(&f, changes), ZONE_EDAMAGED);
	f = good;
	memcpy(f.bytes + 44 + 10 + 44 + 16, "\0\0\010c{\320Z\366", 8); /* as late as microseconds go */
	assert_int_equal(parse(&f, changes), ZONE_EDAMAGED);
	for (int i = 0; i < 20000; i++) {
		int count;

		f = good;
		for (int n = 0; n < 4; n++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
			f.bytes[(random >> 33) % f.len] = (uint8_t)(random >> 56);
		}
		count = parse(&f, changes);
		for (int n = 1; n < count; n++)
			assert_true(changes[n - 1].from_us < changes[n].from_us);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_C_library_has_it),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_line_alone),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
