/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tables and sentences are made of: members of an answer, numbers in thousands, times in the unit that
 * fits.
 */
#include "control/mtactl.h"

#include <stdio.h>
#include <string.h>

int64_t
mtactl_integer(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

const char *
mtactl_text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

void
mtactl_clean(char *s)
{
	for (; *s != '\0'; s++)
		if (mtactl_control_len(s) > 0)
			memset(s, ' ', mtactl_control_len(s));
}

void
mtactl_write_text(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	snprintf(buf, max, "%s", mtactl_text(row, field));
	mtactl_clean(buf);
}

const char *
mtactl_count(char *buf, size_t max, int64_t v)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%lld", (long long)v), i;
	size_t at = 0;

	for (i = 0; i < len && at + 2 < max; i++) {
		buf[at++] = digits[i];
		if ((len - i) % 3 == 1 && i + 1 < len && digits[i] != '-')
			buf[at++] = ',';
	}
	buf[at] = '\0';
	return buf;
}

void
mtactl_write_number(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	int64_t v = mtactl_integer(row, field);

	if (v == 0)
		snprintf(buf, max, "-");
	else
		mtactl_count(buf, max, v);
}

void
mtactl_span(char *buf, size_t max, int64_t us)
{
	int64_t s = us / 1000000;

	if (s < 120)
		snprintf(buf, max, "%llds", (long long)s);
	else if (s < 7200)
		snprintf(buf, max, "%lldm", (long long)s / 60);
	else if (s < 172800)
		snprintf(buf, max, "%lldh", (long long)s / 3600);
	else
		snprintf(buf, max, "%lldd", (long long)s / 86400);
}

/* How long ago. */
void
mtactl_write_age(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	int64_t at_us = mtactl_integer(row, field);

	if (at_us == 0)
		snprintf(buf, max, "-");
	else
		mtactl_span(buf, max, now_us > at_us ? now_us - at_us : 0);
}

/* How long until. */
void
mtactl_write_until(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	int64_t at_us = mtactl_integer(row, field);

	if (at_us == 0)
		snprintf(buf, max, "-");
	else if (at_us <= now_us)
		snprintf(buf, max, "now");
	else /* "in 10m" for what was just said to be 10m */
		mtactl_span(buf, max, at_us - now_us + 999999);
}

void
mtactl_write_size(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
	double v = (double)mtactl_integer(row, field);
	size_t i = 0;

	while (v >= 1000 && i < 4) {
		v /= 1024;
		i++;
	}
	snprintf(buf, max, i > 0 && v < 9.95 ? "%.1f%s" : "%.0f%s", v, units[i]);
}

const json_t *
mtactl_rows(const json_t *answer)
{
	return json_object_get(answer, "rows");
}

int64_t
mtactl_now(const json_t *answer)
{
	return mtactl_integer(json_object_get(answer, "summary"), "now_us");
}

bool
mtactl_is_true(const json_t *o, const char *name)
{
	return json_is_true(json_object_get(o, name));
}

void
mtactl_show_more(const struct mtactl *m, int64_t all, int64_t shown)
{
	char number[32];

	if (all > shown)
		printf("%s... and %s more (--limit 0 shows all)%s\n", mtactl_dim(m),
			mtactl_count(number, sizeof(number), all - shown), mtactl_plain(m));
}
