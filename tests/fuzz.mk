# Fuzzers.  Under `make check` each replays its corpus and mutations of it.
# After `configure --enable-fuzzers CC=clang CXX=clang++`, `make fuzz` lets
# libFuzzer search with each for FUZZ_SECONDS, FUZZ_JOBS at a time; what it finds
# stays in tests/fuzz-found.
#
# A new one is fuzz_<thing>.c, inputs in corpus/<thing>/, and four lines here.

EXTRA_DIST += %D%/corpus
EXTRA_LTLIBRARIES = %D%/libfuzz_main.la
%C%_libfuzz_main_la_SOURCES = %D%/fuzz.h %D%/fuzz_main.c
%C%_libfuzz_main_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)

if BUILD_FUZZERS
fuzz_main = $(FUZZ_LIBS)
noinst_PROGRAMS += $(fuzzers)
else
fuzz_main = %D%/libfuzz_main.la
check_PROGRAMS += $(fuzzers)
endif

FUZZ_SECONDS = 10
FUZZ_JOBS = 2
fuzz_found = %D%/fuzz-found
EXTRA_DIST += %D%/fuzz-one

.PHONY: fuzz
fuzz: $(fuzzers)
if BUILD_FUZZERS
	@printf '%s\n' $(fuzzers) | xargs -P $(FUZZ_JOBS) -n 1 \
	    $(SHELL) $(top_srcdir)/%D%/fuzz-one $(FUZZ_SECONDS) \
	    $(fuzz_found) $(top_srcdir)/%D%/corpus
else
	@echo "fuzz: configure --enable-fuzzers CC=clang CXX=clang++" >&2; exit 1
endif

clean-local: clean-fuzz
.PHONY: clean-fuzz
clean-fuzz:
	rm -rf $(fuzz_found) fuzz_*.crash %D%/libfuzz_main.la

fuzzers =

fuzzers += %D%/fuzz_json
%C%_fuzz_json_SOURCES = %D%/fuzz_json.c
%C%_fuzz_json_CPPFLAGS = $(json_cppflags)
%C%_fuzz_json_LDADD = $(fuzz_main) common/libjson.la

fuzzers += %D%/fuzz_conf
%C%_fuzz_conf_SOURCES = %D%/fuzz_conf.c
%C%_fuzz_conf_CPPFLAGS = $(core_cppflags)
%C%_fuzz_conf_LDADD = $(fuzz_main) core/libcore.la

fuzzers += %D%/fuzz_bodies
%C%_fuzz_bodies_SOURCES = %D%/fuzz_bodies.c
%C%_fuzz_bodies_CPPFLAGS = $(core_cppflags)
%C%_fuzz_bodies_LDADD = $(fuzz_main) core/libcore.la
