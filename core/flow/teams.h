/* SPDX-License-Identifier: Apache-2.0 */

/*
 * teams.h - the teams of workers, as a daemon knows them
 *
 *	teams_create --> teams_take / teams_release --> teams_destroy
 *
 * Assignments stand in the book (book/assign.h), so that all daemons that share
 * it know the same ones.  A thread reads them, and looks every two seconds
 * whether there are others.  A fact without a team gets that of its worker when
 * it is prepared.
 */
#ifndef CORE_FLOW_TEAMS_H
#define CORE_FLOW_TEAMS_H

#include "conf/setup.h"
#include "flow/team_map.h"

#define TEAMS_LOOK_US INT64_C(2000000)

struct teams;

/* Starts the thread; *setup is lent.  NULL with *err filled; without a book
 * there are no teams: NULL, and err->code stays 0. */
struct teams *teams_create(const struct setup *setup, struct bursar_error *err);

/* Waits until a look at hand has ended; nothing may be taken any more.  NULL is
 * allowed. */
void teams_destroy(struct teams *teams);

/*
 * Whether facts can be prepared: the book was read, or no fact needs it to be
 * stored.  Any thread; NULL: they can.
 */
bool teams_known(struct teams *teams);

/* What is known now; lent until teams_release().  NULL: nobody has a team.  Any
 * thread; both take NULL. */
struct teams_lent;
struct teams_lent *teams_take(struct teams *teams);
void teams_release(struct teams_lent *lent);

/* The team of a worker, lent as `lent` is; false: none. */
bool teams_find(const struct teams_lent *lent, struct bursar_span worker,
                struct bursar_span *team);

#endif
