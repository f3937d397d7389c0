/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_builtin.h - the book that comes with the program
 *
 * The bytes of etc/prices.json, which the build puts into the program; not
 * ended by a NUL.  Only price_book_builtin() reads them.
 */
#ifndef PRICE_BUILTIN_H
#define PRICE_BUILTIN_H

#include <stddef.h>

extern const unsigned char price_book_text[];
extern const size_t price_book_size;

#endif
