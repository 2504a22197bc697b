/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_PAGE_H
#define MTAD_FEEDBACK_PAGE_H
/*
 * page - what the unsubscribe listener answers: a whole HTTP response with a page for people
 *
 * Without scripts, pictures or anything from elsewhere; in English, German, French or Spanish. Programs go by
 * the status.
 *
 * Owner    nobody: pure functions. Memory: the caller's. Thread: any.
 * Spec     RFC 9112 4 to 6, RFC 9110 15; RFC 8058 3.1: a link that is only followed does nothing.
 */
#include "feedback/http.h"

enum page_kind {
	PAGE_CONFIRM,    /* 200: whom it is about, and a button */
	PAGE_DONE,       /* 200 */
	PAGE_INCOMPLETE, /* 400: a POST without List-Unsubscribe=One-Click, or no request at all */
	PAGE_UNKNOWN,    /* 404: no token, or not ours */
	PAGE_EXPIRED,    /* 410 */
	PAGE_BUSY,       /* 429 */
	PAGE_TROUBLE,    /* 503: the spool cannot be written or read */
	PAGE_KIND_COUNT,
};

enum { PAGE_MAX = 4096 };

struct page_input {
	enum page_kind kind;
	unsigned status;           /* 0: that of the kind */
	unsigned language;         /* of page_language(); 0: English */
	bool is_head;              /* nothing but the head was asked for */
	struct smtp_slice address; /* of PAGE_CONFIRM; shown in part, as links are handed on */
};

unsigned page_language(const struct http_request *r);

/* Into buf; its length. */
size_t page_write(const struct page_input *in, char buf[PAGE_MAX]);
#endif
