/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_PIPE_H
#define LIBSMTP_SMTP_PIPE_H
/*
 * smtp_pipe - commands on their way to a peer, and which of them have been answered
 *
 * A command is put together, then said: it goes to the end of the output and of a ring that remembers what it
 * was. Three cursors run over the ring: said, sent (the network has all its bytes), heard (answered). They
 * never pass each other. A command of no bytes is silent: it only keeps its place among the others.
 *
 * Owner    the client engine, embedded.
 * Memory   this struct.
 * Fails    never; the caller asks for room before it puts.
 * Spec     RFC 2920 3.1.
 */
#include "smtp_types.h"

enum {
	SMTP_PIPE_COMMANDS_MAX = 128, /* said and not heard */
	/* Said and not sent: the longest command behind some twenty of the usual length. Every session has
	   it. */
	SMTP_PIPE_TEXT_BYTES = SMTP_COMMAND_MAX + 1024,
};

/* The members are the module's own. */
struct smtp_pipe {
	uint32_t said, sent, heard; /* counts; modulo SMTP_PIPE_COMMANDS_MAX they are places in the ring */
	uint32_t sent_bytes;        /* of the command at `sent` */
	uint32_t from, to;          /* in text: the output */
	uint32_t begun;             /* bytes before `to` that belong to no command yet */
	struct {
		uint8_t kind;
		uint16_t bytes;
	} ring[SMTP_PIPE_COMMANDS_MAX];
	char text[SMTP_PIPE_TEXT_BYTES];
};

void smtp_pipe_init(struct smtp_pipe *p);

/* True when the longest command may be put and said. May move the output to the front of the buffer. */
bool smtp_pipe_has_room(struct smtp_pipe *p);
void smtp_pipe_put(struct smtp_pipe *p, struct smtp_slice text);
void smtp_pipe_put_base64(struct smtp_pipe *p, struct smtp_slice bytes);
void smtp_pipe_put_xtext(struct smtp_pipe *p, struct smtp_slice bytes);
/* What was put since the last time is a command of this kind; its CRLF is added. */
void smtp_pipe_say(struct smtp_pipe *p, uint8_t kind);
/* Nothing was put: a silent command. */
void smtp_pipe_say_nothing(struct smtp_pipe *p, uint8_t kind);

/* No command waits for its reply (or, a silent one, for its turn). */
bool smtp_pipe_is_empty(const struct smtp_pipe *p);
/* The command the next reply is for; not when empty. */
uint8_t smtp_pipe_front(const struct smtp_pipe *p);
/* There is such a command and all of it is with the network: only then can a reply be its. */
bool smtp_pipe_front_is_sent(const struct smtp_pipe *p);
void smtp_pipe_hear(struct smtp_pipe *p);
/* Commands with text that were sent and not heard. */
uint32_t smtp_pipe_unheard(const struct smtp_pipe *p);
/* What was sent leaves the memory too: it held a password. Only when nothing waits to be sent. */
void smtp_pipe_wipe(struct smtp_pipe *p);
/* The commands are void: nothing more will be sent or heard. Wipes as well. */
void smtp_pipe_void(struct smtp_pipe *p);

struct smtp_slice smtp_pipe_output(const struct smtp_pipe *p);
void smtp_pipe_drained(struct smtp_pipe *p, size_t bytes);
#endif
