/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_WISH_H
#define MTAD_INTAKE_WISH_H
/*
 * wish - what a message asks for itself: when it goes, how long that may take, how urgent it is
 *
 * It may ask in MAIL (HOLDFOR, HOLDUNTIL, BY, MT-PRIORITY) and, of a trusted client, in header fields. A time
 * that cannot be understood or kept is refused: mail that went at once because of a typing error cannot be
 * taken back. A time that is past means at once; it did occur (RFC 4865 4.2, 6).
 *
 * BY with R makes the message end, with 5.4.7, unless it could be handed on in that time; with N it makes a
 * delay notice due, with 4.4.7 (RFC 2852 4.1.3). It never makes the message last longer than its domains
 * have it. A site with DELIVERBY is asked for the time that is left (4.1.4), and one that wants more ends a
 * message with R. A site without it, and of the large ones none has it, gets a message with N and is asked
 * for delay reports, and the sender is told that it went (4.1.4.2).
 *
 * One clause is not kept. By 4.1.4.1 a message with R "MUST NOT be relayed" to a site without DELIVERBY: it
 * would come back from nearly everywhere at once, and nobody could use R. So we send it, and R means handed
 * over in time; what the site does with it after its 250 is not ours to know.
 *
 * Of MT-PRIORITY the three levels of the profile MIXER count here; the number itself is passed on to a site
 * that offers it, and is the notification's too (RFC 6710 4.2, 4.6). It is not tunneled to others in a field
 * of the header (RFC 6758 3.3): how urgent it was to its sender is no receiver's business.
 *
 * Owner    nobody: pure functions. Thread: any.
 * Fails    false, and *out_why (static) says to the client what it could have written.
 * Spec     RFC 4865 4.2, 5.2.2; RFC 2852 4; RFC 6710 4, 5, appendix B; RFC 6758 3.1, 4.
 */
#include "queue_types.h"
#include "smtp_server.h"

enum { WISH_HOLD_MAX_S = 30 * 86400 }; /* the furthest release */

/* The times MAIL asks for at now_us: release_us, expire_us and notice_us of *m. */
bool wish_of_mail(
	const struct smtp_server_mail *mail, int64_t now_us, struct queue_message *m, const char **out_why);
/* A header field's time, "2026-12-24T08:00:00+01:00", "Thu, 24 Dec 2026 08:00:00 +0100" or "after 2h":
 * replaces m->release_us. */
bool wish_release(const char *value, int64_t now_us, struct queue_message *m, const char **out_why);
/* "urgent", "normal" or "bulk", in any case. */
bool wish_class(struct smtp_slice value, enum queue_class *out, const char **out_why);
enum queue_class wish_class_of_priority(int priority);
/* "-4": sets priority and class. */
bool wish_priority(struct smtp_slice value, struct queue_message *m, const char **out_why);
#endif
