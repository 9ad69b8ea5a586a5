/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strict parsing and bounded printing of small values: see str.h. */
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A number that grows digit by digit and remembers that it grew too large. */
struct number {
	uint64_t v;
	bool over;
};

static void number_mul_add(struct number *n, uint64_t factor, uint64_t add)
{
	n->over |= __builtin_mul_overflow(n->v, factor, &n->v);
	n->over |= __builtin_add_overflow(n->v, add, &n->v);
}

/* The value of a digit of base 10 or 16, -1 if it is none. */
static int digit_value(char c, unsigned base)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (base == 16 && c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (base == 16 && c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One or more digits; the first character after them, NULL if there are none. */
static const char *read_digits(const char *s, unsigned base, struct number *n)
{
	const char *p = s;
	int d;

	for (*n = (struct number){0}; (d = digit_value(*p, base)) >= 0; p++)
		number_mul_add(n, base, (uint64_t)d);
	return p == s ? NULL : p;
}

static int number_store(const struct number *n, uint64_t max, uint64_t *out)
{
	if (n->over || n->v > max)
		return -ERANGE;
	*out = n->v;
	return 0;
}

int str_u64(const char *s, uint64_t max, uint64_t *out)
{
	struct number n;

	if (s[0] == '0' && s[1] == 'x')
		s = read_digits(s + 2, 16, &n);
	else
		s = read_digits(s, 10, &n);
	if (!s || *s)
		return -EINVAL;
	return number_store(&n, max, out);
}

struct unit {
	const char *name;
	uint64_t ns;
};

/* From large to small, which is also the order within a compound. */
static const struct unit units[] = {
	{"d", 86400000000000}, {"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000},
	{"ms", 1000000},       {"us", 1000},         {"ns", 1},
};

#define UNITS (sizeof(units) / sizeof(units[0]))

/* The unit that the letters at `s` name; UNITS if they name none. */
static size_t find_unit(const char *s, size_t *len)
{
	size_t i = 0;

	*len = strspn(s, "dhmsun");
	while (i < UNITS && (strlen(units[i].name) != *len || memcmp(units[i].name, s, *len)))
		i++;
	return i;
}

/* Adds the digits after a point, in a unit of `scale` ns; false below one nanosecond. */
static bool add_fraction(struct number *sum, const char *digits, size_t len, uint64_t scale)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t d = (uint64_t)(digits[i] - '0');

		if (d && scale % 10)
			return false;
		scale /= 10;
		number_mul_add(sum, 1, d * scale);
	}
	return true;
}

/*
 * One "1.5h" of a compound, with a unit smaller than *unit, which is set to it. Returns
 * what follows, NULL if there is no such thing.
 */
static const char *read_part(const char *s, size_t *unit, struct number *sum)
{
	const char *frac;
	size_t len, frac_len = 0;
	struct number n;
	size_t u;

	s = read_digits(s, 10, &n);
	if (!s)
		return NULL;
	frac = s + 1;
	if (*s == '.') {
		frac_len = strspn(frac, "0123456789");
		s = frac + frac_len;
		if (!frac_len)
			return NULL;
	}
	u = find_unit(s, &len);
	if (u == UNITS || (*unit != UNITS && u <= *unit))
		return NULL;
	if (frac_len && s[len])
		return NULL;
	*unit = u;
	number_mul_add(&n, units[u].ns, 0);
	sum->over |= n.over;
	number_mul_add(sum, 1, n.v);
	return add_fraction(sum, frac, frac_len, units[u].ns) ? s + len : NULL;
}

int str_duration(const char *s, uint64_t *out_ns)
{
	struct number sum = {0};
	size_t unit = UNITS;

	if (str_eq(s, "0")) {
		*out_ns = 0;
		return 0;
	}
	do {
		s = read_part(s, &unit, &sum);
		if (!s)
			return -EINVAL;
	} while (*s);
	return number_store(&sum, UINT64_MAX, out_ns);
}

int str_size(const char *s, uint64_t *out_bytes)
{
	static const char suffix[] = "kMG";
	struct number n;
	const char *p;

	s = read_digits(s, 10, &n);
	if (!s)
		return -EINVAL;
	p = *s ? strchr(suffix, *s) : NULL;
	if (p) {
		number_mul_add(&n, 1ull << (10 * (p - suffix + 1)), 0);
		s++;
	}
	if (*s)
		return -EINVAL;
	return number_store(&n, UINT64_MAX, out_bytes);
}

bool str_eq(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

bool str_append(char *buf, size_t cap, size_t *len, const char *fmt, ...)
{
	size_t room;
	va_list ap;
	int n;

	if (*len >= cap)
		return false;
	room = cap - *len;
	va_start(ap, fmt);
	n = vsnprintf(buf + *len, room, fmt, ap);
	va_end(ap);
	if (n < 0) {
		buf[*len] = '\0';
		return false;
	}
	if ((size_t)n < room) {
		*len += (size_t)n;
		return true;
	}
	*len = cap - 1;
	return false;
}

/* `ns` in a unit, with as many digits after the point as it needs. */
static void print_decimal(char *buf, size_t *len, uint64_t ns, const struct unit *u)
{
	uint64_t rest = ns % u->ns;
	uint64_t scale = u->ns;

	str_append(buf, STR_DURATION_MAX, len, "%" PRIu64 "%s", ns / u->ns, rest ? "." : "");
	while (rest) {
		scale /= 10;
		str_append(buf, STR_DURATION_MAX, len, "%" PRIu64, rest / scale);
		rest %= scale;
	}
	str_append(buf, STR_DURATION_MAX, len, "%s", u->name);
}

const char *str_duration_print(uint64_t ns, char buf[STR_DURATION_MAX])
{
	const struct unit *u = units;
	size_t len = 0;

	if (!ns) {
		str_append(buf, STR_DURATION_MAX, &len, "0s");
		return buf;
	}
	for (; ns && !str_eq(u->name, "s"); u++) {
		if (ns >= u->ns)
			str_append(buf, STR_DURATION_MAX, &len, "%" PRIu64 "%s", ns / u->ns,
				   u->name);
		ns %= u->ns;
	}
	while (ns && ns < u->ns)
		u++;
	if (ns)
		print_decimal(buf, &len, ns, u);
	return buf;
}

/* The length of a UTF-8 sequence by its first byte, 0 if none begins with it. */
static size_t utf8_len(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >> 5 == 0x06)
		return 2;
	if (first >> 4 == 0x0e)
		return 3;
	return first >> 3 == 0x1e ? 4 : 0;
}

/*
 * The length of the UTF-8 sequence at `s` and its code point; 0 if it is not valid: cut
 * short, longer than needed, a surrogate, or above U+10FFFF (RFC 3629).
 */
static size_t utf8_decode(const unsigned char *s, uint32_t *cp)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = utf8_len(s[0]);

	if (len < 2) {
		*cp = s[0];
		return len;
	}
	*cp = s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (s[i] & 0x3f);
	}
	if (*cp < least[len] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff))
		return 0;
	return len;
}

