/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Countries of addresses, from a MaxMind database (GeoLite2-Country.mmdb and its like, City too). The
 * country is that of the address, or else that in which it is registered.
 *
 * The file is mapped while it is open: whoever brings a new one renames it into place, as the usual updaters do,
 * for what is cut short under a mapping ends the process.
 */
#ifndef IO_GEO_H
#define IO_GEO_H

#include <stdbool.h>
#include <stdint.h>

struct geo;

/* 0; -errno of the file; -EINVAL: no regular file; -EBADMSG: no such database, or a broken one. */
int geo_open(struct geo **out, const char *database);
void geo_close(struct geo *g); /* NULL is allowed */

typedef bool geo_add_fn(void *arg, uint8_t family, const uint8_t lo[16], const uint8_t hi[16]);
/*
 * Every network of a country (two capital letters), both ends of which belong to it, until `add`
 * says false; in order, IPv4 in the first four bytes. The first call reads the whole tree and keeps it: further
 * countries are cheap. 0; -ESRCH: no network is of that country; -EBADMSG, -E2BIG, -ENOMEM.
 */
int geo_country(struct geo *g, const char *code, geo_add_fn *add, void *arg);
/* 0; -ENOENT: the database has no country for it; -EBADMSG. */
int geo_lookup(const struct geo *g, uint8_t family, const uint8_t addr[16], char code[3]);

#endif
