# Sinks, and the pure code under them.

if HAVE_CHECK
check_PROGRAMS += %D%/test_columns %D%/test_rollup
endif
%C%_test_columns_CPPFLAGS = $(test_cppflags)
%C%_test_columns_SOURCES  = %D%/test_columns.c
%C%_test_columns_LDADD    = common/libcolumns.la core/libcore.la $(CHECK_LIBS)

%C%_test_rollup_CPPFLAGS = $(test_cppflags)
%C%_test_rollup_SOURCES  = %D%/test_rollup.c
%C%_test_rollup_LDADD    = common/librollup.la core/libcore.la $(CHECK_LIBS)

if HAVE_CHECK
if BUILD_SINK_SQLITE
check_PROGRAMS += %D%/test_sink_sqlite
endif
endif
%C%_test_sink_sqlite_CPPFLAGS = $(fakehost_cppflags) $(SINK_SQLITE_CFLAGS) \
	-DFIXTURES='"$(abs_top_srcdir)/tests/fixtures"'
%C%_test_sink_sqlite_SOURCES  = %D%/test_sink_sqlite.c \
	%D%/folder.c %D%/folder.h \
	%D%/sinkrecord.h %D%/sinksuite.h
%C%_test_sink_sqlite_LDADD    = $(fakehost_libs) core/libcore.la \
	$(SINK_SQLITE_LIBS)
EXTRA_%C%_test_sink_sqlite_DEPENDENCIES = plugins/sinks/sink_sqlite.la
EXTRA_DIST += tests/fixtures/ledger-v1.sql

# How fast one is, and whether it stays so; see the head of the file.
if HAVE_CHECK
bench_programs += %D%/bench_sink
endif
%C%_bench_sink_CPPFLAGS = $(fakehost_cppflags)
%C%_bench_sink_SOURCES  = %D%/bench_sink.c
%C%_bench_sink_LDADD    = $(fakehost_libs) core/libcore.la -lm
EXTRA_%C%_bench_sink_DEPENDENCIES = $(sinks_LTLIBRARIES)

if HAVE_CHECK
if BUILD_SINK_POSTGRES
check_PROGRAMS += %D%/test_sink_postgres
endif
endif
%C%_test_sink_postgres_CPPFLAGS = $(fakehost_cppflags) \
	$(SINK_POSTGRES_CFLAGS) -DTOP_SRCDIR='"$(abs_top_srcdir)"'
%C%_test_sink_postgres_SOURCES  = %D%/test_sink_postgres.c \
	%D%/proxy.c %D%/proxy.h \
	%D%/sinkrecord.h %D%/sinksuite.h
%C%_test_sink_postgres_LDADD    = $(fakehost_libs) core/libcore.la \
	$(SINK_POSTGRES_LIBS)
EXTRA_%C%_test_sink_postgres_DEPENDENCIES = plugins/sinks/sink_postgres.la
