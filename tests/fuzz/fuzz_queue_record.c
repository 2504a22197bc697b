/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the spool from hostile bytes. Byte 0 chooses the decoder and whether the checksum is put right
 * first, which is what a bug or a later version would leave; the rest is the record. A record that decodes
 * must encode to the same bytes again: there is one way to write each, so nothing is hidden in it. A message
 * of an older version is written as one of this, whose further fields are zero.
 */
#include "queue_crc.h"
#include "queue_key.h"
#include "queue_record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t number = 0x0102030405060708;

/* In a block of exactly its size, so that one byte too far is seen. */
static uint8_t *
copy_exact(const uint8_t *data, size_t len)
{
	uint8_t *p = malloc(len == 0 ? 1 : len);

	assert(p != NULL);
	if (len > 0)
		memcpy(p, data, len);
	return p;
}

static void
reseal(uint8_t *record, size_t len, struct queue_blob key)
{
	uint32_t crc;

	if (len < QUEUE_RECORD_HEADER)
		return;
	crc = queue_crc(0, key.ptr, key.len);
	crc = queue_crc(crc, record, 4);
	crc = queue_crc(crc, record + QUEUE_RECORD_HEADER, len - QUEUE_RECORD_HEADER);
	for (int i = 0; i < 4; i++)
		record[4 + i] = (uint8_t)(crc >> (8 * i));
}

/* Encodes what was decoded; returns the bytes, or NULL when decoding refused them. */
static uint8_t *
decode_and_encode(int which, struct queue_blob bytes, struct queue_blob key, size_t *out_len)
{
	struct queue_message m;
	struct queue_rcpt r;
	struct queue_state st;
	struct queue_blob payload;
	uint32_t body_crc;
	uint8_t *out = malloc(QUEUE_RECORD_HEADER + QUEUE_RECORD_BLOB_MAX);
	int size = -1;

	assert(out != NULL);
	if (which == 0 && queue_record_decode_message(bytes, key, &m, &body_crc) == 0) {
		size = queue_record_message_size(&m);
		queue_record_encode_message(&m, body_crc, key, out);
	} else if (which == 1 && queue_record_decode_rcpt(bytes, key, &r) == 0) {
		size = queue_record_rcpt_size(&r);
		queue_record_encode_rcpt(&r, key, out);
	} else if (which == 2 && queue_record_decode_state(bytes, key, &st) == 0) {
		size = (int)queue_record_state_size();
		queue_record_encode_state(&st, key, out);
	} else if (which == 3 && queue_record_decode_blob(QUEUE_RECORD_EVENT, bytes, key, &payload) == 0) {
		size = (int)(QUEUE_RECORD_HEADER + payload.len);
		queue_record_encode_blob(QUEUE_RECORD_EVENT, payload, key, out);
	}
	if (size < 0) {
		free(out);
		return NULL;
	}
	*out_len = (size_t)size;
	return out;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct queue_blob key = queue_key_number(&number);
	uint8_t *record, *again;
	size_t len = 0;

	if (size < 1)
		return 0;
	record = copy_exact(data + 1, size - 1);
	if (data[0] & 4)
		reseal(record, size - 1, key);
	again = decode_and_encode(
		data[0] & 3, (struct queue_blob){.ptr = record, .len = size - 1}, key, &len);
	/* An old message is written as version 4: 4 bytes of the nonce and 4 of two empty texts more; 5 of
	 * hold_s and priority and 2 of an empty from_domain, where it was no third; and 16 of two times,
	 * where it was the first. */
	if (again != NULL && (data[0] & 3) == 0 && record[1] < 4)
		assert(len == size - 1 + (record[1] == 1 ? 31 : record[1] == 2 ? 15 : 8));
	else if (again != NULL && (data[0] & 3) == 1 && record[1] < 2)
		assert(len == size - 1 + 8); /* first_us */
	else if (again != NULL) {
		assert(len == size - 1);
		assert(memcmp(again, record, len) == 0);
	}
	free(again);
	free(record);
	return 0;
}
