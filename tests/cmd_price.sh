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

echo '{"schema": 1, "models": {"noon": {"input": 1, "output": 1,
 "from": "2026-01-01T12:30:00Z", "until": "2027-01-01"}}}' >"$work/noon.json"
exits 0 price explain noon --book "$work/noon.json" --at 2026-02-01
says out 'rates    standard; since 2026-01-01T12:30:00; until 2027-01-01'

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
says out 'unknown: something was used that has no rate (output)'
exits 3 price explain maker/half --book "$book" --format json
says out '"result":"no-rate"'
says out '"missing":["output"]'
exits 3 price explain nothing --book "$book"
says out 'matched  nothing: no entry matched provider and model'
# The built-in book is behind every other one.
exits 0 price explain openai/gpt-5 --book "$book"
says out 'from builtin 2'

# Other hours, other rates: what the window leaves out is as at any time.
cat >"$work/hours.json" <<'END'
{"schema": 1, "version": "h", "models": {
 "deep": {"input": 2, "output": 8, "windows": [
  {"hours": "16:30-00:30", "days": ["fri"], "days-zone": "Asia/Shanghai",
   "input": 1}]}}}
END
exits 0 price explain deep --book "$work/hours.json" \
    --at 2026-11-19T23:00:00Z --input 10 --output 1
says out 'rates    standard, off-peak (16:30-00:30 UTC, fri in Asia/Shanghai)'
says out 'input      10  1          1M tokens  0.00001   standard, off-peak'
says out 'output      1  8          1M tokens  0.000008  standard'
says out 'rule     book:deep~off-peak provider_model'
exits 0 price explain deep --book "$work/hours.json" --format json \
    --at 2026-11-20T23:00:00Z
says out '"window":null'
exits 0 price explain deep --book "$work/hours.json" --format json \
    --at 2026-11-19T23:00:00Z
says out '"window":{"name":"off-peak","hours":"16:30-00:30 UTC, fri in Asia/Shanghai"}'
sed 's/16:30/17:30/' "$work/hours.json" >"$work/later.json"
exits 3 price check "$work/later.json" "$work/hours.json"
grep -q '^changed  deep *input~off-peak 16:30-00:30 UTC, fri in Asia/Shanghai *1 *- ' \
    "$work/out" || complain 'it tells of other hours'

# A region raises tokens, line by line, and not the call.
cat >"$work/regions.json" <<'END'
{"schema": 1, "version": "r", "models": {
 "where": {"input": 2, "output": 8, "request": 0.001, "regions": {"eu": 1.1}}}}
END
exits 0 price explain where --book "$work/regions.json" --region eu \
    --input 1000 --output 100
says out 'asked    where, region eu'
says out 'region       -  x 1.1      all tokens  0.00028   regions.eu'
says out 'sum      $0.00408'
says out 'rule     book:where^eu provider_model'
exits 0 price explain where --book "$work/regions.json" --region eu \
    --input 1000 --output 100 --format json
says out '"region_factor":1.1'
says out '"sum_usd":"0.00408"'
exits 0 price explain where --book "$work/regions.json" --region mars \
    --format json
says out '"region":"mars"'
says out '"region_factor":null'
sed 's/1.1/1.2/' "$work/regions.json" >"$work/later.json"
exits 3 price check "$work/later.json" "$work/regions.json"
grep -q '^changed  where *region eu *1.1 *1.2 *- *9.09' "$work/out" ||
	complain 'it tells of another factor'

# What is billed by the piece, each with its unit.
cat >"$work/pieces.json" <<'END'
{"schema": 1, "version": "p", "models": {
 "all": {"input": 1, "output": 2, "web_search": 0.01, "image": 0.04,
         "page": 0.001, "second": 0.0001, "character": 15},
 "paint": {"image": 0.04}}}
END
exits 0 price explain all --book "$work/pieces.json" --input 1000 \
    --web-searches 2 --images 3 --pages 4 --media-ms 1500 --characters 6
