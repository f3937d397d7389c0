# The core: everything but main() in a convenience library, so that the
# daemon, the command and the tests link the same objects.

noinst_LTLIBRARIES += %D%/libcore.la

core_cppflags = $(AM_CPPFLAGS) -I$(srcdir)/%D% -Icore -I$(top_srcdir) \
	-DPLUGIN_DIR='"$(pkglibdir)"' -DSYSCONF_DIR='"$(sysconfdir)"' \
	$(JANSSON_CFLAGS) $(YAML_CFLAGS) $(SODIUM_CFLAGS)

%C%_libcore_la_CPPFLAGS = $(core_cppflags)
%C%_libcore_la_SOURCES = \
	%D%/arena.c \
	%D%/arena.h \
	%D%/backoff.c \
	%D%/backoff.h \
	%D%/bodies.c \
	%D%/bodies.h \
	%D%/book/assign.c \
	%D%/book/assign.h \
	%D%/book/book.c \
	%D%/book/book.h \
	%D%/book/budget.c \
	%D%/book/budget.h \
	%D%/book/command.c \
	%D%/book/command.h \
	%D%/book/export.c \
	%D%/book/export.h \
	%D%/book/days.c \
	%D%/book/days.h \
	%D%/book/named.c \
	%D%/book/named.h \
	%D%/book/priced.c \
	%D%/book/priced.h \
	%D%/book/purge.c \
	%D%/book/purge.h \
	%D%/book/figures.c \
	%D%/book/figures.h \
	%D%/book/lines.c \
	%D%/book/lines.h \
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
	%D%/checkup.c \
	%D%/checkup.h \
	%D%/cli.c \
	%D%/cli.h \
	%D%/cmd_backup.c \
	%D%/cmd_budget.c \
	%D%/cmd_check.c \
	%D%/cmd_crypto.c \
	%D%/cmd_dead_letters.c \
	%D%/cmd_export.c \
	%D%/cmd_hold.c \
	%D%/cmd_jobs.c \
	%D%/cmd_plugins.c \
	%D%/cmd_price.c \
	%D%/cmd_purge.c \
	%D%/cmd_replay.c \
	%D%/cmd_report.c \
	%D%/cmd_reseal.c \
	%D%/cmd_reprice.c \
	%D%/cmd_status.c \
	%D%/cmd_tags.c \
	%D%/cmd_team.c \
	%D%/cmd_token.c \
	%D%/cmd_verify.c \
	%D%/commands.c \
	%D%/commands.h \
	%D%/conf.c \
	%D%/conf.h \
	%D%/daemon.c \
	%D%/daemon.h \
	%D%/deadletter.c \
	%D%/deadletter.h \
	%D%/deadletter_file.c \
	%D%/deadletter_file.h \
	%D%/deadletter_line.c \
	%D%/describe.c \
	%D%/describe.h \
	%D%/envelope.c \
	%D%/envelope.h \
	%D%/figures.c \
	%D%/figures.h \
	%D%/figures_process.c \
	%D%/findings.c \
	%D%/flight.c \
	%D%/flight.h \
	%D%/identity.c \
	%D%/identity.h \
	%D%/instance.c \
	%D%/instance.h \
	%D%/intake.c \
	%D%/intake.h \
	%D%/invocation.c \
	%D%/invocation.h \
	%D%/jobs/job.c \
	%D%/jobs/job.h \
	%D%/jobs/job_purge.c \
	%D%/jobs/job_reconcile.c \
	%D%/jobs/job_rollup.c \
	%D%/jobs/jobs.c \
	%D%/jobs/jobs.h \
	%D%/jobs/lease.c \
	%D%/jobs/lease.h \
	%D%/jobs/runner.c \
	%D%/jobs/runner.h \
	%D%/jobs/schedule.c \
	%D%/jobs/schedule.h \
	%D%/keyring.c \
	%D%/keyring.h \
	%D%/lanes.c \
	%D%/lanes.h \
	%D%/pack.c \
	%D%/pack.h \
	%D%/letter.c \
	%D%/letter.h \
	%D%/log.c \
	%D%/log.h \
	%D%/metrics.c \
	%D%/metrics.h \
	%D%/module.c \
	%D%/module.h \
	%D%/nearest.c \
	%D%/notify.c \
	%D%/notify.h \
	%D%/objfile.c \
	%D%/objfile.h \
	%D%/opener.c \
	%D%/opener.h \
	%D%/options.c \
	%D%/options.h \
	%D%/options_secret.c \
	%D%/options_value.c \
	%D%/options_value.h \
	%D%/pipeline.c \
	%D%/pipeline.h \
	%D%/prepare.c \
	%D%/prepare.h \
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
	%D%/price/pricer.c \
	%D%/price/prices.c \
	%D%/price/prices.h \
	%D%/replay.c \
	%D%/replay.h \
	%D%/retention.c \
	%D%/retention.h \
	%D%/schema.c \
	%D%/schema.h \
	%D%/sealing.c \
	%D%/sealing.h \
	%D%/services.c \
	%D%/services.h \
	%D%/secrecy.h \
	%D%/setup.c \
	%D%/setup.h \
	%D%/setup_budgets.c \
	%D%/setup_build.h \
	%D%/setup_items.c \
	%D%/setup_prices.c \
	%D%/setup_routes.c \
	%D%/setup_tables.c \
	%D%/setup_tags.c \
	%D%/statedir.c \
	%D%/statedir.h \
	%D%/status.c \
	%D%/status.h \
	%D%/table.c \
	%D%/table.h \
	%D%/table_cells.h \
	%D%/table_lists.c \
	%D%/table_show.c \
	%D%/tagging.c \
	%D%/tagging.h \
	%D%/team_file.c \
	%D%/team_file.h \
	%D%/team_map.c \
	%D%/team_map.h \
	%D%/teams.c \
	%D%/teams.h \
	%D%/text.c \
	%D%/text.h \
	%D%/unit.c \
	%D%/unit.h \
	%D%/writer.c \
	%D%/writer.h
%C%_libcore_la_LIBADD = \
	common/libjson.la \
	common/libbase64.la \
	common/librfc3339.la \
	common/librollup.la \
	common/libtokens.la \
	common/libkeyfile.la \
	$(LTDL_LIBS) $(JANSSON_LIBS) $(YAML_LIBS) $(SODIUM_LIBS) -lpthread -lm

# The book that comes with the program, as the bytes of a C array.
nodist_%C%_libcore_la_SOURCES = %D%/price_book_text.c
CLEANFILES += %D%/price_book_text.c
%D%/price_book_text.c: etc/prices.json
	$(AM_V_GEN)$(MKDIR_P) %D% && { \
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
