# The core: everything but main() in a convenience library, so that the
# daemon, the command and the tests link the same objects.

noinst_LTLIBRARIES += %D%/libcore.la

core_cppflags = $(AM_CPPFLAGS) -I$(srcdir)/%D% -Icore -I$(top_srcdir) \
	-DPLUGIN_DIR='"$(pkglibdir)"' -DSYSCONF_DIR='"$(sysconfdir)"' \
	$(JANSSON_CFLAGS) $(GLIB_CFLAGS) $(YAML_CFLAGS) $(SODIUM_CFLAGS)

%C%_libcore_la_CPPFLAGS = $(core_cppflags)
%C%_libcore_la_SOURCES = \
	%D%/base/arena.c \
	%D%/base/arena.h \
	%D%/base/backoff.c \
	%D%/base/backoff.h \
	%D%/base/clock.h \
	%D%/base/log.c \
	%D%/base/log.h \
	%D%/base/logfmt.c \
	%D%/base/logfmt.h \
	%D%/base/metrics.c \
	%D%/base/metrics.h \
	%D%/base/secrecy.h \
	%D%/base/text.c \
	%D%/base/text.h \
	%D%/base/zone.c \
	%D%/base/zone.h \
	%D%/book/assign.c \
	%D%/book/assign.h \
	%D%/book/book.c \
	%D%/book/book.h \
	%D%/book/budget.c \
	%D%/book/budget.h \
	%D%/book/command.c \
	%D%/book/command.h \
	%D%/book/days.c \
	%D%/book/days.h \
	%D%/book/export.c \
	%D%/book/export.h \
	%D%/book/figures.c \
	%D%/book/figures.h \
	%D%/book/lines.c \
	%D%/book/lines.h \
	%D%/book/named.c \
	%D%/book/named.h \
	%D%/book/priced.c \
	%D%/book/priced.h \
	%D%/book/purge.c \
	%D%/book/purge.h \
	%D%/book/query.c \
	%D%/book/query.h \
	%D%/book/report.c \
	%D%/book/report.h \
	%D%/book/report_calls.c \
	%D%/book/report_drivers.c \
	%D%/book/report_economy.c \
	%D%/book/report_list.h \
	%D%/book/report_overview.c \
	%D%/book/report_print.c \
	%D%/book/report_provider.c \
	%D%/book/report_quality.c \
	%D%/book/report_tags.c \
	%D%/book/report_time.c \
	%D%/book/report_usage.c \
	%D%/book/reprice.c \
	%D%/book/reprice.h \
	%D%/book/reseal.c \
	%D%/book/reseal.h \
	%D%/book/verify.c \
	%D%/book/verify.h \
	%D%/book/verify_days.c \
	%D%/book/verify_days.h \
	%D%/book/window.c \
	%D%/book/window.h \
	%D%/book/words.c \
	%D%/book/words.h \
	%D%/cli/cli.c \
	%D%/cli/cli.h \
	%D%/cli/invocation.c \
	%D%/cli/invocation.h \
	%D%/cli/table.c \
	%D%/cli/table.h \
	%D%/cli/table_cells.h \
	%D%/cli/table_lists.c \
	%D%/cli/table_show.c \
	%D%/cmd/checkup.c \
	%D%/cmd/checkup.h \
	%D%/cmd/cmd_backup.c \
	%D%/cmd/cmd_budget.c \
	%D%/cmd/cmd_check.c \
	%D%/cmd/cmd_crypto.c \
	%D%/cmd/cmd_dead_letters.c \
	%D%/cmd/cmd_export.c \
	%D%/cmd/cmd_hold.c \
	%D%/cmd/cmd_jobs.c \
	%D%/cmd/cmd_plugins.c \
	%D%/cmd/cmd_price.c \
	%D%/cmd/cmd_purge.c \
	%D%/cmd/cmd_replay.c \
	%D%/cmd/cmd_report.c \
	%D%/cmd/cmd_reprice.c \
	%D%/cmd/cmd_reseal.c \
	%D%/cmd/cmd_status.c \
	%D%/cmd/cmd_tags.c \
	%D%/cmd/cmd_team.c \
	%D%/cmd/cmd_token.c \
	%D%/cmd/cmd_verify.c \
	%D%/cmd/commands.c \
	%D%/cmd/commands.h \
	%D%/cmd/sealing.c \
	%D%/cmd/sealing.h \
	%D%/cmd/team_file.c \
	%D%/cmd/team_file.h \
	%D%/conf/conf.c \
	%D%/conf/conf.h \
	%D%/conf/describe.c \
	%D%/conf/describe.h \
	%D%/conf/findings.c \
	%D%/conf/nearest.c \
	%D%/conf/options.c \
	%D%/conf/options.h \
	%D%/conf/options_secret.c \
	%D%/conf/options_value.c \
	%D%/conf/options_value.h \
	%D%/conf/setup.c \
	%D%/conf/setup.h \
	%D%/conf/setup_apart.c \
	%D%/conf/setup_budgets.c \
	%D%/conf/setup_build.h \
	%D%/conf/setup_items.c \
	%D%/conf/setup_prices.c \
	%D%/conf/setup_routes.c \
	%D%/conf/setup_tables.c \
	%D%/conf/setup_tags.c \
	%D%/daemon/daemon.c \
	%D%/daemon/daemon.h \
	%D%/daemon/figures.c \
	%D%/daemon/figures.h \
	%D%/daemon/figures_process.c \
	%D%/daemon/notify.c \
	%D%/daemon/notify.h \
	%D%/daemon/services.c \
	%D%/daemon/services.h \
	%D%/daemon/statedir.c \
	%D%/daemon/statedir.h \
	%D%/daemon/status.c \
	%D%/daemon/status.h \
	%D%/flow/bodies.c \
	%D%/flow/bodies.h \
	%D%/flow/deadletter.c \
	%D%/flow/deadletter.h \
	%D%/flow/deadletter_file.c \
	%D%/flow/deadletter_file.h \
	%D%/flow/deadletter_line.c \
	%D%/flow/envelope.c \
	%D%/flow/envelope.h \
	%D%/flow/flight.c \
	%D%/flow/flight.h \
	%D%/flow/identity.c \
	%D%/flow/identity.h \
	%D%/flow/intake.c \
	%D%/flow/intake.h \
	%D%/flow/keyring.c \
	%D%/flow/keyring.h \
	%D%/flow/lanes.c \
	%D%/flow/lanes.h \
	%D%/flow/letter.c \
	%D%/flow/letter.h \
	%D%/flow/opener.c \
	%D%/flow/opener.h \
	%D%/flow/pack.c \
	%D%/flow/pack.h \
	%D%/flow/pipeline.c \
	%D%/flow/pipeline.h \
	%D%/flow/prepare.c \
	%D%/flow/prepare.h \
	%D%/flow/replay.c \
	%D%/flow/replay.h \
	%D%/flow/retention.c \
	%D%/flow/retention.h \
	%D%/flow/tagging.c \
	%D%/flow/tagging.h \
	%D%/flow/team_map.c \
	%D%/flow/team_map.h \
	%D%/flow/teams.c \
	%D%/flow/teams.h \
	%D%/flow/unit.c \
	%D%/flow/unit.h \
	%D%/flow/writer.c \
	%D%/flow/writer.h \
	%D%/jobs/job.c \
	%D%/jobs/job.h \
	%D%/jobs/job_purge.c \
	%D%/jobs/job_reconcile.c \
	%D%/jobs/job_rollup.c \
	%D%/jobs/jobs.c \
	%D%/jobs/jobs.h \
	%D%/jobs/lease.c \
	%D%/jobs/lease.h \
	%D%/jobs/matching.c \
	%D%/jobs/matching.h \
	%D%/jobs/runner.c \
	%D%/jobs/runner.h \
	%D%/jobs/schedule.c \
	%D%/jobs/schedule.h \
	%D%/plugin/instance.c \
	%D%/plugin/instance.h \
	%D%/plugin/module.c \
	%D%/plugin/module.h \
	%D%/plugin/objfile.c \
	%D%/plugin/objfile.h \
	%D%/plugin/schema.c \
	%D%/plugin/schema.h \
	%D%/price/price_amount.c \
	%D%/price/price_amount.h \
	%D%/price/price_book.c \
	%D%/price/price_book.h \
	%D%/price/price_builtin.c \
	%D%/price/price_builtin.h \
	%D%/price/price_card.c \
	%D%/price/price_compute.c \
	%D%/price/price_compute.h \
	%D%/price/price_diff.c \
	%D%/price/price_diff.h \
	%D%/price/price_explain.c \
	%D%/price/price_explain.h \
	%D%/price/price_import.c \
	%D%/price/price_import.h \
	%D%/price/price_make.h \
	%D%/price/price_match.c \
	%D%/price/price_match.h \
	%D%/price/price_periods.c \
	%D%/price/price_read.c \
	%D%/price/price_region.c \
	%D%/price/price_region.h \
	%D%/price/price_window.c \
	%D%/price/price_window.h \
	%D%/price/pricer.c \
	%D%/price/prices.c \
	%D%/price/prices.h
