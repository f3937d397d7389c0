# What is measured, with the machine's floor in the same run.

bench_programs += %D%/bench/price %D%/bench/generate %D%/bench/floor_sqlite \
	%D%/bench/http_load
EXTRA_DIST += %D%/bench/run.py %D%/bench/reference.sql \
	%D%/bench/floor_postgres.sh

if HAVE_RABBITMQ
bench_needs = %D%/broker$(EXEEXT)
endif

%C%_bench_generate_SOURCES  = %D%/bench/generate.c
%C%_bench_generate_CPPFLAGS = $(core_cppflags)
%C%_bench_generate_LDADD    = common/librfc3339.la

%C%_bench_price_SOURCES  = %D%/bench/price.c
%C%_bench_price_CPPFLAGS = $(core_cppflags)
%C%_bench_price_LDADD    = core/libcore.la

%C%_bench_floor_sqlite_SOURCES  = %D%/bench/floor_sqlite.c
%C%_bench_floor_sqlite_CPPFLAGS = $(core_cppflags) $(SINK_SQLITE_CFLAGS)
%C%_bench_floor_sqlite_LDADD    = $(SINK_SQLITE_LIBS)

%C%_bench_http_load_SOURCES  = %D%/bench/http_load.c
%C%_bench_http_load_CPPFLAGS = $(core_cppflags)

if BUILD_SINK_POSTGRES
bench_programs += %D%/bench/floor_login
endif
%C%_bench_floor_login_SOURCES  = %D%/bench/floor_login.c
%C%_bench_floor_login_CPPFLAGS = $(core_cppflags) $(SINK_POSTGRES_CFLAGS)
%C%_bench_floor_login_LDADD    = $(SINK_POSTGRES_LIBS)

.PHONY: bench
bench: all bench-programs $(bench_needs)
	$(AM_TESTS_ENVIRONMENT) python3 $(srcdir)/%D%/bench/run.py $(BENCH)
