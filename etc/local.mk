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
