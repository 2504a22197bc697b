/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_STATUS_H
#define MTAD_FEEDBACK_STATUS_H
/*
 * status - the class of a status code where no words say better
 *
 * Owner    nobody. Thread: any. Fails: never; codes that say nothing are BOUNCE_CLASS_OTHER.
 * Spec     RFC 3463 and IANA's registry of enhanced status codes; RFC 5321 4.2.3 for the basic ones.
 */
#include "base/bounce_class.h"
#include "smtp_types.h"

/* esc.class_digit 0: none; code 0: none. The enhanced code goes before the basic one unless it says nothing.
 */
enum bounce_class status_class(struct smtp_esc esc, uint16_t code);
/* The same of "5.1.1". */
enum bounce_class status_class_of_text(const char *esc);
#endif
