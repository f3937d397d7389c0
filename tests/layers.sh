#!/bin/sh
# Who may include whom: core, plugins and common include <bursar/...>, core and
# plugins include "common/...", nothing includes the core, no plugin another.
# Within the core, base/ includes none of the other folders, and of these none
# but cmd/ includes daemon/, and none cmd/.
# SPDX-License-Identifier: Apache-2.0

cd "${top_srcdir:-.}" || exit 99
status=0

deny() # directory, what its files must not include, why
{
	[ -d "$1" ] || exit 99
	if grep -rnE --include='*.[ch]' --include='*.cc' \
	    "#[[:space:]]*include .($2)" "$1"; then
		echo "layers: $3" >&2
		status=1
	fi
}

deny plugins 'core/|plugins/|\.\./' 'a plugin knows <bursar/...> and common/'
deny common  'core/|plugins/|\.\./' 'common knows <bursar/...>'
deny core    'plugins/'             'the core knows plugins by their descriptions'
deny include 'core/|plugins/|common/' 'the contract knows neither side'
deny core/base '(book|cli|cmd|conf|daemon|flow|jobs|plugin|price)/' \
    'the base of the core knows nothing above it'
for folder in core/*/; do
	case $folder in
	core/cmd/)    continue ;;
	core/daemon/) above=cmd/ ;;
	*)            above='cmd/|daemon/' ;;
	esac
	deny "$folder" "($above)" 'commands and the daemon stand above the rest'
done

# The core names no plugin in its code, but for the default of one option;
# JSON's null is not the plugin, an option --file is not, and a comment is not
# code.
for plugin in plugins/*/*.c; do
	[ -f "$plugin" ] || continue
	name=$(basename "$plugin" .c)
	# It is the name of a field as well.
	grep -q "FIELD(\"$name\"," core/plugin/schema.c && continue
	if grep -rn --include='*.[ch]' "\"$name\"" core |
	    grep -v -e '"format", BURSAR_TYPE_TEXT, "ledger"' \
	        -e 'fputs("null", ' -e '{ "file", 0, "FILE"' -e ':[[:space:]]*/\?\*'; then
		echo "layers: the core names the plugin $name" >&2
		status=1
	fi
done
exit $status
