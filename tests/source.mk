# Sources, each through its module.

if HAVE_CHECK
if BUILD_SOURCE_FILE
check_PROGRAMS += %D%/test_source_file
endif
endif

%C%_test_source_file_SOURCES  = %D%/test_source_file.c \
	%D%/folder.c %D%/folder.h %D%/soon.h
%C%_test_source_file_CPPFLAGS = $(fakehost_cppflags) $(SOURCE_FILE_CFLAGS)
%C%_test_source_file_LDADD    = $(fakehost_libs) $(SOURCE_FILE_LIBS)
EXTRA_%C%_test_source_file_DEPENDENCIES = plugins/sources/source_file.la

# Against a broker, which it starts if there is none.
if HAVE_CHECK
if BUILD_SOURCE_AMQP
check_PROGRAMS += %D%/test_source_amqp
endif
endif
%C%_test_source_amqp_SOURCES  = %D%/test_source_amqp.c %D%/soon.h
%C%_test_source_amqp_CPPFLAGS = $(fakehost_cppflags) $(SOURCE_AMQP_CFLAGS) \
	-DTOP_SRCDIR='"$(abs_top_srcdir)"'
%C%_test_source_amqp_LDADD    = $(fakehost_libs) $(SOURCE_AMQP_LIBS)
EXTRA_%C%_test_source_amqp_DEPENDENCIES = plugins/sources/source_amqp.la

# At real sockets.
if HAVE_CHECK
if BUILD_SOURCE_HTTP
check_PROGRAMS += %D%/test_source_http
endif
endif
%C%_test_source_http_SOURCES  = %D%/test_source_http.c %D%/soon.h
%C%_test_source_http_CPPFLAGS = $(fakehost_cppflags) $(SOURCE_HTTP_CFLAGS)
%C%_test_source_http_LDADD    = core/libcore.la $(fakehost_libs) \
	$(SOURCE_HTTP_LIBS)
EXTRA_%C%_test_source_http_DEPENDENCIES = plugins/sources/source_http.la

if BUILD_SOURCE_HTTP
fuzzers += %D%/fuzz_http
endif
%C%_fuzz_http_SOURCES  = %D%/fuzz_http.c plugins/sources/http_body.c \
	plugins/sources/http_body.h
%C%_fuzz_http_CPPFLAGS = $(json_cppflags) $(SOURCE_HTTP_CFLAGS)
%C%_fuzz_http_LDADD    = $(fuzz_main) common/libjson.la $(SOURCE_HTTP_LIBS)
