/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on the thread's libevent base: curl names sockets and one timer, events tell it
 * of both. Invariant: a request is in the multi handle from webhook_send until it has answered or is
 * cancelled, and nothing is called back from inside webhook_send.
 */
#include "report/webhook.h"

#include <assert.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	CONNECT_TIMEOUT_MS = 10000,
	ANSWER_BYTES_MAX = 1 << 20,
	SNIPPET_BYTES = 120,
};

struct webhook_client {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
};

struct webhook_request {
	struct webhook_client *client;
	CURL *easy;
	struct curl_slist *headers;
	outlet_on_answer *on_answer;
	void *arg;
	size_t answer_len;
	char snippet[SNIPPET_BYTES + 1]; /* of the answer's body */
	char error[CURL_ERROR_SIZE];
};

void
webhook_sign(const char *secret, int64_t now_s, struct queue_blob body, char out[WEBHOOK_SIGNATURE_MAX])
{
	char digest[] = "SHA256", stamp[24];
	const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()};
	int n = snprintf(stamp, sizeof(stamp), "%lld.", (long long)now_s), used;
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	unsigned char bytes[EVP_MAX_MD_SIZE];
	size_t len = 0;

	out[0] = '\0';
	if (ctx != NULL &&
		EVP_MAC_init(ctx, (const unsigned char *)secret, strnlen(secret, 65536), params) == 1 &&
		EVP_MAC_update(ctx, (const unsigned char *)stamp, (size_t)n) == 1 &&
		EVP_MAC_update(ctx, body.ptr, body.len) == 1 &&
		EVP_MAC_final(ctx, bytes, &len, sizeof(bytes)) == 1) {
		used = snprintf(out, WEBHOOK_SIGNATURE_MAX, "t=%lld,v1=", (long long)now_s);
		for (size_t i = 0; i < len; i++)
			used += snprintf(out + used, WEBHOOK_SIGNATURE_MAX - (size_t)used, "%02x", bytes[i]);
	}
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

enum outlet_result
webhook_result(long status)
{
	if (status >= 200 && status < 300)
		return OUTLET_TAKEN;
	return status == 408 || status == 429 || status >= 500 || status < 300 ? OUTLET_LATER
									       : OUTLET_REFUSED;
}

/* --- requests --- */

static void
request_free(struct webhook_request *r)
{
	if (r->easy != NULL) {
		(void)curl_multi_remove_handle(r->client->multi, r->easy);
		curl_easy_cleanup(r->easy);
	}
	curl_slist_free_all(r->headers);
	free(r);
}

static size_t
on_bytes(char *bytes, size_t one, size_t count, void *arg)
{
	struct webhook_request *r = arg;
	size_t have = r->answer_len < SNIPPET_BYTES ? r->answer_len : SNIPPET_BYTES,
	       take = SNIPPET_BYTES - have;

	if (take > count)
		take = count;
	memcpy(r->snippet + have, bytes, take);
	r->answer_len += count;
	return r->answer_len > ANSWER_BYTES_MAX ? 0 : count;
}

/* One line, whatever the receiver wrote. */
static void
clean(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > 126)
			*text = ' ';
}

static void
answer(struct webhook_request *r, CURLcode code)
{
	struct outlet_answer a = {.result = OUTLET_LATER};
	curl_off_t retry_s = 0;
	long status = 0;

	(void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &retry_s);
	a.retry_us = (int64_t)(retry_s < 86400 ? retry_s : 86400) * 1000000;
	clean(r->snippet);
	if (code == CURLE_OK) {
		a.result = webhook_result(status);
		snprintf(a.why, sizeof(a.why), "%ld%s%s", status, r->snippet[0] != '\0' ? ": " : "",
			r->snippet);
	} else if (status != 0)
		snprintf(a.why, sizeof(a.why), "%ld, but %s", status,
			r->error[0] != '\0' ? r->error : curl_easy_strerror(code));
	else
		snprintf(a.why, sizeof(a.why), "%s",
			r->error[0] != '\0' ? r->error : curl_easy_strerror(code));
	clean(a.why);

	outlet_on_answer *on_answer = r->on_answer;
	void *arg = r->arg;

	request_free(r);
	on_answer(arg, &a);
}

static bool
add_header(struct webhook_request *r, const char *name, const char *value)
{
	char line[300];
	struct curl_slist *more;

	snprintf(line, sizeof(line), "%s: %s", name, value);
	if ((more = curl_slist_append(r->headers, line)) == NULL)
		return false;
	r->headers = more;
	return true;
}

