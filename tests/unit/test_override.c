/* SPDX-License-Identifier: Apache-2.0 */
/* override: words and values as in the configuration, notes there and back, sets and what they lay over. */
#include "shape/override.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW    INT64_C(1793534400000000)
#define HOUR   INT64_C(3600000000)
#define MINUTE (HOUR / 60)
#define SEC    INT64_C(1000000)

static struct queue_blob
blob(const char *s)
{
	return (struct queue_blob){s, strlen(s)};
}

/* --- words --- */

static const struct {
	const char *level, *source, *name, *setting, *value;
	const char *why; /* NULL: taken, as what follows */
	uint32_t count, rate_count;
	struct queue_rate rates[2];
} cases[] = {
	{"site", "", "google", "rate", "10/s", NULL, 0, 1, {{10, SEC}}},
	{"site", "", "google", "rate", "500/h,10/s", NULL, 0, 2, {{10, SEC}, {500, HOUR}}},
	{"site", "", "google", "rate", "{ 500/h, 10/s }", NULL, 0, 2, {{10, SEC}, {500, HOUR}}},
	{"site", "", "google", "rate", "none", NULL, 0, 0, {{0}}},
	{"site", "", "google", "rate", "{}", NULL, 0, 0, {{0}}},
	{"site", "", "google", "byte-rate", "1KB/m", NULL, 0, 1, {{1024, MINUTE}}},
	{"site", "", "google", "connections", "5", NULL, 5, 0, {{0}}},
	{"site", "", "google", "connections", "none", NULL, 0, 0, {{0}}},
	{"site", "", "google", "messages-per-connection", "none", NULL, 0, 0, {{0}}},
	{"site", "", "google", "recipients-per-transaction", "20", NULL, 20, 0, {{0}}},
	{"lane", "ip-a", "google", "connections", "7", NULL, 7, 0, {{0}}},
	{"lane", "*", "google", "recipient-rate", "9/m", NULL, 0, 1, {{9, MINUTE}}},
	{"pool", "", "news", "connect-rate", "3/s", NULL, 0, 1, {{3, SEC}}},
	{"stream", "", "shop/spring/bulk", "rate", "1/s", NULL, 0, 1, {{1, SEC}}},
	{"user", "", "shop", "connections", "2", NULL, 2, 0, {{0}}},
	{"all", "", "", "connections", "500", NULL, 500, 0, {{0}}},
	{"all", "", "", "rate", "100/s", NULL, 0, 1, {{100, SEC}}},
	{"sites", "", "google", "rate", "1/s", "there is no level \"sites\"; did you mean \"site\"?"},
	{"planet", "", "earth", "rate", "1/s",
		"there is no level \"planet\": lane, site, source, pool, stream, user or all"},
	{"profile", "", "x", "rate", "1/s",
		"there is no level \"profile\": lane, site, source, pool, stream, user or all"},
	{"site", "", "google", "rates", "1/s",
		"unknown setting \"rates\" at level site; did you mean \"rate\"?"},
	{"user", "", "shop", "weight", "3",
		"unknown setting \"weight\" at level user; there are connections, rate, recipient-rate, "
		"byte-rate"},
	{"lane", "a", "google", "recipients-per-transaction", "3",
		"unknown setting \"recipients-per-transaction\" at level lane; there are connections, "
		"connect-rate, rate, recipient-rate, byte-rate, messages-per-connection"},
	{"site", "", "google", "rate", "10", "rate: \"10\" is no rate; write 100/s or 300/10m (s, m, h, d)"},
	{"site", "", "google", "rate", "0/s",
		"rate: \"0/s\" would never send; to stop use `mtactl pause`, for no limit write {}"},
	{"site", "", "google", "rate", "-1/s", "rate: \"-1\" is negative; write a whole number such as 10"},
	{"site", "", "google", "rate", "10/60",
		"rate: \"10/60\": the window has no unit; write 100/s or 300/10m (s, m, h, d)"},
	{"site", "", "google", "rate", "1/500ms", "rate: \"1/500ms\": a window is from 1s to 31d"},
	{"site", "", "google", "rate", "1/s,2/s",
		"rate: \"2/s\" is a second rate for one window; keep the smaller"},
	{"site", "", "google", "rate", "1/s,1/2s,1/3s,1/4s,1/5s,1/6s,1/7s,1/8s,1/9s",
		"rate: 9 rates; at most 8 are possible"},
	{"site", "", "google", "connections", "many",
		"connections: \"many\" is no number; write a whole number such as 10"},
	{"site", "", "google", "connections", "100001",
		"connections: \"100001\" is out of range: from 0 to 100000"},
	{"lane", "a", "google", "connections", "0", "connections: \"0\" is out of range: from 1 to 10000"},
	{"lane", "a", "google", "connections", "none",
		"connections: \"none\": there is always a limit here; from 1 to 10000"},
	{"all", "", "", "connections", "none",
		"connections: \"none\": there is always a limit here; from 1 to 100000"},
	{"site", "", "google", "rate", "", "rate: write a value, or none for no limit"},
	{"site", "", "google", "rate", "1/s\n", "rate: write a value, or none for no limit"},
	{"site", "", "", "rate", "1/s", "which site? A name is needed"},
	{"all", "", "x", "rate", "1/s", "all has no name; \"x\" is no setting=value"},
	{"lane", "", "google", "rate", "1/s",
		"a lane has two names, source and site: lane ip-a google; * is every source"},
	{"user", "", "a\nb", "rate", "1/s", "user: no name has blanks or control characters"},
};

