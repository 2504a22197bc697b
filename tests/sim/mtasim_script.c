/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a scenario with libconfuse. Each text option has one row in `kinds`, which says what it must look
 * like; the row checks it while the parser still knows the line, and the same function converts it
 * afterwards.
 *
 * Invariants: a script that was returned is complete and consistent, nobody checks again: the last site is
 * "default", every host has an address of its own, no name stands twice.
 */
#include "mtasim_script.h"

#include "mtasim_names.h"

#include <arpa/inet.h>
#include <assert.h>
#include <confuse.h>
#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

enum { SITES_MAX = 250, HOSTS_MAX = 250, TEXT_MAX = 4096, GENERATED_MAX = 1000000, SCRIPT_MAX = 4 << 20 };

#define END_OPTION "the-file-ends-inside-a-block"

enum kind { KIND_CHOICE, KIND_DURATION, KIND_RATE, KIND_BYTES, KIND_REPLY, KIND_PATTERN };

static const char *const phase_words[] = {
	"connect", "ehlo", "helo", "starttls", "mail", "rcpt", "data", "body", "dot", "quit", NULL};
static const char *const act_words[] = {"reply", "accept", "drop", "reset", "stall", "garbage", "huge", NULL};
static const char *const tls_words[] = {
	"good", "none", "expired", "wrong-name", "self-signed", "broken", NULL};
static const char *const records_words[] = {"mx", "implicit", "null-mx", "cname", NULL};
static const char *const fault_words[] = {"none", "nxdomain", "nodata", "servfail", "refused", "timeout",
	"truncate", "garbage", "refuse", "hang", NULL};
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
	case KIND_PATTERN:
		return sim_pattern_parse(text, strnlen(text, TEXT_MAX), &pattern);
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

/* libconfuse names an option and its section, not the path: the last two words are enough to find the row. */
static int
validate_text(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *text = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
	char tail[80];
	size_t i, path_len, tail_len;

	snprintf(tail, sizeof(tail), "%s|%s", cfg_name(cfg), cfg_opt_name(opt));
	tail_len = strnlen(tail, sizeof(tail));
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		path_len = strnlen(kinds[i].path, TEXT_MAX);
		if (path_len < tail_len || strcmp(kinds[i].path + path_len - tail_len, tail) != 0)
			continue;
		if (text != NULL && !is_valid(i, text)) {
			complain(cfg, cfg_opt_name(opt), i, text);
			return -1;
		}
		return 0;
	}
	return 0;
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
		CFG_BOOL("limits", cfg_false, CFGF_NONE), CFG_BOOL("check-domain", cfg_false, CFGF_NONE),
		CFG_STR("size-max", "50MB", CFGF_NONE), CFG_INT("rcpt-max", 1000, CFGF_NONE),
		CFG_STR("latency", "0s", CFGF_NONE), CFG_STR("tarpit", "0s", CFGF_NONE),
		CFG_INT("connections-max", 0, CFGF_NONE),
		CFG_STR("connections-reply", "421 4.7.0 Too many connections", CFGF_NONE),
		CFG_INT("messages-per-connection", 0, CFGF_NONE), CFG_STR("messages-reply", NULL, CFGF_NONE),
		CFG_STR("rate", NULL, CFGF_NONE),
		CFG_STR("rate-reply", "451 4.7.1 Rate limit exceeded", CFGF_NONE),
		CFG_STR("greylist", "0s", CFGF_NONE),
		CFG_STR("greylist-reply", "450 4.2.0 Greylisted, try again later", CFGF_NONE),
		CFG_SEC("dns", dns, CFGF_NONE), CFG_SEC("host", host, CFGF_MULTI),
		CFG_SEC("rule", rule, CFGF_MULTI), CFG_END()};
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

/* --- from the parser's tree to structs; what is out of range was refused above or is refused here with its
 * line --- */

static void *
must_alloc(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size);

	if (p == NULL) {
		fprintf(stderr, "mtasim: out of memory\n");
		exit(1); /* at start, in a test tool: there is nobody to tell */
	}
	return p;
}

static char *
copy_text(const char *text)
{
	size_t len;
	char *copy;

	if (text == NULL)
		return NULL;
	len = strnlen(text, TEXT_MAX);
	copy = must_alloc(len + 1, 1);
	memcpy(copy, text, len);
	return copy;
}

static char *
copy_lower(const char *text)
{
	char *copy = copy_text(text);
	size_t i;

	for (i = 0; copy[i] != '\0'; i++)
		copy[i] = (char)tolower((unsigned char)copy[i]);
	return copy;
}

