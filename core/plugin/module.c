/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The one file that knows libltdl.
 *
 * A folder holds KIND_NAME.so, or, in a build tree, .libs/KIND_NAME.so: the
 * file is found, looked at and only then opened.  The dynamic linker is asked
 * first, to bind all symbols now: libltdl binds a function when it is first
 * called and says "file not found" for nearly everything.
 *
 * lt_dlsym() looks for <module>_LTX_bursar_plugin first, which is what
 * BURSAR_PLUGIN_DEFINE exports.
 */
#include "config.h"

#include <assert.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ltdl.h>

#include <bursar/crypto.h>
#include <bursar/format.h>
#include <bursar/service.h>
#include <bursar/sink.h>
#include <bursar/source.h>

#include "conf/options.h"
#include "plugin/module.h"
#include "plugin/objfile.h"

#define NAME_CHARS  "abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define MAX_NAME    64
#define MAX_FOLDERS 32		/* of BURSAR_PLUGIN_PATH */
#define MAX_NAMES   256		/* of plugins of one kind */
#define MAX_OPTIONS 256		/* of one plugin */

const char *const module_kind_names[BURSAR_PLUGIN_KINDS] = {
	"source", "crypto", "format", "sink", "service",
};
const char *const module_kind_plurals[BURSAR_PLUGIN_KINDS] = {
	"sources", "crypto", "formats", "sinks", "services",
};

/* Where a module was found: folder/.libs/file or folder/file. */
struct place {
	char folder[PATH_MAX];
	char below[PATH_MAX];	/* folder/.libs, or folder itself */
	char file[PATH_MAX];
};

/* What is loaded; never removed from. */
struct module {
	struct module              *next;
	const struct bursar_plugin *plugin;
};

/* Names of plugins, as they are found. */
struct names {
	const char *items[MAX_NAMES + 1];	/* ended by NULL */
	size_t      count;
};

static struct module *modules;

/* --- where modules are --------------------------------------------------- */

/*
 * Calls each() for every folder in which modules of that kind may be, in the
 * order of the search, until it returns true.
 */
static bool each_folder(enum bursar_plugin_kind kind,
                        bool (*each)(void *context, const char *folder),
                        void *context)
{
	const char *at = secure_getenv("BURSAR_PLUGIN_PATH");
	char folder[PATH_MAX];

	for (size_t i = 0; at != NULL && i < MAX_FOLDERS; i++) {
		const size_t size = strcspn(at, ":");

		if (size > 0 && size < PATH_MAX / 2) {
			snprintf(folder, sizeof(folder), "%.*s", (int)size, at);
			if (each(context, folder)) {
				return true;
			}
			snprintf(folder, sizeof(folder), "%.*s/%s", (int)size,
			         at, module_kind_plurals[kind]);
			if (each(context, folder)) {
				return true;
			}
		}
		at = at[size] == ':' ? at + size + 1 : NULL;
	}
	snprintf(folder, sizeof(folder), "%s/%s", PLUGIN_DIR,
	         module_kind_plurals[kind]);
	return each(context, folder);
}

struct search {
	const char   *file;		/* KIND_NAME.so */
	struct place *place;
};

/* The file itself, or what libtool made of it in a build tree. */
static bool holds(void *context, const char *folder)
{
	static const char *const below[] = { "", LT_OBJDIR };
	const struct search *search = context;
	struct place *place = search->place;

	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		const int size = snprintf(place->file, sizeof(place->file),
		                          "%s/%s%s", folder, below[i],
		                          search->file);

		if (size < PATH_MAX && access(place->file, F_OK) == 0) {
			const size_t up = strlen(search->file) + 1;

			memcpy(place->folder, folder, strlen(folder) + 1);
			memcpy(place->below, place->file, (size_t)size - up);
			place->below[(size_t)size - up] = '\0';
			return true;
		}
	}
	return false;
}

static bool find(enum bursar_plugin_kind kind, const char *name,
                 struct place *place)
{
	char file[MAX_NAME + 32];
	struct search search = { file, place };

	snprintf(file, sizeof(file), "%s_%s.so", module_kind_names[kind], name);
	return each_folder(kind, holds, &search);
}

