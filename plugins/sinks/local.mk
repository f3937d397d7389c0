# sinks: one file each, sink_NAME.la