static int64_t
get_us(cfg_t *cfg, const char *name)
{
	uint64_t us = 0;

	(void)parse_duration(cfg_getstr(cfg, name), &us); /* validated */
	return (int64_t)us;
}

static uint64_t
get_bytes(cfg_t *cfg, const char *name)
{
	uint64_t bytes = 0;

	(void)parse_bytes(cfg_getstr(cfg, name), &bytes); /* validated */
	return bytes;
}

static int
get_word(cfg_t *cfg, const char *name, const char *const *words)
{
	return word_index(words, cfg_getstr(cfg, name)); /* validated, or a default of ours */
}

/* Counts are small and never negative; -1 and words on stderr. */
static int64_t
get_count(cfg_t *cfg, const char *name, int64_t max)
{
	long value = cfg_getint(cfg, name);

	if (value < 0 || value > max) {
		cfg_error(cfg, "%s = %ld: expected 0 to %lld", name, value, (long long)max);
		return -1;
	}
	return value;
}

static bool
read_rule(cfg_t *cfg, struct sim_rule *rule)
{
	const char *on = cfg_getstr(cfg, "on"), *act = cfg_getstr(cfg, "do");
	int64_t count = get_count(cfg, "count", UINT32_MAX), skip = get_count(cfg, "skip", UINT32_MAX);

	rule->match = copy_text(cfg_getstr(cfg, "match"));
	rule->reply = copy_text(cfg_getstr(cfg, "reply"));
	if (count < 0 || skip < 0)
		return false;
	if (on == NULL) {
		cfg_error(cfg, "rule without \"on\": which phase?");
		return false;
	}
	if (act == NULL)
		act = rule->reply != NULL ? "reply" : "accept";
	rule->phase = (enum sim_phase)word_index(phase_words, on);
	rule->act = (enum sim_act)word_index(act_words, act);
	rule->share = cfg_getfloat(cfg, "share");
	rule->each = cfg_getbool(cfg, "each");
	rule->count = (uint32_t)count;
	rule->skip = (uint32_t)skip;
	rule->from_us = get_us(cfg, "from");
	rule->until_us = get_us(cfg, "until");
	rule->close = cfg_getbool(cfg, "close");
	rule->delay_us = get_us(cfg, "delay");
	rule->drip_us = get_us(cfg, "drip");
	rule->bytes = get_bytes(cfg, "bytes");
	if (rule->act == SIM_ACT_REPLY && rule->reply == NULL) {
		cfg_error(cfg, "rule with do = reply has no reply");
		return false;
	}
	if (rule->phase == SIM_BODY && rule->act != SIM_ACT_DROP && rule->act != SIM_ACT_RESET &&
		rule->act != SIM_ACT_STALL) {
		cfg_error(cfg, "in the body a site can drop, reset or stall, nothing else");
		return false;
	}
	return true;
}

static void
read_dns(cfg_t *cfg, struct sim_dns *dns)
{
	int on = get_word(cfg, "on", question_words);

	dns->records = (enum sim_records)get_word(cfg, "records", records_words);
	dns->fault = (enum sim_fault)get_word(cfg, "fault", fault_words);
	dns->fault_mx = on != 2;
	dns->fault_address = on != 1;
	dns->share = cfg_getfloat(cfg, "share");
	dns->heal_us = get_us(cfg, "heal");
	dns->delay_us = get_us(cfg, "delay");
	dns->ttl_s = (uint32_t)(get_us(cfg, "ttl") / 1000000);
	dns->negative_ttl_s = (uint32_t)(get_us(cfg, "negative-ttl") / 1000000);
	dns->cname_length = (uint32_t)cfg_getint(cfg, "cname-length");
}

static bool
read_hosts(cfg_t *cfg, struct sim_site *site, size_t site_index)
{
	int64_t count = get_count(cfg, "addresses", HOSTS_MAX);
	char pattern_text[300], name[300];
	struct sim_pattern pattern;
	cfg_t *block;
	uint32_t i;
	long number;

	if (count < 0)
		return false;
	if (cfg_getstr(cfg, "mx-name") != NULL)
		snprintf(pattern_text, sizeof(pattern_text), "%s", cfg_getstr(cfg, "mx-name"));
	else
		snprintf(pattern_text, sizeof(pattern_text), "mx%%d.%s.mx.test", site->name);
	if (!sim_pattern_parse(pattern_text, strnlen(pattern_text, sizeof(pattern_text)), &pattern)) {
		cfg_error(cfg, "\"%s\" makes no host name", pattern_text);
		return false;
	}
	site->host_count = (uint32_t)count;
	site->hosts = must_alloc((size_t)count, sizeof(*site->hosts));
	for (i = 0; i < site->host_count; i++) {
		sim_pattern_write(&pattern, i + 1, name, sizeof(name));
		site->hosts[i].name = copy_lower(name);
		site->hosts[i].number = i + 1;
		site->hosts[i].address.s_addr =
			htonl(0x7F030000u | (uint32_t)(site_index + 1) << 8 | (i + 1));
	}
	for (i = 0; i < cfg_size(cfg, "host"); i++) {
		block = cfg_getnsec(cfg, "host", i);
		number = cfg_getint(block, "number");
		if (number < 1 || number > count) {
			cfg_error(block, "host %ld: this site has hosts 1 to %u", number, site->host_count);
			return false;
		}
		site->hosts[number - 1].fault = (enum sim_fault)get_word(block, "fault", fault_words);
	}
	return true;
}

