/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_INTAKE_UNREAD_H
#define MTAD_INTAKE_UNREAD_H
/*
 * unread - the folder for mail that came back and was not understood: one file each, the oldest go when it is
 * full
 *
 * A file is the mail as it came, with what its envelope said on top (Return-Path, Delivered-To, Received); at
 * most UNREAD_BYTES_MAX of it. `mtactl feedback read FOLDER` shows what is made of them.
 *
 * Owner    nobody: functions of the folder. Thread: one, the reader's; they wait for the disk.
 * Fails    false, and words for the log: then nothing is kept.
 * Spec     RFC 5321 4.4 (trace of a final delivery).
 */
#include "smtp_types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UNREAD_BYTES_MAX = 262144, UNREAD_NAME_MAX = 64 };

struct unread_mail {
	struct smtp_slice bytes, sender, rcpt, helo;
	const char *client_ip, *hostname;
	int64_t now_us;
	uint32_t random; /* for its name */
};

/* Writes it and syncs it to disk; makes the folder if there is none. out_name: the file's in the folder. */
bool unread_keep(const char *folder, const struct unread_mail *mail, char out_name[UNREAD_NAME_MAX],
	char *why, size_t why_max);
/* If there are more than `max`, removes the oldest until `keep` are left. How many went, -1 and words.
 * out_left: how many there are. */
int unread_trim(const char *folder, int64_t max, int64_t keep, int64_t *out_left, char *why, size_t why_max);
#endif
