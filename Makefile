# SPDX-License-Identifier: GPL-2.0-or-later
# `make help` lists the targets.

VERSION   := 0.1.0
SOVERSION := 0

PREFIX     ?= /usr
SBINDIR    ?= $(PREFIX)/sbin
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
LIBEXECDIR ?= $(PREFIX)/lib/pend
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/pend
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
RUNSTATEDIR ?= /run
DESTDIR    ?=

CC      ?= cc
AR      ?= ar
CLANG   ?= clang
CFLAGS  ?= -O2 -g
WERROR  ?=
SAN     ?=
V       ?=

# A sanitizer or another compiler gets a build folder of its own.
comma := ,
B ?= build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
# FUZZING=1: with clang, instrumented for libFuzzer. COVERAGE=1: counted for gcov.
FUZZING  ?=
COVERAGE ?=

WARN := -Wall -Wextra -Wshadow -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wvla -Wswitch-enum -Wundef -Wwrite-strings -Wformat=2 $(if $(WERROR),-Werror)
HARDEN := -fstack-protector-strong $(if $(SAN)$(COVERAGE),,-D_FORTIFY_SOURCE=2)
ALL_CPPFLAGS := -Ilib/include -Ilib -I. -D_GNU_SOURCE -DPEND_VERSION='"$(VERSION)"' \
	-DPEND_SYSCONFDIR='"$(SYSCONFDIR)"' -DPEND_RUNSTATEDIR='"$(RUNSTATEDIR)"' \
	-DPEND_LIBEXECDIR='"$(LIBEXECDIR)"' $(CPPFLAGS)
ALL_CFLAGS := -std=c11 -fPIC -fvisibility=hidden -pthread $(WARN) $(HARDEN) $(CFLAGS) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -O1) \
	$(if $(FUZZING),-fsanitize=fuzzer-no-link) $(if $(COVERAGE),--coverage -O0)
ALL_LDFLAGS := -pthread -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN)) \
	$(if $(COVERAGE),--coverage) $(LDFLAGS)

NFQ_LIBS  := -lnetfilter_queue -lnfnetlink -lmnl -lnftnl
GEO_LIBS  := -lmaxminddb
JSON_LIBS := -ljansson
CLI_LIBS  := $(JSON_LIBS) -lncursesw -ltinfo
DB_LIBS   := -lsqlite3
AGENT_LIBS := -loath -lcares -lcurl

