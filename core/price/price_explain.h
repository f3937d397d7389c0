/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_explain.h - a price, line by line
 */
#ifndef CORE_PRICE_PRICE_EXPLAIN_H
#define CORE_PRICE_PRICE_EXPLAIN_H

#include <jansson.h>

#include "cli/cli.h"
#include "price/prices.h"

/*
 * Prints the arithmetic in cli->format: what was matched, tokens times price
 * for each sort, the sum, the rounding.  `more` has members for the head of
 * the JSON, and may be NULL.  Returns CLI_OK, CLI_NO where there is no price,
 * CLI_FAILED where nothing can be written.
 */
int price_explain(struct cli *cli, const struct price_question *question,
                  const struct price_answer *answer, json_t *more);

#endif
