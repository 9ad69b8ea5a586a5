/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes by their sockets, and folders of the cgroup tree by their ids. */
#include "daemon/cgroups.h"
#include "daemon/holder.h"
#include "unit.h"
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(fdinfo)
{
	uint32_t mount = 0;
	uint64_t inode = 0;

	ck_assert(holder_parse_fdinfo("pos:\t0\nflags:\t02000002\nmnt_id:\t9\nino:\t30328063\n",
				      &mount, &inode));
	ck_assert(mount == 9 && inode == 30328063);
	ck_assert(!holder_parse_fdinfo("pos:\t0\nflags:\t02\nmnt_id:\t9\n", &mount, &inode));
	ck_assert(!holder_parse_fdinfo("mnt_id:\t-9\nino:\t1\n", &mount, &inode));
	ck_assert(!holder_parse_fdinfo("mnt_id:\t9\nino:\t\n", &mount, &inode));
	ck_assert(!holder_parse_fdinfo("mnt_id:\t99999999999\nino:\t1\n", &mount, &inode));
	ck_assert(!holder_parse_fdinfo("", &mount, &inode));
	ck_assert(!holder_parse_fdinfo("\n\nx", &mount, &inode));
}
END_TEST

START_TEST(status_text)
{
	uint32_t gid = 0;

	ck_assert(holder_parse_status("Name:\tGid:\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n", &gid));
	ck_assert_uint_eq(gid, 6);
	ck_assert(!holder_parse_status("Gid:\t5\n", &gid));
	ck_assert(!holder_parse_status("Gid:\t5\t\n", &gid));
	ck_assert(!holder_parse_status("Gid:\t5\t99999999999\t1\t1\n", &gid));
	ck_assert(!holder_parse_status("Uid:\t1\t2\t3\t4\n", &gid));
}
END_TEST

START_TEST(exe)
{
	char out[HOLDER_PATH], text[HOLDER_PATH];

	memset(text, 'x', sizeof(text));
	text[0] = '/';
	ck_assert(holder_parse_exe("/usr/sbin/sshd", 14, out));
	ck_assert_str_eq(out, "/usr/sbin/sshd");
	ck_assert(holder_parse_exe("/usr/sbin/sshd (deleted)", 24, out));
	ck_assert_str_eq(out, "");
	ck_assert(!holder_parse_exe("(unreachable)/x", 15, out));
	ck_assert(!holder_parse_exe("", 0, out));
	ck_assert(holder_parse_exe(text, sizeof(text) - 1, out));
	ck_assert(!holder_parse_exe(text, sizeof(text), out)); /* may have been cut */
}
END_TEST

static uint32_t inode_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return (uint32_t)st.st_ino;
}

/* A socket of this process, then of a child alone, then of nobody. */
START_TEST(find)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), self, status, hold[2];
	int fd = socket(AF_INET, SOCK_DGRAM, 0), other;
	uint32_t mount = holder_mount(proc, fd), inode = inode_of(fd);
	char own[HOLDER_PATH] = "";
	struct holder h;
	pid_t child;

	/* not by a name that valgrind answers itself */
	self = openat(proc, "self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_gt(readlinkat(self, "exe", own, sizeof(own) - 1), 0);
	close(self);
	if (!mount)
		return; /* before Linux 5.14 */
	ck_assert(holder_find(proc, mount, inode, -1, &h));
	ck_assert(h.has_gid && h.gid == getegid() && h.has_executable);
	ck_assert_str_eq(h.executable, own);
	other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert(!holder_find(proc, mount + 1000, inode_of(other), -1, &h)); /* no socket */
	ck_assert(!holder_find(proc, mount, inode_of(other), -1, &h)); /* not again so soon */
	close(other);
	ck_assert_int_eq(pipe(hold), 0);
	child = fork();
	if (!child) {
		char c;

		close(hold[1]);
		_exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
	}
	close(fd);
	ck_assert(holder_find(proc, mount, inode, -1, &h));
	close(hold[1]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(!holder_find(proc, mount, inode, -1, &h));
	ck_assert(!h.has_gid && !h.has_executable);
	close(hold[0]);
	close(proc);
}
END_TEST

/* Those of the cgroup come first; a list with rubbish in it is one without. */
START_TEST(find_in_cgroup)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), list[2];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t mount = holder_mount(proc, fd);
	struct holder h;

	ck_assert_int_eq(pipe(list), 0);
	dprintf(list[1], "0\n1\n%d\nx\n", getpid());
	close(list[1]);
	ck_assert(!mount || holder_find(proc, mount, inode_of(fd), list[0], &h));
	ck_assert(!mount || fcntl(list[0], F_GETFD) < 0); /* closed there */
	close(fd);
	close(proc);
}
END_TEST

/* ---- cgroups ---- */

static char root[] = "/tmp/pend-test-cgroups.XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static uint64_t folder(const char *path)
{
	char name[512];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", root, path);
	ck_assert(mkdir(name, 0700) == 0 || *path == '\0');
	ck_assert_int_eq(stat(name, &st), 0);
	return st.st_ino;
}

START_TEST(cgroups)
{
	static struct cgroups c;
	uint64_t top, slice, service, late;
	char path[CGROUPS_PATH], name[CGROUPS_PATH + 8];
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(root));
	top = folder("");
	slice = folder("/system.slice");
	service = folder("/system.slice/ssh.service");
	memset(name, 'x', 250);
	name[0] = '/';
	name[250] = '\0';
	late = folder(name);
	cgroups_open(&c, root);
	ck_assert(cgroups_path(&c, top, path) && !strcmp(path, "/"));
	ck_assert(cgroups_path(&c, service, path) && !strcmp(path, "/system.slice/ssh.service"));
	ck_assert(cgroups_path(&c, slice, path) && !strcmp(path, "/system.slice"));
	ck_assert(cgroups_path(&c, late, path) && !strcmp(path, name));
	ck_assert(!cgroups_path(&c, 0, path));
	ck_assert(!cgroups_path(&c, UINT64_MAX, path));
	memcpy(name + 250, "/yyyyyy", 8);
	ck_assert(!cgroups_path(&c, folder(name), path)); /* 257 bytes */
	late = folder("/late.scope");
	ck_assert(cgroups_path(&c, late, path) && !strcmp(path, "/late.scope"));
	ck_assert_int_lt(cgroups_processes(&c, "/late.scope"), 0);
	close(c.fd);
	ck_assert_int_eq(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	cgroups_open(&c, root); /* there is none */
	ck_assert(!cgroups_path(&c, 1, path));
	fd = cgroups_processes(&c, "/");
	ck_assert_int_lt(fd, 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("holder");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, fdinfo);
	tcase_add_test(tc, status_text);
	tcase_add_test(tc, exe);
	tcase_add_test(tc, find);
	tcase_add_test(tc, find_in_cgroup);
	tcase_add_test(tc, cgroups);
	suite_add_tcase(s, tc);
	return s;
}
