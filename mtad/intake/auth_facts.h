/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_AUTH_FACTS_H
#define MTAD_INTAKE_AUTH_FACTS_H
/*
 * auth_facts - what is known of DNS by now, while one mail is judged by rounds
 *
 * Whoever judges reads from this table alone. A question that is not in it is noted as wanted, and the round
 * ends without a result; when the answers are in, the next round begins from the start and gets further.
 *
 * Owner    struct message_auth_question.
 * Memory   AUTH_FACTS_MAX questions; the records of an answer are one allocation each (at most 28 KB).
 * Thread   the question's.
 * Fails    never: without memory, without room for one more question, or after auth_facts_close() an answer
 *          is AUTH_FACT_FAULT.
 */
#include "base/domain.h"
#include "route/dns_packet.h"
#include "smtp_types.h"

#define AUTH_FACTS_MAX 20

enum auth_fact_kind {
	AUTH_FACT_WANTED,  /* not known yet, nobody has been asked */
	AUTH_FACT_ASKED,   /* not known yet */
	AUTH_FACT_RECORDS, /* at least one */
	AUTH_FACT_ABSENT,  /* no such name, or no record of the type; also a name no resolver can be asked for
			    */
	AUTH_FACT_FAULT,   /* nobody knows now: SERVFAIL, timeout, too many questions ... */
};

struct auth_fact {
	enum auth_fact_kind kind;
	uint16_t type; /* enum dns_type */
	uint16_t count;
	struct dns_record *records;
	const char *text;      /* of the records, in the same allocation */
	char name[DOMAIN_MAX]; /* lower case, no trailing dot */
};

/* All zeros is an empty table. */
struct auth_facts {
	uint32_t count;
	bool is_closed;
	struct auth_fact list[AUTH_FACTS_MAX];
};

/* Never NULL; valid until auth_facts_fini. A name in any case, with or without a dot at its end. */
const struct auth_fact *auth_facts_get(struct auth_facts *facts, struct smtp_slice name, uint16_t type);
bool auth_fact_is_open(const struct auth_fact *fact);
/* The answer to a question of the table; NULL: nobody had one. The packet is copied. */
void auth_facts_answer(struct auth_fact *fact, const struct dns_packet *packet);
/* No more questions: what is open now, and whatever is asked for later, is a fault. */
void auth_facts_close(struct auth_facts *facts);
void auth_facts_fini(struct auth_facts *facts);

/* The text of an MX, PTR or TXT record. */
struct smtp_slice auth_fact_text(const struct auth_fact *fact, uint16_t index);
#endif
