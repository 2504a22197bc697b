/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What requests share: arguments, filters, rows.
 */
#include "control/ctl_request.h"

#include "base/domain.h"
#include "feedback/classify.h"
#include "queue/dispatch.h"
#include "queue_store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

bool
ctl_go_on(struct ctl_request *r, struct worker *worker, bool (*next)(struct ctl_request *r))
{
	r->worker = worker;
	r->run = next;
	return false;
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

json_int_t
ctl_number(uint64_t v)
{
	return (json_int_t)v;
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

		copy[i] = (c >= ' ' && c < 127) || c == '\r' || c == '\n' || c == '\t' ? (char)c : '?';
	}
	text = json_stringn(copy, b.len);
	free(copy);
	return text;
}

json_t *
ctl_id(queue_id id)
{
	char text[24];

	snprintf(text, sizeof(text), "%llx", (unsigned long long)id);
	return json_string(text);
}

static int
compare_rcpts(const void *key, const void *rcpt)
{
	uint16_t n = *(const uint16_t *)key, other = ((const struct queue_rcpt *)rcpt)->n;

	return (n > other) - (n < other);
}

const struct queue_rcpt *
ctl_loaded_rcpt(const struct queue_loaded *loaded, uint16_t n)
{
	return bsearch(&n, loaded->rcpts, loaded->rcpt_count, sizeof(loaded->rcpts[0]), compare_rcpts);
}

static struct queue_blob
arg_blob(const struct ctl_request *r, const char *name)
{
	const json_t *v = json_object_get(r->args, name);

	if (!json_is_string(v))
		return (struct queue_blob){"", 0};
	return (struct queue_blob){json_string_value(v), json_string_length(v)};
}

/* What any request may hold, and how. Nothing else is let pass: an argument that is overlooked would widen a
 * filter. */
static const struct {
	const char *name;
	json_type type;
	bool is_filter;
} arguments[] = {{"command", JSON_STRING, false}, {"all", JSON_TRUE, true}, {"id", JSON_INTEGER, true},
	{"n", JSON_INTEGER, false}, {"domain", JSON_STRING, true}, {"site", JSON_STRING, true},
	{"user", JSON_STRING, true}, {"job", JSON_STRING, true}, {"sender", JSON_STRING, true},
	{"held", JSON_TRUE, true}, {"waiting", JSON_TRUE, true}, {"limit", JSON_INTEGER, false},
	{"reason", JSON_STRING, false}};

static bool
check_argument(struct ctl_request *r, const char *name, const json_t *value, bool *is_filter)
{
	size_t i;

	for (i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++)
		if (strcmp(arguments[i].name, name) == 0)
			break;
	if (i == sizeof(arguments) / sizeof(arguments[0])) {
		(void)ctl_error(r, "this mtad does not know the argument \"%.100s\"", name);
		return false;
	}
	if (json_typeof(value) != arguments[i].type) {
		(void)ctl_error(r, "the argument \"%s\" is of the wrong type", name);
		return false;
	}
	if (arguments[i].is_filter && json_is_string(value) && json_string_length(value) == 0) {
		(void)ctl_error(r, "\"%s\" is empty; everything is meant with --all", name);
		return false;
	}
	*is_filter = *is_filter || arguments[i].is_filter;
	return true;
}

static bool
check_numbers(struct ctl_request *r)
{
	int64_t id = ctl_arg_int(r, "id", 1), n = ctl_arg_int(r, "n", 0);

	if (id <= 0 || n < 0 || n >= QUEUE_RCPTS_MAX)
		return !ctl_error(r, "no message or recipient has this number");
	if (json_object_get(r->args, "n") != NULL && json_object_get(r->args, "id") == NULL)
		return !ctl_error(r, "a recipient's number needs its message's id");
	return true;
}

/* "<>" is the null sender; the brackets of an address may stand there or not. */
static void
take_sender(struct ctl_request *r)
{
	r->sender = arg_blob(r, "sender");
	r->has_sender = r->sender.len > 0;
	if (r->sender.len >= 2 && ((const char *)r->sender.ptr)[0] == '<' &&
		((const char *)r->sender.ptr)[r->sender.len - 1] == '>')
		r->sender = (struct queue_blob){(const char *)r->sender.ptr + 1, r->sender.len - 2};
}

bool
ctl_filter(struct ctl_request *r)
{
	bool is_filter = strcmp(ctl_arg(r, "command"), "list") == 0, ok = true;
	struct queue_blob domain = arg_blob(r, "domain");
	const char *name;
	json_t *value;
	int len;

	json_object_foreach(r->args, name, value) ok = ok && check_argument(r, name, value, &is_filter);
	if (!ok || !check_numbers(r))
		return false;
	if (!is_filter)
		return !ctl_error(r, "which recipients? Give a filter, or all");
	if (domain.len > 0 &&
		(len = domain_normalise(domain.ptr, domain.len, r->domain, sizeof(r->domain))) < 0)
		return !ctl_error(r, "\"%s\" is no domain", ctl_arg(r, "domain"));
	if (domain.len > 0)
		domain = (struct queue_blob){r->domain, (size_t)len};
	r->filter = (struct queue_filter){.id = (queue_id)ctl_arg_int(r, "id", 0),
		.n = (int32_t)ctl_arg_int(r, "n", -1),
		.domain = domain,
		.site = arg_blob(r, "site"),
		.user = arg_blob(r, "user"),
		.job = arg_blob(r, "job"),
		.held_only = json_is_true(json_object_get(r->args, "held")),
		.waiting_only = json_is_true(json_object_get(r->args, "waiting"))};
	take_sender(r);
	return true;
}

void
ctl_keep_classifier(struct ctl_request *r)
{
	if (r->classifier == NULL)
		r->classifier = classifier_ref(dispatch_classifier(r->app->dispatch));
}

json_t *
ctl_class(const struct ctl_request *r, struct queue_blob reply)
{
	struct classify_input in = {.provider = CLASSIFY_PROVIDER_ANY};
	struct classify_result found;

	if (reply.len == 0 || r->classifier == NULL)
		return json_string("");
	classify_read(reply.ptr, reply.len, &in);
	classify(r->classifier, &in, &found);
	return json_string(bounce_class_name(found.bounce_class));
}
