/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model of a disk without mercy but without malice: it loses, reorders and tears what was not synced, by
 * the sector of 512 bytes; it never changes what was synced, and a sector is old or new.
 *
 * The recording is a list of writes, syncs and marks. A cut replays it up to one point: durable writes go
 * into the image, others wait in `pending` until a sync takes them over, and at the end each sector that
 * waits is kept or not. A sector remembers the operation that wrote it durably, so that an older pending
 * write never comes back over a newer one.
 */
#include "disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum op_kind { OP_WRITE, OP_SYNC, OP_MARK };

struct op {
	enum op_kind kind;
	bool is_durable, has_failed;
	uint32_t mark, value;
	uint64_t at;
	size_t len;
	char *bytes;
};

/* Rule zero (style, 4): the functions of libc that are replaced below have no argument to carry it. */
static struct {
	bool is_on;
	ino_t ino;
	dev_t dev;
	char *base;
	size_t base_len;
	struct op *ops;
	uint64_t count, max;
	uint64_t end; /* of the furthest write */
	enum disk_fault fault;
	int skip;
} disk;

static void
must(bool is_good, const char *what)
{
	if (is_good)
		return;
	dprintf(STDERR_FILENO, "disk: %s: %m\n", what);
	abort();
}

uint32_t
disk_random(uint64_t *state, uint32_t below)
{
	/* splitmix64 */
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	assert(below > 0);
	return (uint32_t)(z % below);
}

/* --- recording --- */

static struct op *
add(enum op_kind kind)
{
	if (disk.count == disk.max) {
		disk.max = disk.max == 0 ? 4096 : 2 * disk.max;
		disk.ops = realloc(disk.ops, disk.max * sizeof *disk.ops);
		must(disk.ops != NULL, "realloc");
	}
	disk.ops[disk.count] = (struct op){.kind = kind};
	return &disk.ops[disk.count++];
}

static void
add_write(uint64_t at, const void *bytes, size_t len, bool is_durable, bool has_failed)
{
	struct op *op = add(OP_WRITE);

	op->at = at;
	op->len = len;
	op->is_durable = is_durable;
	op->has_failed = has_failed;
	op->bytes = malloc(len + 1);
	must(op->bytes != NULL, "malloc");
	memcpy(op->bytes, bytes, len);
	if (at + len > disk.end)
		disk.end = at + len;
}

static bool
is_recorded(int fd)
{
	struct stat st;

	return disk.is_on && fstat(fd, &st) == 0 && st.st_ino == disk.ino && st.st_dev == disk.dev;
}

static bool
hits(enum disk_fault fault)
{
	if (disk.fault != fault || disk.skip-- > 0)
		return false;
	disk.fault = DISK_NO_FAULT;
	return true;
}

/* One write of any form; -1 and errno, or the bytes written. */
static ssize_t
write_at(int fd, const void *bytes, size_t len, uint64_t at)
{
	bool is_durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
	bool fails_late = is_durable && hits(DISK_DURABLE_WRITE_FAILS);
	ssize_t n;

	if (!is_durable && hits(DISK_WRITE_FAILS)) {
		errno = EIO;
		return -1;
	}
	if (!is_durable && hits(DISK_WRITE_IS_SHORT))
		len /= 2;
	n = syscall(SYS_pwrite64, fd, bytes, len, at);
	if (n > 0)
		add_write(at, bytes, (size_t)n, is_durable && !fails_late, fails_late);
	if (fails_late) {
		errno = EIO;
		return -1;
	}
	return n;
}

static ssize_t
write_vector(int fd, const struct iovec *v, int count, uint64_t at)
{
	ssize_t sum = 0;

	for (int i = 0; i < count; i++) {
		ssize_t n = write_at(fd, v[i].iov_base, v[i].iov_len, at + (uint64_t)sum);

		if (n < 0)
			return sum > 0 ? sum : -1;
		sum += n;
		if ((size_t)n < v[i].iov_len)
			break;
	}
	return sum;
}

/* Nothing is really synced: the page cache serves this process, and only the model has a disk. */
static int
sync_fd(int fd)
{
	struct op *op;

	if (!is_recorded(fd))
		return 0;
	op = add(OP_SYNC);
	if (!hits(DISK_SYNC_FAILS))
		return 0;
	op->has_failed = true;
	errno = EIO;
	return -1;
}

