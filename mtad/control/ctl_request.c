/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of commands and what they share: arguments, filters, rows.
 */
#include "control/ctl_request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ctl_command commands[] = {
	{"status", CTL_QUEUE, ctl_status},
	{"queue", CTL_QUEUE, ctl_queue},
	{"sites", CTL_QUEUE, ctl_sites},
	{"list", CTL_QUEUE, ctl_list},
	{"show", CTL_SLOW, ctl_show},
	{"count", CTL_QUEUE, ctl_count},
	{"retry", CTL_QUEUE, ctl_retry},
	{"hold", CTL_QUEUE, ctl_hold},
	{"release", CTL_QUEUE, ctl_release},
	{"bounce", CTL_QUEUE, ctl_bounce},
	{"delete", CTL_QUEUE, ctl_delete},
	{"pause", CTL_QUEUE, ctl_pause},
	{"resume", CTL_QUEUE, ctl_resume},
	{"pauses", CTL_QUEUE, ctl_pauses},
	{"reload", CTL_MAIN, ctl_reload},
	{"stop", CTL_MAIN, ctl_stop},
	{"rotate", CTL_MAIN, ctl_rotate},
	{"audit", CTL_SLOW, ctl_audit},
	{"dkim-check", CTL_QUEUE, ctl_dkim_check},
};

const struct ctl_command *
ctl_command_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void
add(struct ctl_request *r, const char *kind, json_t *take_value)
{
	json_t *frame = json_object();

	(void)json_object_set_new(frame, kind, take_value);
	(void)json_array_append_new(r->frames, frame);
}

void
ctl_row(struct ctl_request *r, json_t *take_row)
{
	add(r, "row", take_row);
}

void
ctl_summary(struct ctl_request *r, json_t *take_summary)
{
	add(r, "summary", take_summary);
}

bool
ctl_error(struct ctl_request *r, const char *format, ...)
{
	char text[1000];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	add(r, "error", json_string(text));
	r->exit_code = 1;
	return true;
}

const char *
ctl_arg(const struct ctl_request *r, const char *name)
{
	const json_t *v = json_object_get(r->args, name);

	return json_is_string(v) ? json_string_value(v) : "";
}

int64_t
ctl_arg_int(const struct ctl_request *r, const char *name, int64_t absent)
{
	const json_t *v = json_object_get(r->args, name);

	return json_is_integer(v) ? (int64_t)json_integer_value(v) : absent;
}

/* Peer bytes that are no UTF-8 are shown with their bad bytes as question marks. */
json_t *
ctl_blob(struct queue_blob b)
{
	json_t *text = json_stringn(b.len > 0 ? b.ptr : "", b.len);
	char *copy;
	size_t i;

	if (text != NULL)
		return text;
	if ((copy = malloc(b.len + 1)) == NULL)
		return json_string("");
	for (i = 0; i < b.len; i++) {
		unsigned char c = ((const unsigned char *)b.ptr)[i];

		copy[i] = c >= ' ' && c < 127 ? (char)c : '?';
	}
	text = json_stringn(copy, b.len);
	free(copy);
	return text;
}

static struct queue_blob
arg_blob(const struct ctl_request *r, const char *name)
{
	const json_t *v = json_object_get(r->args, name);

	if (!json_is_string(v))
		return (struct queue_blob){"", 0};
	return (struct queue_blob){json_string_value(v), json_string_length(v)};
}

bool
ctl_filter(struct ctl_request *r)
{
	r->filter = (struct queue_filter){.id = (queue_id)ctl_arg_int(r, "id", 0),
		.n = (int32_t)ctl_arg_int(r, "n", -1),
		.domain = arg_blob(r, "domain"),
		.site = arg_blob(r, "site"),
		.user = arg_blob(r, "user"),
		.job = arg_blob(r, "job"),
		.held_only = json_is_true(json_object_get(r->args, "held")),
		.waiting_only = json_is_true(json_object_get(r->args, "waiting"))};
	r->sender = ctl_arg(r, "sender");
	return true;
}
