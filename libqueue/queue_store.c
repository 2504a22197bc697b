/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's life: make, lock, open, fail, re-open; and the frame of every transaction.
 *
 * Invariants:
 * - `acked` is what the last successful commit wrote, and that is on disk. Nothing is promised to anybody
 * before.
 * - A transaction has one fate. The first database error spoils it, further steps give the same error, commit
 * aborts.
 * - After an i/o error nothing is written until queue_store_reopen. The kernel may have dropped the pages it
 * could not write and call the file clean, so a second fsync proves nothing (Rebello et al., ATC 2020).
 * Re-opening puts back the two meta pages of the last acknowledged commit, syncs those, and only then lets
 * LMDB look: LMDB never writes to pages of its last two states, so that state is whole, and the failed
 * transaction has not happened, even if its meta page had reached the disk.
 * - A spool is made under another name and renamed, so a data file is either absent or complete.
 */
#include "queue_store.h"

#include "queue_key.h"
#include "queue_store_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_DIR   "new"
#define LOCK_NAME "mtad.lock"

/* 1 TiB, but under a thread sanitizer: its shadow leaves no room for that where address randomisation is
 * unlucky. */
#if defined(__SANITIZE_THREAD__)
#define MAP_BYTES (UINT64_C(1) << 36)
#else
#define MAP_BYTES (UINT64_C(1) << 40)
#endif

enum { PATH_BYTES = 4096, METAS = 2 };

static int
io_error(struct queue_store *s, const char *what)
{
	snprintf(s->error.text, sizeof s->error.text, "%s: %m", what);
	return errno == ENOMEM ? QUEUE_ENOMEM : QUEUE_EIO;
}

static int
path_of(const struct queue_store *s, const char *name, char out[PATH_BYTES])
{
	int n = snprintf(out, PATH_BYTES, "%s/%s", s->conf.dir, name);

	return n < 0 || n >= PATH_BYTES ? QUEUE_EINVAL : 0;
}

/* --- directory and lock --- */

static int
sync_dir(struct queue_store *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0 || fsync(fd) < 0)
		err = io_error(s, "fsync of the directory");
	if (fd >= 0)
		close(fd);
	return err;
}

static int
make_dir(struct queue_store *s)
{
	char parent[PATH_BYTES];
	int err;

	if ((err = path_of(s, "..", parent)) < 0)
		return err;
	if (mkdir(s->conf.dir, 0700) == 0)
		return sync_dir(s, parent);
	return errno == EEXIST ? 0 : io_error(s, "mkdir");
}

/* A second daemon on the same spool would give the same numbers to other mail. Tools share the lock among
 * themselves. */
