# What reads the ledger.

if HAVE_CHECK
check_PROGRAMS += tests/test_window
if BUILD_SINK_SQLITE
check_PROGRAMS += tests/test_query tests/test_verify tests/test_purge
check_PROGRAMS += tests/test_jobs
EXTRA_PROGRAMS += tests/make_ledger
check_SCRIPTS += tests/make_ledger$(EXEEXT)
endif
endif

tests_test_window_SOURCES  = tests/test_window.c
tests_test_window_CPPFLAGS = $(test_cppflags)
tests_test_window_LDADD    = core/libcore.la $(CHECK_LIBS)

book_libs = $(fakehost_libs) core/libcore.la
ledger_sources = tests/ledger.c tests/ledger.h tests/folder.c tests/folder.h

tests_test_query_SOURCES  = tests/test_query.c $(ledger_sources)
tests_test_query_CPPFLAGS = $(fakehost_cppflags)
tests_test_query_LDADD    = $(book_libs)
EXTRA_tests_test_query_DEPENDENCIES = plugins/sinks/sink_sqlite.la

tests_test_verify_SOURCES  = tests/test_verify.c $(ledger_sources)
tests_test_verify_CPPFLAGS = $(fakehost_cppflags)
tests_test_verify_LDADD    = $(book_libs)
EXTRA_tests_test_verify_DEPENDENCIES = plugins/sinks/sink_sqlite.la

tests_test_purge_SOURCES  = tests/test_purge.c $(ledger_sources)
tests_test_purge_CPPFLAGS = $(fakehost_cppflags)
tests_test_purge_LDADD    = $(book_libs)
EXTRA_tests_test_purge_DEPENDENCIES = plugins/sinks/sink_sqlite.la

tests_test_jobs_SOURCES  = tests/test_jobs.c $(ledger_sources)
tests_test_jobs_CPPFLAGS = $(fakehost_cppflags)
tests_test_jobs_LDADD    = $(book_libs)
EXTRA_tests_test_jobs_DEPENDENCIES = plugins/sinks/sink_sqlite.la

tests_make_ledger_SOURCES  = tests/make_ledger.c $(ledger_sources)
tests_make_ledger_CPPFLAGS = $(fakehost_cppflags)
tests_make_ledger_LDADD    = $(book_libs)
EXTRA_tests_make_ledger_DEPENDENCIES = plugins/sinks/sink_sqlite.la

dist_check_SCRIPTS += tests/cmd_book.sh tests/cmd_budget.sh tests/cmd_team.sh
CLEANFILES += tests/make_ledger$(EXEEXT)
