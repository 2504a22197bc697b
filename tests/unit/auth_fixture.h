/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTH_FIXTURE_H
#define AUTH_FIXTURE_H
/*
 * auth_fixture - DNS for tests and fuzzers of what is evaluated by rounds: a zone as text, and answers from
 * it
 *
 * Zone: lines of "name TYPE data"; TYPE is A, AAAA, MX ("10 host"), PTR, TXT, or FAULT (data: the type that
 * nobody answers for). A name without a line is absent.
 */
#include "intake/auth_facts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static inline bool
fixture_add(struct dns_packet *p, uint16_t type, const char *data, size_t len)
{
	struct dns_record *r = &p->records[p->record_count];
	char text[64] = "";

	if (p->record_count == DNS_RECORDS_MAX || sizeof(p->text) - p->text_bytes <= len)
		return false;
	if (len < sizeof(text))
		memcpy(text, data, len);
	if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA) {
		if (inet_pton(type == DNS_TYPE_A ? AF_INET : AF_INET6, text, &r->v4) != 1)
			return false;
		p->record_count++;
		return true;
	}
	if (type == DNS_TYPE_MX) {
		size_t blank = strcspn(text, " ");

		data += blank + 1;
		len = len > blank + 1 ? len - blank - 1 : 0;
	}
	r->text = p->text_bytes;
	r->text_bytes = (uint16_t)len;
	memcpy(p->text + p->text_bytes, data, len);
	p->text[p->text_bytes + len] = '\0';
	p->text_bytes += (uint32_t)len + 1;
	p->record_count++;
	return true;
}

/* What the zone says to one question. */
static inline void
fixture_answer(const char *zone, struct auth_fact *fact)
{
	static struct dns_packet p;
	const char *type = dns_type_text(fact->type);
	bool is_fault = false;

	memset(&p, 0, offsetof(struct dns_packet, records));
	for (const char *line = zone; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t end = strcspn(line, "\n"), name = strcspn(line, " \n"), from = name + 1;
		size_t word = name < end ? strcspn(line + from, " \n") : 0, data = from + word + 1;

		if (data > end || strnlen(fact->name, DOMAIN_MAX) != name ||
			strncasecmp(line, fact->name, name) != 0)
			continue;
		if (word == 5 && memcmp(line + from, "FAULT", 5) == 0)
			is_fault |= strncmp(line + data, type, end - data) == 0;
		else if (word == strnlen(type, 8) && memcmp(line + from, type, word) == 0)
			fixture_add(&p, fact->type, line + data, end - data);
	}
	auth_facts_answer(fact, is_fault ? NULL : &p);
}

/* Answers whatever is open. False: nothing was. */
static inline bool
fixture_answer_all(const char *zone, struct auth_facts *facts)
{
	bool was_open = false;

	for (uint32_t i = 0; i < facts->count; i++)
		if (auth_fact_is_open(&facts->list[i])) {
			was_open = true;
			fixture_answer(zone, &facts->list[i]);
		}
	return was_open;
}
#endif
