/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies from memory, and canonical text, for the tests of the policy. */
#ifndef TESTS_POLICY_HELP_H
#define TESTS_POLICY_HELP_H

#include "core/flow.h"
#include "core/policy_ast.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct memory_file {
	const char *name, *text;
};

/* ctx: files, ended by one without a name; names are compared with the path as it is written. */
static inline int memory_read(void *ctx, const char *from, const char *path, char **data,
			      size_t *len)
{
	const struct memory_file *f;

	(void)from;
	for (f = ctx; f->name; f++) {
		if (strcmp(f->name, path))
			continue;
		*data = strdup(f->text);
		*len = strlen(f->text);
		return *data ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

/* A host of its own, so that tests mean the same on every one. */
static inline int fake_id(void *ctx, bool group, const char *name, uint32_t *out)
{
	static const struct {
		const char *name;
		uint32_t id;
	} users[] = {{"root", 0}, {"web", 33}, {"not", 12}, {"0x", 34}},
	  groups[] = {{"root", 0}, {"adm", 4}, {"web", 33}};
	size_t i, n = group ? 3 : 4;

	(void)ctx;
	if (!strcmp(name, "broken"))
		return -EIO;
	for (i = 0; i < n; i++) {
		if (strcmp(group ? groups[i].name : users[i].name, name))
			continue;
		*out = group ? groups[i].id : users[i].id;
		return 0;
	}
	return -ENOENT;
}

struct fake_net {
	const char code[3], *lo, *hi;
};

/* They overlap, which those of a real database do not. */
static const struct fake_net fake_nets[] = {
	{"AA", "10.0.0.0", "10.0.0.3"},   {"AA", "2001:db8::", "2001:db8::3"},
	{"BB", "10.0.0.2", "10.0.0.9"},   {"BB", "10.0.0.12", "10.0.0.12"},
	{"CC", "10.0.0.15", "10.0.0.15"}, {"CC", "2001:db8::8", "2001:db8::f"},
};

#define FAKE_NETS (sizeof(fake_nets) / sizeof(fake_nets[0]))

/* "ZZ" has no networks. */
static inline int fake_country(void *ctx, const char *database, const char *code,
			       bool (*add)(void *arg, uint8_t family, const uint8_t lo[16],
					   const uint8_t hi[16]),
			       void *arg)
{
	uint8_t lo[16], hi[16], family;
	int found = strcmp(code, "ZZ") ? -ESRCH : 0;

	(void)ctx;
	if (strcmp(database, "/geo"))
		return -ENOENT;
	for (size_t i = 0; i < FAKE_NETS; i++) {
		if (strcmp(fake_nets[i].code, code))
			continue;
		memset(lo, 0, 16);
		memset(hi, 0, 16);
		if (flow_addr_parse(fake_nets[i].lo, lo, &family) ||
		    flow_addr_parse(fake_nets[i].hi, hi, &family) || !add(arg, family, lo, hi))
			return -ECANCELED;
		found = 0;
	}
	return found;
}

/* UTC; the hour from 02:00 of 2026-03-29 on does not exist. */
static inline uint32_t fake_minute(void *ctx, int year, int month, int day, int hour, int minute)
{
	int y = year - (month <= 2), days = 365 * y + y / 4 - y / 100 + y / 400;

	(void)ctx;
	if (year == 2026 && month == 3 && day == 29 && hour == 2)
		return 0;
	days += (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
	return (uint32_t)((days * 24 + hour) * 60 + minute);
}

static inline struct policy_loader fake_loader(struct memory_file *files)
{
	return (struct policy_loader){.read = memory_read,
				      .id = fake_id,
				      .country = fake_country,
				      .minute = fake_minute,
				      .ctx = files};
}

static inline int parse_text(const char *text, struct policy **p, struct policy_diag *diag)
{
	struct memory_file files[] = {{"t", text}, {NULL, NULL}};
	struct policy_loader loader = fake_loader(files);

	return policy_parse(p, "t", &loader, diag);
}

/* Must be right; NULL is never returned. */
static inline struct policy *parse_good(const char *text)
{
	struct policy *p = NULL;
	struct policy_diag diag;
	int err = parse_text(text, &p, &diag);

	ck_assert_msg(!err, "%s%s", diag.text ? diag.text : "no memory", text);
	policy_diag_deinit(&diag);
	return p;
}

static inline char *print_good(const struct policy *p)
{
	char *text = NULL;
	int err = policy_print(p, &text);

	ck_assert_int_eq(err, 0);
	return text;
}

#endif
