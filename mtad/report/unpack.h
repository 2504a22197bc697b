/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_UNPACK_H
#define MTAD_REPORT_UNPACK_H
/*
 * unpack - the bytes of a file, whether it is packed by gzip or not, from any offset
 *
 * What is packed can only be unpacked from its beginning, or from a place whose state is known: the 32 KB
 * before it, and a bit of the file. Such places are told while a file is read, about one in UNPACK_SPAN
 * bytes, and make later readers fast that are given them.
 *
 * Owner    the caller. Memory: about 200 KB, whatever the size of the file.
 * Thread   the caller's. Fails: -1 or false, with words in unpack_trouble().
 * Spec     RFC 1951, RFC 1952 (several members follow each other; what comes behind the last is not read).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { UNPACK_SPAN = 2 << 20, UNPACK_WINDOW = 32768 };

struct unpack;

struct unpack_place {
	uint64_t offset;    /* of the unpacked bytes */
	uint64_t packed_at; /* offset in the file of the first byte that is needed whole */
	uint32_t bits;      /* of the byte before it that are needed, too: 0 to 7 */
	uint32_t window_len;
	const unsigned char *window; /* the bytes before `offset`, UNPACK_WINDOW at most */
};
typedef void unpack_on_place(void *arg, const struct unpack_place *place);

/* Takes the descriptor, also when it fails. NULL: errno. */
struct unpack *unpack_open(int take_fd);
void unpack_close(struct unpack **up);
bool unpack_is_packed(const struct unpack *u);
/* Bytes read; 0: there are no more. */
ssize_t unpack_read(struct unpack *u, char *buf, size_t max);
/* The next byte to be read. Behind the end there are none, which is no failure. */
bool unpack_seek(struct unpack *u, uint64_t offset);
const char *unpack_trouble(const struct unpack *u);
/* From now on; on_place is called from unpack_read, its place is valid during the call. NULL: no more. */
void unpack_watch(struct unpack *u, unpack_on_place *on_place, void *arg);
/* In order of their offsets; borrowed until unpack_close. */
void unpack_use(struct unpack *u, const struct unpack_place *places, size_t count);
#endif
