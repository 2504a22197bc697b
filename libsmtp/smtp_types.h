/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_TYPES_H
#define LIBSMTP_SMTP_TYPES_H
/*
 * smtp_types - slices, limits and errors every other header of libsmtp uses
 *
 * libsmtp does no I/O, reads no clock, logs nothing and allocates only in x_create(), through the allocator
 * handed in. All peer bytes are hostile: every parser is total and bounded by the maxima below.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMTP_MUST_USE __attribute__((warn_unused_result))

/* Bytes somebody else owns. Never zero-terminated, may hold any byte. */
struct smtp_slice {
	const char *ptr;
	size_t len;
};

/* A slice of a string literal. */
#define SMTP_LIT(text) ((struct smtp_slice){(text), sizeof(text) - 1})

/* Memory for the engines: the one allocation a session makes, at create. */
struct smtp_alloc {
	void *(*get)(void *arg, size_t bytes); /* NULL when there is none */
	void (*put)(void *arg, void *ptr);
	void *arg;
};

/* What went wrong. Zero is success, positive values are facts, negative ones are these. */
enum smtp_err {
	SMTP_OK = 0,
	SMTP_ESYNTAX = -1,  /* the peer is not speaking what the RFC says */
	SMTP_ETOOLONG = -2, /* a limit below was passed */
	SMTP_ENOSPACE = -3, /* the caller's buffer is too small; nothing was written */
	SMTP_ENOMEM = -4,
	SMTP_EUTF8 = -5, /* bytes above 127 where only ASCII may stand, or not UTF-8 */
};
const char *smtp_err_text(int err);

enum {
	SMTP_COMMAND_MAX =
		2048, /* bytes of a command line with CRLF (RFC 5321 4.5.3.1.4 asks 512, parameters more) */
	SMTP_REPLY_LINE_MAX = 2048,     /* bytes kept of one reply line (RFC 5321 4.5.3.1.5 asks 512) */
	SMTP_REPLY_TEXT_MAX = 1024,     /* bytes kept of a whole reply; the rest is cut and flagged */
	SMTP_REPLY_BYTES_MAX = 65536,   /* bytes of one multi-line reply before the session is given up */
	SMTP_LOCAL_MAX = 64,            /* RFC 5321 4.5.3.1.1 */
	SMTP_DOMAIN_MAX = 255,          /* RFC 5321 4.5.3.1.2 */
	SMTP_ADDRESS_MAX = 320,         /* local part, @, domain */
	SMTP_ENVID_MAX = 100,           /* RFC 3461 5.1, decoded */
	SMTP_ORCPT_MAX = 500,           /* RFC 3461 5.1, "rfc822;address", decoded */
	SMTP_TEXT_LINE_MAX = 998,       /* RFC 5322 2.1.1, without CRLF */
	SMTP_HEADER_BLOCK_MAX = 262144, /* bytes of a header block we accept */
	SMTP_HEADER_FIELDS_MAX = 1000,
	SMTP_HOPS_MAX = 50,        /* Received fields before we call it a loop (RFC 5321 6.3) */
	SMTP_CREDENTIAL_MAX = 255, /* bytes of a user name or password */
};

/* NOTIFY= of RCPT (RFC 3461 4.1). Zero: not given. */
enum smtp_notify {
	SMTP_NOTIFY_NEVER = 1,
	SMTP_NOTIFY_SUCCESS = 2,
	SMTP_NOTIFY_FAILURE = 4,
	SMTP_NOTIFY_DELAY = 8,
};
/* RET= of MAIL (RFC 3461 4.3). */
/* What to do about a message that is not delivered in the time of BY= (RFC 2852 4): return it, or notify the
 * sender. */
enum smtp_by { SMTP_BY_NONE, SMTP_BY_RETURN, SMTP_BY_NOTIFY };

enum { SMTP_BY_MAX_S = 999999999 }; /* either way */

enum smtp_ret { SMTP_RET_NONE = 0, SMTP_RET_FULL = 1, SMTP_RET_HDRS = 2 };

/* An enhanced status code "class.subject.detail" (RFC 3463); class 0: none. */
struct smtp_esc {
	uint8_t class_digit; /* 2, 4, 5 or 0 */
	uint16_t subject;    /* 0..999 */
	uint16_t detail;
};

/* A reply as it came, all lines joined by '\n', without codes; text is what the peer wrote, enhanced code
 * included. */
struct smtp_reply {
	uint16_t code; /* 200..599; 0: no reply came (connection lost) */
	struct smtp_esc esc;
	struct smtp_slice text; /* valid until the next call on the parser or engine */
	bool text_cut;          /* longer than SMTP_REPLY_TEXT_MAX */
};

static inline bool
smtp_slice_is(struct smtp_slice a, struct smtp_slice b)
{
	return a.len == b.len && (a.len == 0 || __builtin_memcmp(a.ptr, b.ptr, a.len) == 0);
}
/* ASCII-case-insensitive, locale-free. */
bool smtp_slice_is_nocase(struct smtp_slice a, struct smtp_slice b);
#endif
