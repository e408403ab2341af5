#!/bin/sh
# quiet.sh COMMAND…: runs it; shows what it printed only if it failed.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" >"$log" 2>&1 && exit 0
status=$?
cat "$log" >&2
exit "$status"
