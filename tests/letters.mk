# What becomes of messages on their way: memory, letters, state.

if HAVE_CHECK
check_PROGRAMS += %D%/test_arena %D%/test_lanes
endif

%C%_test_arena_SOURCES  = %D%/test_arena.c
%C%_test_arena_CPPFLAGS = $(test_cppflags)
%C%_test_arena_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_lanes_SOURCES  = %D%/test_lanes.c
%C%_test_lanes_CPPFLAGS = $(test_cppflags)
%C%_test_lanes_LDADD    = core/libcore.la $(CHECK_LIBS)
