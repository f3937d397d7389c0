#!/bin/sh
# The kit notices plugins that break their contract, each by the check that
# speaks of it: the examples, with one line made wrong.
# SPDX-License-Identifier: Apache-2.0

# shellcheck source=tests/command.sh
. "${top_srcdir:?}/tests/command.sh"
command -v pkg-config >/dev/null || { echo 'skipped: no pkg-config'; exit 77; }
pkg-config --exists sqlite3 libsodium || {
	echo 'skipped: no sqlite3, or no libsodium'
	exit 77
}
kit=$(cd "$top_builddir" && pwd)/tests/bursar-conformance
PKG_CONFIG_PATH=$(cd "$top_builddir" && pwd)${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
cp -r "$top_srcdir/examples" "$work/examples"
chmod -R u+w "$work/examples"

# What -w gives, for those that are tried with a peer.
peer=
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec "%s" "$@" $peer\n' "$kit" >"$work/kit"
chmod +x "$work/kit"
export peer

# breaks EXAMPLE CHECK EDIT...: edited so, it fails the check of that name, and
# the finding has the sentence of the contract and what was found.
breaks()
{
	example=$1
	check=$2
	said="$example, edited: $3"
	shift 2
	cp "$top_srcdir/examples/$example/"*.c "$work/examples/$example"
	for edit; do
		cp "$work/examples/$example/"*.c "$work/before"
		sed -i "$edit" "$work/examples/$example/"*.c
		cmp -s "$work/before" "$work/examples/$example/"*.c &&
			complain "the edit finds its line: $edit"
	done
	(cd "$work/examples/$example" && MAKEFLAGS='' make -s check \
	    CC="${CC:-cc}" CFLAGS="-O1 -g -w" ONLY="$check" \
	    CONFORMANCE="$work/kit") \
	    >"$work/out" 2>"$work/err"
	grep -q "^not ok 1 .*$check" "$work/out" || complain "breaks: $check"
	grep -q '^#   wants: .' "$work/out" && grep -q '^#   found: .' \
	    "$work/out" || complain "$check says what it wants and what it found"
	sed -n 's/^#   found: /found: /p' "$work/out"
}

# --- descriptions ----------------------------------------------------------------

loads='is loaded as the daemon loads it'
breaks sink-shelf "$loads" \
    's/{ NULL } };/{ (char *)1, BURSAR_TYPE_TEXT, "", "Nowhere." } };/'
says out 'does its table of options end'
breaks sink-shelf "$loads" 's/PLUGIN_DEFINE(sink_shelf,/PLUGIN_DEFINE(shelf,/'
says out 'no BURSAR_PLUGIN_DEFINE(sink_shelf, ...)'
breaks sink-shelf 'says why it cannot be opened' \
    's/? BURSAR_CONFIG : BURSAR_RETRY/? BURSAR_REJECT : BURSAR_RETRY/'
says out 'the verdict REJECT'

# --- order and overlap of calls, and their threads -----------------------------

breaks sink-shelf 'closes what was never opened' \
    's/sink != NULL ? sink->put : NULL/sink->put/'
breaks sink-shelf 'works while another instance does' \
    's/^static const char table/static struct bursar_sink only;\n&/' \
    's/= calloc(1, sizeof(\*sink))/= \&only/' 's/^	free(sink);//'
breaks sink-shelf 'works whichever threads its calls come from' \
    's/^static const char table/static _Thread_local bool mine;\n&/' \
    's/^	sink->host = host;/&\n	mine = true;/' \
    's/good = sqlite3_step/good = mine \&\& sqlite3_step/'
breaks service-pulse 'runs until it is told to stop' \
    's/^#include <poll.h>/&\n#include <pthread.h>/' \
    's/^static int write_figures/static void *aside(void *host)\n{\n	((const struct bursar_host *)host)->number(host, "interval");\n	return NULL;\n}\n\n&/' \
    's/^	do {/	pthread_t t;\n	pthread_create(\&t, NULL, aside, (void *)service->host);\n	pthread_join(t, NULL);\n&/'
grep -q 'thread of the plugin' "$work/out" || complain 'names the thread'
breaks source-lines 'delivers again what is given back, in its order' \
    's/settled\[i\]\.message->offset/settled[count - 1].message->offset/'

# --- deadlines, also with a peer that says nothing -----------------------------

breaks source-lines 'returns when its deadline has come' \
    's/^	(void)wake, (void)deadline, (void)err;.*/	sleep(1);/'
breaks service-pulse 'runs until it is told to stop' \
    's/poll(&fd, 1, interval)/(poll(NULL, 0, 2500), poll(\&fd, 1, 0))/'
peer='-w path=@PORT@'
breaks source-lines 'bears a peer that says nothing' \
    's/fopen(source->path, "re")/fopen("\/dev\/null", "re")/' \
    's/^	(void)wake, (void)deadline, (void)err;.*/	sleep(3);/'
breaks source-lines 'bears a peer that says nothing' \
    's/fopen(source->path, "re")/fopen("\/dev\/null", "re")/' \
    's/^	(void)wake, (void)deadline, (void)err;.*/	bursar_fail(err, 1, "nobody");\n	return BURSAR_CONFIG;/'
peer=

# --- deadlines, with a peer that falls silent ------------------------------------

# calls CHECK [EDIT]: runs that check on a source that talks with a server.
calls()
{
	sed "${2:-}" "$top_srcdir/tests/modules/source_caller.c" \
		>"$work/source_caller.c"
	said="source_caller, edited: ${2:-not}"
	[ -z "${2:-}" ] || ! cmp -s "$work/source_caller.c" \
		"$top_srcdir/tests/modules/source_caller.c" ||
		complain 'the edit finds its line'
	# shellcheck disable=SC2046 # flags are words
	"${CC:-cc}" -std=gnu11 -w -shared -fPIC -fvisibility=hidden \
		$(pkg-config --cflags bursar) -o "$work/source_caller.so" \
		"$work/source_caller.c" 2>"$work/err" || complain 'it is built'
	BURSAR_PLUGIN_PATH=$work "$kit" source caller -n 40 -o port=1 \
		-w port=@PORT@ -W "$(cat "$work/port")" -t "$1" \
		>"$work/out" 2>"$work/err"
}

if command -v python3 >/dev/null; then
	mkfifo "$work/peer"
	python3 "$top_srcdir/tests/conformance_peer.py" <"$work/peer" \
		>"$work/port" &
	exec 9>"$work/peer"
	i=0
	while [ ! -s "$work/port" ] && [ $i -lt 300 ]; do
		sleep 0.1
		i=$((i + 1))
	done
	fades='bears a peer that falls silent'
	calls "$fades" || complain "passes: $fades"
	grep -q 'fell silent [4-6] times' "$work/out" ||
		complain 'the peer does fall silent'
	# Waits for the rest of a line, and for no first byte.
	waits='s/MSG_DONTWAIT/MSG_WAITALL/'
	calls 'bears a peer that says nothing' "$waits" ||
		complain 'a peer that says nothing is another matter'
	calls "$fades" "$waits" && complain "breaks: $fades"
	says out 'read() came back after'
	# A line that came in part is taken for settled.
	calls "$fades" 's/settled = settled\[i\].token/& + (source->size > 0)/' &&
		complain "breaks: $fades"
	says out 'came in the end'
	exec 9>&-
fi

# --- classification --------------------------------------------------------------

breaks sink-shelf 'rejects nothing that is good when there is no room' \
    's/? BURSAR_CONFIG : BURSAR_RETRY/? BURSAR_CONFIG : BURSAR_REJECT/'
breaks format-words 'bears a lack of memory' \
    's/return BURSAR_RETRY/return BURSAR_REJECT/'
breaks crypto-box 'bears a lack of memory' \
    '0,/return no_memory(err);/s//continue;/'
breaks crypto-box 'opens the good messages among bad ones' \
    's/^			continue;/			return BURSAR_REJECT;/'

# --- all or nothing, and repetition, under SIGKILL -----------------------------

breaks sink-shelf 'stores a batch whole or not at all when it is killed' \
    's/"BEGIN IMMEDIATE"/"SELECT 1"/' 's/"COMMIT"/"SELECT 1"/'
breaks sink-shelf 'knows the keys of earlier batches' 's/seen = 1 "/seen = 0 "/'
breaks source-lines 'delivers again what was not settled at a kill' \
    's/^		at = message.token;/&\n		pwrite(source->state, \&at, 8, 0);/'
breaks source-lines 'never delivers again what was settled' \
    's/pwrite(source->state, &settled\[i\].token, 8, 0) == 8/true/'

# --- leaks, of descriptors and of secrets --------------------------------------

breaks sink-shelf 'leaves nothing behind when it is closed' \
    's/^	sqlite3_close(.*//'
breaks crypto-box 'keeps a secret that it cannot use to itself' \
    's/"key: is not 64 hex digits"/"key: %.*s", (int)key.size, key.data/'
breaks sink-shelf 'names and explains its options' \
    's/"The file of the database\."/"the file"/'
exit $status
