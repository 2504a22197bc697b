/* SPDX-License-Identifier: Apache-2.0 */
/* The files under conf/ and the manual page say what the table says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"

#include <fts.h>
#include <stdlib.h>
#include <string.h>

static char *
read_tree_file(const char *name, size_t *out_len)
{
	char path[512], *bytes = NULL;
	FILE *in, *out = open_memstream(&bytes, out_len);
	int c;

	snprintf(path, sizeof(path), "%s/%s", SOURCE_DIR, name);
	in = fopen(path, "r");
	if (in == NULL)
		fail_msg("%s cannot be read", path);
	while ((c = fgetc(in)) != EOF)
		fputc(c, out);
	fclose(in);
	fclose(out);
	return bytes;
}

static void
load_tree_file(const struct folder *f, const char *name)
{
	char path[512], *bytes;
	const struct conf *c;
	size_t len;

	bytes = read_tree_file(name, &len);
	put_file(f, name, bytes, len, 0600);
	free(bytes);
	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	c = conf_load(path, stderr);
	if (c == NULL)
		fail_msg("%s does not load", name);
	conf_unref(c);
}

/* What conf/mtad.conf includes. */
static void
put_shipped(const struct folder *d, const char *folder)
{
	static const char *const names[] = {"providers.conf", "bounces.conf", "reports.conf"};
	char from[64], to[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len;
		char *bytes;

		snprintf(from, sizeof(from), "conf/%s", names[i]);
		snprintf(to, sizeof(to), "%s%s", folder, names[i]);
		bytes = read_tree_file(from, &len);
		put_file(d, to, bytes, len, 0600);
		free(bytes);
	}
}

static void
test_tree(void **state)
{
	char root[] = SOURCE_DIR "/conf", *roots[] = {root, NULL};
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	size_t count = 0;

	assert_non_null(walk);
	put_secrets(*state, "conf/");
	put_secrets(*state, "conf/examples/");
	put_shipped(*state, "conf/");
	for (FTSENT *e; (e = fts_read(walk)) != NULL;) {
		if (e->fts_info != FTS_F)
			continue;
		load_tree_file(*state, e->fts_path + sizeof(SOURCE_DIR));
		count++;
	}
	fts_close(walk);
	assert_true(count >= 5);
}

/* conf/mtad.conf as it stands changes no default, but has what is known of others; with every "#" before a
 * word taken away it still loads. */
static void
test_commented_file(void **state)
{
	size_t len, n = 0;
	char *bytes = read_tree_file("conf/mtad.conf", &len), *text = malloc(len + 1), *said = NULL;
	const struct conf *plain, *empty, *full;
	FILE *out = open_memstream(&said, &(size_t){0});

	put_secrets(*state, "");
	put_shipped(*state, "");
	assert_non_null(text);
	plain = must_load(*state, bytes);
	empty = must_load(*state,
		"include(\"providers.conf\")\ninclude(\"bounces.conf\")\ninclude(\"reports.conf\")\n");
	assert_int_equal(conf_diff(empty, plain, out), 0);
	fclose(out);
	assert_string_equal(said, "");
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != '#' || (i > 0 && bytes[i - 1] != '\n') || bytes[i + 1] == ' ' ||
			bytes[i + 1] == '\n' || strncmp(bytes + i, "#run-as", 7) == 0)
			text[n++] = bytes[i];
	text[n] = '\0';
	full = must_load(*state, text);
	assert_int_equal(full->user_count + full->pool_count + full->dkim_count, 3);
	assert_true(full->provider_count > 30 && full->rule_count > 60 && full->bounce_count > 60);
	assert_string_equal(full->providers[0].name, "example");
	assert_string_equal(full->rules[0].name, "example-too-fast");
	assert_string_equal(full->bounces[0].name, "example-no-such-user");
	assert_true(full->report_form_count > 40);
	assert_string_equal(full->report_forms[0].name, "example-form");
	conf_unref(plain);
	conf_unref(empty);
	conf_unref(full);
	free(bytes);
	free(text);
	free(said);
}

/* Every setting is in conf/mtad.conf, with its default when it has one. */
static void
test_file_is_complete(void **state)
{
	size_t len;
	char *bytes = read_tree_file("conf/mtad.conf", &len), want[512], name[CONF_ROW_NAME_MAX];

	for (int kind = 0; kind < CONF_KIND_COUNT; kind++) {
		const char *block = bytes;

		if (kind != CONF_KIND_TOP) {
			snprintf(want, sizeof(want), "\n#%s ", conf_kinds[kind].word);
			block = strstr(bytes, want);
			assert_non_null(block);
		}
		for (size_t n = 0; conf_kind_row(&conf_kinds[kind], n) != NULL; n++) {
			const struct conf_row *row = conf_kind_row(&conf_kinds[kind], n);
			bool is_list = conf_type_is_list(row->type);

			if (kind == CONF_KIND_PROVIDER && n >= conf_kinds[kind].row_count)
				break; /* stands in domain */
			snprintf(want, sizeof(want), "\n#%s%s = %s%s%s", kind == CONF_KIND_TOP ? "" : "\t",
				conf_row_name(row, name), is_list && row->fallback[0] != '\0' ? "{ " : "",
				row->fallback, is_list && row->fallback[0] != '\0' ? " }\n" : "");
			if (strstr(block, want) == NULL)
				fail_msg("conf/mtad.conf, %s: it should have%s", conf_kinds[kind].word, want);
		}
	}
	free(bytes);
}

/* The page is its frame with the table in the middle. MTAD_UPDATE=1 in the environment writes it. */
static void
test_manual(void **state)
{
	static const char mark[] = "@SETTINGS@\n";
	size_t frame_len, page_len, want_len;
	char *frame = read_tree_file("mtad/man/mtad.conf.5.in", &frame_len), *page, *want = NULL;
	char *at = strstr(frame, mark);
	FILE *out = open_memstream(&want, &want_len);

	assert_non_null(at);
	fwrite(frame, 1, (size_t)(at - frame), out);
	conf_print_manual(out);
	fputs(at + sizeof(mark) - 1, out);
	fclose(out);
	if (getenv("MTAD_UPDATE") != NULL) {
		FILE *f = fopen(SOURCE_DIR "/mtad/man/mtad.conf.5", "w");

		assert_non_null(f);
		fwrite(want, 1, want_len, f);
		fclose(f);
	}
	page = read_tree_file("mtad/man/mtad.conf.5", &page_len);
	if (page_len != want_len || memcmp(page, want, want_len) != 0)
		fail_msg("mtad/man/mtad.conf.5 is not what conf.def says; write it again: MTAD_UPDATE=1 "
			 "test_conf_tree");
	free(frame);
	free(page);
	free(want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_tree),
		WITH_FOLDER(test_commented_file),
		WITH_FOLDER(test_file_is_complete),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
