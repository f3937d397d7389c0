# Envelopes, formats, and what their tests share.

if HAVE_CHECK
check_PROGRAMS += %D%/test_envelope %D%/test_format_ledger \
	%D%/test_format_provider
endif

EXTRA_DIST += %D%/fixtures/ledger-golden.jsonl %D%/golden.py

%C%_test_format_ledger_SOURCES  = %D%/test_format_ledger.c %D%/decode.c \
	%D%/decode.h %D%/blocks.c %D%/blocks.h
%C%_test_format_ledger_CPPFLAGS = $(test_cppflags) \
	-DFORMATS_DIR='"$(abs_top_builddir)/plugins/formats"' \
	-DGOLDEN_FILE='"$(abs_top_srcdir)/tests/fixtures/ledger-golden.jsonl"'
%C%_test_format_ledger_LDADD    = core/libcore.la $(CHECK_LIBS)
EXTRA_%C%_test_format_ledger_DEPENDENCIES = plugins/formats/format_ledger.la

%C%_test_format_provider_SOURCES  = %D%/test_format_provider.c %D%/decode.c \
	%D%/decode.h %D%/blocks.c %D%/blocks.h
%C%_test_format_provider_CPPFLAGS = $(test_cppflags) \
	-DFORMATS_DIR='"$(abs_top_builddir)/plugins/formats"'
%C%_test_format_provider_LDADD    = core/libcore.la $(CHECK_LIBS)
EXTRA_%C%_test_format_provider_DEPENDENCIES = plugins/formats/format_provider.la

%C%_test_envelope_SOURCES  = %D%/test_envelope.c %D%/blocks.c \
	%D%/blocks.h
%C%_test_envelope_CPPFLAGS = $(test_cppflags)
%C%_test_envelope_LDADD    = core/libcore.la $(CHECK_LIBS)

fuzzers += %D%/fuzz_envelope %D%/fuzz_ledger %D%/fuzz_provider %D%/fuzz_tags

%C%_fuzz_tags_SOURCES  = %D%/fuzz_tags.c
%C%_fuzz_tags_CPPFLAGS = $(core_cppflags)
%C%_fuzz_tags_LDADD    = $(fuzz_main) core/libcore.la

%C%_fuzz_envelope_SOURCES  = %D%/fuzz_envelope.c %D%/blocks.c \
	%D%/blocks.h
%C%_fuzz_envelope_CPPFLAGS = $(core_cppflags)
%C%_fuzz_envelope_LDADD    = $(fuzz_main) core/libcore.la

# The plugin as objects: a loader has nothing to do with it.
format_ledger_objects = common/libdescriptor.la common/libshape.la common/libjson.la \
	common/librfc3339.la core/libcore.la

%C%_fuzz_ledger_SOURCES  = %D%/fuzz_ledger.c %D%/fuzz_format.c %D%/fuzz_format.h \
	%D%/blocks.c %D%/blocks.h \
	plugins/formats/ledger.c
%C%_fuzz_ledger_CPPFLAGS = $(core_cppflags)
%C%_fuzz_ledger_LDADD    = $(fuzz_main) $(format_ledger_objects)

%C%_fuzz_provider_SOURCES  = %D%/fuzz_provider.c %D%/fuzz_format.c \
	%D%/fuzz_format.h %D%/blocks.c %D%/blocks.h \
	plugins/formats/provider.c plugins/formats/provider_family.c \
	plugins/formats/provider_batch.c plugins/formats/provider_sse.c \
	plugins/formats/provider_usage.c
%C%_fuzz_provider_CPPFLAGS = $(core_cppflags)
%C%_fuzz_provider_LDADD    = $(fuzz_main) $(format_ledger_objects)

bench_programs += %D%/bench_ledger

%C%_bench_ledger_SOURCES  = %D%/bench_ledger.c plugins/formats/ledger.c
%C%_bench_ledger_CPPFLAGS = $(core_cppflags)
%C%_bench_ledger_LDADD    = $(format_ledger_objects)
