# What the core is made of, piece by piece.

if HAVE_CHECK
check_PROGRAMS += %D%/test_bodies %D%/test_conf %D%/test_identity %D%/test_options \
	%D%/test_pipeline %D%/test_retention %D%/test_setup %D%/test_tags
endif

%C%_test_tags_SOURCES  = %D%/test_tags.c
%C%_test_tags_CPPFLAGS = $(test_cppflags)
%C%_test_tags_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_bodies_SOURCES  = %D%/test_bodies.c
%C%_test_bodies_CPPFLAGS = $(test_cppflags)
%C%_test_bodies_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_conf_SOURCES  = %D%/test_conf.c %D%/conf_help.h
%C%_test_conf_CPPFLAGS = $(test_cppflags)
%C%_test_conf_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_options_SOURCES  = %D%/test_options.c %D%/conf_help.h \
	%D%/folder.c %D%/folder.h
%C%_test_options_CPPFLAGS = $(test_cppflags)
%C%_test_options_LDADD    = core/libcore.la $(CHECK_LIBS)

# Brings plugins of its own, in place of core/plugin/module.c.
%C%_test_setup_SOURCES  = %D%/test_setup.c %D%/conf_help.h \
	%D%/folder.c %D%/folder.h
%C%_test_setup_CPPFLAGS = $(test_cppflags)
%C%_test_setup_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_retention_SOURCES  = %D%/test_retention.c
%C%_test_retention_CPPFLAGS = $(test_cppflags)
%C%_test_retention_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_identity_SOURCES  = %D%/test_identity.c
%C%_test_identity_CPPFLAGS = $(test_cppflags)
%C%_test_identity_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_pipeline_SOURCES  = %D%/test_pipeline.c \
	%D%/folder.c %D%/folder.h
%C%_test_pipeline_CPPFLAGS = $(test_cppflags)
%C%_test_pipeline_LDADD    = core/libcore.la $(CHECK_LIBS)
