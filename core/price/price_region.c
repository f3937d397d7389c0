/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "price/price_make.h"

#define FACTOR_SHIFT 6
#define FACTOR_MAX   (100 * PRICE_FACTOR_ONE)

static bool is_text(struct bursar_span name, const char *text)
{
	return strlen(text) == name.size &&
	       memcmp(text, name.data, name.size) == 0;
}

static const struct price_region *find(const struct price_regions *regions,
                                       struct bursar_span name)
{
	for (size_t i = 0; i < regions->count; i++) {
		if (is_text(name, regions->items[i].name)) {
			return &regions->items[i];
		}
	}
	return NULL;
}

const struct price_region *
price_regions_find(const struct price_regions *regions,
                   struct bursar_span name)
{
	static const char *const anywhere[] = {
		"global", "default", "not_available",
	};

	if (regions->count == 0 || name.size == 0) {
		return NULL;
	}
	const struct price_region *own = find(regions, name);
	for (size_t i = 0; i < sizeof(anywhere) / sizeof(anywhere[0]); i++) {
		if (is_text(name, anywhere[i])) {
			return own;
		}
	}
	return own != NULL ? own
		: find(regions, (struct bursar_span){ "*", 1 });
}

static bool read_region(const char *name, const json_t *value,
                        struct price_region *region)
{
	if (!price_is_name(name, sizeof(region->name) - 1) ||
	    !price_make_amount(value, FACTOR_SHIFT, &region->factor) ||
	    region->factor < PRICE_FACTOR_ONE || region->factor > FACTOR_MAX) {
		return false;
	}
	snprintf(region->name, sizeof(region->name), "%s", name);
	return true;
}

void price_regions_read(struct price_maker *maker, const json_t *object,
                        struct price_regions *regions)
{
	const size_t count = json_object_size(object);
	const char *name;
	json_t *value;

	if (object == NULL) {
		return;
	}
	if (!json_is_object(object) || count > PRICE_MAX_REGIONS) {
		price_maker_say(maker, "'regions' is an object of at most %d "
		                "regions", PRICE_MAX_REGIONS);
		return;
	}
	regions->items = calloc(count + 1, sizeof(*regions->items));
	if (regions->items == NULL) {
		maker->no_memory = true;
		return;
	}
	json_object_foreach((json_t *)object, name, value) {
		if (!read_region(name, value,
		                 &regions->items[regions->count++])) {
			price_maker_say(maker, "region '%.40s': a region has a "
			                "name of at most 40 bytes without "
			                "control characters and a factor from "
			                "1 to 100", name);
		}
	}
}

void price_regions_finish(struct price_regions *regions)
{
	free(regions->items);
}
