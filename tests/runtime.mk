# Log, figures, modules and instances.

if HAVE_CHECK
check_PROGRAMS += \
	tests/test_instance \
	tests/test_log \
	tests/test_metrics \
	tests/test_module
endif

tests_test_instance_SOURCES  = tests/test_instance.c \
	tests/folder.c tests/folder.h
tests_test_instance_CPPFLAGS = $(test_cppflags)
tests_test_instance_LDADD    = core/libcore.la $(CHECK_LIBS)

tests_test_log_SOURCES  = tests/test_log.c
tests_test_log_CPPFLAGS = $(test_cppflags)
tests_test_log_LDADD    = core/libcore.la $(CHECK_LIBS)

tests_test_metrics_SOURCES  = tests/test_metrics.c
tests_test_metrics_CPPFLAGS = $(test_cppflags)
tests_test_metrics_LDADD    = core/libcore.la $(CHECK_LIBS)

tests_test_module_SOURCES  = tests/test_module.c \
	tests/folder.c tests/folder.h
tests_test_module_CPPFLAGS = $(test_cppflags) \
	-DTESTS_DIR='"$(abs_top_builddir)/tests"'
tests_test_module_LDADD    = core/libcore.la $(CHECK_LIBS)
EXTRA_tests_test_module_DEPENDENCIES = $(test_modules)

# Sound modules, and some with one thing wrong each.  -rpath makes libtool build a shared one
# of what is not installed; symbols are bound lazily, as others may build it.
test_modules = \
	tests/modules/crypto_moody.la \
	tests/modules/format_sound.la \
	tests/modules/sink_moody.la \
	tests/modules/source_sound.la \
	tests/modules/sink_no_help.la \
	tests/modules/sink_no_ops.la \
	tests/modules/sink_no_options.la \
	tests/modules/sink_no_symbol.la \
	tests/modules/sink_no_write.la \
	tests/modules/sink_old.la \
	tests/modules/sink_other_kind.la \
	tests/modules/sink_renamed.la \
	tests/modules/sink_sound.la \
	tests/modules/sink_stuck.la \
	tests/modules/sink_unresolved.la
check_LTLIBRARIES += $(test_modules)
test_module_ldflags = -module -avoid-version -rpath /nowhere -Wl,-z,lazy

tests_modules_sink_no_help_la_SOURCES = \
	tests/modules/sink_no_help.c tests/modules/sink.h
tests_modules_sink_no_help_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_no_ops_la_SOURCES = \
	tests/modules/sink_no_ops.c tests/modules/sink.h
tests_modules_sink_no_ops_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_no_options_la_SOURCES = \
	tests/modules/sink_no_options.c tests/modules/sink.h
tests_modules_sink_no_options_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_no_symbol_la_SOURCES = \
	tests/modules/sink_no_symbol.c tests/modules/sink.h
tests_modules_sink_no_symbol_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_no_write_la_SOURCES = \
	tests/modules/sink_no_write.c tests/modules/sink.h
tests_modules_sink_no_write_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_old_la_SOURCES = \
	tests/modules/sink_old.c tests/modules/sink.h
tests_modules_sink_old_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_other_kind_la_SOURCES = \
	tests/modules/sink_other_kind.c tests/modules/sink.h
tests_modules_sink_other_kind_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_renamed_la_SOURCES = \
	tests/modules/sink_renamed.c tests/modules/sink.h
tests_modules_sink_renamed_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_sound_la_SOURCES = \
	tests/modules/sink_sound.c tests/modules/sink.h
tests_modules_sink_sound_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_unresolved_la_SOURCES = \
	tests/modules/sink_unresolved.c tests/modules/sink.h
tests_modules_sink_unresolved_la_LDFLAGS = $(test_module_ldflags)
tests_modules_crypto_moody_la_SOURCES = tests/modules/crypto_moody.c
tests_modules_crypto_moody_la_LDFLAGS = $(test_module_ldflags)
tests_modules_format_sound_la_SOURCES = tests/modules/format_sound.c
tests_modules_format_sound_la_LDFLAGS = $(test_module_ldflags) -Wl,-z,now
tests_modules_source_sound_la_SOURCES = tests/modules/source_sound.c
tests_modules_source_sound_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_moody_la_SOURCES = \
	tests/modules/sink_moody.c tests/modules/sink.h
tests_modules_sink_moody_la_LDFLAGS = $(test_module_ldflags)
tests_modules_sink_stuck_la_SOURCES = tests/modules/sink_stuck.c
tests_modules_sink_stuck_la_LDFLAGS = $(test_module_ldflags)
