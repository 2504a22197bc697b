/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two languages meet here: replies on one side, verdicts on the other. No other file compares reply codes
 * to decide what becomes of a recipient. Invariant: the default of every switch is temporary, so an outcome
 * nobody thought of can delay mail but never lose it.
 */
#include "deliver/verdict.h"

#include "feedback/status.h"

#include <stdio.h>

static void
set(struct verdict_output *out, enum queue_verdict_kind kind, enum bounce_class bounce_class, const char *esc)
{
	out->verdict.kind = kind;
	out->bounce_class = bounce_class;
	if (out->esc[0] == '\0')
		snprintf(out->esc, sizeof(out->esc), "%s", esc);
}

/*
 * The code decides (RFC 5321 4.2.1), not the class: what is permanent for the site is not asked again. One
 * that says in words to come back slower is taken at its word, whatever its code ("550 Ip frequency
 * limited").
 */
bool
verdict_is_final(enum bounce_class c, uint16_t code)
{
	enum bounce_group group = bounce_class_group(c);

	if (code == 0)
		return group == BOUNCE_GROUP_SUPPRESS;
	return code >= 500 && group != BOUNCE_GROUP_THROTTLE;
}

/* 452, and 552 where RFC 5321 4.5.3.1.10 asks to read it as 452: the site takes no more recipients in this
 * transaction. */
static bool
is_too_many_rcpts(const struct verdict_input *in)
{
	if (in->phase != SMTP_PHASE_RCPT || in->rcpts_accepted == 0)
		return false;
	if (in->code == 452)
		return in->esc.class_digit == 0 || (in->esc.subject == 5 && in->esc.detail == 3);
	return in->code == 552 && (in->esc.class_digit == 0 || (in->esc.subject == 5 && in->esc.detail == 3));
}

/* Before MAIL a 5xx is about the host or about us and not about this mail: another host, another time (D7,
 * D48).
 */
static void
decide_reply(const struct verdict_input *in, struct verdict_output *out)
{
	if (in->code >= 200 && in->code < 300 && in->phase == SMTP_PHASE_DOT)
		set(out, QUEUE_VERDICT_DELIVERED, BOUNCE_CLASS_NONE, "2.0.0");
	else if (is_too_many_rcpts(in))
		set(out, QUEUE_VERDICT_RETURN, BOUNCE_CLASS_RATE_LIMITED, "4.5.3");
	else if (in->code >= 500 && in->code < 600 && in->phase >= SMTP_PHASE_MAIL)
		set(out, QUEUE_VERDICT_FAILED, BOUNCE_CLASS_OTHER, "5.0.0");
	else
		set(out, QUEUE_VERDICT_LATER, BOUNCE_CLASS_OTHER, "4.0.0");
}

/* 421: the site closes for now, whatever it says in words. Before MAIL it is the connection that is too much.
 */
static enum queue_signal
signal_of(const struct verdict_input *in, const struct verdict_output *out)
{
	if (out->verdict.kind == QUEUE_VERDICT_RETURN)
		return QUEUE_SIGNAL_NONE;
	if (in->outcome == SMTP_OUTCOME_LOST || in->outcome == SMTP_OUTCOME_UNCERTAIN)
		return QUEUE_SIGNAL_FAILED;
	if (in->outcome != SMTP_OUTCOME_REPLY)
		return QUEUE_SIGNAL_NONE;
	if (in->code == 421)
		return in->phase < SMTP_PHASE_MAIL ? QUEUE_SIGNAL_CROWDED : QUEUE_SIGNAL_SLOWER;
	return QUEUE_SIGNAL_ANSWERED;
}

/* What a reply that is no success means, and what of that the code does not say: whom it blames; that it asks
 * to come back; that there will never be such a mailbox. */
