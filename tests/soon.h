/* SPDX-License-Identifier: Apache-2.0 */

/*
 * soon.h - a bound for what ends by itself, on a machine however busy
 *
 * In microseconds.  A test that compares with it sees to it that what it waits
 * for would last twice as long, or for ever, if the bound did not hold.
 */
#ifndef TESTS_SOON_H
#define TESTS_SOON_H

#include <stdint.h>

#define SOON INT64_C(30000000)

#endif
