/* SPDX-License-Identifier: Apache-2.0 */
/* Webhooks and pipes: how they get on, and a made-up event for one. In the outlets thread. */
#include "control/ctl_request.h"

#include "report/outlets.h"

#include <string.h>

static void
add_row(void *arg, const struct outlet_view *v)
{
	struct ctl_request *r = arg;

	ctl_row(r,
		json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "name", v->name,
			"kind", v->kind, "state", v->failures > 0 ? "failing" : v->state, "to", v->to,
			"after", ctl_number(v->seq), "behind", ctl_number(v->behind), "sent",
			ctl_number(v->sent), "batches", ctl_number(v->batches), "dead", ctl_number(v->dead),
			"failures", (json_int_t)v->failures, "next_us", (json_int_t)v->next_us, "taken_us",
			(json_int_t)v->taken_us, "failed_us", (json_int_t)v->failed_us, "error", v->error));
	r->at++;
}

static bool
list(struct ctl_request *r)
{
	outlets_each(r->app->outlets, add_row, r);
	ctl_summary(r, json_pack("{s:I,s:I}", "outlets", ctl_number(r->at), "now_us",
			       (json_int_t)clock_now(r->app->clock)));
	return true;
}

bool
ctl_webhooks(struct ctl_request *r)
{
	return ctl_go_on(r, outlets_worker(r->app->outlets), list);
}

static void
on_tested(void *arg, const struct outlet_answer *a)
{
	struct ctl_request *r = arg;

	ctl_summary(r, json_pack("{s:b,s:s}", "taken", (int)(a->result == OUTLET_TAKEN), "answer", a->why));
	r->exit_code = a->result == OUTLET_TAKEN ? 0 : 1;
	mailbox_post(r->back, &r->call.letter);
}

static void
add_name(void *arg, const struct outlet_view *v)
{
	char *names = arg;
	size_t len = strnlen(names, 200);

	snprintf(names + len, 200 - len, "%s%s", len > 0 ? ", " : "", v->name);
}

static bool
test(struct ctl_request *r)
{
	char names[200] = "";

	r->is_pending = true;
	switch (outlets_test(r->app->outlets, ctl_arg(r, "name"), on_tested, r)) {
	case OUTLETS_TEST_BEGUN:
		return true;
	case OUTLETS_TEST_UNKNOWN:
		r->is_pending = false;
		outlets_each(r->app->outlets, add_name, names);
		return ctl_error(r, "there is no webhook or pipe \"%.60s\"; there %s %s", ctl_arg(r, "name"),
			names[0] != '\0' ? "are" : "is", names[0] != '\0' ? names : "none");
	case OUTLETS_TEST_FAILED:
		break;
	}
	r->is_pending = false;
	return ctl_error(r, "the test cannot begin: out of memory");
}

bool
ctl_webhook_test(struct ctl_request *r)
{
	return ctl_go_on(r, outlets_worker(r->app->outlets), test);
}
