/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The fast way of reading JSON.
 *
 * simdjson's first stage checks UTF-8 and that strings are closed and hold no
 * control characters, and lists where brackets, colons, commas, opening quotes
 * and the other scalars stand.  One walk over that list then checks what is
 * left of the grammar (order, escapes, numbers, literals) and makes the nodes.
 * simdjson's own second stage would convert every string and number, which
 * takes most of its time and refuses numbers that the grammar allows.
 *
 * The walk only says no.  What it refuses, json_check() reads again to find
 * the words; it has the last one.
 */
#include "config.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <new>

#include <simdjson.h>

#include "common/json_check.h"

namespace {

constexpr size_t kept = size_t{1} << 20;	/* bytes of text with room */
constexpr size_t kept_nodes = kept / sizeof(json_node);
constexpr size_t smallest = size_t{16} << 10;
constexpr unsigned patience = 64;	/* small texts before room is let go */

using index_maker = simdjson::internal::dom_parser_implementation;

/* --- bytes --------------------------------------------------------------- */

enum : uint8_t {
	SPACE = 1,	/* white space */
	AFTER = 2,	/* may stand right behind a number or a literal */
	HEX = 4,
	ESCAPE = 8,	/* may stand behind a backslash, u left out */
};

struct byte_table {
	uint8_t is[256];

	constexpr byte_table() : is{}
	{
		for (const char c : { ' ', '\t', '\n', '\r' }) {
			is[uint8_t(c)] |= SPACE | AFTER;
		}
		for (const char c : { ',', ']', '}' }) {
			is[uint8_t(c)] |= AFTER;
		}
		for (int i = 0; i < 10; i++) {
			is['0' + i] |= HEX;
		}
		for (int i = 0; i < 6; i++) {
			is['a' + i] |= HEX;
			is['A' + i] |= HEX;
		}
		for (const char c : { '"', '\\', '/', 'b', 'f', 'n', 'r', 't' }) {
			is[uint8_t(c)] |= ESCAPE;
		}
	}
};

constexpr byte_table bytes;

inline bool is(char c, uint8_t what)
{
	return (bytes.is[uint8_t(c)] & what) != 0;
}

/* --- scalars ------------------------------------------------------------- */

/* The first backslash from p on, `end` where there is none. */
inline const char *find_backslash(const char *p, const char *end)
{
	const void *found = memchr(p, '\\', size_t(end - p));

	return found == nullptr ? end : static_cast<const char *>(found);
}

/* The same where one is to be expected soon: the next eight bytes first. */
inline const char *find_backslash_nearby(const char *p, const char *end)
{
	uint64_t eight;

	memcpy(&eight, p, sizeof(eight));
	eight = le64toh(eight) ^ UINT64_C(0x5C5C5C5C5C5C5C5C);
	/* A borrow reaches only bytes behind the first that is zero. */
	const uint64_t zeros = (eight - UINT64_C(0x0101010101010101)) & ~eight
	                     & UINT64_C(0x8080808080808080);
	if (zeros == 0) {
		return find_backslash(p, end);
	}
	p += __builtin_ctzll(zeros) / 8;
	return p < end ? p : end;
}

/*
 * Checks the escapes from the backslash at p to the closing quote at `quote`.
 * Returns the next backslash behind that, `end` where there is none, nullptr
 * for an escape that is wrong.
 */
const char *check_escapes(const char *p, const char *quote, const char *end)
{
	while (p < quote) {
		if (is(p[1], ESCAPE)) {
			p += 2;
		} else if (p[1] == 'u' && is(p[2], HEX) && is(p[3], HEX) &&
		           is(p[4], HEX) && is(p[5], HEX)) {
			p += 6;
		} else {
			return nullptr;
		}
		p = find_backslash_nearby(p, end);
	}
	return p;
}

/* How many of the eight bytes at p are digits, before one that is not. */
inline unsigned count_digits(const char *p)
{
	uint64_t eight;

	memcpy(&eight, p, sizeof(eight));
	eight = le64toh(eight) ^ UINT64_C(0x3030303030303030);
	/* Carries reach only bytes behind the first that is no digit. */
	const uint64_t others = (eight | (eight + UINT64_C(0x7676767676767676)))
	                      & UINT64_C(0x8080808080808080);
	return others == 0 ? 8 : unsigned(__builtin_ctzll(others)) / 8;
}

/* Whether the `size` bytes at p, 1 to 8, are a number of plain digits. */
inline bool is_plain_number(const char *p, uint32_t size)
{
	return count_digits(p) >= size && (*p != '0' || size == 1);
}

/* Behind the digits at p; nullptr where there is none. */
inline const char *digits(const char *p)
{
	unsigned count = count_digits(p);

	if (count == 0) {
		return nullptr;
	}
	p += count;
	while (count == 8) {
		count = count_digits(p);
		p += count;
	}
	return p;
}

/* --- the walk ------------------------------------------------------------ */

/* Its members live in registers only where all of it is one function. */
#define INLINE inline __attribute__((always_inline))

/*
 * Every step but the last leaves at_ below its end, because the last place is
 * a bracket that closes and only the closing steps move over one.  That
 * bracket also stops whatever runs along the bytes of a scalar, eight at a
 * time, of which there are always 64 more.
 */
class walk {
public:
	INLINE walk(const char *text, size_t size, const uint32_t *at,
	            uint32_t places, json_node *nodes, uint32_t room,
	            uint32_t *open)
		: text_(text), end_(text + size), at_(at),
		  last_(at + places - 1), nodes_(nodes), room_(room),
		  open_(open), backslash_(find_backslash(text, end_))
	{
	}

