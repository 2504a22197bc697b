/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CHART_IMPL_H
#define MTAD_CONTROL_CHART_IMPL_H
/*
 * chart_impl - the axes, which both pictures share
 */
#include "control/chart.h"

enum { CHART_TICKS_MAX = 32 };

struct chart_scale {
	bool is_log;
	double low, high;
	double ticks[CHART_TICKS_MAX]; /* from low to high */
	size_t tick_count;
};
void chart_scale_init(struct chart_scale *s, const struct chart_picture *p);
/* 0 at the foot of the axis, 1 at its top. */
double chart_scale_at(const struct chart_scale *s, double v);
/* Days from one label of the day axis to the next, when one needs the room of so many days. */
size_t chart_label_step(const struct chart *c, size_t least);
/* "Nov 30"; of hours "06:00", and the day at midnight. */
const char *chart_label(const struct chart *c, size_t day, char buf[16]);
#endif
