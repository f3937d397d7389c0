# Plugins outside the tree: each builds with what is installed, and nothing of
# the tree is needed or seen.

nobase_dist_examples_DATA += \
	examples/crypto-box/Makefile \
	examples/crypto-box/crypto_box.c \
	examples/format-words/Makefile \
	examples/format-words/format_words.c \
	examples/format-words/samples \
	examples/plugin.mk \
	examples/service-pulse/Makefile \
	examples/service-pulse/service_pulse.c \
	examples/sink-shelf/Makefile \
	examples/sink-shelf/sink_shelf.c \
	examples/source-lines/Makefile \
	examples/source-lines/source_lines.c

nobase_dist_examples_SCRIPTS = examples/new-plugin
