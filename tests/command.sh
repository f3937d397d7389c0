# Shared by the tests of the command: . "$top_srcdir/tests/command.sh"
# SPDX-License-Identifier: Apache-2.0

: "${top_builddir:?}" "${top_srcdir:?}"
bursar=$top_builddir/core/bursar
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
unset BURSAR_CONFIG NO_COLOR
status=0

# The plugins of the tests, and no others.
use_test_modules()
{
	BURSAR_PLUGIN_PATH=$top_builddir/tests/modules
	export BURSAR_PLUGIN_PATH
}

# The plugins of the build.
use_plugins()
{
	BURSAR_PLUGIN_PATH=$top_builddir/plugins
	export BURSAR_PLUGIN_PATH
}

# Leaves without a verdict where a plugin was not built: needs sink_sqlite
needs()
{
	for module; do
		find "$BURSAR_PLUGIN_PATH" -name "$module.so" | grep -q . || {
			echo "skipped: $module was not built"
			exit 77
		}
	done
}

complain() # what
{
	echo "FAILED: $1"
	sed 's/^/  out: /' "$work/out"
	sed 's/^/  err: /' "$work/err"
	status=1
}

# Runs the command: exits STATUS ARGUMENT...; output in $work/out and err.
exits()
{
	want=$1
	shift
	said="bursar $*"
	"$bursar" "$@" >"$work/out" 2>"$work/err"
	got=$?
	[ $got -eq "$want" ] || complain "$said: exit status $got, not $want"
}

# Whether the last run printed it: says out|err TEXT
says()
{
	grep -qF -- "$2" "$work/$1" || complain "$said: $1 lacks: $2"
}

keeps_quiet() # out|err
{
	[ ! -s "$work/$1" ] || complain "$said: $1 is not empty"
}
