/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How full is full. New mail is refused while there is still room to record how the old mail ended, because a
 * result that cannot be written is mail sent twice. Three things keep that room:
 *
 * - guards on the disk's free bytes and inodes, on the bytes of our own pages, and on the map, looked at when
 * a transaction begins; they lift by themselves;
 * - blocks that the data file owns beyond its end (fallocate), so that others who fill the disk cannot take
 * them;
 * - a part of the map that only settles may use.
 */
#include "queue_store_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

enum {
	RESERVE_STEP_BYTES = 16 << 20,
	MAP_SETTLE_BYTES_MAX = 1 << 30,
	DISK_FULL_BYTES = 1 << 20, /* with less than this free, an i/o error is taken for a full disk */
};

/* linux/magic.h has some of these under names that vary; the numbers are ABI. */
static const struct {
	uint32_t type;
	const char *name;
} network_fs[] = {
	{0x00006969, "NFS"},
	{0x0000517b, "SMB"},
	{0xff534d42, "CIFS"},
	{0xfe534d42, "SMB2"},
	{0x65735546, "FUSE"}, /* sshfs, s3fs, GlusterFS, shared folders: from outside one cannot tell */
	{0x01021997, "9P"},
	{0x5346414f, "AFS"},
	{0x6b414653, "kAFS"},
	{0x73757245, "Coda"},
	{0x00c36400, "Ceph"},
	{0x0000564c, "NCP"},
	{0x01161970, "GFS2"},
	{0x7461636f, "OCFS2"},
	{0x0bd00bd0, "Lustre"},
	{0x47504653, "GPFS"},
	{0x19830326, "BeeGFS"},
	{0x786f4256, "VirtualBox shared folder"},
	{0xbacbacbc, "VMware shared folder"},
};

static const char *
network_name(uint32_t fs_type)
{
	for (size_t i = 0; i < sizeof network_fs / sizeof network_fs[0]; i++) {
		if (network_fs[i].type == fs_type)
			return network_fs[i].name;
	}
	return NULL;
}

bool
queue_space_is_network(uint32_t fs_type)
{
	return network_name(fs_type) != NULL;
}

int
queue_space_check_fs(const char *dir, struct queue_words *words)
{
	const char *name;
	struct statfs st;

	assert(dir != NULL);
	if (statfs(dir, &st) < 0) {
		snprintf(words->text, sizeof words->text, "statfs: %m");
		return QUEUE_EIO;
	}
	if ((name = network_name((uint32_t)st.f_type)) == NULL)
		return 0;
	snprintf(words->text, sizeof words->text, "the directory is on %s: locks and syncs do not hold there",
		name);
	return QUEUE_EFS;
}

static uint64_t
map_settle_bytes(const struct queue_store *s)
{
	uint64_t share = s->conf.map_bytes / 8;

	return share < MAP_SETTLE_BYTES_MAX ? share : MAP_SETTLE_BYTES_MAX;
}

static const char no_room_to_grow[] = "the disk has no room for the spool to grow";

void
queue_store_set_limits(struct queue_store *s, const struct queue_store_limits *limits)
{
	atomic_store_explicit(&s->limits.spool_bytes_max, limits->spool_bytes_max, memory_order_relaxed);
	atomic_store_explicit(
		&s->limits.disk_free_min_bytes, limits->disk_free_min_bytes, memory_order_relaxed);
	atomic_store_explicit(
		&s->limits.disk_free_min_inodes, limits->disk_free_min_inodes, memory_order_relaxed);
}

