/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads OpenMetrics text and says what is wrong with it: exit 1. */
#include "../unit/openmetrics.h"

int main(void)
{
	static struct openmetrics m;
	char line[2000];

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!om_line(&m, line)) {
			printf("%s\n", m.why);
			return 1;
		}
	}
	if (!m.eof || !m.samples) {
		printf("no end, or nothing at all\n");
		return 1;
	}
	printf("%u families, %u samples\n", m.families, m.samples);
	return 0;
}
