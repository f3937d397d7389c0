# What is installed beside the programs: samples, unit, price book.

samplesdir = $(docdir)
dist_samples_DATA = etc/bursar.yaml
