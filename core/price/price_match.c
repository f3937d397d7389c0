/* SPDX-License-Identifier: Apache-2.0 */

/* Spellings of a name, and the ladder of look-ups. */
#include "config.h"

#include <string.h>

#include "price/price_match.h"

#define KEY_SIZE (2 * PRICE_MAX_NAME + 2)

const char *const price_how_names[PRICE_HOWS] = {
	[PRICE_PROVIDER_MODEL] = "provider_model",
	[PRICE_ALIAS] = "alias",
	[PRICE_MODEL] = "model",
	[PRICE_NORMALIZED] = "normalized_model",
	[PRICE_DATED] = "dated_snapshot",
	[PRICE_CANONICAL] = "canonical",
	[PRICE_FALLBACK] = "fallback_provider",
	[PRICE_DEFAULT] = "provider_default",
	[PRICE_UNIQUE] = "unique_providerless_model",
	[PRICE_UNIQUE_DATED] = "unique_providerless_dated_snapshot",
};

/* --- spellings ----------------------------------------------------------- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Whether text[0..size) is such digits and dashes: "dddd-dd-dd". */
static bool has_form(const char *text, size_t size, const char *form)
{
	if (size != strlen(form)) {
		return false;
	}
	for (size_t i = 0; i < size; i++) {
		if (form[i] == 'd' ? !is_digit(text[i]) : text[i] != form[i]) {
			return false;
		}
	}
	return true;
}

static size_t cut_form(const char *text, size_t size, const char *form)
{
	const size_t less = strlen(form);

	return size > less && has_form(text + size - less, less, form)
		? size - less : size;
}

/* Without "-2025-09-29" or "-20250929"; the same size where there is none. */
static size_t cut_date(const char *text, size_t size)
{
	const size_t cut = cut_form(text, size, "-dddd-dd-dd");

	return cut != size ? cut : cut_form(text, size, "-dddddddd");
}

static bool begins(struct bursar_span text, const char *with)
{
	return text.size > strlen(with) &&
	       memcmp(text.data, with, strlen(with)) == 0;
}

static struct bursar_span behind(struct bursar_span text, size_t size)
{
	return (struct bursar_span){ text.data + size, text.size - size };
}

static struct bursar_span last_segment(struct bursar_span text)
{
	for (size_t at = text.size; at > 0; at--) {
		if (text.data[at - 1] == '/') {
			return behind(text, at);
		}
	}
	return text;
}

/* What gateways and clouds put in front of a name. */
static struct bursar_span without_front(struct bursar_span name)
{
	static const char *const fronts[] = {
		"models/", "openrouter/", "litellm_proxy/",
	};
	static const char *const regions[] = {
		"us.", "eu.", "apac.", "au.", "jp.", "global.",
	};

	if (begins(name, "publishers/")) {
		const char *at = memmem(name.data, name.size, "/models/", 8);

		if (at != NULL) {
			name = behind(name, (size_t)(at - name.data) + 8);
		}
	}
	for (size_t i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
		if (begins(name, fronts[i])) {
			name = behind(name, strlen(fronts[i]));
		}
	}
	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		if (begins(name, regions[i])) {
			return behind(name, strlen(regions[i]));
		}
	}
	return name;
}

static size_t without_end(const char *name, size_t size)
{
	static const char latest[] = ":latest";

	if (size > strlen(latest) && memcmp(name + size - strlen(latest),
	                                    latest, strlen(latest)) == 0) {
		size -= strlen(latest);
	}
	size = cut_form(name, size, "-vd:d");
	return cut_form(name, size, "@dddddddd");
}

