/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a policy depends on. See classify_place.h. */
#include "core/classify_place.h"
#include "core/classify_view.h"
#include "core/policy_ast.h"

bool classify_depends_on_place(const struct classifier *c)
{
	const uint32_t place = POL_BIT(COND_IN) | POL_BIT(COND_OUT) | POL_BIT(COND_HOOK) |
			       POL_BIT(COND_REAUTHORIZE) | POL_BIT(COND_REASON);

	for (uint32_t i = 0; i < classify_rules(c); i++)
		if (c->rules[i].seen & place)
			return true;
	return false;
}
