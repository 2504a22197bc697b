/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One place prints, so that every message has the same form, and text from the file can not play tricks with
 * the terminal: control bytes are shown as "?". The number of lines is bounded, as a wrong file (a mailbox, a
 * core dump) would otherwise bury its first and best message.
 */
#include "conf/conf_report.h"

#include <stdarg.h>
#include <string.h>

#define WORD_MAX 40

__attribute__((format(printf, 4, 0))) static void
say(FILE *out, struct conf_place at, const char *kind, const char *format, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, ap);
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	if (at.file == NULL)
		fprintf(out, "%s%s\n", kind, text);
	else if (at.line > 0)
		fprintf(out, "%s:%d: %s%s\n", at.file, at.line, kind, text);
	else
		fprintf(out, "%s: %s%s\n", at.file, kind, text);
}

void
conf_error(struct conf_report *r, struct conf_place at, const char *format, ...)
{
	va_list ap;

	if (++r->error_count > CONF_REPORT_MAX)
		return;
	va_start(ap, format);
	say(r->out, at, "", format, ap);
	va_end(ap);
	if (r->error_count == CONF_REPORT_MAX)
		fprintf(r->out, "further errors are not shown\n");
}

void
conf_warn(struct conf_report *r, struct conf_place at, const char *format, ...)
{
	va_list ap;

	if (++r->warning_count > CONF_REPORT_MAX)
		return;
	va_start(ap, format);
	say(r->out, at, "warning: ", format, ap);
	va_end(ap);
	if (r->warning_count == CONF_REPORT_MAX)
		fprintf(r->out, "further warnings are not shown\n");
}

static int
least(int a, int b)
{
	return a < b ? a : b;
}

int
conf_word_distance(const char *a, const char *b)
{
	int d[WORD_MAX + 1][WORD_MAX + 1];
	int a_len = (int)strnlen(a, WORD_MAX + 1), b_len = (int)strnlen(b, WORD_MAX + 1);

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return 9;
	for (int i = 0; i <= a_len; i++)
		d[i][0] = i;
	for (int j = 0; j <= b_len; j++)
		d[0][j] = j;
	for (int i = 1; i <= a_len; i++) {
		for (int j = 1; j <= b_len; j++) {
			d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
				d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return least(d[a_len][b_len], 9);
}

void
conf_nearest_consider(struct conf_nearest *n, const char *name, const char *candidate)
{
	int distance = conf_word_distance(name, candidate);
	int allowed = strnlen(candidate, 12) < 5 ? 1 : strnlen(candidate, 12) < 9 ? 2 : 3;

	if (distance > allowed || distance >= n->distance || distance >= (int)strnlen(name, 12))
		return;
	n->distance = distance;
	snprintf(n->word, sizeof(n->word), "%s", candidate);
}
