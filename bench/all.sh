#!/bin/bash
# all.sh: `make bench`. Measures Acequia and rsync on the same seeded data, in turn, and prints
# docs/BENCHMARKS.md's tables; the raw figures stay in $RESULTS. As root (it makes two network
# namespaces and removes them again). About 15 minutes at full size on two quiet cores.
#
#   RUNS=3         each figure is the median of so many runs
#   SIZE=2G        the big file
#   FILES=100000   the small files, in FILES/100 directories
#   ROWS='hash fresh edits killed tree renamed memory'   which groups of rows
#   SHM=/dev/shm   memory file system with room for four times SIZE
#   DISK=          directory with 25 GB of room; if given, the group memory measures with a file
#                  of HUGE=10G and MANY=1000000 files there
#   RESULTS=$BUILD/bench.tsv, ACEQUIA=$BUILD/acequia, BUILD=build
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${BUILD:-build}") || exit 1
tools/quiet.sh ninja -C "$build" acequia bench-data bench-gen bench-meter || exit 1
if [ "$(id -u)" -ne 0 ]; then
    exec sudo --preserve-env=RUNS,SIZE,FILES,ROWS,SHM,DISK,HUGE,MANY,RESULTS,ACEQUIA,BUILD "bench/$(basename "$0")"
fi

runs=${RUNS:-3}
size=${SIZE:-2G}
files=${FILES:-100000}
rows=" ${ROWS:-hash fresh edits killed tree renamed memory} "
acequia=$(realpath "${ACEQUIA:-$build/acequia}") || exit 1
results=${RESULTS:-$build/bench.tsv}
shm=${SHM:-/dev/shm}
for name in $(env | sed -n 's/^\(ACEQUIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
# shellcheck source=bench/lib.sh
. bench/lib.sh
gen=$build/bench-gen

wanted() { # wanted GROUP
    case $rows in *" $1 "*) ;; *) return 1 ;; esac
}

: >"$results" || exit 1
hosts_open "$shm"
src=$work/src dst=$work/dst want=''

start_over() { # start_over: an empty destination, and nobody remembers anything
    rm -rf "$dst"
    mkdir "$dst"
    state_forget
}

# ---- how fast one core reads, cuts and hashes: best of a few rounds, in memory

if wanted hash; then
    "$build/bench-data" | tee "$work/hash" >&2
    sed -n 's/^  \(.*[^ ]\)  *\([0-9.]*\) GB\/s$/hash\t\1\t1\t\2/p' "$work/hash" >>"$results"
fi

# ---- one big file: fresh; changed in five ways, with the old one at the destination

if wanted fresh || wanted edits || wanted killed; then
    mkdir "$src"
    "$gen" file "$src/big.bin" "$size"
    bytes=$(stat -c %s "$src/big.bin")
    free=$(($(df -Pk "$shm" | awk 'NR == 2 { print $4 }') * 1024))
    wanted edits && [ "$free" -lt $((3 * bytes)) ] && fail "$shm has no room for 4 x SIZE"
    want=$(digest "$src")
fi

if wanted fresh; then
    for ((run = 1; run <= runs; run++)); do
        for tool in acequia rsync-ssh acequia-plain rsync; do
            row=fresh-plain
            case $tool in acequia | rsync-ssh) row=fresh-tls ;; esac
            start_over
            measure $row $tool $run "$src" "$dst" "$bytes"
        done
    done
fi

if wanted edits; then
    mkdir "$work/edit"
    for kind in byte1 ow100 ins1m ins7b move100m; do
        "$gen" edit $kind "$src/big.bin" "$work/edit/big.bin"
        want=$(digest "$work/edit")
        for ((run = 1; run <= runs; run++)); do
            for tool in acequia rsync; do
                start_over
                cp -p "$src/big.bin" "$dst/"
                measure $kind $tool $run "$work/edit" "$dst"
            done
        done
    done
    rm -rf "$work/edit"
    want=$(digest "$src")
fi

# ---- the receiver is killed when half has come; the second run goes on. The link is slowed
# down so that half-way can be hit. Figures are the second run's, bytes both runs'.

if wanted killed; then
    link_limit 2gbit
    for ((run = 1; run <= runs; run++)); do
        for tool in acequia rsync; do
            start_over
            tool_start $tool "$src" "$dst"
            read -r start up < <(wire)
            setsid nsenter --net="/run/netns/$host_b" "${client[@]}" >/dev/null 2>&1 &
            victim=$!
            at=$start
            while [ $((at - start)) -lt $((bytes / 2)) ] && kill -0 $victim 2>/dev/null; do
                sleep 0.05
                read -r at _ < <(wire)
            done
            kill -KILL -- -$victim
            wait $victim 2>/dev/null
            sleep 0.5
            "$build/bench-meter" -n "$host_b" -o "$work/client.cost" "${client[@]}" \
                >"$work/client.out" 2>"$work/client.err"
            read -r at up_end < <(wire)
            tool_stop
            record killed $tool $run $((at - start)) $((up_end - up)) "$dst" "$bytes"
        done
    done
    link_limit none
fi
rm -rf "$src"

# ---- many small files: fresh; nothing changed, warm; nothing changed, nobody remembers
# anything; 100 changed, warm

if wanted tree; then
    for ((run = 1; run <= runs; run++)); do
        for tool in acequia rsync-ssh rsync; do
            "$gen" tree "$src" "$files" $((files / 100)) 4096
            want=$(digest "$src")
            start_over
            measure tree-fresh $tool $run "$src" "$dst"
            measure tree-same $tool $run "$src" "$dst"
            state_forget
            measure tree-cold $tool $run "$src" "$dst"
            changed=$("$gen" touch "$src" "$files" $((files / 100)) 100)
            want=$(digest "$src")
            measure tree-100 $tool $run "$src" "$dst" "$changed"
        done
    done
    rm -rf "$src"
fi

# ---- a directory of a fifth of the files, ten times as large each, gets another name

if wanted renamed; then
    mkdir "$src"
    "$gen" tree "$src/photos" $((files / 5)) 100 32563
    for ((run = 1; run <= runs; run++)); do
        for tool in acequia rsync; do
            start_over
            pull $tool "$src" "$dst"
            mv "$src/photos" "$src/pictures"
            want=$(digest "$src")
            measure renamed $tool $run "$src" "$dst"
            mv "$src/pictures" "$src/photos"
        done
    done
fi
rm -rf "$src" "$dst"

# ---- peak memory: too large for a memory file system, so the walls are the disk's

if wanted memory && [ -n "${DISK:-}" ]; then
    disk=$(mktemp -d "$DISK/acequia-bench.XXXXXX") || exit 1
    trap 'rm -rf "$disk"; hosts_close' EXIT
    src=$disk/src dst=$disk/dst want=''
    mkdir "$src"
    "$gen" file "$src/big.bin" "${HUGE:-10G}"
    start_over
    measure memory-10g acequia 1 "$src" "$dst"
    rm -rf "$src" "$dst"
    "$gen" tree "$src" "${MANY:-1000000}" 10000 64
    start_over
    measure memory-million acequia 1 "$src" "$dst"
    rm -rf "$src" "$dst"
fi

bench/table.sh "$results"
