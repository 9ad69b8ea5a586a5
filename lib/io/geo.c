/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a MaxMind database by libmaxminddb; see geo.h.
 *
 * It is a binary tree over the bits of addresses, whose leaves name a record. IPv4 stands below
 * ::/96, and other prefixes that carry IPv4 addresses may lead to the same nodes; those are left out. A file
 * may be broken, or be made to do harm: a tree has no more than each node once, and is as deep as
 * addresses are long.
 */
#include "io/geo.h"
#include <errno.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NETWORKS_MAX (4u << 20)
#define CODES        4096u /* records whose country is remembered, by where they stand */
#define V4_DEPTH     96u   /* of IPv4 in a tree of IPv6 */

struct network {
	uint8_t lo[16], hi[16];
	uint8_t family;
	char code[2];
};

struct geo {
	MMDB_s db;
	struct network *net;
	size_t n, cap;
	bool read;
};

static int db_error(int status)
{
	if (status == MMDB_SUCCESS)
		return 0;
	return status == MMDB_OUT_OF_MEMORY_ERROR ? -ENOMEM : -EBADMSG;
}

/* libmaxminddb would wait for a pipe, and does not say why it could not open. */
static int file_ok(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (S_ISDIR(st.st_mode))
		err = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	close(fd);
	return err;
}

int geo_open(struct geo **out, const char *database)
{
	int err = file_ok(database);
	struct geo *g;

	if (err)
		return err;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	err = db_error(MMDB_open(database, MMDB_MODE_MMAP, &g->db));
	if (err) {
		free(g);
		return err;
	}
	if (g->db.metadata.ip_version != 4 && g->db.metadata.ip_version != 6) {
		geo_close(g);
		return -EBADMSG;
	}
	*out = g;
	return 0;
}

void geo_close(struct geo *g)
{
	if (!g)
		return;
	MMDB_close(&g->db);
	free(g->net);
	free(g);
}

/* ---- records ---- */

/* 0; 1: there is no such thing in the record; -EBADMSG. */
static int code_under(MMDB_entry_s *entry, const char *what, char code[2])
{
	MMDB_entry_data_s data;
	int status = MMDB_get_value(entry, &data, what, "iso_code", NULL);

	if (status == MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR ||
	    status == MMDB_INVALID_LOOKUP_PATH_ERROR)
		return 1;
	if (status != MMDB_SUCCESS)
		return db_error(status);
	if (!data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING || data.data_size != 2)
		return 1;
	memcpy(code, data.utf8_string, 2);
	return 0;
}

static int code_of(MMDB_entry_s *entry, char code[2])
{
	int r = code_under(entry, "country", code);

	return r > 0 ? code_under(entry, "registered_country", code) : r;
}

int geo_lookup(const struct geo *g, uint8_t family, const uint8_t addr[16], char code[3])
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6};
	struct sockaddr_in sin = {.sin_family = AF_INET};
	const struct sockaddr *sa = (const struct sockaddr *)&sin;
	MMDB_lookup_result_s found;
	int status, r;

	memcpy(&sin.sin_addr, addr, 4);
	memcpy(&sin6.sin6_addr, addr, 16);
	if (family == 6)
		sa = (const struct sockaddr *)&sin6;
	found = MMDB_lookup_sockaddr(&g->db, sa, &status);
	if (status == MMDB_IPV6_LOOKUP_IN_IPV4_DATABASE_ERROR)
		return -ENOENT;
	if (status != MMDB_SUCCESS)
		return db_error(status);
	if (!found.found_entry)
		return -ENOENT;
	r = code_of(&found.entry, code);
	if (!r)
		code[2] = '\0';
	return r > 0 ? -ENOENT : r;
}

/* ---- the tree ---- */

/* What a branch leads to, and the addresses behind it. */
struct place {
	uint64_t node;
	MMDB_entry_s entry;
	uint8_t type; /* MMDB_RECORD_TYPE_... */
	uint8_t depth;
	uint8_t addr[16];
};

struct code {
	uint32_t offset;
	bool known;
	int result; /* of code_of */
	char code[2];
};

struct walk {
	struct geo *g;
	struct code *code;
	uint64_t visited;
	unsigned bits; /* of addresses in this tree */
	struct place stack[2 * 128 + 2];
	unsigned n;
};

static int remembered_code(struct walk *w, MMDB_entry_s *entry, char code[2])
{
	struct code *c = &w->code[entry->offset * 2654435761u >> 20];

	_Static_assert(CODES == 1u << 12, "the hash is of so many bits");
	if (!c->known || c->offset != entry->offset) {
		*c = (struct code){.offset = entry->offset, .known = true};
		c->result = code_of(entry, c->code);
	}
	memcpy(code, c->code, 2);
	return c->result;
}

static bool follows(const struct network *last, const struct network *next)
{
	uint8_t want[16];
	int i = last->family == 4 ? 3 : 15;

	if (last->family != next->family || memcmp(last->code, next->code, 2) != 0)
		return false;
	memcpy(want, last->hi, 16);
	while (i >= 0 && ++want[i] == 0)
		i--;
	return i >= 0 && memcmp(want, next->lo, 16) == 0;
}