static bool
take(size_t i, struct override *o, struct conf_why *why)
{
	memset(o, 0, sizeof(*o));
	o->level = override_level(cases[i].level, why);
	return o->level != QUEUE_LEVEL_COUNT && override_take_name(o, cases[i].source, cases[i].name, why) &&
	       override_take_value(o, cases[i].setting, cases[i].value, why);
}

static void
check_value(size_t i, const struct override *o)
{
	assert_string_equal(override_setting_word(o->setting), cases[i].setting);
	assert_string_equal(override_level_word(o->level), cases[i].level);
	assert_int_equal(o->count, cases[i].count);
	assert_int_equal(o->rate_count, cases[i].rate_count);
	for (uint32_t n = 0; n < o->rate_count; n++) {
		assert_int_equal(o->rates[n].count, cases[i].rates[n].count);
		assert_int_equal(o->rates[n].per_us, cases[i].rates[n].per_us);
	}
}

static void
test_words(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_why why = {""};
		struct override o;
		bool ok = take(i, &o, &why);

		if (ok != (cases[i].why == NULL) || (!ok && strcmp(why.text, cases[i].why) != 0))
			fail_msg("%s %s %s=%s: %s", cases[i].level, cases[i].name, cases[i].setting,
				cases[i].value, ok ? "taken" : why.text);
		if (ok)
			check_value(i, &o);
	}
}

/* The longest name that is taken has a note, whatever the setting; one more is refused. */
static void
test_long_names(void **state)
{
	char name[OVERRIDE_NOTE_MAX + 1], key[OVERRIDE_NOTE_MAX + 1];
	struct conf_why why;
	size_t taken = 0;

	for (size_t len = 1; len < OVERRIDE_NOTE_MAX; len++) {
		struct override o = {.level = QUEUE_LEVEL_STREAM};

		memset(name, 'x', len);
		name[len] = '\0';
		if (!override_take_name(&o, "", name, &why))
			break;
		o.setting = OVERRIDE_RECIPIENTS_PER_TRANSACTION;
		assert_true(override_write_key(&o, key) <= OVERRIDE_NOTE_MAX);
		taken = len;
	}
	assert_true(taken >= 150 && taken < OVERRIDE_NOTE_MAX);
	assert_non_null(strstr(why.text, "cannot be kept"));
}

/* The site of a lane turns out to have another name; its source stays. */
static void
test_other_name(void **state)
{
	struct override o = {.level = QUEUE_LEVEL_LANE};
	struct conf_why why;

	assert_true(override_take_name(&o, "ip-a", "example.com", &why));
	assert_true(override_take_name(&o, o.source, "mx.example.com", &why));
	assert_string_equal(o.source, "ip-a");
	assert_string_equal(o.name, "mx.example.com");
}

/* --- notes --- */

static const struct {
	const char *name;
	int64_t made_us, until_us, want_made_us, want_until_us;
} times[] = {
	{"an hour", NOW - HOUR, NOW + HOUR, NOW - HOUR, NOW + HOUR},
	{"over: the caller ends it", NOW - HOUR, NOW - 1, NOW - HOUR, NOW - 1},
	{"for ever", NOW - HOUR, INT64_MAX, NOW - HOUR, INT64_MAX},
	{"of a clock that was ahead", NOW + 5 * HOUR, NOW + 7 * HOUR, NOW, NOW + 2 * HOUR},
	{"for ever, ahead", NOW + 5 * HOUR, INT64_MAX, NOW, INT64_MAX},
};

