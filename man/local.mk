# Manual pages.  Those that follow from tables are made with the plugins that
# were just built: one for each, without a list of them here.

EXTRA_DIST += man/mkman.c man/pages.c man/pages.h man/roff.c man/roff.h
if !CROSS_COMPILING
pkglibexec_PROGRAMS = man/mkman

man_mkman_SOURCES = man/mkman.c man/pages.c man/pages.h man/roff.c man/roff.h
man_mkman_CPPFLAGS = $(core_cppflags) -DMANUAL_DATE='"2026-11-20"'
man_mkman_LDADD    = core/libcore.la

all_plugins = $(sources_LTLIBRARIES) $(crypto_LTLIBRARIES) \
	$(formats_LTLIBRARIES) $(sinks_LTLIBRARIES) $(services_LTLIBRARIES)

man/pages/made: man/mkman$(EXEEXT) $(all_plugins)
	$(AM_V_GEN)rm -rf man/pages && $(MKDIR_P) man/pages && \
	env -u BURSAR_CONFIG \
	    BURSAR_PLUGIN_PATH='$(abs_top_builddir)/plugins' \
	    man/mkman$(EXEEXT) man/pages && touch $@
man_made = man/pages/made
endif

all-local: $(man_made)

install-data-local: install-pages
install-pages: $(man_made)
	for page in man/pages/*.[1358]; do \
	    [ -f "$$page" ] || continue; \
	    section=$${page##*.}; \
	    $(MKDIR_P) "$(DESTDIR)$(mandir)/man$$section" && \
	    $(INSTALL_DATA) "$$page" "$(DESTDIR)$(mandir)/man$$section" || \
	    exit 1; \
	done

uninstall-local: uninstall-pages
uninstall-pages:
	for page in man/pages/*.[1358]; do \
	    rm -f "$(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/}"; \
	done

clean-local: clean-pages
clean-pages:
	rm -rf man/pages

.PHONY: install-pages uninstall-pages clean-pages

dist_man_MANS += man/bursar-conformance.1
