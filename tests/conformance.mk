# The conformance kit: runs a plugin through the contract of its kind.

# Installed for those who write plugins.
bin_PROGRAMS += tests/bursar-conformance
tests_bursar_conformance_CPPFLAGS = $(core_cppflags)
tests_bursar_conformance_SOURCES = \
	tests/conformance/check_crypto.c \
	tests/conformance/check_fading.c \
	tests/conformance/check_format.c \
	tests/conformance/check_plugin.c \
	tests/conformance/check_service.c \
	tests/conformance/check_silent.c \
	tests/conformance/check_sink.c \
	tests/conformance/check_sink_kill.c \
	tests/conformance/check_sink_purge.c \
	tests/conformance/check_sink_correct.c \
	tests/conformance/check_sink_sql.c \
	tests/conformance/check_source.c \
	tests/conformance/check_source_crash.c \
	tests/conformance/check_threads.c \
	tests/conformance/elf.c \
	tests/conformance/intake.c \
	tests/conformance/intake.h \
	tests/conformance/kit.c \
	tests/conformance/kit.h \
	tests/conformance/main.c \
	tests/conformance/memory.c \
	tests/conformance/records.c \
	tests/conformance/records.h \
	tests/conformance/relay.c \
	tests/conformance/silent.h \
	tests/conformance/stand.c \
	tests/proxy.c tests/proxy.h
tests_bursar_conformance_LDADD = \
	common/libcolumns.la core/libcore.la

dist_check_SCRIPTS += tests/conformance.sh tests/wrong_plugins.sh
EXTRA_DIST += tests/conformance_http.py tests/conformance_peer.py \
	tests/modules/source_caller.c
EXTRA_tests_bursar_conformance_DEPENDENCIES = $(test_modules) \
	tests/modules/service_clock.la
