/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each text option has one row in `kinds`, which says what it must look like; the row checks it while the
 * parser still knows the line, and the same function converts it afterwards.
 */
#include "mtasim_grammar.h"

#include "mtasim_text.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_MAX = 4096, SCRIPT_MAX = 4 << 20 };

#define END_OPTION "the-file-ends-inside-a-block"

enum kind { KIND_CHOICE, KIND_DURATION, KIND_RATE, KIND_BYTES, KIND_REPLY, KIND_PATTERN, KIND_STATUS };

static const char *const phase_words[] = {
	"connect", "ehlo", "helo", "starttls", "mail", "rcpt", "data", "body", "dot", "quit", NULL};
static const char *const act_words[] = {"reply", "accept", "drop", "reset", "stall", "garbage", "huge", NULL};
static const char *const tls_words[] = {
	"good", "none", "expired", "wrong-name", "self-signed", "broken", NULL};
static const char *const records_words[] = {"mx", "implicit", "null-mx", "cname", NULL};
static const char *const fault_words[] = {"none", "nxdomain", "nodata", "servfail", "refused", "timeout",
	"truncate", "garbage", "refuse", "hang", NULL};
static const char *const send_words[] = {"dsn", "qmail", "exim", "exchange", "complaint", "unsubscribe-mail",
	"unsubscribe-click", "auto-reply", "unreadable", NULL};
static const char *const question_words[] = {"any", "mx", "address", NULL};

static const struct {
	const char *path;
	enum kind kind;
	const char *const *words;
} kinds[] = {
	{"site|domain-pattern", KIND_PATTERN, NULL},
	{"site|mx-name", KIND_PATTERN, NULL},
	{"site|tls", KIND_CHOICE, tls_words},
	{"site|size-max", KIND_BYTES, NULL},
	{"site|latency", KIND_DURATION, NULL},
	{"site|tarpit", KIND_DURATION, NULL},
	{"site|connections-reply", KIND_REPLY, NULL},
	{"site|messages-reply", KIND_REPLY, NULL},
	{"site|rate", KIND_RATE, NULL},
	{"site|rate-reply", KIND_REPLY, NULL},
	{"site|block", KIND_DURATION, NULL},
	{"site|block-push", KIND_DURATION, NULL},
	{"site|block-reply", KIND_REPLY, NULL},
	{"site|greylist", KIND_DURATION, NULL},
	{"site|greylist-reply", KIND_REPLY, NULL},
	{"site|dns|records", KIND_CHOICE, records_words},
	{"site|dns|fault", KIND_CHOICE, fault_words},
	{"site|dns|on", KIND_CHOICE, question_words},
	{"site|dns|heal", KIND_DURATION, NULL},
	{"site|dns|delay", KIND_DURATION, NULL},
	{"site|dns|ttl", KIND_DURATION, NULL},
	{"site|dns|negative-ttl", KIND_DURATION, NULL},
	{"site|host|fault", KIND_CHOICE, fault_words},
	{"site|rule|on", KIND_CHOICE, phase_words},
	{"site|rule|do", KIND_CHOICE, act_words},
	{"site|rule|from", KIND_DURATION, NULL},
	{"site|rule|until", KIND_DURATION, NULL},
	{"site|rule|reply", KIND_REPLY, NULL},
	{"site|rule|delay", KIND_DURATION, NULL},
	{"site|rule|drip", KIND_DURATION, NULL},
	{"site|rule|bytes", KIND_BYTES, NULL},
	{"site|return|send", KIND_CHOICE, send_words},
	{"site|return|after", KIND_DURATION, NULL},
	{"site|return|status", KIND_STATUS, NULL},
	{"site|return|text", KIND_REPLY, NULL},
	{"record|fault", KIND_CHOICE, fault_words},
};

