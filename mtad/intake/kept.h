/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_KEPT_H
#define MTAD_INTAKE_KEPT_H
/*
 * kept - what of a message's header is stored beside it for its records: Message-ID, and fields that
 * accounting files ask for
 *
 * Owner    nobody. Thread: any. Fails: false, no memory; what is too long is cut.
 */
#include "conf/conf_types.h"
#include "queue/message.h"
#include "smtp_header.h"

/* Sets m->meta.message_id and m->meta.headers. `added` are fields put in front of the message's own. Of
 * several of one name the first counts. */
bool kept_take(struct message *m, const struct smtp_header *h, const struct conf_list *names,
	struct queue_blob added);
#endif
