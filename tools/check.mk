# SPDX-License-Identifier: GPL-2.0-or-later
# Everything that checks, measures and shows. `make check` runs tools/runtests, which knows the steps.

FUZZ_TIME ?= 60
T ?=

# As root what is missing is installed; others are told the command and go on.
DEPS = @[ "$$(id -u)" != 0 ] || tools/deps
CHECK_ENV = MAKE="$(MAKE)" B="$(B)" SAN="$(SAN)" VERSION="$(VERSION)" SOVERSION="$(SOVERSION)" \
	FUZZ_NAMES="$(notdir $(FUZZ))"

tests: all $(UNIT) $(NETNS_BIN) $(TOOL_BIN) $(BENCH)

unit: $(UNIT) ## run the unit tests (WRAPPER= runs them under something)
	@set -e; for t in $(UNIT); do $(WRAPPER) $$t; done

check: ## run every check and test; kernel tests need root
	$(DEPS) build check demo
	@+$(CHECK_ENV) tools/runtests "$(T)"

check-netns: tests ## run the kernel tests alone, with what SAN= built
	@+$(CHECK_ENV) STEPS=netns tools/runtests "$(T)"

check-vm: tests ## run tests/vm/*.sh on a stock Debian kernel in QEMU, where vmrun is found
	@+$(CHECK_ENV) STEPS=vm PEND_CHECK_VM=1 tools/runtests "$(T)"

demo: ## hold, decide and release real connections, with a timeline (root, a minute)
	$(DEPS) build demo
	@+$(MAKE) --no-print-directory all $(NETNS_BIN)
	@B="$(B)" tests/demo.sh

bench: ## CPU per SYN beside a bare accept-all loop; build/bench.json (root)
	$(DEPS) build demo
	@+$(MAKE) --no-print-directory all $(BENCH) $(NETNS_BIN)
	@B="$(B)" bench/run.sh

# A build of its own: clang, libFuzzer, sanitizers.
FUZZ_MAKE = +@$(MAKE) --no-print-directory B=build/fuzz CC=$(CLANG) SAN=address,undefined FUZZING=1

fuzz: ## fuzz each target for FUZZ_TIME seconds; crash files stay in build/fuzz
	$(FUZZ_MAKE) fuzz-programs
	@for t in $(notdir $(FUZZ)); do tools/fuzz-one $$t $(FUZZ_TIME) || exit 1; done

fuzz-programs: $(FUZZ)

format: ## rewrite the C files with clang-format
	@tools/check-source files | xargs clang-format -i

format-check: ## tell which C files clang-format would change
	@tools/check-source format

analyze: ## clang's static analyzer, gcc's -fanalyzer and clang-tidy; all three speak before it fails
	@rm -rf build/analyze build/fanalyzer
	+@rc=0; \
	scan-build --status-bugs -o build/analyze/report --use-cc=$(CLANG) \
		$(MAKE) --no-print-directory B=build/analyze all || rc=1; \
	$(MAKE) --no-print-directory -k B=build/fanalyzer CC=gcc WERROR=1 CFLAGS="-O1 -g -fanalyzer" \
		all || rc=1; \
	clang-tidy --quiet --warnings-as-errors='*' $(BASE_SRC) $(CORE_SRC) $(IO_SRC) $(CLIENT_SRC) \
		$(DAEMON_SRC) $(CLI_SRC) $(AGENT_SRC) -- -std=c11 $(ALL_CPPFLAGS) || rc=1; \
	exit $$rc

coverage: ## lines and branches that the unit tests reach, by file
	@rm -rf build/coverage
	+@$(MAKE) --no-print-directory B=build/coverage CC=gcc COVERAGE=1 CFLAGS=-g unit
	@tools/coverage build/coverage

tags: ## an index for editors
	@ctags --languages=C -R lib daemon cli agents examples tests bench

.PHONY: tests unit check check-netns check-vm demo bench fuzz fuzz-programs format format-check \
	analyze coverage tags
