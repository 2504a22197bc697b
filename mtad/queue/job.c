/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The letter a lease travels in. Reply texts sit in one buffer because a hundred recipients usually get the
 * same words.
 */
#include "queue/job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job *
job_create(struct queue_lease *lease)
{
	uint32_t count = queue_lease_rcpt_count(lease), i;
	struct job *job = calloc(1, sizeof(*job) + count * sizeof(job->rcpts[0]));

	if (job == NULL)
		return NULL;
	job->lease = lease;
	job->id = queue_lease_message(lease);
	job->rcpt_count = count;
	for (i = 0; i < count; i++) {
		job->rcpts[i].n = queue_lease_rcpt(lease, i);
		/* Nothing comes back unanswered; if it did, it must not count as delivered. */
		job->rcpts[i].verdict.kind = QUEUE_VERDICT_RETURN;
	}
	return job;
}

static int
compare_numbers(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

int
job_load(struct job *job, struct queue_store *store, struct memory *memory, bool with_body)
{
	uint16_t *numbers = calloc(job->rcpt_count, sizeof(*numbers));
	struct queue_loaded *loaded;
	struct message *m;
	uint32_t i;
	int err;

	if (numbers == NULL)
		return QUEUE_ENOMEM;
	for (i = 0; i < job->rcpt_count; i++)
		numbers[i] = job->rcpts[i].n;
	qsort(numbers, job->rcpt_count, sizeof(*numbers), compare_numbers);
	err = queue_store_load_rcpts(store, job->id, numbers, job->rcpt_count, with_body, &loaded);
	free(numbers);
	if (err == QUEUE_ENOTFOUND)
		err = QUEUE_EDAMAGED;
	job->is_damaged = job->is_damaged || err == QUEUE_EDAMAGED;
	if (err < 0)
		return err;
	if ((m = message_from_loaded(memory, loaded)) == NULL)
		return QUEUE_ENOMEM;
	message_unref(job->message);
	job->message = m;
	return QUEUE_OK;
}

void
job_free(struct job *job)
{
	message_unref(job->message);
	message_unref(job->dsn);
	free(job->texts);
	free(job);
}

/* The offset of the copy; texts that do not fit in memory are lost, the verdict is not. */
static uint32_t
keep_text(struct job *job, const char *text, size_t len)
{
	uint32_t max = job->texts_max == 0 ? 512 : job->texts_max;
	char *grown;

	while (max - job->texts_len < len)
		max *= 2;
	if (max > job->texts_max) {
		if ((grown = realloc(job->texts, max)) == NULL)
			return UINT32_MAX;
		job->texts = grown;
		job->texts_max = max;
	}
	memcpy(job->texts + job->texts_len, text, len);
	job->texts_len += (uint32_t)len;
	return job->texts_len - (uint32_t)len;
}

void
job_rules_add(struct job_rules *r, uint32_t rule)
{
	for (uint16_t i = 0; i < r->count; i++)
		if (r->items[i] == rule)
			return;
	if (r->count < JOB_RULES_MAX && rule <= UINT16_MAX)
		r->items[r->count++] = (uint16_t)rule;
}

void
job_answer(struct job *job, uint32_t index, const struct queue_verdict *v, enum bounce_class bounce_class,
	const char *esc, struct queue_blob words)
{
	size_t len = words.len < QUEUE_REPLY_MAX ? words.len : QUEUE_REPLY_MAX;
	struct job_rcpt *r = &job->rcpts[index];
	struct job_rcpt *before = index > 0 ? &job->rcpts[index - 1] : NULL;

	assert(index < job->rcpt_count);
	r->verdict = *v;
	r->code = v->code;
	r->bounce_class = (uint8_t)bounce_class;
	r->is_suppressed = false;
	snprintf(r->esc, sizeof(r->esc), "%s", esc);
	r->reply_at = r->reply_len = 0; /* an earlier answer is no longer true */
	if (len == 0)
		return;
	if (before != NULL && before->reply_len == len &&
		memcmp(job->texts + before->reply_at, words.ptr, len) == 0) {
		r->reply_at = before->reply_at;
		r->reply_len = before->reply_len;
		return;
	}
	if ((r->reply_at = keep_text(job, words.ptr, len)) != UINT32_MAX)
		r->reply_len = (uint32_t)len;
	else
		r->reply_at = 0;
}

struct queue_blob
job_reply(const struct job *job, uint32_t index)
{
	const struct job_rcpt *r = &job->rcpts[index];

	return (struct queue_blob){job->texts != NULL ? job->texts + r->reply_at : "", r->reply_len};
}

const char *
job_category(enum bounce_class bounce_class, enum queue_verdict_kind kind)
{
	if (kind == QUEUE_VERDICT_DELIVERED)
		return "";
	if (kind == QUEUE_VERDICT_EXPIRED)
		return bounce_class_pmta(BOUNCE_CLASS_MESSAGE_EXPIRED);
	if (kind == QUEUE_VERDICT_DROPPED || bounce_class == BOUNCE_CLASS_NONE)
		return "admin";
	return bounce_class_pmta(bounce_class);
}

void
job_answer_all(struct job *job, enum queue_verdict_kind kind, enum bounce_class bounce_class, const char *esc,
	int64_t wait_us, const char *words)
{
	struct queue_verdict v = {.kind = kind, .wait_us = wait_us, .signal = QUEUE_SIGNAL_NONE};
	uint32_t i;

	for (i = 0; i < job->rcpt_count; i++)
		job_answer(job, i, &v, bounce_class, esc,
			(struct queue_blob){words, strnlen(words, QUEUE_REPLY_MAX)});
}