static bool
read_domains(cfg_t *cfg, struct sim_site *site)
{
	int64_t generated = get_count(cfg, "domains-count", GENERATED_MAX);
	size_t i;

	if (generated < 0)
		return false;
	site->domain_count = cfg_size(cfg, "domains");
	site->domains = must_alloc(site->domain_count, sizeof(*site->domains));
	for (i = 0; i < site->domain_count; i++)
		site->domains[i] = copy_lower(cfg_getnstr(cfg, "domains", (unsigned)i));
	site->generator_text = copy_text(cfg_getstr(cfg, "domain-pattern"));
	site->is_spread = cfg_getbool(cfg, "spread");
	if (site->generator_text == NULL)
		return true;
	(void)sim_pattern_parse(site->generator_text, strnlen(site->generator_text, TEXT_MAX),
		&site->generator); /* validated */
	site->generated = (uint32_t)generated;
	if ((cfg_getopt(cfg, "spread")->flags & CFGF_MODIFIED) == 0)
		site->is_spread = true;
	return true;
}

static bool
read_limits(cfg_t *cfg, struct sim_site *site)
{
	int64_t connections = get_count(cfg, "connections-max", UINT32_MAX);
	int64_t messages = get_count(cfg, "messages-per-connection", UINT32_MAX);
	int64_t rcpts = get_count(cfg, "rcpt-max", 100000);

	site->connections_reply = copy_text(cfg_getstr(cfg, "connections-reply"));
	site->messages_reply = copy_text(cfg_getstr(cfg, "messages-reply"));
	site->rate_reply = copy_text(cfg_getstr(cfg, "rate-reply"));
	site->greylist_reply = copy_text(cfg_getstr(cfg, "greylist-reply"));
	site->greylist_us = get_us(cfg, "greylist");
	site->size_max = get_bytes(cfg, "size-max");
	if (connections < 0 || messages < 0 || rcpts < 0)
		return false;
	if (rcpts == 0 || site->size_max == 0) {
		cfg_error(cfg, "%s must not be 0", rcpts == 0 ? "rcpt-max" : "size-max");
		return false;
	}
	site->connections_max = (uint32_t)connections;
	site->messages_max = (uint32_t)messages;
	site->rcpt_max = (uint32_t)rcpts;
	if (cfg_getstr(cfg, "rate") != NULL)
		(void)parse_rate(cfg_getstr(cfg, "rate"), &site->rate_count, &site->rate_us); /* validated */
	return true;
}

static bool
read_site(cfg_t *cfg, struct sim_site *site, size_t index)
{
	char hostname[300];
	size_t i;

	site->name = copy_text(cfg_title(cfg));
	site->tls = (enum sim_tls)get_word(cfg, "tls", tls_words);
	site->tls_12_only = cfg_getbool(cfg, "tls-12-only");
	site->tls_required = cfg_getbool(cfg, "tls-required");
	site->has_pipelining = cfg_getbool(cfg, "pipelining");
	site->has_8bitmime = cfg_getbool(cfg, "eightbit");
	site->has_smtputf8 = cfg_getbool(cfg, "smtputf8");
	site->has_size = cfg_getbool(cfg, "size");
	site->has_enhanced = cfg_getbool(cfg, "enhanced");
	site->has_chunking = cfg_getbool(cfg, "chunking");
	site->has_dsn = cfg_getbool(cfg, "dsn");
	site->has_limits = cfg_getbool(cfg, "limits");
	site->check_domain = cfg_getbool(cfg, "check-domain");
	site->latency_us = get_us(cfg, "latency");
	site->tarpit_us = get_us(cfg, "tarpit");
	snprintf(hostname, sizeof(hostname), "mx.%s.test", site->name);
	site->hostname =
		copy_text(cfg_getstr(cfg, "hostname") != NULL ? cfg_getstr(cfg, "hostname") : hostname);
	read_dns(cfg_getsec(cfg, "dns"), &site->dns);
	if (!read_domains(cfg, site) || !read_hosts(cfg, site, index) || !read_limits(cfg, site))
		return false;
	site->rule_count = cfg_size(cfg, "rule");
	site->rules = must_alloc(site->rule_count, sizeof(*site->rules));
	for (i = 0; i < site->rule_count; i++) {
		if (!read_rule(cfg_getnsec(cfg, "rule", (unsigned)i), &site->rules[i]))
			return false;
	}
	return true;
}

