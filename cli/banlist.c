/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plain lists and fail2ban's; see banlist.h. */
#include "cli/banlist.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLANK " \t\r"

/* ---- one entry ---- */

static void *grow(void *array, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? 2 * *cap : 64;
	void *p;

	if (n < *cap)
		return array;
	p = realloc(array, want * size);
	if (p)
		*cap = want;
	return p;
}

int banlist_skip(struct banlist *l, const char *text, size_t len, unsigned line, const char *why)
{
	struct banlist_skip *all;

	l->skipped++;
	if (l->nskip == BANLIST_SKIPPED)
		return 0;
	all = grow(l->skip, l->nskip, &l->skip_cap, sizeof(*all));
	if (!all)
		return -ENOMEM;
	l->skip = all;
	all[l->nskip] = (struct banlist_skip){.line = line, .why = why};
	snprintf(all[l->nskip++].text, BANLIST_TEXT, "%.*s",
		 (int)(len < BANLIST_TEXT ? len : BANLIST_TEXT - 1), text);
	return 0;
}

/* The family, 4 or 6; 0: no address. An IPv4 address in IPv6 clothes is an IPv4 address. */
static int address(const char *s, uint8_t out[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	uint8_t v6[16];

	memset(out, 0, 16);
	if (inet_pton(AF_INET, s, out) == 1)
		return 4;
	if (inet_pton(AF_INET6, s, v6) != 1)
		return 0;
	if (memcmp(v6, mapped, sizeof(mapped)) == 0) {
		memcpy(out, v6 + 12, 4);
		return 4;
	}
	memcpy(out, v6, 16);
	return 6;
}

static const char *print(int family, const uint8_t addr[16], char buf[INET6_ADDRSTRLEN])
{
	return inet_ntop(family == 4 ? AF_INET : AF_INET6, addr, buf, INET6_ADDRSTRLEN);
}

/* NULL: it is in `out`; else why not. */
static const char *prefix(const char *text, const char *slash, char out[BANLIST_ELEMENT])
{
	char head[64], name[INET6_ADDRSTRLEN], *end;
	unsigned long len = strtoul(slash + 1, &end, 10);
	uint8_t a[16];
	int family;

	snprintf(head, sizeof(head), "%.*s", (int)(slash - text), text);
	family = address(head, a);
	if (!family || slash[1] < '0' || slash[1] > '9' || *end || len > (family == 4 ? 32 : 128))
		return "no prefix";
	if (!len)
		return "that is everybody";
	for (size_t bit = len; bit < 128; bit++)
		a[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	snprintf(out, BANLIST_ELEMENT, "%s/%lu", print(family, a, name), len);
	return NULL;
}

static const char *range(const char *text, const char *dash, char out[BANLIST_ELEMENT])
{
	char head[64], lo_name[INET6_ADDRSTRLEN], hi_name[INET6_ADDRSTRLEN];
	uint8_t lo[16], hi[16];
	int family;

	snprintf(head, sizeof(head), "%.*s", (int)(dash - text), text);
	family = address(head, lo);
	if (!family || address(dash + 1, hi) != family)
		return "no range";
	if (memcmp(lo, hi, 16) > 0)
		return "a range that ends before it begins";
	snprintf(out, BANLIST_ELEMENT, "%s-%s", print(family, lo, lo_name),
		 print(family, hi, hi_name));
	return NULL;
}

static const char *element(const char *text, char out[BANLIST_ELEMENT])
{
	const char *slash = strchr(text, '/'), *dash = strchr(text, '-');
	char name[INET6_ADDRSTRLEN];
	uint8_t a[16];
	int family;

	if (slash)
		return prefix(text, slash, out);
	if (dash)
		return range(text, dash, out);
	family = address(text, a);
	if (!family)
		return "no address";
	snprintf(out, BANLIST_ELEMENT, "%s", print(family, a, name));
	return NULL;
}

int banlist_take(struct banlist *l, const char *text, size_t len, int64_t until, unsigned line,
		 bool allow, int64_t now)
{
	struct ban b = {.until = until, .line = line, .allow = allow}, *all;
	char copy[BANLIST_ELEMENT];
	const char *why;

	if (until && until <= now)
		return banlist_skip(l, text, len, line, "it is over");
	if (len >= sizeof(copy) || memchr(text, '\0', len))
		return banlist_skip(l, text, len, line, "no address");
	memcpy(copy, text, len);
	copy[len] = '\0';
	why = element(copy, b.element);
	if (why)
		return banlist_skip(l, text, len, line, why);
	if (l->n == BANLIST_MAX)
		return -E2BIG;
	all = grow(l->ban, l->n, &l->cap, sizeof(*all));
	if (!all)
		return -ENOMEM;
	l->ban = all;
	all[l->n++] = b;
	return 0;
}

/* ---- lines ---- */

struct line {
	const char *s;
	size_t len;
	unsigned number;
};

/* The next line without its blanks; false: there is none. */
static bool next_line(const char **at, const char *end, struct line *l)
{
	const char *nl;

	if (*at >= end)
		return false;
	nl = memchr(*at, '\n', (size_t)(end - *at));
	l->s = *at;
	l->len = (size_t)((nl ? nl : end) - *at);
	l->number++;
	*at = nl ? nl + 1 : end;
	while (l->len && strchr(BLANK, l->s[0]) && l->s[0])
		l->s++, l->len--;
	while (l->len && strchr(BLANK, l->s[l->len - 1]) && l->s[l->len - 1])
		l->len--;
	return true;
}

static size_t word(const struct line *l, size_t from)
{
	size_t n = from;

	while (n < l->len && l->s[n] != ' ' && l->s[n] != '\t')
		n++;
	return n - from;
}

static size_t blanks(const struct line *l, size_t from)
{
	size_t n = from;

	while (n < l->len && (l->s[n] == ' ' || l->s[n] == '\t'))
		n++;
	return n - from;
}

static void strip_comment(struct line *l)
{
	for (size_t i = 0; i < l->len; i++)
		if (l->s[i] == '#' || l->s[i] == ';') {
			l->len = i;
			break;
		}
	while (l->len && (l->s[l->len - 1] == ' ' || l->s[l->len - 1] == '\t'))
		l->len--;
}

/* The first word; "a - b" is a range, and whatever else follows is about the address. */
static int list_line(struct banlist *l, struct line *in, int64_t now)
{
	bool allow = in->len && in->s[0] == '!';
	char joined[BANLIST_ELEMENT];
	size_t first, dash, last;
	int n;

	if (allow) {
		in->s++, in->len--;
		first = blanks(in, 0);
		in->s += first, in->len -= first;
	}
	first = word(in, 0);
	dash = first + blanks(in, first);
	last = dash + 1 + blanks(in, dash + 1 < in->len ? dash + 1 : in->len);
	if (dash >= in->len || in->s[dash] != '-' || last >= in->len)
		return banlist_take(l, in->s, first, 0, in->number, allow, now);
	n = snprintf(joined, sizeof(joined), "%.*s-%.*s", (int)(first < 60 ? first : 60), in->s,
		     (int)(word(in, last) < 60 ? word(in, last) : 60), in->s + last);
	if (n < 0 || (size_t)n >= sizeof(joined))
		return banlist_skip(l, in->s, in->len, in->number, "no range");
	return banlist_take(l, joined, (size_t)n, 0, in->number, allow, now);
}

static int parse_list(struct banlist *l, const char *data, size_t len, int64_t now)
{
	const char *at = data, *end = data + len;
	struct line in = {.number = 0};
	int r = 0;

	while (!r && next_line(&at, end, &in)) {
		strip_comment(&in);
		if (in.len)
			r = list_line(l, &in, now);
	}
	return r;
}

/* ---- fail2ban ---- */

/* "... = 2026-01-31 12:00:00", local; for ever is the year 9999. -1: it is none. */
static int64_t local_time(const char *s, size_t len)
{
	struct tm tm = {.tm_isdst = -1};
	char text[32], *end;
	time_t t;

	if (len >= sizeof(text))
		return -1;
	memcpy(text, s, len);
	text[len] = '\0';
	end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	if (!end || *end)
		return -1;
	if (tm.tm_year >= 9999 - 1900)
		return 0;
	t = mktime(&tm);
	return t == (time_t)-1 ? -1 : (int64_t)t;
}

/* "203.0.113.7 \t2026-01-31 12:00:00 + 600 = 2026-01-31 12:10:00", or addresses alone. */
static int fail2ban_line(struct banlist *l, const struct line *in, int64_t now)
{
	const char *equal = memchr(in->s, '=', in->len);
	size_t at = 0, n;
	int64_t until;
	int r = 0;

	if (equal) {
		n = (size_t)(equal - in->s) + 1;
		n += blanks(in, n);
		until = local_time(in->s + n, in->len - n);
		if (until < 0)
			return banlist_skip(l, in->s, in->len, in->number, "no time when it ends");
		return banlist_take(l, in->s, word(in, 0), until, in->number, false, now);
	}
	for (; !r && at < in->len; at += n + blanks(in, at + n)) {
		n = word(in, at);
		r = banlist_take(l, in->s + at, n, 0, in->number, false, now);
	}
	return r;
}

/* "[{'sshd': ['203.0.113.7', '203.0.113.8']}, {'nginx': []}]": strings that are not names. */
static int fail2ban_repr(struct banlist *l, const char *data, size_t len, int64_t now)
{
	const char *at = data, *end = data + len;
	unsigned line = 1;
	int r = 0;

	while (!r && at < end) {
		const char *close, *next;

		line += *at == '\n';
		if (*at != '\'' && *at != '"') {
			at++;
			continue;
		}
		close = memchr(at + 1, *at, (size_t)(end - at - 1));
		if (!close)
			return banlist_skip(l, at, (size_t)(end - at), line,
					    "a text that does not end");
		for (next = close + 1; next < end && *next == ' ';)
			next++;
		if (next >= end || *next != ':')
			r = banlist_take(l, at + 1, (size_t)(close - at - 1), 0, line, false, now);
		at = close + 1;
	}
	return r;
}

static int parse_fail2ban(struct banlist *l, const char *data, size_t len, int64_t now)
{
	const char *at = data, *end = data + len;
	struct line in = {.number = 0};
	int r = 0;

	while (len && strchr(" \t\r\n", *at) && *at)
		at++, len--;
	if (len && *at == '[')
		return fail2ban_repr(l, at, len, now);
	at = data;
	while (!r && next_line(&at, end, &in))
		if (in.len)
			r = fail2ban_line(l, &in, now);
	return r;
}

/* ---- which is it? ---- */

int banlist_format_parse(const char *name)
{
	static const char *const names[] = {"auto", "list", "fail2ban", "crowdsec"};

	for (int i = 0; i < 4; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

static bool begins(const char *at, const char *end, const char *what)
{
	size_t n = strlen(what);

	return (size_t)(end - at) >= n && memcmp(at, what, n) == 0;
}

/* fail2ban's list is Python's, and its names have one quote. */
static enum banlist_format guess_bracket(const char *at, const char *end)
{
	for (at++; at < end && strchr(" \t\r\n[{", *at) && *at;)
		at++;
	return at < end && *at == '\'' ? BANLIST_FAIL2BAN : BANLIST_CROWDSEC;
}

static enum banlist_format guess(const char *data, size_t len)
{
	const char *at = data, *end = data + len;
	struct line in = {.number = 0};

	while (at < end && strchr(" \t\r\n", *at) && *at)
		at++;
	if (at < end && *at == '[')
		return guess_bracket(at, end);
	if (begins(at, end, "id,source,") || begins(at, end, "null"))
		return BANLIST_CROWDSEC;
	while (next_line(&at, end, &in))
		if (memmem(in.s, in.len, " + ", 3) && memmem(in.s, in.len, " = ", 3))
			return BANLIST_FAIL2BAN;
		else if (in.len && in.s[0] != '#' && in.s[0] != ';')
			break;
	return BANLIST_LIST;
}

int banlist_parse(struct banlist *out, const char *data, size_t len, enum banlist_format format,
		  int64_t now, const char **error)
{
	*error = "";
	memset(out, 0, sizeof(*out));
	out->format = format == BANLIST_AUTO ? guess(data, len) : format;
	switch (out->format) {
	case BANLIST_FAIL2BAN:
		return parse_fail2ban(out, data, len, now);
	case BANLIST_CROWDSEC:
		return banlist_crowdsec(out, data, len, now, error);
	case BANLIST_AUTO:
	case BANLIST_LIST:
		break;
	}
	return parse_list(out, data, len, now);
}

void banlist_deinit(struct banlist *l)
{
	free(l->ban);
	free(l->skip);
	memset(l, 0, sizeof(*l));
}

/* ---- groups ---- */

static int compare(const void *a, const void *b)
{
	const struct ban *x = a, *y = b;

	if (x->allow != y->allow)
		return x->allow ? 1 : -1;
	return x->until < y->until ? -1 : x->until > y->until;
}

/* By the clock, not by how long it is from now: the same end is the same each time that a list is imported. */
static int64_t round_up(int64_t until, int64_t step)
{
	return (until + step - 1) / step * step;
}

static size_t count(const struct banlist *l, int64_t step)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct ban *b = &l->ban[i], *before = i ? b - 1 : NULL;

		n += !before || before->allow != b->allow || !before->until != !b->until ||
		     (b->until && round_up(b->until, step) != round_up(before->until, step));
	}
	return n;
}

int64_t banlist_group(struct banlist *l, size_t most)
{
	int64_t step = 60;

	if (l->n)
		qsort(l->ban, l->n, sizeof(*l->ban), compare);
	while (count(l, step) > most && step < INT64_C(1) << 40)
		step *= 2;
	for (size_t i = 0; i < l->n; i++)
		if (l->ban[i].until)
			l->ban[i].until = round_up(l->ban[i].until, step);
	return step - 1;
}
