/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_LEDGER_H
#define MTASIM_LEDGER_H
/*
 * mtasim_ledger - what arrived: a line for each recipient of each message, written before the 250 is sent
 *
 * Columns, parted by tabs: time (Unix, microseconds), site, MAIL FROM, RCPT TO, id (X-Ledger-Id, else
 * Message-ID, else
 * "-"), bytes of the whole message, bytes of its body (after the empty line), CRC-32 of the body (8 hex
 * digits), connection, message of the connection, TLS version or "-", client address, "ok" or "dropped". All
 * lines of a message go out in one write(2): after a kill they are there or not, never in part.
 *
 * Returns have a file of their own: time, site, what it is (the word of the script), recipient, id of the
 * message, where it went (address or URL), tries, "delivered", "refused", "waiting" (at the end) or "nowhere"
 * (no address to send it to), the last answer.
 *
 * Owner    main; a ledger_message belongs to its session.
 * Memory   a fixed line buffer; a copy of the message only with an mbox folder.
 * Thread   the base's.
 * Fails    a record that cannot be written ends the process: a ledger with holes proves nothing.
 */
#include "mtasim_text.h"
#include "smtp_types.h"

enum { LEDGER_ID_MAX = 200, LEDGER_LINE_MAX = 256 };

struct ledger;

/* One message while it comes in. */
struct ledger_message {
	char id[LEDGER_ID_MAX];
	size_t id_len;
	char line[LEDGER_LINE_MAX]; /* the beginning of the header line at hand */
	size_t line_len;
	bool has_ledger_id;
	bool in_body;
	bool wants_fold; /* Message-ID: stood alone, its value is on the next line */
	uint64_t bytes, body_bytes;
	uint32_t crc;
	char *copy;
	size_t copy_len, copy_max;
};

struct ledger_entry {
	const char *site;
	struct smtp_slice sender;
	const char *rcpts; /* one after the other, each ended by '\0' */
	size_t rcpt_count;
	uint64_t connection, message;
	const char *tls, *client;
	bool is_ok;
};

/* What was sent back because of a recipient (mtasim_return), when nothing more comes of it. */
struct ledger_return {
	const char *site, *kind, *outcome;
	struct smtp_slice rcpt, id, goal;
	uint32_t tries;
	const char *answer; /* the last one, or why there was none */
};

/* NULL: no such output. */
struct ledger_files {
	const char *arrivals, *returns, *mbox_dir;
	bool keeps_header; /* a message's copy has its header at least */
};

/* NULL: words are on stderr. Borrows the folder's name. */
struct ledger *ledger_create(const struct ledger_files *files);
void ledger_destroy(struct ledger **lp);

void ledger_begin(struct ledger_message *m);
void ledger_feed(struct ledger *l, struct ledger_message *m, struct smtp_slice bytes);
void ledger_write(struct ledger *l, const struct ledger_message *m, const struct ledger_entry *entry);
void ledger_write_return(struct ledger *l, const struct ledger_return *back);
void ledger_fini(struct ledger_message *m);
#endif
