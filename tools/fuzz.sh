#!/bin/sh
# fuzz.sh SECONDS [NAME…]: builds every tests/fuzz/fuzz_*.c (or the named ones) with
# libFuzzer, ASan and UBSan, and runs each for that long, from tests/fuzz/corpus-NAME where
# there is one and from what earlier runs found (BUILD-fuzz). A crash leaves its input there
# and says how to repeat it. Names with fuzz_native_ link the native host too.
set -eu
cd "$(dirname "$0")/.."
seconds=$1
shift
[ $# -gt 0 ] || set -- $(find tests/fuzz -name 'fuzz_*.c' -exec basename {} .c \; | sort)
out=${BUILD:-build}-fuzz
flags="-std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer-no-link,address,undefined
    -fno-sanitize-recover=all -Iinclude -Iengine -Ihost/native -I."
libs=$(pkg-config --libs libuv gnutls sqlite3)

# The engine and the host as one archive, from which each target takes what it calls.
rm -rf "$out/objects"
mkdir -p "$out/objects"
# shellcheck disable=SC2086 # lists of words
find engine host/native -name '*.c' ! -path engine/wasm.c | while read -r source; do
    echo "$source $out/objects/$(echo "$source" | tr / _).o"
done | xargs -L 1 -P "${JOBS:-2}" sh -c 'clang-19 '"$(echo $flags)"' -c "$0" -o "$1"'
ar rcs "$out/libacequia.a" "$out"/objects/*.o

for name in "$@"; do
    # shellcheck disable=SC2086
    clang-19 $flags -fsanitize=fuzzer "tests/fuzz/$name.c" "$out/libacequia.a" $libs \
        -lhttp_parser -o "$out/$name"
    mkdir -p "$out/found-$name"
    kept=tests/fuzz/corpus-${name#fuzz_}
    [ -d "$kept" ] || kept=
    # shellcheck disable=SC2086 # may be empty
    tools/quiet.sh "$out/$name" -max_total_time="$seconds" -timeout=10 -max_len=4096 \
        -artifact_prefix="$out/$name-" "$out/found-$name" $kept || {
        echo "$name found something; again: $out/$name $out/$name-…"
        exit 1
    }
    echo "$name: nothing found in $seconds s"
done
