/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A table of rules becomes two things: the names that it knows, each with its
 * place in the tree of objects, found by one hash look-up; and the steps, in
 * the order of the rules, each from a slot to a field.
 *
 * A slot is a place that a value can come from: a name of the body, a header,
 * a property, a constant.  Filling a record walks the members once and notes
 * in each slot what stands there, then takes the steps, then keeps in
 * extra_json what no step took.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/shape.h"

#define MAX_NAMES   192
#define MAX_GIVEN   24
#define MAX_TEXTS   8
#define MAX_STEPS   255		/* a step and one more fit a byte */
#define MAX_FIELDS  96		/* values without a column included */
#define MAX_SCRATCH 4
#define MAX_UNKNOWN 1024
#define BUCKETS     1024	/* a power of two, several times MAX_NAMES */

/* Slots: names from 0, then what headers and properties give, then texts. */
#define FIRST_GIVEN MAX_NAMES
#define FIRST_TEXT  (FIRST_GIVEN + MAX_GIVEN)
#define SLOTS       (FIRST_TEXT + MAX_TEXTS)

static const char *const properties[] = { "message_id", "correlation_id" };

#define PROPERTIES (sizeof(properties) / sizeof(properties[0]))

#define STEP_WORDS ((MAX_STEPS + 63) / 64)

_Static_assert(SLOTS <= UINT8_MAX, "a slot fits its byte");

enum state {
	ABSENT,
	NOTHING,	/* null, or an object that was walked */
	SPENT,		/* there, and need not be kept */
	PENDING,	/* there, and kept unless a step takes it */
	MISFIT,		/* there, and kept */
};

/* Bytes as numbers: equal keys of at most 16 bytes are equal bytes. */
struct key {
	uint64_t head;		/* the first 8 bytes, 0 behind the end */
	uint64_t tail;		/* the next 8 */
	size_t   size;
};

/* The name and its closing quote, to be compared at once; see is_guess(). */
typedef unsigned char bytes16 __attribute__((vector_size(16)));

struct spelling {
	bytes16 bytes[2];
	bytes16 mask[2];	/* all ones where a byte counts */
};

struct name {
	struct key  key;
	const char *path;	/* from the body on; the name is its end */
	uint8_t path_size;
	uint8_t parent;		/* number of the object it stands in */
	uint8_t given;		/* slot of the header of that name; 0: none */
	bool    asked;		/* a step looks at its value */
	bool    inner;		/* it may be an object with names in it */
	bool    whole;		/* the object is a value all the same */
};

struct step {
	uint8_t slot;
	uint8_t field;
	uint8_t next;		/* step + 1 of the same slot; 0: no more */
	enum shape_result (*convert)(struct shape_run *run,
	                             const struct shape_input *in,
	                             struct bursar_value *value);
};

struct unknown {
	uint32_t node;		/* of its name */
	uint8_t  parent;
};

struct shape {
	const struct bursar_kind *kind;

	struct name names[MAX_NAMES];
	struct step steps[MAX_STEPS];
	struct bursar_value texts[MAX_TEXTS];
	const char *scratch_names[MAX_SCRATCH];
	size_t  name_count;
	size_t  step_count;
	size_t  text_count;
	size_t  given_count;
	size_t  scratch_count;
	uint8_t buckets[BUCKETS];	/* name + 1; 0: empty */
	uint8_t first_steps[SLOTS];	/* step + 1 of that slot; 0: none */
	struct spelling spellings[MAX_NAMES];

	/* What came last time, name + 1: as the first of an object, by its
	 * number, and behind a name. */
	uint8_t firsts[MAX_NAMES + 1];
	uint8_t followers[MAX_NAMES];

	/* The message on its way. */
	struct shape_run run;
	uint8_t  states[SLOTS];
	uint64_t due[STEP_WORDS];	/* bit n: steps[n] has something */
	uint32_t nodes[MAX_NAMES];
	struct bursar_span given[MAX_GIVEN];
	struct bursar_value scratch[MAX_SCRATCH];
	uint32_t from[MAX_FIELDS];	/* node that filled it; 0: none */
	size_t   pending;		/* slots to be kept as things are */
	bool     time_misfit;
	bool     local_times;
	struct unknown unknown[MAX_UNKNOWN];
	size_t   unknown_count;
	char     extra[SHAPE_MAX_EXTRA];
	size_t   extra_size;
};

/* --- names ----------------------------------------------------------- */

