/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_GUARD_H
#define MTAD_CONF_CONF_GUARD_H
/*
 * conf_guard - blocks that are about the mail of one user or, as "*", of everybody else
 *
 * Owner    the configuration; each is whole: what a user's leaves out is as in "*". Thread: immutable.
 */
#include "conf/conf_types.h"

struct conf_guard {
	const char *name, *at; /* name: of a user, or "*" */
#define CONF_GUARD CONF_FIELD
#include "conf/conf.def"
#undef CONF_GUARD
};
struct conf_suppression {
	const char *name, *at; /* name: of a user, or "*" */
#define CONF_SUPPRESSION CONF_FIELD
#include "conf/conf.def"
#undef CONF_SUPPRESSION
};
#endif