/* --- libc, replaced --- */

ssize_t
pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return is_recorded(fd) ? write_at(fd, bytes, len, (uint64_t)at)
			       : syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
	return pwrite(fd, bytes, len, at);
}

ssize_t
pwritev(int fd, const struct iovec *v, int count, off_t at)
{
	return is_recorded(fd) ? write_vector(fd, v, count, (uint64_t)at)
			       : syscall(SYS_pwritev, fd, v, count, at, 0);
}

ssize_t
pwritev64(int fd, const struct iovec *v, int count, off64_t at)
{
	return pwritev(fd, v, count, at);
}

/* LMDB also seeks and writes: the offset has to move as it would. */
ssize_t
write(int fd, const void *bytes, size_t len)
{
	off_t at;
	ssize_t n;

	if (!is_recorded(fd))
		return syscall(SYS_write, fd, bytes, len);
	at = lseek(fd, 0, SEEK_CUR);
	n = write_at(fd, bytes, len, (uint64_t)at);
	if (n > 0)
		lseek(fd, at + n, SEEK_SET);
	return n;
}

ssize_t
writev(int fd, const struct iovec *v, int count)
{
	off_t at;
	ssize_t n;

	if (!is_recorded(fd))
		return syscall(SYS_writev, fd, v, count);
	at = lseek(fd, 0, SEEK_CUR);
	n = write_vector(fd, v, count, (uint64_t)at);
	if (n > 0)
		lseek(fd, at + n, SEEK_SET);
	return n;
}

int
fdatasync(int fd)
{
	return sync_fd(fd);
}

int
fsync(int fd)
{
	return sync_fd(fd);
}

/* The store must never write through its map; were that to change, this model would no longer see everything.
 */
int
msync(void *at, size_t len, int flags)
{
	must(!disk.is_on, "msync while recording");
	return (int)syscall(SYS_msync, at, len, flags);
}

/* --- the test's side --- */

void
disk_record(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	must(fd >= 0 && fstat(fd, &st) == 0, path);
	disk.base_len = (size_t)st.st_size;
	disk.base = malloc(disk.base_len + 1);
	must(disk.base != NULL, "malloc");
	must(pread(fd, disk.base, disk.base_len, 0) == (ssize_t)disk.base_len, "pread");
	close(fd);
	disk.ino = st.st_ino;
	disk.dev = st.st_dev;
	disk.end = disk.base_len;
	disk.is_on = true;
}

void
disk_stop(void)
{
	disk.is_on = false;
}

void
disk_arm(enum disk_fault fault, int skip)
{
	disk.fault = fault;
	disk.skip = skip;
}

bool
disk_disarm(void)
{
	bool was_hit = disk.fault == DISK_NO_FAULT;

	disk.fault = DISK_NO_FAULT;
	return was_hit;
}

void
disk_mark(uint32_t kind, uint32_t value)
{
	struct op *op = add(OP_MARK);

	op->mark = kind;
	op->value = value;
}

uint64_t
disk_op_count(void)
{
	return disk.count;
}

uint64_t
disk_next_fault(uint64_t from)
{
	while (from < disk.count && !disk.ops[from].has_failed)
		from++;
	return from;
}

void
disk_marks(uint64_t cut, void (*on_mark)(void *arg, uint32_t kind, uint32_t value), void *arg)
{
	assert(cut <= disk.count);
	for (uint64_t i = 0; i < cut; i++) {
		if (disk.ops[i].kind == OP_MARK)
			on_mark(arg, disk.ops[i].mark, disk.ops[i].value);
	}
}

/* --- images --- */

enum { KEEP_NONE, KEEP_ALL, KEEP_SOME_WRITES, KEEP_SOME_SECTORS, KEEP_COUNT };

struct image {
	char *bytes;
	size_t len;        /* as far as anything was kept */
	uint64_t *durable; /* by sector: 1 + the operation that last wrote it for sure */
	const struct op **pending;
	uint64_t *pending_nr;
	size_t pending_count;
	uint64_t random;
};

