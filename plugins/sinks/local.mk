# sinks: one file each, sink_NAME.la

if BUILD_SINK_NULL
sinks_LTLIBRARIES += %D%/sink_null.la
%C%_sink_null_la_SOURCES = %D%/null.c
%C%_sink_null_la_CPPFLAGS = $(plugin_cppflags)
%C%_sink_null_la_LDFLAGS = $(plugin_ldflags)
endif

if BUILD_SINK_SQLITE
sinks_LTLIBRARIES += %D%/sink_sqlite.la
%C%_sink_sqlite_la_SOURCES = \
	%D%/sqlite.c \
	%D%/sqlite.h \
	%D%/sqlite_backup.c \
	%D%/sqlite_db.c \
	%D%/sqlite_filter.c \
	%D%/sqlite_keys.c \
	%D%/sqlite_purge.c \
	%D%/sqlite_rows.c \
	%D%/sqlite_schema.c \
	%D%/sqlite_sql.c \
	%D%/sqlite_tags.c
%C%_sink_sqlite_la_CPPFLAGS = $(plugin_cppflags) $(SINK_SQLITE_CFLAGS)
%C%_sink_sqlite_la_LDFLAGS = $(plugin_ldflags)
%C%_sink_sqlite_la_LIBADD = common/libcorrections.la common/librollup.la \
	common/librfc3339.la common/libregular.la $(SINK_SQLITE_LIBS)
endif

if BUILD_SINK_POSTGRES
sinks_LTLIBRARIES += %D%/sink_postgres.la
%C%_sink_postgres_la_SOURCES = \
	%D%/postgres.c \
	%D%/postgres.h \
	%D%/postgres_connect.c \
	%D%/postgres_copy.c \
	%D%/postgres_db.c \
	%D%/postgres_keys.c \
	%D%/postgres_numbers.c \
	%D%/postgres_parts.c \
	%D%/postgres_purge.c \
	%D%/postgres_rows.c \
	%D%/postgres_schema.c \
	%D%/postgres_sql.c \
	%D%/postgres_states.c \
	%D%/postgres_tags.c
%C%_sink_postgres_la_CPPFLAGS = $(plugin_cppflags) $(SINK_POSTGRES_CFLAGS)
%C%_sink_postgres_la_LDFLAGS = $(plugin_ldflags)
%C%_sink_postgres_la_LIBADD = common/libcorrections.la \
	common/librollup.la $(SINK_POSTGRES_LIBS)
endif
