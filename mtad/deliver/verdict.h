/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_DELIVER_VERDICT_H
#define MTAD_DELIVER_VERDICT_H
/*
 * verdict - what a result of the SMTP conversation means for the recipient; the one place where a reply
 * becomes a verdict
 *
 * The basic code decides between temporary and permanent, also when the enhanced code disagrees (RFC 5321
 * 4.2.1, RFC 3463 2), but for what asks to come back slower and for mailboxes that stay unknown; a rule of
 * the configuration may know better. Whom the reply blames is a question of its class alone. What a rule
 * makes of the lane is for the queue thread (queue/react.h), which is told the rules.
 */
#include "base/bounce_class.h"
#include "feedback/classify.h"
#include "queue/job.h"
#include "shape/rules.h"
#include "smtp_client.h"

struct verdict_input {
	enum smtp_client_outcome outcome;
	enum smtp_client_phase phase;
	uint16_t code; /* 0: no reply */
	struct smtp_esc esc;
	uint32_t rcpts_accepted;   /* of the same transaction so far: "too many recipients" means the rest at
				      once (RFC 5321 4.5.3.1.10) */
	const struct rules *rules; /* NULL: none */
	int provider;              /* for the rules: index, or RULES_PROVIDER_NONE */
	const struct smtp_reply *reply;      /* likewise */
	const struct classifier *classifier; /* NULL: the class by the codes alone */
	bool has_been_patient; /* no further attempt for a recipient that there is no such mailbox for */
};

struct verdict_output {
	struct queue_verdict verdict; /* reply is not set */
	enum bounce_class bounce_class;
	char esc[20];           /* the site's enhanced code, or ours for a result without reply */
	struct job_rules rules; /* those that hold for the reply */
};

/* Whether a reply of this class and code (0: none) ends the recipient at once. */
bool verdict_is_final(enum bounce_class c, uint16_t code);
void verdict_decide(const struct verdict_input *in, struct verdict_output *out);
#endif