static void
test_notes(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t t = 0; cases[i].why == NULL && t < sizeof(times) / sizeof(times[0]); t++) {
			char key[OVERRIDE_NOTE_MAX + 1], record[OVERRIDE_RECORD_MAX];
			size_t key_len, record_len;
			struct override o, again;
			struct conf_why why;

			assert_true(take(i, &o, &why));
			o.made_us = times[t].made_us;
			o.until_us = times[t].until_us;
			snprintf(o.who, sizeof(o.who), "root(0)");
			snprintf(o.reason, sizeof(o.reason), "deferred since noon");
			key_len = override_write_key(&o, key);
			record_len = override_write_record(&o, record);
			assert_memory_equal(key, OVERRIDE_NOTES, strlen(OVERRIDE_NOTES));
			assert_true(override_read((struct queue_blob){key, key_len},
				(struct queue_blob){record, record_len}, NOW, &again));
			check_value(i, &again);
			assert_string_equal(again.name, cases[i].name);
			assert_string_equal(again.source, cases[i].source);
			assert_string_equal(again.value, cases[i].value);
			assert_string_equal(again.who, "root(0)");
			assert_string_equal(again.reason, "deferred since noon");
			assert_int_equal(again.made_us, times[t].want_made_us);
			assert_int_equal(again.until_us, times[t].want_until_us);
			/* Cut anywhere it is not understood; nothing is read behind its end. */
			for (size_t cut = 0; cut < record_len; cut++) {
				char *part = malloc(cut > 0 ? cut : 1);

				assert_non_null(part);
				memcpy(part, record, cut);
				assert_false(override_read((struct queue_blob){key, key_len},
					(struct queue_blob){part, cut}, NOW, &again));
				free(part);
			}
		}
}

static void
test_foreign_notes(void **state)
{
	static const char *const keys[] = {"", "set/", "set/site", "set/site/rate", "set/site/rate/",
		"set/moon/rate/google", "set/site/colour/google", "set/lane/rate/google", "set/all/rate/x",
		"set/user/messages-per-connection/shop"};
	char record[64] = {0};
	struct override o;

	memcpy(record + 16, "1/s\0me\0why", 11);
	assert_true(override_read(blob("set/site/rate/x"), (struct queue_blob){record, 27}, NOW, &o));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (override_read(blob(keys[i]), (struct queue_blob){record, 27}, NOW, &o))
			fail_msg("\"%s\" was understood", keys[i]);
	record[7] = (char)0x80; /* made before 1970 */
	assert_false(override_read(blob("set/site/rate/x"), (struct queue_blob){record, 27}, NOW, &o));
}

/* --- sets --- */

static struct override
made(const char *level, const char *source, const char *name, const char *setting, const char *value,
	int64_t until_us)
{
	struct conf_why why;
	struct override o = {.made_us = NOW, .until_us = until_us};

	o.level = override_level(level, &why);
	assert_true(override_take_name(&o, source, name, &why));
	assert_true(override_take_value(&o, setting, value, &why));
	return o;
}

static struct overrides *
add(struct overrides *take_set, struct override o)
{
	struct overrides *more = overrides_with(take_set, &o, 1);

	assert_non_null(more);
	free(take_set);
	return more;
}

static const char *
value_of(const struct overrides *set, enum queue_level level, const char *source, const char *name,
	enum override_setting s)
{
	const struct override *o = overrides_find(set, level, blob(source), blob(name), s);

	return o != NULL ? o->value : "";
}

static void
test_find(void **state)
{
	struct overrides *set = overrides_create();

	assert_false(overrides_touch(NULL, QUEUE_LEVEL_SITE, blob(""), blob("google")));
	assert_false(overrides_touch(set, QUEUE_LEVEL_SITE, blob(""), blob("google")));
	set = add(set, made("site", "", "google", "rate", "1/s", NOW + HOUR));
	set = add(set, made("site", "", "google", "connections", "3", NOW + 2 * HOUR));
	set = add(set, made("lane", "*", "google", "rate", "5/s", NOW + HOUR));
	set = add(set, made("lane", "a", "google", "rate", "6/s", NOW + HOUR));
	assert_int_equal(set->count, 4);
	assert_string_equal(value_of(set, QUEUE_LEVEL_SITE, "", "google", OVERRIDE_RATE), "1/s");
	assert_string_equal(value_of(set, QUEUE_LEVEL_SITE, "", "googl", OVERRIDE_RATE), "");
	assert_string_equal(value_of(set, QUEUE_LEVEL_SITE, "", "google", OVERRIDE_BYTE_RATE), "");
	assert_string_equal(value_of(set, QUEUE_LEVEL_POOL, "", "google", OVERRIDE_RATE), "");
	assert_string_equal(value_of(set, QUEUE_LEVEL_LANE, "a", "google", OVERRIDE_RATE), "6/s");
	assert_string_equal(value_of(set, QUEUE_LEVEL_LANE, "b", "google", OVERRIDE_RATE), "5/s");
	assert_string_equal(value_of(set, QUEUE_LEVEL_LANE, "b", "yahoo", OVERRIDE_RATE), "");
	/* The same again stands in the place of what was said before. */
	set = add(set, made("site", "", "google", "rate", "2/s", INT64_MAX));
	assert_int_equal(set->count, 4);
	assert_string_equal(value_of(set, QUEUE_LEVEL_SITE, "", "google", OVERRIDE_RATE), "2/s");
	free(set);
}

