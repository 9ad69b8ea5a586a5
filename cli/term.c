/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys, signals and sizes of a terminal; see term.h. */
#include "cli/term.h"
#include <langinfo.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#define ESC 0x1b

int term_signals(void)
{
	static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		sigaddset(&set, wanted[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int term_signal(int fd)
{
	struct signalfd_siginfo si;

	return read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si) ? (int)si.ssi_signo : 0;
}

static int raw(struct term *t)
{
	struct termios tio = t->saved;

	tio.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHONL);
	tio.c_cc[VMIN] = 1;
	tio.c_cc[VTIME] = 0;
	t->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &tio) == 0;
	return t->raw ? 0 : -1;
}

int term_open(struct term *t)
{
	t->raw = false;
	return tcgetattr(STDIN_FILENO, &t->saved) < 0 ? -1 : raw(t);
}

void term_close(struct term *t)
{
	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->saved);
	t->raw = false;
}

void term_stop(struct term *t)
{
	term_close(t);
	raise(SIGSTOP);
	/* the shell's own settings of the meantime are those to come back to */
	tcgetattr(STDIN_FILENO, &t->saved);
	raw(t);
}

void term_size(int *columns, int *lines)
{
	struct winsize ws = {0};

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
	*columns = ws.ws_col ? ws.ws_col : 80;
	*lines = ws.ws_row ? ws.ws_row : 24;
}

int term_key(const unsigned char *s, size_t n, size_t *at)
{
	size_t i = *at;

	if (s[i] != ESC || i + 1 == n) {
		*at = i + 1;
		return s[i];
	}
	i++;
	if (s[i] == '[') { /* parameters, then a letter or ~ (ECMA-48) */
		i++;
		while (i < n && s[i] >= 0x20 && s[i] < 0x40)
			i++;
	} else if (s[i] == 'O') {
		i++;
	}
	*at = i < n ? i + 1 : n;
	return TERM_KEY_NONE;
}

/* Columns of the character at s, and its bytes. */
static int character(const char *s, size_t *bytes)
{
	mbstate_t state = {0};
	wchar_t wc;
	size_t n = mbrtowc(&wc, s, strlen(s), &state);
	int columns;

	if (n == 0 || n == (size_t)-1 || n == (size_t)-2) {
		*bytes = 1;
		return 1;
	}
	*bytes = n;
	columns = wcwidth(wc);
	return columns < 0 ? 1 : columns;
}

void term_cut(char *s, int columns)
{
	while (*s) {
		size_t bytes;

		columns -= character(s, &bytes);
		if (columns < 0)
			*s = '\0';
		else
			s += bytes;
	}
}

int term_width(const char *s)
{
	int columns = 0;
	size_t bytes;

	for (; *s; s += bytes)
		columns += character(s, &bytes);
	return columns;
}

void term_charset(char *s)
{
	if (strcmp(nl_langinfo(CODESET), "UTF-8") == 0)
		return;
	for (; *s; s++)
		if ((unsigned char)*s >= 0x80)
			*s = '?';
}

int64_t term_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
