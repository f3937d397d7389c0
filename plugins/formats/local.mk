# formats: one file each, format_NAME.la
