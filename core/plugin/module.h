/* SPDX-License-Identifier: Apache-2.0 */

/*
 * module.h - plugins as files: finding, loading and checking them
 *
 * Main thread only; libltdl keeps its state in globals.  A module is loaded
 * once, stays loaded, and is shared by all its instances.
 *
 * A plugin NAME of a kind is KIND_NAME.so (KIND_NAME.la uninstalled) in the
 * folders of BURSAR_PLUGIN_PATH, divided by ':', then in the folder of its
 * kind under the library folder.  A folder or file is refused that belongs
 * neither to root nor to the user of this process, or that others can write.
 */
#ifndef CORE_PLUGIN_MODULE_H
#define CORE_PLUGIN_MODULE_H

#include <bursar/plugin.h>

/* "source", "crypto" ...; and the plural that names its folder and section:
 * "sources", "crypto", "formats", "sinks", "services". */
extern const char *const module_kind_names[BURSAR_PLUGIN_KINDS];
extern const char *const module_kind_plurals[BURSAR_PLUGIN_KINDS];

/*
 * Loads the plugin `name` of that kind, without running any of its operations,
 * and checks that it can be called.  A second call returns the same.
 *
 * name  letters, digits and '_'; it comes from the configuration, so anything
 *       else (a '/' above all) is refused
 *
 * Returns its description, valid for ever, or NULL with *err set to a sentence
 * that says what to do:
 *	EINVAL	the name is not acceptable
 *	ENOENT	no such module; the nearest name, and the package to install
 *	ENOEXEC	the linker refused it (the text says why: a symbol, a file
 *		that is cut short)
 *	EPROTO	not a plugin, or of another kind, name or interface version, or
 *		an operation is missing
 *	EPERM	it, or its folder, belongs to another user, or others can
 *		write it
 */
const struct bursar_plugin *module_load(enum bursar_plugin_kind kind,
                                        const char *name,
                                        struct bursar_error *err);

/*
 * Loads every plugin that can be found and calls each(); those that cannot be
 * loaded come with plugin NULL and *err.  `file` is the path.
 */
void module_each(void (*each)(void *context, enum bursar_plugin_kind kind,
                              const char *name, const char *file,
                              const struct bursar_plugin *plugin,
                              const struct bursar_error *err),
                 void *context);

#endif