size_t price_canonical(const char *name, size_t size, char out[PRICE_MAX_NAME])
{
	char lower[PRICE_MAX_NAME];

	if (size > PRICE_MAX_NAME) {
		size = PRICE_MAX_NAME;
	}
	for (size_t i = 0; i < size; i++) {
		const char c = name[i];

		lower[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	const struct bursar_span rest =
		without_front((struct bursar_span){ lower, size });

	size = without_end(rest.data, rest.size);
	for (size_t i = 0; i < size; i++) {
		const bool point = rest.data[i] == '.' && i > 0 &&
			i + 1 < size && is_digit(rest.data[i - 1]) &&
			is_digit(rest.data[i + 1]);

		out[i] = point ? '-' : rest.data[i];
	}
	return size;
}

/* --- the ladder ---------------------------------------------------------- */

/* "provider/name"; 0: too long to be any key. */
static size_t join(struct bursar_span provider, const char *name, size_t size,
                   char out[KEY_SIZE])
{
	if (provider.size > PRICE_MAX_NAME || size > PRICE_MAX_NAME) {
		return 0;
	}
	memcpy(out, provider.data, provider.size);
	out[provider.size] = '/';
	memcpy(out + provider.size + 1, name, size);
	return provider.size + 1 + size;
}

static const struct price_model *find(const struct price_book *book,
                                      enum price_index index,
                                      struct bursar_span text)
{
	return price_book_find(book, index, text.data, text.size);
}

static const struct price_model *find_of(const struct price_book *book,
                                         enum price_index index,
                                         struct bursar_span provider,
                                         const char *name, size_t size)
{
	char key[KEY_SIZE];

	if (provider.size == 0) {
		return price_book_find(book, index, name, size);
	}
	size = join(provider, name, size, key);
	return size == 0 ? NULL : price_book_find(book, index, key, size);
}

static const struct price_model *canonical(const struct price_book *book,
                                           struct bursar_span provider,
                                           struct bursar_span model)
{
	char name[PRICE_MAX_NAME];
	size_t size = price_canonical(model.data, model.size, name);
	const struct price_model *found =
		find_of(book, PRICE_BY_CANON, provider, name, size);

	if (found == NULL && cut_date(name, size) != size) {
		size = cut_date(name, size);
		found = find_of(book, PRICE_BY_CANON, provider, name, size);
	}
	return found;
}

/* What a provider that the book knows has under other spellings. */
static const struct price_model *by_spelling(const struct price_book *book,
                                             struct bursar_span provider,
                                             struct bursar_span model,
                                             enum price_how *how)
{
	const struct price_model *found = NULL;
	const size_t cut = cut_date(model.data, model.size);

	if (cut != model.size) {
		*how = PRICE_DATED;
		found = find_of(book, PRICE_BY_KEY, provider, model.data, cut);
	}
	if (found == NULL) {
		*how = PRICE_CANONICAL;
		found = canonical(book, provider, model);
	}
	return found;
}

static const struct price_model *of_provider(const struct price_book *book,
                                             struct bursar_span provider,
                                             struct bursar_span model,
                                             enum price_how *how)
{
	const struct price_model *found =
		find_of(book, PRICE_BY_KEY, provider, model.data, model.size);

	*how = PRICE_PROVIDER_MODEL;
	if (found == NULL) {
		*how = PRICE_ALIAS;
		found = find_of(book, PRICE_BY_ALIAS, provider, model.data,
		                model.size);
	}
	return found;
}

static const struct price_model *
by_fallback(const struct price_book *book,
            const struct price_provider *provider, struct bursar_span model)
{
	const struct price_model *found = NULL;
	enum price_how how;

	for (size_t i = 0; i < provider->prices_of_count && found == NULL;
	     i++) {
		const char *name = provider->prices_of[i];
		const struct price_provider *other =
			price_book_provider(book, name, strlen(name));
		const struct bursar_span of = {
			other->name, strlen(other->name),
		};

		found = of_provider(book, of, model, &how);
		if (found == NULL) {
			found = by_spelling(book, of, model, &how);
		}
	}
	return found;
}

static const struct price_model *
of_known_provider(const struct price_book *book,
                  const struct price_provider *provider,
                  struct bursar_span model, enum price_how *how)
{
	const struct bursar_span name = {
		provider->name, strlen(provider->name),
	};
	const struct price_model *found = by_spelling(book, name, model, how);

	if (found == NULL) {
		*how = PRICE_FALLBACK;
		found = by_fallback(book, provider, model);
	}
	if (found == NULL) {
		*how = PRICE_DEFAULT;
		found = find_of(book, PRICE_BY_KEY, name, "*", 1);
	}
	return found;
}

/* Whoever serves it: the part behind the last '/'. */
static const struct price_model *of_anybody(const struct price_book *book,
                                            struct bursar_span model,
                                            enum price_how *how)
{
	const struct bursar_span last = last_segment(model);
	const size_t date = model.size - cut_date(model.data, model.size);
	const struct price_model *found = find(book, PRICE_BY_SEGMENT, last);

	*how = PRICE_UNIQUE;
	if (found != NULL || date == 0 || date >= last.size) {
		return found;
	}
	*how = PRICE_DATED;
	found = price_book_find(book, PRICE_BY_KEY, model.data,
	                        model.size - date);
	if (found == NULL) {
		found = price_book_find(book, PRICE_BY_KEY, last.data,
		                        last.size - date);
	}
	if (found == NULL) {
		*how = PRICE_UNIQUE_DATED;
		found = price_book_find(book, PRICE_BY_SEGMENT, last.data,
		                        last.size - date);
	}
	return found;
}

const struct price_model *price_match(const struct price_book *book,
                                      struct bursar_span provider,
                                      struct bursar_span model,
                                      enum price_how *how)
{
	const struct bursar_span last = last_segment(model);
	const struct price_provider *known = provider.size == 0 ? NULL :
		price_book_provider(book, provider.data, provider.size);
	const struct price_model *found;
	enum price_how step;

	if (model.size == 0 || model.size > PRICE_MAX_NAME) {
		return NULL;
	}
	if (known != NULL) {
		provider = (struct bursar_span){ known->name,
		                                 strlen(known->name) };
	}
	found = of_provider(book, provider, model, &step);
	if (found == NULL && provider.size > 0) {
		step = PRICE_MODEL;
		found = find(book, PRICE_BY_KEY, model);
	}
	if (found == NULL && last.size != model.size) {
		step = PRICE_NORMALIZED;
		found = find(book, PRICE_BY_KEY, last);
	}
	if (found == NULL && known != NULL) {
		found = of_known_provider(book, known, model, &step);
	}
	if (found == NULL) {
		found = of_anybody(book, model, &step);
	}
	if (found != NULL) {
		*how = step;
	}
	return found;
}
