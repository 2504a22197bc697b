/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlib's own gzip reader goes back to the beginning for every step back, and through all in between for every
 * step forward. This one starts at places: at the end of a deflate block nothing is needed but the window.
 *
 * Invariants: `at` is the offset of the next unpacked byte; `in_at` that of the file byte behind the input;
 * after a failure nothing is read until a seek.
 */
#include "report/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
	IN_BYTES = 65536,
	SKIP_BYTES = 65536,
	TRAILER_BYTES = 8,
	GZIP_WINDOW = 15 + 16, /* zlib's words for "with gzip's header" */
	RAW_WINDOW = -15,      /* and "without any" */
	BLOCK_END = 128,       /* bits of z_stream.data_type, see inflate() in zlib.h */
	LAST_BLOCK = 64,
	BITS = 7,
};

struct unpack {
	int fd;
	bool is_packed;
	bool is_between; /* members */
	bool is_raw;     /* this member: begun at a place, its trailer is not looked at by zlib */
	bool is_over, has_failed;
	size_t trailer; /* bytes of it to be passed over */
	uint64_t at, in_at, place_at;
	z_stream z;
	const char *trouble;
	unpack_on_place *on_place;
	void *arg;
	const struct unpack_place *places;
	size_t place_count;
	unsigned char in[IN_BYTES];
	unsigned char window[UNPACK_WINDOW];
	char skipped[SKIP_BYTES];
};

static bool
fail(struct unpack *u, const char *why)
{
	u->has_failed = true;
	u->trouble = why;
	return false;
}

/* More input; none: it has ended. */
static bool
fill(struct unpack *u)
{
	ssize_t n;

	while ((n = read(u->fd, u->in, sizeof(u->in))) < 0 && errno == EINTR)
		;
	if (n < 0)
		return fail(u, strerror(errno));
	u->z.next_in = u->in;
	u->z.avail_in = (unsigned)n;
	u->in_at += (uint64_t)n;
	return true;
}

struct unpack *
unpack_open(int take_fd)
{
	struct unpack *u = calloc(1, sizeof(*u));
	int err = ENOMEM;

	if (u == NULL || inflateInit2(&u->z, GZIP_WINDOW) != Z_OK) {
		close(take_fd);
		free(u);
		errno = ENOMEM;
		return NULL;
	}
	u->fd = take_fd;
	u->is_between = true;
	if (!fill(u)) {
		err = errno;
		unpack_close(&u);
		errno = err;
		return NULL;
	}
	u->is_packed = u->z.avail_in > 1 && u->in[0] == 0x1f && u->in[1] == 0x8b;
	return u;
}

void
unpack_close(struct unpack **up)
{
	struct unpack *u = *up;

	*up = NULL;
	if (u == NULL)
		return;
	(void)inflateEnd(&u->z);
	close(u->fd);
	free(u);
}

bool
unpack_is_packed(const struct unpack *u)
{
	return u->is_packed;
}

const char *
unpack_trouble(const struct unpack *u)
{
	return u->has_failed ? u->trouble : "";
}

void
unpack_watch(struct unpack *u, unpack_on_place *on_place, void *arg)
{
	u->on_place = on_place;
	u->arg = arg;
	u->place_at = u->at;
}

void
unpack_use(struct unpack *u, const struct unpack_place *places, size_t count)
{
	u->places = places;
	u->place_count = count;
}

/* --- reading --- */

static ssize_t
read_plain(struct unpack *u, char *buf, size_t max)
{
	size_t n = u->z.avail_in < max ? u->z.avail_in : max;

	if (n == 0 && !u->is_over) {
		if (!fill(u))
			return -1;
		u->is_over = u->z.avail_in == 0;
		n = u->z.avail_in < max ? u->z.avail_in : max;
	}
	memcpy(buf, u->z.next_in, n);
	u->z.next_in += n;
	u->z.avail_in -= (unsigned)n;
	u->at += n;
	return (ssize_t)n;
}

/* The rest of a member, and the beginning of the next one. False: there is none. */
static bool
enter_member(struct unpack *u)
{
	size_t n = u->trailer < u->z.avail_in ? u->trailer : u->z.avail_in;

	u->trailer -= n;
	u->z.next_in += n;
	u->z.avail_in -= (unsigned)n;
	if (u->trailer > 0 || u->z.avail_in == 0)
		return true;
	if (u->z.next_in[0] != 0x1f) {
		u->is_over = true;
		return false;
	}
	if (inflateReset2(&u->z, GZIP_WINDOW) != Z_OK)
		return fail(u, "out of memory");
	u->is_between = u->is_raw = false;
	return true;
}

