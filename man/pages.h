/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pages.h - the prose of manual pages that no table holds
 */
#ifndef MAN_PAGES_H
#define MAN_PAGES_H

extern const char pages_bursard[];
extern const char pages_signals[];
extern const char pages_manager[];
extern const char pages_log[];
extern const char pages_daemon_environment[];
extern const char pages_plugin[];
extern const char pages_plugin_options[];
extern const char pages_plugin_build[];
extern const char pages_bursar[];
extern const char pages_environment[];
extern const char pages_configuration[];
extern const char pages_example[];

/* One for each section of the configuration. */
extern const char pages_sources[];
extern const char pages_crypto[];
extern const char pages_formats[];
extern const char pages_sinks[];
extern const char pages_services[];
extern const char pages_routes[];
extern const char pages_budgets[];
extern const char pages_retention[];
extern const char pages_tags[];
extern const char pages_jobs[];
extern const char pages_dead_letters[];
extern const char pages_prices[];

#endif
