/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_MTACTL_REPORT_H
#define MTAD_CONTROL_MTACTL_REPORT_H
/*
 * mtactl_report - what has been read for a report, between those who read and those who show it
 *
 * Owner    mtactl_report.c.
 */
#include "control/mtactl.h"
#include "report/records.h"
#include "report/summary.h"

enum mtactl_by {
	BY_ALL,
	BY_JOB,
	BY_STREAM,
	BY_PROVIDER,
	BY_SITE,
	BY_SOURCE,
	BY_USER,
	BY_CLASS,
	BY_DOMAIN,
	BY_DAY,
	BY_HOUR,
	BY_COUNT,
};

struct mtactl_report {
	enum mtactl_by by;
	const char *by_name;
	const struct records *records;
	struct summary *summary; /* its groups are put into order */
	uint64_t used;           /* records that were asked for */
	size_t file_count;
	json_t *notes; /* texts */
};
/* An exit code (mtactl_report_show.c). */
int mtactl_report_show(const struct mtactl *m, const struct mtactl_options *o, const struct mtactl_report *r);
#endif
