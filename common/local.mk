# Pure code that the core and several plugins need.  A convenience library
# each, so that a plugin takes only what it uses.

noinst_LTLIBRARIES += %D%/librfc3339.la
%C%_librfc3339_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_librfc3339_la_SOURCES = %D%/rfc3339.c %D%/rfc3339.h

# Users are linked as C, so the C++ library stands here by name; libtool would
# leave it out again if this were linked as C++.
noinst_LTLIBRARIES += %D%/libjson.la
%C%_libjson_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir) $(SIMDJSON_CFLAGS)
%C%_libjson_la_CXXFLAGS = $(AM_CXXFLAGS) -fno-exceptions -fno-rtti
%C%_libjson_la_LIBADD = $(SIMDJSON_LIBS) -lstdc++
%C%_libjson_la_LINK = $(LINK)
%C%_libjson_la_SOURCES = \
	%D%/json.cc \
	%D%/json.h \
	%D%/json_check.c \
	%D%/json_check.h \
	%D%/json_value.c
