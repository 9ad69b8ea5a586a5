/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of a classifier: pointers into the image that was checked. */
#ifndef CORE_CLASSIFY_VIEW_H
#define CORE_CLASSIFY_VIEW_H

#include "core/classify.h"
#include "core/classify_image.h"
#include "core/classify_index.h"
#include <stdatomic.h>

struct classifier {
	uint32_t n[IMAGE_SECTIONS];
	const char *strings;
	const struct image_authority *authorities;
	const struct image_layer *layers;
	const struct image_rule *rules;
	const struct image_set *sets;
	const uint32_t *members;
	const struct image_v4 *v4;
	const struct image_v6 *v6;
	const struct image_port *ports;
	const struct image_iface *ifaces;
	const struct image_bits *bits;
	const struct classify_limit *limits;
	const struct image_id *ids;
	const uint32_t *texts;
	struct classify_index index;
	atomic_uint *users;           /* classifiers that share index and keys, this one included */
	_Atomic uint64_t *keys;       /* by rule; 0: not asked for yet */
	struct classify_patch *patch; /* NULL: as compiled */
};

#endif
