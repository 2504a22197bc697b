/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of unread mail: what is in a file, that the oldest go, and nothing else in it. */
#include "intake/unread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char parent[] = "/tmp/mtad-unread-XXXXXX", folder[64];

static int
set_up(void **state)
{
	memcpy(parent + sizeof(parent) - 7, "XXXXXX", 6);
	if (mkdtemp(parent) == NULL)
		return -1;
	snprintf(folder, sizeof(folder), "%s/unread", parent);
	return 0;
}

static int
tear_down(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", parent);
	return system(command);
}

static struct unread_mail
mail(int64_t now_us, struct smtp_slice bytes)
{
	return (struct unread_mail){.bytes = bytes,
		.sender = SMTP_LIT("a@b.test"),
		.rcpt = SMTP_LIT("fbl@x.test"),
		.helo = SMTP_LIT("mx.b.test"),
		.client_ip = "192.0.2.7",
		.hostname = "mta.x.test",
		.now_us = now_us,
		.random = 9};
}

static size_t
read_file(const char *name, char *buf, size_t max)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, buf, max);
	close(fd);
	assert_true(n >= 0);
	return (size_t)n;
}

static int
count_files(void)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	int count = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return count;
}

static void
test_a_file(void **state)
{
	static const char want[] = "Return-Path: <a@b.test>\r\nDelivered-To: fbl@x.test\r\n"
				   "Received: from mx.b.test ([192.0.2.7])\r\n\tby mta.x.test;\r\n"
				   "\tMon, 21 Sep 2026 14:13:20 +0000\r\nSubject: ?\r\n\r\nhello\r\n";
	struct unread_mail m = mail(INT64_C(1790000000000000), SMTP_LIT("Subject: ?\r\n\r\nhello\r\n"));
	char name[UNREAD_NAME_MAX], why[200], buf[1000];
	struct stat st;

	assert_true(unread_keep(folder, &m, name, why, sizeof(why)));
	assert_string_equal(name, "1790000000000000-00000009.eml");
	assert_int_equal(read_file(name, buf, sizeof(buf)), sizeof(want) - 1);
	assert_memory_equal(buf, want, sizeof(want) - 1);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(count_files(), 1);
	/* An envelope cannot write fields of its own. */
	m.sender = SMTP_LIT("a\r\nX: y@b.test");
	m.random = 10;
	assert_true(unread_keep(folder, &m, name, why, sizeof(why)));
	(void)read_file(name, buf, sizeof(buf));
	assert_memory_equal(buf, "Return-Path: <a??X: y@b.test>\r\n", 31);
}

static void
test_large_mail_is_cut(void **state)
{
	char *bytes = malloc(UNREAD_BYTES_MAX + 5), *buf = malloc(UNREAD_BYTES_MAX + 5000);
	struct unread_mail m = mail(1, (struct smtp_slice){bytes, UNREAD_BYTES_MAX + 5});
	char name[UNREAD_NAME_MAX], why[200];
	size_t len;

	assert_true(bytes != NULL && buf != NULL);
	memset(bytes, 'x', UNREAD_BYTES_MAX + 5);
	assert_true(unread_keep(folder, &m, name, why, sizeof(why)));
	len = read_file(name, buf, UNREAD_BYTES_MAX + 5000);
	assert_in_range(len, UNREAD_BYTES_MAX + 100, UNREAD_BYTES_MAX + 400);
	free(bytes);
	free(buf);
}

static void
test_the_oldest_go(void **state)
{
	char name[UNREAD_NAME_MAX], why[200], path[128], buf[10];
	int64_t left;
	int fd;

	for (int i = 10; i-- > 0;) {
		struct unread_mail m = mail(1000 + i, SMTP_LIT("x"));

		assert_true(unread_keep(folder, &m, name, why, sizeof(why)));
	}
	/* An operator's own. */
	snprintf(path, sizeof(path), "%s/notes.eml", folder);
	assert_true((fd = open(path, O_WRONLY | O_CREAT, 0600)) >= 0);
	close(fd);
	assert_int_equal(unread_trim(folder, 10, 4, &left, why, sizeof(why)), 0);
	assert_int_equal(left, 10);
	assert_int_equal(unread_trim(folder, 9, 4, &left, why, sizeof(why)), 6);
	assert_int_equal(left, 4);
	assert_int_equal(count_files(), 5);
	for (int i = 6; i < 10; i++) {
		snprintf(name, sizeof(name), "%016d-00000009.eml", 1000 + i);
		assert_int_equal(read_file(name, buf, 1), 1);
	}
	(void)read_file("notes.eml", buf, 1);
}

static void
test_no_folder(void **state)
{
	struct unread_mail m = mail(1, SMTP_LIT("x"));
	char name[UNREAD_NAME_MAX], why[200] = "";
	int64_t left;
	int fd = open(folder, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_false(unread_keep(folder, &m, name, why, sizeof(why)));
	assert_non_null(strstr(why, "cannot be opened: Not a directory"));
	assert_int_equal(unread_trim(folder, 4, 4, &left, why, sizeof(why)), -1);
	assert_false(unread_keep("/nowhere/at/all", &m, name, why, sizeof(why)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large_mail_is_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_oldest_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_folder, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
