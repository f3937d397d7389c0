/* SPDX-License-Identifier: Apache-2.0 */

/* Files of tokens: read whole, checked whole, kept in one piece. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "common/json.h"
#include "common/credential.h"
#include "common/keyfile.h"
#include "common/regular.h"
#include "common/tags.h"
#include "common/tokens.h"

#define PADDING  64		/* readable bytes behind a text */
#define MAX_TEXT 1024		/* of a field's value */

/* Memory of the texts that hold escapes, and of lists of fields. */
struct block {
	struct block *next;
	max_align_t   data[];
};

struct tokens {
	struct bursar_arena arena;	/* first: alloc() relies on it */
	struct block *blocks;
	char         *text;		/* of the file */
	size_t        count;
	struct token  items[TOKENS_MAX];
};

struct reading {
	struct tokens *tokens;
	const struct bursar_schema *schema;
	const char    *path;
	unsigned       line;
	struct json_doc doc;
	struct bursar_error *err;
};

static void *alloc(struct bursar_arena *arena, size_t size)
{
	struct tokens *tokens = (struct tokens *)arena;
	struct block *block = malloc(sizeof(*block) + size + PADDING);

	if (block == NULL) {
		return NULL;
	}
	block->next = tokens->blocks;
	tokens->blocks = block;
	return block->data;
}

static int bad_line(const struct reading *in, const char *what)
{
	return bursar_fail(in->err, EINVAL, "%s:%u: %s", in->path, in->line,
	                   what);
}

static bool is_one_of(char c, const char *more)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c != '\0' && strchr(more, c) != NULL);
}

bool token_name_is_good(struct bursar_span name)
{
	if (name.size == 0 || name.size > TOKEN_MAX_NAME ||
	    !is_one_of(name.data[0], "")) {
		return false;
	}
	for (size_t i = 1; i < name.size; i++) {
		if (!is_one_of(name.data[i], "._-")) {
			return false;
		}
	}
	return true;
}

bool token_field_is_good(const struct bursar_schema *schema,
                         struct bursar_span name)
{
	const size_t prefix = strlen(TAGS_PREFIX);

	if (name.size > prefix && memcmp(name.data, TAGS_PREFIX, prefix) == 0) {
		return tags_key_is_good(name.data + prefix,
		                        name.size - prefix);
	}
	for (size_t k = 0; k < schema->kind_count; k++) {
		const struct bursar_kind *kind = &schema->kinds[k];

		for (size_t f = BURSAR_COMMON_FIELDS; f < kind->field_count;
		     f++) {
			const struct bursar_field *field = &kind->fields[f];

			if (strlen(field->name) == name.size &&
			    memcmp(field->name, name.data, name.size) == 0) {
				return field->type == BURSAR_TEXT &&
				       !(field->flags & BURSAR_FIELD_CORE);
			}
		}
	}
	return false;
}

void token_hash(struct bursar_span text, uint8_t hash[TOKEN_HASH])
{
	crypto_hash_sha256(hash, (const unsigned char *)text.data, text.size);
}

/* --- one line ------------------------------------------------------------- */

/* The text of a string member; false: it is none. */
static bool text_of(struct reading *in, uint32_t node,
                    struct bursar_span *text)
{
	unsigned met = 0;

	return node != 0 && in->doc.nodes[node].type == JSON_STRING &&
	       json_text(&in->doc, node, &in->tokens->arena, text, &met) &&
	       met == 0;
}

static int read_name(struct reading *in, struct token *token)
{
	struct bursar_span name;

	if (!text_of(in, json_member(&in->doc, 0, "name"), &name) ||
	    !token_name_is_good(name)) {
		return bad_line(in, "no good name");
	}
	memcpy(token->name, name.data, name.size);
	for (size_t i = 0; i < in->tokens->count; i++) {
		if (strcmp(in->tokens->items[i].name, token->name) == 0) {
			return bad_line(in, "its name stands there twice");
		}
	}
	return 0;
}