	INLINE bool run()
	{
		do {
			if (!value()) {
				return false;
			}
		} while (reach_value());
		return done_;
	}

	INLINE uint32_t count() const { return count_; }

private:
	const char     *text_;
	const char     *end_;
	const uint32_t *at_;		/* the place to look at */
	const uint32_t *last_;
	json_node      *nodes_;
	uint32_t        count_ = 0;
	uint32_t        room_;
	uint32_t       *open_;		/* containers around, as nodes */
	uint32_t        depth_ = 0;
	const char     *backslash_;	/* the next one, or end_ */
	bool            opened_ = false;	/* value() opened a container */
	bool            object_ = false;	/* the innermost container */
	bool            done_ = false;

	INLINE char here() const { return text_[*at_]; }

	INLINE bool add(uint32_t start, uint32_t size, json_type type,
	                bool escaped)
	{
		if (count_ == room_) {
			return false;
		}
		nodes_[count_] = { start, size, count_ + 1, uint8_t(type),
		                   uint8_t(escaped) };
		count_++;
		return true;
	}

	/*
	 * The closing quote is the last byte before the next place.  There is
	 * always one, but what lies in memory is not left to that promise.
	 */
	INLINE bool string()
	{
		const uint32_t start = at_[0];
		uint32_t end = at_[1] - 1;

		while (text_[end] != '"') {
			if (!is(text_[end--], SPACE)) {
				return false;
			}
		}
		if (end == start) {
			return false;
		}
		const bool escaped = backslash_ < text_ + end;
		if (escaped) {
			backslash_ = check_escapes(backslash_, text_ + end, end_);
			if (backslash_ == nullptr) {
				return false;
			}
		}
		at_++;
		return add(start, end + 1 - start, JSON_STRING, escaped);
	}

	INLINE static const char *fraction_and_exponent(const char *p)
	{
		if (*p == '.') {
			p = digits(p + 1);
			if (p == nullptr) {
				return nullptr;
			}
		}
		if (*p == 'e' || *p == 'E') {
			p++;
			p = digits(p + (*p == '-' || *p == '+'));
		}
		return p;
	}

	INLINE bool number()
	{
		const char *start = text_ + *at_;
		const uint32_t room = at_[1] - at_[0];

		if (room <= 8 && is_plain_number(start, room)) {
			return add(*at_++, room, JSON_NUMBER, false);
		}

		const char *p = start + (*start == '-');
		p = *p == '0' ? p + 1 : digits(p);
		if (p != nullptr && !is(*p, AFTER)) {
			p = fraction_and_exponent(p);
		}
		if (p == nullptr || !is(*p, AFTER)) {
			return false;
		}
		return add(*at_++, uint32_t(p - start), JSON_NUMBER, false);
	}

	INLINE bool word(const char *word, uint32_t size, json_type type)
	{
		const char *start = text_ + *at_;

		if (memcmp(start, word, size) != 0 || !is(start[size], AFTER)) {
			return false;
		}
		return add(*at_++, size, type, false);
	}

	INLINE bool open(json_type type)
	{
		if (depth_ == JSON_MAX_DEPTH) {
			return false;
		}
		open_[depth_++] = count_;
		opened_ = true;
		object_ = type == JSON_OBJECT;
		return add(*at_++, 0, type, false);
	}

	INLINE bool value()
	{
		opened_ = false;
		switch (here()) {
		case '"':
			return string();
		case '-': case '0': case '1': case '2': case '3': case '4':
		case '5': case '6': case '7': case '8': case '9':
			return number();
		case '{':
			return open(JSON_OBJECT);
		case '[':
			return open(JSON_ARRAY);
		case 't':
			return word("true", 4, JSON_TRUE);
		case 'f':
			return word("false", 5, JSON_FALSE);
		case 'n':
			return word("null", 4, JSON_NULL);
		default:
			return false;
		}
	}

	INLINE bool name()
	{
		return here() == '"' && string() && text_[*at_++] == ':';
	}

	/* Closes the innermost container; false at the end of the text. */
	INLINE bool close()
	{
		json_node &node = nodes_[open_[--depth_]];

		node.size = *at_ + 1 - node.start;
		node.next = count_;
		if (at_ == last_ || depth_ == 0) {
			done_ = at_ == last_ && depth_ == 0;
			return false;
		}
		at_++;
		object_ = nodes_[open_[depth_ - 1]].type == JSON_OBJECT;
		return true;
	}

	/*
	 * Goes on behind a value, or behind a bracket that opened a container,
	 * to where the next value starts.  Returns false when there is none.
	 */
	INLINE bool reach_value()
	{
		bool first = opened_;

		while (here() == (object_ ? '}' : ']')) {
			if (!close()) {
				return false;
			}
			first = false;
		}
		if (!first && text_[*at_++] != ',') {
			return false;
		}
		return !object_ || name();
	}
};

} // namespace

