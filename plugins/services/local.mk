# services: one module each, service_NAME.la

if BUILD_SERVICE_WEB
services_LTLIBRARIES += %D%/service_web.la
endif

%C%_service_web_la_SOURCES = \
	%D%/web.c \
	%D%/web.h \
	%D%/web_health.c \
	%D%/web_metrics.c \
	%D%/web_request.c \
	%D%/web_server.c \
	%D%/web_text.c
%C%_service_web_la_CPPFLAGS = $(plugin_cppflags) $(SERVICE_WEB_CFLAGS)
%C%_service_web_la_LDFLAGS = $(plugin_ldflags)
%C%_service_web_la_LIBADD = common/libhttp.la common/libtokens.la \
	common/libregular.la \
	common/libtags.la common/libjson.la common/libkeyfile.la \
	$(SERVICE_WEB_LIBS)
