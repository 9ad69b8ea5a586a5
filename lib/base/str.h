/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Strict parsing and bounded printing of small values. Parsers take the whole string
 * (no leading or trailing space, no sign, no locale) and return 0, -EINVAL (not such a value) or
 * -ERANGE; the out parameter is untouched on error.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal, or hexadecimal with 0x. */
int str_u64(const char *s, uint64_t max, uint64_t *out);
/*
 * "90s", "1500ms", "10m", "8h", "2d", compounds like "1h30m" with each unit smaller than the
 * one before it; the last number may have a fraction ("1.5s") if that makes whole
 * nanoseconds. Units are d h m s ms us ns; one is required unless it is 0.
 */
int str_duration(const char *s, uint64_t *out_ns);
/* "65536", "64k", "16M", "1G" (powers of 1024), in decimal. */
int str_size(const char *s, uint64_t *out_bytes);
bool str_eq(const char *a, const char *b); /* false if either is NULL */

/*
 * Append printf-style to buf[cap] at *len; always terminated; what does not fit is cut and
 * *len stays below cap. Returns false when it was cut.
 */
bool str_append(char *buf, size_t cap, size_t *len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* "1h30m", "1.5s", "250ms": exact, so that str_duration reads the same value back. */
#define STR_DURATION_MAX 40
const char *str_duration_print(uint64_t ns, char buf[STR_DURATION_MAX]);
/*
 * Copy `in` to out[cap] with every byte of what is not printable as \xNN, so that text from
 * outside is safe on a terminal. Printable is ASCII and valid UTF-8 but for controls, line
 * separators and the marks that change the direction of writing. What does not fit is cut,
 * never in the middle of a character; always terminated (unless cap is 0).
 */
void str_sanitize(const char *in, char *out, size_t cap);
/*
 * Edit distance (insert, delete, replace, swap neighbours), capped at `max` + 1. Meant for
 * names: a text longer than STR_DISTANCE_LEN is at distance 0 from itself and above `max`
 * from any other.
 */
#define STR_DISTANCE_LEN 64
unsigned str_distance(const char *a, const char *b, unsigned max);

#endif
