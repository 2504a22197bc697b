/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: a (name, type) stands in the table once; its kind moves WANTED -> ASKED -> one of the three
 * answers, and never changes after that, so that every round sees what the ones before it saw.
 */
#include "intake/auth_facts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct auth_fact fault = {.kind = AUTH_FACT_FAULT}, absent = {.kind = AUTH_FACT_ABSENT};

/* False: such a name has no records, since the parser of answers takes none for it (dns_packet.c). */
static bool
normalise(struct smtp_slice name, char out[DOMAIN_MAX])
{
	uint8_t query[DNS_QUERY_MAX];

	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (name.len == 0 || name.len >= DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (c <= ' ' || c >= 127 || c == '\\')
			return false;
		out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	out[name.len] = '\0';
	return dns_packet_write_query(query, out, DNS_TYPE_TXT, 0, true) > 0;
}

const struct auth_fact *
auth_facts_get(struct auth_facts *facts, struct smtp_slice name, uint16_t type)
{
	char wanted[DOMAIN_MAX];
	struct auth_fact *fact;

	if (!normalise(name, wanted))
		return &absent;
	for (uint32_t i = 0; i < facts->count; i++)
		if (facts->list[i].type == type && strcmp(facts->list[i].name, wanted) == 0)
			return &facts->list[i];
	if (facts->is_closed || facts->count == AUTH_FACTS_MAX)
		return &fault;
	fact = &facts->list[facts->count++];
	*fact = (struct auth_fact){.kind = AUTH_FACT_WANTED, .type = type};
	memcpy(fact->name, wanted, sizeof(fact->name));
	return fact;
}

bool
auth_fact_is_open(const struct auth_fact *fact)
{
	return fact->kind == AUTH_FACT_WANTED || fact->kind == AUTH_FACT_ASKED;
}

void
auth_facts_answer(struct auth_fact *fact, const struct dns_packet *packet)
{
	size_t record_bytes;
	char *text;

	assert(auth_fact_is_open(fact));
	fact->kind = packet == NULL ? AUTH_FACT_FAULT : AUTH_FACT_ABSENT;
	if (packet == NULL || packet->rcode != DNS_RCODE_NOERROR || packet->record_count == 0)
		return;
	record_bytes = packet->record_count * sizeof(packet->records[0]);
	fact->records = malloc(record_bytes + packet->text_bytes + 1);
	fact->kind = fact->records != NULL ? AUTH_FACT_RECORDS : AUTH_FACT_FAULT;
	if (fact->records == NULL)
		return;
	memcpy(fact->records, packet->records, record_bytes);
	text = (char *)fact->records + record_bytes;
	memcpy(text, packet->text, packet->text_bytes);
	fact->text = text;
	fact->count = packet->record_count;
}

void
auth_facts_close(struct auth_facts *facts)
{
	facts->is_closed = true;
	for (uint32_t i = 0; i < facts->count; i++)
		if (auth_fact_is_open(&facts->list[i]))
			auth_facts_answer(&facts->list[i], NULL);
}

void
auth_facts_fini(struct auth_facts *facts)
{
	for (uint32_t i = 0; i < facts->count; i++)
		free(facts->list[i].records);
	facts->count = 0;
}

struct smtp_slice
auth_fact_text(const struct auth_fact *fact, uint16_t index)
{
	const struct dns_record *record = &fact->records[index];

	assert(index < fact->count);
	return (struct smtp_slice){fact->text + record->text, record->text_bytes};
}
