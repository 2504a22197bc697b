/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of a configuration, as they are written and as they would act on a reply. The file is read for
 * the question, as with explain: a rule is tried before the daemon has it.
 */
#include "control/mtactl.h"

#include "base/domain.h"
#include "route/site.h"
#include "shape/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Exit codes: a rule holds; none does; a wrong question. */
enum { SOME = 0, NONE = 1, WRONG = 2 };

struct question {
	const struct mtactl_options *o;
	const struct conf *conf;
	int provider; /* index, or RULES_PROVIDER_... */
	uint32_t phases;
};

static const char *
filter_text(const struct mtactl_options *o, const char *name)
{
	return json_string_value(json_object_get(o->filter, name));
}

/* --- the question --- */

static bool
find_provider(struct question *q, const char *name)
{
	for (size_t i = 0; i < q->conf->provider_count; i++)
		if (strcmp(q->conf->providers[i].name, name) == 0) {
			q->provider = (int)i;
			return true;
		}
	fprintf(stderr, "mtactl: there is no provider \"%s\" in %s\n", name, q->conf->file);
	return false;
}

/* In its normal spelling; NULL: said, or not given. */
static const char *
read_name(const char *text, char out[DOMAIN_MAX], bool *is_wrong)
{
	if (text == NULL)
		return NULL;
	if (text[0] != '[' && domain_normalise(text, strnlen(text, 65536), out, DOMAIN_MAX) >= 0)
		return out;
	fprintf(stderr, "mtactl: \"%s\" is no domain\n", text);
	*is_wrong = true;
	return NULL;
}

/* Whose rules, and at which point of the conversation. */
static bool
read_options(struct question *q)
{
	const char *provider = filter_text(q->o, "provider"), *phase = filter_text(q->o, "phase");
	char domain_text[DOMAIN_MAX], mx_text[DOMAIN_MAX];
	bool is_wrong = false;
	const char *domain = read_name(filter_text(q->o, "domain"), domain_text, &is_wrong);
	const char *mx = read_name(filter_text(q->o, "mx"), mx_text, &is_wrong);

	q->provider = RULES_PROVIDER_ANY;
	q->phases = RULES_PHASES_ANY;
	if (is_wrong)
		return false;
	if (phase != NULL && (q->phases = conf_phase_bits(phase)) == 0) {
		fprintf(stderr, "mtactl: --phase takes one of " CONF_PHASE_WORDS "\n");
		return false;
	}
	if (provider != NULL) {
		if (domain == NULL && mx == NULL)
			return find_provider(q, provider);
		fputs("mtactl: --provider, or --domain and --mx\n", stderr);
		return false;
	}
	if (domain == NULL && mx == NULL)
		return true;
	q->provider = site_provider(q->conf, domain != NULL ? domain : "", mx);
	if (q->provider < 0 && mx == NULL)
		fprintf(stderr,
			"providers are known by their MX hosts: without --mx these are the rules for %s "
			"as a site of its own\n",
			domain);
	return true;
}

/* --- the answer --- */

static json_t *
names_of(const struct conf_list *l)
{
	json_t *names = json_array();

	for (size_t i = 0; i < l->count; i++)
		(void)json_array_append_new(names, json_string(l->items[i]));
	return names;
}

/* One rule; texts are the configuration's, so they are UTF-8. */
static json_t *
row_of(const struct conf *conf, uint32_t n)
{
	const struct conf_rule *r = &conf->rules[n];
	char does[RULES_WORDS_MAX];

	rules_say(conf, n, does, sizeof(does));
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:s,s:b,s:s,s:s}", "rule", r->name, "providers",
		names_of(&r->providers), "phase", names_of(&r->phase), "code", names_of(&r->code), "enhanced",
		names_of(&r->enhanced), "text", names_of(&r->text), "does", does, "last", r->last, "note",
		r->note, "at", r->at);
}

