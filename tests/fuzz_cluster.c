/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a secret file, or as a message, of the cluster crypto. */
#include "config.h"

#include "tests/fuzz_crypto.h"

extern const struct bursar_plugin crypto_cluster_LTX_bursar_plugin;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_crypto fuzz = {
		.plugin = &crypto_cluster_LTX_bursar_plugin,
		.option = "secret",
		.keys = "ffeeddccbbaa99887766554433221100\n"
		        "00112233445566778899aabbccddeeff"
		        "00112233445566778899aabbccddeeff\n",
		.plain = "{\"message_context\":{\"conversation_id\":\"conv_1\","
		         "\"request_id\":\"req_1\"},\"routing\":{\"provider\":"
		         "\"anthropic\",\"model\":\"claude-sonnet-4-6\"}}",
	};

	fuzz_crypto(&fuzz, data, size);
	return 0;
}
