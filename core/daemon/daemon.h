/* SPDX-License-Identifier: Apache-2.0 */

/*
 * daemon.h - a pipeline under signals
 *
 *	TERM, INT	drain and end; a second one ends the drain
 *	HUP		reopen what changed in the configuration
 *	USR1		log the state
 */
#ifndef CORE_DAEMON_DAEMON_H
#define CORE_DAEMON_DAEMON_H

#include "conf/setup.h"

/*
 * Runs until a signal ends it or, with `once`, until every source has ended
 * and everything is durable.  Takes the setup.  Returns the exit status: 0, or
 * 1 after a reason was logged.
 */
int daemon_run(struct setup *setup, bool once);

#endif
