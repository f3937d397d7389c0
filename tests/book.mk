# What reads the ledger.

if HAVE_CHECK
check_PROGRAMS += tests/test_window
endif

tests_test_window_SOURCES  = tests/test_window.c
tests_test_window_CPPFLAGS = $(test_cppflags)
tests_test_window_LDADD    = core/libcore.la $(CHECK_LIBS)
