/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the tree of a scenario file to structs, and the questions asked of them.
 *
 * Invariants: a script that was returned is complete and consistent, nobody checks again: the last site is
 * "default", every host has an address of its own, no name stands twice.
 */
#include "mtasim_script.h"

#include "mtasim_grammar.h"
#include "mtasim_names.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

enum { SITES_MAX = 250, HOSTS_MAX = 250, TEXT_MAX = 4096, GENERATED_MAX = 1000000 };

/* --- from the tree; what is out of range was refused before or is refused here with its line --- */

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

static bool
read_rule(cfg_t *cfg, struct sim_rule *rule)
{
	int64_t count = grammar_count(cfg, "count", UINT32_MAX),
		skip = grammar_count(cfg, "skip", UINT32_MAX);

	rule->match = copy_text(cfg_getstr(cfg, "match"));
	rule->reply = copy_text(cfg_getstr(cfg, "reply"));
	if (count < 0 || skip < 0)
		return false;
	if (cfg_getstr(cfg, "on") == NULL) {
		cfg_error(cfg, "rule without \"on\": which phase?");
		return false;
	}
	rule->phase = (enum sim_phase)grammar_word(cfg, "on");
	if (cfg_getstr(cfg, "do") != NULL)
		rule->act = (enum sim_act)grammar_word(cfg, "do");
	else
		rule->act = rule->reply != NULL ? SIM_ACT_REPLY : SIM_ACT_ACCEPT;
	rule->share = cfg_getfloat(cfg, "share");
	rule->each = cfg_getbool(cfg, "each");
	rule->count = (uint32_t)count;
	rule->skip = (uint32_t)skip;
	rule->from_us = grammar_us(cfg, "from");
	rule->until_us = grammar_us(cfg, "until");
	rule->close = cfg_getbool(cfg, "close");
	rule->delay_us = grammar_us(cfg, "delay");
	rule->drip_us = grammar_us(cfg, "drip");
	rule->bytes = grammar_bytes(cfg, "bytes");
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

static bool
read_return(cfg_t *cfg, struct sim_return *back)
{
	bool is_unsubscribe;

	if (cfg_getstr(cfg, "send") == NULL) {
		cfg_error(cfg, "return without \"send\": what comes back?");
		return false;
	}
	back->send = (enum sim_send)grammar_word(cfg, "send");
	back->match = copy_text(cfg_getstr(cfg, "match"));
	back->share = cfg_getfloat(cfg, "share");
	back->after_us = grammar_us(cfg, "after");
	back->to = copy_text(cfg_getstr(cfg, "to"));
	back->status = copy_text(cfg_getstr(cfg, "status"));
	back->text = copy_text(cfg_getstr(cfg, "text"));
	back->redact = cfg_getbool(cfg, "redact");
	is_unsubscribe = back->send == SIM_SEND_UNSUBSCRIBE_MAIL || back->send == SIM_SEND_UNSUBSCRIBE_CLICK;
	if (is_unsubscribe && back->to != NULL) {
		cfg_error(cfg, "%s goes where List-Unsubscribe says, not \"to\" somebody",
			grammar_send_word((int)back->send));
		return false;
	}
	return true;
}

static void
read_dns(cfg_t *cfg, struct sim_dns *dns)
{
	int on = grammar_word(cfg, "on");

	dns->records = (enum sim_records)grammar_word(cfg, "records");
	dns->fault = (enum sim_fault)grammar_word(cfg, "fault");
	dns->fault_mx = on != 2;
	dns->fault_address = on != 1;
	dns->share = cfg_getfloat(cfg, "share");
	dns->heal_us = grammar_us(cfg, "heal");
	dns->delay_us = grammar_us(cfg, "delay");
	dns->ttl_s = (uint32_t)(grammar_us(cfg, "ttl") / 1000000);
	dns->negative_ttl_s = (uint32_t)(grammar_us(cfg, "negative-ttl") / 1000000);
	dns->cname_length = (uint32_t)cfg_getint(cfg, "cname-length");
}

static bool
read_hosts(cfg_t *cfg, struct sim_site *site, size_t site_index)
{
	int64_t count = grammar_count(cfg, "addresses", HOSTS_MAX);
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
		site->hosts[number - 1].fault = (enum sim_fault)grammar_word(block, "fault");
	}
	return true;
}

static bool
read_domains(cfg_t *cfg, struct sim_site *site)
{
	int64_t generated = grammar_count(cfg, "domains-count", GENERATED_MAX);
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
	int64_t connections = grammar_count(cfg, "connections-max", UINT32_MAX);
	int64_t messages = grammar_count(cfg, "messages-per-connection", UINT32_MAX);
	int64_t rcpts = grammar_count(cfg, "rcpt-max", 100000);

	site->connections_reply = copy_text(cfg_getstr(cfg, "connections-reply"));
	site->messages_reply = copy_text(cfg_getstr(cfg, "messages-reply"));
	site->rate_reply = copy_text(cfg_getstr(cfg, "rate-reply"));
	site->greylist_reply = copy_text(cfg_getstr(cfg, "greylist-reply"));
	site->greylist_us = grammar_us(cfg, "greylist");
	site->size_max = grammar_bytes(cfg, "size-max");
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
		grammar_rate(cfg, "rate", &site->rate_count, &site->rate_us);
	site->block_reply = copy_text(cfg_getstr(cfg, "block-reply"));
	site->block_us = grammar_us(cfg, "block");
	site->block_push_us = grammar_us(cfg, "block-push");
	if (site->block_us > 0 && site->rate_count == 0) {
		cfg_error(cfg, "block without rate: nothing begins it");
		return false;
	}
	return true;
}

static bool
read_site(cfg_t *cfg, struct sim_site *site, size_t index)
{
	char hostname[300];
	size_t i;

	site->name = copy_text(cfg_title(cfg));
	site->tls = (enum sim_tls)grammar_word(cfg, "tls");
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
	site->has_deliverby = cfg_getbool(cfg, "deliverby");
	site->has_mt_priority = cfg_getbool(cfg, "mt-priority");
	site->check_domain = cfg_getbool(cfg, "check-domain");
	site->latency_us = grammar_us(cfg, "latency");
	site->tarpit_us = grammar_us(cfg, "tarpit");
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
	site->return_count = cfg_size(cfg, "return");
	site->returns = must_alloc(site->return_count, sizeof(*site->returns));
	for (i = 0; i < site->return_count; i++) {
		if (!read_return(cfg_getnsec(cfg, "return", (unsigned)i), &site->returns[i]))
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
	record->fault = (enum sim_fault)grammar_word(cfg, "fault");
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

struct sim_script *
script_load(const char *path)
{
	cfg_t *cfg = grammar_parse(path);
	struct sim_script *s = NULL;
	bool is_good = false;
	size_t i;

	if (cfg == NULL)
		return NULL;
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
	for (i = 0; site->returns != NULL && i < site->return_count; i++) {
		free(site->returns[i].match);
		free(site->returns[i].to);
		free(site->returns[i].status);
		free(site->returns[i].text);
	}
	free(site->returns);
	free(site->name);
	free(site->domains);
	free(site->generator_text);
	free(site->hosts);
	free(site->hostname);
	free(site->connections_reply);
	free(site->messages_reply);
	free(site->rate_reply);
	free(site->block_reply);
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