says out 'web_search      2  0.01       search         0.02      standard'
says out 'second      1,500  0.0001     1000 ms        0.00015   standard'
says out 'character       6  15         1M characters  0.00009   standard'
says out 'sum      $0.14524'
exits 0 price explain paint --book "$work/pieces.json" --input 9 --images 1
says out 'input      9  -          1M tokens  -         none: billed by pieces'
exits 3 price explain paint --book "$work/pieces.json" --input 9 --pages 3
says out 'something was used that has no rate (page)'
exits 3 price explain paint --book "$work/pieces.json"
says out 'unknown: nobody said how much was used'
exits 3 price explain maker/half --book "$book" --output 0 --input 1 \
    --web-searches 1 --format json
says out '"missing":["web_search"]'

# Of a difference each rate has the unit that books give it in.
sed 's/0.04/0.05/; s/0.0001/0.0002/; s/15/30/' "$work/pieces.json" \
    >"$work/later.json"
exits 3 price check "$work/later.json" "$work/pieces.json" --format csv
says out 'changed,all,image,0.04,0.05,image,25'
says out 'changed,all,second,0.0001,0.0002,"1000 ms",100'
says out 'changed,all,character,15,30,"1M characters",100'

# Sound and images: their rates, where they come from, and none.
cat >"$work/modal.json" <<'END'
{"schema": 1, "version": "m", "models": {
 "talk": {"input": 4, "output": 16, "cache_read": 0.4, "audio_input": 32,
          "audio_output": 64, "modes": {"batch": {"audio_input": "input"}}},
 "free": {"input": 0, "output": 0}}}
END
exits 0 price explain talk --book "$work/modal.json" --input 1000 \
    --audio-input 600 --image-input 100 --cache-read 10 --audio-cache-read 4 \
    --image-cache-read 1 --output 100 --audio-output 80 --format csv
says out 'input,300,4,"1M tokens",0.0012,standard'
says out 'audio_input,600,32,"1M tokens",0.0192,standard'
says out 'audio_cache_read,4,32,"1M tokens",0.000128,"audio_input, having none of its own"'
says out 'image_input,100,4,"1M tokens",0.0004,"input, having none of its own"'
says out 'image_cache_read,1,0.4,"1M tokens",0.0000004,"cache_read, having none of its own"'
exits 0 price explain talk --book "$work/modal.json" --mode batch --input 10 \
    --audio-input 6 --format csv
says out 'audio_input,6,4,"1M tokens",0.000024,"input, says batch"'
exits 3 price explain talk --book "$work/modal.json" --image-output 1
says out 'unknown: something was used that has no rate (image_output)'
exits 0 price explain free --book "$work/modal.json" --audio-output 1
says out 'output, having none of its own'
sed 's/"audio_input": "input"/"audio_input": 2/' "$work/modal.json" \
    >"$work/later.json"
exits 3 price check "$work/later.json" "$work/modal.json"
grep -q '^changed  talk *audio_input+batch *as text *2 *1M tokens *- *$' "$work/out" ||
	complain 'it tells of what cost as text'
sed 's/"audio_input": "input"/"audio_input": "output"/' "$work/modal.json" \
    >"$work/bad.json"
