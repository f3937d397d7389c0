# What becomes of messages on their way: memory, letters, state.

if HAVE_CHECK
check_PROGRAMS += %D%/test_arena %D%/test_deadletter %D%/test_lanes \
	%D%/test_prepare %D%/test_status
endif

%C%_test_arena_SOURCES  = %D%/test_arena.c
%C%_test_arena_CPPFLAGS = $(test_cppflags)
%C%_test_arena_LDADD    = core/libcore.la $(CHECK_LIBS)

# Plays a disk that is full, or fails.
%C%_test_deadletter_SOURCES  = %D%/test_deadletter.c \
	%D%/folder.c %D%/folder.h
%C%_test_deadletter_CPPFLAGS = $(test_cppflags)
%C%_test_deadletter_LDFLAGS  = -Wl,--wrap=pwrite,--wrap=fdatasync \
	-Wl,--wrap=fsync,--wrap=posix_fallocate,--wrap=ftruncate
%C%_test_deadletter_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_lanes_SOURCES  = %D%/test_lanes.c
%C%_test_lanes_CPPFLAGS = $(test_cppflags)
%C%_test_lanes_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_prepare_SOURCES  = %D%/test_prepare.c \
	%D%/folder.c %D%/folder.h
%C%_test_prepare_CPPFLAGS = $(test_cppflags)
%C%_test_prepare_LDADD    = core/libcore.la $(CHECK_LIBS)

%C%_test_status_SOURCES  = %D%/test_status.c \
	%D%/folder.c %D%/folder.h
%C%_test_status_CPPFLAGS = $(test_cppflags)
%C%_test_status_LDADD    = core/libcore.la $(CHECK_LIBS)

fuzzers += %D%/fuzz_letter
%C%_fuzz_letter_SOURCES  = %D%/fuzz_letter.c
%C%_fuzz_letter_CPPFLAGS = $(core_cppflags)
%C%_fuzz_letter_LDADD    = $(fuzz_main) core/libcore.la

dist_check_SCRIPTS += %D%/cmd_dead_letters.sh
