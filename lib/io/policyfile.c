/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policy files from the file system; images in sealed memory files. See policyfile.h. */
#include "io/policyfile.h"
#include "io/geo.h"
#include "io/policylookup.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX  (64u << 20) /* of any file: the parser's own limits are at most this */
#define IMAGE_MAX (1ull << 30)
#define SEALS     (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* One parse. */
struct loading {
	struct policyfile_sources *sources; /* NULL: nothing is kept */
	struct geo *geo;                    /* open once a country was asked for */
};

/* Length of the folder part of `from`, slash included; 0 for an absolute path. */
static size_t folder_of(const char *from, const char *path)
{
	const char *slash = from && path[0] != '/' ? strrchr(from, '/') : NULL;

	return slash ? (size_t)(slash - from) + 1 : 0;
}

static char *join(const char *from, const char *path)
{
	char *s;

	return asprintf(&s, "%.*s%s", (int)folder_of(from, path), from ? from : "", path) < 0 ? NULL
											      : s;
}

static int open_file(const char *name)
{
	struct stat st;
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (S_ISDIR(st.st_mode))
		err = -EISDIR;
	else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		err = -EINVAL;
	/* A pipe (of a shell's <(...)) is waited for; nothing else blocks. */
	else if (S_ISFIFO(st.st_mode) && fcntl(fd, F_SETFL, 0))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* One byte more than the limit is enough for the parser to see that it was exceeded. */
static int read_all(int fd, char **data, size_t *len)
{
	size_t cap = 0, n = 0;
	char *buf = NULL, *bigger;
	ssize_t got = 1;

	while (got > 0 && n <= READ_MAX) {
		if (cap - n < 2) {
			cap = cap ? cap * 2 : 16384;
			bigger = realloc(buf, cap);
			if (!bigger) {
				free(buf);
				return -ENOMEM;
			}
			buf = bigger;
		}
		got = read(fd, buf + n, cap - n - 1);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			n += (size_t)got;
	}
	if (got < 0) {
		int err = -errno;

		free(buf);
		return err;
	}
	buf[n] = '\0';
	*data = buf;
	*len = n;
	return 0;
}

static int file_read(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	char *name = join(from, path);
	int fd, err;

	(void)ctx;
	if (!name)
		return -ENOMEM;
	fd = open_file(name);
	free(name);
	if (fd < 0)
		return fd;
	err = read_all(fd, data, len);
	close(fd);
	return err;
}

static int copy_paths(const glob_t *g, size_t skip, char ***paths, size_t *n)
{
	char **list = calloc(g->gl_pathc, sizeof(*list));
	size_t i;

	for (i = 0; list && i < g->gl_pathc; i++) {
		list[i] = strdup(g->gl_pathv[i] + skip);
		if (!list[i]) {
			while (i--)
				free(list[i]);
			free(list);
			list = NULL;
		}
	}
	if (!list)
		return -ENOMEM;
	*paths = list;
	*n = g->gl_pathc;
	return 0;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folder is part of the pattern given to glob(3), so what is special in it is escaped. */
static char *glob_pattern(const char *from, const char *pattern)
{
	size_t folder = folder_of(from, pattern), i;
	char *s = malloc(2 * folder + strlen(pattern) + 1), *to = s;

	if (!s)
		return NULL;
	for (i = 0; i < folder; i++) {
		if (strchr("*?[\\", from[i]))
			*to++ = '\\';
		*to++ = from[i];
	}
	strcpy(to, pattern);
	return s;
}

/* Nothing matches in a folder that is not there. What cannot be read may hold something. */
static int glob_failed(const char *path, int err)
{
	(void)path;
	return err != ENOENT;
}

static int file_glob(void *ctx, const char *from, const char *pattern, char ***paths, size_t *n)
{
	char *full = glob_pattern(from, pattern);
	glob_t g = {0};
	int err;

	(void)ctx;
	if (!full)
		return -ENOMEM;
	*n = 0;
	*paths = NULL;
	err = glob(full, GLOB_NOSORT, glob_failed, &g);
	free(full);
	if (err == GLOB_NOMATCH)
		err = 0;
	else if (err)
		err = err == GLOB_NOSPACE ? -ENOMEM : errno ? -errno : -EIO;
	else
		err = copy_paths(&g, folder_of(from, pattern), paths, n);
	globfree(&g);
	if (!err && *n)
		qsort(*paths, *n, sizeof(**paths), compare_paths);
	return err;
}

/* There is one database in a policy. */
static int file_country(void *ctx, const char *database, const char *code, geo_add_fn *add,
			void *arg)
{
	struct loading *l = ctx;
	int err = l->geo ? 0 : geo_open(&l->geo, database);

	return err ? err : geo_country(l->geo, code, add, arg);
}

static struct policy_loader file_loader(struct loading *l)
{
	struct policy_loader loader = {
		.read = file_read, .glob = file_glob, .country = file_country, .ctx = l};

	policylookup_init(&loader);
	return loader;
}

int policyfile_load(const char *path, struct policy **out, struct policy_diag *diag)
{
	struct loading l = {0};
	struct policy_loader loader = file_loader(&l);
	int err = policy_parse(out, path, &loader, diag);

	geo_close(l.geo);
	return err;
}

/* --------------------------------------------------------------------- sources ---- */

#define SOURCES_MAX (512u << 20)

/* COUNTRY: networks of the country `path` in the database `from`. USER, GROUP: the number of `path`. */
enum source_type { SOURCE_FILE = 1, SOURCE_LIST, SOURCE_COUNTRY, SOURCE_USER, SOURCE_GROUP };

struct source_network {
	uint8_t family, lo[16], hi[16];
};

/* Behind it: `from`, `path` and the data, none with a NUL behind it. */
struct source {
	uint64_t len;
	uint32_t from_len, path_len;
	uint32_t type;
	uint32_t has_from;
};

/* One record as it stands in the bytes. */
struct found {
	struct source head;
	const char *from, *path, *data;
};

void policyfile_sources_deinit(struct policyfile_sources *s)
{
	free(s->data);
	*s = (struct policyfile_sources){0};
}

/* The record at `*at`, which moves behind it; false at the end, or where there is none. */
static bool source_next(const char *data, size_t len, size_t *at, struct found *f)
{
	size_t left = len - *at;

	if (left < sizeof(f->head))
		return false;
	memcpy(&f->head, data + *at, sizeof(f->head));
	left -= sizeof(f->head);
	if (f->head.from_len > left || f->head.path_len > left - f->head.from_len ||
	    f->head.len > left - f->head.from_len - f->head.path_len)
		return false;
	f->from = data + *at + sizeof(f->head);
	f->path = f->from + f->head.from_len;
	f->data = f->path + f->head.path_len;
	*at += sizeof(f->head) + f->head.from_len + f->head.path_len + (size_t)f->head.len;
	return true;
}

static bool source_valid(const struct found *f)
{
	switch ((enum source_type)f->head.type) {
	case SOURCE_FILE:
		return true;
	case SOURCE_LIST:
		return !f->head.len || !f->data[f->head.len - 1];
	case SOURCE_COUNTRY:
		return f->head.len % sizeof(struct source_network) == 0;
	case SOURCE_USER:
	case SOURCE_GROUP:
		return f->head.len == sizeof(uint32_t);
	}
	return false;
}

/* The first one is the file that names all others. */
bool policyfile_sources_valid(const void *data, size_t len)
{
	struct found f;
	size_t at = 0, n = 0;

	while (source_next(data, len, &at, &f)) {
		if (!source_valid(&f))
			return false;
		if (!n++ && (f.head.type != SOURCE_FILE || f.head.has_from || !f.head.path_len))
			return false;
	}
	return n && at == len;
}

static bool source_find(const struct policyfile_sources *s, enum source_type type, const char *from,
			const char *path, struct found *f)
{
	size_t at = 0, from_len = from ? strlen(from) : 0, path_len = strlen(path);

	while (source_next(s->data, s->len, &at, f))
		if (f->head.type == type && f->head.has_from == !!from &&
		    f->head.from_len == from_len && f->head.path_len == path_len &&
		    (!from_len || !memcmp(f->from, from, from_len)) &&
		    !memcmp(f->path, path, path_len))
			return true;
	return false;
}

static void source_add(struct policyfile_sources *s, const void *data, size_t len)
{
	size_t cap = s->cap ? s->cap : 4096;
	char *bigger;

	if (s->lost || s->len + len > SOURCES_MAX) {
		s->lost = true;
		return;
	}
	while (cap < s->len + len)
		cap *= 2;
	if (cap != s->cap) {
		bigger = realloc(s->data, cap);
		if (!bigger) {
			s->lost = true;
			return;
		}
		s->data = bigger;
		s->cap = cap;
	}
	if (len)
		memcpy(s->data + s->len, data, len);
	s->len += len;
}

static void source_keep(struct policyfile_sources *s, enum source_type type, const char *from,
			const char *path, const char *data, size_t len)
{
	struct source head = {.len = len,
			      .from_len = from ? (uint32_t)strlen(from) : 0,
			      .path_len = (uint32_t)strlen(path),
			      .type = type,
			      .has_from = from != NULL};

	source_add(s, &head, sizeof(head));
	source_add(s, from ? from : "", head.from_len);
	source_add(s, path, head.path_len);
	source_add(s, data, len);
}

/* A file that is named twice is read once: both shall see the same. */
static int again_read(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	const struct policyfile_sources *s = ((const struct loading *)ctx)->sources;
	struct found f;
	char *copy;

	if (!source_find(s, SOURCE_FILE, from, path, &f))
		return -ENOENT;
	copy = malloc((size_t)f.head.len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, f.data, (size_t)f.head.len);
	copy[f.head.len] = '\0';
	*data = copy;
	*len = (size_t)f.head.len;
	return 0;
}

static int again_glob(void *ctx, const char *from, const char *pattern, char ***paths, size_t *n)
{
	const struct policyfile_sources *s = ((const struct loading *)ctx)->sources;
	size_t count = 0;
	struct found f;
	char **list;

	if (!source_find(s, SOURCE_LIST, from, pattern, &f))
		return -ENOENT;
	for (size_t i = 0; i < f.head.len; i++)
		count += !f.data[i];
	list = calloc(count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0, at = 0; i < count; i++) {
		list[i] = strdup(f.data + at);
		if (!list[i]) {
			while (i--)
				free(list[i]);
			free(list);
			return -ENOMEM;
		}
		at += strlen(list[i]) + 1;
	}
	*paths = list;
	*n = count;
	return 0;
}

static int keep_read(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	struct policyfile_sources *s = ((const struct loading *)ctx)->sources;
	int err = again_read(ctx, from, path, data, len);

	if (err != -ENOENT)
		return err;
	err = file_read(NULL, from, path, data, len);
	if (!err)
		source_keep(s, SOURCE_FILE, from, path, *data, *len);
	return err;
}

struct networks {
	struct source_network *net;
	size_t n, cap;
	bool lost;
	geo_add_fn *add;
	void *arg;
};

static bool keep_network(void *arg, uint8_t family, const uint8_t lo[16], const uint8_t hi[16])
{
	struct networks *k = arg;

	if (k->n == k->cap && !k->lost) {
		size_t cap = k->cap ? k->cap * 2 : 64;
		struct source_network *mem = realloc(k->net, cap * sizeof(*mem));

		k->lost = !mem;
		k->net = mem ? mem : k->net;
		k->cap = mem ? cap : k->cap;
	}
	if (!k->lost) {
		k->net[k->n].family = family;
		memcpy(k->net[k->n].lo, lo, 16);
		memcpy(k->net[k->n++].hi, hi, 16);
	}
	return k->add(k->arg, family, lo, hi);
}

static int keep_country(void *ctx, const char *database, const char *code, geo_add_fn *add,
			void *arg)
{
	struct policyfile_sources *s = ((const struct loading *)ctx)->sources;
	struct networks k = {.add = add, .arg = arg};
	int err = file_country(ctx, database, code, keep_network, &k);

	if (k.lost)
		s->lost = true;
	else if (!err)
		source_keep(s, SOURCE_COUNTRY, database, code, (const char *)k.net,
			    k.n * sizeof(*k.net));
	free(k.net);
	return err;
}

/* One that was not asked for when the sources were kept is looked up in the file. */
static int again_country(void *ctx, const char *database, const char *code, geo_add_fn *add,
			 void *arg)
{
	const struct loading *l = ctx;
	struct source_network net;
	struct found f;

	if (!source_find(l->sources, SOURCE_COUNTRY, database, code, &f))
		return keep_country(ctx, database, code, add, arg);
	for (size_t at = 0; at < f.head.len; at += sizeof(net)) {
		memcpy(&net, f.data + at, sizeof(net));
		if (!add(arg, net.family, net.lo, net.hi))
			break;
	}
	return 0;
}

/* An account that is gone by now, or has another number, is what it was. */
static int keep_id(void *ctx, bool group, const char *name, uint32_t *id)
{
	struct policyfile_sources *s = ((const struct loading *)ctx)->sources;
	enum source_type type = group ? SOURCE_GROUP : SOURCE_USER;
	struct found f;
	int err;

	if (source_find(s, type, NULL, name, &f)) {
		memcpy(id, f.data, sizeof(*id));
		return 0;
	}
	err = policylookup_id(NULL, group, name, id);
	if (!err)
		source_keep(s, type, NULL, name, (const char *)id, sizeof(*id));
	return err;
}

static int keep_glob(void *ctx, const char *from, const char *pattern, char ***paths, size_t *n)
{
	struct policyfile_sources *s = ((const struct loading *)ctx)->sources;
	int err = file_glob(NULL, from, pattern, paths, n);
	size_t len = 0, at = 0;
	char *flat;

	if (err)
		return err;
	for (size_t i = 0; i < *n; i++)
		len += strlen((*paths)[i]) + 1;
	flat = malloc(len + 1);
	for (size_t i = 0; flat && i < *n; i++) {
		strcpy(flat + at, (*paths)[i]);
		at += strlen((*paths)[i]) + 1;
	}
	if (flat)
		source_keep(s, SOURCE_LIST, from, pattern, flat, len);
	else
		s->lost = true;
	free(flat);
	return 0;
}

int policyfile_load_with(const char *path, struct policyfile_sources *keep,
			 const struct policy_overlay *overlay, struct policy **out,
			 struct policy_diag *diag)
{
	struct loading l = {.sources = keep};
	struct policy_loader loader = file_loader(&l);
	int err;

	if (keep) {
		loader.read = keep_read;
		loader.glob = keep_glob;
		loader.country = keep_country;
		loader.id = keep_id;
	}
	err = policy_parse_with(out, path, &loader, overlay, diag);
	geo_close(l.geo);
	return err;
}

int policyfile_sources_copy(struct policyfile_sources *to, const struct policyfile_sources *from)
{
	struct policyfile_sources s = {.lost = from->lost};

	source_add(&s, from->data, from->len);
	if (s.lost && !from->lost)
		return -ENOMEM;
	*to = s;
	return 0;
}

int policyfile_load_again(struct policyfile_sources *sources, const struct policy_overlay *overlay,
			  struct policy **out, struct policy_diag *diag)
{
	struct loading l = {.sources = sources};
	struct policy_loader loader = file_loader(&l);
	struct found f;
	size_t at = 0;
	char *path;
	int err;

	*diag = (struct policy_diag){0};
	if (sources->lost || !source_next(sources->data, sources->len, &at, &f))
		return -ENODATA;
	path = strndup(f.path, f.head.path_len);
	if (!path)
		return -ENOMEM;
	loader.read = again_read;
	loader.glob = again_glob;
	loader.country = again_country;
	loader.id = keep_id;
	err = policy_parse_with(out, path, &loader, overlay, diag);
	geo_close(l.geo);
	free(path);
	return err;
}

/* ----------------------------------------------------------------------- images ---- */

static int write_all(int fd, const char *data, size_t size)
{
	ssize_t n;

	while (size) {
		n = write(fd, data, size);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

#define PARTS_MAGIC "pendpart"

/* Behind the image; the parts stand behind it, in order. */
struct parts {
	char magic[8];
	uint64_t len[POLICYFILE_PARTS];
};

static int write_parts(int fd, const struct policyfile_bytes *part)
{
	struct parts head = {.magic = PARTS_MAGIC};
	int err;

	for (int i = 0; i < POLICYFILE_PARTS; i++)
		head.len[i] = part[i].len;
	err = write_all(fd, (const char *)&head, sizeof(head));
	for (int i = 0; i < POLICYFILE_PARTS && !err; i++)
		err = write_all(fd, part[i].data, part[i].len);
	return err;
}

int policyfile_parts_fd(const void *image, size_t size,
			const struct policyfile_bytes part[POLICYFILE_PARTS])
{
	int fd = memfd_create("pend-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, image, size);
	if (!err && part)
		err = write_parts(fd, part);
	if (!err && fcntl(fd, F_ADD_SEALS, SEALS))
		err = -errno;
	if (!err && lseek(fd, 0, SEEK_SET) < 0)
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int policyfile_image_text_fd(const void *image, size_t size, const char *text)
{
	const struct policyfile_bytes part[POLICYFILE_PARTS] = {
		[POLICYFILE_TEXT] = {text, strlen(text)}};

	return policyfile_parts_fd(image, size, part);
}

int policyfile_image_fd(const void *image, size_t size)
{
	return policyfile_parts_fd(image, size, NULL);
}

static int read_at(int fd, uint64_t at, void *to, size_t len)
{
	size_t got = 0;
	ssize_t n = 1;

	for (; got < len && n > 0; got += n > 0 ? (size_t)n : 0)
		n = pread(fd, (char *)to + got, len - got, (off_t)(at + got));
	return got == len ? 0 : n < 0 ? -errno : -EINVAL;
}

/* Where the part is, all lengths being right. */
static int find_part(int fd, uint64_t size, enum policyfile_part which, uint64_t *at, uint64_t *len)
{
	struct parts head;
	struct stat st;
	uint64_t end;
	int err;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < 0 || size > IMAGE_MAX || (uint64_t)st.st_size < size)
		return -EINVAL;
	if ((uint64_t)st.st_size == size)
		return -ENOENT;
	err = read_at(fd, size, &head, sizeof(head));
	if (err || memcmp(head.magic, PARTS_MAGIC, sizeof(head.magic)))
		return err ? err : -EINVAL;
	end = size + sizeof(head);
	for (unsigned i = 0; i < POLICYFILE_PARTS; i++) {
		if (head.len[i] > IMAGE_MAX)
			return -EINVAL;
		if (i == (unsigned)which)
			*at = end;
		end += head.len[i];
	}
	*len = head.len[which];
	return end == (uint64_t)st.st_size ? 0 : -EINVAL;
}

int policyfile_part(int fd, uint64_t size, enum policyfile_part which, char **data, size_t *len)
{
	uint64_t at = 0, n = 0;
	int err = find_part(fd, size, which, &at, &n);
	char *s;

	if (err || !n)
		return err ? err : -ENOENT;
	s = malloc((size_t)n + 1);
	if (!s)
		return -ENOMEM;
	err = read_at(fd, at, s, (size_t)n);
	if (err) {
		free(s);
		return err;
	}
	s[n] = '\0';
	*data = s;
	*len = (size_t)n;
	return 0;
}

int policyfile_text(int fd, uint64_t size, char **text)
{
	size_t len;

	return policyfile_part(fd, size, POLICYFILE_TEXT, text, &len);
}

int policyfile_image_map(int fd, uint64_t size, const void **image)
{
	struct stat st;
	void *map;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EINVAL;
	if (fstat(fd, &st))
		return -errno;
	if (!size || size > IMAGE_MAX || (uint64_t)st.st_size < size)
		return -EINVAL;
	map = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*image = map;
	return 0;
}

void policyfile_image_unmap(const void *image, size_t size)
{
	if (image)
		munmap((void *)(uintptr_t)image, size);
}
