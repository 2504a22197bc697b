/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_MESSAGE_H
#define MTAD_QUEUE_MESSAGE_H
/*
 * message - one message in memory: envelope and bytes, from intake (or the spool) to its sessions
 *
 * Built by one thread (intake, bounce, or the io thread that loads it), then immutable and counted:
 * message_ref and message_unref work from any thread. `id`, set by the spool thread before anybody else sees
 * it, is the exception.
 *
 * Owner    whoever holds a reference.
 * Memory   counted in `memory` from create to the last unref.
 * Fails    NULL or false: no memory.
 */
#include "base/mailbox.h"
#include "base/memory.h"
#include "queue_store.h"
#include "queue_types.h"

#include <stdatomic.h>
#include <stdbool.h>

/* A recipient that is recorded as bounced with the accept of its message: its address is suppressed. */
struct message_suppressed {
	uint16_t n;
	uint8_t bounce_class; /* enum bounce_class */
	char words[160];
};

struct message {
	struct letter letter; /* spool -> queue: committed, add it to the schedule */
	_Atomic uint32_t refs;
	struct memory *memory;
	int64_t counted_bytes;
	struct queue_message meta; /* blobs live in the arena */
	struct queue_rcpt *rcpts;
	struct queue_blob *domains; /* of rcpts[i], normalised; NULL for a message loaded from the spool */
	uint32_t rcpt_count, rcpt_max;
	struct queue_blob
		body[QUEUE_BODY_PIECES]; /* in order; pieces end at line ends; unused ones are empty */
	char *buffer;                    /* what the client sent, grown while it arrives */
	size_t buffer_len, buffer_max;
	struct message_suppressed *suppressed; /* in order of n; they are never scheduled */
	uint32_t suppressed_count;
	struct queue_loaded *loaded;  /* of a message from the spool */
	struct message_chunk *chunks; /* the arena */
};

struct message *message_create(struct memory *memory);
/* Takes loaded: envelope and body point into it. */
struct message *message_from_loaded(struct memory *memory, struct queue_loaded *take_loaded);
struct message *message_ref(struct message *m);
void message_unref(struct message *m);

/* While it is being built. Copies into the arena; ptr NULL on no memory. */
struct queue_blob message_keep(struct message *m, const void *ptr, size_t len);
/* a and b one after the other, copied into the arena; ptr NULL on no memory. */
struct queue_blob message_join(struct message *m, struct queue_blob a, struct queue_blob b);
/* Appends a recipient (r's blobs are copied); `domain` is normalised. Its n is set. */
bool message_add_rcpt(struct message *m, const struct queue_rcpt *r, struct queue_blob domain);
/* Appends received bytes. */
bool message_append(struct message *m, const char *bytes, size_t len);
/* All bytes are there: gives back what the buffer has too much. Before anything points into it. */
void message_fit(struct message *m);
/* When it is to be delivered by, with R or with N (RFC 2852); 0: it does not say. */
int64_t message_deliver_by(const struct queue_message *m);
/* The recipient numbered n, NULL: not (any longer) in this message. */
const struct queue_rcpt *message_rcpt(const struct message *m, uint16_t n);
#endif
