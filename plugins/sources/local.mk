# sources: one file each, source_NAME.la