static inline uint64_t load(const char *text, size_t size)
{
	static const unsigned char ones[16] = {
		255, 255, 255, 255, 255, 255, 255, 255,
	};
	uint64_t word;
	uint64_t mask;

	memcpy(&word, text, 8);
	memcpy(&mask, ones + 8 - (size < 8 ? size : 8), 8);
	return word & mask;
}

/* text is followed by 16 readable bytes. */
static inline struct key key_of(const char *text, size_t size)
{
	return (struct key){
		load(text, size), load(text + 8, size < 8 ? 0 : size - 8),
		size,
	};
}

static inline size_t bucket_of(const struct key *key, unsigned parent)
{
	const uint64_t tail = key->tail << 23 | key->tail >> 41;
	uint64_t sum = key->head ^ tail ^ (key->size << 8 | parent);

	sum *= UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(sum >> 54) & (BUCKETS - 1);
}

static inline bool is_name(const struct name *name, const struct key *key,
                    const char *text, unsigned parent)
{
	return name->key.head == key->head && name->key.tail == key->tail &&
	       name->key.size == key->size && name->parent == parent &&
	       (key->size <= 16 ||
	        memcmp(name->path + name->path_size - key->size, text,
	               key->size) == 0);
}

/* The same for texts that end anywhere. */
static struct key key_of_any(const char *text, size_t size)
{
	char room[16] = { 0 };

	if (size >= sizeof(room)) {
		return key_of(text, size);
	}
	memcpy(room, text, size);
	return key_of(room, size);
}

/* The name's number, or -1; *bucket is where it is or would be. */
static inline int look_up(const struct shape *s, const struct key *key,
                          const char *text, unsigned parent, size_t *bucket)
{
	size_t at = bucket_of(key, parent);

	while (s->buckets[at] != 0) {
		const int n = s->buckets[at] - 1;

		if (is_name(&s->names[n], key, text, parent)) {
			*bucket = at;
			return n;
		}
		at = (at + 1) & (BUCKETS - 1);
	}
	*bucket = at;
	return -1;
}

/* A name too long to be spelled out is never guessed: its mask is of zeros but
 * its bytes are not. */
static void spell(struct spelling *spelling, const char *text, size_t size)
{
	unsigned char bytes[32] = { 0 };
	unsigned char mask[32] = { 0 };

	if (size < sizeof(bytes)) {
		memcpy(bytes, text, size);
		bytes[size] = '"';
		memset(mask, 0xff, size + 1);
	} else {
		bytes[0] = 1;
	}
	memcpy(spelling->bytes, bytes, sizeof(bytes));
	memcpy(spelling->mask, mask, sizeof(mask));
}

/* Whether that name stands at text, which is followed by 32 readable bytes. */
static inline bool is_guess(const struct spelling *spelling, const char *text)
{
	bytes16 first;
	bytes16 second;
	uint64_t words[2];

	memcpy(&first, text, sizeof(first));
	memcpy(&second, text + sizeof(first), sizeof(second));
	first = (first & spelling->mask[0]) ^ spelling->bytes[0];
	second = (second & spelling->mask[1]) ^ spelling->bytes[1];
	first |= second;
	memcpy(words, &first, sizeof(words));
	return (words[0] | words[1]) == 0;
}

/* --- from rules to names and steps ----------------------------------- */

static unsigned add_name(struct shape *s, const char *path, size_t path_size,
                         size_t size, unsigned parent)
{
	const char *text = path + path_size - size;
	const struct key key = key_of_any(text, size);
	size_t bucket;
	const int found = look_up(s, &key, text, parent, &bucket);

	if (found >= 0) {
		return (unsigned)found;
	}
	assert(s->name_count < MAX_NAMES && path_size <= UINT8_MAX);
	s->names[s->name_count] = (struct name){
		.key = key, .path = path,
		.path_size = (uint8_t)path_size, .parent = (uint8_t)parent,
	};
	spell(&s->spellings[s->name_count], text, size);
	s->buckets[bucket] = (uint8_t)++s->name_count;
	return (unsigned)s->name_count - 1;
}

/* The slot of a path of the body: all its names, from the left. */
static unsigned add_path(struct shape *s, const char *path, size_t size)
{
	unsigned parent = 0;
	size_t start = 0;

	for (;;) {
		const char *stop = memchr(path + start, '.', size - start);
		const size_t end = stop == NULL ? size :
		                   (size_t)(stop - path);
		const unsigned name = add_name(s, path, end, end - start,
		                               parent);

		if (stop == NULL) {
			s->names[name].asked = true;
			return name;
		}
		s->names[name].inner = true;
		parent = name + 1;
		start = end + 1;
	}
}