exits 3 price check "$work/bad.json"
says err 'talk: modes.batch.audio_input is "output", which is no price'

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
grep -q '^changed  maker/big *output@2026-01-01 *15 *30 *1M tokens *100' "$work/out" ||
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
grep -q '^21 models, 1 of them free; 4 entries' "$work/said" || {
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
costs 0.000001 night-1 --input 1 --output 0 --at 2026-11-19T16:30:00Z
costs 0.000001 night-1 --input 1 --output 0 --at 2026-11-20T00:29:59Z
costs 0.000002 night-1 --input 1 --output 0 --at 2026-11-20T00:30:00Z
costs 0.000004 night-1 --output 1 --at 2026-11-19T16:30:00Z
costs 0.000001 days-1 --input 1 --output 0 --at 2026-11-20T16:00:00Z
costs 0.000002 days-1 --input 1 --output 0 --at 2026-11-21T16:00:00Z
costs 0.000001 days-1 --input 1 --output 0 --at 2026-11-23T05:30:00Z
costs 0.000002 days-1 --input 1 --output 0 --at 2026-11-22T05:30:00Z
costs 0.0000022 local-1 --input 1 --output 0 --region eu
costs 0.0000024 local-1 --input 1 --output 0 --region us
costs 0.000002 local-1 --input 1 --output 0 --region mars
costs 0.0000022 vertex_ai/text-9 --region europe-west1
costs 0.0000022 place-1 --input 1 --output 0 --region us
costs 0.000036 place-1 --input 1 --output 1 --mode fast
costs 0.08 maker/paint-1 --images 2
costs 0.1 maker/1024-x-1024/paint-1 --images 2
exits 3 price explain maker/paint-1 --input 1 --book "$work/imported.json"
costs 0.00905 hear-1 --media-ms 90500
costs 0.000015 speak-1 --characters 1
costs 0.012 scan-1 --pages 12
costs 0.002 rank-1
costs 0.000116 talk-1 --input 2 --audio-input 1 --output 2 --audio-output 1
costs 0.0000055 talk-1 --input 1 --image-input 1 --cache-read 1 \
    --audio-cache-read 1
costs 0.00006 talk-1 --input 1 --audio-input 1 --mode priority
costs 0.000064 talk-1 --input 1 --audio-input 1 --mode fast
costs 16.00008 talk-1 --input 200001 --audio-input 200001 --mode fast
costs 8.00004 talk-1 --input 200001 --audio-input 200001
costs 0.00000109375 nova-1 --cache-read 2 --audio-cache-read 1 \
    --image-cache-read 1
costs 0.0000525 draw-1 --images 1 --input 1 --image-input 1 --output 1 \
    --image-output 1 --cache-read 1 --image-cache-read 1
costs 0.060003 large-1 --web-searches 2 --input 1 --output 0
costs 0.035001 gemini/seek-2 --web-searches 3 --input 1 --output 0
costs 0.042001 gemini/seek-3 --web-searches 3 --input 1 --output 0

import models.dev prices-modelsdev.json
costs 0.0006 anthropic/song-1 --cache-write-1h 100
costs 2.400012 anthropic/song-1 --cache-write-1h 200001 --input 0
costs 0.000018 anthropic/song-1 --input 1 --mode fast
costs 0.000006 think-1 --thinking 1
costs 0.544002 think-1 --input 272001
costs 0.000011 think-1 --input 2 --audio-input 1
exits 3 price explain --book "$work/imported.json" anthropic/silent-1

import cost-tracker prices-tracker.json
costs 0.0000056875 maker/one --input 1 --cache-read 1 --output 1 --mode batch
costs 0.0000025 nobodys --cache-write 1
exits 0 price import cost-tracker "$fixtures/prices-tracker.json"
says out '"version": "2026-04-27"'
sed 's/batch_/standard_/' "$fixtures/prices-tracker.json" \
    >"$work/tracker.json"
exits 0 price import cost-tracker "$work/tracker.json"
cp "$work/out" "$work/imported.json"
says err '3 prices of other things'
costs 0.00000125 maker/one --input 1 --output 0
sed 's/"priority"/"default"/' "$fixtures/prices-modelsdev.json" \
    >"$work/models.json"
exits 0 price import models.dev "$work/models.json"
cp "$work/out" "$work/imported.json"
costs 0.000003 anthropic/song-1 --input 1 --output 0 --mode fast
exits 2 price import openapi "$fixtures/prices-tracker.json"
says err 'litellm, models.dev and cost-tracker'
exits 1 price import litellm "$work/none.json"
echo '[]' >"$work/list.json"
exits 1 price import litellm "$work/list.json"
echo '{"a": {"litellm_provider": "p", "input_cost_per_token": -1}}' \
    >"$work/odd.json"
exits 3 price import litellm "$work/odd.json"
says err 'p/a: input is -1'
exits 1 price import litellm "$work/not-there"
says err "$work/not-there: No such file"
grep -q 'line -1' "$work/err" && complain 'a file that is not there has no line'

echo '{"a": {"litellm_provider": "p", "input_cost_per_token": 1e-6,
 "provider_specific_entry": {"fast": "nan"}}}' >"$work/odd.json"
exits 0 price import litellm "$work/odd.json"
says err '1 prices of other things ignored'
grep -q fast "$work/out" && complain 'what is no factor makes no mode'
echo '{"a": {"litellm_provider": "p", "input_cost_per_token": 1e-6},
 "a": {"litellm_provider": "p", "input_cost_per_token": 2e-6}}' \
    >"$work/twice.json"
exits 0 price import litellm "$work/twice.json"
says err 'line 2: duplicate object key'
says err 'the last one counts'
says out '"input": 2e-6'

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
