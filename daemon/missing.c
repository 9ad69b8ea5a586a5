/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs and files of authorities that are not there; see missing.h. */
#include "daemon/missing.h"
#include "core/classify.h"
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void file_warn(const char *authority, const char *path)
{
	if (*path == '/' && access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
		fprintf(stderr, "pendd: warning: authority \"%s\": %s: %s\n", authority, path,
			strerror(errno));
}

/* The program: the first word, where that is plain. */
static void command_warn(const char *authority, const char *command)
{
	char path[PATH_MAX];
	size_t n = strcspn(command, " \t");

	if (!n || n >= sizeof(path) || strcspn(command, "\"'\\") < n)
		return;
	memcpy(path, command, n);
	path[n] = '\0';
	file_warn(authority, path);
}

static void authority_warn(const struct classify_authority *a)
{
	static const char *const keys[] = {"secrets", "ca", "header-file"};
	json_t *config = json_loads(a->config, 0, NULL);
	const char *s = json_string_value(json_object_get(config, "command"));

	if (s)
		command_warn(a->name, s);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		s = json_string_value(json_object_get(config, keys[i]));
		if (s)
			file_warn(a->name, s);
	}
	json_decref(config);
}

int missing_warn(const struct policy *p)
{
	struct classifier *c = NULL;
	struct classify_authority a;
	void *image = NULL;
	size_t size;
	int r = policy_compile(p, &image, &size);

	if (r == 0)
		r = classify_attach(&c, image, size);
	for (uint32_t i = 0; c && i < classify_authorities(c); i++)
		if (classify_authority(c, (uint16_t)i, &a))
			authority_warn(&a);
	classify_detach(c);
	free(image);
	return r;
}