/* --- the reader ---------------------------------------------------------- */

struct json_reader {
	std::unique_ptr<index_maker> maker;
	json_nodes nodes;
	unsigned   small_texts;		/* in a row, while there is much room */
};

static bool make_index_room(json_reader *reader, size_t size)
{
	size_t capacity = smallest;

	while (capacity < size) {
		capacity *= 2;
	}
	if (reader->maker->capacity() >= capacity) {
		return true;
	}
	return reader->maker->set_capacity(capacity) == simdjson::SUCCESS;
}

/* Contents are lost. */
static bool make_node_room(json_nodes *nodes, size_t room)
{
	if (nodes->room >= room) {
		return true;
	}
	free(nodes->list);
	nodes->list = static_cast<json_node *>(malloc(room * sizeof(json_node)));
	nodes->room = nodes->list == nullptr ? 0 : room;
	return nodes->list != nullptr;
}

/* Lets go of the room for huge texts after a row of small ones. */
static void forget_huge_texts(json_reader *reader, size_t size)
{
	if (reader->maker->capacity() <= kept &&
	    reader->nodes.room <= kept_nodes) {
		return;
	}
	if (size > kept) {
		reader->small_texts = 0;
		return;
	}
	if (++reader->small_texts < patience) {
		return;
	}
	reader->small_texts = 0;
	free(reader->nodes.list);
	reader->nodes = json_nodes{};
	/* Without room there is no index; the next call asks for it again. */
	(void)reader->maker->set_capacity(smallest);
}

extern "C" struct json_reader *json_reader_create(void)
{
	std::unique_ptr<json_reader> reader(new (std::nothrow) json_reader{});

	if (reader == nullptr ||
	    simdjson::get_active_implementation()->create_dom_parser_implementation(
		smallest, 1, reader->maker) != simdjson::SUCCESS) {
		return nullptr;
	}
	return reader.release();
}

extern "C" void json_reader_destroy(struct json_reader *reader)
{
	if (reader != nullptr) {
		free(reader->nodes.list);
		delete reader;
	}
}

extern "C" size_t json_reader_memory(const struct json_reader *reader)
{
	return reader->maker->capacity() * sizeof(uint32_t) +
	       reader->nodes.room * sizeof(json_node);
}

/*
 * A node that is not the first one comes behind a comma, a colon or a bracket
 * that opens, and every bracket is closed: a document of n places has at most
 * (n + 1) / 2 nodes.
 */
static size_t node_room(size_t places)
{
	const size_t room = (places + 1) / 2;

	return room < JSON_MAX_NODES ? room : JSON_MAX_NODES;
}

extern "C" int json_read_fast(struct json_reader *reader, const char *text,
                              size_t size, struct json_doc *doc)
{
	index_maker *maker = reader->maker.get();
	json_nodes *nodes = &reader->nodes;

	if (!make_index_room(reader, size)) {
		return ENOMEM;
	}
	if (maker->stage1(reinterpret_cast<const uint8_t *>(text), size,
	                  simdjson::stage1_mode::regular)
	    != simdjson::SUCCESS) {
		return EILSEQ;
	}

	const uint32_t places = maker->n_structural_indexes;
	const uint32_t *at = maker->structural_indexes.get();
	const char first = text[at[0]];
	const char last = text[at[places - 1]];
	if ((first != '{' && first != '[') || (last != '}' && last != ']')) {
		return EILSEQ;
	}
	if (!make_node_room(nodes, node_room(places))) {
		return ENOMEM;
	}

	uint32_t open[JSON_MAX_DEPTH];
	walk walk(text, size, at, places, nodes->list, uint32_t(nodes->room),
	          open);
	if (!walk.run()) {
		return EILSEQ;
	}
	nodes->count = walk.count();
	*doc = { text, nodes->list, nodes->count };
	return 0;
}

extern "C" int json_read(struct json_reader *reader, const char *text,
                         size_t size, struct json_doc *doc,
                         struct bursar_error *err)
{
	assert(reader != nullptr && doc != nullptr);

	if (size > simdjson::SIMDJSON_MAXSIZE_BYTES - 64) {
		return bursar_fail(err, E2BIG, "JSON of 4 GB or more");
	}
	forget_huge_texts(reader, size);
	switch (json_read_fast(reader, text, size, doc)) {
	case 0:
		return 0;
	case ENOMEM:
		return bursar_fail(err, ENOMEM, "out of memory");
	default:
		break;
	}
	if (json_check(&reader->nodes, text, size, err) != 0) {
		return -1;
	}
	*doc = { text, reader->nodes.list, reader->nodes.count };
	return 0;
}

extern "C" size_t json_minify(const char *text, size_t size, char *out)
{
	size_t made = 0;

	/* It refuses a string that is not closed, which is fine with us. */
	if (simdjson::minify(text, size, out, made) != simdjson::SUCCESS) {
		return json_minify_plain(text, size, out);
	}
	return made;
}