static int
take_lock(struct queue_store *s)
{
	bool read_only = s->conf.read_only;
	char path[PATH_BYTES];
	int err;

	if ((err = path_of(s, LOCK_NAME, path)) < 0)
		return err;
	s->lock_fd = open(path, (read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return io_error(s, "open of " LOCK_NAME);
	if (flock(s->lock_fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return io_error(s, "flock");
	snprintf(s->error.text, sizeof s->error.text, "another process has locked %s", LOCK_NAME);
	return QUEUE_ELOCKED;
}

/* --- making a spool --- */

static int
make_env(struct queue_store *s, const char *dir)
{
	struct queue_lmdb *l = NULL;
	struct queue_lmdb_tx tx;
	int err;

	if ((err = queue_lmdb_open(dir, s->conf.map_bytes, false, &s->error, &l)) < 0)
		return err;
	if ((err = queue_lmdb_begin(l, true, &tx)) == 0) {
		if ((err = queue_format_make(&tx)) == 0)
			err = queue_lmdb_commit(&tx);
		queue_lmdb_abort(&tx);
	}
	queue_lmdb_close(&l);
	return err;
}

/* Clears what an attempt to make the spool left behind: this one's lock file, or all of an earlier one that
 * was cut short. Nothing was accepted into it. */
static void
clean_new(const struct queue_store *s)
{
	static const char *const names[] = {NEW_DIR "/" QUEUE_STORE_DATA, NEW_DIR "/lock.mdb", NEW_DIR};
	char path[PATH_BYTES];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (path_of(s, names[i], path) == 0)
			(void)remove(path);
	}
}

/* INTERNALS step 0: there is no data file; make one. */
static int
make_spool(struct queue_store *s)
{
	char dir[PATH_BYTES], made[PATH_BYTES], data[PATH_BYTES];
	int err;

	if ((err = path_of(s, NEW_DIR, dir)) < 0 ||
		(err = path_of(s, NEW_DIR "/" QUEUE_STORE_DATA, made)) < 0 ||
		(err = path_of(s, QUEUE_STORE_DATA, data)) < 0)
		return err;
	clean_new(s);
	if (mkdir(dir, 0700) < 0)
		return io_error(s, "mkdir");
	if ((err = make_env(s, dir)) == 0 && rename(made, data) < 0)
		err = io_error(s, "rename");
	clean_new(s);
	return err < 0 ? err : sync_dir(s, s->conf.dir);
}

static int
make_spool_if_none(struct queue_store *s)
{
	char data[PATH_BYTES];
	struct stat st;
	int err;

	if ((err = path_of(s, QUEUE_STORE_DATA, data)) < 0)
		return err;
	if (stat(data, &st) == 0)
		return 0;
	if (errno != ENOENT || s->conf.read_only)
		return io_error(s, "stat of the data file");
	return make_spool(s);
}

/* --- opening --- */

/* Keeps what reopen() needs to come back to this commit, and how long the file is. Without it, it has to take
 * the file's word. */
static void
keep_metas(struct queue_store *s)
{
	size_t len = METAS * queue_lmdb_page_bytes(s->lmdb);
	struct stat st;

	if (fstat(queue_lmdb_fd(s->lmdb), &st) == 0 && (uint64_t)st.st_size > s->file_bytes)
		s->file_bytes = (uint64_t)st.st_size;

	s->metas_len = 0;
	if (s->metas == NULL && (s->metas = malloc(len)) == NULL)
		return;
	if (pread(queue_lmdb_fd(s->lmdb), s->metas, len, 0) == (ssize_t)len)
		s->metas_len = len;
}

static int
open_tables(struct queue_store *s, struct queue_state *out_state)
{
	uint64_t counts[QUEUE_STORE_LISTS];
	struct queue_lmdb_tx tx;
	int err;

	if ((err = queue_lmdb_begin(s->lmdb, !s->conf.read_only, &tx)) < 0)
		return err;
	if ((err = queue_format_open(&tx, &s->error)) == 0 &&
		(err = queue_format_open_state(&tx, out_state)) == 0 &&
		(err = queue_store_count_lists(&tx, counts)) == 0)
		err = queue_lmdb_commit(&tx);
	queue_lmdb_abort(&tx);
	if (err == 0)
		queue_store_publish_lists(s, counts);
	return err;
}

/* Opens the environment and reads its state; the file is never created here. */
static int
open_env(struct queue_store *s, struct queue_state *out_state)
{
	struct stat st;
	int err;

	if ((err = queue_lmdb_open(s->conf.dir, s->conf.map_bytes, s->conf.read_only, &s->error, &s->lmdb)) <
		0)
		return err;
	if (fstat(queue_lmdb_fd(s->lmdb), &st) < 0)
		err = io_error(s, "fstat of the data file");
	else
		err = open_tables(s, out_state);
	if (err < 0) {
		queue_lmdb_close(&s->lmdb);
		return err;
	}
	s->data_ino = st.st_ino;
	s->file_bytes = s->reserved_to = (uint64_t)st.st_size;
	s->can_reserve = true;
	return 0;
}

static int
open_steps(struct queue_store *s)
{
	int err;

	if (!s->conf.read_only && (err = make_dir(s)) < 0)
		return err;
	if (!s->conf.allow_network_fs && (err = queue_space_check_fs(s->conf.dir, &s->error)) < 0)
		return err;
	if ((err = take_lock(s)) < 0 || (err = make_spool_if_none(s)) < 0 ||
		(err = open_env(s, &s->acked)) < 0)
		return err;
	keep_metas(s);
	return 0;
}

static void
tell_why(const struct queue_store_conf *conf, const char *words)
{
	if (conf->why != NULL && conf->why_max > 0)
		snprintf(conf->why, conf->why_max, "%s", words);
}

int
queue_store_open(const struct queue_store_conf *conf, struct queue_store **out_store)
{
	struct queue_store *s = calloc(1, sizeof *s);
	int err = QUEUE_ENOMEM;

	assert(conf->dir != NULL);
	if (s == NULL)
		return QUEUE_ENOMEM;
	s->conf = *conf;
	queue_store_set_limits(s, &conf->limits);
	s->conf.dir = strdup(conf->dir);
	s->lock_fd = -1;
	if (s->conf.map_bytes == 0)
		s->conf.map_bytes = MAP_BYTES;
	if (pthread_rwlock_init(&s->env_lock, NULL) != 0) {
		free((void *)s->conf.dir);
		free(s);
		return QUEUE_ENOMEM;
	}
	if (s->conf.dir != NULL)
		err = open_steps(s);
	if (err < 0) {
		tell_why(conf, s->error.text[0] != '\0' ? s->error.text : queue_err_text(err));
		queue_store_close(&s);
		return err;
	}
	s->error.text[0] = '\0';
	*out_store = s;
	return 0;
}

void
queue_store_close(struct queue_store **sp)
{
	struct queue_store *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	queue_lmdb_abort(&s->tx);
	queue_lmdb_close(&s->lmdb);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	pthread_rwlock_destroy(&s->env_lock);
	free(s->metas);
	free((void *)s->conf.dir);
	free(s);
}

/* --- failing and coming back --- */

bool
queue_store_is_failed(const struct queue_store *s)
{
	return atomic_load_explicit(&s->is_failed, memory_order_acquire);
}

queue_id
queue_store_last_id(const struct queue_store *s)
{
	return s->acked.next_id - 1;
}

const char *
queue_store_error_text(const struct queue_store *s)
{
	return s->error.text;
}

/* Writes the metas of the last acknowledged commit over whatever is there, and makes sure that they stay. */
static int
write_metas(struct queue_store *s, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return io_error(s, "fstat of the data file");
	if (st.st_ino != s->data_ino || (uint64_t)st.st_size < s->file_bytes) {
		snprintf(s->error.text, sizeof s->error.text, "the data file was replaced or truncated");
		return QUEUE_EDAMAGED;
	}
	if (pwrite(fd, s->metas, s->metas_len, 0) != (ssize_t)s->metas_len)
		return io_error(s, "write of the meta pages");
	return fdatasync(fd) < 0 ? io_error(s, "fdatasync") : 0;
}

static int
restore_metas(struct queue_store *s)
{
	char path[PATH_BYTES];
	int err, fd;

	if (s->metas_len == 0) {
		snprintf(
			s->error.text, sizeof s->error.text, "the last state was not kept; restart to go on");
		return QUEUE_EIO;
	}
	if ((err = path_of(s, QUEUE_STORE_DATA, path)) < 0)
		return err;
	if ((fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)) < 0)
		return io_error(s, "open of the data file");
	err = write_metas(s, fd);
	close(fd);
	return err;
}

/* The disk takes writes again only if it took one: a commit of the state and nothing else. */
static int
prove_write(struct queue_store *s, struct queue_state st)
{
	struct queue_lmdb_tx tx;
	int err;

	st.commits++;
	if ((err = queue_lmdb_begin(s->lmdb, true, &tx)) < 0)
		return err;
	if ((err = queue_format_write_state(&tx, &st)) == 0)
		err = queue_lmdb_commit(&tx);
	queue_lmdb_abort(&tx);
	if (err == 0)
		s->acked = st;
	return err;
}

static int
reopen_steps(struct queue_store *s)
{
	struct queue_state found = {0};
	int err;

	if ((err = restore_metas(s)) < 0 || (err = open_env(s, &found)) < 0)
		return err;
	if (found.commits != s->acked.commits) {
		snprintf(s->error.text, sizeof s->error.text,
			"the spool is at commit %llu, but %llu was acknowledged",
			(unsigned long long)found.commits, (unsigned long long)s->acked.commits);
		return QUEUE_EDAMAGED;
	}
	if ((err = prove_write(s, found)) == 0)
		keep_metas(s);
	return err;
}

/* INTERNALS step 9. */
int
queue_store_reopen(struct queue_store *s)
{
	int err;

	assert(s->tx.txn == NULL);
	assert(!s->conf.read_only);
	pthread_rwlock_wrlock(&s->env_lock);
	queue_lmdb_close(&s->lmdb);
	err = reopen_steps(s);
	if (err < 0)
		queue_lmdb_close(&s->lmdb);
	atomic_store_explicit(&s->is_failed, err < 0, memory_order_release);
	pthread_rwlock_unlock(&s->env_lock);
	return err;
}

int
queue_store_forget_dead(struct queue_store *s)
{
	/* Nobody but this thread closes the environment; re-opening it does the same. */
	return queue_store_is_failed(s) ? QUEUE_EIO : queue_lmdb_forget_dead(s->lmdb);
}

/* --- transactions --- */

int
queue_store_note_error(struct queue_store *s, int err)
{
	if (err >= 0 || err == QUEUE_ENOTFOUND)
		return err;
	if (s->tx_err == 0)
		s->tx_err = err;
	if (err == QUEUE_EIO)
		atomic_store_explicit(&s->is_failed, true, memory_order_release);
	return err;
}

int
queue_store_enter(const struct queue_store *s)
{
	assert(s->tx.txn != NULL);
	return s->tx_err;
}

/* The map reads straight from the file, so one that shrank under us is a SIGBUS as soon as it is looked at.
 */
static int
look_at_size(struct queue_store *s)
{
	struct stat st;

	if (fstat(queue_lmdb_fd(s->lmdb), &st) < 0)
		return io_error(s, "fstat of the data file");
	if ((uint64_t)st.st_size >= s->file_bytes)
		return 0;
	snprintf(s->error.text, sizeof s->error.text, "the data file was truncated");
	return QUEUE_EIO;
}

int
queue_store_begin(struct queue_store *s)
{
	int err;

	assert(s->tx.txn == NULL);
	assert(!s->conf.read_only);
	if (queue_store_is_failed(s))
		return QUEUE_EIO;
	s->tx_err = 0;
	s->tx_is_dirty = s->tx_has_lists = false;
	s->tx_put_bytes = 0;
	s->state = s->acked;
	if ((err = look_at_size(s)) == 0 && (err = queue_lmdb_begin(s->lmdb, true, &s->tx)) == 0 &&
		(err = queue_space_measure(s, &s->tx, &s->space)) == 0)
		return 0;
	queue_lmdb_abort(&s->tx);
	return queue_store_note_error(s, err);
}

int
queue_store_commit(struct queue_store *s)
{
	uint64_t counts[QUEUE_STORE_LISTS];
	int err = queue_store_enter(s);

	if (err == 0 && s->tx_is_dirty) {
		s->state.commits++;
		err = queue_store_note_error(s, queue_format_write_state(&s->tx, &s->state));
	}
	if (err == 0 && s->tx_has_lists)
		err = queue_store_note_error(s, queue_store_count_lists(&s->tx, counts));
	if (err < 0 || !s->tx_is_dirty) {
		queue_lmdb_abort(&s->tx);
		return err;
	}
	if ((err = queue_store_note_error(s, queue_lmdb_commit(&s->tx))) < 0) {
		if (err == QUEUE_EIO)
			queue_space_explain(s);
		return err;
	}
	s->acked = s->state;
	if (s->tx_has_lists)
		queue_store_publish_lists(s, counts);
	keep_metas(s);
	return 0;
}

void
queue_store_abort(struct queue_store *s)
{
	queue_lmdb_abort(&s->tx);
}
