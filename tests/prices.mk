# Books of prices, and what calls cost.

if HAVE_CHECK
check_PROGRAMS += %D%/test_prices %D%/test_zone
endif

dist_check_SCRIPTS += %D%/cmd_price.sh
EXTRA_DIST += \
	%D%/fixtures/prices-golden.json \
	%D%/fixtures/prices-litellm.json \
	%D%/fixtures/prices-modelsdev.json \
	%D%/fixtures/prices-tracker.json

%C%_test_prices_SOURCES  = %D%/test_prices.c
%C%_test_prices_CPPFLAGS = $(test_cppflags) \
	-DGOLDEN_BOOK='"$(abs_top_srcdir)/tests/fixtures/prices-golden.json"'
%C%_test_prices_LDADD    = core/libcore.la $(CHECK_LIBS) -lm

%C%_test_zone_SOURCES  = %D%/test_zone.c \
	%D%/folder.c %D%/folder.h
%C%_test_zone_CPPFLAGS = $(test_cppflags)
%C%_test_zone_LDADD    = core/libcore.la $(CHECK_LIBS)

fuzzers += %D%/fuzz_prices

%C%_fuzz_prices_SOURCES  = %D%/fuzz_prices.c
%C%_fuzz_prices_CPPFLAGS = $(core_cppflags)
%C%_fuzz_prices_LDADD    = $(fuzz_main) core/libcore.la
