/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_REPORT_FORM_H
#define MTAD_CONF_CONF_REPORT_FORM_H
/*
 * conf_report_form - report blocks: what mail looks like that tells of a delivery in words of its own
 *
 * Owner    the configuration. Memory: its arena. Thread: any, constant.
 */
#include "conf/conf_types.h"

enum conf_report_kind {
	CONF_REPORT_BOUNCE,
	CONF_REPORT_DELAY,
	CONF_REPORT_DELIVERED, /* the last that tells of recipients */
	CONF_REPORT_AUTO_REPLY,
	CONF_REPORT_CHALLENGE,
	CONF_REPORT_ADDRESS_CHANGED,
};
/* In the order of the files, which is that in which they are tried. Their expressions are right: each of
 * `recipient` has a group named rcpt, each of `diagnostic` one named text. */
struct conf_report_form {
	const char *name, *at;
#define CONF_REPORT_FORM CONF_FIELD
#include "conf.def"
#undef CONF_REPORT_FORM
};

static inline bool
conf_report_has_recipients(enum conf_report_kind kind)
{
	return kind <= CONF_REPORT_DELIVERED;
}
#endif
