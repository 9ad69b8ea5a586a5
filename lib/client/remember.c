/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long an answer may hold for others: as the daemon reads it, which refuses the whole answer otherwise. */
#include "client/client_impl.h"
#include <string.h>

#define SECOND 1000000000ull
#define MAX_NS (365 * 86400 * SECOND)

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {{"d", 86400 * SECOND}, {"h", 3600 * SECOND}, {"m", 60 * SECOND}, {"s", SECOND},
	     {"ms", 1000000},       {"us", 1000},         {"ns", 1}};

#define UNITS (sizeof(units) / sizeof(units[0]))

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Nothing above the bound has to be told apart. */
static uint64_t sum_of(uint64_t a, uint64_t b)
{
	return a > MAX_NS || b > MAX_NS ? MAX_NS + 1 : a + b;
}

/* So many of a unit; what follows the digits. */
static const char *whole(const char *s, uint64_t *n)
{
	for (*n = 0; digit(*s); s++)
		*n = *n > MAX_NS ? *n : *n * 10 + (uint64_t)(*s - '0');
	return s;
}

/* False: it is finer than a nanosecond. */
static bool fraction(const char *s, uint64_t unit, uint64_t *ns)
{
	for (; digit(*s); s++) {
		uint64_t d = (uint64_t)(*s - '0');

		if (d && unit % 10)
			return false;
		unit /= 10;
		*ns = sum_of(*ns, d * unit);
	}
	return true;
}

static size_t unit_at(const char *s, size_t *len)
{
	size_t i = 0;

	*len = strspn(s, "dhmsun");
	while (i < UNITS && (strlen(units[i].name) != *len || memcmp(units[i].name, s, *len)))
		i++;
	return i;
}

/* "1.5h": what follows; NULL: it is none, or of no smaller unit than *least. */
static const char *part(const char *s, size_t *least, uint64_t *ns)
{
	const char *point;
	uint64_t n;
	size_t len, u;

	if (!digit(*s))
		return NULL;
	s = point = whole(s, &n);
	if (*s == '.')
		s += 1 + strspn(s + 1, "0123456789");
	u = unit_at(s, &len);
	if (s == point + 1 || u < *least || u == UNITS || (s > point && s[len]))
		return NULL;
	*least = u + 1;
	*ns = sum_of(*ns, n > MAX_NS / units[u].ns ? MAX_NS + 1 : n * units[u].ns);
	return s == point || fraction(point + 1, units[u].ns, ns) ? s + len : NULL;
}

bool client_remember_ok(const char *s)
{
	size_t least = 0;
	uint64_t ns = 0;

	do
		s = part(s, &least, &ns);
	while (s && *s);
	return s && ns >= SECOND && ns <= MAX_NS;
}
