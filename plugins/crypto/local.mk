# crypto: one file each, crypto_NAME.la
