/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, prefixes and ranges; sets of them as sorted intervals; files of them. */
#include "core/policy_ast.h"
#include "base/str.h"
#include "core/flow.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void last_address(uint8_t hi[16], uint8_t family, unsigned len)
{
	unsigned i, bits = family == FLOW_V4 ? 32 : 128;

	for (i = len; i < bits; i++)
		hi[i / 8] |= (uint8_t)(0x80u >> i % 8);
}

/* `s` up to `end`, which is NUL or a separator. */
static bool parse_addr(const char *s, const char *end, uint8_t addr[16], uint8_t *family)
{
	char buf[FLOW_ADDR_TEXT + 1] = "";

	if ((size_t)(end - s) >= sizeof(buf))
		return false;
	memcpy(buf, s, (size_t)(end - s));
	return !flow_addr_parse(buf, addr, family);
}

static enum pol_addr_result parse_prefix(const char *s, const char *slash, struct pol_range *r)
{
	uint8_t given[16];
	uint64_t len;

	if (!parse_addr(s, slash, r->lo, &r->family))
		return POL_ADDR_BAD;
	if (str_u64(slash + 1, r->family == FLOW_V4 ? 32 : 128, &len))
		return POL_ADDR_LENGTH;
	memcpy(given, r->lo, 16);
	flow_addr_mask(r->lo, r->family, (unsigned)len);
	memcpy(r->hi, r->lo, 16);
	last_address(r->hi, r->family, (unsigned)len);
	r->prefix = (int16_t)len;
	return memcmp(given, r->lo, 16) ? POL_ADDR_HOST_BITS : POL_ADDR_OK;
}

static enum pol_addr_result parse_range(const char *s, const char *dash, struct pol_range *r)
{
	uint8_t family;

	if (!parse_addr(s, dash, r->lo, &r->family) ||
	    !parse_addr(dash + 1, dash + strlen(dash), r->hi, &family))
		return POL_ADDR_BAD;
	if (family != r->family || memcmp(r->lo, r->hi, 16) > 0)
		return POL_ADDR_ORDER;
	r->prefix = -1;
	return POL_ADDR_OK;
}

enum pol_addr_result pol_range_parse(const char *s, struct pol_range *r)
{
	const char *slash = strchr(s, '/'), *dash = strchr(s, '-');

	*r = (struct pol_range){0};
	if (slash)
		return parse_prefix(s, slash, r);
	if (dash)
		return parse_range(s, dash, r);
	if (!parse_addr(s, s + strlen(s), r->lo, &r->family))
		return POL_ADDR_BAD;
	memcpy(r->hi, r->lo, 16);
	r->prefix = r->family == FLOW_V4 ? 32 : 128;
	return POL_ADDR_OK;
}

void pol_range_print(const struct pol_range *r, struct pol_text *t)
{
	char lo[FLOW_ADDR_TEXT], hi[FLOW_ADDR_TEXT];
	int whole = r->family == FLOW_V4 ? 32 : 128;

	flow_addr_print(r->lo, r->family, lo);
	if (r->prefix == whole)
		pol_text_add(t, "%s", lo);
	else if (r->prefix >= 0)
		pol_text_add(t, "%s/%d", lo, r->prefix);
	else
		pol_text_add(t, "%s-%s", lo, flow_addr_print(r->hi, r->family, hi));
}

/* ------------------------------------------------------------------- intervals ---- */

static bool grow(void **array, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap ? *cap * 2 : 8;
	void *mem;

	if (n <= *cap)
		return true;
	while (more < n)
		more *= 2;
	mem = realloc(*array, more * size);
	if (!mem)
		return false;
	*array = mem;
	*cap = more;
	return true;
}

static uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool room4(struct pol_ranges *rs, size_t more)
{
	void *mem = rs->v4;
	bool ok = grow(&mem, &rs->cap4, rs->n4 + more, sizeof(*rs->v4));

	rs->v4 = mem;
	return ok;
}

static bool room6(struct pol_ranges *rs, size_t more)
{
	void *mem = rs->v6;
	bool ok = grow(&mem, &rs->cap6, rs->n6 + more, sizeof(*rs->v6));

	rs->v6 = mem;
	return ok;
}