static unsigned add_header(struct shape *s, unsigned name)
{
	if (s->names[name].given == 0) {
		assert(s->given_count < MAX_GIVEN);
		s->names[name].given =
			(uint8_t)(FIRST_GIVEN + s->given_count++);
	}
	return s->names[name].given;
}

static unsigned property_slot(const char *name, size_t size)
{
	for (unsigned i = 0; i < PROPERTIES; i++) {
		if (strlen(properties[i]) == size &&
		    memcmp(properties[i], name, size) == 0) {
			return FIRST_GIVEN + i;
		}
	}
	assert(!"a property of that name");
	return 0;
}

static unsigned add_text(struct shape *s, unsigned field, const char *text,
                         size_t size)
{
	const struct bursar_kind *kind = s->kind;
	struct bursar_value *value = &s->texts[s->text_count];

	assert(s->text_count < MAX_TEXTS);
	value->is_set = true;
	if (field < kind->field_count &&
	    kind->fields[field].type != BURSAR_TEXT &&
	    kind->fields[field].type != BURSAR_JSON) {
		value->number = strtoll(text, NULL, 10);
	} else {
		value->text = text;
		value->size = (uint32_t)size;
	}
	return FIRST_TEXT + (unsigned)s->text_count++;
}

static void add_step(struct shape *s, const struct shape_rule *rule,
                     unsigned field, unsigned slot)
{
	assert(s->step_count < MAX_STEPS);
	s->steps[s->step_count++] = (struct step){
		(uint8_t)slot, (uint8_t)field, s->first_steps[slot],
		rule->convert,
	};
	s->first_steps[slot] = (uint8_t)s->step_count;
}

static void add_place(struct shape *s, const struct shape_rule *rule,
                      unsigned field, const char *place, size_t size)
{
	unsigned slot;

	switch (place[0]) {
	case '=':
		slot = add_text(s, field, place + 1, size - 1);
		break;
	case '$':
		slot = property_slot(place + 1, size - 1);
		break;
	case '@':
		slot = add_name(s, place + 1, size - 1, size - 1, 0);
		s->names[slot].asked = true;
		add_step(s, rule, field, add_header(s, slot));
		break;
	case '*':
		slot = add_path(s, place + 1, size - 1);
		s->names[slot].whole = true;
		break;
	default:
		slot = add_path(s, place, size);
	}
	add_step(s, rule, field, slot);
}

static int add_field(struct shape *s, const char *name)
{
	const int found = shape_field(s, name);

	if (found >= 0 || name[0] != '.') {
		return found;
	}
	assert(s->scratch_count < MAX_SCRATCH);
	s->scratch_names[s->scratch_count] = name;
	return (int)(s->kind->field_count + s->scratch_count++);
}

static void add_rule(struct shape *s, const struct shape_rule *rule)
{
	const int field = add_field(s, rule->field);
	const char *at = rule->paths;

	while (field >= 0 && *at != '\0') {
		const size_t size = strcspn(at, " ");

		add_place(s, rule, (unsigned)field, at, size);
		at += size;
		at += strspn(at, " ");
	}
}

struct shape *shape_create(const struct bursar_kind *kind,
                           const struct shape_rule *rules,
                           struct bursar_error *err)
{
	struct shape *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	assert(kind->field_count + MAX_SCRATCH <= MAX_FIELDS);
	s->kind = kind;
	s->given_count = PROPERTIES;
	for (; rules->field != NULL; rules++) {
		add_rule(s, rules);
	}
	return s;
}

void shape_set_local_times(struct shape *s, bool local)
{
	s->local_times = local;
}

void shape_destroy(struct shape *s)
{
	free(s);
}

int shape_field(const struct shape *s, const char *name)
{
	for (size_t i = 0; i < s->scratch_count; i++) {
		if (strcmp(s->scratch_names[i], name) == 0) {
			return (int)(s->kind->field_count + i);
		}
	}
	return bursar_field_find(s->kind, name);
}

struct bursar_value *shape_value(struct shape *s, struct bursar_record *record,
                                 int field)
{
	const size_t columns = s->kind->field_count;

	assert(field >= 0 && (size_t)field < columns + MAX_SCRATCH);
	return (size_t)field < columns ? &record->values[field] :
	       &s->scratch[(size_t)field - columns];
}

