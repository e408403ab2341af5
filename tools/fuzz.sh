#!/bin/sh
# fuzz.sh SECONDS: builds every tests/fuzz/fuzz_*.c with libFuzzer, ASan and UBSan, and runs
# each for that long from tests/fuzz/corpus-NAME (kept) and what earlier runs found
# (BUILD-fuzz). A crash leaves its input there and says how to repeat it.
set -eu
cd "$(dirname "$0")/.."
out=${BUILD:-build}-fuzz
mkdir -p "$out"

for source in tests/fuzz/fuzz_*.c; do
    [ -f "$source" ] || { echo "fuzz.sh: no tests/fuzz/fuzz_*.c"; exit 0; }
    name=$(basename "$source" .c)
    # shellcheck disable=SC2046 # names without spaces
    clang-19 -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
        -Iinclude -Iengine -I. "$source" \
        $(find engine -name '*.c' ! -name wasm.c | sort) -o "$out/$name"
    mkdir -p "$out/found-$name"
    kept=tests/fuzz/corpus-${name#fuzz_}
    [ -d "$kept" ] || kept=
    echo "$name for $1 s"
    # shellcheck disable=SC2086 # may be empty
    tools/quiet.sh "$out/$name" -max_total_time="$1" -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$out/$name-" "$out/found-$name" $kept ||
        { echo "$name found something; again: $out/$name $out/$name-…"; exit 1; }
done
