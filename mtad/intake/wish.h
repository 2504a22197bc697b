/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_WISH_H
#define MTAD_INTAKE_WISH_H
/*
 * wish - what a message asks for itself: when it goes, how long that may take, how urgent it is
 *
 * It may ask in MAIL (HOLDFOR, HOLDUNTIL, BY, MT-PRIORITY) and, of a trusted client, in header fields. A time
 * that cannot be understood or kept is refused: mail that went at once because of a typing error cannot be
 * taken back. A time that is past means at once.
 *
 * BY with R makes the message end, with 5.4.7, unless it could be handed on in that time; with N it makes a
 * delay notice due. Neither is passed on: what a site does with the message after its 250 is not ours to
 * know, and a site without DELIVERBY, as nearly all are, gets it all the same.
 *
 * Owner    nobody: pure functions. Thread: any.
 * Fails    false, and *out_why (static) says to the client what it could have written.
 * Spec     RFC 4865, RFC 2852, RFC 6710 (three levels, as its profile MIXER has them).
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
/* The last word, when m->arrived_us and all wishes are known: the limit of the message never is longer than
 * age_us, the age limit of its domains, which counts from its release. */
void wish_settle(struct queue_message *m, int64_t age_us);

/* "urgent", "normal" or "bulk", in any case. */
bool wish_class(struct smtp_slice value, enum queue_class *out, const char **out_why);
enum queue_class wish_class_of_priority(int priority);
/* What MAIL makes of it: MT-PRIORITY of a trusted client, else what its user is given. */
enum queue_class wish_class_of_mail(
	const struct smtp_server_mail *mail, bool is_trusted, enum queue_class user_class);
#endif
