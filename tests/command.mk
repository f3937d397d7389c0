# The command and what its commands share.

if HAVE_CHECK
check_PROGRAMS += tests/test_table
endif

tests_test_table_SOURCES  = tests/test_table.c
tests_test_table_CPPFLAGS = $(test_cppflags)
tests_test_table_LDADD    = core/libcore.la $(CHECK_LIBS)

dist_check_SCRIPTS += \
	tests/cmd_check.sh \
	tests/cmd_crypto.sh \
	tests/cmd_plugins.sh \
	tests/cmd_token.sh \
	tests/completion.sh \
	tests/manuals.sh \
	tests/sample.sh \
	tests/sample_day.sh
EXTRA_DIST += tests/command.sh
