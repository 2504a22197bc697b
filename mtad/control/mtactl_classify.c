/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replies mean by the configuration as it is written, and what would become of the recipient: the same
 * classifier and the same verdict as the daemon's, asked without it. Lines of a file are printed one for one,
 * for whoever compares them with a list of his own.
 */
#include "control/mtactl.h"

#include "deliver/verdict.h"
#include "feedback/classify.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, WRONG = 2 };

struct question {
	const struct mtactl *m;
	const struct conf *conf;
	struct classifier *classifier;
	int provider;
	json_t *rows; /* of the table; NULL: lines */
};

static const char *
filter_text(const struct mtactl_options *o, const char *name)
{
	return json_string_value(json_object_get(o->filter, name));
}

static bool
find_provider(struct question *q, const char *name)
{
	q->provider = CLASSIFY_PROVIDER_ANY;
	if (name == NULL)
		return true;
	for (size_t i = 0; i < q->conf->provider_count; i++)
		if (strcmp(q->conf->providers[i].name, name) == 0) {
			q->provider = (int)i;
			return true;
		}
	fprintf(stderr, "mtactl: there is no provider \"%s\" in %s\n", name, q->conf->file);
	return false;
}

static struct classify_result
ask(const struct question *q, const char *text, size_t len, struct classify_input *in)
{
	struct classify_result result;

	*in = (struct classify_input){.provider = q->provider};
	classify_read(text, len, in);
	classify(q->classifier, in, &result);
	return result;
}

/* The name of the block, or which codes decided. */
static const char *
rule_name(const struct question *q, const struct classify_result *r)
{
	return r->block >= 0 ? q->conf->bounces[r->block].name : "(code)";
}

static json_t *
row_of(const struct question *q, const char *text, size_t len)
{
	struct classify_input in;
	struct classify_result r = ask(q, text, len, &in);
	enum bounce_class c = r.bounce_class;
	char shown[CLASSIFY_TEXT_MAX + 1];
	size_t n = classify_text(&in, shown);
	json_t *reply = NULL;

	shown[n] = '\0';
	mtactl_clean(shown);
	if ((reply = json_string(shown)) == NULL) /* no UTF-8 */
		reply = json_string("");
	return json_pack("{s:o,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "reply", reply, "class", bounce_class_name(c),
		"group", bounce_group_name(bounce_class_group(c)), "verdict",
		verdict_is_final(c, in.code) ? "permanent" : "temporary", "fault", classify_fault(c),
		"category", bounce_class_pmta(c), "rule", rule_name(q, &r), "at",
		r.block >= 0 ? q->conf->bounces[r.block].at : "");
}

/* Others have written the name in front: nothing of it may command the terminal. False: there is no tab. */
static bool
print_line(const struct question *q, char *line, size_t len)
{
	char *tab = memchr(line, '\t', len);
	struct classify_input in;
	struct classify_result r;

	if (tab == NULL)
		return false;
	r = ask(q, tab + 1, len - (size_t)(tab + 1 - line), &in);
	*tab = '\0';
	mtactl_clean(line);
	printf("%s\t%s\t%s\n", line, bounce_class_name(r.bounce_class), rule_name(q, &r));
	return true;
}

static int
each_line(const struct question *q, const char *path)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *line = NULL;
	size_t room = 0, n = 0;
	ssize_t len;

	if (in == NULL) {
		fprintf(stderr, "mtactl: %s: %m\n", path);
		return WRONG;
	}
	while ((len = getline(&line, &room, in)) >= 0) {
		n++;
		while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			line[--len] = '\0';
		if (len == 0)
			continue;
		if (q->rows != NULL)
			(void)json_array_append_new(q->rows, row_of(q, line, (size_t)len));
		else if (!print_line(q, line, (size_t)len))
			fprintf(stderr, "mtactl: %s:%zu: no tab between a name and a reply\n", path, n);
	}
	free(line);
	if (in != stdin)
		fclose(in);
	return OK;
}

static void
show_one(const struct mtactl *m, const json_t *row)
{
	const char *at = mtactl_text(row, "at");

	printf("%sclass%s     %s%s%s, of the group %s\n", mtactl_dim(m), mtactl_plain(m), mtactl_bold(m),
		mtactl_text(row, "class"), mtactl_plain(m), mtactl_text(row, "group"));
	printf("%sverdict%s   %s; it is about %s\n", mtactl_dim(m), mtactl_plain(m),
		mtactl_text(row, "verdict"), mtactl_text(row, "fault"));
	printf("%sbounceCat%s %s\n", mtactl_dim(m), mtactl_plain(m), mtactl_text(row, "category"));
	if (at[0] != '\0')
		printf("%srule%s      %s, %s\n", mtactl_dim(m), mtactl_plain(m), mtactl_text(row, "rule"),
			at);
	else
		printf("%srule%s      none holds: by its codes\n", mtactl_dim(m), mtactl_plain(m));
}

static void
show(const struct question *q)
{
	static const struct mtactl_column columns[] = {{"CLASS", "class", mtactl_write_text, false, 0, false},
		{"GROUP", "group", mtactl_write_text, false, 0, true},
		{"VERDICT", "verdict", mtactl_write_text, false, 0, false},
		{"RULE", "rule", mtactl_write_text, false, 0, false},
		{"AT", "at", mtactl_write_text, false, 12, true},
		{"REPLY", "reply", mtactl_write_text, false, 20, false}};

	if (q->m->json) {
		json_t *answer = json_pack("{s:O}", "rows", q->rows);

		(void)json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(answer);
	} else if (json_array_size(q->rows) == 1) {
		show_one(q->m, json_array_get(q->rows, 0));
	} else {
		MTACTL_TABLE(q->m, columns, q->rows, 0);
	}
}

static int
classify_all(struct question *q, const struct mtactl_options *o)
{
	int code = OK;

	q->rows = json_array();
	for (int i = 0; i < o->word_count && code == OK; i++) {
		if (strcmp(o->words[i], "-") == 0)
			code = each_line(q, "-");
		else
			(void)json_array_append_new(
				q->rows, row_of(q, o->words[i], strnlen(o->words[i], 65536)));
	}
	if (code == OK)
		show(q);
	json_decref(q->rows);
	q->rows = NULL;
	return code;
}

int
mtactl_classify(struct mtactl *m, const struct mtactl_options *o)
{
	const char *tsv = filter_text(o, "tsv");
	struct question q = {.m = m};
	char shipped[PATH_MAX];
	int code = WRONG;

	if ((o->word_count > 0) == (tsv != NULL)) {
		fputs("mtactl: classify 'REPLY' ..., classify - for lines of the standard input, or classify "
		      "--tsv FILE\n",
			stderr);
		return WRONG;
	}
	q.conf = conf_load(mtactl_rules_file(m, "bounces.conf", shipped), stderr);
	if (q.conf == NULL)
		return WRONG;
	if (q.conf->bounce_count == 0)
		fprintf(stderr,
			"mtactl: %s has no bounce rules, so only codes are looked at; "
			"include(\"bounces.conf\") "
			"brings those that came with mtad\n",
			q.conf->file);
	if (find_provider(&q, filter_text(o, "provider")) &&
		(q.classifier = classifier_create(q.conf)) != NULL)
		code = tsv != NULL ? each_line(&q, tsv) : classify_all(&q, o);
	classifier_unref(q.classifier);
	conf_unref(q.conf);
	return code;
}
