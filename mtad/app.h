/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_APP_H
#define MTAD_APP_H
/*
 * app - the root object: what main.c makes and what the control side may ask
 *
 * Owner    main.c. Thread: the main thread; what its members allow from other threads is said in their
 * headers.
 */
#include "base/log.h"
#include "base/memory.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stdio.h>

struct control;
struct dispatch;
struct event_base;
struct io;
struct limits;
struct outlets;
struct queue_store;
struct quotas;
struct reader;
struct recover;
struct report;
struct signer;
struct signer_keys;
struct spool;
struct suppress;

struct app {
	const char *conf_file;
	const struct conf *conf;
	const struct clock *clock;
	struct log *log;
	struct memory memory;
	struct limits *limits;
	struct quotas *quotas;
	struct event_base *base; /* the main thread's */
	struct queue_store *store;
	struct suppress *suppress;
	struct spool *spool;
	struct report *report;
	struct outlets *outlets;
	struct dispatch *dispatch;
	struct signer **signers;
	size_t signer_count;
	struct signer_keys *keys;
	struct reader *reader;
	struct io **ios;
	size_t io_count;
	struct recover *recover;
	struct control *control;
	int64_t started_us; /* monotonic */
	bool is_stopping;
};

/* Reads the configuration again and swaps it in everywhere, or changes nothing. Words for the operator go to
 * `out`. */
bool app_reload(struct app *a, FILE *out);
/* Begins a graceful stop; a second call cuts what is left. */
void app_stop(struct app *a);
#endif
