# Crypto plugins, and the pure code under them.

if HAVE_CHECK
check_PROGRAMS += %D%/test_base64
endif
%C%_test_base64_CPPFLAGS = $(test_cppflags) $(SODIUM_CFLAGS)
%C%_test_base64_SOURCES  = %D%/test_base64.c
%C%_test_base64_LDADD    = common/libbase64.la $(SODIUM_LIBS) $(CHECK_LIBS)

if HAVE_CHECK
if BUILD_CRYPTO_CLUSTER
check_PROGRAMS += %D%/test_crypto_cluster
endif
endif
%C%_test_crypto_cluster_CPPFLAGS = \
	$(fakehost_cppflags) $(CRYPTO_CLUSTER_CFLAGS)
%C%_test_crypto_cluster_SOURCES  = %D%/test_crypto_cluster.c
%C%_test_crypto_cluster_LDADD    = $(fakehost_libs) $(CRYPTO_CLUSTER_LIBS)
EXTRA_%C%_test_crypto_cluster_DEPENDENCIES = plugins/crypto/crypto_cluster.la

if HAVE_CHECK
if BUILD_CRYPTO_VAULT
check_PROGRAMS += %D%/test_crypto_vault
endif
endif
EXTRA_DIST += %D%/vault.py
%C%_test_crypto_vault_CPPFLAGS = $(fakehost_cppflags)
%C%_test_crypto_vault_SOURCES  = %D%/test_crypto_vault.c \
	%D%/folder.c %D%/folder.h
%C%_test_crypto_vault_LDADD    = $(fakehost_libs)
EXTRA_%C%_test_crypto_vault_DEPENDENCIES = plugins/crypto/crypto_vault.la

if HAVE_CHECK
if BUILD_CRYPTO_SODIUM
check_PROGRAMS += %D%/test_crypto_sodium
endif
endif
%C%_test_crypto_sodium_CPPFLAGS = $(fakehost_cppflags)
%C%_test_crypto_sodium_SOURCES  = %D%/test_crypto_sodium.c
%C%_test_crypto_sodium_LDADD    = $(fakehost_libs) $(CRYPTO_SODIUM_LIBS)
EXTRA_%C%_test_crypto_sodium_DEPENDENCIES = plugins/crypto/crypto_sodium.la

if HAVE_CHECK
if BUILD_CRYPTO_NONE
check_PROGRAMS += %D%/test_crypto_none
endif
endif
%C%_test_crypto_none_CPPFLAGS = $(fakehost_cppflags)
%C%_test_crypto_none_SOURCES  = %D%/test_crypto_none.c
%C%_test_crypto_none_LDADD    = $(fakehost_libs)
EXTRA_%C%_test_crypto_none_DEPENDENCIES = plugins/crypto/crypto_none.la

%C%_fuzz_cluster_SOURCES  = %D%/fuzz_cluster.c \
	%D%/fuzz_crypto.c %D%/fuzz_crypto.h plugins/crypto/cluster.c
%C%_fuzz_cluster_CPPFLAGS = $(plugin_cppflags) $(CRYPTO_CLUSTER_CFLAGS)
%C%_fuzz_cluster_LDADD    = $(fuzz_main) common/libcluster_cipher.la \
	common/libkeyfile.la $(CRYPTO_CLUSTER_LIBS)
if BUILD_CRYPTO_CLUSTER
fuzzers += %D%/fuzz_cluster
endif

%C%_fuzz_sodium_SOURCES  = %D%/fuzz_sodium.c \
	%D%/fuzz_crypto.c %D%/fuzz_crypto.h plugins/crypto/sodium.c
%C%_fuzz_sodium_CPPFLAGS = $(plugin_cppflags) $(CRYPTO_SODIUM_CFLAGS)
%C%_fuzz_sodium_LDADD    = $(fuzz_main) common/libbase64.la \
	common/libkeyfile.la $(CRYPTO_SODIUM_LIBS)
if BUILD_CRYPTO_SODIUM
fuzzers += %D%/fuzz_sodium
endif

# The plugin without its transfers, and with a clock of its own.
%C%_fuzz_vault_SOURCES  = %D%/fuzz_vault.c %D%/blocks.c %D%/blocks.h \
	plugins/crypto/vault.c plugins/crypto/vault_http.c \
	plugins/crypto/vault_kv.c plugins/crypto/vault_login.c \
	plugins/crypto/vault_memory.c plugins/crypto/vault_state.c \
	plugins/crypto/vault_token_file.c plugins/crypto/vault_transit.c
%C%_fuzz_vault_CPPFLAGS = $(plugin_cppflags) $(CRYPTO_VAULT_CFLAGS) \
	-Dclock_gettime=fuzz_clock
%C%_fuzz_vault_LDADD    = $(fuzz_main) common/libcluster_cipher.la \
	common/libjson.la common/libregular.la $(CRYPTO_VAULT_LIBS)
if BUILD_CRYPTO_VAULT
fuzzers += %D%/fuzz_vault
endif
