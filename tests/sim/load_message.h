/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOAD_MESSAGE_H
#define LOAD_MESSAGE_H
/*
 * load_message - the messages of mtasim-load: envelope, header, body, and to whom
 *
 * Owner    one composer for the run; a message is whoever's has created it, and borrows the composer's body.
 * Fails    without memory, or a file that cannot be read: words on stderr, and the program ends.
 */
#include "load_options.h"
#include "mtasim_text.h"

enum {
	LOAD_HEAD_MAX = 2048,
	LOAD_LINE_MAX = 400,
};

struct message {
	uint64_t number;
	unsigned tries; /* before this one */
	char id[160], previous[160];
	char *envelope;
	size_t envelope_len, envelope_max, envelope_at; /* at: sent so far, line by line */
	char head[LOAD_HEAD_MAX];                       /* with the first line of the body */
	size_t head_len, body_bytes;
	uint32_t crc;
	unsigned heard; /* replies to the envelope */
	unsigned rcpts_ok;
	int code; /* the first refusal */
	bool *is_ok;
};

/* What all messages have in common. */
struct composer {
	const struct options *o;
	struct sim_crc crc;
	const char **domains;
	size_t domain_count;
	struct sim_pattern pattern;
	uint32_t pattern_count;
	char *domains_text;
	char *body, *stuffed; /* as it is, and as it goes over the wire */
	size_t body_len, stuffed_len;
};

/* *c is zero before. False: no domain to send to; a wrong pattern is said on stderr. o stays the caller's. */
bool composer_init(struct composer *c, const struct options *o);
void composer_fini(struct composer *c);

struct message *message_create(const struct composer *c, uint64_t number, unsigned tries);
void message_destroy(struct message **mp);
/* The i-th recipient, from 0. */
void load_write_rcpt(const struct composer *c, const struct message *m, unsigned i, char *buf, size_t max);

/* Says errno, and ends the program. */
void load_die(const char *what) __attribute__((noreturn));
void *load_alloc(size_t count, size_t size);
/* Appends to a growing buffer; one call adds less than LOAD_LINE_MAX. */
void load_add(char **buf, size_t *len, size_t *max, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
#endif
