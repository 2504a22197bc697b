/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool keeps of each issued token the recipient's event of acceptance: what the records of an answer
 * need is what the record `r` would have said, and once it is delivered, `d`.
 */
#include "queue/feedback.h"

#include "base/bounce_class.h"
#include "queue/letters.h"
#include "queue_issued.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The bit of `used` that a type has; never changed. */
static uint8_t
use_of(enum event_type type)
{
	assert(type == EVENT_REMOTE || type == EVENT_UNSUBSCRIBE || type == EVENT_COMPLAINT);
	return type == EVENT_REMOTE ? 2 : type == EVENT_UNSUBSCRIBE ? 4 : 8;
}

/* `bytes` stay where they are. */
static int
fill(struct feedback_item *out, const struct token *t, uint8_t used, struct queue_blob bytes)
{
	struct event e;
	int err = event_decode(bytes, &e);

	if (err == QUEUE_OK)
		*out = (struct feedback_item){
			.event = e, .has_token = true, .token = *t, .used = used, .sent_us = e.logged_us};
	return err;
}

int
feedback_find(struct queue_store *store, const struct token *t, struct feedback_item *out,
	char buf[QUEUE_EVENT_MAX])
{
	char key[TOKEN_KEY];
	uint8_t used = 0;
	int len = queue_issued_get(store, token_key(t, key), &used, buf, QUEUE_EVENT_MAX);

	if (len < 0)
		return len;
	if (len > QUEUE_EVENT_MAX)
		return QUEUE_EDAMAGED;
	return fill(out, t, used, (struct queue_blob){buf, (size_t)len});
}

bool
feedback_has_come(const struct feedback_item *item, enum event_type type)
{
	return (item->used & use_of(type)) != 0;
}

void
feedback_make(struct feedback_item *item, enum event_type type, int64_t now_us)
{
	struct event *e = &item->event;

	e->type = type;
	e->logged_us = now_us;
	e->bounce_class = 0;
	e->code = 0;
	e->esc = e->reply = e->category = (struct queue_blob){"", 0};
	e->host = e->peer_ip = e->local_ip = e->tls = e->caps = (struct queue_blob){"", 0};
	item->is_repeat = feedback_has_come(item, type);
}

int
feedback_unsubscribe(struct queue_store *store, const struct token *t, int64_t now_us, const char *how,
	struct feedback_item *out, char buf[QUEUE_EVENT_MAX])
{
	int err = feedback_find(store, t, out, buf);

	if (err < 0)
		return err;
	feedback_make(out, EVENT_UNSUBSCRIBE, now_us);
	out->event.feedback = (struct queue_blob){how, strnlen(how, 32)};
	return QUEUE_OK;
}

/* --- without a token --- */

struct search {
	const struct feedback_trace *trace;
	struct feedback_item *out;
	char *buf;
	uint32_t found;
	bool has_rcpt; /* the one that was looked for */
};

static bool
is_same(struct queue_blob a, struct queue_blob b)
{
	return smtp_slice_is_nocase((struct smtp_slice){a.ptr, a.len}, (struct smtp_slice){b.ptr, b.len});
}

static bool
visit(void *arg, struct queue_blob key, uint8_t used, struct queue_blob value)
{
	struct search *s = arg;
	const struct feedback_trace *trace = s->trace;
	struct token t = {.kind = TOKEN_RETURN_PATH};
	struct event e;

	if (!token_of_key(key, &t) || (trace->nonce != 0 && t.nonce != trace->nonce) ||
		event_decode(value, &e) != QUEUE_OK)
		return true;
	if (trace->message_id.len > 0 &&
		(e.message_id.len != trace->message_id.len ||
			memcmp(e.message_id.ptr, trace->message_id.ptr, e.message_id.len) != 0))
		return true;
	s->has_rcpt = trace->rcpt.len > 0 && is_same(trace->rcpt, e.rcpt);
	if (trace->rcpt.len > 0 && !s->has_rcpt)
		return true;
	s->found++;
	memcpy(s->buf, value.ptr, value.len);
	(void)fill(s->out, &t, used, (struct queue_blob){s->buf, value.len});
	/* Who is not named may be any of several. */
	return !s->has_rcpt && s->found < 2;
}

int
feedback_find_trace(struct queue_store *store, const struct feedback_trace *trace, uint32_t *left,
	struct feedback_item *out, char buf[QUEUE_EVENT_MAX])
{
	const struct token first = {.arrived_us = trace->from_us, .nonce = trace->nonce},
			   last = {.arrived_us = trace->before_us};
	struct search s = {trace, out, buf, 0, false};
	char from[TOKEN_KEY], before[TOKEN_KEY];
	int got;

