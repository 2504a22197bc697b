/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_EVENT_PLAIN_H
#define FAKE_EVENT_PLAIN_H
/* event_plain - one event of a refused recipient, with a value in each field a record cannot do without */
#include "report/event.h"

#include "base/bounce_class.h"

#define BLOB(text) ((struct queue_blob){(text), sizeof(text) - 1})

static struct event
event_plain(enum event_type type)
{
	return (struct event){.type = type,
		.code = 550,
		.attempts = 2,
		.id = 0x1f,
		.logged_us = INT64_C(1793534400250000),
		.queued_us = INT64_C(1793534000000000),
		.message_bytes = 1234,
		.sender = BLOB("s@x.test"),
		.rcpt = BLOB("r@y.test"),
		.source = BLOB("ip-a"),
		.esc = BLOB("5.1.1"),
		.reply = BLOB("550 5.1.1 no such user"),
		.category = BLOB("bad-mailbox"),
		.bounce_class = BOUNCE_CLASS_BAD_MAILBOX,
		.host = BLOB("mx.y.test"),
		.peer_ip = BLOB("203.0.113.9")};
}
#endif
