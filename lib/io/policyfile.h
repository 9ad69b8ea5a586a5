/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy's files: reads them for core/policy.h, and carries a compiled image from
 * process to process as a sealed memory file.
 */
#ifndef IO_POLICYFILE_H
#define IO_POLICYFILE_H

#include "core/policy.h"
#include "core/policy_overlay.h"

/*
 * Read, parse and check the policy at `path` with all that it includes. Paths in a file
 * are seen from that file's folder; patterns are sorted by byte; only regular files, pipes and /dev/null are read.
 * As policy_parse: 0, -EINVAL with diagnostics, -ENOMEM, or why the first file could not be read. diag is always set
 * (policy_diag_deinit) and says also of success what was warned about.
 */
int policyfile_load(const char *path, struct policy **out, struct policy_diag *diag);

/*
 * All that was read and looked up for a policy, so that the same policy can be parsed again whatever the
 * files hold by then, and whoever has an account. Flat: it travels as it is.
 */
struct policyfile_sources {
	char *data; /* malloced */
	size_t len, cap;
	bool lost; /* there was no memory for them, or too many */
};

void policyfile_sources_deinit(struct policyfile_sources *s);
/* `to` is empty before. 0 or -ENOMEM. */
int policyfile_sources_copy(struct policyfile_sources *to, const struct policyfile_sources *from);
/* Can such bytes be asked for what is in them? For bytes that came from elsewhere. */
bool policyfile_sources_valid(const void *data, size_t len);
/* As policyfile_load, with changes of run time over it (NULL: none). `keep` (NULL, or empty) gets what was
 * read. */
int policyfile_load_with(const char *path, struct policyfile_sources *keep,
			 const struct policy_overlay *overlay, struct policy **out,
			 struct policy_diag *diag);
/* The same from what was kept; no file of the policy is looked at. Accounts and countries that only the overlay names
 * are looked up, and kept from now on: `lost` says that they could not be. */
int policyfile_load_again(struct policyfile_sources *sources, const struct policy_overlay *overlay,
			  struct policy **out, struct policy_diag *diag);

/* What goes with an image, each as bytes; an empty one is not there. */
enum policyfile_part {
	POLICYFILE_TEXT, /* the policy as people read it */
	POLICYFILE_SOURCES,
	POLICYFILE_OVERLAY, /* what was changed at run time (daemon/overlay.h) */
	POLICYFILE_JOURNAL, /* ... and by whom (daemon/journal.h) */
	POLICYFILE_PARTS,
};

struct policyfile_bytes {
	const void *data;
	size_t len;
};

/* A sealed (no write, no shrink, no grow, no more seals), close-on-exec memory file with these bytes, at
 * offset 0. The descriptor, or -errno. */
int policyfile_image_fd(const void *image, size_t size);
/* The same with parts behind them. */
int policyfile_parts_fd(const void *image, size_t size,
			const struct policyfile_bytes part[POLICYFILE_PARTS]);
/* The same with the text alone. */
int policyfile_image_text_fd(const void *image, size_t size, const char *text);
/* A part behind an image of this size, malloced, a NUL behind it; -ENOENT when it is not there, -EINVAL when
 * what is behind the image is no such thing, or -errno. */
int policyfile_part(int fd, uint64_t size, enum policyfile_part which, char **data, size_t *len);
/* The text. */
int policyfile_text(int fd, uint64_t size, char **text);
/*
 * Map such a file for reading. `size` is what the sender announced. -EINVAL unless it is
 * sealed as above (so that nobody can change or cut it under the reader) and at least that large. The descriptor stays
 * the caller's and may be closed. policyfile_image_unmap() ends it.
 */
int policyfile_image_map(int fd, uint64_t size, const void **image);
void policyfile_image_unmap(const void *image, size_t size); /* NULL is allowed */

#endif
