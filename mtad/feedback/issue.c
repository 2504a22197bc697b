/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decided once, at accept: what a token is about must be on disk before anybody has it, so tokens cannot be
 * thought of later, and a message whose tokens were issued keeps them whatever a reload says.
 */
#include "feedback/issue.h"

#include "feedback/token.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void
fill(struct conf_feedback *f, const struct conf_feedback *by)
{
	if (f->return_path == CONF_RETURN_PATH_UNSET)
		f->return_path = by->return_path;
	if (f->list_unsubscribe == CONF_LIST_UNSUBSCRIBE_UNSET)
		f->list_unsubscribe = by->list_unsubscribe;
	if (f->cfbl == CONF_CFBL_UNSET)
		f->cfbl = by->cfbl;
}

struct conf_feedback
issue_wanted(const struct conf *c, const struct queue_message *m)
{
	static const struct conf_feedback nothing = {
		CONF_RETURN_PATH_KEEP, CONF_LIST_UNSUBSCRIBE_NO, CONF_CFBL_NO};
	struct conf_feedback f = {CONF_RETURN_PATH_UNSET, CONF_LIST_UNSUBSCRIBE_UNSET, CONF_CFBL_UNSET};
	const struct conf_stream *stream;
	const struct conf_user *user;
	int pool;

	if (c->token_secrets[0][0] == '\0')
		return nothing;
	stream = conf_stream_find(
		c, m->user.ptr, m->user.len, m->job.ptr, m->job.len, (enum conf_class)m->klass);
	user = m->user.len > 0 ? conf_user_find(c, m->user.ptr, m->user.len) : NULL;
	pool = m->pool.len > 0 ? conf_pool_find(c, m->pool.ptr, m->pool.len) : -1;
	if (stream != NULL)
		fill(&f, &stream->feedback);
	if (user != NULL)
		fill(&f, &user->feedback);
	if (pool >= 0)
		fill(&f, &c->pools[pool].feedback);
	fill(&f, &nothing);
	return f;
}

void
issue_begin(struct queue_message *m, uint32_t random)
{
	if (m->nonce == 0)
		m->nonce = random != 0 ? random : 1;
}

int
issue_fields(const struct conf *c, const struct queue_message *m, uint16_t n, char buf[ISSUE_FIELDS_MAX])
{
	const struct token t = token_of(TOKEN_UNSUBSCRIBE, m, n);
	const char *url = c->unsubscribe_url, *mailto = c->unsubscribe_mailto;
	int local = (int)strcspn(mailto, "@"), len = 0;
	char text[TOKEN_TEXT];

	assert(url[0] != '\0' || mailto[0] != '\0');
	token_write(c, &t, text);
	len += snprintf(buf, ISSUE_FIELDS_MAX, "List-Unsubscribe:");
	if (url[0] != '\0')
		len += snprintf(buf + len, ISSUE_FIELDS_MAX - (size_t)len, " <%s%.*s>%s", url, TOKEN_TEXT,
			text, mailto[0] != '\0' ? ",\r\n\t" : "");
	if (mailto[0] != '\0')
		len += snprintf(buf + len, ISSUE_FIELDS_MAX - (size_t)len,
			"%s<mailto:%.*s+%.*s%s?subject=unsubscribe>", url[0] != '\0' ? "" : " ", local,
			mailto, TOKEN_TEXT, text, mailto + local);
	len += snprintf(buf + len, ISSUE_FIELDS_MAX - (size_t)len, "\r\n%s",
		url[0] != '\0' ? "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" : "");
	assert(len < ISSUE_FIELDS_MAX);
	return len;
}

int
issue_cfbl(const struct conf *c, const struct queue_message *m, uint16_t n, char buf[ISSUE_CFBL_MAX])
{
	const struct token t = token_of(TOKEN_COMPLAINT, m, n);
	char text[TOKEN_TEXT];
	int len;

	assert(c->cfbl_address[0] != '\0');
	token_write(c, &t, text);
	len = snprintf(buf, ISSUE_CFBL_MAX, "CFBL-Address: %s; report=arf\r\nCFBL-Feedback-ID: %.*s\r\n",
		c->cfbl_address, TOKEN_TEXT, text);
	assert(len < ISSUE_CFBL_MAX);
	return len;
}
