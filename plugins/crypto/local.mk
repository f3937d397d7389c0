# crypto: one file each, crypto_NAME.la

if BUILD_CRYPTO_NONE
crypto_LTLIBRARIES += %D%/crypto_none.la
endif
%C%_crypto_none_la_CPPFLAGS = $(plugin_cppflags)
%C%_crypto_none_la_LDFLAGS  = $(plugin_ldflags)
%C%_crypto_none_la_SOURCES  = %D%/none.c

if BUILD_CRYPTO_SODIUM
crypto_LTLIBRARIES += %D%/crypto_sodium.la
endif
%C%_crypto_sodium_la_CPPFLAGS = $(plugin_cppflags) $(CRYPTO_SODIUM_CFLAGS)
%C%_crypto_sodium_la_LDFLAGS  = $(plugin_ldflags)
%C%_crypto_sodium_la_SOURCES  = %D%/sodium.c
%C%_crypto_sodium_la_LIBADD   = \
	common/libbase64.la common/libkeyfile.la $(CRYPTO_SODIUM_LIBS)

if BUILD_CRYPTO_CLUSTER
crypto_LTLIBRARIES += %D%/crypto_cluster.la
endif
%C%_crypto_cluster_la_CPPFLAGS = $(plugin_cppflags) $(CRYPTO_CLUSTER_CFLAGS)
%C%_crypto_cluster_la_LDFLAGS  = $(plugin_ldflags)
%C%_crypto_cluster_la_SOURCES  = %D%/cluster.c
%C%_crypto_cluster_la_LIBADD   = \
	common/libcluster_cipher.la common/libkeyfile.la $(CRYPTO_CLUSTER_LIBS)

if BUILD_CRYPTO_VAULT
crypto_LTLIBRARIES += %D%/crypto_vault.la
endif
%C%_crypto_vault_la_CPPFLAGS = $(plugin_cppflags) $(CRYPTO_VAULT_CFLAGS)
%C%_crypto_vault_la_LDFLAGS  = $(plugin_ldflags)
%C%_crypto_vault_la_SOURCES  = \
	%D%/vault.c \
	%D%/vault.h \
	%D%/vault_http.c \
	%D%/vault_kv.c \
	%D%/vault_login.c \
	%D%/vault_memory.c \
	%D%/vault_state.c \
	%D%/vault_token_file.c \
	%D%/vault_transit.c
%C%_crypto_vault_la_LIBADD   = \
	common/libcluster_cipher.la common/libjson.la common/libregular.la \
	$(CRYPTO_VAULT_LIBS)
