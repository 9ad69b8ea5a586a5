/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the authority process knows in order to show things by name: the policy in force (a mapped
 * image of it), and the names of interfaces.
 */
#ifndef DAEMON_VIEW_H
#define DAEMON_VIEW_H

#include "core/classify.h"
#include "core/settings.h"
#include <net/if.h>

struct notes;

/* Names that the kernel has told, each good for VIEW_NAME_NS: one question of many is about the same interface. */
#define VIEW_NAMES   16
#define VIEW_NAME_NS 100000000ull

struct view_names {
	struct {
		uint64_t until_ns;
		uint32_t index; /* 0: none */
		char name[IF_NAMESIZE];
	} of[VIEW_NAMES];
};

struct view {
	void *image; /* malloced or mapped; given back with `release` */
	size_t size;
	void (*release)(void *image, size_t size);
	struct classifier *classifier; /* NULL: no policy is known */
	uint32_t generation;           /* 0: unknown */
	uint32_t revision;             /* how often its sets were changed since */
	uint64_t serial;               /* grows with every image that is shown */
	char *text;                    /* canonical; NULL: not known */
	char *settings_text;           /* of those in force; NULL: not known */
	struct settings settings;      /* of the policy in force */
	const struct notes *notes;     /* who has decided and why, by number; NULL: not known */
	int if_fd;                     /* to ask the kernel for interface names; -1 = do not */
	struct view_names *names;      /* NULL: it is asked each time */
};

void view_init(struct view *v);
void view_deinit(struct view *v);
/*
 * Show this image from now on; it becomes the view's on success. 0 or what classify_attach says.
 */
int view_set(struct view *v, void *image, size_t size, void (*release)(void *, size_t),
	     uint32_t generation);
/* The same with a classifier of that image, which is taken too: for whoever made it elsewhere. */
void view_take(struct view *v, struct classifier *c, void *image, size_t size,
	       void (*release)(void *, size_t), uint32_t generation);
/* The same policy with its sets changed; takes the classifier. */
void view_set_classifier(struct view *v, struct classifier *c, uint32_t revision);
/* The canonical text of the image that is shown; takes it. */
void view_set_text(struct view *v, char *text);
/* The `settings` block in a canonical text, malloced; NULL when there is none, or no memory. */
char *view_settings_block(const char *text);
/* The name of the authority in a context's tag; NULL if the tag is of another policy. */
const char *view_authority(const struct view *v, uint64_t tag);
/* Index of the authority with this name, -1 if there is none. */
int view_authority_find(const struct view *v, const char *name);
/* The interface's name; false: it is not known. */
bool view_interface_known(const struct view *v, uint32_t index, char buf[IF_NAMESIZE]);
/* The number of an interface that there is now; 0: there is none of that name. */
uint32_t view_interface_index(const struct view *v, const char *name);
/* The interface's name, or its number as text; "" for 0. */
const char *view_interface(const struct view *v, uint32_t index, char buf[IF_NAMESIZE]);

#endif