/* The limit that `need` more bytes would break, or NULL. The words are an operator's. */
static const char *
broken_limit(const struct queue_store *s, const struct queue_space *sp, uint64_t need)
{
	uint64_t spool_bytes_max = atomic_load_explicit(&s->limits.spool_bytes_max, memory_order_relaxed);

	if (sp->disk_free_bytes < atomic_load_explicit(&s->limits.disk_free_min_bytes, memory_order_relaxed))
		return "too little free space on the disk";
	if (sp->disk_free_inodes <
		atomic_load_explicit(&s->limits.disk_free_min_inodes, memory_order_relaxed))
		return "too few free inodes on the disk";
	if (spool_bytes_max > 0 && sp->used_bytes + need > spool_bytes_max)
		return "the spool has reached its size limit";
	if (sp->used_bytes + need > s->conf.map_bytes - map_settle_bytes(s))
		return "the spool's map is full";
	/* Lifts when there is room for the next step, so that a host that asks before it takes mail sees it
	 * lift. */
	if (atomic_load_explicit(&s->cannot_grow, memory_order_relaxed) &&
		sp->disk_free_bytes < QUEUE_STORE_RESERVE_BYTES + RESERVE_STEP_BYTES)
		return no_room_to_grow;
	return NULL;
}

int
queue_space_measure(struct queue_store *s, struct queue_lmdb_tx *tx, struct queue_space *out)
{
	int fd = queue_lmdb_fd(s->lmdb);
	struct queue_space sp = {0};
	struct statvfs vfs;
	struct stat st;
	int err;

	if (fstatvfs(fd, &vfs) < 0 || fstat(fd, &st) < 0)
		return QUEUE_EIO;
	for (int t = 0; t < QUEUE_TABLE_COUNT; t++) {
		uint64_t records, bytes;

		if ((err = queue_lmdb_stat(tx, (enum queue_table)t, &records, &bytes)) < 0)
			return err;
		sp.used_bytes += bytes;
	}
	sp.file_bytes = (uint64_t)st.st_size;
	sp.disk_free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	/* File systems that make inodes as needed (btrfs) say 0 of 0. */
	sp.disk_free_inodes = vfs.f_files == 0 ? UINT64_MAX : vfs.f_favail;
	sp.why = broken_limit(s, &sp, 0);
	sp.is_full = sp.why != NULL;
	*out = sp;
	return 0;
}

/* Makes the file own blocks up to `bytes`. False: the disk has none left. */
static bool
reserve(struct queue_store *s, uint64_t bytes)
{
	uint64_t from = s->reserved_to;
	uint64_t to = bytes + RESERVE_STEP_BYTES;

	if (!s->can_reserve || bytes <= from)
		return true;
	if (fallocate(queue_lmdb_fd(s->lmdb), FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) == 0) {
		s->reserved_to = to;
		atomic_store_explicit(&s->cannot_grow, false, memory_order_relaxed);
		return true;
	}
	if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) {
		atomic_store_explicit(&s->cannot_grow, true, memory_order_relaxed);
		return false;
	}
	/* Not every file system can; there the guards alone have to do. */
	s->can_reserve = false;
	return true;
}

const char *
queue_space_refuse(struct queue_store *s, uint64_t need, bool is_new)
{
	uint64_t put = s->tx_put_bytes + need;
	const char *why;

	if (put > QUEUE_STORE_TX_BYTES_MAX)
		return "the transaction is full";
	if (!is_new)
		return NULL;
	if ((why = broken_limit(s, &s->space, put)) != NULL)
		return why;
	if (!reserve(s, queue_lmdb_end_bytes(s->lmdb) + put + QUEUE_STORE_RESERVE_BYTES))
		return no_room_to_grow;
	return NULL;
}

void
queue_space_explain(struct queue_store *s)
{
	struct statvfs vfs;
	char foreign[200];

	if (fstatvfs(queue_lmdb_fd(s->lmdb), &vfs) < 0)
		return;
	if ((uint64_t)vfs.f_bavail * vfs.f_frsize >= DISK_FULL_BYTES)
		return;
	memcpy(foreign, s->error.text, sizeof foreign);
	foreign[sizeof foreign - 1] = '\0';
	snprintf(s->error.text, sizeof s->error.text, "the disk is full (%s)", foreign);
}
