# SPDX-License-Identifier: GPL-2.0-or-later
help: ## list the targets
	@echo "usage: make [TARGET] [VARIABLE=value]"; echo
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "  variables: SAN=address,undefined | SAN=thread, WERROR=1, V=1, DESTDIR=, PREFIX="
.PHONY: help
