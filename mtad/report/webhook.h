/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_WEBHOOK_H
#define MTAD_REPORT_WEBHOOK_H
/*
 * webhook - one POST of a batch of events, by libcurl
 *
 * The receiver has taken the batch when it has answered 2xx and the answer has come whole; what it says
 * otherwise is only for the log. Certificates are verified, redirects are not followed, no proxy is asked.
 * With a secret the request is signed: `Mtad-Signature: t=SECONDS,v1=HEX`, the HMAC-SHA256 of "SECONDS." and
 * the body; the time is that of the try, so that a receiver can refuse what is old.
 *
 * Owner    the outlets thread. Thread: its own, all of it. Fails: as an answer; NULL: no memory.
 * Spec     RFC 9110 10.2.3 (Retry-After), 15; RFC 6585 4 (429); RFC 2104.
 */
#include "conf/conf_consumer.h"
#include "report/outlets.h"

struct event_base;
struct webhook_client;
struct webhook_request;

struct webhook_client *webhook_client_create(struct event_base *base);
void webhook_client_destroy(struct webhook_client **cp); /* after its requests */
/* `body` and `w` are borrowed for the call. on_answer comes from the loop, never from inside, and the request
 * is gone then. */
struct webhook_request *webhook_send(struct webhook_client *c, const struct conf_webhook *w,
	struct queue_blob body, int64_t now_us, outlet_on_answer *on_answer, void *arg);
void webhook_cancel(struct webhook_request **rp);

enum { WEBHOOK_SIGNATURE_MAX = 128 };
/* "t=1700000000,v1=..." */
void webhook_sign(const char *secret, int64_t now_s, struct queue_blob body, char out[WEBHOOK_SIGNATURE_MAX]);
/* What an HTTP status means for a batch. */
enum outlet_result webhook_result(long status);
#endif
