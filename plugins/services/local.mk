# services: one file each, service_NAME.la
