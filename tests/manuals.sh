#!/bin/sh
# Every command, every option and every plugin is on its page, nothing is on a
# page that is not there, and the formatters have no complaint.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_plugins
pages=$top_builddir/man/pages
[ -e "$pages/made" ] || { echo 'skipped: cross-compiled'; exit 77; }
touch "$work/err"

# The bold tags of a page between two headings, without roff's escapes; what
# bears another word than a name is left as it is.
tags() # page, heading, heading that ends it
{
	[ -f "$pages/$1" ] || { echo "FAILED: no page $1" >&2; return; }
	sed -n "/^\.S[HS] $2/,/^\.S[HS] $3/p" "$pages/$1" |
	    sed -n '/^\.TP$/{n;s/^\\fB\(.*\)\\fR.*/\1/p;}' | sed 's/\\-/-/g'
}

# same WHAT: $work/has is what the program has, $work/out what the page says.
same()
{
	sort -u "$work/has" >"$work/has.sorted"
	sort "$work/out" >"$work/out.sorted"
	cmp -s "$work/has.sorted" "$work/out.sorted" && [ -s "$work/has" ] || {
		echo "FAILED: $1: < is undocumented, > is documented and gone"
		diff "$work/has.sorted" "$work/out.sorted" | grep '^[<>]'
		status=1
	}
}

long_options() # of a help text
{
	sed -n 's/^ \{2,6\}\(-[a-zA-Z], \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p'
}

# Of `-f, --format` the long one.
tagged_options() # page
{
	tags "$1" OPTIONS '[^O]' | sed 's/^-., //'
}

# --- commands and options ----------------------------------------------------

commands=$("$bursar" help | sed -n 's/^  \([a-z-]*\) .*/\1/p')
printf '%s\n' "$commands" >"$work/has"
tags bursar.1 COMMANDS OPTIONS >"$work/out"
same 'commands in bursar(1)'

for command in $commands; do
	"$bursar" help "$command" >"$work/help"
	long_options <"$work/help" >"$work/has"
	tagged_options "bursar-$command.1" >"$work/out"
	same "bursar-$command(1)"
	! grep -q '.\{80\}' "$work/help" || {
		echo "FAILED: bursar help $command is wider than 79 columns"
		status=1
	}
	# What the line of usage names is there.
	for option in $(grep -o '[[ ]--[a-z0-9-]*' "$work/help" | tr -d '[ ' |
	    sort -u); do
		grep -qx -e "$option" "$work/has" || {
			echo "FAILED: bursar help $command names $option"
			status=1
		}
	done
done
"$top_builddir/core/bursard" --help | long_options >"$work/has"
tagged_options bursard.8 >"$work/out"
same 'bursard(8)'

# The kit's letters.
"$top_builddir/tests/bursar-conformance" -h |
    sed -n 's/^  \(-[a-zA-Z]\) .*/\1/p' >"$work/has"
echo -h >>"$work/has"
sed -n '/^\.TP$/{n;s/^\.BI* \\\(-[a-zA-Z]\).*/\1/p;}' \
    "$top_srcdir/man/bursar-conformance.1" >"$work/out"
same 'bursar-conformance(1)'

# --- pages: each command and plugin has one, and each page has its thing -----

plugins=$("$bursar" plugins --format csv |
    sed -n '2,$s/^\([a-z]*\),\([a-z0-9_]*\),.*/\1-\2/p')
{
	echo bursar.1 bursar.yaml.5 bursar-plugin.3 bursard.8
	printf 'bursar-%s.1\n' $commands
	printf 'bursar-%s.5\n' $plugins
} | tr ' ' '\n' >"$work/has"
(cd "$pages" && ls) | grep -v '^made$' >"$work/out"
same 'pages'

# --- options of plugins and of the configuration -------------------------------

# Of `secret, secret-file` the first.
plugin_tags() # page, heading, end
{
	tags "$@" | sed 's/,.*//'
}

"$bursar" plugins --format csv | sed -n '2,$p' | cut -d, -f1,2 >"$work/list"
while IFS=, read -r kind name; do
	page=bursar-$kind-$name.5
	"$bursar" plugins "${kind}_$name" >"$work/help"
	for part in 'Options:' 'Options of every'; do
		sed -n "/^$part/,/^\$/s/^  \([a-z][a-z0-9-]*\)\(, also.*\)*\$/\1/p" \
		    "$work/help" >"$work/has"
		case $part in
		*:)	plugin_tags "$page" OPTIONS Options ;;
		*)	plugin_tags "$page" 'Options of' '[^O]' ;;
		esac >"$work/out"
		[ -s "$work/has" ] || [ -s "$work/out" ] || continue
		same "$page, $part"
	done
done <"$work/list"

# The configuration's own options, as the sources have them in their tables.
sed -n '/^const struct bursar_option setup_/,/^};/s/^	{ "\([a-z-]*\)", BURSAR_TYPE.*/\1/p' \
    "$top_srcdir"/core/*/*.c >"$work/has"
printf "%s\n" plugin if-installed >>"$work/has"
# Tags of the sections as well, each between two headings.
sed -n '/^\.SH TOP/,/^\.SH EXAMPLE/p' "$pages/bursar.yaml.5" |
    sed -n '/^\.TP$/{n;s/^\\fB\(.*\)\\fR.*/\1/p;}' |
    sed 's/\\-/-/g; s/,.*//' | sort -u >"$work/out"
same 'bursar.yaml(5)'

# --- the formatters ----------------------------------------------------------

for page in "$pages"/*.[1358] "$top_srcdir"/man/*.1; do
	if command -v mandoc >/dev/null; then
		mandoc -Tlint -W warning "$page" || status=1
	fi
	if command -v groff >/dev/null; then
		groff -man -Tutf8 -ww -z "$page" 2>"$work/groff" || status=1
		[ ! -s "$work/groff" ] || { cat "$work/groff"; status=1; }
	fi
	if command -v man >/dev/null; then
		LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 \
		    -l -Tutf8 -Z "$page" 2>"$work/man" >/dev/null || status=1
		[ ! -s "$work/man" ] || { cat "$work/man"; status=1; }
	fi
done
exit $status
