# A plugin sees include/ and common/ and nothing else of ours: its CPPFLAGS
# have no -I for core/, and -z defs refuses one that calls into the daemon.

sourcesdir  = $(pkglibdir)/sources
cryptodir   = $(pkglibdir)/crypto
formatsdir  = $(pkglibdir)/formats
sinksdir    = $(pkglibdir)/sinks
servicesdir = $(pkglibdir)/services

sources_LTLIBRARIES  =
crypto_LTLIBRARIES   =
formats_LTLIBRARIES  =
sinks_LTLIBRARIES    =
services_LTLIBRARIES =

plugin_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)
plugin_ldflags = $(AM_LDFLAGS) -module -avoid-version -no-undefined $(Z_DEFS) \
	-export-symbols-regex '_LTX_bursar_plugin$$'

include plugins/sources/local.mk
include plugins/crypto/local.mk
include plugins/formats/local.mk
include plugins/sinks/local.mk
include plugins/services/local.mk

# libtool's own description of a module is of no use to a loader by name.
install-data-hook:
	for kind in $(sourcesdir) $(cryptodir) $(formatsdir) $(sinksdir) \
	    $(servicesdir); do rm -f "$(DESTDIR)$$kind"/*.la; done

# So libtool does not know what to remove either.
uninstall-local: uninstall-modules
uninstall-modules:
	for kind in $(sourcesdir) $(cryptodir) $(formatsdir) $(sinksdir) \
	    $(servicesdir); do \
	    for module in $(sources_LTLIBRARIES) $(crypto_LTLIBRARIES) \
	        $(formats_LTLIBRARIES) $(sinks_LTLIBRARIES) \
	        $(services_LTLIBRARIES); do \
	        name=$${module##*/}; \
	        rm -f "$(DESTDIR)$$kind/$${name%.la}.so"; \
	    done; \
	done
.PHONY: uninstall-modules
