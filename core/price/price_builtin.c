/* SPDX-License-Identifier: Apache-2.0 */

/* The price book that comes with the program: etc/prices.json, as bytes. */
#include "config.h"

#include <stdlib.h>

#include "price/price_book.h"
#include "price/price_builtin.h"

struct price_book *price_book_builtin(void)
{
	static struct price_book *book;
	static struct findings findings = { .file = "etc/prices.json" };
	const struct price_findings to = { .findings = &findings,
	                                   .before = "" };

	if (book == NULL) {
		book = price_book_parse((const char *)price_book_text,
		                        price_book_size, "builtin", &to);
	}
	if (book == NULL) {
		/* It is checked by the tests; memory is short, then. */
		findings_print(&findings, stderr);
		abort();
	}
	return book;
}