static void
read_record(cfg_t *cfg, struct sim_record *record)
{
	size_t i;

	record->name = copy_lower(cfg_title(cfg));
	record->txt = copy_text(cfg_getstr(cfg, "txt"));
	record->a = copy_text(cfg_getstr(cfg, "a"));
	record->aaaa = copy_text(cfg_getstr(cfg, "aaaa"));
	record->cname = copy_text(cfg_getstr(cfg, "cname"));
	record->fault = (enum sim_fault)get_word(cfg, "fault", fault_words);
	record->mx_count = cfg_size(cfg, "mx");
	record->mx = must_alloc(record->mx_count, sizeof(*record->mx));
	for (i = 0; i < record->mx_count; i++)
		record->mx[i] = copy_text(cfg_getnstr(cfg, "mx", (unsigned)i));
}

/* --- the index --- */

static bool
index_name(struct sim_script *s, const char *path, struct sim_name name)
{
	name.len = strnlen(name.name, TEXT_MAX);
	if (sim_names_add(s->names, &name))
		return true;
	fprintf(stderr, "mtasim: %s: \"%s\" stands twice\n", path, name.name);
	return false;
}

static bool
index_script(struct sim_script *s, const char *path)
{
	size_t total = s->record_count, i, k;

	for (i = 0; i < s->site_count; i++)
		total += s->sites[i].domain_count + s->sites[i].host_count;
	if ((s->names = sim_names_create(total)) == NULL)
		return false;
	for (i = 0; i < s->record_count; i++) {
		if (!index_name(s, path,
			    (struct sim_name){s->records[i].name, 0, SIM_NAME_RECORD, 0, (uint32_t)i}))
			return false;
	}
	for (i = 0; i < s->site_count; i++) {
		const struct sim_site *site = &s->sites[i];

		for (k = 0; k < site->host_count; k++) {
			if (!index_name(s, path,
				    (struct sim_name){
					    site->hosts[k].name, 0, SIM_NAME_HOST, (uint32_t)i, (uint32_t)k}))
				return false;
		}
		for (k = 0; k < site->domain_count; k++) {
			if (strpbrk(site->domains[k], "*?[") == NULL &&
				!index_name(s, path,
					(struct sim_name){site->domains[k], 0, SIM_NAME_DOMAIN, (uint32_t)i,
						(uint32_t)k}))
				return false;
		}
	}
	return true;
}

/* Sites in the order of the file, "default" (theirs or ours) at the end, so that the others are asked first.
 */
static bool
read_sites(struct sim_script *s, cfg_t *cfg)
{
	size_t count = cfg_size(cfg, "site"), i;
	bool has_default = cfg_gettsec(cfg, "site", "default") != NULL;

	if (count + !has_default > SITES_MAX) {
		cfg_error(cfg, "more than %d sites", SITES_MAX);
		return false;
	}
	s->sites = must_alloc(count + !has_default, sizeof(*s->sites));
	for (i = 0; i < count; i++) {
		cfg_t *block = cfg_getnsec(cfg, "site", (unsigned)i);

		if (strcmp(cfg_title(block), "default") == 0)
			continue;
		s->site_count++; /* before it is read: a half-read one is freed too */
		if (!read_site(block, &s->sites[s->site_count - 1], s->site_count - 1))
			return false;
	}
	s->site_count++;
	return read_site(
		cfg_gettsec(cfg, "site", "default"), &s->sites[s->site_count - 1], s->site_count - 1);
}

/*
 * libconfuse takes the end of the file for the end of every open block, so a script that was cut short would
 * load. An option that only the top level knows, put behind the text, shows that all blocks were closed.
 */
