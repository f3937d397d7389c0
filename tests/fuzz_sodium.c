/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a key file, or as a message, of the sodium crypto. */
#include "config.h"

#include "tests/fuzz_crypto.h"

extern const struct bursar_plugin crypto_sodium_LTX_bursar_plugin;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_crypto fuzz = {
		.plugin = &crypto_sodium_LTX_bursar_plugin,
		.option = "keys",
		.keys = "secret old QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpbXF1eX2A=\n"
		        "secret new AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
		        "sealed box AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n",
		.plain = "{\"conversation\":\"conv_1\"}",
	};

	fuzz_crypto(&fuzz, data, size);
	return 0;
}
