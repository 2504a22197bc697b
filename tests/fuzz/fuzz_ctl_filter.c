/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request of mtactl may hold. Oracles: a request is refused with an error and an exit code, or its
 * filter is whole; nothing is let pass that names no recipients at all, but for list.
 */
#include "control/ctl_request.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static void
check_filter(const struct ctl_request *r)
{
	const struct queue_filter *f = &r->filter;
	bool any = f->id != 0 || f->domain.len > 0 || f->site.len > 0 || f->user.len > 0 || f->job.len > 0 ||
		   f->held_only || f->waiting_only || r->has_sender ||
		   json_is_true(json_object_get(r->args, "all"));

	REQUIRE(json_array_size(r->frames) == 0 && r->exit_code == 0);
	REQUIRE(any || strcmp(ctl_arg(r, "command"), "list") == 0);
	REQUIRE(f->n >= -1 && f->n < QUEUE_RCPTS_MAX && (f->n < 0 || f->id != 0));
	REQUIRE(f->domain.len < DOMAIN_MAX && f->walk == NULL);
	REQUIRE(r->has_sender || r->sender.len == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_request r = {.args = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL)};

	r.frames = json_array();
	REQUIRE(r.frames != NULL);
	if (json_is_object(r.args)) {
		if (ctl_filter(&r))
			check_filter(&r);
		else
			REQUIRE(json_array_size(r.frames) > 0 && r.exit_code == 1);
	}
	json_decref(r.args);
	json_decref(r.frames);
	return 0;
}
