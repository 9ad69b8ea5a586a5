/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See agent_exec.h. */
#include "daemon/agent_exec.h"
#include "base/str.h"
#include "daemon/log.h"
#include "daemon/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODULE   "agents"
#define FD_FIRST 3
#define ENV_MAX  64

extern char **environ;

/* ---- who ---- */

uint32_t agent_exec_user(const struct settings *s)
{
	const struct passwd *pw;

	if (geteuid() != 0 || !*s->user)
		return UINT32_MAX;
	pw = getpwnam(AGENT_EXEC_USER);
	if (!pw)
		pw = getpwnam(s->user);
	return pw ? pw->pw_uid : UINT32_MAX; /* the authority process tells of a missing one */
}

static bool has_capability(unsigned c)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};

	return syscall(SYS_capget, &h, d) == 0 && d[c / 32].effective & 1u << c % 32;
}

bool agent_exec_may(uint32_t uid)
{
	return uid == UINT32_MAX || uid == geteuid() ||
	       (has_capability(CAP_SETUID) && has_capability(CAP_SETGID));
}

/* ---- where ---- */

void agent_exec_path(char path[AGENT_EXEC_PATH])
{
	static const char name[] = "pend-agent", fixed[] = PEND_LIBEXECDIR "/pend-agent";
	ssize_t n = readlink("/proc/self/exe", path, AGENT_EXEC_PATH - sizeof(name) - 1);
	char *slash;

	path[n < 0 ? 0 : n] = '\0';
	slash = strrchr(path, '/');
	if (slash) {
		memcpy(slash + 1, name, sizeof(name));
		if (access(path, X_OK) == 0)
			return;
	}
	memcpy(path, fixed, sizeof(fixed));
}

/* ---- rights ---- */

/* It may be killed for memory before the process that decides who gets in. */
static void expendable(void)
{
	static const char path[] = "/proc/self/oom_score_adj";
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0 && text[0] == '-' && lseek(fd, 0, SEEK_SET) == 0 &&
	    write(fd, "0", 1) < 0)
		log_debug(MODULE, "%s: %s", path, strerror(errno));
	close(fd);
}

static int number(const char *s, uint32_t *out)
{
	uint64_t v;

	if (str_u64(s, UINT32_MAX - 1, &v))
		return -EINVAL;
	*out = (uint32_t)v;
	return 0;
}

/* The groups of the user, with `gid` as the first if it is said. */
static int groups_of(uint32_t uid, bool said, uint32_t *gid, struct err *e)
{
	const struct passwd *pw = getpwuid(uid);
	int r;

	if (!pw && !said)
		return err_set(e, -ENOENT, "there is no user with the number %u", uid);
	if (!said)
		*gid = pw->pw_gid;
	r = pw ? initgroups(pw->pw_name, *gid) : setgroups(0, NULL);
	return r < 0 ? err_sys(e, -errno, "cannot take the groups of user %u", uid) : 0;
}

static int become(const struct agent_exec *x, struct err *e)
{
	uint32_t uid = geteuid(), gid = getegid();
	bool user = *x->user, group = *x->group;
	int r = user ? number(x->user, &uid) : 0;

	if (r == 0 && group)
		r = number(x->group, &gid);
	if (r < 0)
		return err_set(e, r, "not the number of a user or group");
	if ((!user && !group) || !has_capability(CAP_SETGID))
		return 0; /* pendd starts nothing that would need it */
	r = groups_of(uid, group, &gid, e);
	if (r < 0)
		return r;
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(e, -errno, "cannot become user %u, group %u", uid, gid);
	if (uid != 0 && setresuid(0, 0, 0) == 0)
		return err_set(e, -EPERM, "user %u can become root again", uid);
	return 0;
}

static int no_core(struct err *e)
{
	const struct rlimit none = {0, 0};

	return setrlimit(RLIMIT_CORE, &none) < 0 ? err_sys(e, -errno, "cannot forbid core files")
						 : 0;
}

static int give_up(const struct agent_exec *x, struct err *e)
{
	int r = sandbox_bounding(e);

	if (r == 0)
		r = become(x, e);
	if (r == 0)
		r = no_core(e);
	return r == 0 ? sandbox_capabilities(e) : r;
}

/* ---- what it gets ---- */

static bool kept(const char *v)
{
	static const char *const names[] = {"PATH=", "LANG=", "PEND_", "JOURNAL_STREAM="};
	static const char *const sanitizers[] = {
		"ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "TSAN_OPTIONS="};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strncmp(v, names[i], strlen(names[i])) == 0)
			return true;
	for (size_t i = 0; SANDBOX_OFF && i < sizeof(sanitizers) / sizeof(*sanitizers); i++)
		if (strncmp(v, sanitizers[i], strlen(sanitizers[i])) == 0)
			return true;
	return false;
}

static void clean_env(char *env[ENV_MAX + 1])
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	size_t n = 0;

	if (!getenv("PATH"))
		env[n++] = path;
	for (char **v = environ; *v && n < ENV_MAX; v++)
		if (kept(*v))
			env[n++] = *v;
	env[n] = NULL;
}

static int descriptors(struct err *e)
{
	int fd = open("/dev/null", O_RDONLY);

	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
		return err_sys(e, -errno, "cannot open /dev/null");
	/* all of ours are close-on-exec: this is for what pendd itself was started with */
	syscall(SYS_close_range, FD_FIRST, ~0u, 0);
	return 0;
}

/* As from a shell; what pendd was started with, in the background say, is not the program's business. */
static void signals(void)
{
	for (int i = 1; i < SIGRTMIN; i++)
		signal(i, SIG_DFL); /* EINVAL for two of them */
}

/* A change of user forgets what was asked for before. */
static int end_with(pid_t parent, struct err *e)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0)
		return err_sys(e, -errno, "cannot ask for the end of pendd to be told");
	return getppid() == parent ? 0 : err_set(e, -ESRCH, "pendd has ended");
}

int agent_exec_main(const struct agent_exec *x)
{
	pid_t parent = getppid();
	char *env[ENV_MAX + 1];
	struct err e = {0};
	int r;

	log_open("pend-agent", x->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	signals();
	expendable();
	r = descriptors(&e);
	if (r == 0)
		r = give_up(x, &e);
	if (r == 0)
		r = end_with(parent, &e);
	if (r < 0) {
		log_error(MODULE, "%s", e.text);
		return EXIT_FAILURE;
	}
	clean_env(env);
	execve(x->argv[0], x->argv, env);
	log_error(MODULE, "cannot start %s: %s", x->argv[0], strerror(errno));
	return EXIT_FAILURE;
}
