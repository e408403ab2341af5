#!/bin/sh
# soak.sh SIMULATOR SECONDS [FIRST-SEED]: one seed after the other until the time is over or
# one fails; that one's trace is shown, and the line that repeats it. Starts at the clock, so
# that every soak sees other seeds.
set -u
sim=$1
seconds=$2
seed=${3:-$(date +%s)000}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

began=$(date +%s)
count=0
while [ $(($(date +%s) - began)) -lt "$seconds" ]; do
    if ! "$sim" --seed "$seed" >"$log" 2>&1; then
        cat "$log"
        echo "seed $seed failed after $count good ones; again: $sim --seed $seed"
        exit 1
    fi
    count=$((count + 1))
    seed=$((seed + 1))
done
echo "$count seeds, none failed"
