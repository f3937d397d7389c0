#!/bin/sh
# What is installed is enough: the programs find their plugins, and a plugin
# is made with nothing but the installed headers, as bursar.pc says; so is
# every example, and each keeps its contract, also under another name.
# SPDX-License-Identifier: Apache-2.0

# shellcheck source=tests/command.sh
. "${top_srcdir:?}/tests/command.sh"
command -v pkg-config >/dev/null || { echo 'skipped: no pkg-config'; exit 77; }

root=$work/root
said='make install'
(cd "$top_builddir" && MAKEFLAGS='' make -s install DESTDIR="$root") >"$work/out" \
    2>"$work/err" || complain 'it installs'
PKG_CONFIG_PATH=$(dirname "$(find "$root" -name bursar.pc)")
PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR

variable()
{
	pkg-config --variable="$1" bursar | sed "s,^$root,,"
}

for kind in sources crypto formats sinks services; do
	[ -n "$(variable ${kind}dir)" ] || complain "bursar.pc has ${kind}dir"
	for module in "$top_builddir/plugins/$kind"/.libs/*.so; do
		[ -e "$module" ] || continue
		[ -f "$root$(variable ${kind}dir)/${module##*/}" ] ||
			complain "${module##*/} is installed by its kind"
	done
done
find "$root" -name '*.la' | grep -q . && complain 'no .la files'
for header in "$top_srcdir"/include/bursar/*.h; do
	find "$root" -path "*/include/bursar/${header##*/}" | grep -q . ||
		complain "${header##*/} is installed"
done
for file in alerts.yml dashboard.json; do
	find "$root" -path "*/share/bursar/$file" | grep -q . ||
		complain "$file is installed"
done
for page in bursar.1 bursar.yaml.5 bursard.8 bursar-plugin.3 \
    bursar-conformance.1; do
	find "$root" -name "$page" | grep -q . || complain "$page is installed"
done

# A plugin of ten lines.
mkdir -p "$work/own/sinks"
cat >"$work/own/mine.c" <<'END'
#include <bursar/format.h>
static const struct bursar_option options[] = { { NULL } };
static struct bursar_format *mine_open(const struct bursar_host *host,
	struct bursar_error *err)
{ (void)host; bursar_fail(err, 1, "not today"); return NULL; }
static enum bursar_verdict mine_decode(struct bursar_format *format,
	const struct bursar_message *message, struct bursar_records *records,
	struct bursar_error *err)
{ (void)format; (void)message; (void)records; (void)err; return BURSAR_DONE; }
static void mine_close(struct bursar_format *format) { (void)format; }
static const struct bursar_format_ops ops = {
	.open = mine_open, .decode = mine_decode, .close = mine_close };
BURSAR_PLUGIN_DEFINE(format_mine, .kind = BURSAR_FORMAT, .name = "mine",
	.summary = "made of ten lines", .options = options, .ops.format = &ops);
END
said='a plugin of ten lines'
# shellcheck disable=SC2046
${CC:-cc} $(pkg-config --cflags bursar) -Wall -Werror -shared -fPIC \
    -o "$root$(variable formatsdir)/format_mine.so" "$work/own/mine.c" \
    >"$work/out" 2>"$work/err" || complain 'it compiles'

# The examples, outside of the tree.
kit=$top_builddir/tests/bursar-conformance
strict='-O1 -g -Wall -Wextra -Werror -Wno-missing-field-initializers'
check_example() # folder, argument for make...
{
	folder=$1
	shift
	said="the example ${folder##*/}"
	libs=$(sed -n 's/^LIBS *= *//p' "$folder/Makefile")
	# shellcheck disable=SC2086
	[ -z "$libs" ] || pkg-config --exists $libs || {
		echo "skipped: $said: no $libs"
		return
	}
	(cd "$folder" && MAKEFLAGS='' make -s check CC="${CC:-cc}" \
	    CONFORMANCE="$kit" CFLAGS="$strict" "$@") >"$work/out" 2>"$work/err" ||
		complain 'it keeps its contract'
	tail -n 1 "$work/out"
}
examples=$(find "$root" -type d -name examples)
[ "$(find "$examples" -name '*.c' | wc -l)" -ge 5 ] ||
	complain 'there is an example of each kind'
cp -r "$examples" "$work/examples"
for example in "$work"/examples/*-*/; do
	check_example "$example"
	[ "$(wc -l <"$(echo "$example"/*.c)")" -lt 120 ] ||
		complain "${example##*/} has fewer than 120 lines"
done
# A plugin of one's own: of one kind from the source, of the others as what is
# installed makes it.
making="$top_srcdir/bootstrap new-plugin"
for kind in format source crypto sink service; do
	said="new-plugin $kind mine_too"
	# shellcheck disable=SC2086
	(cd "$work" && $making $kind mine_too) >"$work/out" 2>"$work/err" ||
		complain 'it begins one'
	making=$examples/new-plugin
	grep -rl 'lines_\|box_\|words_\|shelf_\|pulse_' "$work/$kind-mine_too" &&
		complain 'it bears the new name'
	grep -q '\.manual =' "$work/$kind-mine_too/"*.c ||
		complain 'it is documented'
done
check_example "$work/format-mine_too"
check_example "$work/source-mine_too" ONLY=open
check_example "$work/crypto-mine_too" ONLY=open
check_example "$work/sink-mine_too" ONLY=open
check_example "$work/service-mine_too" ONLY=open
if [ -x "$top_builddir/man/mkman" ]; then
	said='the page of a new plugin'
	(cd "$work/sink-mine_too" &&
	    make -s man MKMAN="$top_builddir/man/mkman") >"$work/out" \
	    2>"$work/err" || complain 'it is made'
	grep -q '^\.SH OPTIONS' "$work/sink-mine_too/man/"*.5 &&
	    grep -q 'whatever its kind' "$work/sink-mine_too/man/"*.5 ||
		complain 'it has its options and its manual'
fi
# An option is a line in the table of its plugin, and nothing else: it is
# checked, described and in the manual.
said='one more option in a table'
sed -i 's/^static const struct bursar_option options\[\] = {/&\n\t{ "shade", BURSAR_TYPE_NUMBER, "7", "How dark it is.", .min = 1, .max = 9 },/' \
    "$work/sink-mine_too/"*.c
grep -q '"shade"' "$work/sink-mine_too/"*.c || complain 'it is added'
(cd "$work/sink-mine_too" && MAKEFLAGS='' make -s CC="${CC:-cc}") \
    >"$work/out" 2>"$work/err" || complain 'it is built'
BURSAR_PLUGIN_PATH=$work/sink-mine_too:$top_builddir/plugins
export BURSAR_PLUGIN_PATH
exits 0 plugins sink_mine_too
says out 'How dark it is.'
if [ -x "$top_builddir/man/mkman" ]; then
	(cd "$work/sink-mine_too" &&
	    make -s man MKMAN="$top_builddir/man/mkman") >"$work/out" \
	    2>"$work/err"
	grep -q '^\\fBshade\\fR' "$work/sink-mine_too/man/"*.5 ||
		complain 'it is in the manual'
fi
for wrong in 'shade: 70' 'shad: 3'; do
	printf 'sources: {a: {plugin: file, path: %s/in}}\nsinks:\n  b:\n    %s\n    %s\n    %s\nstate-dir: %s/state\n' \
	    "$work" 'plugin: mine_too' "path: $work/shelf.db" "$wrong" "$work" \
	    >"$work/bursar.yaml"
	exits 2 -c "$work/bursar.yaml" check
	says err 'bursar.yaml:6'
	says err 'shade'
done

# The last line of a file may have no end.
built=$top_builddir/plugins
if [ -e "$work/source-mine_too/source_mine_too.so" ] &&
    [ -e "$built/formats/.libs/format_ledger.so" ] &&
    [ -e "$built/sinks/.libs/sink_null.so" ]; then
	BURSAR_PLUGIN_PATH=$work/source-mine_too:$BURSAR_PLUGIN_PATH
	printf '{"message_id":"a"}\n{"message_id":"b"}' >"$work/lines"
	cat >"$work/bursar.yaml" <<END
sources: {a: {plugin: mine_too, path: lines, kind: metering}}
sinks: {b: {plugin: "null"}}
state-dir: state
END
	said='the example of a source, under bursard'
	"$top_builddir/core/bursard" -c "$work/bursar.yaml" --once \
	    >"$work/out" 2>"$work/err" || complain 'it reads a file'
	says err 'read=2 stored=2 '
fi

for wrong in 'colour blue' 'sink' 'sink 9' 'sink Blue' 'format mine_too'; do
	# shellcheck disable=SC2086
	(cd "$work" && "$top_srcdir/bootstrap" new-plugin $wrong) \
	    >"$work/out" 2>"$work/err" &&
		complain "bootstrap new-plugin $wrong is refused"
done

# The installed program, told where the modules of this tree are.
unset BURSAR_PLUGIN_PATH
BURSAR_PLUGIN_PATH=$root$(variable plugindir)
export BURSAR_PLUGIN_PATH
bursar=$(find "$root" -path '*/bin/bursar')
exits 0 plugins
says out 'made of ten lines'
exits 0 plugins mine
says out 'mine'
exit $status