static void
tell_place(struct unpack *u)
{
	unsigned len = 0;
	struct unpack_place place = {
		u->at, u->in_at - u->z.avail_in, (uint32_t)u->z.data_type & BITS, 0, u->window};

	if (inflateGetDictionary(&u->z, u->window, &len) != Z_OK)
		return;
	place.window_len = len;
	u->place_at = u->at;
	u->on_place(u->arg, &place);
}

/* One call of inflate(), which stops where a place can be. */
static bool
step(struct unpack *u)
{
	unsigned before = u->z.avail_out;
	int code = inflate(&u->z, u->on_place != NULL ? Z_BLOCK : Z_NO_FLUSH);

	u->at += before - u->z.avail_out;
	if (code == Z_STREAM_END) {
		u->is_between = true;
		u->trailer = u->is_raw ? TRAILER_BYTES : 0;
		return true;
	}
	if (code != Z_OK && code != Z_BUF_ERROR)
		return fail(u, u->z.msg != NULL ? u->z.msg : zError(code));
	if (u->on_place != NULL && (u->z.data_type & (BLOCK_END | LAST_BLOCK)) == BLOCK_END &&
		u->at - u->place_at >= UNPACK_SPAN)
		tell_place(u);
	return true;
}

static ssize_t
read_packed(struct unpack *u, char *buf, size_t max)
{
	u->z.next_out = (unsigned char *)buf;
	u->z.avail_out = (unsigned)max;
	while (u->z.avail_out > 0 && !u->is_over && !u->has_failed) {
		if (u->z.avail_in == 0) {
			if (!fill(u))
				break;
			if (u->z.avail_in == 0 && (!u->is_between || u->trailer > 0))
				(void)fail(u, "unexpected end of file");
			u->is_over = u->z.avail_in == 0;
			continue;
		}
		if (u->is_between ? !enter_member(u) : !step(u))
			break;
	}
	/* What came before a failure is good. */
	return u->z.avail_out == max && u->has_failed ? -1 : (ssize_t)(max - u->z.avail_out);
}

ssize_t
unpack_read(struct unpack *u, char *buf, size_t max)
{
	if (u->has_failed)
		return -1;
	max = max < 1u << 30 ? max : 1u << 30;
	return u->is_packed ? read_packed(u, buf, max) : read_plain(u, buf, max);
}

/* --- seeking --- */

static bool
go_to(struct unpack *u, uint64_t in_at, uint64_t at)
{
	if (lseek(u->fd, (off_t)in_at, SEEK_SET) < 0)
		return fail(u, strerror(errno));
	u->z.avail_in = 0;
	u->in_at = in_at;
	u->at = u->place_at = at;
	u->is_over = u->has_failed = false;
	u->is_between = true;
	u->trailer = 0;
	return true;
}

static bool
begin_at_place(struct unpack *u, const struct unpack_place *p)
{
	if (p->bits > BITS || p->window_len > UNPACK_WINDOW || p->packed_at == 0 ||
		!go_to(u, p->packed_at - (p->bits > 0), p->offset) ||
		inflateReset2(&u->z, RAW_WINDOW) != Z_OK)
		return fail(u, "no such place");
	if (p->bits > 0) {
		if (!fill(u) || u->z.avail_in == 0 ||
			inflatePrime(&u->z, (int)p->bits, u->z.next_in[0] >> (8 - p->bits)) != Z_OK)
			return fail(u, "no such place");
		u->z.next_in++;
		u->z.avail_in--;
	}
	if (p->window_len > 0 && inflateSetDictionary(&u->z, p->window, p->window_len) != Z_OK)
		return fail(u, "no such place");
	u->is_between = false;
	u->is_raw = true;
	return true;
}

/* The last one that is not behind the offset. NULL: none. */
static const struct unpack_place *
place_before(const struct unpack *u, uint64_t offset)
{
	size_t low = 0, high = u->place_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (u->places[middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? &u->places[low - 1] : NULL;
}

static bool
skip_to(struct unpack *u, uint64_t offset)
{
	while (u->at < offset) {
		size_t most = offset - u->at < SKIP_BYTES ? (size_t)(offset - u->at) : SKIP_BYTES;
		ssize_t n = unpack_read(u, u->skipped, most);

		if (n <= 0)
			return n == 0;
	}
	return true;
}

bool
unpack_seek(struct unpack *u, uint64_t offset)
{
	const struct unpack_place *p = u->is_packed ? place_before(u, offset) : NULL;
	bool is_ahead = offset >= u->at && !u->has_failed;

	if (!u->is_packed && lseek(u->fd, 0, SEEK_CUR) >= 0) /* it is no pipe */
		return is_ahead && offset == u->at ? true : go_to(u, offset, offset);
	if (p != NULL && (!is_ahead || p->offset > u->at)) {
		if (!begin_at_place(u, p))
			return false;
	} else if (!is_ahead && !go_to(u, 0, 0))
		return false;
	return skip_to(u, offset);
}