/* --- what names there are ------------------------------------------------ */

struct listing {
	enum bursar_plugin_kind kind;
	struct names *names;
};

static bool name_is_acceptable(const char *name)
{
	const size_t size = strspn(name, NAME_CHARS);

	return size > 0 && size <= MAX_NAME && name[size] == '\0';
}

/* "sqlite" of "sink_sqlite.so"; false where it is something else. */
static bool name_of_file(enum bursar_plugin_kind kind, const char *file,
                         char name[MAX_NAME + 1])
{
	const size_t prefix = strlen(module_kind_names[kind]);
	const size_t size = strlen(file);

	if (size < prefix + 4 || size - prefix - 4 > MAX_NAME ||
	    strncmp(file, module_kind_names[kind], prefix) != 0 ||
	    file[prefix] != '_' || strcmp(file + size - 3, ".so") != 0) {
		return false;
	}
	snprintf(name, MAX_NAME + 1, "%.*s", (int)(size - prefix - 4),
	         file + prefix + 1);
	return name_is_acceptable(name);
}

static void names_add(struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->items[i], name) == 0) {
			return;
		}
	}
	if (names->count < MAX_NAMES) {
		names->items[names->count] = strdup(name);
		names->count += names->items[names->count] != NULL;
	}
}

static void list(const struct listing *listing, const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	char name[MAX_NAME + 1];

	if (dir == NULL) {
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (name_of_file(listing->kind, entry->d_name, name)) {
			names_add(listing->names, name);
		}
	}
	closedir(dir);
}

static bool list_both(void *context, const char *folder)
{
	char below[PATH_MAX];

	list(context, folder);
	if (snprintf(below, sizeof(below), "%s/%s", folder, LT_OBJDIR) <
	    PATH_MAX) {
		list(context, below);
	}
	return false;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void names_init(struct names *names, enum bursar_plugin_kind kind)
{
	struct listing listing = { kind, names };

	memset(names, 0, sizeof(*names));
	each_folder(kind, list_both, &listing);
	qsort(names->items, names->count, sizeof(names->items[0]),
	      compare_names);
}

static void names_finish(struct names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free((char *)names->items[i]);
	}
}

static void fail_missing(enum bursar_plugin_kind kind, const char *name,
                         struct bursar_error *err)
{
	struct names names;

	names_init(&names, kind);
	const char *near = options_nearest(name, names.items);
	if (near != NULL) {
		bursar_fail(err, ENOENT,
		            "no %s plugin '%s' is installed; is '%s' meant?",
		            module_kind_names[kind], name, near);
	} else {
		bursar_fail(err, ENOENT,
		            "no %s plugin '%s' is installed: install the "
		            "package that has it, or build it (see `bursar "
		            "plugins`)", module_kind_names[kind], name);
	}
	names_finish(&names);
}

/* --- whether one may be loaded ------------------------------------------- */

/*
 * What it holds becomes part of us: whoever can write it, or give himself the
 * right to as its owner, could do all that we can.  A group that is ours alone,
 * or root's, is not "others".
 */
static int check_writers(const char *path, struct bursar_error *err)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		return bursar_fail(err, errno, "%s: %s", path, strerror(errno));
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		return bursar_fail(err, EPERM, "%s: belongs to user %u; it "
		                   "must belong to root or to the user that "
		                   "runs this: chown root", path,
		                   (unsigned)st.st_uid);
	}
	if ((st.st_mode & S_IWOTH) != 0 ||
	    ((st.st_mode & S_IWGRP) != 0 && st.st_gid != 0 &&
	     st.st_gid != getegid())) {
		return bursar_fail(err, EPERM, "%s: others can write it; "
		                   "chmod go-w", path);
	}
	return 0;
}

