/* SPDX-License-Identifier: Apache-2.0 */

/* Decimal texts to integers, without a floating-point number in between. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "price/price_amount.h"

#define NANO   1000000		/* 1e-15 dollar in 1e-9 dollar */
#define DIGITS 30		/* more than a price can have */

/* Divides by a power of ten, half to even; `rest`: digits after it were cut
 * that were not all 0. */
static price_sum divide(price_sum number, int tens, bool rest)
{
	price_sum by = 1;

	for (; tens > 0 && by <= number; tens--) {
		by *= 10;
	}
	if (tens > 0) {
		return 0;
	}

	const price_sum whole = number / by;
	const price_sum twice = (number - whole * by) * 2;
	const bool up = twice > by ||
		(twice == by && by > 1 && (rest || (whole & 1) != 0));
	return whole + up;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The exponent of "e-06", which ends the text. */
static bool read_exponent(const char *at, int *exponent)
{
	const bool minus = *at == '-';
	int number = 0;

	at += *at == '-' || *at == '+';
	if (!is_digit(*at)) {
		return false;
	}
	for (; is_digit(*at); at++) {
		number = number < 1000 ? number * 10 + (*at - '0') : number;
	}
	*exponent += minus ? -number : number;
	return *at == '\0';
}

bool price_amount_parse(const char *text, int shift, int64_t *price)
{
	price_sum number = 0;
	int digits = 0;
	int seen = 0;
	bool point = false;
	bool rest = false;
	const char *at = text;

	for (; is_digit(*at) || (*at == '.' && !point); at++) {
		if (*at == '.') {
			point = true;
			continue;
		}
		seen++;
		if (digits < DIGITS) {
			number = number * 10 + (*at - '0');
			digits += number > 0;
			shift -= point;
		} else {
			rest |= *at != '0';
			shift += !point;
		}
	}
	if (seen == 0 || (*at != '\0' && *at != 'e' && *at != 'E') ||
	    (*at != '\0' && !read_exponent(at + 1, &shift))) {
		return false;
	}
	for (; shift > 0 && number > 0 && number <= PRICE_MAX; shift--) {
		number *= 10;
	}
	if (shift < 0) {
		number = divide(number, -shift, rest);
	}
	*price = (int64_t)number;
	return number <= PRICE_MAX;
}

static bool to_nano(price_sum sum, int64_t nano_of_it, int64_t *nano)
{
	const price_sum whole = sum / nano_of_it;
	const price_sum twice = (sum - whole * nano_of_it) * 2;
	const price_sum rounded = whole + (twice > nano_of_it ||
		(twice == nano_of_it && (whole & 1) != 0));

	if (rounded > INT64_MAX) {
		return false;
	}
	*nano = (int64_t)rounded;
	return true;
}

bool price_amount_round(price_sum sum, int64_t *nano)
{
	return to_nano(sum, NANO, nano);
}

/* Dollars, 1e-15 of them, and 1e-21. */
static const char *show(price_sum dollars, int64_t parts, int64_t rest,
                        char out[PRICE_SUM_SIZE])
{
	int size = snprintf(out, PRICE_SUM_SIZE, "%llu.%015lld%06lld",
	                    (unsigned long long)dollars, (long long)parts,
	                    (long long)rest);
	while (out[size - 1] == '0') {
		size--;
	}
	size -= out[size - 1] == '.';
	out[size] = '\0';
	return out;
}

const char *price_amount_show(price_sum sum, char out[PRICE_SUM_SIZE])
{
	return show(sum / PRICE_MAX, (int64_t)(sum % PRICE_MAX), 0, out);
}

bool price_amount_raise(price_sum sum, int64_t factor, price_sum rest,
                        price_sum *raised)
{
	const price_sum most = (price_sum)INT64_MAX * (NANO + 1);

	if (sum > most || rest > most) {
		return false;
	}
	*raised = sum * factor + rest * PRICE_FACTOR_ONE;
	return true;
}

bool price_amount_round_raised(price_sum raised, int64_t *nano)
{
	return to_nano(raised, NANO * PRICE_FACTOR_ONE, nano);
}

const char *price_amount_show_raised(price_sum raised,
                                     char out[PRICE_SUM_SIZE])
{
	const price_sum sum = raised / PRICE_FACTOR_ONE;

	return show(sum / PRICE_MAX, (int64_t)(sum % PRICE_MAX),
	            (int64_t)(raised % PRICE_FACTOR_ONE), out);
}
