/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The main of every unit test: a test file brings suite(). */
#include "unit.h"
#include <stdlib.h>

int main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
