# One program per thing under test; `make check` runs them in parallel.  Each
# area has a fragment of its own.

AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)'; top_builddir='$(abs_top_builddir)'; \
	export top_srcdir top_builddir;
# The run-time library of gcc up to 12 reads what precedes a block of thread-local
# storage as its size, where that block lies as those of glibc 2.19 did: at 16
# bytes into a page.  LeakSanitizer dies of what it then takes for the block.  It
# needs none of that: what the dynamic linker allocated counts as reachable.
# It goes through what was freed as well, at the end of each of some thousands of
# processes: 8 MB of it, not 256, are half of the time of most programs here.
AM_TESTS_ENVIRONMENT += \
	ASAN_OPTIONS="$${ASAN_OPTIONS:+$$ASAN_OPTIONS:}$(asan_options)"; \
	export ASAN_OPTIONS;
asan_options = intercept_tls_get_addr=0:quarantine_size_mb=8

test_cppflags = $(core_cppflags) $(CHECK_CFLAGS)

include tests/core.mk

dist_check_SCRIPTS += \
	%D%/layers.sh %D%/headers.sh %D%/style.sh %D%/symbols.sh
AM_TESTS_ENVIRONMENT += CC='$(CC)'; CXX='$(CXX)'; export CC CXX;

# Measuring is not testing: `make bench-programs` builds what measures.
bench_programs =
EXTRA_PROGRAMS = $(bench_programs)
CLEANFILES += $(bench_programs)
.PHONY: bench-programs
bench-programs: $(bench_programs)

include tests/bench.mk
include tests/common.mk
include tests/runtime.mk
include tests/command.mk
include tests/json.mk
include tests/fuzz.mk
include tests/letters.mk
include tests/prices.mk
include tests/fakehost.mk
include tests/crypto.mk
include tests/format.mk
include tests/source.mk
include tests/sink.mk
include tests/service.mk
include tests/servers.mk
include tests/daemon.mk
include tests/book.mk
include tests/whole.mk
include tests/conformance.mk
