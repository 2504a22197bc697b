/* SPDX-License-Identifier: Apache-2.0 */
/* mtactl webhooks, mtactl webhook test NAME: those who are told what happened, webhooks and pipes. */
#include "control/mtactl.h"

#include <stdio.h>
#include <string.h>

void
mtactl_show_webhooks(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {
		{"NAME", "name", mtactl_write_text, false, 12, false},
		{"KIND", "kind", mtactl_write_text, false, 0, true},
		{"STATE", "state", mtactl_write_text, false, 0, false},
		{"BEHIND", "behind", mtactl_write_number, true, 0, false},
		{"SENT", "sent", mtactl_write_number, true, 0, false},
		{"DEAD", "dead", mtactl_write_number, true, 0, false},
		{"TAKEN", "taken_us", mtactl_write_age, true, 0, true},
		{"FAILED", "failures", mtactl_write_number, true, 0, false},
		{"NEXT", "next_us", mtactl_write_until, true, 0, true},
		{"LAST ERROR", "error", mtactl_write_text, false, 20, false},
	};

	if (json_array_size(mtactl_rows(answer)) == 0) {
		puts("no webhook or pipe in the configuration");
		return;
	}
	MTACTL_TABLE(m, columns, mtactl_rows(answer), mtactl_now(answer));
}

int
mtactl_webhook(struct mtactl *m, const struct mtactl_options *o)
{
	const json_t *s;
	json_t *r, *answer;
	int code = 2;

	if (o->word_count != 2 || strcmp(o->words[0], "test") != 0) {
		fputs("mtactl: webhook test NAME sends a test event; mtactl webhooks lists names\n", stderr);
		return 2;
	}
	r = mtactl_request("webhook-test", o);
	(void)json_object_set_new(r, "name", json_string(o->words[1]));
	if ((answer = mtactl_ask(m, r, NULL, &code)) == NULL)
		return code;
	s = json_object_get(answer, "summary");
	if (m->json)
		code = mtactl_print_json(answer, o, code);
	else if (!mtactl_print_error(answer))
		printf("%s: %s\n", mtactl_is_true(s, "taken") ? "taken" : "not taken",
			mtactl_text(s, "answer"));
	json_decref(answer);
	return code;
}
