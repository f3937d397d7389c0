# Pure code that the core and several plugins need.  A convenience library
# each, so that a plugin takes only what it uses.

noinst_LTLIBRARIES += %D%/librfc3339.la
%C%_librfc3339_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_librfc3339_la_SOURCES = %D%/rfc3339.c %D%/rfc3339.h
