/* SPDX-License-Identifier: Apache-2.0 */
/* What a token says: whose it is, since when, whether it is good, what it was used for. */
#include "control/ctl_request.h"
#include "queue/feedback.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 2048 };

struct state {
	struct token token;
	enum token_verdict verdict;
	int64_t expires_us;
};

static void
set_text(json_t *o, const char *name, struct queue_blob text)
{
	if (text.len > 0)
		(void)json_object_set_new(o, name, ctl_blob(text));
}

/* What has come back of its recipient, each of which counts once. */
static json_t *
came(const struct feedback_item *item)
{
	static const struct {
		enum event_type type;
		const char *name;
	} types[] = {
		{EVENT_REMOTE, "bounce"}, {EVENT_COMPLAINT, "complaint"}, {EVENT_UNSUBSCRIBE, "unsubscribe"}};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (feedback_has_come(item, types[i].type))
			(void)json_array_append_new(list, json_string(types[i].name));
	return list;
}

/* In the control side's own thread: the spool may be busy. */
static bool
look(struct ctl_request *r)
{
	const struct state *s = r->state;
	json_t *o = json_pack("{s:I,s:s,s:s,s:I,s:I}", "now_us", (json_int_t)clock_now(r->app->clock), "kind",
		token_kind_text(s->token.kind), "verdict", token_verdict_text(s->verdict), "accepted_us",
		(json_int_t)s->token.arrived_us, "expires_us", (json_int_t)s->expires_us);
	struct feedback_item item;
	char texts[QUEUE_EVENT_MAX];
	int err = feedback_find(r->app->store, &s->token, &item, texts);

	r->exit_code = s->verdict == TOKEN_GOOD && err == QUEUE_OK ? 0 : 1;
	(void)json_object_set_new(o, "is_known", json_boolean(err == QUEUE_OK));
	if (err == QUEUE_OK) {
		(void)json_object_set_new(o, "id", ctl_id(item.event.id));
		(void)json_object_set_new(o, "n", json_integer(item.event.n));
		(void)json_object_set_new(o, "came", came(&item));
		set_text(o, "rcpt", item.event.rcpt);
		set_text(o, "sender", item.event.sender);
		set_text(o, "user", item.event.user);
		set_text(o, "job", item.event.job);
		set_text(o, "message_id", item.event.message_id);
	} else if (err != QUEUE_ENOTFOUND)
		(void)json_object_set_new(o, "why", json_string(queue_err_text(err)));
	ctl_summary(r, o);
	return true;
}

bool
ctl_token(struct ctl_request *r)
{
	const char *text = ctl_arg(r, "token");
	const struct conf *c = r->app->conf;
	struct state *s;

	if (c->token_secrets[0][0] == '\0')
		return ctl_error(r, "this mtad issues no tokens: there is no token-secret-file");
	if ((s = r->state = calloc(1, sizeof(*s))) == NULL)
		return ctl_error(r, "out of memory");
	s->verdict = token_find(
		c, (struct smtp_slice){text, strnlen(text, TEXT_MAX)}, clock_now(r->app->clock), &s->token);
	s->expires_us = s->token.arrived_us + c->token_expire;
	if (s->verdict == TOKEN_NONE)
		return ctl_error(r,
			"there is no token in \"%.200s\": give a return path, an unsubscribe link or the "
			"%d letters themselves",
			text, TOKEN_TEXT);
	if (s->verdict == TOKEN_FORGED)
		return ctl_error(r,
			"forged, or signed with a secret that is neither in token-secret-file nor in "
			"token-secret-previous");
	return ctl_go_on(r, r->slow, look);
}
