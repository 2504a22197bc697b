/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a chart goes: to the terminal as far as that can show it, or into a file as a picture.
 */
#include "control/chart.h"
#include "control/mtactl.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH_NONE = 1000, WIDTH_DEFAULT = 100 };

int
mtactl_chart_save(const char *file, const struct chart_picture *p)
{
	FILE *out = strcmp(file, "-") == 0 ? stdout : fopen(file, "we");
	bool is_good = out != NULL;

	if (out != NULL)
		chart_write_svg(out, p);
	if (out != NULL && out != stdout)
		is_good = ferror(out) == 0 && fclose(out) == 0;
	if (!is_good)
		fprintf(stderr, "mtactl: %s: %s\n", file, strerror(errno));
	return is_good ? 0 : 1;
}

void
mtactl_chart_print(const struct mtactl *m, const struct chart_picture *p, int height, bool is_plain)
{
	struct chart_terminal t = {.width = m->width < WIDTH_NONE ? m->width : WIDTH_DEFAULT,
		.height = height,
		.has_colour = m->colour && !is_plain};

	t.has_unicode =
		!is_plain && setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	chart_write_terminal(stdout, p, &t);
}
