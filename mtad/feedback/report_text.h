/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_REPORT_TEXT_H
#define MTAD_FEEDBACK_REPORT_TEXT_H
/*
 * report_text - the parts of a mail as report_rules wants them: header, what a person reads, what came back
 *
 * Owner    the caller; the slices point into struct report_text and into the mail.
 * Memory   struct report_text, some 100 KB. What is more than that is left out at the end.
 * Fails    never. A character set that iconv(3) does not know, or does not get through, stays as it is.
 */
#include "feedback/report_rules.h"
#include "smtp_mime.h"

enum { REPORT_HEADER_MAX = 32768 };

struct report_text {
	struct report_mail mail;
	char header[REPORT_HEADER_MAX];
	char text[REPORT_BYTES_MAX];
};

/* has_fields: a part of fields (message/delivery-status) is text as well. */
void report_text_read(const struct smtp_mime *mime, bool has_fields, struct report_text *out);
#endif
