/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy's files: reads them for core/policy.h, and carries a compiled image from
 * process to process as a sealed memory file.
 */
#ifndef IO_POLICYFILE_H
#define IO_POLICYFILE_H

#include "core/policy.h"

/*
 * Read, parse and check the policy at `path` with all that it includes. Paths in a file
 * are seen from that file's folder; patterns are sorted by byte; only regular files, pipes and /dev/null are read.
 * As policy_parse: 0, -EINVAL with diagnostics, -ENOMEM, or why the first file could not be read. diag is always set
 * (policy_diag_deinit) and says also of success what was warned about.
 */
int policyfile_load(const char *path, struct policy **out, struct policy_diag *diag);

/* A sealed (no write, no shrink, no grow, no more seals), close-on-exec memory file with these bytes, at
 * offset 0. The descriptor, or -errno. */
int policyfile_image_fd(const void *image, size_t size);
/* The same with a text behind them: the policy as people read it. */
int policyfile_image_text_fd(const void *image, size_t size, const char *text);
/* The text behind an image of this size, malloced; -ENOENT when there is none, or -errno. */
int policyfile_text(int fd, uint64_t size, char **text);
/*
 * Map such a file for reading. `size` is what the sender announced. -EINVAL unless it is
 * sealed as above (so that nobody can change or cut it under the reader) and at least that large. The descriptor stays
 * the caller's and may be closed. policyfile_image_unmap() ends it.
 */
int policyfile_image_map(int fd, uint64_t size, const void **image);
void policyfile_image_unmap(const void *image, size_t size); /* NULL is allowed */

#endif
