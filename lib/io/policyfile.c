/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policy files from the file system; images in sealed memory files. See policyfile.h. */
#include "io/policyfile.h"
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
	err = glob(full, GLOB_ERR | GLOB_NOSORT, NULL, &g);
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

int policyfile_load(const char *path, struct policy **out, struct policy_diag *diag)
{
	static const struct policy_loader loader = {.read = file_read, .glob = file_glob};

	return policy_parse(out, path, &loader, diag);
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

int policyfile_image_text_fd(const void *image, size_t size, const char *text)
{
	int fd = memfd_create("pend-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, image, size);
	if (!err)
		err = write_all(fd, text, strlen(text));
	if (!err && fcntl(fd, F_ADD_SEALS, SEALS))
		err = -errno;
	if (!err && lseek(fd, 0, SEEK_SET) < 0)
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int policyfile_image_fd(const void *image, size_t size)
{
	return policyfile_image_text_fd(image, size, "");
}

int policyfile_text(int fd, uint64_t size, char **text)
{
	size_t len, got = 0;
	struct stat st;
	ssize_t n = 1;
	char *s;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size <= size)
		return -ENOENT;
	if ((uint64_t)st.st_size - size > IMAGE_MAX)
		return -EINVAL;
	len = (size_t)((uint64_t)st.st_size - size);
	s = malloc(len + 1);
	if (!s)
		return -ENOMEM;
	for (; got < len && n > 0; got += n > 0 ? (size_t)n : 0)
		n = pread(fd, s + got, len - got, (off_t)(size + got));
	s[got] = '\0';
	if (got == len) {
		*text = s;
		return 0;
	}
	free(s);
	return n < 0 ? -errno : -EINVAL;
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
