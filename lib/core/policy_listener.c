/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conditions on the socket that would take the connection: read, and printed as they are read. */
#include "core/policy_ast.h"
#include "base/str.h"
#include "core/classify_listener.h"
#include <errno.h>
#include <string.h>

#define ID_MAX (UINT32_MAX - 1) /* the last one means "none" to the kernel */

/* ------------------------------------------------------------- users and groups ---- */

static bool id_add(struct pol_parser *ps, struct pol_id **list, struct pol_id id)
{
	struct pol_id *copy = pol_alloc(&ps->p->arena, sizeof(*copy));

	if (!copy)
		return pol_oom(ps);
	*copy = id;
	while (*list)
		list = &(*list)->next;
	*list = copy;
	return true;
}

/* "1000" or "1000-1999" */
static bool id_number(const char *s, struct pol_id *id)
{
	const char *dash = strchr(s, '-');
	char head[POLICY_WORD_MAX + 1] = "";
	uint64_t lo, hi;

	memcpy(head, s, dash ? (size_t)(dash - s) : strlen(s));
	if (str_u64(head, ID_MAX, &lo) || (dash && str_u64(dash + 1, ID_MAX, &hi)))
		return false;
	if (!dash)
		hi = lo;
	*id = (struct pol_id){.lo = (uint32_t)lo, .hi = (uint32_t)hi};
	return lo <= hi;
}

static bool id_lookup(struct pol_parser *ps, const struct pol_loc *at, bool group, const char *name,
		      struct pol_id *id)
{
	const char *what = group ? "group" : "user";
	char show[POL_SHOW_MAX];
	int err;

	pol_show(name, show);
	if (!ps->loader->id)
		return pol_error(ps, at, "names of %ss are not known here, give a number", what);
	err = ps->loader->id(ps->loader->ctx, group, name, &id->lo);
	if (err == -ENOENT)
		return pol_unknown(ps, at, what, name, NULL);
	if (err)
		return pol_error(ps, at, "cannot look up %s \"%s\": %s", what, show,
				 strerror(-err));
	id->hi = id->lo;
	id->name = pol_strndup(&ps->p->arena, name, strlen(name));
	return id->name ? true : pol_oom(ps);
}

static bool element_id(struct pol_parser *ps, struct pol_id **list, bool group)
{
	bool word = ps->tok.type == TOK_WORD;
	struct pol_id id = {0};
	struct pol_loc loc;
	const char *s = pol_value(ps, group ? "a group" : "a user", &loc);

	if (!s)
		return false;
	if (word && s[0] >= '0' && s[0] <= '9') {
		if (!id_number(s, &id))
			return pol_error(ps, &loc,
					 "a %s is a name, a number or a range like 1000-1999",
					 group ? "group" : "user");
	} else if (!id_lookup(ps, &loc, group, s, &id)) {
		return false;
	}
	return id_add(ps, list, id);
}

bool pol_element_user(struct pol_parser *ps, void *ctx)
{
	return element_id(ps, ctx, false);
}

bool pol_element_group(struct pol_parser *ps, void *ctx)
{
	return element_id(ps, ctx, true);
}

bool pol_parse_id(struct pol_parser *ps, bool group, struct pol_id **out)
{
	struct pol_loc at = ps->tok.loc;

	if (!element_id(ps, out, group))
		return false;
	return (*out)->lo == (*out)->hi ||
	       pol_error(ps, &at, "one %s, no range", group ? "group" : "user");
}

/* ------------------------------------------------------------- paths and units ---- */

static bool string_add(struct pol_parser *ps, struct pol_string **list, const char *s, size_t len)
{
	struct pol_string *copy = pol_alloc(&ps->p->arena, sizeof(*copy));

	if (copy)
		copy->text = pol_strndup(&ps->p->arena, s, len);
	if (!copy || !copy->text)
		return pol_oom(ps);
	while (*list)
		list = &(*list)->next;
	*list = copy;
	return true;
}

bool pol_element_executable(struct pol_parser *ps, void *ctx)
{
	struct pol_loc loc;
	const char *s = pol_string(ps, "the path of a program as a string", &loc);

	if (!s)
		return false;
	if (s[0] != '/')
		return pol_error(ps, &loc,
				 "a program is an absolute path, or one of a folder with "
				 "a '/' at its end");
	return string_add(ps, ctx, s, strlen(s));
}