bool pol_ranges_add(struct pol_ranges *rs, const struct pol_range *r)
{
	if (r->family == FLOW_V4) {
		if (!room4(rs, 1))
			return false;
		rs->v4[rs->n4++] = (struct pol_v4){load32(r->lo), load32(r->hi)};
		return true;
	}
	if (!room6(rs, 1))
		return false;
	memcpy(rs->v6[rs->n6].lo, r->lo, 16);
	memcpy(rs->v6[rs->n6++].hi, r->hi, 16);
	return true;
}

bool pol_ranges_union(struct pol_ranges *rs, const struct pol_ranges *more)
{
	if (!room4(rs, more->n4) || !room6(rs, more->n6))
		return false;
	if (more->n4)
		memcpy(rs->v4 + rs->n4, more->v4, more->n4 * sizeof(*rs->v4));
	if (more->n6)
		memcpy(rs->v6 + rs->n6, more->v6, more->n6 * sizeof(*rs->v6));
	rs->n4 += more->n4;
	rs->n6 += more->n6;
	return true;
}

static int compare4(const void *a, const void *b)
{
	const struct pol_v4 *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

static int compare6(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* Is `lo` at most one above `hi`? */
static bool touches6(const uint8_t hi[16], const uint8_t lo[16])
{
	uint8_t next[16];
	int i;

	memcpy(next, hi, 16);
	for (i = 15; i >= 0 && ++next[i] == 0; i--)
		;
	return i < 0 || memcmp(lo, next, 16) <= 0;
}

static void merge4(struct pol_ranges *rs)
{
	size_t i, n = 0;

	for (i = 1; i < rs->n4; i++) {
		struct pol_v4 *last = &rs->v4[n], r = rs->v4[i];

		if (last->hi == UINT32_MAX || r.lo <= last->hi + 1)
			last->hi = r.hi > last->hi ? r.hi : last->hi;
		else
			rs->v4[++n] = r;
	}
	rs->n4 = n + 1;
}

static void merge6(struct pol_ranges *rs)
{
	size_t i, n = 0;

	for (i = 1; i < rs->n6; i++) {
		struct pol_v6 *last = &rs->v6[n], r = rs->v6[i];

		if (!touches6(last->hi, r.lo))
			rs->v6[++n] = r;
		else if (memcmp(r.hi, last->hi, 16) > 0)
			memcpy(last->hi, r.hi, 16);
	}
	rs->n6 = n + 1;
}

void pol_ranges_normalize(struct pol_ranges *rs)
{
	if (rs->n4) {
		qsort(rs->v4, rs->n4, sizeof(*rs->v4), compare4);
		merge4(rs);
	}
	if (rs->n6) {
		qsort(rs->v6, rs->n6, sizeof(*rs->v6), compare6);
		merge6(rs);
	}
}

void pol_ranges_deinit(struct pol_ranges *rs)
{
	free(rs->v4);
	free(rs->v6);
	*rs = (struct pol_ranges){0};
}

/* ---------------------------------------------------------------------- parsing ---- */

static bool range_error(struct pol_parser *ps, const struct pol_loc *at, const char *s,
			enum pol_addr_result res, const struct pol_range *r)
{
	char show[POL_SHOW_MAX];

	switch (res) {
	case POL_ADDR_OK:
		return true;
	case POL_ADDR_HOST_BITS:
		pol_warn(ps, at, "\"%s\" has bits behind its prefix length; they are ignored",
			 pol_show(s, show));
		return true;
	case POL_ADDR_LENGTH:
		return pol_error(ps, at, "a prefix length is a number from 0 to %d",
				 r->family == FLOW_V4 ? 32 : 128);
	case POL_ADDR_ORDER:
		return pol_error(ps, at,
				 "a range goes from a lower to a higher address of one family");
	case POL_ADDR_BAD:
		break;
	}
	return pol_error(ps, at, "\"%s\" is no address, prefix or range", pol_show(s, show));
}

static bool item_add(struct pol_parser *ps, struct pol_items *items, const struct pol_item *it)
{
	struct pol_item *copy = pol_alloc(&ps->p->arena, sizeof(*copy));

	if (!copy)
		return pol_oom(ps);
	*copy = *it;
	if (items->last)
		items->last->next = copy;
	else
		items->first = copy;
	items->last = copy;
	items->n++;
	return true;
}

bool pol_parse_address(struct pol_parser *ps, struct pol_items *items)
{
	struct pol_item it = {.loc = ps->tok.loc, .kind = POL_RANGE};
	const char *s = ps->tok.text;

	if (ps->tok.type == TOK_SET) {
		it.kind = POL_REF;
		it.name = pol_strndup(&ps->p->arena, s, strlen(s));
		pol_advance(ps);
		return it.name ? item_add(ps, items, &it) : pol_oom(ps);
	}
	if (ps->tok.type != TOK_WORD || pol_begins_statement(&ps->tok))
		return pol_expected(ps, "an address, prefix, range or @set");
	pol_advance(ps);
	return range_error(ps, &it.loc, s, pol_range_parse(s, &it.range), &it.range) &&
	       item_add(ps, items, &it);
}

/* One line of a set file: blank, comment, or one element with perhaps a comment behind it. */
static bool set_line(struct pol_parser *ps, struct pol_set *set, const char *line, size_t len,
		     struct pol_loc *at)
{
	const char *hash = memchr(line, '#', len), *nul = memchr(line, '\0', len);
	char text[2 * FLOW_ADDR_TEXT + 2] = "";
	struct pol_range r;
	enum pol_addr_result res;
	size_t skip = 0;

	if (at->line == 1 && len >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) /* as in a policy */
		skip = 3;
	if (nul) { /* it would hide what is behind it */
		at->col = (uint32_t)(nul - line) + 1;
		at->len = 1;
		return pol_error(ps, at, "line has a NUL byte");
	}
	if (hash)
		len = (size_t)(hash - line);
	while (len > skip && strchr(" \t\r", line[len - 1]))
		len--;
	while (skip < len && strchr(" \t", line[skip]))
		skip++;
	len -= skip;
	if (!len)
		return true;
	at->col = (uint32_t)skip + 1;
	at->len = (uint32_t)len;
	if (len < sizeof(text))
		memcpy(text, line + skip, len);
	res = pol_range_parse(text, &r);
	if (res == POL_ADDR_HOST_BITS) /* usual in lists that others publish */
		res = POL_ADDR_OK;
	if (len >= sizeof(text))
		return pol_error(ps, at, "line is too long for an address, prefix or range");
	if (res != POL_ADDR_OK)
		return range_error(ps, at, text, res, &r);
	if (set->ranges.n4 + set->ranges.n6 == POLICY_SET_MAX)
		return pol_error(ps, at, "set \"%s\" has more than %d elements", set->name,
				 POLICY_SET_MAX);
	return pol_ranges_add(&set->ranges, &r) ? true : pol_oom(ps);
}

static bool set_lines(struct pol_parser *ps, struct pol_set *set, uint32_t file)
{
	struct pol_loc at = {.file = file, .line = 1};
	const char *s = ps->p->files[file].text, *end = s + ps->p->files[file].len, *nl;
	bool ok = true;

	for (; s < end && !pol_stopped(ps); s = nl + 1, at.line++) {
		nl = memchr(s, '\n', (size_t)(end - s));
		if (!nl)
			nl = end;
		if (!set_line(ps, set, s, (size_t)(nl - s), &at)) {
			ok = false;
			if (set->ranges.n4 + set->ranges.n6 == POLICY_SET_MAX)
				break;
		}
	}
	return ok;
}

static bool read_set_file(struct pol_parser *ps, const char *path, const struct pol_loc *at,
			  uint32_t *file)
{
	const char *from = ps->p->files[at->file].name;
	char *name = pol_path(&ps->tmp, from, path), *text = NULL, show[POL_SHOW_MAX];
	size_t len = 0;
	int err;

	if (!name)
		return pol_oom(ps);
	if (ps->p->nfiles >= POLICY_FILES_MAX)
		return pol_error(ps, at, "more than %d files", POLICY_FILES_MAX);
	err = ps->loader->read(ps->loader->ctx, from, path, &text, &len);
	if (err)
		return pol_error(ps, at, "cannot read \"%s\": %s", pol_show(name, show),
				 strerror(-err));
	if (len > POLICY_SETFILE_MAX) {
		free(text);
		return pol_error(ps, at, "\"%s\" is larger than 64 MiB", pol_show(name, show));
	}
	*file = pol_file_add(ps->p, name, text, len);
	return *file == UINT32_MAX ? pol_oom(ps) : true;
}

bool pol_parse_set_file(struct pol_parser *ps, struct pol_set *set, const char *path,
			const struct pol_loc *at)
{
	uint32_t file = 0;

	if (!read_set_file(ps, path, at, &file))
		return false;
	/* Errors in there were reported; the statement that names the file is not at fault. */
	set_lines(ps, set, file);
	free(ps->p->files[file].text);
	ps->p->files[file].text = NULL;
	return true;
}
