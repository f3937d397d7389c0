# Formats, and what their tests share.

if HAVE_CHECK
check_PROGRAMS += %D%/test_format_ledger
endif

EXTRA_DIST += %D%/fixtures/ledger-golden.jsonl

%C%_test_format_ledger_SOURCES  = %D%/test_format_ledger.c %D%/decode.c \
	%D%/decode.h
%C%_test_format_ledger_CPPFLAGS = $(test_cppflags) \
	-DFORMATS_DIR='"$(abs_top_builddir)/plugins/formats"' \
	-DGOLDEN_FILE='"$(abs_top_srcdir)/tests/fixtures/ledger-golden.jsonl"'
%C%_test_format_ledger_LDADD    = core/libcore.la common/librfc3339.la \
	$(CHECK_LIBS)
EXTRA_%C%_test_format_ledger_DEPENDENCIES = plugins/formats/format_ledger.la