static bool
parse_file(cfg_t *cfg, const char *path)
{
	static const char last[] = "\n" END_OPTION " = yes\n";
	char *text = must_alloc(SCRIPT_MAX + sizeof(last), 1);
	FILE *file = fopen(path, "r"), *whole;
	bool is_parsed = false;
	size_t len;

	if (file == NULL) {
		fprintf(stderr, "mtasim: %s: cannot be read\n", path);
		free(text);
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

struct sim_script *
script_load(const char *path)
{
	cfg_t *cfg = describe();
	struct sim_script *s = NULL;
	bool is_good = false;
	size_t i;

	if (cfg == NULL)
		return NULL;
	if (!parse_file(cfg, path))
		goto out;
	/* A file without a default site gets one that accepts everything under .test. */
	if (cfg_gettsec(cfg, "site", "default") == NULL &&
		cfg_parse_buf(cfg, "site default { domains = { \"*.test\" } }\n") != CFG_SUCCESS)
		goto out;
	s = must_alloc(1, sizeof(*s));
	s->seed = (uint64_t)cfg_getint(cfg, "seed");
	s->record_count = cfg_size(cfg, "record");
	s->records = must_alloc(s->record_count, sizeof(*s->records));
	for (i = 0; i < s->record_count; i++)
		read_record(cfg_getnsec(cfg, "record", (unsigned)i), &s->records[i]);
	is_good = read_sites(s, cfg) && index_script(s, path);
out:
	cfg_free(cfg);
	if (!is_good)
		script_destroy(&s);
	return s;
}

static void
free_site(struct sim_site *site)
{
	size_t i;

	for (i = 0; i < site->domain_count; i++)
		free(site->domains[i]);
	for (i = 0; i < site->host_count; i++)
		free(site->hosts[i].name);
	for (i = 0; site->rules != NULL && i < site->rule_count; i++) {
		free(site->rules[i].match);
		free(site->rules[i].reply);
	}
	free(site->name);
	free(site->domains);
	free(site->generator_text);
	free(site->hosts);
	free(site->hostname);
	free(site->connections_reply);
	free(site->messages_reply);
	free(site->rate_reply);
	free(site->greylist_reply);
	free(site->rules);
}

static void
free_record(struct sim_record *record)
{
	size_t i;

	for (i = 0; i < record->mx_count; i++)
		free(record->mx[i]);
	free(record->mx);
	free(record->name);
	free(record->txt);
	free(record->a);
	free(record->aaaa);
	free(record->cname);
}

void
script_destroy(struct sim_script **sp)
{
	struct sim_script *s = *sp;
	size_t i;

	*sp = NULL;
	if (s == NULL)
		return;
	for (i = 0; s->sites != NULL && i < s->site_count; i++)
		free_site(&s->sites[i]);
	for (i = 0; i < s->record_count; i++)
		free_record(&s->records[i]);
	sim_names_destroy(&s->names);
	free(s->sites);
	free(s->records);
	free(s);
}

/* --- questions --- */

static bool
matches_site(const struct sim_script *s, const struct sim_site *site, const char *domain, uint32_t *out_index)
{
	size_t len = strnlen(domain, SMTP_DOMAIN_MAX + 1), i;
	uint32_t number;

	if (site->generated > 0 && sim_pattern_read(&site->generator, domain, len, &number) &&
		number < site->generated) {
		*out_index = number;
		return true;
	}
	for (i = 0; i < site->domain_count; i++) {
		if (strpbrk(site->domains[i], "*?[") != NULL &&
			fnmatch(site->domains[i], domain, FNM_CASEFOLD) == 0) {
			*out_index = (uint32_t)sim_hash(s->seed, domain, len);
			return true;
		}
	}
	return false;
}

const struct sim_site *
script_site_of(const struct sim_script *s, struct smtp_slice domain, uint32_t *out_index)
{
	const struct sim_name *name = sim_names_find(s->names, SIM_NAME_DOMAIN, domain);
	char text[SMTP_DOMAIN_MAX + 1];
	size_t i;

	if (name != NULL) {
		*out_index = name->item;
		return &s->sites[name->site];
	}
	if (domain.len == 0 || domain.len > SMTP_DOMAIN_MAX)
		return NULL;
	memcpy(text, domain.ptr, domain.len);
	text[domain.len] = '\0';
	for (i = 0; i < s->site_count; i++) {
		if (matches_site(s, &s->sites[i], text, out_index))
			return &s->sites[i];
	}
	return NULL;
}

const struct sim_host *
script_host_of(const struct sim_script *s, struct smtp_slice name, const struct sim_site **out_site)
{
	const struct sim_name *found = sim_names_find(s->names, SIM_NAME_HOST, name);

	if (found == NULL)
		return NULL;
	*out_site = &s->sites[found->site];
	return &s->sites[found->site].hosts[found->item];
}

const struct sim_record *
script_record_of(const struct sim_script *s, struct smtp_slice name)
{
	const struct sim_name *found = sim_names_find(s->names, SIM_NAME_RECORD, name);

	return found != NULL ? &s->records[found->item] : NULL;
}
