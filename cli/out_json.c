/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output for programs; see out.h. One JSON document per command, or one per line for streams; plain
 * ASCII, so that it is safe on a terminal too.
 */
#include "cli/out.h"
#include <stdio.h>

#define FLAGS (JSON_ENSURE_ASCII | JSON_COMPACT | JSON_ENCODE_ANY)

static void json_list_begin(struct out *o, const struct out_list *l)
{
	o->list = l;
	o->rows = 0;
	printf("{\"%s\":[", l->name);
}

static void json_list_row(struct out *o, const json_t *row)
{
	fputs(o->rows++ ? ",\n" : "\n", stdout);
	json_dumpf(row, stdout, FLAGS);
}

static void json_list_end(struct out *o, bool ok)
{
	(void)o;
	(void)ok;
	puts("]}");
	fflush(stdout);
}

static void json_object_put(struct out *o, const json_t *v,
			    void (*text)(struct out *o, const json_t *v))
{
	(void)o;
	(void)text;
	json_dumpf(v, stdout, JSON_ENSURE_ASCII | JSON_INDENT(2));
	putchar('\n');
	fflush(stdout);
}

static void json_record(struct out *o, const json_t *v,
			void (*text)(struct out *o, const json_t *v))
{
	(void)o;
	(void)text;
	json_dumpf(v, stdout, FLAGS);
	putchar('\n');
	fflush(stdout);
}

static void json_redraw(struct out *o)
{
	(void)o;
}

const struct out_ops out_json = {
	.list_begin = json_list_begin,
	.list_row = json_list_row,
	.list_end = json_list_end,
	.object = json_object_put,
	.record = json_record,
	.redraw = json_redraw,
};
