/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DNS says is our DKIM key. Oracles: an answer with words; the record is never taken for ours unless it
 * holds our key's bytes in this order; our own record always is.
 */
#include "intake/dkim_key.h"
#include "memory_file.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

/* The same key in every run, or the seeds would not fit it. */
static const char key_text[] = "-----BEGIN PRIVATE KEY-----\n"
			       "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
			       "-----END PRIVATE KEY-----\n";

static char key_path[MEMORY_FILE_PATH], record[DKIM_RECORD_MAX];

static void
make_key(void)
{
	char why[300];

	memory_file((const uint8_t *)key_text, sizeof(key_text) - 1, key_path);
	REQUIRE(dkim_public_record(key_path, record, why, sizeof(why)) == 0);
	REQUIRE(dkim_record_compare(record, key_path, why, sizeof(why)) == 0);
}

static bool
holds(const char *text, const char *key)
{
	for (; *key != '\0' && *text != '\0'; text++)
		key += *text == *key;
	return *key == '\0';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[300] = "untouched", *text = malloc(size + 1);
	int result;

	if (record[0] == '\0')
		make_key();
	REQUIRE(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	result = dkim_record_compare(text, key_path, why, sizeof(why));
	REQUIRE(result == 0 || (result == 1 && why[0] != '\0'));
	REQUIRE(strnlen(why, sizeof(why)) < sizeof(why) && strcmp(why, "untouched") != 0);
	if (result == 0)
		REQUIRE(holds(text, strstr(record, "p=") + 2));
	free(text);
	return 0;
}
