# formats: one file each, format_NAME.la

if BUILD_FORMAT_LEDGER
formats_LTLIBRARIES += %D%/format_ledger.la
endif

%C%_format_ledger_la_SOURCES  = %D%/ledger.c
%C%_format_ledger_la_CPPFLAGS = $(plugin_cppflags)
%C%_format_ledger_la_LDFLAGS  = $(plugin_ldflags)
%C%_format_ledger_la_LIBADD   = common/libdescriptor.la common/libshape.la \
	common/libjson.la common/librfc3339.la

if BUILD_FORMAT_PROVIDER
formats_LTLIBRARIES += %D%/format_provider.la
endif

%C%_format_provider_la_SOURCES  = \
	%D%/provider.c \
	%D%/provider.h \
	%D%/provider_batch.c \
	%D%/provider_family.c \
	%D%/provider_sse.c \
	%D%/provider_usage.c
%C%_format_provider_la_CPPFLAGS = $(plugin_cppflags)
%C%_format_provider_la_LDFLAGS  = $(plugin_ldflags)
%C%_format_provider_la_LIBADD   = common/libshape.la common/libjson.la \
	common/librfc3339.la