/* --- the walk over the members --------------------------------------- */

/* Whether the name is in the object of that number, however deep. */
static bool is_within(const struct shape *s, unsigned parent, unsigned object)
{
	while (parent != 0 && parent != object) {
		parent = s->names[parent - 1].parent;
	}
	return parent == object;
}

/* A name comes again: what it said before, and all within, is void. */
static void forget(struct shape *s, unsigned name)
{
	size_t kept = 0;

	for (unsigned i = 0; i < s->name_count; i++) {
		if (i != name && !is_within(s, s->names[i].parent, name + 1)) {
			continue;
		}
		if (s->states[i] >= PENDING) {
			s->pending--;
		}
		s->states[i] = ABSENT;
	}
	for (size_t i = 0; i < s->unknown_count; i++) {
		if (!is_within(s, s->unknown[i].parent, name + 1)) {
			s->unknown[kept++] = s->unknown[i];
		}
	}
	s->unknown_count = kept;
	bursar_set_flag(s->run.record, BURSAR_DQ_DUPLICATE_MEMBER);
}

static bool equal_spans(const struct json_doc *doc, uint32_t a, uint32_t b)
{
	return doc->nodes[a].size == doc->nodes[b].size &&
	       memcmp(doc->text + doc->nodes[a].start,
	              doc->text + doc->nodes[b].start,
	              doc->nodes[a].size) == 0;
}

static void note_unknown(struct shape *s, uint32_t node, unsigned parent)
{
	for (size_t i = 0; i < s->unknown_count; i++) {
		struct unknown *u = &s->unknown[i];

		if (u->parent == parent &&
		    equal_spans(s->run.doc, u->node, node)) {
			u->node = node;
			bursar_set_flag(s->run.record,
			                BURSAR_DQ_DUPLICATE_MEMBER);
			return;
		}
	}
	if (s->unknown_count == MAX_UNKNOWN) {
		bursar_set_flag(s->run.record, BURSAR_DQ_EXTRA_CUT);
		return;
	}
	s->unknown[s->unknown_count++] = (struct unknown){
		node, (uint8_t)parent,
	};
}

static int name_of(struct shape *s, uint32_t node, unsigned parent)
{
	const struct json_node *n = &s->run.doc->nodes[node];
	struct bursar_span text = { s->run.doc->text + n->start + 1,
	                            n->size - 2 };
	unsigned met = 0;
	struct key key;
	size_t bucket;

	if (n->escaped && !json_text(s->run.doc, node, s->run.arena, &text,
	                               &met)) {
		s->run.no_memory = true;
		return -1;
	}
	key = key_of(text.data, text.size);
	return look_up(s, &key, text.data, parent, &bucket);
}

static void walk(struct shape *s, uint32_t object, unsigned parent,
                 bool inside);

static void mark_steps(struct shape *s, unsigned slot)
{
	for (unsigned n = s->first_steps[slot]; n != 0;
	     n = s->steps[n - 1].next) {
		s->due[(n - 1) / 64] |= UINT64_C(1) << (n - 1) % 64;
	}
}

static void hold(struct shape *s, unsigned name, uint32_t node,
                 enum state state)
{
	s->nodes[name] = node;
	s->states[name] = (uint8_t)state;
	s->pending += state >= PENDING;
	mark_steps(s, name);
}

/* `inside`: within an object that is kept whole anyway. */
static void take_member(struct shape *s, unsigned name, uint32_t value,
                        bool inside)
{
	const struct name *n = &s->names[name];
	const uint8_t type = s->run.doc->nodes[value].type;

	if (s->states[name] != ABSENT) {
		forget(s, name);
	}
	if (type == JSON_NULL) {
		s->states[name] = NOTHING;
		return;
	}
	if (type == JSON_OBJECT && n->inner) {
		walk(s, value, name + 1, inside || n->whole);
		if (!n->whole) {
			s->states[name] = NOTHING;
			return;
		}
	}
	if (n->asked) {
		hold(s, name, value, inside ? SPENT : PENDING);
	} else {
		hold(s, name, value, MISFIT);
		bursar_set_flag(s->run.record, BURSAR_DQ_TYPE);
	}
}

/*
 * A producer writes its members in the same order each time, so the name that
 * followed this one last time is tried before all others are.
 */
