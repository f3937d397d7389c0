#!/bin/sh
# Each public header compiles alone, in C and in C++, without a warning.
# SPDX-License-Identifier: Apache-2.0

cd "${top_srcdir:-.}" || exit 99
status=0
# Included, not compiled for itself: there a static inline is not unused.
for header in include/bursar/*.h; do
	line="#include <bursar/${header##*/}>"
	echo "$line" | ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror \
	    -Iinclude -fsyntax-only -x c - || status=1
	echo "$line" | ${CXX:-c++} -std=c++17 -Wall -Wextra -Werror \
	    -Wno-missing-field-initializers -Iinclude -fsyntax-only -x c++ - || status=1
done
[ "$(ls include/bursar/*.h | wc -l)" -ge 8 ] || status=1
exit $status
