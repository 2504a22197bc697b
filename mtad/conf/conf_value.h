/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_VALUE_H
#define MTAD_CONF_CONF_VALUE_H
/*
 * conf_value - the text of one value into its type, and back
 *
 * Owner    the caller. Memory: lists and texts come from the arena handed in.
 * Thread   any.
 * Fails    false, and *out_why says what is wrong and what to write instead; the target is untouched.
 */
#include "conf/conf_arena.h"
#include "conf/conf_table.h"

#include <stdbool.h>

/* Room for one message; always ends with NUL. */
struct conf_why {
	char text[400];
};

bool conf_value_count(const char *text, int64_t *out, struct conf_why *out_why);
bool conf_value_bytes(const char *text, int64_t *out, struct conf_why *out_why);
bool conf_value_duration(const char *text, int64_t *out, struct conf_why *out_why);
/* "0.1%" into millionths, 1000; at most four digits behind the point. */
bool conf_value_percent(const char *text, int64_t *out, struct conf_why *out_why);
/* "2026-11-01" into days since 1970; from 1970-01-02 to 9999-12-31. */
bool conf_value_day(const char *text, int32_t *out, struct conf_why *out_why);
/* A whole RATE, or one item of RATES or BYTE_RATES: "100/s", "300/10m", "10MB/s". */
bool conf_value_rate(enum conf_type type, const char *text, struct conf_rate *out, struct conf_why *out_why);
/* "10.0.0.0/8", "::1"; bits behind the prefix must be zero. */
bool conf_value_network(const char *text, struct conf_network *out, struct conf_why *out_why);
/* "192.0.2.1:587", "[::1]:587", "*:587" (two endpoints), "/run/x.sock"; returns how many, 0: wrong. */
int conf_value_endpoint(const char *text, struct conf_endpoint out[2], struct conf_why *out_why);

/* Any row: checks type and range, then stores. `folder` is what a relative PATH starts from. */
struct conf_value_env {
	struct conf_arena *arena;
	const char *folder;
};
bool conf_value_store(const struct conf_value_env *env, const struct conf_row *row, const char *const *items,
	size_t count, void *field, struct conf_why *out_why);
/* The row's default. */
void conf_value_store_default(const struct conf_value_env *env, const struct conf_row *row, void *field);
/* As it would stand in the file; the text is in the arena. */
const char *conf_value_print(struct conf_arena *a, const struct conf_row *row, const void *field);
#endif
