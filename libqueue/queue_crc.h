/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_CRC_H
#define LIBQUEUE_QUEUE_CRC_H
/*
 * queue_crc - CRC32C, the checksum of every record and body in the spool
 *
 * Start with 0; the sum of two pieces is queue_crc(queue_crc(0, a), b).
 *
 * Thread   any. Fails: never.
 * Spec     RFC 3720 12.1 (the polynomial) and appendix B.4 (the test values).
 */
#include <stddef.h>
#include <stdint.h>

uint32_t queue_crc(uint32_t crc, const void *ptr, size_t len);
/* The same without special instructions; here for the test. */
uint32_t queue_crc_portable(uint32_t crc, const void *ptr, size_t len);
#endif
