/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's log; see log.h. */
#include "daemon/log.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 2048 /* below PIPE_BUF, so that a line is written whole */

static struct {
	const char *program;
	bool journal;
	_Atomic int level;
	_Atomic uint64_t dropped;
} state = {.program = "pendd", .level = LOG_LEVEL_INFO};

void log_open(const char *program, enum log_level level)
{
	state.program = program;
	state.journal = getenv("JOURNAL_STREAM") != NULL;
	atomic_store(&state.level, level);
}

void log_set_level(enum log_level level)
{
	atomic_store(&state.level, level);
}

uint64_t log_dropped(void)
{
	return atomic_load(&state.dropped);
}

/* May this place log now? *left_out: lines that were kept back since its last one. */
static bool site_pass(struct log_site *s, uint32_t *left_out)
{
	struct timespec ts;
	uint32_t window;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	window = (uint32_t)(ts.tv_sec / LOG_INTERVAL_S) + 1;
	if (atomic_exchange(&s->window, window) != window)
		atomic_store(&s->lines, 0);
	if (atomic_fetch_add(&s->lines, 1) >= LOG_BURST) {
		atomic_fetch_add(&s->left_out, 1);
		return false;
	}
	*left_out = atomic_exchange(&s->left_out, 0);
	return true;
}

/* The journal's stream is a socket; a terminal, file or pipe is not. */
static void line_write(const char *line, size_t len)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t r = send(STDERR_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (r < 0 && errno == ENOTSOCK && poll(&p, 1, 0) == 1 && p.revents & POLLOUT)
		r = write(STDERR_FILENO, line, len);
	if (r != (ssize_t)len)
		atomic_fetch_add(&state.dropped, 1);
}

static size_t line_clean(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len] = '\n';
	return len + 1;
}

/* Where the text ends after snprintf returned n for buf[at..cap). */
static size_t line_end(size_t at, size_t cap, int n)
{
	if (n < 0)
		return at;
	return at + (size_t)n < cap ? at + (size_t)n : cap - 1;
}

void log_at(struct log_site *site, enum log_level level, const char *module, const char *fmt, ...)
{
	int saved = errno;
	uint32_t left_out = 0;
	char line[LOG_LINE_MAX];
	size_t len = 0;
	va_list ap;

	if ((int)level > atomic_load_explicit(&state.level, memory_order_relaxed) ||
	    !site_pass(site, &left_out)) {
		errno = saved;
		return;
	}
	if (state.journal)
		len = line_end(len, sizeof(line), snprintf(line, sizeof(line), "<%d>", (int)level));
	else
		len = line_end(len, sizeof(line),
			       snprintf(line, sizeof(line), "%s: ", state.program));
	len = line_end(len, sizeof(line), snprintf(line + len, sizeof(line) - len, "%s: ", module));
	errno = saved; /* for %m */
	va_start(ap, fmt);
	len = line_end(len, sizeof(line), vsnprintf(line + len, sizeof(line) - len, fmt, ap));
	va_end(ap);
	if (left_out)
		len = line_end(
			len, sizeof(line),
			snprintf(line + len, sizeof(line) - len, " (%u more like this)", left_out));
	line_write(line, line_clean(line, len));
	errno = saved;
}
