#!/bin/sh
# run-tests.sh [GROUP…]: runs the tests, all groups if none is named; shows the output of
# what failed; the last line is `N passed, N failed`. Each runner ends with such a line of
# its own; one that does not, or that ends with an error and blames no test, counts as a
# failure. See docs/TESTING.md.
#   tidy   the layer rules and other rules about the tree itself
#   unit   tests/unit, native
#   sim    the simulator: a fixed list of seeds, and one crash or cut everywhere in one
#   wasm   tests/unit as WASM in Node; seeds give the same ops and bytes there
#   e2e    tests/e2e: the program as a person uses it
#   asan   unit and sim once more under ASan and UBSan, and e2e with such a program
#   valgrind   unit, a few seeds, and a sync over TLS under memcheck
set -u
cd "$(dirname "$0")/.." || exit 1

build=${BUILD:-build}
groups=${*:-tidy unit sim wasm e2e asan valgrind}
mkdir -p "$build"
log=$build/test-log
counts=$build/test-counts
passed=0
failed=0
rm -f "$counts"

# run NAME SECONDS COMMAND…: runs one runner and adds up its counts.
run() {
    name=$1 limit=$2
    shift 2
    began=$(date +%s)
    timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null
    status=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    good=${line%% *}
    bad=${line#*, }
    bad=${bad%% *}
    if [ -z "$line" ] || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        good=${good:-0}
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    took=$(($(date +%s) - began))
    if [ "$bad" -eq 0 ]; then
        printf 'ok    %-36s %4d passed, %d s\n' "$name" "$good" "$took"
    else
        tail -n 150 "$log" | sed 's/^/    /'
        [ "$status" -eq 124 ] && echo "    stopped: it took longer than $limit s"
        printf 'FAIL  %-36s %4d passed, %d failed, exit %d, %d s\n' \
            "$name" "$good" "$bad" "$status" "$took"
    fi
}

# make_or_fail GROUP TARGET: a build that fails is a failed test.
make_or_fail() {
    make --no-print-directory BUILD="$build" "$2" >"$log" 2>&1 && return 0
    tail -n 60 "$log" | sed 's/^/    /'
    printf 'FAIL  %-36s it does not build (make %s)\n' "$1" "$2"
    failed=$((failed + 1))
    return 1
}

unit_programs() {
    find "$1/tests" -maxdepth 1 -name 'test_*' -type f -perm -u+x | LC_ALL=C sort
}

run_units() {
    for program in $(unit_programs "$1"); do
        run "$2$(basename "$program")" 120 "$program"
    done
}

# run_sim BUILD NAME SEEDS: worlds with every trouble, and some whose links change bytes.
run_sim() {
    run "$2sim" 300 "$1/acequia-sim" --seeds "1..$3"
    run "$2sim corrupt" 300 "$1/acequia-sim" --corrupt --seeds 1..30
}

run_e2e() {
    for script in tests/e2e/*.sh; do
        [ -x "$script" ] || continue
        ACEQUIA=$PWD/$1/acequia run "$2$(basename "$script" .sh)" 300 "$script"
    done
}

export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
for group in $groups; do
    case $group in
    tidy) run tidy 60 tools/tidy.sh ;;
    unit) make_or_fail unit unit-build && run_units "$build" '' ;;
    sim)
        make_or_fail sim sim-build && {
            run_sim "$build" '' 1000
            run 'sim sweep' 300 "$build/acequia-sim" --sweep --seed 1
        }
        ;;
    wasm)
        make_or_fail wasm wasm-build && make_or_fail wasm unit-build &&
            make_or_fail wasm sim-build && {
            # shellcheck disable=SC2046 # a list of names
            run wasm 300 node tools/wasm-tests.mjs \
                $(find "$build/wasm/tests" -name 'test_*.wasm' | LC_ALL=C sort)
            run 'wasm sim' 300 node tools/wasm-sim.mjs \
                "$build/acequia-sim.wasm" "$build/acequia-sim" 1..100
        }
        ;;
    e2e) make_or_fail e2e all && run_e2e "$build" 'e2e ' ;;
    asan)
        make_or_fail asan asan-build && {
            run_units "$build-asan" 'asan '
            run_sim "$build-asan" 'asan ' 100
            run_e2e "$build-asan" 'asan e2e '
        }
        ;;
    valgrind)
        make_or_fail valgrind unit-build && make_or_fail valgrind sim-build &&
            run valgrind 600 tools/valgrind.sh "$build"
        ;;
    *)
        echo "run-tests.sh: no group is called '$group'" >&2
        failed=$((failed + 1))
        ;;
    esac
done

echo "$passed passed, $failed failed" | tee "$counts"
[ "$failed" -eq 0 ]