static int read_hash(struct reading *in, struct token *token)
{
	struct bursar_span hex;
	size_t size;

	if (!text_of(in, json_member(&in->doc, 0, "sha256"), &hex) ||
	    hex.size != 2 * sizeof(token->hash) ||
	    sodium_hex2bin(token->hash, TOKEN_HASH, hex.data, hex.size, NULL,
	                   &size, NULL) != 0 || size != TOKEN_HASH) {
		return bad_line(in, "sha256 is not 64 hex digits");
	}
	return 0;
}

static int read_kinds(struct reading *in, struct token *token)
{
	const uint32_t list = json_member(&in->doc, 0, "kinds");

	if (list == 0) {
		return 0;
	}
	if (in->doc.nodes[list].type != JSON_ARRAY) {
		return bad_line(in, "kinds is no list");
	}
	for (uint32_t i = list + 1; i < in->doc.nodes[list].next;
	     i = in->doc.nodes[i].next) {
		struct bursar_span name;
		const struct bursar_kind *kind = text_of(in, i, &name)
			? bursar_kind_find(in->schema, name.data, name.size)
			: NULL;

		if (kind == NULL) {
			return bad_line(in, "kinds names what is no kind");
		}
		token->kinds |= UINT64_C(1) << kind->number;
	}
	return 0;
}

static int read_set(struct reading *in, struct token *token)
{
	const uint32_t set = json_member(&in->doc, 0, "set");
	const struct json_node *nodes = in->doc.nodes;
	struct bursar_header *fixed;
	size_t count = 0;

	if (set == 0) {
		return 0;
	}
	if (nodes[set].type != JSON_OBJECT) {
		return bad_line(in, "set is no object");
	}
	fixed = alloc(&in->tokens->arena, TOKEN_MAX_FIXED * sizeof(*fixed));
	if (fixed == NULL) {
		return bursar_fail(in->err, ENOMEM, "out of memory");
	}
	for (uint32_t i = set + 1; i < nodes[set].next;
	     i = nodes[i + 1].next) {
		if (count == TOKEN_MAX_FIXED) {
			return bad_line(in, "set has too many fields");
		}
		struct bursar_header *field = &fixed[count++];

		if (!text_of(in, i, &field->name) ||
		    !token_field_is_good(in->schema, field->name)) {
			return bad_line(in, "set names a field that no token "
			                "can fix");
		}
		if (!text_of(in, i + 1, &field->value) ||
		    field->value.size > MAX_TEXT) {
			return bad_line(in, "a value in set is no text, or too "
			                "long");
		}
	}
	token->fixed = fixed;
	token->fixed_count = count;
	return 0;
}

/* What is not understood could have been meant to hold the token back. */
static int check_members(const struct reading *in)
{
	static const char *const names[] = { "name", "sha256", "kinds", "set" };
	enum { NAMES = sizeof(names) / sizeof(names[0]) };
	const struct json_node *nodes = in->doc.nodes;
	bool met[NAMES] = { false };

	for (uint32_t i = 1; i < nodes[0].next; i = nodes[i + 1].next) {
		size_t n = 0;

		while (n < NAMES && !json_equals(&in->doc, i, names[n],
		                                 strlen(names[n]))) {
			n++;
		}
		if (n == NAMES) {
			return bad_line(in, "another member than name, sha256, "
			                "kinds and set");
		}
		if (met[n]) {
			return bad_line(in, "a member stands there twice");
		}
		met[n] = true;
	}
	return 0;
}

static int read_line(struct reading *in, struct json_reader *reader,
                     struct bursar_span line)
{
	struct tokens *tokens = in->tokens;
	struct bursar_error why = { 0 };

