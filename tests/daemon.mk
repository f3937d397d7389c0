# The whole daemon, as its users run it: real files, ledgers and signals.

dist_check_SCRIPTS += \
	%D%/daemon_batches.py \
	%D%/daemon_fifos.py \
	%D%/daemon_follow.py \
	%D%/daemon_golden.py \
	%D%/daemon_http.py \
	%D%/daemon_http_load.py \
	%D%/daemon_json.py \
	%D%/daemon_kill.py \
	%D%/daemon_letters.py \
	%D%/daemon_monitor.py \
	%D%/daemon_prices.py \
	%D%/daemon_properties.py \
	%D%/daemon_seal.py \
	%D%/daemon_signals.py \
	%D%/daemon_sinks.py \
	%D%/daemon_systemd.py \
	%D%/daemon_vault.py \
	%D%/daemon_verify.py \
	%D%/daemon_web.py
EXTRA_DIST += %D%/daemon.py %D%/web.py %D%/alerts.test.yml

# Many clients for tests/daemon_http.py.
check_SCRIPTS += %D%/bench/http_load$(EXEEXT)
