/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing is stored per domain: an answer is computed from the script, so a million generated domains cost
 * nothing. Names are compressed only where it is free (the question's own name), which keeps the writer to
 * one screen.
 *
 * Invariants: reads stay inside the query, writes inside ZONE_ANSWER_MAX; a name is followed through at most
 * CHAIN_MAX aliases, so that a loop in the script is an answer and not a loop here.
 */
#include "mtasim_zone.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>

enum {
	HEADER_BYTES = 12,
	NAME_MAX_BYTES = 255,
	LABEL_MAX = 63,
	CHAIN_MAX = 16,
	UDP_PLAIN_MAX = 512,
	UDP_MAX = 1232
};
enum {
	FLAG_QR = 0x8000,
	FLAG_AA = 0x0400,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	FLAG_RA = 0x0080,
	OPCODE_MASK = 0x7800
};

struct writer {
	uint8_t *buf;
	size_t len, max;
	bool is_full;
	uint16_t answers, authorities;
};

struct question {
	char name[NAME_MAX_BYTES + 1]; /* lower case, without the final dot */
	size_t name_len;
	uint16_t type;
	size_t end; /* in the query */
	uint16_t udp_max;
	bool has_opt;
};

struct zone {
	const struct sim_script *script;
	const struct zone_query *query;
	struct question question;
	struct writer out;
	struct zone_fact fact;
	enum sim_fault fault;
	uint32_t negative_ttl_s;
};

static uint16_t
get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void
put_bytes(struct writer *w, const void *bytes, size_t len)
{
	if (w->max - w->len < len) {
		w->is_full = true;
		return;
	}
	memcpy(w->buf + w->len, bytes, len);
	w->len += len;
}

static void
put16(struct writer *w, unsigned value)
{
	const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	put_bytes(w, bytes, sizeof(bytes));
}

static void
put32(struct writer *w, uint32_t value)
{
	put16(w, value >> 16);
	put16(w, value & 0xFFFF);
}

/* A script may hold a name no DNS could carry: such a label is cut, the answer stays well-formed. */
static void
put_name(struct writer *w, const char *name)
{
	const char *dot;
	size_t len;
	uint8_t count;

	for (; *name != '\0' && *name != '.'; name = *dot == '.' ? dot + 1 : dot) {
		dot = name;
		while (*dot != '\0' && *dot != '.')
			dot++;
		len = (size_t)(dot - name);
		count = (uint8_t)(len > LABEL_MAX ? LABEL_MAX : len);
		put_bytes(w, &count, 1);
		put_bytes(w, name, count);
	}
	put_bytes(w, "", 1);
}

/* Begins a record; returns where its length belongs, for end_record(). */
static size_t
begin_record(struct zone *z, const char *owner, uint16_t type, uint32_t ttl_s)
{
	struct writer *w = &z->out;

	if (strcmp(owner, z->question.name) == 0)
		put16(w, 0xC000 | HEADER_BYTES);
	else
		put_name(w, owner);
	put16(w, type);
	put16(w, 1);
	put32(w, ttl_s);
	put16(w, 0);
	return w->len;
}

static void
end_record(struct zone *z, size_t start)
{
	size_t len = z->out.len - start;

	if (z->out.is_full)
		return;
	z->out.buf[start - 2] = (uint8_t)(len >> 8);
	z->out.buf[start - 1] = (uint8_t)len;
	z->out.answers++;
}

static void
add_address(struct zone *z, const char *owner, struct in_addr address, uint32_t ttl_s)
{
	size_t start = begin_record(z, owner, ZONE_A, ttl_s);

	put_bytes(&z->out, &address.s_addr, 4);
	end_record(z, start);
}

static void
add_mx(struct zone *z, const char *owner, unsigned preference, const char *host, uint32_t ttl_s)
{
	size_t start = begin_record(z, owner, ZONE_MX, ttl_s);

	put16(&z->out, preference);
	put_name(&z->out, host);
	end_record(z, start);
}

static void
add_name(struct zone *z, const char *owner, const char *target, uint32_t ttl_s)
{
	size_t start = begin_record(z, owner, ZONE_CNAME, ttl_s);

	put_name(&z->out, target);
	end_record(z, start);
}

/* In strings of 255 bytes, as a DKIM key needs. */
static void
add_txt(struct zone *z, const char *owner, const char *text)
{
	size_t start = begin_record(z, owner, ZONE_TXT, 300), len = strnlen(text, 4096), part;
	uint8_t count;

	do {
		part = len > 255 ? 255 : len;
		count = (uint8_t)part;
		put_bytes(&z->out, &count, 1);
		put_bytes(&z->out, text, part);
		text += part;
		len -= part;
	} while (len > 0);
	end_record(z, start);
}

/* --- the question --- */

static bool
read_name(const struct zone_query *q, size_t *at, struct question *out)
{
	size_t len, i;

	out->name_len = 0;
	for (;;) {
		if (*at >= q->len)
			return false;
		len = q->bytes[(*at)++];
		if (len == 0)
			break;
		if (len > LABEL_MAX || *at + len > q->len || out->name_len + len + 1 > NAME_MAX_BYTES)
			return false;
		if (out->name_len > 0)
			out->name[out->name_len++] = '.';
		for (i = 0; i < len; i++) {
			unsigned char c = q->bytes[*at + i];

			/* A dot or NUL inside a label would be another name for us: nobody's, then. */
			out->name[out->name_len++] = c == '.' || c == '\0' ? '\\' : (char)tolower(c);
		}
		*at += len;
	}
	out->name[out->name_len] = '\0';
	return true;
}

/* EDNS: what the asker can take over UDP. Anything else in the additional section is not read. */
static void
read_opt(const struct zone_query *q, struct question *out)
{
	size_t at = out->end;

	out->udp_max = UDP_PLAIN_MAX;
	if (get16(q->bytes + 10) == 0 || at + 11 > q->len || q->bytes[at] != 0 ||
		get16(q->bytes + at + 1) != ZONE_OPT)
		return;
	out->has_opt = true;
	out->udp_max = get16(q->bytes + at + 3);
	if (out->udp_max < UDP_PLAIN_MAX)
		out->udp_max = UDP_PLAIN_MAX;
	if (out->udp_max > UDP_MAX)
		out->udp_max = UDP_MAX;
}

static enum zone_rcode
read_question(const struct zone_query *q, struct question *out)
{
	size_t at = HEADER_BYTES;

	if ((get16(q->bytes + 2) & OPCODE_MASK) != 0)
		return ZONE_NOTIMP;
	if (get16(q->bytes + 4) != 1 || !read_name(q, &at, out) || at + 4 > q->len)
		return ZONE_FORMERR;
	out->type = get16(q->bytes + at);
	out->end = at + 4;
	read_opt(q, out);
	return ZONE_NOERROR;
}

/* --- the answer --- */

static const struct sim_host *
host_for(const struct sim_site *site, uint32_t index)
{
	return site->host_count > 0 ? &site->hosts[site->is_spread ? index % site->host_count : 0] : NULL;
}

static bool
is_faulty(const struct zone *z, const struct sim_dns *dns, const char *name)
{
	bool is_address = z->question.type == ZONE_A || z->question.type == ZONE_AAAA;

	if (dns->fault == SIM_FAULT_NONE || (dns->heal_us > 0 && z->query->since_start_us >= dns->heal_us))
		return false;
	if ((is_address && !dns->fault_address) || (z->question.type == ZONE_MX && !dns->fault_mx))
		return false;
	return (double)(sim_hash(z->script->seed, name, strnlen(name, NAME_MAX_BYTES)) % 10000) <
	       dns->share * 100;
}

/* With a cut answer there is a whole one, for TCP. */
static bool
has_answer(const struct zone *z)
{
	return z->fault == SIM_FAULT_NONE || z->fault == SIM_FAULT_TRUNCATE;
}

static void
answer_mx(struct zone *z, const char *name, const struct sim_site *site, uint32_t index)
{
	uint32_t i;

	if (site->is_spread && site->host_count > 0) {
		add_mx(z, name, 10, host_for(site, index)->name, site->dns.ttl_s);
		return;
	}
	for (i = 0; i < site->host_count; i++)
		add_mx(z, name, 10 * (i + 1), site->hosts[i].name, site->dns.ttl_s);
}

static void
answer_site(struct zone *z, const char *name, const struct sim_site *site, uint32_t index)
{
	const struct sim_host *host = host_for(site, index);
	uint16_t type = z->question.type;

	z->fact.site = site;
	z->fact.delay_us = site->dns.delay_us;
	z->negative_ttl_s = site->dns.negative_ttl_s;
	if (is_faulty(z, &site->dns, name))
		z->fault = site->dns.fault;
	if (!has_answer(z))
		return;
	switch (site->dns.records) {
	case SIM_RECORDS_MX:
	case SIM_RECORDS_CNAME:
		if (type == ZONE_MX)
			answer_mx(z, name, site, index);
		break;
	case SIM_RECORDS_IMPLICIT:
		if (type == ZONE_A && host != NULL)
			add_address(z, name, host->address, site->dns.ttl_s);
		break;
	case SIM_RECORDS_NULL_MX:
		if (type == ZONE_MX)
			add_mx(z, name, 0, "", site->dns.ttl_s);
		break;
	}
}

static void
answer_host(struct zone *z, const char *name, const struct sim_host *host, const struct sim_site *site)
{
	z->fact.site = site;
	z->negative_ttl_s = site->dns.negative_ttl_s;
	if (host->fault != SIM_FAULT_NONE && host->fault < SIM_FAULT_REFUSE)
		z->fault = host->fault;
	if (has_answer(z) && z->question.type == ZONE_A)
		add_address(z, name, host->address, site->dns.ttl_s);
}

static void
answer_record(struct zone *z, const char *name, const struct sim_record *record)
{
	struct in_addr address;
	struct in6_addr address6;
	size_t i, start;
	char *host;
	unsigned long preference;

	z->fault = record->fault;
	if (!has_answer(z))
		return;
	if (z->question.type == ZONE_TXT && record->txt != NULL)
		add_txt(z, name, record->txt);
	if (z->question.type == ZONE_A && record->a != NULL && inet_pton(AF_INET, record->a, &address) == 1)
		add_address(z, name, address, 300);
	if (z->question.type == ZONE_AAAA && record->aaaa != NULL &&
		inet_pton(AF_INET6, record->aaaa, &address6) == 1) {
		start = begin_record(z, name, ZONE_AAAA, 300);
		put_bytes(&z->out, &address6, sizeof(address6));
		end_record(z, start);
	}
	for (i = 0; z->question.type == ZONE_MX && i < record->mx_count; i++) {
		preference = strtoul(record->mx[i], &host, 10);
		while (*host == ' ')
			host++;
		add_mx(z, name, (unsigned)preference & 0xFFFF, host, 300);
	}
}

/*
 * "aliasN." in front of a domain whose site has records = cname: step N of its chain. True and the next name
 * when this name is an alias; a chain of length 0 never ends.
 */
static bool
next_alias(const struct zone *z, const char *name, char *out_next)
{
	const struct sim_site *site;
	uint32_t index, step = 0;
	const char *domain = name;
	char *end;
	int len;

	if (strncmp(name, "alias", 5) == 0 && isdigit((unsigned char)name[5])) {
		step = (uint32_t)strtoul(name + 5, &end, 10);
		if (*end != '.')
			return false;
		domain = end + 1;
	}
	site = script_site_of(
		z->script, (struct smtp_slice){domain, strnlen(domain, NAME_MAX_BYTES)}, &index);
	if (site == NULL || site->dns.records != SIM_RECORDS_CNAME)
		return false;
	if (site->dns.cname_length > 0 && step >= site->dns.cname_length)
		return false;
	len = snprintf(out_next, NAME_MAX_BYTES + 1, "alias%u.%s", step + 1, domain);
	return len > 0 && len <= NAME_MAX_BYTES;
}

/* True: *name was an alias and is now what it points to. */
static bool
follow_alias(struct zone *z, char *name)
{
	struct smtp_slice slice = {name, strnlen(name, NAME_MAX_BYTES)};
	const struct sim_record *record = script_record_of(z->script, slice);
	char next[NAME_MAX_BYTES + 1];

	if (record != NULL && record->cname != NULL && record->fault == SIM_FAULT_NONE)
		snprintf(next, sizeof(next), "%s", record->cname);
	else if (record != NULL || !next_alias(z, name, next))
		return false;
	add_name(z, name, next, 300);
	snprintf(name, NAME_MAX_BYTES + 1, "%s", next);
	return true;
}

/* False: there is no such name. */
static bool
answer_name(struct zone *z, const char *name)
{
	struct smtp_slice slice = {name, strnlen(name, NAME_MAX_BYTES)};
	const struct sim_record *record = script_record_of(z->script, slice);
	const struct sim_site *site;
	const struct sim_host *host;
	const char *dot;
	uint32_t index;

	if (record != NULL) {
		answer_record(z, name, record);
		return true;
	}
	if ((host = script_host_of(z->script, slice, &site)) != NULL) {
		answer_host(z, name, host, site);
		return true;
	}
	/* The end of a chain of aliases stands for its domain. */
	if (strncmp(name, "alias", 5) == 0 && (dot = strchr(name, '.')) != NULL)
		slice = (struct smtp_slice){dot + 1, strnlen(dot + 1, NAME_MAX_BYTES)};
	if ((site = script_site_of(z->script, slice, &index)) != NULL) {
		answer_site(z, name, site, index);
		return true;
	}
	return false;
}

/* RFC 2308 3: the SOA tells how long a "no" may be remembered. Its owner is the last label of the question.
 */
static void
add_soa(struct zone *z)
{
	const char *dot = strrchr(z->question.name, '.');
	const char *zone_name = dot != NULL ? dot + 1 : z->question.name;
	uint16_t answers = z->out.answers;
	size_t start = begin_record(z, zone_name, ZONE_SOA, z->negative_ttl_s);

	put_name(&z->out, "ns.mtasim.test");
	put_name(&z->out, "hostmaster.mtasim.test");
	put32(&z->out, 1);
	put32(&z->out, 3600);
	put32(&z->out, 600);
	put32(&z->out, 86400);
	put32(&z->out, z->negative_ttl_s);
	end_record(z, start);
	z->out.answers = answers;
	z->out.authorities = 1;
}

static void
write_header(struct zone *z, unsigned flags)
{
	uint8_t header[HEADER_BYTES];
	struct writer w = {header, 0, sizeof(header), false, 0, 0};
	bool has_question = z->question.end > 0;

	put_bytes(&w, z->query->bytes, 2);
	put16(&w,
		FLAG_QR | FLAG_AA | FLAG_RA | (get16(z->query->bytes + 2) & FLAG_RD) | flags | z->fact.rcode);
	put16(&w, has_question ? 1 : 0);
	put16(&w, z->out.answers);
	put16(&w, z->out.authorities);
	put16(&w, z->question.has_opt ? 1 : 0);
	memcpy(z->out.buf, header, sizeof(header));
}

/* OPT with our own size; it fits, because the writer's max leaves room for it. */
static void
finish(struct zone *z, unsigned flags)
{
	z->out.max += 11;
	if (z->question.has_opt) {
		put_bytes(&z->out, "", 1);
		put16(&z->out, ZONE_OPT);
		put16(&z->out, UDP_MAX);
		put32(&z->out, 0);
		put16(&z->out, 0);
	}
	write_header(z, flags);
}

/* Back to header and question. */
static void
drop_answers(struct zone *z)
{
	z->out.len = z->question.end;
	z->out.answers = z->out.authorities = 0;
	z->out.is_full = false;
}

/* Whatever was found so far gives way to the fault. False: stay silent. */
static bool
apply_fault(struct zone *z)
{
	static const uint8_t junk[] = {0xC0, 0xFF, 0xFF, 0xC0, 0x0C, 0x00, 0x0F, 0x41, 0xFF, 0xFF};

	switch (z->fault) {
	case SIM_FAULT_TIMEOUT:
		return false;
	case SIM_FAULT_NXDOMAIN:
		z->fact.rcode = ZONE_NXDOMAIN;
		break;
	case SIM_FAULT_SERVFAIL:
		z->fact.rcode = ZONE_SERVFAIL;
		break;
	case SIM_FAULT_REFUSED:
		z->fact.rcode = ZONE_REFUSED;
		break;
	case SIM_FAULT_GARBAGE:
		drop_answers(z);
		put_bytes(&z->out, junk, sizeof(junk));
		z->out.answers = 3;
		return true;
	default: /* NODATA: nothing was added; REFUSE and HANG concern the listener only */
		break;
	}
	drop_answers(z);
	if (z->fact.rcode == ZONE_NOERROR || z->fact.rcode == ZONE_NXDOMAIN)
		add_soa(z);
	return true;
}

static bool
resolve(struct zone *z)
{
	char name[NAME_MAX_BYTES + 1];
	int steps = 0;

	memcpy(name, z->question.name, z->question.name_len + 1);
	if (z->question.type != ZONE_CNAME) {
		while (steps++ < CHAIN_MAX && follow_alias(z, name))
			continue;
	}
	if (steps <= CHAIN_MAX && !answer_name(z, name))
		z->fact.rcode = ZONE_NXDOMAIN;
	if (z->fault == SIM_FAULT_TRUNCATE) {
		z->fault = SIM_FAULT_NONE;
		z->out.is_full = !z->query->is_tcp;
	}
	if (z->fault != SIM_FAULT_NONE)
		return apply_fault(z);
	if (z->out.answers == 0 && !z->out.is_full)
		add_soa(z);
	return true;
}

size_t
zone_answer(
	const struct sim_script *s, const struct zone_query *query, uint8_t *buf, struct zone_fact *out_fact)
{
	struct zone z = {.script = s, .query = query, .negative_ttl_s = 30};
	unsigned flags = 0;

	*out_fact = z.fact;
	if (query->len < HEADER_BYTES || (get16(query->bytes + 2) & FLAG_QR) != 0)
		return 0;
	z.out = (struct writer){buf, HEADER_BYTES, UDP_PLAIN_MAX, false, 0, 0};
	z.fact.rcode = read_question(query, &z.question);
	if (z.fact.rcode != ZONE_NOERROR) {
		z.question.end = 0;
		z.question.has_opt = false;
		write_header(&z, 0);
		*out_fact = z.fact;
		return z.out.len;
	}
	z.fact.type = z.question.type;
	memcpy(buf, query->bytes, z.question.end);
	z.out.len = z.question.end;
	z.out.max = (query->is_tcp ? ZONE_ANSWER_MAX : z.question.udp_max) - 11u;
	if (!resolve(&z)) {
		*out_fact = z.fact;
		return 0;
	}
	if (z.out.is_full) {
		drop_answers(&z);
		flags = FLAG_TC;
	}
	finish(&z, flags);
	z.fact.is_truncated = flags != 0;
	z.fact.is_empty = z.fact.rcode == ZONE_NOERROR && z.out.answers == 0 && flags == 0;
	*out_fact = z.fact;
	assert(z.out.len <= ZONE_ANSWER_MAX);
	return z.out.len;
}
