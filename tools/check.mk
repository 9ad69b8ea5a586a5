# SPDX-License-Identifier: GPL-2.0-or-later
unit: $(UNIT) ## run the unit tests
	@set -e; for t in $(UNIT); do $(WRAPPER) $$t; done
.PHONY: unit
