# sources: one module each, source_NAME.la

if BUILD_SOURCE_FILE
sources_LTLIBRARIES += %D%/source_file.la
endif

%C%_source_file_la_SOURCES = \
	%D%/file.c \
	%D%/file_reader.c \
	%D%/file_reader.h \
	%D%/file_sample.c \
	%D%/file_scan.c \
	%D%/file_set.c \
	%D%/file_set.h \
	%D%/file_state.c \
	%D%/file_state.h
%C%_source_file_la_CPPFLAGS = $(plugin_cppflags) $(SOURCE_FILE_CFLAGS)
%C%_source_file_la_LDFLAGS = $(plugin_ldflags)
%C%_source_file_la_LIBADD = common/libregular.la $(SOURCE_FILE_LIBS)

if BUILD_SOURCE_AMQP
sources_LTLIBRARIES += %D%/source_amqp.la
endif

%C%_source_amqp_la_SOURCES = \
	%D%/amqp.c \
	%D%/amqp_consumer.c \
	%D%/amqp_lib.h \
	%D%/amqp_link.c \
	%D%/amqp_login.c \
	%D%/amqp_look.c \
	%D%/amqp_message.c \
	%D%/amqp_message.h \
	%D%/amqp_place.c \
	%D%/amqp_place.h \
	%D%/amqp_source.h
%C%_source_amqp_la_CPPFLAGS = $(plugin_cppflags) $(SOURCE_AMQP_CFLAGS)
%C%_source_amqp_la_LDFLAGS = $(plugin_ldflags)
%C%_source_amqp_la_LIBADD = common/libregular.la $(SOURCE_AMQP_LIBS)

if BUILD_SOURCE_HTTP
sources_LTLIBRARIES += %D%/source_http.la
endif

%C%_source_http_la_SOURCES = \
	%D%/http.c \
	%D%/http_answer.c \
	%D%/http_body.c \
	%D%/http_body.h \
	%D%/http_request.c \
	%D%/http_server.c \
	%D%/http_source.h \
	%D%/http_untold.c \
	%D%/http_usage.c \
	%D%/http_wait.c
%C%_source_http_la_CPPFLAGS = $(plugin_cppflags) $(SOURCE_HTTP_CFLAGS)
%C%_source_http_la_LDFLAGS = $(plugin_ldflags)
%C%_source_http_la_LIBADD = common/libhttp.la common/libtokens.la \
	common/libregular.la \
	common/libtags.la common/libjson.la common/libkeyfile.la \
	$(SOURCE_HTTP_LIBS)
