/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the verdict process gives up. Its main thread starts programs (the authority process, the
 * resolver, iptables-restore) and keeps the few capabilities for that; the worker threads, which
 * read packets, keep a dozen system calls. And what the resolver does. See sandbox.h.
 */
#include "daemon/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_BIT(c) (1ull << (c))

static uint64_t capabilities_to_keep(bool raw)
{
	uint64_t keep = CAP_BIT(CAP_NET_ADMIN);

	if (raw)
		keep |= CAP_BIT(CAP_NET_RAW);
	/* For the resolver process alone; not in force here. */
	keep |= CAP_BIT(CAP_SYS_PTRACE);
	/* Started as root: to restart the authority process as its own user, let it empty its
	 * bounding set, and end it. */
	if (geteuid() == 0)
		keep |= CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETPCAP) |
			CAP_BIT(CAP_KILL);
	return keep;
}

static int read_permitted(uint64_t *have)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	*have = (uint64_t)d[1].permitted << 32 | d[0].permitted;
	return 0;
}

/* Of the calling thread. */
static int write_each(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};

	for (int i = 0; i < 2; i++) {
		d[i].permitted = (uint32_t)(permitted >> (32 * i));
		d[i].effective = (uint32_t)(effective >> (32 * i));
		d[i].inheritable = (uint32_t)(inheritable >> (32 * i));
	}
	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

static int write_sets(uint64_t keep)
{
	return write_each(keep, keep, keep);
}

/* Programs that we start as another user than root keep NET_ADMIN and NET_RAW by these. */
static void raise_ambient(uint64_t keep)
{
	for (unsigned c = 0; c < 64; c++)
		if (keep & CAP_BIT(c) && (c == CAP_NET_ADMIN || c == CAP_NET_RAW))
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_SYS_PTRACE, 0, 0);
}

int sandbox_verdict(bool raw, struct err *e)
{
	uint64_t keep = capabilities_to_keep(raw), have = 0;
	int r = read_permitted(&have);

	if (r)
		return err_sys(e, r, "cannot read capabilities");
	keep &= have;
	for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (!(keep & CAP_BIT(c)) && prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1)
			prctl(PR_CAPBSET_DROP, c, 0, 0, 0); /* -EPERM: no_new_privs suffices */
	r = write_each(keep, keep & ~CAP_BIT(CAP_SYS_PTRACE), keep);
	if (r)
		return err_sys(e, r, "cannot drop capabilities");
	if (geteuid() != 0)
		raise_ambient(keep);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "cannot set no_new_privs");
	return 0;
}

int sandbox_thread(struct err *e)
{
	int r = write_sets(0);

	return r ? err_sys(e, r, "cannot drop capabilities") : 0;
}

void sandbox_resolver_child(void)
{
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (geteuid() != 0)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_PTRACE, 0, 0);
}

/* Without the capability, as in many containers, it tells what it can. */
static int resolver_capabilities(struct err *e)
{
	uint64_t have = 0;
	int r = read_permitted(&have);

	have &= CAP_BIT(CAP_SYS_PTRACE);
	if (!r)
		r = write_each(have, have, 0);
	if (r)
		return err_sys(e, r, "cannot drop capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "cannot give up rights");
	return have ? SANDBOX_SEES : SANDBOX_BLIND;
}

static const int resolver_calls[] = {
	SCMP_SYS(poll),         SCMP_SYS(ppoll),          SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),       SCMP_SYS(read),           SCMP_SYS(write),
	SCMP_SYS(writev),       SCMP_SYS(close),          SCMP_SYS(getdents64),
	SCMP_SYS(lseek),        SCMP_SYS(fstat),          SCMP_SYS(newfstatat),
	SCMP_SYS(readlinkat),   SCMP_SYS(clock_gettime),  SCMP_SYS(gettimeofday),
	SCMP_SYS(brk),          SCMP_SYS(munmap),         SCMP_SYS(mremap),
	SCMP_SYS(madvise),      SCMP_SYS(futex),          SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall),
	SCMP_SYS(getpid),       SCMP_SYS(gettid),         SCMP_SYS(tgkill),
	SCMP_SYS(exit),         SCMP_SYS(exit_group),
};

static int allow_memory(scmp_filter_ctx f)
{
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				 SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));

	return r | seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				    SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0));
}

/* Load what is allowed besides memory. All else is an error, and a line in the audit log: a call
 * that was forgotten here must not end a process that decides who gets in. */
static int load(scmp_filter_ctx f, const int *calls, size_t n, struct err *e)
{
	int r = allow_memory(f);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	return r < 0 ? err_sys(e, r, "the kernel does not take the system call filter") : 0;
}

/* With CAP_SYS_PTRACE, /proc/PID/mem can be written: here nothing is opened but to be read. */
static int resolver_syscalls(struct err *e)
{
	scmp_filter_ctx f;
	int r;

	if (SANDBOX_OFF)
		return 0;
	f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!f)
		return err_set(e, -ENOMEM, "cannot make a system call filter");
	r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
			     SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			      SCMP_A1(SCMP_CMP_EQ, F_SETFD, 0));
	if (r) {
		seccomp_release(f);
		return err_set(e, -ENOMEM, "cannot make a system call filter");
	}
	return load(f, resolver_calls, sizeof(resolver_calls) / sizeof(*resolver_calls), e);
}

int sandbox_resolver(const char *user, unsigned files, struct err *e)
{
	int r = sandbox_bounding(e), sees;

	if (r == 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		r = err_sys(e, -errno, "cannot keep a capability");
	if (r == 0)
		r = sandbox_user(user, e);
	if (r == -ENOENT)
		r = 0; /* the authority process tells of it */
	if (r == 0)
		r = sandbox_limits(files, e);
	if (r < 0)
		return r;
	sees = resolver_capabilities(e);
	r = sees < 0 ? sees : resolver_syscalls(e);
	return r ? r : sees;
}

static const int worker_calls[] = {
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(close),
	SCMP_SYS(futex),
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(sched_yield),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(getrandom),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockopt),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
};

/* What starts programs is the main thread's. */
static int worker_capabilities(struct err *e)
{
	uint64_t have = 0;
	int r = read_permitted(&have);

	have &= CAP_BIT(CAP_NET_ADMIN) | CAP_BIT(CAP_NET_RAW);
	if (!r)
		r = write_sets(have);
	return r ? err_sys(e, r, "cannot drop capabilities") : 0;
}

int sandbox_worker(struct err *e)
{
	scmp_filter_ctx f;
	int r = worker_capabilities(e);

	if (r || SANDBOX_OFF)
		return r;
	f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!f)
		return err_set(e, -ENOMEM, "cannot make a system call filter");
	if (seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 0)) {
		seccomp_release(f);
		return err_set(e, -ENOMEM, "cannot make a system call filter");
	}
	return load(f, worker_calls, sizeof(worker_calls) / sizeof(*worker_calls), e);
}
