# A host and an arena for tests of one plugin.  A test of plugins/KINDs/NAME.c
# links $(fakehost_libs), is compiled with $(fakehost_cppflags), and depends on
# its module by EXTRA_..._DEPENDENCIES.

if HAVE_CHECK
check_LTLIBRARIES += %D%/libfakehost.la
endif
fakehost_cppflags = $(test_cppflags) $(SODIUM_CFLAGS) \
	-DTOP_BUILDDIR='"$(abs_top_builddir)"'
fakehost_libs = %D%/libfakehost.la $(CHECK_LIBS)

%C%_libfakehost_la_CPPFLAGS = $(fakehost_cppflags)
%C%_libfakehost_la_SOURCES  = %D%/fakehost.c %D%/fakehost.h
%C%_libfakehost_la_LIBADD   = $(LTDL_LIBS) $(SODIUM_LIBS) $(CHECK_LIBS)
