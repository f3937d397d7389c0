# Pure code of common/.

if HAVE_CHECK
check_PROGRAMS += %D%/test_rfc3339
endif

%C%_test_rfc3339_SOURCES  = %D%/test_rfc3339.c
%C%_test_rfc3339_CPPFLAGS = $(test_cppflags)
%C%_test_rfc3339_LDADD    = common/librfc3339.la $(CHECK_LIBS)