%C%_libcore_la_LIBADD = \
	common/libjson.la \
	common/libbase64.la \
	common/librfc3339.la \
	common/librollup.la \
	common/libtokens.la \
	common/libkeyfile.la \
	common/libregular.la \
	$(LTDL_LIBS) $(JANSSON_LIBS) $(GLIB_LIBS) $(YAML_LIBS) $(SODIUM_LIBS) -lpthread -lm

# The book that comes with the program, as the bytes of a C array.
nodist_%C%_libcore_la_SOURCES = %D%/price/price_book_text.c
CLEANFILES += %D%/price/price_book_text.c
%D%/price/price_book_text.c: etc/prices.json
	$(AM_V_GEN)$(MKDIR_P) %D%/price && { \
	    echo '#include "price/price_builtin.h"'; \
	    echo 'const unsigned char price_book_text[] = {'; \
	    od -An -v -tx1 $(top_srcdir)/etc/prices.json | \
	        sed 's/ *\([0-9a-f][0-9a-f]\)/0x\1,/g'; \
	    echo '};'; \
	    echo 'const size_t price_book_size = sizeof(price_book_text);'; \
	} >$@.new && mv $@.new $@

bin_PROGRAMS += %D%/bursar

%C%_bursar_SOURCES  = %D%/bursar.c
%C%_bursar_CPPFLAGS = $(core_cppflags)
%C%_bursar_LDADD    = %D%/libcore.la

sbin_PROGRAMS += %D%/bursard

%C%_bursard_SOURCES  = %D%/bursard.c
%C%_bursard_CPPFLAGS = $(core_cppflags)
%C%_bursard_LDADD    = %D%/libcore.la
