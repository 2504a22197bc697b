/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_RETURN_MAIL_H
#define MTASIM_RETURN_MAIL_H
/*
 * mtasim_return_mail - what a site sends back because of a recipient: where to, and its bytes
 *
 * The bounces are written here and not by libsmtp's writer: who reads them has another author to agree with.
 *
 * Owner    the caller; facts are borrowed for the call, a text that is returned is the caller's to free().
 * Thread   any.
 * Fails    false or NULL.
 * Spec     RFC 3464, RFC 3834, RFC 5965, RFC 6590, RFC 2369, RFC 8058, RFC 9477.
 */
#include "mtasim_script.h"

enum { RETURN_URL_MAX = 1024 };

/* A text in an array. */
#define RETURN_TEXT(array) ((struct smtp_slice){(array), strnlen((array), sizeof(array))})

struct return_facts {
	const struct sim_site *site;
	const struct sim_return *rule;
	struct smtp_slice sender, rcpt; /* of the message; an empty sender is the null one */
	struct smtp_slice header;       /* of the message: whole lines that end in CRLF, no empty one */
	int64_t now_s;                  /* Unix */
	uint64_t number;                /* of the return, which no other has */
};

/* Where it goes. */
struct return_goal {
	char address[SMTP_ADDRESS_MAX + 1]; /* empty: it is a URL */
	char subject[128];                  /* asked for by a mailto: URL, else empty */
	char url[RETURN_URL_MAX];
};

/* The header of a message: what stands before its first empty line. */
struct smtp_slice return_header(struct smtp_slice message);
/* False: it goes nowhere. A null sender, no List-Unsubscribe of that kind or one without one-click,
 * no CFBL-Address. */
bool return_goal_find(const struct return_facts *f, struct return_goal *out_goal);
/* The envelope sender. */
struct smtp_slice return_sender(const struct return_facts *f);
/* The mail, or the HTTP request, whole. NULL: no memory. */
char *return_write(const struct return_facts *f, const struct return_goal *goal, size_t *out_len);
#endif
