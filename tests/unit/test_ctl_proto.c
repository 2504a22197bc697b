/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_proto: each frame whole, cut at each position, and followed by another; each rule with a frame that
 * breaks it. */
#include "control/ctl_proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOOD_MAGIC (CTL_MAGIC | CTL_VERSION)
/* A text with a NUL inside stands whole. */
#define BODY(text) text, sizeof(text) - 1

static const struct {
	const char *name;
	uint32_t magic;
	const char *body;
	size_t body_len;
	int64_t length; /* as the head says; -1: the body's */
	int want;       /* 1: an object; else enum ctl_err, or 0: more is needed */
} cases[] = {
	{"an empty object", GOOD_MAGIC, BODY("{}"), -1, 1},
	{"a request", GOOD_MAGIC, BODY("{\"command\":\"show\",\"id\":26}"), -1, 1},
	{"an answer's end", GOOD_MAGIC, BODY("{\"end\":0}"), -1, 1},
	{"blanks around it", GOOD_MAGIC, BODY(" {\"end\":0}\n"), -1, 1},
	{"UTF-8", GOOD_MAGIC, BODY("{\"rcpt\":\"b\xc3\xbc@example\"}"), -1, 1},
	{"another magic", 0x20544547u, BODY("{}"), -1, CTL_EMAGIC},
	{"the magic in the other byte order", 0x0163746du, BODY("{}"), -1, CTL_EMAGIC},
	{"an older version", CTL_MAGIC, BODY("{}"), -1, CTL_EVERSION},
	{"a newer version", CTL_MAGIC | (CTL_VERSION + 1), BODY("{}"), -1, CTL_EVERSION},
	{"no body", GOOD_MAGIC, BODY(""), -1, CTL_ELENGTH},
	{"one byte more than allowed", GOOD_MAGIC, BODY("{}"), CTL_FRAME_MAX + 1, CTL_ELENGTH},
	{"the largest number", GOOD_MAGIC, BODY("{}"), UINT32_MAX, CTL_ELENGTH},
	{"as much as allowed, not all there yet", GOOD_MAGIC, BODY("{}"), CTL_FRAME_MAX, 0},
	{"a byte is missing", GOOD_MAGIC, BODY("{\"end\":0"), 9, 0},
	{"an array", GOOD_MAGIC, BODY("[]"), -1, CTL_EJSON},
	{"a number", GOOD_MAGIC, BODY("1"), -1, CTL_EJSON},
	{"null", GOOD_MAGIC, BODY("null"), -1, CTL_EJSON},
	{"words", GOOD_MAGIC, BODY("status"), -1, CTL_EJSON},
	{"cut short by its own length", GOOD_MAGIC, BODY("{\"end\":0}"), 8, CTL_EJSON},
	{"something behind the object", GOOD_MAGIC, BODY("{} {}"), -1, CTL_EJSON},
	{"a name twice", GOOD_MAGIC, BODY("{\"id\":1,\"id\":2}"), -1, CTL_EJSON},
	{"not UTF-8", GOOD_MAGIC, BODY("{\"rcpt\":\"\xff\"}"), -1, CTL_EJSON},
	{"a NUL in a text", GOOD_MAGIC, BODY("{\"rcpt\":\"a\\u0000b\"}"), -1, CTL_EJSON},
	{"a NUL byte", GOOD_MAGIC, BODY("{}\0"), -1, CTL_EJSON},
};

static size_t
make_frame(size_t i, char *buf)
{
	uint32_t length = cases[i].length < 0 ? (uint32_t)cases[i].body_len : (uint32_t)cases[i].length;

	memcpy(buf, &cases[i].magic, 4);
	memcpy(buf + 4, &length, 4);
	memcpy(buf + CTL_HEAD_BYTES, cases[i].body, cases[i].body_len);
	return CTL_HEAD_BYTES + cases[i].body_len;
}

/* Exactly so many bytes on the heap, so that a sanitizer sees a read behind them. */
static int
read_exact(const char *bytes, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	json_t *object = NULL;
	int got;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	got = ctl_read_frame(copy, len, &object);
	free(copy);
	if (got > 0) {
		assert_true(json_is_object(object));
		json_decref(object);
	}
	return got;
}

static void
test_cases(void **state)
{
	char buf[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = make_frame(i, buf);
		int want = cases[i].want == 1 ? (int)len : cases[i].want;

		if (read_exact(buf, len) != want)
			fail_msg("%s: %d instead of %d", cases[i].name, read_exact(buf, len), want);
	}
}

/* Cut, a frame is not there yet, or refused for the reason it is refused for when whole. */
static void
test_cut(void **state)
{
	char buf[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = make_frame(i, buf);

		for (size_t at = 0; at < len; at++) {
			int got = read_exact(buf, at);

			if (got != 0 && (at < CTL_HEAD_BYTES || got != cases[i].want))
				fail_msg("%s cut at %zu: %d", cases[i].name, at, got);
		}
	}
}

/* What follows a frame is not looked at: not even when it could be none. */
static void
test_followed(void **state)
{
	static const char after[] = "garbage";
	char buf[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = make_frame(i, buf);

		if (cases[i].want != 1)
			continue;
		memcpy(buf + len, after, sizeof(after));
		assert_int_equal(read_exact(buf, len + sizeof(after)), (int)len);
	}
}

static json_t *
object_of_size(size_t len)
{
	char *text = malloc(len);
	json_t *object;

	assert_non_null(text);
	memset(text, 'a', len);
	object = json_pack("{s:s#}", "t", text, (int)len - (int)(sizeof("{\"t\":\"\"}") - 1));
	free(text);
	assert_non_null(object);
	return object;
}

/* What is written can be read, up to the limit; above it nothing is written. */
static void
test_write(void **state)
{
	static const struct {
		size_t bytes;
		bool fits;
	} sizes[] = {{8, true}, {9, true}, {1000, true}, {CTL_FRAME_MAX - 1, true}, {CTL_FRAME_MAX, true},
		{CTL_FRAME_MAX + 1, false}, {4 * CTL_FRAME_MAX, false}};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		json_t *object = object_of_size(sizes[i].bytes), *again = NULL;
		size_t len = 0;
		char *frame = ctl_write_frame(object, &len);

		assert_int_equal(frame != NULL, sizes[i].fits);
		if (frame != NULL) {
			assert_int_equal(len, CTL_HEAD_BYTES + sizes[i].bytes);
			assert_int_equal(ctl_read_frame(frame, len, &again), (int)len);
			assert_true(json_equal(object, again));
		}
		json_decref(object);
		json_decref(again);
		free(frame);
	}
}

/* Nesting is bounded by the parser: neither a crash nor a long wait. */
static void
test_deep(void **state)
{
	char *buf = malloc(CTL_HEAD_BYTES + CTL_FRAME_MAX);
	uint32_t magic = GOOD_MAGIC, length = CTL_FRAME_MAX;

	assert_non_null(buf);
	memcpy(buf, &magic, 4);
	memcpy(buf + 4, &length, 4);
	memset(buf + CTL_HEAD_BYTES, '[', CTL_FRAME_MAX);
	memcpy(buf + CTL_HEAD_BYTES, "{\"a\":", 5);
	assert_int_equal(read_exact(buf, CTL_HEAD_BYTES + CTL_FRAME_MAX), CTL_EJSON);
	free(buf);
}

static void
test_words(void **state)
{
	for (int err = CTL_EJSON; err < CTL_OK; err++)
		assert_string_not_equal(ctl_err_text(err), ctl_err_text(CTL_OK));
	assert_string_equal(ctl_err_text(-100), ctl_err_text(CTL_OK));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_followed),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
