# SPDX-License-Identifier: Apache-2.0
#
# Builds MODULE.so from MODULE.c with what pkg-config knows of bursar and of
# LIBS, and runs it through the contract of its kind with CHECK; of that only
# the checks whose names hold ONLY, as in `make check ONLY=memory`.

CFLAGS ?= -O2 -g -Wall -Wextra -Wno-missing-field-initializers
PKG_CONFIG ?= pkg-config
CONFORMANCE ?= bursar-conformance
MKMAN ?= $$($(PKG_CONFIG) --variable=mkman bursar)

$(MODULE).so: $(MODULE).c
	$(CC) $(CPPFLAGS) -std=gnu11 $(CFLAGS) -fvisibility=hidden -shared -fPIC \
	    $$($(PKG_CONFIG) --cflags bursar $(LIBS)) -o $@ $(MODULE).c \
	    $(LDFLAGS) -Wl,-z,defs,-z,now $$($(PKG_CONFIG) --libs bursar $(LIBS))

check: $(MODULE).so
	BURSAR_PLUGIN_PATH=$$PWD $(CONFORMANCE) $(CHECK) $(if $(ONLY),-t "$(ONLY)")

# The manual page, from the table of options.
man: $(MODULE).so
	mkdir -p man && BURSAR_PLUGIN_PATH=$$PWD $(MKMAN) man $(MODULE)

install: $(MODULE).so
	folder=$$($(PKG_CONFIG) --variable=plugindir bursar)/$(FOLDER) && \
	mkdir -p "$(DESTDIR)$$folder" && \
	install -m 0644 $(MODULE).so "$(DESTDIR)$$folder"

clean:
	rm -rf $(MODULE).so man

.PHONY: check man install clean
