/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a private key file. Oracles: refused with words, or a key whose record can be had and agrees
 * with it; OpenSSL's queue of errors is empty afterwards.
 */
#include "intake/dkim_key.h"
#include "memory_file.h"

#include <openssl/err.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[MEMORY_FILE_PATH], why[300] = "", record[DKIM_RECORD_MAX];
	int fd = memory_file(data, size, path);
	EVP_PKEY *key = dkim_key_read(path, why, sizeof(why));

	REQUIRE(ERR_peek_error() == 0);
	if (key == NULL) {
		REQUIRE(why[0] != '\0');
	} else if (dkim_key_record(key, record)) {
		REQUIRE(dkim_record_compare(record, path, why, sizeof(why)) == 0);
	}
	EVP_PKEY_free(key);
	REQUIRE(ERR_peek_error() == 0);
	close(fd);
	return 0;
}