static bool
is_over(const void *arg, const struct override *o)
{
	return override_is_over(o, *(const int64_t *)arg);
}

static void
test_end(void **state)
{
	struct overrides *set = overrides_create(), *left;
	int64_t now_us = NOW + HOUR;

	assert_int_equal(set->next_us, INT64_MAX);
	set = add(set, made("site", "", "a", "rate", "1/s", INT64_MAX));
	assert_int_equal(set->next_us, INT64_MAX);
	set = add(set, made("site", "", "b", "rate", "1/s", NOW + 2 * HOUR));
	set = add(set, made("site", "", "c", "rate", "1/s", NOW + HOUR));
	assert_int_equal(set->next_us, NOW + HOUR);
	now_us--;
	left = overrides_without(set, is_over, &now_us);
	assert_int_equal(left->count, 3);
	free(left);
	now_us++;
	left = overrides_without(set, is_over, &now_us);
	assert_int_equal(left->count, 2);
	assert_int_equal(left->next_us, NOW + 2 * HOUR);
	assert_string_equal(value_of(left, QUEUE_LEVEL_SITE, "", "c", OVERRIDE_RATE), "");
	free(left);
	/* What is left of each stays when the clock is set, either way. */
	overrides_shift(set, 24 * HOUR);
	assert_int_equal(set->next_us, NOW + 25 * HOUR);
	overrides_shift(set, -30 * HOUR);
	assert_int_equal(set->next_us, NOW - 5 * HOUR);
	assert_int_equal(set->items[0].until_us, INT64_MAX);
	assert_int_equal(set->items[1].until_us - set->items[1].made_us, 2 * HOUR);
	free(set);
}

static void
test_fit(void **state)
{
	struct override *items = calloc(OVERRIDES_MAX + 1, sizeof(*items));
	struct overrides *none = overrides_create(), *full;
	char name[16];

	for (size_t i = 0; i <= OVERRIDES_MAX; i++) {
		snprintf(name, sizeof(name), "s%zu", i);
		items[i] = made("site", "", name, "rate", "1/s", NOW);
	}
	assert_true(overrides_fit(none, items, OVERRIDES_MAX));
	assert_false(overrides_fit(none, items, OVERRIDES_MAX + 1));
	full = overrides_with(none, items, OVERRIDES_MAX);
	assert_true(overrides_fit(full, items, 1)); /* it is there already */
	assert_false(overrides_fit(full, items + OVERRIDES_MAX, 1));
	free(full);
	free(none);
	free(items);
}

static void
test_lay(void **state)
{
	static const struct queue_rate configured = {100, SEC};
	struct queue_limits limits = {.connections = 20}, untouched = limits;
	struct overrides *set = overrides_create();

	for (int unit = 0; unit < QUEUE_UNIT_COUNT; unit++) {
		limits.units[unit].rates = &configured;
		limits.units[unit].count = 1;
	}
	untouched = limits;
	set = add(set, made("pool", "", "news", "rate", "7/s", NOW));
	set = add(set, made("pool", "", "news", "byte-rate", "none", NOW));
	overrides_lay(set, QUEUE_LEVEL_POOL, blob(""), blob("other"), &limits);
	assert_memory_equal(&limits, &untouched, sizeof(limits));
	overrides_lay(NULL, QUEUE_LEVEL_POOL, blob(""), blob("news"), &limits);
	assert_memory_equal(&limits, &untouched, sizeof(limits));
	overrides_lay(set, QUEUE_LEVEL_POOL, blob(""), blob("news"), &limits);
	assert_int_equal(limits.connections, 20);
	assert_int_equal(limits.units[QUEUE_UNIT_MESSAGES].rates[0].count, 7);
	assert_int_equal(limits.units[QUEUE_UNIT_BYTES].count, 0);
	assert_ptr_equal(limits.units[QUEUE_UNIT_RECIPIENTS].rates, &configured);
	assert_ptr_equal(limits.units[QUEUE_UNIT_CONNECTIONS].rates, &configured);
	set = add(set, made("pool", "", "news", "connections", "none", NOW));
	overrides_lay(set, QUEUE_LEVEL_POOL, blob(""), blob("news"), &limits);
	assert_int_equal(limits.connections, 0);
	free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_other_name),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_foreign_notes),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_lay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
