/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words for what people read. Those for enum queue_err stand in log lines and in replies of mtactl, so
 * each says what is the matter and not which function noticed it; the foreign error behind QUEUE_EIO is told
 * by queue_store_error_text().
 */
#include "queue_types.h"

#include <assert.h>

const char *
queue_err_text(int err)
{
	switch ((enum queue_err)err) {
	case QUEUE_OK:
		return "no error";
	case QUEUE_EIO:
		return "the disk or the spool database failed";
	case QUEUE_ENOSPACE:
		return "no space left for new mail";
	case QUEUE_ENOMEM:
		return "out of memory";
	case QUEUE_ENOTFOUND:
		return "not found";
	case QUEUE_EDAMAGED:
		return "a stored record is damaged";
	case QUEUE_EVERSION:
		return "written by a newer version";
	case QUEUE_ELOCKED:
		return "in use by another process";
	case QUEUE_EFS:
		return "on a network file system";
	case QUEUE_EINVAL:
		return "invalid argument";
	}
	return "unknown error";
}

const char *
queue_class_text(enum queue_class c)
{
	static const char *const names[QUEUE_CLASS_COUNT] = {
		[QUEUE_CLASS_NORMAL] = "normal",
		[QUEUE_CLASS_URGENT] = "urgent",
		[QUEUE_CLASS_BULK] = "bulk",
	};

	assert(c < QUEUE_CLASS_COUNT);
	return names[c];
}
