# What is installed beside the programs: samples, unit, price book, alerts.

dist_pkgdata_DATA += \
	etc/alerts.yml \
	etc/dashboard.json

samplesdir = $(docdir)
dist_samples_DATA = \
	etc/bursar.yaml \
	etc/samples/broker-postgres.yaml \
	etc/samples/mixed.yaml \
	etc/samples/one-machine.yaml

dist_pkgdata_DATA += etc/prices.json

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = etc/completions/bursar etc/completions/bursard

EXTRA_DIST += \
	etc/sample-day/make.py \
	etc/sample-day/metering.jsonl \
	etc/sample-day/private.jsonl \
	etc/sample-day/prompts.jsonl \
	etc/sample-day/run \
	etc/sample-day/tools.jsonl

clean-local: clean-sample-day
.PHONY: clean-sample-day
clean-sample-day:
	rm -rf sample-day

# The unit names the programs where they are installed.  Another folder for it
# is given as `make systemdunitdir=... install`.
systemdunitdir = $(prefix)/lib/systemd/system
sysusersdir    = $(prefix)/lib/sysusers.d
tmpfilesdir    = $(prefix)/lib/tmpfiles.d

nodist_systemdunit_DATA = etc/systemd/bursard.service
dist_systemdunit_DATA = etc/systemd/bursard.socket
EXTRA_DIST += etc/systemd/bursard.service.in etc/systemd/sysusers.conf \
	etc/systemd/tmpfiles.conf
CLEANFILES += etc/systemd/bursard.service

etc/systemd/bursard.service: etc/systemd/bursard.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc/systemd && \
	sed -e 's,[@]sbindir[@],$(sbindir),g' -e 's,[@]sysconfdir[@],$(sysconfdir),g' \
	    $(top_srcdir)/etc/systemd/bursard.service.in >$@.new && mv $@.new $@

# Both bear the program's name where they are installed.
install-data-local: install-systemd
install-systemd:
	$(MKDIR_P) "$(DESTDIR)$(sysusersdir)" "$(DESTDIR)$(tmpfilesdir)"
	$(INSTALL_DATA) $(top_srcdir)/etc/systemd/sysusers.conf \
	    "$(DESTDIR)$(sysusersdir)/bursar.conf"
	$(INSTALL_DATA) $(top_srcdir)/etc/systemd/tmpfiles.conf \
	    "$(DESTDIR)$(tmpfilesdir)/bursar.conf"

uninstall-local: uninstall-systemd
uninstall-systemd:
	rm -f "$(DESTDIR)$(sysusersdir)/bursar.conf" \
	    "$(DESTDIR)$(tmpfilesdir)/bursar.conf"
.PHONY: install-systemd uninstall-systemd
