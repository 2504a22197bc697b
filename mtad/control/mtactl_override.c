/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl set, unset: limits for a time. What the words mean is for the daemon to say, whose configuration it
 * is; here they are only told apart.
 */
#include "control/mtactl.h"
#include "control/mtactl_reason.h"

#include "conf/conf_value.h"

#include <stdio.h>
#include <string.h>

/* Names stand behind the level: of a lane the source as well, of all none. */
static int
name_count(const char *level)
{
	return strcmp(level, "lane") == 0 ? 2 : strcmp(level, "all") == 0 ? 0 : 1;
}

/* The words from `from` on, before `to`. */
static json_t *
words_of(const struct mtactl_options *o, int from, int to)
{
	json_t *words = json_array();

	for (; from < to; from++)
		(void)json_array_append_new(words, json_string(o->words[from]));
	return words;
}

/* A word with "=" is a setting and no name. */
static int
first_setting(const struct mtactl_options *o)
{
	bool is_set = strcmp(o->command, "set") == 0;
	int i = 1, names = name_count(o->words[0]);

	while (i < o->word_count && (is_set ? strchr(o->words[i], '=') == NULL : i <= names))
		i++;
	return i;
}

static bool
take_duration(const struct mtactl_options *o, json_t *request)
{
	struct conf_why why;
	int64_t us = 0;

	if (o->duration == NULL)
		return true; /* the daemon says what is missing, when all else is right */
	if (strcmp(o->duration, "ever") == 0)
		return json_object_set_new(request, "ever", json_true()) == 0;
	if (!conf_value_duration(o->duration, &us, &why)) {
		fprintf(stderr, "mtactl: --for: %s, or ever\n", why.text);
		return false;
	}
	return json_object_set_new(request, "for_us", json_integer((json_int_t)us)) == 0;
}

int
mtactl_set(struct mtactl *m, const struct mtactl_options *given)
{
	struct mtactl_options o = *given;
	json_t *request;
	int at;

	if (strcmp(o.command, "set") == 0 &&
		(o.word_count == 0 || (o.word_count == 1 && strcmp(o.words[0], "list") == 0))) {
		o.command = "overrides";
		return mtactl_look(m, &o);
	}
	if (o.word_count == 0) {
		fputs("mtactl: unset LEVEL NAME [SETTING...]; mtactl set lists what is set\n", stderr);
		return 2;
	}
	at = first_setting(&o);
	request = mtactl_request(o.command, &o);
	(void)json_object_set_new(request, "level", json_string(o.words[0]));
	(void)json_object_set_new(request, "names", words_of(&o, 1, at));
	(void)json_object_set_new(request, "settings", words_of(&o, at, o.word_count));
	if (!take_duration(&o, request)) {
		json_decref(request);
		return 2;
	}
	return mtactl_look_with(m, &o, request);
}

/* --- showing --- */

/* "site google", "lane ip-a -> google", "all". */
static void
write_thing(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const char *level = mtactl_text(row, "level"), *name = mtactl_text(row, "name");

	if (strcmp(level, "lane") == 0)
		snprintf(buf, max, "lane %s -> %s", mtactl_text(row, "source"), name);
	else
		snprintf(buf, max, "%s%s%s", level, name[0] != '\0' ? " " : "", name);
	mtactl_clean(buf);
}

static void
write_setting(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	snprintf(buf, max, "%s=%s", mtactl_text(row, "setting"), mtactl_text(row, "value"));
	mtactl_clean(buf);
}

static void
write_since(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_span(buf, max, now_us - mtactl_integer(row, field));
}

static void
write_end(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	if (mtactl_integer(row, field) == 0)
		snprintf(buf, max, "never");
	else
		mtactl_write_until(buf, max, row, field, now_us);
}

void
mtactl_show_overrides(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {{"LIMIT OF", "name", write_thing, false, 16, false},
		{"SETTING", "setting", write_setting, false, 16, false},
		{"SINCE", "since_us", write_since, true, 0, true},
		{"ENDS IN", "until_us", write_end, true, 0, false},
		{"BY", "who", mtactl_write_text, false, 8, false},
		{"REASON", "reason", mtactl_write_text, false, 20, false}};

	if (json_array_size(mtactl_rows(answer)) == 0)
		puts("no limit is set by hand");
	else
		MTACTL_TABLE(m, columns, mtactl_rows(answer), mtactl_now(answer));
}

/* What was done: "site google rate=10/s". */
void
mtactl_show_set(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	const json_t *row, *s = json_object_get(answer, "summary");
	char thing[400], setting[300], when[64];
	size_t i;

	json_array_foreach(mtactl_rows(answer), i, row)
	{
		int64_t until_us = mtactl_integer(row, "until_us");

		write_thing(thing, sizeof(thing), row, "name", 0);
		write_setting(setting, sizeof(setting), row, "setting", 0);
		mtactl_when(when, sizeof(when), until_us, mtactl_integer(row, "since_us"));
		printf("%s: %s until %s\n", thing, setting, until_us != 0 ? when : "it is lifted");
	}
	if (strcmp(o->command, "unset") == 0)
		printf("%lld lifted; the configuration's holds again\n",
			(long long)mtactl_integer(s, "count"));
}

void
mtactl_override_words(char *buf, size_t max, const json_t *override, int64_t now_us)
{
	int64_t until_us = mtactl_integer(override, "until_us");
	const char *reason = mtactl_text(override, "reason");
	char when[64] = "it is lifted";

	if (until_us != 0)
		mtactl_when(when, sizeof(when), until_us, now_us);
	snprintf(buf, max, "set by %s until %s%s%s", mtactl_text(override, "who"), when,
		reason[0] != '\0' ? ": " : "", reason);
	mtactl_clean(buf);
}

void
mtactl_override_end(char *buf, size_t max, const json_t *override)
{
	const char *level = mtactl_text(override, "level"), *name = mtactl_text(override, "name");
	const char *source = mtactl_text(override, "source");
	bool is_every = strcmp(source, "*") == 0;

	snprintf(buf, max, "mtactl unset %s %s%s%s%s%s", level, is_every ? "'*'" : source,
		source[0] != '\0' ? " " : "", name, name[0] != '\0' ? " " : "",
		mtactl_text(override, "setting"));
	mtactl_clean(buf);
}
