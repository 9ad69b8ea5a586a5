/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A terminal that gives single keys, and signals that are read like input, so that the terminal is
 * given back as it was on every way out.
 */
#ifndef CLI_TERM_H
#define CLI_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

struct term {
	struct termios saved;
	bool raw;
	int signals; /* descriptor: to poll for input */
};

/* Signals that end a screen, stop it or change its size, as a descriptor; -1 with errno. */
int term_signals(void);
/* The next one that has come, or 0. */
int term_signal(int fd);
/* Keys come one by one and are not shown. 0, or -1 with errno. */
int term_open(struct term *t);
/* As it was; idempotent. */
void term_close(struct term *t);
/* For SIGTSTP: as it was, stop, and, when somebody says go on, raw again. */
void term_stop(struct term *t);
/* Columns and lines; 80 and 24 where the terminal does not say. */
void term_size(int *columns, int *lines);

/*
 * The next key in s[*at..n), moving *at: a byte, or TERM_KEY_NONE for what means nothing here
 * (arrows, function keys and the like, which are whole sequences). An ESC alone is a key.
 */
#define TERM_KEY_NONE 0
int term_key(const unsigned char *s, size_t n, size_t *at);

/* Cut to so many columns of a terminal, never within a character. What is not of this locale counts
 * a column a byte. */
void term_cut(char *s, int columns);
int term_width(const char *s);
/* What a terminal of another charset than UTF-8 could take for its own controls becomes '?'. */
void term_charset(char *s);

int64_t term_now_ms(void);

#endif
