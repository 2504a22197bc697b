/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever reports a complaint writes the fields he likes, in a part of the type he likes. So nothing is
 * required, the first of two equal fields counts (save where RFC 5965 3.2 allows more), and a body is told
 * by its fields.
 */
#include "smtp_arf.h"

#include "smtp_mime.h"

#include <string.h>

static struct smtp_slice
trim(struct smtp_slice s)
{
	while (s.len > 0 && memchr(" \t\r\n", s.ptr[0], 4) != NULL) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && memchr(" \t\r\n", s.ptr[s.len - 1], 4) != NULL)
		s.len--;
	return s;
}

static enum smtp_arf_type
type_of(struct smtp_slice word)
{
	static const struct {
		struct smtp_slice word;
		enum smtp_arf_type type;
	} types[] = {
		{SMTP_LIT("abuse"), SMTP_ARF_ABUSE},
		{SMTP_LIT("complaint"), SMTP_ARF_ABUSE},
		{SMTP_LIT("fraud"), SMTP_ARF_FRAUD},
		{SMTP_LIT("virus"), SMTP_ARF_VIRUS},
		{SMTP_LIT("not-spam"), SMTP_ARF_NOT_SPAM},
		{SMTP_LIT("opt-out"), SMTP_ARF_OPT_OUT},
		{SMTP_LIT("opt-out-list"), SMTP_ARF_OPT_OUT},
		{SMTP_LIT("auth-failure"), SMTP_ARF_AUTH_FAILURE},
		{SMTP_LIT("dmarc"), SMTP_ARF_AUTH_FAILURE},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (smtp_slice_is_nocase(types[i].word, word))
			return types[i].type;
	return SMTP_ARF_OTHER;
}

/* A field that may stand once; NULL: of another name. */
static struct smtp_slice *
place_of(struct smtp_arf *a, struct smtp_slice name)
{
	const struct {
		struct smtp_slice name, *place;
	} places[] = {
		{SMTP_LIT("Feedback-Type"), &a->type_word},
		{SMTP_LIT("User-Agent"), &a->user_agent},
		{SMTP_LIT("Original-Mail-From"), &a->original_mail_from},
		{SMTP_LIT("Original-Envelope-Id"), &a->envid},
		{SMTP_LIT("Source-IP"), &a->source_ip},
		{SMTP_LIT("Arrival-Date"), &a->arrival_date},
		{SMTP_LIT("Received-Date"), &a->arrival_date},
		{SMTP_LIT("Auth-Failure"), &a->auth_failure},
		{SMTP_LIT("Delivery-Result"), &a->delivery_result},
		{SMTP_LIT("Message-ID"), &a->message_id},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (smtp_slice_is_nocase(places[i].name, name))
			return places[i].place;
	return NULL;
}

static void
add(struct smtp_arf *a, struct smtp_slice *list, int *count, int max, struct smtp_slice value)
{
	if (value.len == 0)
		return;
	if (*count < max)
		list[(*count)++] = value;
	else
		a->is_truncated = true;
}

void
smtp_arf_read(struct smtp_arf *a, struct smtp_slice body)
{
	struct smtp_field field;

	*a = (struct smtp_arf){0};
	while (smtp_mime_field(&body, &field)) {
		struct smtp_slice *place = place_of(a, field.name), value = trim(field.value);

		if (place != NULL && place->len == 0)
			*place = value;
		else if (smtp_slice_is_nocase(field.name, SMTP_LIT("Original-Rcpt-To")) ||
			 smtp_slice_is_nocase(field.name, SMTP_LIT("Removal-Recipient")))
			add(a, a->rcpts, &a->rcpt_count, SMTP_ARF_RCPTS_MAX, value);
		else if (smtp_slice_is_nocase(field.name, SMTP_LIT("Reported-Domain")))
			add(a, a->domains, &a->domain_count, SMTP_ARF_DOMAINS_MAX, value);
	}
	a->type = type_of(a->type_word);
}

bool
smtp_arf_is_report(struct smtp_slice body)
{
	enum { LOOK_MAX = 20 }; /* fields */
	struct smtp_field field;
	bool has_type = false, has_other = false;

	for (int i = 0; i < LOOK_MAX && smtp_mime_field(&body, &field); i++) {
		if (smtp_slice_is_nocase(field.name, SMTP_LIT("Feedback-Type")))
			has_type = true;
		else if (smtp_slice_is_nocase(field.name, SMTP_LIT("User-Agent")) ||
			 smtp_slice_is_nocase(field.name, SMTP_LIT("Version")))
			has_other = true;
	}
	return has_type && has_other;
}

bool
smtp_arf_read_jmrp(struct smtp_arf *a, struct smtp_slice header)
{
	struct smtp_field field;
	struct smtp_slice rcpt = {NULL, 0};

	while (rcpt.len == 0 && smtp_mime_field(&header, &field))
		if (smtp_slice_is_nocase(field.name, SMTP_LIT("X-HmXmrOriginalRecipient")))
			rcpt = trim(field.value);
	if (rcpt.len == 0)
		return false;
	*a = (struct smtp_arf){.type = SMTP_ARF_ABUSE, .type_word = SMTP_LIT("abuse")};
	add(a, a->rcpts, &a->rcpt_count, SMTP_ARF_RCPTS_MAX, rcpt);
	return true;
}

bool
smtp_arf_is_redacted(struct smtp_slice address)
{
	const char *at = address.len > 0 ? memchr(address.ptr, '@', address.len) : NULL;
	struct smtp_slice local = {address.ptr, at != NULL ? (size_t)(at - address.ptr) : address.len};
	size_t stars = 0;

	if (local.len > 2 && local.ptr[0] == '[' && local.ptr[local.len - 1] == ']') {
		local.ptr++;
		local.len -= 2;
	}
	while (stars < local.len && (local.ptr[stars] == '*' || local.ptr[stars] == 'X'))
		stars++;
	return local.len == 0 || smtp_slice_is_nocase(local, SMTP_LIT("redacted")) ||
	       smtp_slice_is_nocase(local, SMTP_LIT("removed")) || (stars == local.len && stars >= 3);
}