/* The answer in the form of the daemon's; what becomes of the recipient is its summary. */
static int
show(const struct mtactl *m, const struct question *q, json_t *take_answer, int code)
{
	if (m->json) {
		(void)json_dumpf(take_answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		mtactl_show(m, q->o, take_answer);
	}
	json_decref(take_answer);
	return code;
}

static int
list_rules(const struct mtactl *m, const struct question *q)
{
	json_t *rows = json_array();

	for (size_t n = 0; n < q->conf->rule_count; n++)
		if (q->provider == RULES_PROVIDER_ANY || rules_is_for(q->conf, (uint32_t)n, q->provider))
			(void)json_array_append_new(rows, row_of(q->conf, (uint32_t)n));
	return show(m, q, json_pack("{s:o}", "rows", rows), SOME);
}

static int
test_reply(const struct mtactl *m, const struct question *q, const struct rules *rules, const char *text)
{
	static const char *const treats[] = {"temporary", "permanent"};
	struct smtp_reply_parser p;
	struct smtp_reply reply;
	struct rules_match match;
	json_t *rows = json_array(), *summary;

	if (!rules_read(text, strnlen(text, 65536), &p, &reply)) {
		json_decref(rows);
		fputs("mtactl: a reply begins with its code: '421 4.7.0 try again later'\n", stderr);
		return WRONG;
	}
	rules_match(rules, &(struct rules_reply){q->provider, q->phases, &reply}, &match);
	for (uint32_t i = 0; i < match.count; i++)
		(void)json_array_append_new(rows, row_of(q->conf, match.rules[i]));
	summary = json_pack("{s:s?,s:I,s:b,s:s}", "treat",
		match.treat == CONF_TREAT_UNSET ? NULL : treats[match.treat], "retry_us",
		(json_int_t)match.retry_us, "next_source", match.next_source, "provider",
		q->provider >= 0 ? q->conf->providers[q->provider].name : "");
	return show(m, q, json_pack("{s:o,s:o}", "rows", rows, "summary", summary),
		match.count > 0 ? SOME : NONE);
}

/* A line of a file, and the names of the rules behind it. Others have written the line: nothing of it may
 * command the terminal. */
static void
print_line(const struct question *q, char *line, const struct rules_match *match)
{
	for (char *s = line; *s != '\0'; s++)
		if (mtactl_control_len(s) > 0)
			memset(s, ' ', mtactl_control_len(s));
	printf("%s\t", line);
	for (uint32_t i = 0; i < match->count; i++)
		printf("%s%s", i > 0 ? " " : "", q->conf->rules[match->rules[i]].name);
	putchar('\n');
}

static json_t *
line_row(const struct question *q, int64_t line, const struct rules_match *match)
{
	json_t *names = json_array();

	for (uint32_t i = 0; i < match->count; i++)
		(void)json_array_append_new(names, json_string(q->conf->rules[match->rules[i]].name));
	return json_pack("{s:I,s:o}", "line", (json_int_t)line, "rules", names);
}

static int
test_lines(const struct mtactl *m, const struct question *q, const struct rules *rules, FILE *in)
{
	json_t *rows = json_array();
	char *line = NULL;
	size_t room = 0;
	int64_t n = 0;
	int code = NONE;
	ssize_t len;

	while ((len = getline(&line, &room, in)) >= 0) {
		struct smtp_reply_parser p;
		struct smtp_reply reply;
		struct rules_match match = {.count = 0};

		while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			line[--len] = '\0';
		if (rules_read(line, (size_t)len, &p, &reply))
			rules_match(rules, &(struct rules_reply){q->provider, q->phases, &reply}, &match);
		if (match.count > 0)
			code = SOME;
		n++;
		if (m->json)
			(void)json_array_append_new(rows, line_row(q, n, &match));
		else
			print_line(q, line, &match);
	}
	free(line);
	if (m->json)
		return show(m, q, json_pack("{s:o}", "rows", rows), code);
	json_decref(rows);
	return code;
}

static int
test_file(const struct mtactl *m, const struct question *q, const struct rules *rules, const char *path)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	int code;

	if (in == NULL) {
		fprintf(stderr, "mtactl: %s: %m\n", path);
		return WRONG;
	}
	code = test_lines(m, q, rules, in);
	if (in != stdin)
		fclose(in);
	return code;
}

int
mtactl_rules(struct mtactl *m, const struct mtactl_options *o)
{
	const char *word = o->word_count > 0 ? o->words[0] : "", *path = filter_text(o, "file");
	bool is_test = strcmp(word, "test") == 0;
	struct question q = {.o = o};
	struct rules *rules = NULL;
	int code = WRONG;

	if (!(is_test ? (o->word_count == 2) != (path != NULL) && o->word_count <= 2
		      : strcmp(word, "list") == 0 && o->word_count == 1 && path == NULL)) {
		fputs("mtactl: rules test 'REPLY', rules test --file FILE, or rules list\n", stderr);
		return WRONG;
	}
	q.conf = conf_load(m->conf_file, stderr);
	if (q.conf == NULL)
		return WRONG;
	if (q.conf->rule_count == 0)
		fprintf(stderr,
			"mtactl: %s has no rules; include(\"providers.conf\") brings those that came with "
			"mtad\n",
			q.conf->file);
	if (read_options(&q) && (rules = rules_create(q.conf)) != NULL) {
		if (!is_test)
			code = list_rules(m, &q);
		else if (path != NULL)
			code = test_file(m, &q, rules, path);
		else
			code = test_reply(m, &q, rules, o->words[1]);
	}
	rules_unref(rules);
	conf_unref(q.conf);
	return code;
}
