#!/bin/bash
# demo.sh: the main job on this machine's own files, over TLS on loopback: serve a tree with one
# big file, sync it to an empty folder, kill that half-way, go on, change one byte, rename a
# directory. Beside each step stands what rsync sends for the same; after each the trees are
# compared by rsync, or by diff where there is no rsync. Takes a minute or two; needs three
# times the tree's size below $TMPDIR and leaves nothing there. ACEQUIA names the program,
# SIZE the big file's megabytes.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
program=$(realpath "${ACEQUIA:-${BUILD:-build}/acequia}") || exit 1
size_mb=${SIZE:-768}

work=$(mktemp -d "${TMPDIR:-/tmp}/acequia-demo.XXXXXX") || exit 1
server=
client=
finish() {
    [ -n "$client" ] && kill -KILL "$client" 2>/dev/null
    [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP
cd "$work" || exit 1
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config
for name in $(env | sed -n 's/^\(ACEQUIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done

fail() {
    echo "demo: $*" >&2
    exit 1
}

# ---- the tree: files as they are in /usr, and a tar of parts of it

room_mb=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024 - 500))
[ "$size_mb" -gt $((room_mb / 4)) ] && size_mb=$((room_mb / 4))
[ "$size_mb" -ge 100 ] || fail "too little room in ${TMPDIR:-/tmp}"

mkdir tree
for from in /usr/include /usr/share/doc /usr/share/perl5 /usr/share/zoneinfo /usr/lib/python3; do
    [ -d "$from" ] && [ "$(find tree | wc -l)" -lt 5000 ] &&
        cp -a "$from" tree/ 2>/dev/null
done
renamed=$(du -s tree/*/ | sort -n | tail -n 1 | cut -f2)
# Whole subdirectories, in the order of their names, as long as they fit.
printf '%s\0' /usr/bin /usr/lib/*/ /usr/share/*/ | du -xsm --files0-from=- 2>/dev/null |
    awk -F '\t' -v most="$size_mb" '
        $1 + sum <= most { sum += $1; print substr($2, 2) }' >parts
tar -cf tree/usr.tar -C / --files-from=parts 2>/dev/null
big=$(stat -c %s tree/usr.tar)
[ "$big" -ge 10000000 ] || fail 'there is hardly anything in /usr'

# ---- how things are shown

bytes() { # bytes N: 1234567 → 1.23 MB
    awk -v n="$1" 'BEGIN {
        split("B kB MB GB", unit, " ")
        for (i = 1; n >= 999.5 && i < 4; i++) n /= 1000
        printf i == 1 ? "%d %s" : n < 9.995 ? "%.2f %s" : n < 99.95 ? "%.1f %s" : "%.0f %s", n, unit[i]
    }'
}

count() { # 1234567 → 1,234,567
    echo "$1" | sed -e ':a' -e 's/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/;ta'
}

member() { # member NAME: a number of the last line of JSON in $work/out
    sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p" out | tail -n 1
}

row() { # row NAME FILES WIRE RSYNC SECONDS VERDICT
    printf '%-38s %7s %11s %11s %7s  %s\n' "$@" | sed 's/ *$//'
}

# Everything that a sync promises: names, types, contents, times, the right to execute.
identical() {
    if command -v rsync >/dev/null; then
        [ -z "$(rsync -nrltcE -i --delete tree/ copy/ 2>&1)" ]
    else
        diff -r --no-dereference tree copy >/dev/null
    fi
}

# rsync's own work on the same change: from tree to a copy of its own. Its two processes talk
# through a pipe, as they would through ssh; --no-whole-file lets it use its delta, --stats says
# what went through. Nothing where there is no rsync.
theirs() {
    command -v rsync >/dev/null || return
    rsync -a --delete --no-whole-file --stats tree/ theirs/ |
        awk '/^Total bytes (sent|received)/ { gsub(",", ""); sum += $4 } END { print sum }'
}

# step NAME OPTIONS…: one sync, and its row.
step() {
    local name=$1 rsync
    shift
    "$program" sync --json "$@" "$url" copy >out || fail "'$name': $(tail -n 1 out)"
    wire=$(($(member bytes_sent) + $(member bytes_received)))
    rsync=$(theirs)
    identical || fail "the trees differ after '$name'"
    row "$name" "$(count "$(member files)")" "$(bytes "$wire")" \
        "${rsync:+$(bytes "$rsync")}" "$(printf '%.1f s' "$(member seconds)")" identical
}

# ---- the job

total=$(find tree -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%d", sum }')
mkfifo pipe
"$program" serve --json --listen 127.0.0.1:0 tree >pipe &
server=$!
read -r line <pipe || fail 'the server does not start'
url=$(echo "$line" | sed -n 's/.*"url":"\([^"]*\)".*/\1/p')
port=${url#*://*:}
port=${port%%/*}

echo "$(count "$(find tree -type f | wc -l)") files of /usr, $(bytes "$total");" \
    "the largest is a tar of $(bytes "$big")"
echo "acequia serve tree; acequia sync ${url%"${url#*\#??????}"}... copy"
echo
row '' files 'on the wire' "rsync's" time 'both trees'

# SIGKILL as soon as the client says that 45 % have come.
"$program" sync --json --bwlimit=off:250M "$url" copy >pipe &
client=$!
while read -r line; do
    echo "$line" >out
    received=$(member bytes_received)
    [ "$received" -gt $((total / 100 * 45)) ] && break
done <pipe
# It is frozen first, so that its connection's own count can be read where ss is installed; what
# the client said is a little old.
kill -STOP "$client" 2>/dev/null || fail 'it was done before it could be killed; try a larger SIZE'
first=$(ss -tin "sport = :$port" 2>/dev/null | grep -o 'bytes_acked:[0-9]*' | cut -d: -f2)
kill -KILL "$client"
wait "$client" 2>/dev/null
client=
[ "${first:-0}" -ge "$received" ] || first=$received
row "first sync, SIGKILL after $(bytes "$first")" "$(count "$(member files_done)")" \
    "$(bytes "$first")" '' '' ''
[ -z "$(find copy -name usr.tar)" ] || fail 'half a file is visible'

# rsync is killed likewise; what it needs then is its figure for the second step.
if command -v rsync >/dev/null; then
    rsync -a --no-whole-file tree/ theirs/ 2>/dev/null &
    client=$!
    while kill -0 "$client" 2>/dev/null; do
        there=$(du -sk theirs 2>/dev/null | cut -f1)
        [ "${there:-0}" -gt $((total / 1024 * 45 / 100)) ] && break
        sleep 0.02
    done
    kill -KILL "$client" 2>/dev/null
    wait "$client" 2>/dev/null
    client=
fi

step 'the same command again: it goes on'
[ $((first + wire - total)) -le $((67108864 + total / 100)) ] || fail 'too much was sent twice'
echo "  (together $(count $(((first + wire) / 1000))) kB on the wire for $(count $((total / 1000))) kB of files)"
step 'nothing has changed'

printf '\377' | dd of=tree/usr.tar bs=1 seek=$((big / 2)) conv=notrunc 2>/dev/null
step 'one byte of the tar has changed'

inside=$(find "$renamed" -type f | wc -l)
mv "$renamed" tree/renamed
step "$(count "$inside") files' directory renamed, --delete" --delete

echo
command -v rsync >/dev/null &&
    echo "rsync's: the bytes that rsync $(rsync --version | sed -n 's/^rsync  version \([^ ]*\).*/\1/p') -a" \
        '--delete --no-whole-file sends and receives for the same'