bool pol_element_cgroup(struct pol_parser *ps, void *ctx)
{
	struct pol_loc loc;
	const char *s = pol_string(ps, "the path of a control group as a string", &loc);
	size_t len = s ? strlen(s) : 0;

	if (!s)
		return false;
	if (s[0] != '/')
		return pol_error(ps, &loc,
				 "a control group is a path like \"/system.slice\", from its root");
	while (len > 1 && s[len - 1] == '/')
		len--;
	return string_add(ps, ctx, s, len);
}

/* Something that can be the name of one, or a pattern. */
static bool unit_valid(const char *s)
{
	static const char *const kinds[] = {".service", ".socket", ".scope",
					    ".slice",   ".mount",  ".swap"};
	size_t len = strlen(s), i, n;

	if (!len || len > LISTENER_UNIT_MAX || strchr(s, '/'))
		return false;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		n = strlen(kinds[i]);
		if (len > n && !strcmp(s + len - n, kinds[i]))
			return true;
	}
	return strpbrk(s, "*?[");
}

bool pol_element_unit(struct pol_parser *ps, void *ctx)
{
	struct pol_loc loc;
	const char *s = pol_value(ps, "a unit", &loc);
	char show[POL_SHOW_MAX];

	if (!s)
		return false;
	if (ps->tok.type == TOK_SET && ps->tok.loc.line == loc.line &&
	    ps->tok.loc.col == loc.col + loc.len)
		return pol_error(ps, &loc, "a unit with '@' in its name stands in quotes");
	if (!unit_valid(s))
		return pol_error(ps, &loc,
				 "\"%s\" is no unit, write for example ssh.service or \"web@*\"",
				 pol_show(s, show));
	return string_add(ps, ctx, s, strlen(s));
}

/* -------------------------------------------------------------------- printing ---- */

/* As a word where it reads as one. */
static void print_text(const char *s, struct pol_text *t)
{
	bool digit = s[0] >= '0' && s[0] <= '9';

	if (*s && !digit && strcmp(s, "not") &&
	    !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")])
		pol_text_add(t, "%s", s);
	else
		pol_text_quote(t, s);
}

void pol_print_id(const struct pol_id *id, struct pol_text *t)
{
	if (id->name)
		print_text(id->name, t);
	else if (id->lo == id->hi)
		pol_text_add(t, "%u", id->lo);
	else
		pol_text_add(t, "%u-%u", id->lo, id->hi);
}

static void print_word(const struct pol_rule *r, const char *word, enum pol_cond cond, bool list,
		       struct pol_text *t)
{
	pol_text_add(t, " %s %s%s", word, r->neg & POL_BIT(cond) ? "!" : "", list ? "{ " : "");
}

static void print_ids(const struct pol_rule *r, const char *word, enum pol_cond cond,
		      const struct pol_id *list, struct pol_text *t)
{
	const struct pol_id *id;

	if (!list)
		return;
	print_word(r, word, cond, list->next, t);
	for (id = list; id; id = id->next) {
		pol_text_add(t, id == list ? "" : ", ");
		pol_print_id(id, t);
	}
	pol_text_add(t, list->next ? " }" : "");
}

static void print_strings(const struct pol_rule *r, const char *word, enum pol_cond cond,
			  const struct pol_string *list, struct pol_text *t)
{
	const struct pol_string *s;

	if (!list)
		return;
	print_word(r, word, cond, list->next, t);
	for (s = list; s; s = s->next) {
		pol_text_add(t, s == list ? "" : ", ");
		if (cond == COND_UNIT)
			print_text(s->text, t);
		else
			pol_text_quote(t, s->text);
	}
	pol_text_add(t, list->next ? " }" : "");
}

void pol_print_listener(const struct pol_rule *r, struct pol_text *t)
{
	print_ids(r, "user", COND_USER, r->user, t);
	print_ids(r, "group", COND_GROUP, r->group, t);
	print_strings(r, "executable", COND_EXECUTABLE, r->executable, t);
	print_strings(r, "cgroup", COND_CGROUP, r->cgroup, t);
	print_strings(r, "unit", COND_UNIT, r->unit, t);
}
