/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conditions whose values have a grammar of their own: read, and printed as they are read. */
#include "core/policy_ast.h"
#include <string.h>

static const struct pol_keyword tcp_flags[] = {{"fin", 0x01}, {"syn", 0x02}, {"rst", 0x04},
					       {"psh", 0x08}, {"ack", 0x10}, {"urg", 0x20},
					       {"ece", 0x40}, {"cwr", 0x80}, {NULL, 0}};

static const char *const tcp_flags_what = "flags like syn/syn,ack";

/* One name, of `len` bytes; false after an error. */
static bool flag_name(struct pol_parser *ps, const struct pol_loc *at, const char *s, size_t len,
		      uint8_t *flags)
{
	char name[POLICY_WORD_MAX + 1] = "";
	const struct pol_keyword *k;
	struct pol_guess g;

	memcpy(name, s, len);
	if (!strcmp(name, "none"))
		return true;
	g = pol_guess_for(name);
	for (k = tcp_flags; k->name; k++) {
		if (!strcmp(k->name, name)) {
			*flags |= (uint8_t)k->value;
			return true;
		}
		pol_guess_try(&g, k->name);
	}
	return pol_unknown(ps, at, "TCP flag", name, g.best);
}

/* A word of the list: a name, or the last name before the mask and the first one of it. */
static bool flag_word(struct pol_parser *ps, struct pol_rule *r, bool *masked)
{
	struct pol_loc loc;
	const char *s = pol_word(ps, tcp_flags_what, &loc), *slash;

	if (!s)
		return false;
	slash = strchr(s, '/');
	if (!slash)
		return flag_name(ps, &loc, s, strlen(s), *masked ? &r->tcp_mask : &r->tcp_flags);
	if (*masked)
		return pol_error(ps, &loc, "TCP flags have one mask");
	*masked = true;
	return flag_name(ps, &loc, s, (size_t)(slash - s), &r->tcp_flags) &&
	       flag_name(ps, &loc, slash + 1, strlen(slash + 1), &r->tcp_mask);
}

bool pol_parse_tcp_flags(struct pol_parser *ps, struct pol_rule *r)
{
	struct pol_loc at = ps->tok.loc;
	bool masked = false;

	do {
		if (!flag_word(ps, r, &masked))
			return false;
	} while (pol_accept(ps, TOK_COMMA));
	if (!masked)
		r->tcp_mask = r->tcp_flags;
	if (!r->tcp_mask)
		return pol_error(ps, &at, "no TCP flag is looked at: name those in a mask");
	if (r->tcp_flags & ~r->tcp_mask)
		return pol_error(ps, &at, "TCP flags outside of their mask can never match");
	return true;
}

static void print_flags(uint8_t flags, struct pol_text *t)
{
	const struct pol_keyword *k;
	unsigned n = 0;

	for (k = tcp_flags; k->name; k++)
		if (flags & k->value)
			pol_text_add(t, "%s%s", n++ ? "," : "", k->name);
	if (!n)
		pol_text_add(t, "none");
}

void pol_print_tcp_flags(const struct pol_rule *r, struct pol_text *t)
{
	print_flags(r->tcp_flags, t);
	if (r->tcp_flags == r->tcp_mask)
		return;
	pol_text_add(t, "/");
	print_flags(r->tcp_mask, t);
}
