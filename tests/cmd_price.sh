#!/bin/sh
# bursar price: what a call costs and why, two books compared, books of others.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_plugins
fixtures=$top_srcdir/tests/fixtures
book=$work/book.json

cat >"$book" <<'END'
{"schema": 1, "version": "v1", "models": {
 "maker/big": [
  {"until": "2026-01-01", "input": 1, "output": 2},
  {"from": "2026-01-01", "input": 3, "output": 15, "cache_read": 0.3,
   "tiers": [{"above": 1000, "input": 6}],
   "modes": {"batch": {"input": 1.5}}}],
 "maker/half": {"input": 2}}}
END

exits 2 price
exits 2 price explian
exits 2 price explain
exits 2 price explain one two
exits 2 price explain big --input -1
exits 2 price explain big --at soon --book "$book"
exits 2 price explain big --book "$work/none"
says err 'cannot be read'

# Line by line: 900 * 3 + 100 * 0.3 + 10 * 15 millionths of a dollar.
exits 0 price explain big --provider maker --at 2026-02-01 --input 900 \
    --cache-read 100 --output 10 --book "$book"
says out 'matched  maker/big from book v1.'
says out 'via provider_model'
says out 'rates    standard; since 2026-01-01'
says out 'input         900  3          1M tokens  0.0027    standard'
says out 'cache_read    100  0.3        1M tokens  0.00003   standard'
says out 'sum      $0.00288'
says out 'cost     $0.00288, rounded half to even'
says out 'rule     book:maker/big@2026-01-01 provider_model'

# The tier is a cliff, and a mode falls back to what it has not.
exits 0 price explain maker/big --at 2026-02-01 --input 901 --cache-read 100 \
    --mode batch --output 1 --book "$book" --format json
says out '"tier":{"rule":"above","tokens":1000}'
says out '"mode":"batch"'
says out '"price_rule":"book:maker/big@2026-01-01+batch>1000 provider_model"'
says out '"rate_of":"standard, prompts above 1000 tokens"'
says out '"rate_of":"standard"'
says out '"cost_usd":0.005451,'

exits 0 price explain maker/big --at 2025-12-31T23:59:59Z --book "$book"
says out 'cost     $0.000003'
exits 0 price explain maker/big --input 1 --thinking 1 --book "$book" \
    --format csv
says out 'reasoning,1,15,"1M tokens",0.000015,"output, having none of its own"'

exits 3 price explain maker/half --book "$book"
says out 'unknown: a sort of tokens was used that has no rate (output)'
exits 3 price explain maker/half --book "$book" --format json
says out '"result":"no-rate"'
says out '"missing":["output"]'
exits 3 price explain nothing --book "$book"
says out 'matched  nothing: no entry matched provider and model'
# The built-in book is behind every other one.
exits 0 price explain openai/gpt-5 --book "$book"
says out 'from builtin 2'

# Two books.
exits 0 price check "$book"
says out 'version v1.'
says out '2 models'
exits 0 price check "$book" "$book"
says out 'no difference'
sed -e 's/"output": 15/"output": 30/; s/"batch": {"input": 1.5}/"flex": {"input": 1}/' \
    -e 's,"maker/half": {"input": 2},"maker/new": {"input": 2},' \
    "$book" >"$work/new.json"
exits 3 price check "$work/new.json" "$book"
says out 'added    maker/new'
says out 'removed  maker/half'
grep -q '^changed  maker/big *output@2026-01-01 *15 *30 *100' "$work/out" ||
	complain 'it tells by how much'
grep -q '^changed  maker/big *input@2026-01-01+batch *1.5 *- ' "$work/out" ||
	complain 'it tells what is gone'
grep -q '^changed  maker/big *input@2026-01-01+flex *- *1 ' "$work/out" ||
	complain 'it tells what is new'
exits 3 price check "$work/new.json" "$book" --format json
says out '"differences":5'
exits 0 price check "$top_srcdir/etc/prices.json" builtin
exits 2 price check
exits 3 price check "$work/none.json"
sed 's/"input": 2/"input": "two"/' "$book" >"$work/bad.json"
exits 3 price check "$work/bad.json"
says err 'maker/half: input is "two"'
exits 3 price check "$book" "$work/bad.json"

# Books of others.
import() # FORMAT FIXTURE
{
	exits 0 price import "$1" "$fixtures/$2" --as x
	cp "$work/out" "$work/imported.json"
	cp "$work/err" "$work/said"
	exits 0 price check "$work/imported.json"
	says out 'version x.'
}

costs() # DOLLARS ARGUMENT...
{
	dollars=$1
	shift
	exits 0 price explain --book "$work/imported.json" --format json "$@"
	says out "\"sum_usd\":\"$dollars\""
}

import litellm prices-litellm.json
grep -q '^6 models, 1 of them free; 4 entries' "$work/said" || {
	cp "$work/said" "$work/err"
	complain 'litellm: what became of the entries'
}
costs 0.546875 maker/small-1 --input 1000000
costs 0.000002 maker/small-latest --output 1
costs 0.0012 large-1 --cache-write-1h 200
costs 2.399994 large-1 --input 200001 --cache-write-1h 99999 --mode none
costs 0.0000015 large-1 --input 1 --mode batch
costs 0.000006 large-1 --input 1 --mode priority
costs 2.400057 large-1 --input 200001 --mode priority --output 1 --thinking 0
costs 0.00002 large-1 --thinking 1
costs 0.000003 ranged-1 --input 1 --output 1
costs 0.128006 ranged-1 --cache-read 32001 --output 1 --input 0
costs 0.768 xai/rock-4 --input 128000
costs 0.000002 vertex_ai/text-9
costs 0 gift-1 --input 5

import models.dev prices-modelsdev.json
costs 0.0006 anthropic/song-1 --cache-write-1h 100
costs 2.400012 anthropic/song-1 --cache-write-1h 200001 --input 0
costs 0.000018 anthropic/song-1 --input 1 --mode fast
costs 0.000006 think-1 --thinking 1
costs 0.544002 think-1 --input 272001
exits 3 price explain --book "$work/imported.json" anthropic/silent-1

import cost-tracker prices-tracker.json
costs 0.0000056875 maker/one --input 1 --cache-read 1 --output 1 --mode batch
costs 0.0000025 nobodys --cache-write 1
exits 0 price import cost-tracker "$fixtures/prices-tracker.json"
says out '"version": "2026-04-27"'
exits 2 price import openapi "$fixtures/prices-tracker.json"
says err 'litellm, models.dev and cost-tracker'
exits 1 price import litellm "$work/none.json"
echo '[]' >"$work/list.json"
exits 1 price import litellm "$work/list.json"
echo '{"a": {"litellm_provider": "p", "input_cost_per_token": -1}}' \
    >"$work/odd.json"
exits 3 price import litellm "$work/odd.json"
says err 'p/a: input is -1'

# Without --book the configuration says which books there are.
needs source_file sink_sqlite
cat >"$work/bursar.yaml" <<END
sources: {in: {plugin: file, path: $work/in}}
sinks: {ledger: {plugin: sqlite, path: $work/ledger.db}}
prices: {book: book.json, overrides: {maker/big: {input: 7, output: 7}}}
state-dir: $work/state
END
exits 0 -c "$work/bursar.yaml" price explain maker/big
says out 'from override override.'
says out 'cost     $0.000014'
exits 0 -c "$work/bursar.yaml" check
says out 'prices: book: version v1.'
exit $status
