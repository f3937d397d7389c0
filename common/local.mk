# Pure code that the core and several plugins need.  A convenience library
# each, so that a plugin takes only what it uses.

noinst_LTLIBRARIES += %D%/librfc3339.la
%C%_librfc3339_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_librfc3339_la_SOURCES = %D%/json_escape.h %D%/local_time.c \
	%D%/local_time.h %D%/monotonic.h %D%/rfc3339.c %D%/rfc3339.h %D%/utf8.h

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

noinst_LTLIBRARIES += %D%/libbase64.la %D%/libkeyfile.la \
	%D%/libregular.la

%C%_libbase64_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_libbase64_la_SOURCES  = %D%/base64.c %D%/base64.h

%C%_libkeyfile_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_libkeyfile_la_SOURCES  = %D%/keyfile.c %D%/keyfile.h

%C%_libregular_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_libregular_la_SOURCES  = %D%/regular.c %D%/regular.h

if NEED_CLUSTER_CIPHER
noinst_LTLIBRARIES += %D%/libcluster_cipher.la
endif
%C%_libcluster_cipher_la_CPPFLAGS = \
	$(AM_CPPFLAGS) -I$(top_srcdir) \
	$(CRYPTO_CLUSTER_CFLAGS) $(CRYPTO_VAULT_CFLAGS)
%C%_libcluster_cipher_la_SOURCES  = \
	%D%/cluster_cipher.c %D%/cluster_cipher.h \
	%D%/cluster_items.c %D%/cluster_items.h
%C%_libcluster_cipher_la_LIBADD   = \
	%D%/libbase64.la $(CRYPTO_CLUSTER_LIBS)

# What formats share.  Users name libjson.la and librfc3339.la as well.
noinst_LTLIBRARIES += %D%/libshape.la
%C%_libshape_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_libshape_la_SOURCES = \
	%D%/modality.c \
	%D%/modality.h \
	%D%/shape.c \
	%D%/shape.h \
	%D%/shape_convert.c \
	%D%/thinking.c \
	%D%/thinking.h

noinst_LTLIBRARIES += %D%/libcolumns.la %D%/librollup.la \
	%D%/libcorrections.la

%C%_libcorrections_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_libcorrections_la_SOURCES = %D%/corrections.c %D%/corrections.h

%C%_libcolumns_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_libcolumns_la_SOURCES = \
	%D%/columns.c \
	%D%/columns.h \
	%D%/holds.c \
	%D%/holds.h \
	%D%/places.c \
	%D%/places.h

%C%_librollup_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_librollup_la_SOURCES = %D%/rollup.c %D%/rollup.h
%C%_librollup_la_LIBADD = %D%/libcolumns.la %D%/libtags.la

noinst_LTLIBRARIES += %D%/libtags.la %D%/libdescriptor.la
%C%_libdescriptor_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_libdescriptor_la_SOURCES = %D%/descriptor.c %D%/descriptor.h

%C%_libtags_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
%C%_libtags_la_SOURCES = %D%/tags.c %D%/tags.h

# What servers of HTTP share, whatever library serves; users name libregular.la
# as well.
noinst_LTLIBRARIES += %D%/libhttp.la
%C%_libhttp_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir) $(SODIUM_CFLAGS)
%C%_libhttp_la_SOURCES = \
	%D%/http_files.c \
	%D%/http_files.h \
	%D%/http_pair.c \
	%D%/http_pair.h \
	%D%/http_place.c \
	%D%/http_place.h \
	%D%/http_tls.h
%C%_libhttp_la_LIBADD = $(SODIUM_LIBS)

# Users name libjson.la, libkeyfile.la, libregular.la and libtags.la as well.
noinst_LTLIBRARIES += %D%/libtokens.la
%C%_libtokens_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir) $(SODIUM_CFLAGS)
%C%_libtokens_la_SOURCES = %D%/tokens.c %D%/tokens.h %D%/credential.h
%C%_libtokens_la_LIBADD = $(SODIUM_LIBS)
