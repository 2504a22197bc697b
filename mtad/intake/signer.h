/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_SIGNER_H
#define MTAD_INTAKE_SIGNER_H
/*
 * signer - a sign thread: DKIM signatures, password hashes, bounce mails; all that would stall a loop
 *
 * Owner    main. Thread: its own.
 */
#include "base/log.h"
#include "base/memory.h"
#include "base/worker.h"
#include "conf/conf.h"
#include "intake/dkim.h"
#include "queue_store.h"

struct signer;

/* Keys shared by all sign threads: immutable, counted. */
struct signer_keys;
/* From the configuration's dkim blocks. NULL and words: a key cannot be used. */
struct signer_keys *signer_keys_load(const struct conf *conf, char *why, size_t why_max);
struct signer_keys *signer_keys_ref(struct signer_keys *k);
void signer_keys_unref(struct signer_keys *k);

struct signer_conf {
	const struct clock *clock;
	struct log *log;
	struct memory *memory;
	struct queue_store *store;
	unsigned number;
};
struct signer *signer_create(const struct signer_conf *conf);
void signer_connect(struct signer *s, struct worker *spool);
struct worker *signer_worker(struct signer *s);
/* In the thread (or before it starts). Takes references. */
void signer_reconfigure(struct signer *s, const struct conf *conf, struct signer_keys *keys);
void signer_destroy(struct signer **sp);
#endif
