/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EHLO answer, line by line, so that an answer of a thousand keywords costs no more memory than one of
 * five. Known keywords come from smtp_caps.def; everything else is passed over. Keywords are compared without
 * case and the last of several wins: peers repeat AUTH in an old and a new spelling ("AUTH=LOGIN"), which is
 * why '=' ends a keyword too.
 */
#include "smtp_ehlo.h"

/* The next word of *line, up to a blank or `also`; empty at the end. */
static struct smtp_slice
take_word(struct smtp_slice *line, char also)
{
	struct smtp_slice word;

	while (line->len > 0 && (*line->ptr == ' ' || *line->ptr == '\t')) {
		line->ptr++;
		line->len--;
	}
	word = (struct smtp_slice){line->ptr, 0};
	while (word.len < line->len && word.ptr[word.len] != ' ' && word.ptr[word.len] != '\t' &&
		(also == ' ' || word.ptr[word.len] != also))
		word.len++;
	line->ptr += word.len;
	line->len -= word.len;
	if (line->len > 0) {
		line->ptr++;
		line->len--;
	}
	return word;
}

/* Digits only, saturating: a limit beyond 64 bits is no limit we could meet. False: not a number. */
static bool
read_number(struct smtp_slice word, uint64_t *out_value)
{
	uint64_t value = 0;

	for (size_t i = 0; i < word.len; i++) {
		if (word.ptr[i] < '0' || word.ptr[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(word.ptr[i] - '0'), &value))
			value = UINT64_MAX;
	}
	*out_value = value;
	return word.len > 0;
}

static void
no_arguments(struct smtp_ehlo *e, struct smtp_slice rest)
{
}

static void
size_argument(struct smtp_ehlo *e, struct smtp_slice rest)
{
	uint64_t value;

	e->size_max = read_number(take_word(&rest, ' '), &value) ? value : 0;
}

/* RFC 2852 2: [min-by-time] *("," option) */
static void
deliverby_argument(struct smtp_ehlo *e, struct smtp_slice rest)
{
	uint64_t value;

	e->by_min_s =
		read_number(take_word(&rest, ','), &value) && value <= SMTP_BY_MAX_S ? (uint32_t)value : 0;
}

static void
limits_arguments(struct smtp_ehlo *e, struct smtp_slice rest)
{
	while (rest.len > 0) {
		struct smtp_slice word = take_word(&rest, ' '), name = take_word(&word, '=');
		uint64_t number;

		if (!read_number(word, &number) || number == 0 || number > UINT32_MAX)
			continue;
		if (smtp_slice_is_nocase(name, SMTP_LIT("RCPTMAX")))
			e->rcpt_max = (uint32_t)number;
		else if (smtp_slice_is_nocase(name, SMTP_LIT("MAILMAX")))
			e->mail_max = (uint32_t)number;
	}
}

static const struct {
	struct smtp_slice keyword;
	unsigned bit;
	void (*arguments)(struct smtp_ehlo *e, struct smtp_slice rest);
} caps[] = {
#define CAP(name, bit, keyword, arguments) {{keyword, sizeof(keyword) - 1}, bit, arguments},
#define MECH(name, bit, mechanism)
#include "smtp_caps.def"
#undef CAP
#undef MECH
};

static const struct {
	struct smtp_slice mechanism;
	unsigned bit;
} mechs[] = {
#define CAP(name, bit, keyword, arguments)
#define MECH(name, bit, mechanism) {{mechanism, sizeof(mechanism) - 1}, bit},
#include "smtp_caps.def"
#undef CAP
#undef MECH
};

static void
auth_mechanisms(struct smtp_ehlo *e, struct smtp_slice rest)
{
	while (rest.len > 0) {
		struct smtp_slice word = take_word(&rest, ' ');

		for (size_t i = 0; i < sizeof(mechs) / sizeof(mechs[0]); i++)
			if (smtp_slice_is_nocase(word, mechs[i].mechanism))
				e->caps |= mechs[i].bit;
	}
}

void
smtp_ehlo_line(struct smtp_ehlo *e, struct smtp_slice line)
{
	struct smtp_slice keyword;

	if (e->line_count++ == 0)
		return;
	keyword = take_word(&line, '=');
	if (smtp_slice_is_nocase(keyword, SMTP_LIT("AUTH"))) {
		auth_mechanisms(e, line);
		return;
	}
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		if (!smtp_slice_is_nocase(keyword, caps[i].keyword))
			continue;
		e->caps |= caps[i].bit;
		caps[i].arguments(e, line);
		return;
	}
}
