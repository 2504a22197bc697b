/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_CMD_H
#define LIBSMTP_SMTP_CMD_H
/*
 * smtp_cmd - a command line taken apart: verb, argument, and the path of MAIL and RCPT
 *
 * Owner    the caller; all parts point into the line.
 * Memory   none.
 * Fails    SMTP_ESYNTAX: control characters (NUL and a lone CR among them), no verb, no path in brackets;
 *          SMTP_EUTF8: bytes above 127 that are not UTF-8. An unknown verb is a fact, not a failure.
 * Spec     RFC 5321 2.4, 4.1.1, 4.1.2; blanks are taken as leniently as real clients write them.
 */
#include "smtp_types.h"

enum smtp_verb {
	SMTP_VERB_UNKNOWN,
	SMTP_VERB_FOREIGN, /* another protocol's: HTTP, SSH, PROXY; nothing behind it may be read as SMTP */
#define SMTP_CMD(name, argument, turn, junk) SMTP_VERB_##name,
#include "smtp_cmds.def"
#undef SMTP_CMD
	SMTP_VERB_COUNT,
};

enum smtp_cmd_argument { SMTP_ARGUMENT_ANY, SMTP_ARGUMENT_NONE, SMTP_ARGUMENT_SOME };

/* The columns of smtp_cmds.def. */
struct smtp_cmd_rule {
	struct smtp_slice name;
	enum smtp_cmd_argument argument;
	bool ends_turn;
	bool is_junk;
};

struct smtp_cmd {
	enum smtp_verb verb;
	struct smtp_slice arg; /* without the blanks around it */
};

/* `line` is without its CRLF. */
SMTP_MUST_USE int smtp_cmd_parse(struct smtp_slice line, struct smtp_cmd *out_cmd);
/* The verb alone, of a line of any bytes: what a line was meant to be that is none. */
enum smtp_verb smtp_cmd_verb(struct smtp_slice line);
const struct smtp_cmd_rule *smtp_cmd_rule(enum smtp_verb verb);

/*
 * Eats "FROM:<path>" (or "TO:<path>", by `keyword`, which has its colon) and the blanks behind it from the
 * front of *arg, so that the parameters are left. The path comes without brackets; whether it is an address
 * is not looked at.
 */
SMTP_MUST_USE int smtp_cmd_path(
	struct smtp_slice *arg, struct smtp_slice keyword, struct smtp_slice *out_path);

/* The next word of *in, up to a blank; eaten with the blanks behind it. Empty at the end. */
struct smtp_slice smtp_cmd_word(struct smtp_slice *in);
#endif