static void
apply(struct image *im, const struct op *op, uint64_t nr, size_t from, size_t to)
{
	uint64_t sector = (op->at + from) / DISK_SECTOR;

	if (im->durable[sector] > nr)
		return;
	memcpy(im->bytes + op->at + from, op->bytes + from, to - from);
	if (op->at + to > im->len)
		im->len = op->at + to;
}

/* Each sector of the write (the first and last may be parts of one) with a chance of `percent`. */
static void
apply_sectors(struct image *im, const struct op *op, uint64_t nr, uint32_t percent, bool is_durable)
{
	for (size_t from = 0; from < op->len;) {
		size_t to = from + DISK_SECTOR - (op->at + from) % DISK_SECTOR;

		if (to > op->len)
			to = op->len;
		if (percent == 100 || disk_random(&im->random, 100) < percent) {
			apply(im, op, nr, from, to);
			if (is_durable)
				im->durable[(op->at + from) / DISK_SECTOR] = nr + 1;
		}
		from = to;
	}
}

static void
keep_pending(struct image *im, const struct op *op, uint64_t nr)
{
	im->pending[im->pending_count] = op;
	im->pending_nr[im->pending_count++] = nr;
}

static void
sync_pending(struct image *im)
{
	for (size_t i = 0; i < im->pending_count; i++)
		apply_sectors(im, im->pending[i], im->pending_nr[i], 100, true);
	im->pending_count = 0;
}

/* After a failed sync: there for good, lost for good, or still dirty. */
static void
doom_pending(struct image *im)
{
	size_t left = 0;

	for (size_t i = 0; i < im->pending_count; i++) {
		const struct op *op = im->pending[i];
		uint64_t nr = im->pending_nr[i];

		switch (disk_random(&im->random, 3)) {
		case 0:
			apply_sectors(im, op, nr, 50, true);
			break;
		case 1:
			im->pending[left] = op;
			im->pending_nr[left++] = nr;
			break;
		default:
			break;
		}
	}
	im->pending_count = left;
}

static void
replay(struct image *im, const struct op *op, uint64_t nr)
{
	switch (op->kind) {
	case OP_MARK:
		break;
	case OP_SYNC:
		if (op->has_failed)
			doom_pending(im);
		else
			sync_pending(im);
		break;
	case OP_WRITE:
		if (op->is_durable)
			apply_sectors(im, op, nr, 100, true);
		else if (!op->has_failed || disk_random(&im->random, 2) == 0)
			keep_pending(im, op, nr);
		else if (disk_random(&im->random, 2) == 0)
			apply_sectors(im, op, nr, 100, true);
		break;
	}
}

static void
lose_power(struct image *im)
{
	uint32_t how = disk_random(&im->random, KEEP_COUNT);
	uint32_t percent = 10 + disk_random(&im->random, 81);

	for (size_t i = 0; i < im->pending_count; i++) {
		uint32_t share = 100;

		if (how == KEEP_NONE || (how == KEEP_SOME_WRITES && disk_random(&im->random, 100) >= percent))
			continue;
		if (how == KEEP_SOME_SECTORS)
			share = percent;
		apply_sectors(im, im->pending[i], im->pending_nr[i], share, false);
	}
}

void
disk_cut(uint64_t cut, uint64_t seed, const char *path)
{
	struct image im = {.len = disk.base_len, .random = seed};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert(cut <= disk.count);
	im.bytes = calloc(1, disk.end + 1);
	im.durable = calloc(disk.end / DISK_SECTOR + 2, sizeof *im.durable);
	im.pending = calloc(cut + 1, sizeof *im.pending);
	im.pending_nr = calloc(cut + 1, sizeof *im.pending_nr);
	must(fd >= 0 && im.bytes != NULL && im.durable != NULL && im.pending != NULL && im.pending_nr != NULL,
		path);
	memcpy(im.bytes, disk.base, disk.base_len);
	for (uint64_t i = 0; i < cut; i++)
		replay(&im, &disk.ops[i], i);
	/* The write that was under way is one more that may have arrived in part. */
	if (cut < disk.count && disk.ops[cut].kind == OP_WRITE)
		keep_pending(&im, &disk.ops[cut], cut);
	lose_power(&im);
	must(pwrite(fd, im.bytes, im.len, 0) == (ssize_t)im.len, "write of the image");
	close(fd);
	free(im.pending_nr);
	free(im.pending);
	free(im.durable);
	free(im.bytes);
}