/* Controls, line and paragraph separators, and what changes the direction of writing. */
static bool is_unsafe(uint32_t cp)
{
	if (cp < 0x20 || (cp >= 0x7f && cp <= 0x9f))
		return true;
	if (cp == 0x061c || cp == 0x200e || cp == 0x200f)
		return true;
	return (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

/* One byte as \xNN; its length, 0 if there is no room for it and a terminator. */
static size_t put_escaped(char *out, size_t room, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char text[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

	if (room <= sizeof(text))
		return 0;
	memcpy(out, text, sizeof(text));
	return sizeof(text);
}

void str_sanitize(const char *in, char *out, size_t cap)
{
	const unsigned char *s = (const unsigned char *)in;
	size_t n;

	if (!cap)
		return;
	while (*s) {
		uint32_t cp;
		size_t len = utf8_decode(s, &cp);

		if (!len || is_unsafe(cp)) {
			/* Byte by byte: the bytes that follow cannot start a sequence. */
			len = 1;
			n = put_escaped(out, cap, *s);
		} else {
			n = len < cap ? len : 0;
			memcpy(out, s, n);
		}
		if (!n)
			break;
		s += len;
		out += n;
		cap -= n;
	}
	*out = '\0';
}

static unsigned min_u(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Row `i` of the table of distances between prefixes of a and of b, from the two before. */
static void distance_row(const char *a, const char *b, size_t i,
			 unsigned row[3][STR_DISTANCE_LEN + 1])
{
	unsigned *cur = row[i % 3], *up = row[(i + 2) % 3], *upup = row[(i + 1) % 3];

	cur[0] = (unsigned)i;
	for (size_t j = 1; b[j - 1]; j++) {
		cur[j] = min_u(min_u(up[j], cur[j - 1]) + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
		if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
			cur[j] = min_u(cur[j], upup[j - 2] + 1);
	}
}

unsigned str_distance(const char *a, const char *b, unsigned max)
{
	unsigned row[3][STR_DISTANCE_LEN + 1];
	size_t alen = strlen(a), blen = strlen(b);
	unsigned d;

	if (alen > STR_DISTANCE_LEN || blen > STR_DISTANCE_LEN) {
		if (!strcmp(a, b))
			return 0;
		return max == UINT32_MAX ? max : max + 1;
	}
	for (size_t j = 0; j <= blen; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= alen; i++)
		distance_row(a, b, i, row);
	d = row[alen % 3][blen];
	return d > max ? max + 1 : d;
}
