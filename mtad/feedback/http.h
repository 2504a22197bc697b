/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_HTTP_H
#define MTAD_FEEDBACK_HTTP_H
/*
 * http - one HTTP request, read from the bytes of a connection that serves no second one
 *
 * As much of HTTP as unsubscribing takes: GET, HEAD and POST with Content-Length. What two readers could read
 * differently (a folded field, a bare LF, two lengths, chunks) is refused, as a web server in front of us may
 * be the other one.
 *
 * Owner    nobody: pure functions; slices point into the bytes. Memory: none. Thread: any.
 * Fails    with the status of the answer.
 * Spec     RFC 9112 2 to 6, RFC 9110 12.5.4 (languages), RFC 7578 and URL Standard 5.1 (forms), RFC 8058 3.2.
 */
#include "smtp_types.h"

enum { HTTP_HEAD_MAX = 8192, HTTP_BODY_MAX = 16384 };

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OTHER };

struct http_request {
	enum http_method method;
	struct smtp_slice target; /* "/unsubscribe/TOKEN?lang=de" */
	struct smtp_slice fields; /* the lines behind the first */
	struct smtp_slice body;
};

/* `in`: all that came so far. 1: *out is whole. 0: there must be more. Else the status it is to be answered
 * with: 400, 413, 414, 431, 501, 505. */
int http_read(struct smtp_slice in, struct http_request *out);
/* The next field, its value trimmed; *rest starts as r->fields. False: none is left. */
bool http_next_field(struct smtp_slice *rest, struct smtp_slice *out_name, struct smtp_slice *out_value);
/* The value of the first field of this name; empty: there is none. */
struct smtp_slice http_field(const struct http_request *r, struct smtp_slice name);
/* The body is a form, urlencoded or multipart, and has this value for this name. */
bool http_form_has(const struct http_request *r, struct smtp_slice name, struct smtp_slice value);
/* The language of `names` (count of them, each two small letters) that the reader likes best, its index; 0,
 * if none of them. */
unsigned http_language(const struct http_request *r, const char (*names)[3], unsigned count);
#endif