/* Required operations stand in place; a NULL among them is a missing one. */
static const char *missing_operation(const struct bursar_plugin *plugin)
{
#define NEED(kind, operation)                            \
	do {                                             \
		if (plugin->ops.kind->operation == NULL) { \
			return #operation;               \
		}                                        \
	} while (0)
	switch (plugin->kind) {
	case BURSAR_SOURCE:
		NEED(source, open);
		NEED(source, read);
		NEED(source, settle);
		NEED(source, close);
		break;
	case BURSAR_CRYPTO:
		NEED(crypto, encodings);
		NEED(crypto, open);
		NEED(crypto, unseal);
		NEED(crypto, close);
		break;
	case BURSAR_FORMAT:
		NEED(format, open);
		NEED(format, decode);
		NEED(format, close);
		break;
	case BURSAR_SINK:
		NEED(sink, open);
		NEED(sink, write);
		NEED(sink, close);
		break;
	case BURSAR_SERVICE:
		NEED(service, open);
		NEED(service, run);
		NEED(service, close);
		break;
	case BURSAR_PLUGIN_KINDS:
		break;
	}
	return NULL;
#undef NEED
}

static int check_options(const struct bursar_plugin *plugin, const char *file,
                         struct bursar_error *err)
{
	const struct bursar_option *option = plugin->options;

	for (size_t i = 0; option[i].name != NULL; i++) {
		if (i >= MAX_OPTIONS) {
			return bursar_fail(err, EPROTO,
			                   "%s: its table of options does not "
			                   "end", file);
		}
		if (option[i].help == NULL || option[i].name[0] == '\0' ||
		    option[i].type > BURSAR_TYPE_LISTEN ||
		    (option[i].type == BURSAR_TYPE_CHOICE &&
		     option[i].choices == NULL)) {
			return bursar_fail(err, EPROTO,
			                   "%s: its option '%s' has no help, "
			                   "or no choices", file,
			                   option[i].name);
		}
	}
	return 0;
}

static int check_figures(const struct bursar_plugin *plugin, const char *file,
                         struct bursar_error *err)
{
	const struct bursar_plugin_figure *figure = plugin->figures;

	for (size_t i = 0; figure != NULL && figure[i].name != NULL; i++) {
		if (i >= MAX_OPTIONS || figure[i].help == NULL) {
			return bursar_fail(err, EPROTO,
			                   "%s: its table of figures does not "
			                   "end, or lacks help", file);
		}
	}
	return 0;
}

/* abi is looked at first: nothing else has a known place if it differs. */
static int check(const struct bursar_plugin *plugin,
                 enum bursar_plugin_kind kind, const char *name,
                 const char *file, struct bursar_error *err)
{
	if (plugin->abi != BURSAR_PLUGIN_ABI) {
		return bursar_fail(err, EPROTO,
		                   "%s: made for plugin interface %u, this is "
		                   "%d: build or install it anew", file,
		                   plugin->abi, BURSAR_PLUGIN_ABI);
	}
	if (plugin->kind != kind) {
		return bursar_fail(err, EPROTO, "%s: not a %s but another "
		                   "kind of plugin", file,
		                   module_kind_names[kind]);
	}
	if (plugin->name == NULL || strcmp(plugin->name, name) != 0) {
		return bursar_fail(err, EPROTO, "%s: calls itself '%s'", file,
		                   plugin->name != NULL ? plugin->name : "");
	}
	if (plugin->summary == NULL || plugin->options == NULL ||
	    plugin->ops.source == NULL) {
		return bursar_fail(err, EPROTO, "%s: has no %s", file,
		                   plugin->summary == NULL ? "summary" :
		                   plugin->options == NULL ? "options" :
		                   "operations");
	}
	const char *missing = missing_operation(plugin);
	if (missing != NULL) {
		return bursar_fail(err, EPROTO, "%s: has no operation '%s'",
		                   file, missing);
	}
	return check_options(plugin, file, err) != 0 ? -1 :
	       check_figures(plugin, file, err);
}

/* --- loading ------------------------------------------------------------- */

static int start(struct bursar_error *err)
{
	static bool started;

	if (!started && lt_dlinit() != 0) {
		return bursar_fail(err, ENOEXEC, "libltdl: %s", lt_dlerror());
	}
	started = true;
	return 0;
}

/* Opens for good, private to itself. */
static lt_dlhandle open_resident(const char *file)
{
	lt_dlhandle handle = NULL;
	lt_dladvise advise;

	if (lt_dladvise_init(&advise) != 0) {
		return NULL;
	}
	if (lt_dladvise_local(&advise) == 0 &&
	    lt_dladvise_resident(&advise) == 0) {
		handle = lt_dlopenadvise(file, advise);
	}
	lt_dladvise_destroy(&advise);
	return handle;
}

