/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving up rights; see sandbox.h. */
#include "daemon/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int sandbox_user(const char *user, struct err *e)
{
	const struct passwd *pw;

	if (geteuid() != 0 || !*user)
		return 0;
	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		return err_set(e, -ENOENT,
			       "there is no user \"%s\": create it (systemd-sysusers) or "
			       "set `user \"\"`",
			       user);
	if (initgroups(user, pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return err_sys(e, -errno, "cannot become user \"%s\"", user);
	if (pw->pw_uid != 0 && setresuid(0, 0, 0) == 0)
		return err_set(e, -EPERM, "user \"%s\" can become root again", user);
	return 0;
}

int sandbox_bounding(struct err *e)
{
	for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
			return errno == EPERM ? 0
					      : err_sys(e, -errno,
							"cannot drop the capability "
							"bounding set");
	return 0;
}

int sandbox_capabilities(struct err *e)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_sys(e, -errno, "cannot clear ambient capabilities");
	if (syscall(SYS_capset, &h, none) < 0)
		return err_sys(e, -errno, "cannot drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "cannot set no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, -errno, "cannot become undumpable");
	return 0;
}

int sandbox_limits(unsigned files, struct err *e)
{
	struct rlimit now, core = {0, 0};

	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return err_sys(e, -errno, "cannot read the limit on open files");
	now.rlim_cur = files < now.rlim_max ? files : now.rlim_max;
	now.rlim_max = now.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &now) < 0)
		return err_sys(e, -errno, "cannot limit open files");
	if (setrlimit(RLIMIT_CORE, &core) < 0)
		return err_sys(e, -errno, "cannot forbid core files");
	return 0;
}

static const int allowed[] = {
	/* events and time */
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	/* bytes and messages */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(accept4),
	SCMP_SYS(getsockopt),
	SCMP_SYS(shutdown),
	SCMP_SYS(close),
	/* the policy: its files, and the memory file of its image */
	SCMP_SYS(openat),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getcwd),
	SCMP_SYS(getdents64),
	SCMP_SYS(memfd_create),
	SCMP_SYS(ftruncate),
	SCMP_SYS(pwrite64),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(access),
	/* the database of decisions: its log, its index and what is put aside */
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchown),
	/* memory and threads */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(getrandom),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getpriority),
	SCMP_SYS(setpriority),
	SCMP_SYS(sched_setattr), /* down only: there is no capability, and RLIMIT_NICE is ours */
	SCMP_SYS(sysinfo),       /* qsort() of glibc before 2.37, once, for more than 1 KiB */
	/* itself */
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(tgkill),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* Calls that are right with one argument and wrong with another. */
static int filter_arguments(scmp_filter_ctx f)
{
	int r = 0;

	/* memory that can be written may never be executed */
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			      SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
			      SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0));
	/* threads, no processes; clone3 hides its flags from us, and libc does without it */
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			      SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	r |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* getrlimit() */
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
			      SCMP_A2(SCMP_CMP_EQ, 0, 0));
	/* behind others, and back: nothing that goes before them */
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(sched_setscheduler), 1,
			      SCMP_A1(SCMP_CMP_EQ, SCHED_IDLE, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(sched_setscheduler), 1,
			      SCMP_A1(SCMP_CMP_EQ, SCHED_OTHER, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			      SCMP_A1(SCMP_CMP_EQ, SIOCGIFNAME, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			      SCMP_A1(SCMP_CMP_EQ, SIOCGIFINDEX, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_SETFL, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_SETFD, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_GETFD, 0));
	/* the database's locks, which never wait */
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_SETLK, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_GETLK, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_GET_SEALS, 0));
	return r;
}

static int filter_fill(scmp_filter_ctx f)
{
	int r = filter_arguments(f);

	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
	if (r == 0)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, 1);
	return r == 0 ? seccomp_load(f) : r;
}

int sandbox_syscalls(struct err *e)
{
	scmp_filter_ctx f;
	int r;

	if (SANDBOX_OFF)
		return 0;
	f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!f)
		return err_set(e, -ENOMEM, "cannot make a system call filter");
	r = filter_fill(f);
	seccomp_release(f);
	if (r < 0)
		return err_sys(e, r, "the kernel does not take the system call filter");
	return 0;
}
