/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times are kept as the moments they mean, from the first on: what was asked for as "in two hours" does not
 * begin anew when the message waits for the disk. Invariants: release_us is 0 or later than now and no
 * further than WISH_HOLD_MAX_S; expire_us and notice_us are 0 or later than release_us, where that is set.
 */
#include "intake/wish.h"

#include "conf/conf_value.h"
#include "queue/message.h"
#include "smtp_date.h"
#include "smtp_params.h"

#include <string.h>
#include <strings.h>

/* RFC 6710, appendix B (MIXER): 4 is urgent, 0 normal, -4 not urgent; 5: what is between is rounded up. */
enum { ABOVE_NORMAL = 1, NOT_URGENT = -4 };

static const int64_t second_us = 1000000;

/* False: further away than we keep mail. */
static bool
set_release(struct queue_message *m, int64_t release_us, int64_t now_us)
{
	if (release_us - now_us > WISH_HOLD_MAX_S * second_us)
		return false;
	m->release_us = release_us > now_us ? release_us : 0;
	m->hold_s = 0;
	return true;
}

/* Dates end with the year 9999, so nothing overflows. */
static bool
hold(const struct smtp_server_mail *mail, int64_t now_us, struct queue_message *m)
{
	int64_t release_us = mail->hold_until * second_us;

	if (!mail->has_hold)
		return true;
	if (mail->hold_for_s > 0)
		release_us = now_us + mail->hold_for_s * second_us;
	if (!set_release(m, release_us, now_us))
		return false;
	m->hold_s = mail->hold_for_s;
	return true;
}

/* RFC 4865 5.2.2. */
static bool
is_over_before_release(const struct queue_message *m)
{
	int64_t by_us = message_deliver_by(m);

	return by_us != 0 && m->release_us != 0 && by_us <= m->release_us;
}

bool
wish_of_mail(
	const struct smtp_server_mail *mail, int64_t now_us, struct queue_message *m, const char **out_why)
{
	int64_t by_us = now_us + mail->by_s * second_us;

	if (!hold(mail, now_us, m)) {
		*out_why = "HOLDFOR and HOLDUNTIL go up to 30 days (2592000 seconds) ahead";
		return false;
	}
	if (mail->by == SMTP_BY_RETURN)
		m->expire_us = by_us;
	else if (mail->by == SMTP_BY_NOTIFY)
		m->notice_us = by_us > 0 ? by_us : 1;
	if (is_over_before_release(m)) {
		*out_why = "the time of BY is over before HOLDFOR or HOLDUNTIL lets the message go";
		return false;
	}
	if (mail->by_trace)
		m->flags |= QUEUE_MESSAGE_TRACE;
	return true;
}

/* "after 2h" */
static bool
read_wait(const char *value, int64_t now_us, int64_t *out_us)
{
	static const char after[] = "after";
	const size_t len = sizeof(after) - 1;
	struct conf_why why;
	int64_t wait_us;

	if (strncasecmp(value, after, len) != 0 || (value[len] != ' ' && value[len] != '\t'))
		return false;
	value += len;
	value += strspn(value, " \t");
	if (!conf_value_duration(value, &wait_us, &why))
		return false;
	if (__builtin_add_overflow(now_us, wait_us, out_us))
		*out_us = INT64_MAX;
	return true;
}

static bool
read_date(const char *value, int64_t *out_us)
{
	struct smtp_slice text = {value, strnlen(value, SMTP_TEXT_LINE_MAX)};
	int64_t at;

	if (smtp_date_parse_stamp(text, &at) < 0 && smtp_date_parse(text, &at) < 0)
		return false;
	*out_us = at * second_us;
	return true;
}

bool
wish_release(const char *value, int64_t now_us, struct queue_message *m, const char **out_why)
{
	int64_t release_us;

	if (!read_wait(value, now_us, &release_us) && !read_date(value, &release_us))
		*out_why = "write 2026-12-24T08:00:00+01:00, Thu, 24 Dec 2026 08:00:00 +0100 or after 2h";
	else if (!set_release(m, release_us, now_us))
		*out_why = "it goes up to 30 days ahead";
	else if (is_over_before_release(m))
		*out_why = "the time of BY is over before it lets the message go";
	else
		return true;
	return false;
}

bool
wish_class(struct smtp_slice value, enum queue_class *out, const char **out_why)
{
	int c;

	for (c = QUEUE_CLASS_NORMAL; c < QUEUE_CLASS_COUNT; c++) {
		const char *name = queue_class_text((enum queue_class)c);

		if (!smtp_slice_is_nocase(value, (struct smtp_slice){name, strnlen(name, value.len + 1)}))
			continue;
		*out = (enum queue_class)c;
		return true;
	}
	*out_why = "the classes are urgent, normal and bulk";
	return false;
}

enum queue_class
wish_class_of_priority(int priority)
{
	if (priority >= ABOVE_NORMAL)
		return QUEUE_CLASS_URGENT;
	return priority <= NOT_URGENT ? QUEUE_CLASS_BULK : QUEUE_CLASS_NORMAL;
}

bool
wish_priority(struct smtp_slice value, struct queue_message *m, const char **out_why)
{
	int priority;

	if (smtp_params_priority(value, &priority) < 0) {
		*out_why = "a priority is a whole number from -9 to 9";
		return false;
	}
	m->priority = (int8_t)priority;
	m->klass = wish_class_of_priority(priority);
	return true;
}
