/* SPDX-License-Identifier: Apache-2.0 */
/* webhook: what is signed, and what an answer means; the rest is in e2e/test_webhook.py. */
#include "report/webhook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BLOB(text) ((struct queue_blob){(text), sizeof(text) - 1})

/* Made by: printf %s '1700000000.[{"id":"a"}]' | openssl dgst -sha256 -hmac k3y */
static const struct {
	const char *secret;
	int64_t now_s;
	struct queue_blob body;
	const char *want;
} signatures[] = {
	{"k3y", 1700000000, BLOB("[{\"id\":\"a\"}]"),
		"t=1700000000,v1=48a507f8651bc27dca0a60a16e47a0e57193eaf293b09110f36b9119eaa47e3a"},
	{"k3y", 1700000001, BLOB("[{\"id\":\"a\"}]"),
		"t=1700000001,v1=4a910a3372d0836a6568321a6ee4b44bd88fb6cc1ccb0cbef8c739075c6acd57"},
	{"other", 1700000000, BLOB("[{\"id\":\"a\"}]"),
		"t=1700000000,v1=351d3e80a7751ea2aa9d3721fc8c7fbd2c75164e9088303bc93dcc064297de83"},
};

static void
test_signature(void **state)
{
	char out[WEBHOOK_SIGNATURE_MAX];

	for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
		webhook_sign(signatures[i].secret, signatures[i].now_s, signatures[i].body, out);
		assert_string_equal(out, signatures[i].want);
	}
}

static const struct {
	long status;
	enum outlet_result want;
} results[] = {
	{0, OUTLET_LATER},
	{200, OUTLET_TAKEN},
	{202, OUTLET_TAKEN},
	{204, OUTLET_TAKEN},
	{299, OUTLET_TAKEN},
	{301, OUTLET_REFUSED},
	{304, OUTLET_REFUSED},
	{400, OUTLET_REFUSED},
	{401, OUTLET_REFUSED},
	{404, OUTLET_REFUSED},
	{408, OUTLET_LATER},
	{410, OUTLET_REFUSED},
	{413, OUTLET_REFUSED},
	{429, OUTLET_LATER},
	{500, OUTLET_LATER},
	{503, OUTLET_LATER},
	{599, OUTLET_LATER},
};

static void
test_results(void **state)
{
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (webhook_result(results[i].status) != results[i].want)
			fail_msg("%ld", results[i].status);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signature),
		cmocka_unit_test(test_results),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