# lib/base <- lib/core <- lib/io <- daemon; lib/client <- cli; agents: base, client, the loop and the listeners of io.
# tools/check-layers enforces it.
BASE_SRC   := $(wildcard lib/base/*.c)
CORE_SRC   := $(wildcard lib/core/*.c)
IO_SRC     := $(wildcard lib/io/*.c)
CLIENT_SRC := $(wildcard lib/client/*.c)
DAEMON_SRC := $(wildcard daemon/*.c)
CLI_SRC    := $(wildcard cli/*.c)
AGENT_SRC  := $(wildcard agents/*.c)
obj = $(patsubst %.c,$(B)/%.o,$(1))

LIB_OBJ    := $(call obj,$(BASE_SRC) $(CORE_SRC) $(IO_SRC))
# Files of a policy are the programs' business; the shared library does without them and what they need.
SO_OBJ     := $(filter-out $(B)/lib/io/geo.o $(B)/lib/io/policyfile.o,$(LIB_OBJ))
DAEMON_OBJ := $(call obj,$(DAEMON_SRC))
DAEMON_LIB_OBJ := $(filter-out $(B)/daemon/main.o,$(DAEMON_OBJ))

PROGRAMS := $(B)/pendd $(B)/pendctl $(B)/pend-agent
LIBS     := $(B)/libpend.a $(B)/libpend.so $(B)/libpend-client.a $(B)/libpend-client.so
EXAMPLES := $(patsubst examples/%.c,$(B)/examples/%,$(wildcard examples/*.c))
UNIT     := $(patsubst tests/unit/test_%.c,$(B)/tests/unit/test_%,$(wildcard tests/unit/test_*.c))
NETNS_BIN := $(patsubst tests/netns/%.c,$(B)/tests/netns/%,$(wildcard tests/netns/*.c))
TOOL_BIN := $(patsubst tests/tools/%.c,$(B)/tests/tools/%,$(wildcard tests/tools/*.c))
BENCH    := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
FUZZ     := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

.DEFAULT_GOAL := all

all: $(LIBS) $(PROGRAMS) $(EXAMPLES) ## build the libraries, programs and examples

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Everything as one archive for tests and programs; the shared library exports pend_* only.
$(B)/libpend.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/libpend.so.$(VERSION): $(SO_OBJ) lib/libpend.map
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(ALL_LDFLAGS) -Wl,-soname,libpend.so.$(SOVERSION) \
		-Wl,--version-script=lib/libpend.map -o $@ $(SO_OBJ) $(NFQ_LIBS)

$(B)/libpend-client.a: $(call obj,$(CLIENT_SRC))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/libpend-client.so.$(VERSION): $(call obj,$(CLIENT_SRC)) lib/libpend-client.map
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(ALL_LDFLAGS) -Wl,-soname,libpend-client.so.$(SOVERSION) \
		-Wl,--version-script=lib/libpend-client.map -o $@ $(call obj,$(CLIENT_SRC)) $(JSON_LIBS)

$(B)/%.so: $(B)/%.so.$(VERSION)
	$(Q)ln -sf $(<F) $(@D)/$(*F).so.$(SOVERSION) && ln -sf $(*F).so.$(SOVERSION) $@

# The programs but for their main, so that tests link what they need of them.
$(B)/daemon.a: $(DAEMON_LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/cli.a: $(call obj,$(filter-out cli/main.c,$(CLI_SRC)))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/agents.a: $(call obj,$(filter-out agents/main.c,$(AGENT_SRC)))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
TEST_LIBS := $(B)/daemon.a $(B)/cli.a $(B)/agents.a $(B)/libpend.a $(B)/libpend-client.a

$(B)/pendd: $(DAEMON_OBJ) $(B)/libpend.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(NFQ_LIBS) $(GEO_LIBS) $(JSON_LIBS) $(DB_LIBS) -lseccomp

$(B)/pendctl: $(call obj,$(CLI_SRC)) $(B)/libpend-client.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CLI_LIBS)

$(B)/pend-agent: $(call obj,$(AGENT_SRC)) $(B)/libpend.a $(B)/libpend-client.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(JSON_LIBS) $(AGENT_LIBS)

$(B)/examples/%: $(B)/examples/%.o $(B)/libpend.a $(B)/libpend-client.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(NFQ_LIBS) $(JSON_LIBS)

$(B)/bench/%: $(B)/bench/%.o $(B)/libpend.a $(B)/libpend-client.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(NFQ_LIBS) $(JSON_LIBS)

$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(B)/tests/unit/main.o $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(NFQ_LIBS) $(GEO_LIBS) $(CLI_LIBS) $(DB_LIBS) -lseccomp $(AGENT_LIBS) \
		$(shell pkg-config --libs check)

# The simulated kernel of the engine's tests.
$(filter $(B)/tests/unit/test_engine_%,$(UNIT)) $(B)/tests/unit/test_worker_msg $(B)/tests/unit/test_decide \
$(addprefix $(B)/tests/fuzz/fuzz_,engine nfqueue workermsg): \
	$(B)/tests/unit/engine_sim.o $(B)/tests/unit/engine_drive.o

# Programs of the kernel tests: plain sockets, nothing of ours linked in.
$(B)/tests/netns/%: $(B)/tests/netns/%.o
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

# Programs that drive a part of ours for a script.
$(B)/tests/tools/%: $(B)/tests/tools/%.o $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(NFQ_LIBS) $(GEO_LIBS) $(CLI_LIBS) $(DB_LIBS) -lseccomp $(AGENT_LIBS)

$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) $(NFQ_LIBS) $(GEO_LIBS) $(CLI_LIBS) $(DB_LIBS) -lseccomp $(AGENT_LIBS)

.PRECIOUS: $(B)/%.o $(B)/libpend.so.$(VERSION) $(B)/libpend-client.so.$(VERSION)

include tools/check.mk
include tools/install.mk
include tools/help.mk

clean: ## remove everything that was built
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)

.PHONY: all clean