static bool
add_headers(struct webhook_request *r, const struct conf_webhook *w, struct queue_blob body, int64_t now_us)
{
	char signature[WEBHOOK_SIGNATURE_MAX];

	if (!add_header(r, "Content-Type", "application/json") || !add_header(r, "Expect", "") ||
		!add_header(r, "Mtad-Webhook", w->name))
		return false;
	if (w->secret[0] == '\0')
		return true;
	webhook_sign(w->secret, now_us / 1000000, body, signature);
	return signature[0] != '\0' && add_header(r, "Mtad-Signature", signature);
}

#define SET(option, value) (curl_easy_setopt(r->easy, option, value) == CURLE_OK)

static bool
set_options(struct webhook_request *r, const struct conf_webhook *w, struct queue_blob body)
{
	return SET(CURLOPT_URL, w->url) && SET(CURLOPT_PROTOCOLS_STR, "http,https") &&
	       SET(CURLOPT_PROXY, "") && SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) && SET(CURLOPT_SSL_VERIFYPEER, 1L) &&
	       SET(CURLOPT_SSL_VERIFYHOST, 2L) && SET(CURLOPT_CAINFO, w->ca_file) &&
	       SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) &&
	       SET(CURLOPT_TIMEOUT_MS, (long)(w->outlet.timeout / 1000)) &&
	       SET(CURLOPT_USERAGENT, "mtad/" MTAD_VERSION) && SET(CURLOPT_HTTPHEADER, r->headers) &&
	       SET(CURLOPT_POST, 1L) && SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len) &&
	       SET(CURLOPT_COPYPOSTFIELDS, body.ptr) && SET(CURLOPT_ERRORBUFFER, r->error) &&
	       SET(CURLOPT_WRITEFUNCTION, on_bytes) && SET(CURLOPT_WRITEDATA, r) && SET(CURLOPT_PRIVATE, r);
}

struct webhook_request *
webhook_send(struct webhook_client *c, const struct conf_webhook *w, struct queue_blob body, int64_t now_us,
	outlet_on_answer *on_answer, void *arg)
{
	struct webhook_request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->client = c;
	r->on_answer = on_answer;
	r->arg = arg;
	if ((r->easy = curl_easy_init()) == NULL || !add_headers(r, w, body, now_us) ||
		!set_options(r, w, body) || curl_multi_add_handle(c->multi, r->easy) != CURLM_OK) {
		request_free(r);
		return NULL;
	}
	return r;
}

void
webhook_cancel(struct webhook_request **rp)
{
	struct webhook_request *r = *rp;

	*rp = NULL;
	if (r != NULL)
		request_free(r);
}

/* --- the client --- */

static void
look(struct webhook_client *c, curl_socket_t fd, int flags)
{
	CURLMsg *m;
	int left;

	(void)curl_multi_socket_action(c->multi, fd, flags, &left);
	while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
		CURLcode code = m->data.result;
		char *private = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
		answer((struct webhook_request *)(void *)private, code);
	}
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	look(arg, fd,
		((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
			((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	look(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl: this socket is to be watched so. */
static int
watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct webhook_client *c = arg;
	struct event *e = known;
	short flags = (short)(EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
			      ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));

	if (e != NULL)
		event_free(e);
	(void)curl_multi_assign(c->multi, fd, NULL);
	if (what == CURL_POLL_REMOVE)
		return 0;
	/* Without memory the request ends by its timeout. */
	if ((e = event_new(c->base, fd, flags, on_ready, c)) == NULL)
		return 0;
	event_add(e, NULL);
	(void)curl_multi_assign(c->multi, fd, e);
	return 0;
}

static int
set_timer(CURLM *multi, long ms, void *arg)
{
	struct webhook_client *c = arg;
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	if (ms < 0)
		event_del(c->timer);
	else
		event_add(c->timer, &tv);
	return 0;
}

struct webhook_client *
webhook_client_create(struct event_base *base)
{
	struct webhook_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->base = base;
	if ((c->multi = curl_multi_init()) == NULL ||
		(c->timer = event_new(base, -1, 0, on_timer, c)) == NULL ||
		curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, watch) != CURLM_OK ||
		curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) != CURLM_OK ||
		curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer) != CURLM_OK ||
		curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) != CURLM_OK)
		webhook_client_destroy(&c);
	return c;
}

void
webhook_client_destroy(struct webhook_client **cp)
{
	struct webhook_client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	/* Closing its idle connections, curl takes their events away; so the timer goes after it. */
	if (c->multi != NULL)
		(void)curl_multi_cleanup(c->multi);
	if (c->timer != NULL)
		event_free(c->timer);
	free(c);
}
