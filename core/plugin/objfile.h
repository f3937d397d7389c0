/* SPDX-License-Identifier: Apache-2.0 */

/*
 * objfile.h - whether a shared object is there as a whole
 *
 * The dynamic linker maps what the headers promise, and a file that was cut
 * short (a disk that was full, a copy that broke off) ends the process with
 * SIGBUS instead of an error.
 */
#ifndef CORE_PLUGIN_OBJFILE_H
#define CORE_PLUGIN_OBJFILE_H

#include <bursar/plugin.h>

/*
 * Returns 0, also for what is no ELF file of this machine's word size: the
 * linker says that better; or -1 with *err set: ENOEXEC, or why it could not
 * be read.
 */
int objfile_check(const char *file, struct bursar_error *err);

/* Whether it was linked with -z now, so that the dynamic linker looks for all
 * of its symbols when it is loaded; false also where that cannot be read. */
bool objfile_binds_now(const char *file);

#endif