static void walk(struct shape *s, uint32_t object, unsigned parent,
                 bool inside)
{
	const struct json_node *nodes = s->run.doc->nodes;
	const uint32_t end = nodes[object].next;
	uint8_t *guess = &s->firsts[parent];

	for (uint32_t at = object + 1; at < end; at = nodes[at + 1].next) {
		const char *text = s->run.doc->text + nodes[at].start + 1;
		int name = *guess - 1;

		if (name < 0 || !is_guess(&s->spellings[name], text)) {
			name = name_of(s, at, parent);
		}
		if (name >= 0) {
			*guess = (uint8_t)(name + 1);
			guess = &s->followers[name];
			take_member(s, (unsigned)name, at + 1, inside);
		} else if (!inside) {
			note_unknown(s, at, parent);
		}
	}
}

static void give(struct shape *s, unsigned slot, struct bursar_span text)
{
	if (text.data != NULL && text.size > 0 && s->states[slot] == ABSENT) {
		s->given[slot - FIRST_GIVEN] = text;
		s->states[slot] = SPENT;
		mark_steps(s, slot);
	}
}

static void take_given(struct shape *s, const struct bursar_message *message)
{
	give(s, FIRST_GIVEN, message->message_id);
	give(s, FIRST_GIVEN + 1, message->correlation_id);
	for (size_t i = 0; i < message->header_count; i++) {
		const struct bursar_header *h = &message->headers[i];
		const struct key key = key_of_any(h->name.data, h->name.size);
		size_t bucket;
		const int name = look_up(s, &key, h->name.data, 0, &bucket);

		if (name >= 0 && s->names[name].given != 0) {
			give(s, s->names[name].given, h->value);
		}
	}
}

/* --- the steps ------------------------------------------------------- */

/* Whether a member says what its field already holds. */
static bool says_the_same(const struct shape *s, uint32_t node,
                          const struct bursar_value *value, unsigned field)
{
	const struct json_doc *doc = s->run.doc;
	const uint32_t from = s->from[field];

	if (from != 0 && equal_spans(doc, from, node)) {
		return true;
	}
	return field < s->kind->field_count &&
	       s->kind->fields[field].type == BURSAR_TEXT &&
	       doc->nodes[node].type == JSON_STRING &&
	       json_equals(doc, node, value->text, value->size);
}

static void spend(struct shape *s, unsigned slot)
{
	if (s->states[slot] == PENDING) {
		s->states[slot] = SPENT;
		s->pending--;
	}
}

/* It is kept, and the record says that something did not fit. */
static void keep(struct shape *s, const struct step *step, bool filled)
{
	if (s->states[step->slot] == SPENT && step->slot < MAX_NAMES) {
		s->pending++;
	}
	if (step->slot < MAX_NAMES) {
		s->states[step->slot] = MISFIT;
	}
	if (step->field == BURSAR_RECORDED_AT && !filled) {
		s->time_misfit = true;
	} else {
		bursar_set_flag(s->run.record, BURSAR_DQ_TYPE);
	}
}

static struct shape_input input_of(const struct shape *s, unsigned slot)
{
	if (slot < MAX_NAMES) {
		return (struct shape_input){ .node = s->nodes[slot] };
	}
	return (struct shape_input){ .given = s->given[slot - FIRST_GIVEN] };
}

static void convert(struct shape *s, const struct step *step,
                    struct bursar_value *value)
{
	const struct shape_input in = input_of(s, step->slot);
	const enum shape_result result = step->convert(&s->run, &in, value);

	if (result == SHAPE_SET || result == SHAPE_LENT ||
	    result == SHAPE_LOSSY) {
		value->is_set = true;
		s->from[step->field] = in.node;
	}
	if (result == SHAPE_EMPTY ||
	    (result == SHAPE_SET && step->field < s->kind->field_count)) {
		spend(s, step->slot);
	} else if (result == SHAPE_LOSSY || result == SHAPE_MISFIT) {
		keep(s, step, result == SHAPE_LOSSY);
	}
}

static void take_step(struct shape *s, const struct step *step)
{
	struct bursar_value *value = shape_value(s, s->run.record,
	                                         step->field);

	if (s->states[step->slot] < SPENT) {
		return;		/* it was there, and was forgotten again */
	}
	if (value->is_set) {
		if (s->states[step->slot] == PENDING &&
		    says_the_same(s, s->nodes[step->slot], value,
		                  step->field)) {
			spend(s, step->slot);
		}
	} else if (step->slot >= FIRST_TEXT) {
		*value = s->texts[step->slot - FIRST_TEXT];
		s->from[step->field] = 0;
	} else {
		convert(s, step, value);
	}
}

