/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's log: lines on standard error, with the journal's <N> level prefix when that is where
 * they go. Never blocks (a line that cannot be written is dropped and counted), keeps errno,
 * may be called from any thread. Each place in the code that logs is limited to LOG_BURST lines in
 * LOG_INTERVAL_S seconds; the next line that passes says how many were left out. Control
 * characters are replaced, so that no text from outside can make up a line.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdatomic.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

#define LOG_BURST      20
#define LOG_INTERVAL_S 10

/* The memory of one place that logs; static and zeroed. */
struct log_site {
	_Atomic uint32_t window, lines, left_out;
};

/* `program` ("pendd", "pendd-authority") is kept by reference. Lines above `level` are not made. */
void log_open(const char *program, enum log_level level);
void log_set_level(enum log_level level);
/* Lines that could not be written, since the start. */
uint64_t log_dropped(void);

void log_at(struct log_site *site, enum log_level level, const char *module, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#define log_line(level, module, ...)                                    \
	do {                                                            \
		static struct log_site log_site_here;                   \
		log_at(&log_site_here, (level), (module), __VA_ARGS__); \
	} while (0)

#define log_error(module, ...)   log_line(LOG_LEVEL_ERROR, module, __VA_ARGS__)
#define log_warning(module, ...) log_line(LOG_LEVEL_WARNING, module, __VA_ARGS__)
#define log_notice(module, ...)  log_line(LOG_LEVEL_NOTICE, module, __VA_ARGS__)
#define log_info(module, ...)    log_line(LOG_LEVEL_INFO, module, __VA_ARGS__)
#define log_debug(module, ...)   log_line(LOG_LEVEL_DEBUG, module, __VA_ARGS__)

#endif
