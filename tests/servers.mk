# A RabbitMQ and a PostgreSQL for tests, measurements and people: see the head
# of the script.  `broker` is what the tests ask of the one, psql of the other.

EXTRA_DIST += %D%/servers %D%/proxy.py %D%/real.py %D%/losses
dist_check_SCRIPTS += %D%/servers.sh %D%/test_proxy.py

# The whole daemon between them.
dist_check_SCRIPTS += \
	%D%/daemon_amqp.py \
	%D%/daemon_postgres.py \
	%D%/daemon_jobs.py \
	%D%/daemon_reports.py \
	%D%/daemon_reprice.py \
	%D%/daemon_routes.py \
	%D%/daemon_samples.py \
	%D%/daemon_seal_postgres.py \
	%D%/daemon_tags.py \
	%D%/daemon_teams.py \
	%D%/daemon_sealed_vault.py

# Whatever happens: a minute of it here, SOAK_MINUTES by `make soak`.
dist_check_SCRIPTS += %D%/chaos.py
SOAK_MINUTES = 60
.PHONY: soak
soak: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS=
	$(AM_TESTS_ENVIRONMENT) \
	    BURSAR_TEST_SECONDS=`expr $(SOAK_MINUTES) '*' 10` \
	    python3 $(srcdir)/%D%/daemon_http_load.py \
	    each_id_once_whatever_is_killed
	$(AM_TESTS_ENVIRONMENT) \
	    python3 $(srcdir)/%D%/chaos.py --minutes $(SOAK_MINUTES) $(SOAK)

if HAVE_RABBITMQ
EXTRA_PROGRAMS += %D%/broker
check_SCRIPTS  += %D%/broker$(EXEEXT)
CLEANFILES     += %D%/broker$(EXEEXT)
endif

%C%_broker_SOURCES  = %D%/broker.c
%C%_broker_CPPFLAGS = $(core_cppflags) $(JANSSON_CFLAGS) $(RABBITMQ_CFLAGS)
%C%_broker_LDADD    = common/libbase64.la $(JANSSON_LIBS) $(RABBITMQ_LIBS)

# What is lost on the way from a file into PostgreSQL, and by whom.
.PHONY: losses
losses: all
	$(AM_TESTS_ENVIRONMENT) python3 $(srcdir)/%D%/losses $(LOSSES)