/* Position of the word in the list, -1 if it is none of them. */
static int
word_index(const char *const *words, const char *word)
{
	int i;

	for (i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -1;
}

static bool
parse_scaled(const char *text, const char *const *units, const uint64_t *scales, uint64_t *out_value)
{
	char *end;
	uint64_t number;
	int unit;

	if (!isdigit((unsigned char)*text))
		return false;
	number = strtoull(text, &end, 10);
	if ((unit = word_index(units, end)) < 0 || number > INT64_MAX / scales[unit])
		return false;
	*out_value = number * scales[unit];
	return true;
}

static bool
parse_duration(const char *text, uint64_t *out_us)
{
	static const char *const units[] = {"us", "ms", "s", "m", "h", "d", NULL};
	static const uint64_t scales[] = {1, 1000, 1000000, 60000000, 3600000000u, 86400000000u};

	return parse_scaled(text, units, scales, out_us);
}

static bool
parse_bytes(const char *text, uint64_t *out_bytes)
{
	static const char *const units[] = {"", "B", "KB", "MB", "GB", NULL};
	static const uint64_t scales[] = {1, 1, 1024, 1048576, 1073741824};

	return parse_scaled(text, units, scales, out_bytes);
}

static bool
parse_rate(const char *text, uint32_t *out_count, int64_t *out_us)
{
	static const char *const units[] = {"/s", "/m", "/h", NULL};
	static const int64_t windows[] = {1000000, 60000000, 3600000000};
	char *end;
	unsigned long count;
	int unit;

	if (!isdigit((unsigned char)*text))
		return false;
	count = strtoul(text, &end, 10);
	if (count == 0 || count > UINT32_MAX || (unit = word_index(units, end)) < 0)
		return false;
	*out_count = (uint32_t)count;
	*out_us = windows[unit];
	return true;
}

/* Three digits, then the end, a space or a hyphen. */
static bool
is_reply(const char *text)
{
	return text[0] >= '2' && text[0] <= '5' && isdigit((unsigned char)text[1]) &&
	       isdigit((unsigned char)text[2]) && (text[3] == '\0' || text[3] == ' ' || text[3] == '-');
}

/* Of a failure: 4.2.2, 5.1.1. */
static bool
is_status(const char *text)
{
	unsigned subject, detail;
	int end = 0;

	return (text[0] == '4' || text[0] == '5') &&
	       sscanf(text + 1, ".%3u.%3u%n", &subject, &detail, &end) == 2 && text[1 + end] == '\0';
}

static bool
is_valid(size_t row, const char *text)
{
	struct sim_pattern pattern;
	uint64_t number;
	uint32_t count;
	int64_t us;

	switch (kinds[row].kind) {
	case KIND_CHOICE:
		return word_index(kinds[row].words, text) >= 0;
	case KIND_DURATION:
		return parse_duration(text, &number);
	case KIND_RATE:
		return parse_rate(text, &count, &us);
	case KIND_BYTES:
		return parse_bytes(text, &number);
	case KIND_REPLY:
		return is_reply(text);
	case KIND_STATUS:
		return is_status(text);
	case KIND_PATTERN:
		return sim_pattern_parse(text, strnlen(text, VALUE_MAX), &pattern);
	}
	return false;
}

static void
complain(cfg_t *cfg, const char *option, size_t row, const char *text)
{
	static const char *const wanted[] = {
		[KIND_DURATION] = "a number with unit: us, ms, s, m, h or d",
		[KIND_RATE] = "a number with /s, /m or /h",
		[KIND_BYTES] = "a number, perhaps with B, KB, MB or GB",
		[KIND_REPLY] = "an SMTP reply: three digits, a space, text",
		[KIND_PATTERN] = "a name with one %d or %0Nd",
		[KIND_STATUS] = "an enhanced status code of a failure, like 5.1.1",
	};
	char words[200];
	size_t used = 0, i;

	if (kinds[row].kind != KIND_CHOICE) {
		cfg_error(cfg, "%s = \"%s\": expected %s", option, text, wanted[kinds[row].kind]);
		return;
	}
	words[0] = '\0';
	for (i = 0; kinds[row].words[i] != NULL && used < sizeof(words); i++)
		used += (size_t)snprintf(
			words + used, sizeof(words) - used, "%s%s", i > 0 ? ", " : "", kinds[row].words[i]);
	cfg_error(cfg, "%s = \"%s\": expected one of %s", option, text, words);
}

/* libconfuse names an option and its section, not the path: the last two words are enough to find the row.
 * -1: it has none. */
static int
row_of(cfg_t *cfg, const char *option)
{
	char tail[80];
	size_t i, path_len, tail_len;

	snprintf(tail, sizeof(tail), "%s|%s", cfg_name(cfg), option);
	tail_len = strnlen(tail, sizeof(tail));
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		path_len = strnlen(kinds[i].path, VALUE_MAX);
		if (path_len >= tail_len && strcmp(kinds[i].path + path_len - tail_len, tail) == 0)
			return (int)i;
	}
	return -1;
}

static int
validate_text(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *text = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
	int row = row_of(cfg, cfg_opt_name(opt));

	if (row < 0 || text == NULL || is_valid((size_t)row, text))
		return 0;
	complain(cfg, cfg_opt_name(opt), (size_t)row, text);
	return -1;
}

