/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a policy names for its authorities and this host does not have: for those who check a policy by hand. */
#ifndef DAEMON_MISSING_H
#define DAEMON_MISSING_H

#include "core/policy.h"

/* A line to standard error for each program and file that is not there. It may come later, so it is no error. */
int missing_warn(const struct policy *p); /* 0 or -errno */

#endif
