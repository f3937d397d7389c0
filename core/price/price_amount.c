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

bool price_amount_round(price_sum sum, int64_t *nano)
{
	const price_sum whole = sum / NANO;
	const price_sum twice = (sum - whole * NANO) * 2;
	const price_sum rounded = whole +
		(twice > NANO || (twice == NANO && (whole & 1) != 0));

	if (rounded > INT64_MAX) {
		return false;
	}
	*nano = (int64_t)rounded;
	return true;
}

const char *price_amount_show(price_sum sum, char out[PRICE_SUM_SIZE])
{
	const price_sum one = (price_sum)PRICE_MAX;
	const unsigned long long dollars = (unsigned long long)(sum / one);
	const unsigned long long parts = (unsigned long long)(sum % one);

	int size = snprintf(out, PRICE_SUM_SIZE, "%llu.%015llu", dollars,
	                    parts);
	while (out[size - 1] == '0') {
		size--;
	}
	size -= out[size - 1] == '.';
	out[size] = '\0';
	return out;
}
