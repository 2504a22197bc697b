/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_READ_H
#define MTAD_FEEDBACK_READ_H
/*
 * read - a mail that came back, read: feedback reports (RFC 5965, JMRP) and delivery reports (RFC 3464)
 *
 * Owner    who creates it.
 * Memory   one allocation of about 1 MB, at create; any mail is read in it.
 * Thread   the owner's.
 * Fails    create: NULL without memory. Reading cannot: FINDING_UNKNOWN is an answer.
 */
#include "feedback/finding.h"
#include "smtp_mime.h"

enum {
	FEEDBACK_PART_MAX = 262144,  /* bytes looked at of a part that is encoded */
	FEEDBACK_HEADER_MAX = 65536, /* bytes looked at of a returned message that is encoded */
};

/*
 * Reads what no standard describes. Called when the standard forms did not say what happened to whom: f->kind
 * is FINDING_UNKNOWN, or a recipient has no address or no status. It may add to *f; *m is the mail in parts.
 */
typedef void feedback_other(void *arg, struct smtp_slice mail, const struct smtp_mime *m, struct finding *f);

struct feedback_reader;

struct feedback_reader *feedback_reader_create(feedback_other *other, void *arg); /* other: NULL is fine */
void feedback_reader_destroy(struct feedback_reader **rp);
/* The result is the reader's, until it reads again; `mail` must live as long. */
const struct finding *feedback_read(struct feedback_reader *r, struct smtp_slice mail);
/* What the header of a message that came back says of it; o->header borrows it. */
void feedback_read_original(struct finding_original *o, struct smtp_slice header);
#endif
