/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool keeps of each issued token the recipient's event of acceptance: what the records of an answer
 * need is what the record `r` would have said.
 */
#include "queue/feedback.h"

#include "queue_issued.h"

#include <string.h>

int
feedback_find(struct queue_store *store, const struct token *t, struct feedback_item *out,
	char buf[QUEUE_EVENT_MAX])
{
	char key[TOKEN_KEY];
	uint8_t used = 0;
	int len = queue_issued_get(store, token_key(t, key), &used, buf, QUEUE_EVENT_MAX), err;
	struct event e;

	if (len < 0)
		return len;
	if (len > QUEUE_EVENT_MAX)
		return QUEUE_EDAMAGED;
	if ((err = event_decode((struct queue_blob){buf, (size_t)len}, &e)) < 0)
		return err;
	*out = (struct feedback_item){
		.event = e, .has_token = true, .token = *t, .is_repeat = (used & token_use(t->kind)) != 0};
	return QUEUE_OK;
}

int
feedback_unsubscribe(struct queue_store *store, const struct token *t, int64_t now_us, const char *how,
	struct feedback_item *out, char buf[QUEUE_EVENT_MAX])
{
	int err = feedback_find(store, t, out, buf);

	if (err < 0)
		return err;
	out->event.type = EVENT_UNSUBSCRIBE;
	out->event.logged_us = now_us;
	out->event.feedback = (struct queue_blob){how, strnlen(how, 32)};
	return QUEUE_OK;
}

int
feedback_issue(struct queue_store *store, uint32_t nonce, const struct event *e)
{
	/* Its kind is not part of the key. */
	const struct token t = {TOKEN_RETURN_PATH, e->queued_us, nonce, e->n};
	char key[TOKEN_KEY], value[QUEUE_EVENT_MAX];
	int len = event_encode(e, value, sizeof(value));

	if (len < 0)
		return len;
	return queue_issued_put(store, token_key(&t, key), (struct queue_blob){value, (size_t)len});
}

int
feedback_use(struct queue_store *store, struct feedback_item *item)
{
	uint8_t use = token_use(item->token.kind), before = 0;
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
