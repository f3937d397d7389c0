# Services.

check_LTLIBRARIES += tests/modules/service_clock.la
tests_modules_service_clock_la_SOURCES = tests/modules/service_clock.c
tests_modules_service_clock_la_LDFLAGS = $(test_module_ldflags)

if HAVE_CHECK
check_PROGRAMS += %D%/test_services
endif
%C%_test_services_SOURCES  = %D%/test_services.c \
	%D%/folder.c %D%/folder.h %D%/soon.h
%C%_test_services_CPPFLAGS = $(test_cppflags) \
	-DTESTS_DIR='"$(abs_top_builddir)/tests"'
%C%_test_services_LDADD    = core/libcore.la $(CHECK_LIBS)
EXTRA_%C%_test_services_DEPENDENCIES = tests/modules/service_clock.la \
	tests/modules/sink_moody.la

# What it says, without a socket; with one: daemon_web.py.
if HAVE_CHECK
if BUILD_SERVICE_WEB
check_PROGRAMS += %D%/test_service_web
endif
endif
%C%_test_service_web_SOURCES  = %D%/test_service_web.c \
	plugins/services/web.h plugins/services/web_health.c \
	plugins/services/web_metrics.c plugins/services/web_request.c \
	plugins/services/web_text.c
%C%_test_service_web_CPPFLAGS = $(test_cppflags) $(SERVICE_WEB_CFLAGS)
%C%_test_service_web_LDADD    = common/libhttp.la core/libcore.la \
	$(SERVICE_WEB_LIBS) $(CHECK_LIBS)
