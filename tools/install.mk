# SPDX-License-Identifier: GPL-2.0-or-later
# install and uninstall use one list, so that uninstall leaves nothing: mode, file, folder, name.

INSTALL ?= install
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
MODULESDIR ?= $(PREFIX)/lib/modules-load.d
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig

# A file that is not there yet is not installed.
have = $(foreach f,$(1),$(wildcard $(f)))
item = $(foreach f,$(2),$(1):$(f):$(3))
man = $(foreach n,1 3 5 7 8,$(call item,644,$(wildcard man/*.$(n)),$(MANDIR)/man$(n)))

INSTALL_ITEMS = \
	755:$(B)/pendd:$(SBINDIR) 755:$(B)/pendctl:$(BINDIR) 755:$(B)/pend-agent:$(LIBEXECDIR) \
	644:$(B)/libpend.a:$(LIBDIR) 644:$(B)/libpend-client.a:$(LIBDIR) \
	755:$(B)/libpend.so.$(VERSION):$(LIBDIR) 755:$(B)/libpend-client.so.$(VERSION):$(LIBDIR) \
	$(call item,644,$(wildcard lib/include/*.h),$(INCLUDEDIR)) \
	644:$(B)/pend.pc:$(PKGCONFIGDIR) 644:$(B)/pend-client.pc:$(PKGCONFIGDIR) \
	$(man) \
	644:$(B)/systemd/pendd.service:$(UNITDIR) 644:$(B)/systemd/pend-agent@.service:$(UNITDIR) \
	644:systemd/pend.sysusers:$(SYSUSERSDIR)/pend.conf \
	644:systemd/pend.tmpfiles:$(TMPFILESDIR)/pend.conf \
	644:systemd/pend.modules-load:$(MODULESDIR)/pend.conf \
	$(call item,644,$(call have,docs/semantics.md docs/architecture.md docs/protocol.md docs/protocol.schema.json),$(DOCDIR)) \
	$(call item,644,$(wildcard docs/recipes/*.md),$(DOCDIR)/recipes) \
	644:$(B)/README.md:$(DOCDIR) 644:CONTRIBUTING.md:$(DOCDIR) \
	$(call item,644,$(wildcard docs/captures/*.md docs/captures/*.txt docs/captures/*.svg),$(DOCDIR)/captures) \
	$(call item,644,$(wildcard LICENSES/*),$(DOCDIR)/LICENSES) \
	644:systemd/pend.sysctl:$(DOCDIR)/examples/60-pend.conf \
	$(call item,644,$(wildcard examples/*.c),$(DOCDIR)/examples) \
	$(call item,755,$(call have,examples/mfa-push),$(DOCDIR)/examples) \
	$(call item,755,$(wildcard examples/*.sh examples/*.py),$(DOCDIR)/examples) \
	$(foreach f,$(call have,conf/pendctl.bash),644:$(f):$(COMPLETIONDIR)/pendctl)

# Configuration belongs to the administrator: an existing file is kept by both targets.
CONF_ITEMS = $(call item,644,$(wildcard conf/*.conf),$(SYSCONFDIR)/pend) \
	$(call item,644,$(wildcard conf/policy.d/*.example),$(SYSCONFDIR)/pend/policy.d)

INSTALL_LINKS = \
	libpend.so.$(VERSION):$(LIBDIR)/libpend.so.$(SOVERSION) \
	libpend.so.$(SOVERSION):$(LIBDIR)/libpend.so \
	libpend-client.so.$(VERSION):$(LIBDIR)/libpend-client.so.$(SOVERSION) \
	libpend-client.so.$(SOVERSION):$(LIBDIR)/libpend-client.so

INSTALL_DIRS = $(LIBEXECDIR) $(addprefix $(DOCDIR)/,examples recipes captures LICENSES) $(DOCDIR) $(SYSCONFDIR)/pend/policy.d $(SYSCONFDIR)/pend

FILL = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@VERSION@|$(VERSION)|g' \
	-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' -e 's|@SBINDIR@|$(SBINDIR)|g' -e 's|@BINDIR@|$(BINDIR)|g' \
	-e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' -e 's|@LIBEXECDIR@|$(LIBEXECDIR)|g'

# Filled anew every time: the folders may have been given on the command line.
$(B)/pend.pc: lib/pend.pc.in FORCE
	@mkdir -p $(@D) && $(FILL) $< >$@
$(B)/pend-client.pc: lib/client/pend-client.pc.in FORCE
	@mkdir -p $(@D) && $(FILL) $< >$@
# What is in docs/ here is beside it there.
$(B)/README.md: README.md FORCE
	@mkdir -p $(@D) && sed 's|](docs/|](|g' $< >$@
$(B)/systemd/%.service: systemd/%.service.in FORCE
	@mkdir -p $(@D) && $(FILL) $< >$@
FORCE:

install: all $(B)/README.md $(B)/pend.pc $(B)/pend-client.pc $(B)/systemd/pendd.service $(B)/systemd/pend-agent@.service ## install below DESTDIR and PREFIX
	@tools/install-items put "$(DESTDIR)" $(INSTALL_ITEMS)
	@tools/install-items keep "$(DESTDIR)" $(CONF_ITEMS)
	@tools/install-items link "$(DESTDIR)" $(INSTALL_LINKS)

uninstall: ## remove what install put there; a changed configuration file stays
	@tools/install-items drop "$(DESTDIR)" $(INSTALL_ITEMS)
	@tools/install-items drop-same "$(DESTDIR)" $(CONF_ITEMS)
	@tools/install-items unlink "$(DESTDIR)" $(INSTALL_LINKS)
	@tools/install-items rmdir "$(DESTDIR)" $(INSTALL_DIRS)

.PHONY: install uninstall FORCE
