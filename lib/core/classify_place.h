/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which changes around it can change what a policy says of a flow that lives. */
#ifndef CORE_CLASSIFY_PLACE_H
#define CORE_CLASSIFY_PLACE_H

#include "core/classify.h"

/*
 * Does some rule ask where a flow comes in or goes, or why it is asked about again? If not, neither
 * interfaces nor routes matter to it.
 */
bool classify_depends_on_place(const struct classifier *c);

#endif
