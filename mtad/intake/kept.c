/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields are kept as "name:value\n" each, unfolded, with the name as the configuration spells it. Control
 * bytes in a value become blanks, so a line end always ends a field.
 */
#include "intake/kept.h"

#include <string.h>

#define MESSAGE_ID "Message-ID"

/* The value as one line, cut where buf ends. */
static size_t
take_value(struct smtp_slice value, char *buf, size_t max)
{
	size_t len = 0, from = 0;

	while (from < value.len && (value.ptr[from] == ' ' || value.ptr[from] == '\t' ||
					   value.ptr[from] == '\r' || value.ptr[from] == '\n'))
		from++;
	for (; from < value.len && len < max; from++) {
		unsigned char c = (unsigned char)value.ptr[from];

		if (c != '\r' && c != '\n')
			buf[len++] = c < ' ' || c == 127 ? ' ' : (char)c;
	}
	while (len > 0 && buf[len - 1] == ' ')
		len--;
	return len;
}

static bool
take_id(struct message *m, const struct smtp_header *h, struct queue_blob added)
{
	const struct smtp_slice name = SMTP_LIT(MESSAGE_ID);
	char buf[QUEUE_MESSAGE_ID_MAX + 2], *id = buf;
	int at = smtp_header_find(h, name, 0);
	struct smtp_slice value = {"", 0};
	const char *ours;
	size_t len;

	if (at >= 0)
		value = h->fields[at].value;
	else if (added.len > 0 && (ours = memmem(added.ptr, added.len, "\n" MESSAGE_ID ":", 12)) != NULL) {
		ours += 12;
		len = added.len - (size_t)(ours - (const char *)added.ptr);
		value = (struct smtp_slice){ours, (size_t)((const char *)memchr(ours, '\r', len) - ours)};
	}
	len = take_value(value, buf, sizeof(buf));
	if (len > 0 && id[0] == '<') {
		id++;
		len--;
	}
	if (len > 0 && id[len - 1] == '>')
		len--;
	m->meta.message_id = message_keep(m, id, len < QUEUE_MESSAGE_ID_MAX ? len : QUEUE_MESSAGE_ID_MAX);
	return m->meta.message_id.ptr != NULL;
}

bool
kept_take(struct message *m, const struct smtp_header *h, const struct conf_list *names,
	struct queue_blob added)
{
	char buf[QUEUE_HEADERS_MAX];
	size_t used = 0;

	for (size_t i = 0; i < names->count; i++) {
		const struct smtp_slice name = {names->items[i], strnlen(names->items[i], 80)};
		int at = smtp_header_find(h, name, 0);

		/* A name without a value is of no use to anybody. */
		if (at < 0 || sizeof(buf) - used < name.len + 3)
			continue;
		memcpy(buf + used, name.ptr, name.len);
		used += name.len;
		buf[used++] = ':';
		used += take_value(h->fields[at].value, buf + used, sizeof(buf) - used - 1);
		buf[used++] = '\n';
	}
	m->meta.headers = message_keep(m, buf, used);
	return take_id(m, h, added) && m->meta.headers.ptr != NULL;
}
