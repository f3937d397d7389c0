# Reading JSON.

json_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)

if HAVE_CHECK
check_PROGRAMS += %D%/test_json
%C%_test_json_SOURCES = %D%/test_json.c
%C%_test_json_CPPFLAGS = $(json_cppflags) $(CHECK_CFLAGS)
%C%_test_json_LDADD = common/libjson.la $(CHECK_LIBS)
endif

bench_programs += %D%/bench_json
%C%_bench_json_SOURCES = %D%/bench_json.c
%C%_bench_json_CPPFLAGS = $(json_cppflags)
%C%_bench_json_LDADD = common/libjson.la
