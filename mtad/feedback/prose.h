/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_PROSE_H
#define MTAD_FEEDBACK_PROSE_H
/*
 * prose - what report_rules finds in a mail, as a finding
 *
 * Owner, Thread  those of the reader it is given to.
 * Memory         some 300 KB for the time of a call.
 * Fails          never: without memory, or where no block holds, the finding stays what it is.
 */
#include "feedback/read.h"
#include "feedback/report_rules.h"

/* A feedback_other; arg: struct report_rules. */
void prose_read(void *arg, struct smtp_slice mail, const struct smtp_mime *m, struct finding *f);
#endif