/* In their order: the first place that holds something wins. */
static void take_steps(struct shape *s)
{
	for (size_t word = 0; word < STEP_WORDS; word++) {
		for (uint64_t due = s->due[word]; due != 0; due &= due - 1) {
			take_step(s, &s->steps[word * 64 +
			                       (size_t)__builtin_ctzll(due)]);
		}
	}
}

/* --- extra_json ------------------------------------------------------ */

static void append(struct shape *s, const char *text, size_t size)
{
	memcpy(s->extra + s->extra_size, text, size);
	s->extra_size += size;
}

/* "prefix.name":value, or nothing of it where there is no room. */
static void add_extra(struct shape *s, struct bursar_span prefix,
                      struct bursar_span name, struct bursar_span value)
{
	const size_t dot = prefix.size > 0;
	const size_t size = 4 + prefix.size + dot + name.size + value.size;

	/* One byte more is for the closing bracket. */
	if (s->extra_size + size + 1 > sizeof(s->extra)) {
		bursar_set_flag(s->run.record, BURSAR_DQ_EXTRA_CUT);
		return;
	}
	append(s, s->extra_size == 0 ? "{\"" : ",\"", 2);
	append(s, prefix.data, prefix.size);
	append(s, ".", dot);
	append(s, name.data, name.size);
	append(s, "\":", 2);
	append(s, value.data, value.size);
}

static void keep_unknown(struct shape *s, const struct unknown *u)
{
	struct bursar_span prefix = { "", 0 };
	struct bursar_span name = json_raw(s->run.doc, u->node);

	if (u->parent != 0) {
		const struct name *object = &s->names[u->parent - 1];

		prefix.data = object->path;
		prefix.size = object->path_size;
	}
	name.data++;
	name.size -= 2;
	add_extra(s, prefix, name, json_raw(s->run.doc, u->node + 1));
}

static void keep_rest(struct shape *s)
{
	static const struct bursar_span none = { "", 0 };

	for (size_t i = 0; i < s->unknown_count; i++) {
		keep_unknown(s, &s->unknown[i]);
	}
	for (size_t i = 0; s->pending > 0 && i < s->name_count; i++) {
		const struct name *n = &s->names[i];

		if (s->states[i] >= PENDING) {
			add_extra(s, none, (struct bursar_span){ n->path,
			                                         n->path_size },
			          json_raw(s->run.doc, s->nodes[i]));
			s->pending--;
		}
	}
}

static void set_extra(struct shape *s)
{
	char *text;

	keep_rest(s);
	if (s->extra_size == 0) {
		return;
	}
	append(s, "}", 1);
	text = s->run.arena->alloc(s->run.arena, s->extra_size);
	if (text == NULL) {
		s->run.no_memory = true;
		return;
	}
	memcpy(text, s->extra, s->extra_size);
	bursar_set_text(s->run.record, BURSAR_EXTRA_JSON, text,
	                s->extra_size);
}

/* --- filling --------------------------------------------------------- */

static void start(struct shape *s, const struct json_doc *doc,
                  struct bursar_record *record, struct bursar_arena *arena)
{
	s->run = (struct shape_run){ doc, record, arena, s->local_times, false };
	memset(s->states, ABSENT, sizeof(s->states));
	memset(s->due, 0, sizeof(s->due));
	for (unsigned i = 0; i < s->text_count; i++) {
		s->states[FIRST_TEXT + i] = SPENT;
		mark_steps(s, FIRST_TEXT + i);
	}
	memset(s->scratch, 0, sizeof(s->scratch));
	s->pending = 0;
	s->time_misfit = false;
	s->unknown_count = 0;
	s->extra_size = 0;
}

bool shape_fill(struct shape *s, const struct json_doc *doc,
                const struct bursar_message *message,
                struct bursar_record *record, struct bursar_arena *arena)
{
	assert(record->kind == s->kind);
	assert(doc->nodes[0].type == JSON_OBJECT);

	start(s, doc, record, arena);
	take_given(s, message);
	walk(s, 0, 0, false);
	take_steps(s);
	if (s->time_misfit) {
		bursar_set_flag(record,
		                record->values[BURSAR_RECORDED_AT].is_set ?
		                BURSAR_DQ_TYPE : BURSAR_DQ_TIME_UNREADABLE);
	}
	if (s->unknown_count > 0 || s->pending > 0) {
		set_extra(s);
	}
	return !s->run.no_memory;
}
