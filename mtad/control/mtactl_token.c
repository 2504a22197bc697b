/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a token is: a return path of a bounce somebody has, a link somebody asks about. */
#include "control/mtactl.h"
#include "control/mtactl_reason.h"

#include <stdio.h>

static void
print_line(const char *name, const char *text)
{
	if (text[0] != '\0')
		printf("%-10s%s\n", name, text);
}

static void
print_came(const json_t *list)
{
	printf("%-10s", "came back");
	for (size_t i = 0; i < json_array_size(list); i++)
		printf("%s%s", i > 0 ? ", " : "", json_string_value(json_array_get(list, i)));
	printf("%s\n", json_array_size(list) == 0 ? "nothing yet" : "; each counts once");
}

static void
print(const struct mtactl *m, const json_t *s, int64_t now_us)
{
	bool is_good = mtactl_text(s, "verdict")[0] == 'g';
	char accepted[80], expires[80];

	mtactl_when(accepted, sizeof(accepted), mtactl_integer(s, "accepted_us"), now_us);
	mtactl_when(expires, sizeof(expires), mtactl_integer(s, "expires_us"), now_us);
	printf("%s%s%s, %s%s%s\n", mtactl_bold(m), mtactl_text(s, "kind"), mtactl_plain(m),
		is_good ? mtactl_green(m) : mtactl_red(m), mtactl_text(s, "verdict"), mtactl_plain(m));
	print_line("accepted", accepted);
	print_line(is_good ? "until" : "expired", expires);
	if (!mtactl_is_true(s, "is_known")) {
		print_line("recipient",
			is_good ? "not known: it was issued by another spool" : "not known any more");
		print_line("why", mtactl_text(s, "why"));
		return;
	}
	print_line("recipient", mtactl_text(s, "rcpt"));
	printf("%-10s%s/%lld\n", "message", mtactl_text(s, "id"), (long long)mtactl_integer(s, "n"));
	print_line("id", mtactl_text(s, "message_id"));
	print_line("sender", mtactl_text(s, "sender"));
	print_line("user", mtactl_text(s, "user"));
	print_line("job", mtactl_text(s, "job"));
	print_came(json_object_get(s, "came"));
}

int
mtactl_token(struct mtactl *m, const struct mtactl_options *o)
{
	json_t *r, *answer;
	int code = 2;

	if (o->word_count != 1) {
		fputs("mtactl: token takes a return path (bounce+...@...), an unsubscribe link or its last "
		      "40 letters\n",
			stderr);
		return 2;
	}
	r = mtactl_request("token", o);
	(void)json_object_set_new(r, "token", json_string(o->words[0]));
	if ((answer = mtactl_ask(m, r, NULL, &code)) == NULL)
		return code;
	if (m->json)
		code = mtactl_print_json(answer, o, code);
	else if (!mtactl_print_error(answer))
		print(m, json_object_get(answer, "summary"), mtactl_now(answer));
	json_decref(answer);
	return code;
}
