/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies are put together here and sent in mtasim_session.c. One that would be longer than REPLY_BYTES_MAX
 * is cut.
 */
#include "mtasim_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLY_BYTES_MAX = 16 << 20 };

bool
sim_text_add(struct sim_text *t, const char *bytes, size_t len, size_t max)
{
	size_t room = t->max > 0 ? t->max : 256;
	char *grown;

	if (t->len + len > max)
		return false;
	while (room < t->len + len)
		room *= 2;
	if (room > t->max) {
		if ((grown = realloc(t->bytes, room)) == NULL)
			return false;
		t->bytes = grown;
		t->max = room;
	}
	if (len > 0)
		memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	return true;
}

static void
reply_add(struct sim_text *t, const char *bytes, size_t len)
{
	(void)sim_text_add(t, bytes, len, REPLY_BYTES_MAX); /* cut: it is a bad reply then anyway */
}

/* What {name} stands for; NULL: it is not one of ours. */
static const char *
placeholder(const struct sim_names *names, const char *at, size_t *out_len)
{
	const struct {
		const char *name, *value;
		size_t len;
	} known[] = {
		{"{client}", names->client, 8}, {"{from}", names->sender, 6}, {"{rcpt}", names->rcpt, 6}};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strncmp(at, known[i].name, known[i].len) == 0) {
			*out_len = known[i].len;
			return known[i].value;
		}
	}
	return NULL;
}

void
sim_text_expand(struct sim_text *t, const char *reply, const struct sim_names *names)
{
	const char *at, *value;
	size_t len;

	t->len = 0;
	for (at = reply; *at != '\0'; at += len) {
		len = 1;
		if (*at == '\n')
			reply_add(t, "\r\n", 2);
		else if (*at == '{' && (value = placeholder(names, at, &len)) != NULL)
			reply_add(t, value, strnlen(value, SMTP_ADDRESS_MAX));
		else
			reply_add(t, at, len = 1);
	}
	reply_add(t, "\r\n", 2);
}

void
sim_text_huge(struct sim_text *t, int code, uint64_t bytes)
{
	char line[80];
	int len = snprintf(line, sizeof(line), "%d-%060d\r\n", code, 0);

	t->len = 0;
	while (t->len < bytes && t->len + 200 < REPLY_BYTES_MAX)
		reply_add(t, line, (size_t)len);
	line[3] = ' ';
	reply_add(t, line, (size_t)len);
}

void
sim_text_ehlo(struct sim_text *t, const struct sim_site *site, struct smtp_slice text)
{
	const struct {
		const char *word;
		size_t len;
		bool is_offered;
	} offers[] = {
		{"PIPELINING", 10, site->has_pipelining},
		{"8BITMIME", 8, site->has_8bitmime},
		{"SMTPUTF8", 8, site->has_smtputf8},
		{"SIZE", 4, site->has_size},
		{"ENHANCEDSTATUSCODES", 19, site->has_enhanced},
		{"CHUNKING", 8, site->has_chunking},
		{"DSN", 3, site->has_dsn},
		{"LIMITS", 6, site->has_limits},
		{"DELIVERBY", 9, site->has_deliverby},
		{"MT-PRIORITY", 11, site->has_mt_priority},
	};
	size_t last = 0, i;

	t->len = 0;
	while (text.len > 4) {
		const char *end = memchr(text.ptr, '\n', text.len);
		size_t len = end != NULL ? (size_t)(end - text.ptr) + 1 : text.len;
		bool is_offered = true;

		for (i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
			if (len >= 4 + offers[i].len &&
				strncmp(text.ptr + 4, offers[i].word, offers[i].len) == 0)
				is_offered = offers[i].is_offered;
		}
		if (is_offered) {
			last = t->len;
			reply_add(t, text.ptr, len);
		}
		text.ptr += len;
		text.len -= len;
	}
	for (i = 3; i < t->len; i++) {
		if (i == 3 || t->bytes[i - 4] == '\n')
			t->bytes[i] = i - 3 < last ? '-' : ' ';
	}
}
