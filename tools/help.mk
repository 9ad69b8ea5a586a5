# SPDX-License-Identifier: GPL-2.0-or-later
help: ## list the targets
	@echo "usage: make [TARGET] [VARIABLE=value]"; echo
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(filter Makefile %.mk,$(MAKEFILE_LIST))
	@echo
	@echo "  SAN=address,undefined | SAN=thread   sanitizers, in a build folder of their own"
	@echo "  WERROR=1 V=1 CC= B=FOLDER            stop at warnings; show commands; compiler; build folder"
	@echo "  DESTDIR= PREFIX=                     where install puts things"
	@echo "  FUZZ_TIME=60                         seconds for each fuzz target"
	@echo "  T=NAME                               check only: the steps whose name has NAME in it"
.PHONY: help
