/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a small database of countries for a shell script; into place by renaming, as updaters do.
 *
 *     mmdb FILE CODE=ADDRESS/LENGTH...
 */
#include "tests/unit/mmdb_write.h"
#include <arpa/inet.h>

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: mmdb FILE CODE=ADDRESS/LENGTH...\n");
	exit(2);
}

static void add_net(struct mmdb_writer *w, const char *arg)
{
	char code[3], text[64];
	uint8_t addr[16] = {0};
	unsigned prefix;
	bool v6 = strchr(arg, ':');

	if (sscanf(arg, "%2[A-Z]=%63[^/]/%u", code, text, &prefix) != 3 ||
	    inet_pton(v6 ? AF_INET6 : AF_INET, text, addr) != 1 || !prefix ||
	    prefix > (v6 ? 128 : 32))
		usage();
	mmdb_add(w, v6 ? 6 : 4, addr, prefix, mmdb_record(w, "country", code));
}

int main(int argc, char **argv)
{
	struct mmdb_writer w;
	char name[4096];

	if (argc < 3)
		usage();
	mmdb_init(&w, 6);
	for (int i = 2; i < argc; i++)
		add_net(&w, argv[i]);
	mmdb_finish(&w);
	snprintf(name, sizeof(name), "%s.new", argv[1]);
	mmdb_save(name, w.out, w.len);
	mmdb_deinit(&w);
	if (rename(name, argv[1])) {
		perror(argv[1]);
		return 1;
	}
	return 0;
}