static void
apply_class(const struct verdict_input *in, struct verdict_output *out)
{
	struct classify_input asked = {in->provider, CLASSIFY_PHASE(in->phase), in->code, in->esc, {"", 0}};
	struct classify_result found = {status_class(in->esc, in->code), CLASSIFY_BY_CODE};
	bool is_of_mail = in->phase >= SMTP_PHASE_MAIL;

	if (in->outcome == SMTP_OUTCOME_REPLY && in->code >= 400 &&
		out->verdict.kind != QUEUE_VERDICT_RETURN) {
		if (in->reply != NULL)
			asked.text = in->reply->text;
		if (in->classifier != NULL)
			classify(in->classifier, &asked, &found);
		out->bounce_class = found.bounce_class;
		if (is_of_mail && out->verdict.kind == QUEUE_VERDICT_FAILED &&
			!verdict_is_final(found.bounce_class, in->code))
			out->verdict.kind = QUEUE_VERDICT_LATER;
		if (in->phase >= SMTP_PHASE_RCPT && out->verdict.kind == QUEUE_VERDICT_LATER &&
			in->has_been_patient &&
			bounce_class_group(found.bounce_class) == BOUNCE_GROUP_SUPPRESS)
			out->verdict.kind = QUEUE_VERDICT_FAILED;
	}
	switch (bounce_class_group(out->bounce_class)) {
	case BOUNCE_GROUP_SUPPRESS:
		out->verdict.blame = QUEUE_BLAME_RECIPIENT;
		return;
	case BOUNCE_GROUP_BLOCK:
		out->verdict.blame = QUEUE_BLAME_US;
		return;
	default:
		out->verdict.blame = QUEUE_BLAME_NOBODY;
	}
}

/* A rule that stops or slows what sent the message takes the reply for one about us, and so does one that
 * somebody should look at. */
static bool
blames_us(const struct rules *rules, uint32_t n)
{
	const struct conf_rule_actions *a = &rules_conf(rules)->rules[n].actions;

	return a->has_alert || a->pause_us[CONF_SCOPE_LANE] > 0 || a->pause_us[CONF_SCOPE_SOURCE] > 0;
}

/* What rules say of this recipient: 4xx and 5xx only, and never of what the site has not seen. */
static void
apply_rules(const struct verdict_input *in, struct verdict_output *out)
{
	const struct rules_reply reply = {in->provider, RULES_PHASE(in->phase), in->reply};
	struct rules_match m;

	if (in->rules == NULL || in->reply == NULL || in->outcome != SMTP_OUTCOME_REPLY || in->code < 400 ||
		out->verdict.kind == QUEUE_VERDICT_RETURN)
		return;
	rules_match(in->rules, &reply, &m);
	if (m.treat == CONF_TREAT_TEMPORARY)
		out->verdict.kind = QUEUE_VERDICT_LATER;
	else if (m.treat == CONF_TREAT_PERMANENT)
		out->verdict.kind = QUEUE_VERDICT_FAILED;
	if (out->verdict.kind == QUEUE_VERDICT_LATER) {
		out->verdict.wait_us = m.retry_us;
		out->verdict.next_source = m.next_source;
	}
	for (uint32_t i = 0; i < m.count; i++) {
		job_rules_add(&out->rules, m.rules[i]);
		if (blames_us(in->rules, m.rules[i]))
			out->verdict.blame = QUEUE_BLAME_US;
	}
}

static void
decide(const struct verdict_input *in, struct verdict_output *out)
{
	*out = (struct verdict_output){.verdict = {.code = in->code}};
	if (in->esc.class_digit != 0)
		snprintf(out->esc, sizeof(out->esc), "%u.%u.%u", (unsigned)in->esc.class_digit,
			(unsigned)in->esc.subject, (unsigned)in->esc.detail);
	switch (in->outcome) {
	case SMTP_OUTCOME_REPLY:
		decide_reply(in, out);
		return;
	case SMTP_OUTCOME_REFUSED: /* by us, before the site saw it: its capabilities do not take this message
				    */
		out->verdict.code = 0; /* the site has said nothing */
		if (in->code >= 500)
			set(out, QUEUE_VERDICT_FAILED, status_class(in->esc, 0), "5.6.0");
		else
			set(out, QUEUE_VERDICT_LATER, BOUNCE_CLASS_PROTOCOL_ERRORS, "4.7.0");
		return;
	case SMTP_OUTCOME_UNCERTAIN:
		set(out, QUEUE_VERDICT_UNCERTAIN, BOUNCE_CLASS_BAD_CONNECTION, "4.4.2");
		return;
	case SMTP_OUTCOME_UNTRIED:
		set(out, QUEUE_VERDICT_RETURN, BOUNCE_CLASS_BAD_CONNECTION, "4.4.2");
		return;
	case SMTP_OUTCOME_LOST:
	default:
		set(out, QUEUE_VERDICT_LATER, BOUNCE_CLASS_BAD_CONNECTION, "4.4.2");
		return;
	}
}

void
verdict_decide(const struct verdict_input *in, struct verdict_output *out)
{
	decide(in, out);
	apply_class(in, out);
	apply_rules(in, out);
	out->verdict.signal = signal_of(in, out);
}
