/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_LOAD_H
#define MTAD_CONF_CONF_LOAD_H
/*
 * conf_load - what the steps of loading share: parse, fill, check, index (inside mtad/conf and its tests
 * only)
 *
 * Owner    conf_load_bytes / conf_load, for one run; the owner object lives on as the configuration.
 * Memory   owner->arena for what stays, `scratch` for what goes.
 * Thread   one at a time.
 */
#include "conf/conf_arena.h"
#include "conf/conf_parse.h"
#include "conf/conf_report.h"
#include "conf/conf_table.h"
#include "conf/conf_value.h"

#include <stdatomic.h>

struct conf_index_slot {
	const char *key;
	uint32_t len, value;
};
struct conf_index {
	struct conf_index_slot *slots;
	size_t mask; /* 0: empty */
};
struct conf_owner {
	struct conf conf; /* first: conf_ref and conf_unref go from it to the owner */
	atomic_int ref_count;
	struct conf_arena arena;
	struct conf_index users, guards, suppressions, pools, pool_senders, sources, senders, dkims, domains,
		routes, provider_domains, provider_mx;
};
struct conf_loader {
	struct conf_owner *owner;
	struct conf *conf;
	struct conf_arena scratch;
	struct conf_report report;
	struct conf_raw raw;
	bool is_copy;       /* of one that was checked: the files it names are not looked at */
	const char *folder; /* the process's own, for a file that was named relative to it */
	const struct conf_raw_block *
		*blocks[CONF_KIND_COUNT]; /* block n of a kind: n-th struct of its array */
};

/* conf.c: the frame of it. Between init and build the blocks are parsed; build says whether there was no
 * error; fini takes everything away again. */
void conf_loader_init(struct conf_loader *l, const char *file, FILE *out);
bool conf_loader_build(struct conf_loader *l);
void conf_loader_fini(struct conf_loader *l);
/* conf_fill.c: defaults, then what the file says. */
void conf_fill(struct conf_loader *l);
/* The absolute folder of a file of the configuration. */
const char *conf_folder_of(struct conf_loader *l, const char *file);
void *conf_block_at(struct conf *c, int kind, size_t n);
/* conf_check.c: names, meanings, files, contradictions; fills what is derived; builds the indexes. */
void conf_check(struct conf_loader *l);
/* conf_check_files.c */
bool conf_check_secret_file(struct conf_loader *l, struct conf_place at, const char *path);
bool conf_check_readable(struct conf_loader *l, struct conf_place at, const char *path);
/* The first line of such a file; "" when it was reported. */
const char *conf_read_secret(struct conf_loader *l, struct conf_place at, const char *path);
void conf_check_password_hash(
	struct conf_loader *l, struct conf_place at, const char *path, const char *hash);

/* conf_find.c. The value already there, or -1 after the key was added. */
void conf_index_init(struct conf_index *i, struct conf_arena *a, size_t count);
int64_t conf_index_add(struct conf_index *i, const char *key, size_t len, uint32_t value);
int64_t conf_index_find(const struct conf_index *i, const char *key, size_t len);
/* How a sender is kept in owner->pool_senders: domain in its normal spelling, local part in lower case.
 * Returns the length; -1: no address. */
#define CONF_SENDER_KEY_MAX 384
int conf_sender_key(const char *address, size_t len, char out[CONF_SENDER_KEY_MAX]);

/* The whole way, from a file or from bytes in memory that `file` stands for. */
const struct conf *conf_load_bytes(const char *file, const char *bytes, size_t len, FILE *out);
#endif