	if (tokens->count == TOKENS_MAX) {
		return bad_line(in, "too many tokens");
	}
	if (json_read(reader, line.data, line.size, &in->doc, &why) != 0 ||
	    in->doc.nodes[0].type != JSON_OBJECT) {
		return bad_line(in, "no JSON object");
	}
	struct token *token = &tokens->items[tokens->count];
	if (check_members(in) != 0 || read_name(in, token) != 0 ||
	    read_hash(in, token) != 0 || read_kinds(in, token) != 0 ||
	    read_set(in, token) != 0) {
		return -1;
	}
	tokens->count++;
	return 0;
}

/* --- the file ------------------------------------------------------------- */

static int check_file(int fd, const char *path, size_t *size,
                      struct bursar_error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		return bursar_fail(err, errno, "%s: %s", path, strerror(errno));
	}
	if ((st.st_mode & credential_forbidden(path)) != 0) {
		return bursar_fail(err, EPERM, "%s: others can reach it: make "
		                   "it chmod 600", path);
	}
	if ((size_t)st.st_size > TOKENS_MAX_BYTES) {
		return bursar_fail(err, EFBIG, "%s: longer than %zu bytes",
		                   path, TOKENS_MAX_BYTES);
	}
	*size = (size_t)st.st_size;
	return 0;
}

/* The whole file, to be freed; what grows meanwhile is not seen. */
static char *load_text(const char *path, size_t *size, struct bursar_error *err)
{
	const int fd = regular_open(AT_FDCWD, path, O_RDONLY);
	char *text = NULL;
	size_t have = 0;
	ssize_t got = 1;

	if (fd < 0) {
		bursar_fail(err, errno, "%s: %s", path, regular_why(errno));
		return NULL;
	}
	if (check_file(fd, path, size, err) == 0) {
		text = calloc(1, *size + PADDING);
		if (text == NULL) {
			bursar_fail(err, ENOMEM, "out of memory");
		}
	}
	while (text != NULL && have < *size &&
	       (got = read(fd, text + have, *size - have)) > 0) {
		have += (size_t)got;
	}
	if (got < 0) {
		bursar_fail(err, errno, "%s: %s", path, strerror(errno));
		free(text);
		text = NULL;
	}
	close(fd);
	*size = have;
	return text;
}

struct tokens *tokens_load(const char *path, const struct bursar_schema *schema,
                           struct bursar_error *err)
{
	struct json_reader *reader = json_reader_create();
	struct tokens *tokens = calloc(1, sizeof(*tokens));
	struct reading in = {
		.tokens = tokens, .schema = schema, .path = path, .err = err,
	};
	struct bursar_span line;
	size_t size = 0;

	if (reader == NULL || tokens == NULL || sodium_init() < 0) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto fail;
	}
	tokens->arena.alloc = alloc;
	tokens->text = load_text(path, &size, err);
	if (tokens->text == NULL) {
		goto fail;
	}
	struct keyfile file = { .rest = { tokens->text, size } };
	while (keyfile_next(&file, &line)) {
		in.line = file.line;
		if (read_line(&in, reader, line) != 0) {
			goto fail;
		}
	}
	json_reader_destroy(reader);
	return tokens;

fail:
	json_reader_destroy(reader);
	tokens_destroy(tokens);
	return NULL;
}

void tokens_destroy(struct tokens *tokens)
{
	if (tokens == NULL) {
		return;
	}
	while (tokens->blocks != NULL) {
		struct block *block = tokens->blocks;

		tokens->blocks = block->next;
		free(block);
	}
	free(tokens->text);
	free(tokens);
}

size_t tokens_count(const struct tokens *tokens)
{
	return tokens->count;
}

const struct token *tokens_get(const struct tokens *tokens, size_t i)
{
	return &tokens->items[i];
}

const struct token *tokens_find(const struct tokens *tokens,
                                struct bursar_span text)
{
	const struct token *found = NULL;
	uint8_t hash[TOKEN_HASH];

	token_hash(text, hash);
	for (size_t i = 0; i < tokens->count; i++) {
		if (sodium_memcmp(hash, tokens->items[i].hash,
		                  TOKEN_HASH) == 0) {
			found = &tokens->items[i];
		}
	}
	return found;
}