	assert(trace->nonce != 0 || trace->message_id.len > 0);
	got = queue_issued_walk(store, token_key(&first, from), token_key(&last, before), *left, visit, &s);
	if (got < 0)
		return got;
	*left -= (uint32_t)got;
	/* One whom nobody named, at the end of what may be looked through, need not have been alone. */
	return s.found == 1 && (s.has_rcpt || *left > 0) ? QUEUE_OK : QUEUE_ENOTFOUND;
}

/* --- guards and warm-ups --- */

static struct queue_blob
copy(char **to, struct queue_blob from)
{
	struct queue_blob made = {*to, from.len};

	if (from.len > 0)
		memcpy(*to, from.ptr, from.len);
	*to += from.len;
	return made;
}

struct feedback_news *
feedback_news_of(const struct feedback_item *item)
{
	const struct event *e = &item->event;
	bool is_complaint = e->type == EVENT_COMPLAINT;
	bool is_bad_address = e->type == EVENT_REMOTE &&
			      bounce_class_group((enum bounce_class)e->bounce_class) == BOUNCE_GROUP_SUPPRESS;
	struct feedback_news *n;
	char *to;

	if (!item->has_token || item->is_repeat || (!is_complaint && !is_bad_address))
		return NULL;
	n = malloc(sizeof(*n) + e->user.len + e->job.len + e->source.len + e->site.len + e->from_domain.len);
	if (n == NULL)
		return NULL;
	to = n->texts;
	n->letter = (struct letter){.kind = LETTER_FEEDBACK_NEWS};
	n->feedback = (struct queue_feedback){
		.kind = is_complaint ? QUEUE_FEEDBACK_COMPLAINT : QUEUE_FEEDBACK_BAD_ADDRESS,
		.klass = (enum queue_class)e->klass,
		.sent_us = item->sent_us};
	n->feedback.user = copy(&to, e->user);
	n->feedback.job = copy(&to, e->job);
	n->feedback.source = copy(&to, e->source);
	n->feedback.site = copy(&to, e->site);
	n->feedback.from_domain = copy(&to, e->from_domain);
	return n;
}

/* --- inside a transaction --- */

/* Its kind is not part of the key. */
static struct queue_blob
key_of(uint32_t nonce, const struct event *e, char key[TOKEN_KEY])
{
	const struct token t = {TOKEN_RETURN_PATH, e->queued_us, nonce, e->n};

	return token_key(&t, key);
}

int
feedback_issue(struct queue_store *store, uint32_t nonce, const struct event *e)
{
	char key[TOKEN_KEY], value[QUEUE_EVENT_MAX];
	int len = event_encode(e, value, sizeof(value));

	if (len < 0)
		return len;
	return queue_issued_put(store, key_of(nonce, e, key), (struct queue_blob){value, (size_t)len});
}

int
feedback_delivered(struct queue_store *store, uint32_t nonce, const struct event *e)
{
	char key[TOKEN_KEY], value[QUEUE_EVENT_MAX];
	int len = event_encode(e, value, sizeof(value)), err;

	if (len < 0)
		return len;
	err = queue_issued_change(store, key_of(nonce, e, key), (struct queue_blob){value, (size_t)len});
	return err == QUEUE_ENOTFOUND || err == QUEUE_EDAMAGED || err == QUEUE_EVERSION ? QUEUE_OK : err;
}

int
feedback_use(struct queue_store *store, struct feedback_item *item)
{
	uint8_t use = use_of(item->event.type), before = 0;
	char key[TOKEN_KEY];
	int err;

	item->is_repeat = false;
	if (!item->has_token)
		return QUEUE_OK;
	err = queue_issued_use(store, token_key(&item->token, key), use, &before);
	if (err == QUEUE_ENOTFOUND || err == QUEUE_EDAMAGED || err == QUEUE_EVERSION)
		return QUEUE_OK;
	item->is_repeat = err == QUEUE_OK && (before & use) != 0;
	return err;
}

int
feedback_sweep(struct queue_store *store, const struct conf *c, int64_t now_us, bool *out_more)
{
	char key[TOKEN_KEY];
	int swept = queue_issued_sweep(store, token_key_expired(c, now_us, key));

	if (swept < 0)
		return swept;
	*out_more = swept == QUEUE_ISSUED_SWEEP_MAX;
	return QUEUE_OK;
}