/* The linker's reason begins with the path already. */
static lt_dlhandle open_bound(const char *file, struct bursar_error *err)
{
	/* One that is bound at once by itself leaves its libraries to be bound
	 * as they are called: those of libpq have thousands of symbols. */
	const int when = objfile_binds_now(file) ? RTLD_LAZY : RTLD_NOW;
	void *bound = dlopen(file, when | RTLD_LOCAL);

	if (bound == NULL) {
		const char *why = dlerror();
		bursar_fail(err, ENOEXEC, "%s",
		            why != NULL ? why : "the linker refuses it");
		return NULL;
	}
	lt_dlhandle handle = open_resident(file);
	if (handle == NULL) {
		bursar_fail(err, ENOEXEC, "%s: %s", file, lt_dlerror());
	}
	dlclose(bound);
	return handle;
}

static const struct bursar_plugin *load(enum bursar_plugin_kind kind,
                                        const char *name,
                                        const struct place *place,
                                        struct bursar_error *err)
{
	if (check_writers(place->folder, err) != 0 ||
	    check_writers(place->below, err) != 0 ||
	    check_writers(place->file, err) != 0 ||
	    objfile_check(place->file, err) != 0 || start(err) != 0) {
		return NULL;
	}
	lt_dlhandle handle = open_bound(place->file, err);
	if (handle == NULL) {
		return NULL;
	}
	const struct bursar_plugin *plugin = lt_dlsym(handle, "bursar_plugin");
	if (plugin == NULL) {
		bursar_fail(err, EPROTO, "%s: not a plugin of bursar: it has "
		            "no BURSAR_PLUGIN_DEFINE(%s_%s, ...)", place->file,
		            module_kind_names[kind], name);
		return NULL;
	}
	if (check(plugin, kind, name, place->file, err) != 0) {
		return NULL;
	}
	return plugin;
}

static const struct bursar_plugin *loaded(enum bursar_plugin_kind kind,
                                          const char *name)
{
	for (const struct module *m = modules; m != NULL; m = m->next) {
		if (m->plugin->kind == kind &&
		    strcmp(m->plugin->name, name) == 0) {
			return m->plugin;
		}
	}
	return NULL;
}

static int keep(const struct bursar_plugin *plugin, struct bursar_error *err)
{
	struct module *module = calloc(1, sizeof(*module));

	if (module == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	module->plugin = plugin;
	module->next = modules;
	modules = module;
	return 0;
}

const struct bursar_plugin *module_load(enum bursar_plugin_kind kind,
                                        const char *name,
                                        struct bursar_error *err)
{
	assert(kind < BURSAR_PLUGIN_KINDS);
	assert(name != NULL);

	if (!name_is_acceptable(name)) {
		bursar_fail(err, EINVAL, "'%.*s' is not the name of a plugin",
		            MAX_NAME, name);
		return NULL;
	}
	const struct bursar_plugin *plugin = loaded(kind, name);
	if (plugin != NULL) {
		return plugin;
	}
	struct place place;
	if (!find(kind, name, &place)) {
		fail_missing(kind, name, err);
		return NULL;
	}
	plugin = load(kind, name, &place, err);
	if (plugin == NULL || keep(plugin, err) != 0) {
		return NULL;
	}
	return plugin;
}

void module_each(void (*each)(void *context, enum bursar_plugin_kind kind,
                              const char *name, const char *file,
                              const struct bursar_plugin *plugin,
                              const struct bursar_error *err),
                 void *context)
{
	for (int kind = 0; kind < BURSAR_PLUGIN_KINDS; kind++) {
		struct names names;

		names_init(&names, kind);
		for (size_t i = 0; i < names.count; i++) {
			struct bursar_error err = { 0 };
			struct place place = { .file = "" };

			find(kind, names.items[i], &place);
			const struct bursar_plugin *plugin =
				module_load(kind, names.items[i], &err);
			each(context, kind, names.items[i], place.file, plugin,
			     &err);
		}
		names_finish(&names);
	}
}
