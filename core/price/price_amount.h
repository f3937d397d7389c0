/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_amount.h - prices as integers, and the one rounding
 *
 * A price is a number of 1e-15 dollar for one token (or one request): what
 * anybody lists per million tokens with up to nine decimals is held exactly.
 * A cost is a sum of tokens times prices, of 128 bits, and is rounded once, at
 * the end, to 1e-9 dollar, half to even.
 */
#ifndef CORE_PRICE_AMOUNT_H
#define CORE_PRICE_AMOUNT_H

#include <stdbool.h>
#include <stdint.h>

/* Highest price that is taken for one: a dollar for each token or piece. */
#define PRICE_MAX     INT64_C(1000000000000000)
#define PRICE_UNKNOWN INT64_C(-1)

__extension__ typedef __int128 price_sum;	/* of 1e-15 dollar */

/*
 * Reads a decimal number ("2.5", "3e-06") and multiplies it by ten to the
 * power `shift`, which makes dollars per unit to 1e-15 dollar a token: 15 for
 * a token, 12 for a thousand, 9 for a million.  What is finer is rounded half
 * to even.  False: it is no number, below zero, or above PRICE_MAX.
 */
bool price_amount_parse(const char *text, int shift, int64_t *price);

/* To nano-dollars, half to even; false: it does not fit. */
bool price_amount_round(price_sum sum, int64_t *nano);

/* Dollars with all their digits and no more, of 1e-15 dollar.  Returns out. */
#define PRICE_SUM_SIZE 64
const char *price_amount_show(price_sum sum, char out[PRICE_SUM_SIZE]);

/*
 * A sum of which a part is multiplied by a factor, in millionths from 1 to 100:
 * sum * factor + rest, exactly.  False: no number of nano-dollars holds it.
 */
#define PRICE_FACTOR_ONE INT64_C(1000000)
bool price_amount_raise(price_sum sum, int64_t factor, price_sum rest,
                        price_sum *raised);

/* The same as the two above, of what price_amount_raise() made. */
bool price_amount_round_raised(price_sum raised, int64_t *nano);
const char *price_amount_show_raised(price_sum raised,
                                     char out[PRICE_SUM_SIZE]);

#endif
