/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_MIME_H
#define LIBSMTP_SMTP_MIME_H
/*
 * smtp_mime - the parts of a mail somebody else sent, for those who read reports
 *
 * smtp_header refuses what is not exact, because we forward it. This one forwards nothing and wants to
 * understand, so it refuses nothing: any bytes are a mail. Lines may end in LF, CRLF, CR or CR CR LF; an end
 * boundary, the empty line below a header, MIME-Version and the boundary parameter may be missing; a line
 * among the fields that is no field is passed over. What text says is in smtp_mime_text.
 *
 * Owner    the caller; all slices point into the mail.
 * Memory   struct smtp_mime, about 10 KB; no recursion; time is linear in the mail's size.
 * Fails    never. What is beyond the limits below is not listed, and is_truncated says so.
 * Spec     RFC 2045 5 and 6, RFC 2046 5, RFC 2183 2; not RFC 2231 (parameters in pieces).
 */
#include "smtp_header.h"

enum {
	SMTP_MIME_PARTS_MAX = 64,
	SMTP_MIME_DEPTH_MAX = 10, /* of parts around a part */
};

enum smtp_mime_encoding {
	SMTP_MIME_IDENTITY, /* 7bit, 8bit, binary, none, or one we do not know */
	SMTP_MIME_QUOTED_PRINTABLE,
	SMTP_MIME_BASE64,
};

/*
 * Parts stand in the order in which they begin; the first is the mail itself. A multipart has its parts as
 * children, a message (smtp_mime_is_message) that is not encoded has one child: what is in it.
 */
struct smtp_mime_part {
	int16_t parent;                      /* index; -1: the mail itself */
	uint8_t depth;                       /* 0: the mail itself */
	bool is_cut;                         /* a multipart without its end boundary */
	enum smtp_mime_encoding encoding;    /* Content-Transfer-Encoding */
	struct smtp_slice header;            /* fields, without the empty line below them */
	struct smtp_slice body;              /* as it came, without the line end that belongs to a boundary */
	struct smtp_slice type, subtype;     /* as written; "text", "plain" when nothing is said */
	struct smtp_slice boundary, charset; /* parameters; empty: none */
	struct smtp_slice report_type;       /* parameter of multipart/report */
	struct smtp_slice disposition, name; /* Content-Disposition; file name */
};

struct smtp_mime {
	struct smtp_mime_part parts[SMTP_MIME_PARTS_MAX];
	int count;         /* at least 1 */
	bool is_truncated; /* there are more, or deeper ones, than a limit allows */
};

void smtp_mime_read(struct smtp_mime *m, struct smtp_slice mail);
/* ASCII case does not matter. An empty subtype stands for any. */
bool smtp_mime_is(const struct smtp_mime_part *part, struct smtp_slice type, struct smtp_slice subtype);
/* The first such part from index `from` on; -1: none. */
int smtp_mime_find(const struct smtp_mime *m, struct smtp_slice type, struct smtp_slice subtype, int from);
/* message/rfc822, message/global, or the header alone: text/rfc822-headers, message/global-headers. */
bool smtp_mime_is_message(const struct smtp_mime_part *part);
/* Is it in a message that the mail holds? Its own parts are none of the mail's words. */
bool smtp_mime_is_inside(const struct smtp_mime *m, int part);
/* The message, or the header of one, that the mail returns or forwards: the child that is it; -1: none. */
int smtp_mime_message(const struct smtp_mime *m);

/* The line at the front of *in without its end; *in moves behind it. False: no bytes are left. */
bool smtp_mime_line(struct smtp_slice *in, struct smtp_slice *out_line);
/* "Name: value", the name of printable ASCII, and not "http://". */
bool smtp_mime_is_field(struct smtp_slice line);
/*
 * The next field of *in, which moves behind it; lines that are no field are passed over, empty ones too. The
 * value is still folded: smtp_mime_value reads it. False: none is left.
 */
bool smtp_mime_field(struct smtp_slice *in, struct smtp_field *out_field);
/* The value of the first field of that name, still folded; empty when there is none. */
struct smtp_slice smtp_mime_header(struct smtp_slice header, struct smtp_slice name);
/* A parameter of a value like "text/plain; charset=x", without quotes (a quoted backslash stays); empty:
 * none. */
struct smtp_slice smtp_mime_parameter(struct smtp_slice value, struct smtp_slice name);
#endif