__attribute__((format(printf, 2, 0))) static void
on_parse_error(cfg_t *cfg, const char *format, va_list args)
{
	fprintf(stderr, "mtasim: %s:%d: ", cfg->filename != NULL ? cfg->filename : "script", cfg->line);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

static cfg_t *
describe(void)
{
	cfg_opt_t rule[] = {CFG_STR("on", NULL, CFGF_NONE), CFG_STR("do", NULL, CFGF_NONE),
		CFG_STR("match", NULL, CFGF_NONE), CFG_FLOAT("share", 100.0, CFGF_NONE),
		CFG_BOOL("each", cfg_false, CFGF_NONE), CFG_INT("count", 0, CFGF_NONE),
		CFG_INT("skip", 0, CFGF_NONE), CFG_STR("from", "0s", CFGF_NONE),
		CFG_STR("until", "0s", CFGF_NONE), CFG_STR("reply", NULL, CFGF_NONE),
		CFG_BOOL("close", cfg_false, CFGF_NONE), CFG_STR("delay", "0s", CFGF_NONE),
		CFG_STR("drip", "0s", CFGF_NONE), CFG_STR("bytes", "0", CFGF_NONE), CFG_END()};
	cfg_opt_t answer[] = {CFG_STR("send", NULL, CFGF_NONE), CFG_STR("match", NULL, CFGF_NONE),
		CFG_FLOAT("share", 100.0, CFGF_NONE), CFG_STR("after", "0s", CFGF_NONE),
		CFG_STR("to", NULL, CFGF_NONE), CFG_STR("status", "5.1.1", CFGF_NONE),
		CFG_STR("text", "550 5.1.1 No such user here", CFGF_NONE),
		CFG_BOOL("redact", cfg_false, CFGF_NONE), CFG_END()};
	cfg_opt_t host[] = {CFG_INT("number", 1, CFGF_NONE), CFG_STR("fault", "none", CFGF_NONE), CFG_END()};
	cfg_opt_t dns[] = {CFG_STR("records", "mx", CFGF_NONE), CFG_STR("fault", "none", CFGF_NONE),
		CFG_STR("on", "any", CFGF_NONE), CFG_FLOAT("share", 100.0, CFGF_NONE),
		CFG_STR("heal", "0s", CFGF_NONE), CFG_STR("delay", "0s", CFGF_NONE),
		CFG_STR("ttl", "5m", CFGF_NONE), CFG_STR("negative-ttl", "30s", CFGF_NONE),
		CFG_INT("cname-length", 1, CFGF_NONE), CFG_END()};
	cfg_opt_t site[] = {CFG_STR_LIST("domains", NULL, CFGF_NONE),
		CFG_STR("domain-pattern", NULL, CFGF_NONE), CFG_INT("domains-count", 1000, CFGF_NONE),
		CFG_INT("addresses", 1, CFGF_NONE), CFG_STR("mx-name", NULL, CFGF_NONE),
		CFG_BOOL("spread", cfg_false, CFGF_NONE), CFG_STR("hostname", NULL, CFGF_NONE),
		CFG_STR("tls", "good", CFGF_NONE), CFG_BOOL("tls-12-only", cfg_false, CFGF_NONE),
		CFG_BOOL("tls-required", cfg_false, CFGF_NONE), CFG_BOOL("pipelining", cfg_true, CFGF_NONE),
		CFG_BOOL("eightbit", cfg_true, CFGF_NONE), CFG_BOOL("smtputf8", cfg_true, CFGF_NONE),
		CFG_BOOL("size", cfg_true, CFGF_NONE), CFG_BOOL("enhanced", cfg_true, CFGF_NONE),
		CFG_BOOL("chunking", cfg_true, CFGF_NONE), CFG_BOOL("dsn", cfg_true, CFGF_NONE),
		CFG_BOOL("limits", cfg_false, CFGF_NONE), CFG_BOOL("deliverby", cfg_false, CFGF_NONE),
		CFG_BOOL("mt-priority", cfg_false, CFGF_NONE), CFG_BOOL("check-domain", cfg_false, CFGF_NONE),
		CFG_STR("size-max", "50MB", CFGF_NONE), CFG_INT("rcpt-max", 1000, CFGF_NONE),
		CFG_STR("latency", "0s", CFGF_NONE), CFG_STR("tarpit", "0s", CFGF_NONE),
		CFG_INT("connections-max", 0, CFGF_NONE),
		CFG_STR("connections-reply", "421 4.7.0 Too many connections", CFGF_NONE),
		CFG_INT("messages-per-connection", 0, CFGF_NONE), CFG_STR("messages-reply", NULL, CFGF_NONE),
		CFG_STR("rate", NULL, CFGF_NONE),
		CFG_STR("rate-reply", "451 4.7.1 Rate limit exceeded", CFGF_NONE),
		CFG_STR("block", "0s", CFGF_NONE), CFG_STR("block-push", "0s", CFGF_NONE),
		CFG_STR("block-reply", "421 4.7.0 Blocked for a while", CFGF_NONE),
		CFG_STR("greylist", "0s", CFGF_NONE),
		CFG_STR("greylist-reply", "450 4.2.0 Greylisted, try again later", CFGF_NONE),
		CFG_SEC("dns", dns, CFGF_NONE), CFG_SEC("host", host, CFGF_MULTI),
		CFG_SEC("rule", rule, CFGF_MULTI), CFG_SEC("return", answer, CFGF_MULTI), CFG_END()};
	cfg_opt_t record[] = {CFG_STR("txt", NULL, CFGF_NONE), CFG_STR("a", NULL, CFGF_NONE),
		CFG_STR("aaaa", NULL, CFGF_NONE), CFG_STR("cname", NULL, CFGF_NONE),
		CFG_STR_LIST("mx", NULL, CFGF_NONE), CFG_STR("fault", "none", CFGF_NONE), CFG_END()};
	cfg_opt_t top[] = {CFG_INT("seed", 1, CFGF_NONE), CFG_BOOL(END_OPTION, cfg_false, CFGF_NONE),
		CFG_SEC("site", site, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("record", record, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_FUNC("include", &cfg_include), CFG_END()};
	cfg_t *cfg = cfg_init(top, CFGF_NONE);
	size_t i;

	if (cfg == NULL)
		return NULL;
	cfg_set_error_function(cfg, on_parse_error);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		cfg_set_validate_func(cfg, kinds[i].path, validate_text);
	return cfg;
}

/*
 * libconfuse takes the end of the file for the end of every open block, so a script that was cut short would
 * load. An option that only the top level knows, put behind the text, shows that all blocks were closed.
 */
static bool
parse_file(cfg_t *cfg, const char *path)
{
	static const char last[] = "\n" END_OPTION " = yes\n";
	char *text = calloc(1, SCRIPT_MAX + sizeof(last));
	FILE *file = fopen(path, "r"), *whole;
	bool is_parsed = false;
	size_t len;

	if (file == NULL || text == NULL) {
		fprintf(stderr, "mtasim: %s: cannot be read\n", path);
		free(text);
		if (file != NULL)
			fclose(file);
		return false;
	}
	len = fread(text, 1, SCRIPT_MAX, file);
	fclose(file);
	memcpy(text + len, last, sizeof(last) - 1);
	cfg->filename = strdup(path); /* libconfuse frees it */
	if ((whole = fmemopen(text, len + sizeof(last) - 1, "r")) != NULL) {
		is_parsed = cfg_parse_fp(cfg, whole) == CFG_SUCCESS;
		fclose(whole);
	}
	free(text);
	return is_parsed;
}

cfg_t *
grammar_parse(const char *path)
{
	cfg_t *cfg = describe();

	if (cfg == NULL || parse_file(cfg, path))
		return cfg;
	cfg_free(cfg);
	return NULL;
}

/* --- values: validated when they were read, or defaults of ours --- */

int64_t
grammar_us(cfg_t *cfg, const char *name)
{
	uint64_t us = 0;

	(void)parse_duration(cfg_getstr(cfg, name), &us);
	return (int64_t)us;
}

uint64_t
grammar_bytes(cfg_t *cfg, const char *name)
{
	uint64_t bytes = 0;

	(void)parse_bytes(cfg_getstr(cfg, name), &bytes);
	return bytes;
}

void
grammar_rate(cfg_t *cfg, const char *name, uint32_t *out_count, int64_t *out_us)
{
	(void)parse_rate(cfg_getstr(cfg, name), out_count, out_us);
}

int
grammar_word(cfg_t *cfg, const char *name)
{
	int row = row_of(cfg, name);

	assert(row >= 0);
	return word_index(kinds[row].words, cfg_getstr(cfg, name));
}

const char *
grammar_send_word(int send)
{
	assert(send >= 0 && (size_t)send + 1 < sizeof(send_words) / sizeof(send_words[0]));
	return send_words[send];
}

int64_t
grammar_count(cfg_t *cfg, const char *name, int64_t max)
{
	long value = cfg_getint(cfg, name);

	if (value < 0 || value > max) {
		cfg_error(cfg, "%s = %ld: expected 0 to %lld", name, value, (long long)max);
		return -1;
	}
	return value;
}
