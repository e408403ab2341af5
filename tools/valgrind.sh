#!/bin/sh
# valgrind.sh BUILD: what ASan cannot see, reads of memory that nobody wrote: unit programs,
# some seeds, and one served and synced folder, each under memcheck. The last line is
# `N passed, N failed`.
set -u
build=$(realpath "$1")
work=$(mktemp -d)
passed=0
failed=0
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
export HOME="$work" XDG_STATE_HOME="$work/state" XDG_CONFIG_HOME="$work/config"
memcheck='valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'

# check NAME COMMAND…: under valgrind, and it succeeds.
check() {
    name=$1
    shift
    if $memcheck "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        tail -n 40 "$work/log"
        echo "FAILED $name under valgrind"
    fi
}

# Not under it: what hashes or waits for the disk for a minute then, and what watches the clock.
for program in "$build"/tests/test_*; do
    case $program in
    *_blake3 | *_chunker | *_engine_source | *_native_publish) continue ;;
    *_native_conn | *_native_loop) continue ;;
    esac
    [ -f "$program" ] && check "$(basename "$program")" "$program"
done
check sim "$build/acequia-sim" --seeds 1..3 --twice 0

# A tree to work on: this repository's own sources, and one file of several chunks.
mkdir "$work/tree"
cp -r "$(dirname "$0")/../engine" "$work/tree/"
head -c 9000000 "$build/acequia-sim" >"$work/tree/big"
cat "$build/acequia" "$build/acequia-sim" >>"$work/tree/big"
check 'sync of two paths' "$build/acequia" sync -q "$work/tree/" "$work/copy"

$memcheck "$build/acequia" serve --listen 127.0.0.1:0 --json "$work/tree" \
    >"$work/serve" 2>"$work/serve-errors" &
server=$!
url=
for _ in $(seq 100); do
    url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$work/serve")
    [ -n "$url" ] && break
    sleep 0.2
done
check 'sync over TLS' "$build/acequia" sync -q "$url" "$work/pulled"
printf x | dd of="$work/tree/big" bs=1 seek=3000000 conv=notrunc 2>/dev/null
check 'sync of a change' "$build/acequia" sync -q "$url" "$work/pulled"
kill -TERM "$server"
wait "$server"
case $? in
0 | 20)
    passed=$((passed + 1))
    ;;
*)
    failed=$((failed + 1))
    tail -n 40 "$work/serve-errors"
    echo "FAILED serve under valgrind"
    ;;
esac
server=
if diff -r "$work/tree" "$work/pulled" >/dev/null; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "FAILED: the trees differ"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