static int add_network(struct geo *g, const struct network *net)
{
	if (g->n && follows(&g->net[g->n - 1], net)) {
		memcpy(g->net[g->n - 1].hi, net->hi, 16);
		return 0;
	}
	if (g->n == NETWORKS_MAX)
		return -E2BIG;
	if (g->n == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 1024;
		struct network *mem = realloc(g->net, cap * sizeof(*mem));

		if (!mem)
			return -ENOMEM;
		g->net = mem;
		g->cap = cap;
	}
	g->net[g->n++] = *net;
	return 0;
}

static bool zeros(const uint8_t *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i])
			return false;
	return true;
}

/* A network of this tree, IPv4 or IPv6. */
static int add_range(struct geo *g, uint8_t family, const uint8_t *addr, unsigned prefix,
		     const char code[2])
{
	struct network net = {.family = family, .code = {code[0], code[1]}};
	unsigned bytes = family == 4 ? 4 : 16;

	memcpy(net.lo, addr, bytes);
	memcpy(net.hi, addr, bytes);
	for (unsigned i = prefix; i < bytes * 8; i++)
		net.hi[i / 8] |= (uint8_t)(0x80u >> i % 8);
	return add_network(g, &net);
}

static int add_leaf(struct walk *w, struct place *p)
{
	bool low = w->bits == 128 && zeros(p->addr, V4_DEPTH / 8);
	char code[2];
	int r = remembered_code(w, &p->entry, code);

	if (r)
		return r > 0 ? 0 : r;
	if (w->bits == 32)
		return add_range(w->g, 4, p->addr, p->depth, code);
	if (low && p->depth >= V4_DEPTH)
		return add_range(w->g, 4, p->addr + V4_DEPTH / 8, p->depth - V4_DEPTH, code);
	if (low) /* all of IPv4 and more */
		r = add_range(w->g, 4, p->addr, 0, code);
	return r ? r : add_range(w->g, 6, p->addr, p->depth, code);
}

/* Another way to the nodes of IPv4? */
static bool is_alias(const struct walk *w, const struct place *p)
{
	const MMDB_ipv4_start_node_s *v4 = &w->g->db.ipv4_start_node;

	return w->bits == 128 && v4->netmask == V4_DEPTH && p->node == v4->node_value &&
	       !(p->depth == V4_DEPTH && zeros(p->addr, 16));
}

static void push(struct walk *w, const struct place *from, bool right, uint64_t node, uint8_t type,
		 MMDB_entry_s entry)
{
	struct place *p = &w->stack[w->n++];

	*p = *from;
	if (right)
		p->addr[from->depth / 8] |= (uint8_t)(0x80u >> from->depth % 8);
	p->depth++;
	p->node = node;
	p->type = type;
	p->entry = entry;
}

/* The left side comes first: addresses in order. */
static int branch(struct walk *w, const struct place *from)
{
	struct place at = *from; /* its place on the stack is taken again */
	MMDB_search_node_s node;
	int r;

	if (is_alias(w, &at))
		return 0;
	if (at.depth >= w->bits || w->visited++ > w->g->db.metadata.node_count)
		return -EBADMSG;
	r = db_error(MMDB_read_node(&w->g->db, (uint32_t)at.node, &node));
	if (r)
		return r;
	push(w, &at, true, node.right_record, node.right_record_type, node.right_record_entry);
	push(w, &at, false, node.left_record, node.left_record_type, node.left_record_entry);
	return 0;
}

static int walk_tree(struct walk *w)
{
	int r = 0;

	w->stack[w->n++] = (struct place){.type = MMDB_RECORD_TYPE_SEARCH_NODE};
	while (w->n && !r) {
		struct place *p = &w->stack[--w->n];

		if (p->type == MMDB_RECORD_TYPE_SEARCH_NODE)
			r = branch(w, p);
		else if (p->type == MMDB_RECORD_TYPE_DATA)
			r = add_leaf(w, p);
		else if (p->type != MMDB_RECORD_TYPE_EMPTY)
			r = -EBADMSG;
	}
	return r;
}

static int read_tree(struct geo *g)
{
	struct walk *w = calloc(1, sizeof(*w));
	int r = -ENOMEM;

	if (!w)
		return r;
	w->g = g;
	w->bits = g->db.metadata.ip_version == 4 ? 32 : 128;
	w->code = calloc(CODES, sizeof(*w->code));
	if (w->code)
		r = walk_tree(w);
	free(w->code);
	free(w);
	if (r)
		g->n = 0;
	return r;
}

int geo_country(struct geo *g, const char *code, geo_add_fn *add, void *arg)
{
	bool found = false;
	int r;

	if (!g->read) {
		r = read_tree(g);
		if (r)
			return r;
		g->read = true;
	}
	for (size_t i = 0; i < g->n; i++) {
		const struct network *net = &g->net[i];

		if (memcmp(net->code, code, 2) != 0)
			continue;
		found = true;
		if (!add(arg, net->family, net->lo, net->hi))
			break;
	}
	return found ? 0 : -ESRCH;
}
