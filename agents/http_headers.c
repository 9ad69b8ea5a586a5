/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers, and the file with those that are secret; see http.h. */
#include "agents/http.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* RFC 9110, 5.6.2 */
#define TOKEN                                                            \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" \
	"!#$%&'*+-.^_`|~"

static bool good(const char *text)
{
	size_t n = strspn(text, TOKEN);

	if (!n || text[n] != ':')
		return false;
	for (const char *c = text + n; *c; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return false;
	return true;
}

/* curl takes "Name:" for the wish to send no such header, and "Name;" for an empty one. */
static char *for_curl(const char *text)
{
	char *copy = strdup(text);
	size_t n = strspn(text, TOKEN);

	if (copy && !text[n + 1 + strspn(text + n + 1, " \t")])
		memcpy(copy + n, ";", 2);
	return copy;
}

int http_headers_add(struct curl_slist **list, const char *text, struct err *e)
{
	struct curl_slist *longer;
	char *copy;

	if (!good(text))
		return err_set(e, -EINVAL, "expected a header like \"Name: value\"");
	copy = for_curl(text);
	longer = copy ? curl_slist_append(*list, copy) : NULL;
	free(copy);
	if (!longer)
		return err_set(e, -ENOMEM, "out of memory");
	*list = longer;
	return 0;
}

static size_t trimmed(const char *s, size_t len)
{
	while (len && strchr(" \t\r", s[len - 1]))
		len--;
	return len;
}

/* 1: it was one; 0: it is empty or a comment. */
static int add_line(struct curl_slist **list, const char *s, size_t len, struct err *e)
{
	char *line;
	int r;

	for (; len && (*s == ' ' || *s == '\t'); len--)
		s++;
	len = trimmed(s, len);
	if (!len || *s == '#')
		return 0;
	if (memchr(s, '\0', len))
		return err_set(e, -EINVAL, "it is not text");
	line = strndup(s, len);
	if (!line)
		return err_set(e, -ENOMEM, "out of memory");
	r = http_headers_add(list, line, e);
	free(line);
	return r < 0 ? r : 1;
}

int http_headers_parse(struct curl_slist **list, const char *text, size_t len, const char *path,
		       struct err *e)
{
	const char *end = text + len;
	struct err why = {0};
	unsigned n = 0;

	for (unsigned line = 1; text < end; line++) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t size = (size_t)((nl ? nl : end) - text);
		int r = add_line(list, text, size, &why);

		/* Not the line itself: it may be a secret. */
		if (r < 0)
			return err_set(e, r, "%s:%u: %s", path, line, why.text);
		n += (unsigned)r;
		if (n > HTTP_HEADERS_MAX)
			return err_set(e, -E2BIG, "%s:%u: more than %d headers", path, line,
				       HTTP_HEADERS_MAX);
		text += size + (nl != NULL);
	}
	return 0;
}

static int check(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s: it is no regular file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(e, -EPERM, "%s: it belongs to neither root nor this user", path);
	if (st.st_mode & 027)
		return err_set(e, -EPERM,
			       "%s: others may read it, or change it: chmod 640, or less", path);
	return 0;
}

static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size && (n = read(fd, buf + len, size - len)) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)len;
}

int http_headers_load(struct curl_slist **list, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	char buf[HTTP_FILE_MAX + 1];
	ssize_t n = 0;

	if (fd < 0)
		return err_sys(e, -errno, "%s", path);
	r = check(fd, path, e);
	if (!r)
		n = read_all(fd, buf, sizeof(buf));
	close(fd);
	if (!r && n < 0)
		r = err_sys(e, (int)n, "%s", path);
	else if (!r && n > HTTP_FILE_MAX)
		r = err_set(e, -EFBIG, "%s: it is larger than %d bytes", path, HTTP_FILE_MAX);
	if (!r)
		r = http_headers_parse(list, buf, (size_t)n, path, e);
	explicit_bzero(buf, sizeof(buf));
	return r;
}
