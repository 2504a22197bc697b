/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_DISK_H
#define TESTS_CRASH_DISK_H
/*
 * disk - records what one file of this process asks of its disk, makes syncs and writes fail, and says what
 * the disk may hold after the power went at any moment
 *
 * It replaces write, pwrite, pwritev, writev, fsync, fdatasync and msync of this program, so it needs no
 * privileges and no special file system. What is synced is kept. What is not may be there or not, in any
 * order and by the sector; after a failed sync it may be there, be lost for ever although the next sync
 * succeeds (the kernel calls the page clean), or still be on its way.
 *
 * Owner    the test: one recording a process. Thread: the one that writes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISK_SECTOR = 512 };

enum disk_fault {
	DISK_NO_FAULT,
	DISK_SYNC_FAILS,          /* fsync, fdatasync */
	DISK_DURABLE_WRITE_FAILS, /* a write through O_DSYNC: LMDB's meta page */
	DISK_WRITE_FAILS,         /* nothing is written */
	DISK_WRITE_IS_SHORT,      /* half is written: how a full disk looks */
	DISK_FAULT_COUNT,
};

/* From now on; the file as it is counts as synced. */
void disk_record(const char *path);
void disk_stop(void);
/* The next operation of that kind fails, once, after `skip` that do not. */
void disk_arm(enum disk_fault fault, int skip);
/* Was it hit? It is off afterwards. */
bool disk_disarm(void);

/* A mark in the recording, for the test to find its way. */
void disk_mark(uint32_t kind, uint32_t value);

uint64_t disk_op_count(void);
/* The first operation at or after `from` that was made to fail; disk_op_count() when there is none. */
uint64_t disk_next_fault(uint64_t from);
/* Calls `on_mark` for the marks before operation `cut`, in order. */
void disk_marks(uint64_t cut, void (*on_mark)(void *arg, uint32_t kind, uint32_t value), void *arg);
/* Writes to `path` what the disk may hold when the power goes before operation `cut`; `seed` chooses among
 * the many. */
void disk_cut(uint64_t cut, uint64_t seed, const char *path);

/* The test's own numbers: the next of a sequence, below `below`. */
uint32_t disk_random(uint64_t *state, uint32_t below);
#endif
