# lib.sh: what the end-to-end scripts share; sourced, not run. ACEQUIA names the program. Each
# script works in a temporary directory of its own ($work, removed at the end), with its own
# state and settings, and ends with `finish`, which prints `N passed, N failed`.
#
# Trees are compared by rsync, diff and b3sum, never by the program itself. Kept are names,
# types, contents, times and the owner's right to execute; so rsync compares with -E (that
# right) instead of -p (all permissions) and without owners.
# shellcheck shell=bash
set -u
export LC_ALL=C
program=$(realpath "${ACEQUIA:-build/acequia}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Scripts that make very many or very large files say in_memory=yes: there they wait for no disk.
if [ "${in_memory-}" ] && [ -z "${TMPDIR-}" ] && [ -w /dev/shm ] &&
    [ "$(df -Pk /dev/shm | awk 'NR == 2 { print $4 }')" -gt 4000000 ]; then
    TMPDIR=/dev/shm
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/acequia-e2e.XXXXXX") || exit 1
children=()
mounts=()
passed=0
failed=0
url=
server=
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
cd "$work" || exit 1
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config HOME=$work
for name in $(env | sed -n 's/^\(ACEQUIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
unset ACEQUIA NO_COLOR

# Under sanitizers everything is several times slower: the same jobs, smaller.
if grep -q __asan_init "$program"; then sanitized=yes; else sanitized=; fi

cleanup() {
    local pid
    for pid in ${children[@]+"${children[@]}"}; do
        kill -CONT "$pid" 2>/dev/null
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    for mount in ${mounts[@]+"${mounts[@]}"}; do umount -l "$mount" 2>/dev/null; done
    rm -rf "$work"
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# verdict NAME STATUS TEXT…: counts; what failed is told with what the program printed last.
verdict() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
        return 0
    fi
    failed=$((failed + 1))
    echo "FAILED: $1: ${*:3}"
    tail -n 4 out err 2>/dev/null | cut -c1-400
    return 1
}

ok() { # ok NAME COMMAND…: the command succeeds
    "${@:2}"
    verdict "$1" $? "${*:2}"
}

no() { # no NAME COMMAND…: it does not
    ! "${@:2}"
    verdict "$1" $? "not expected: ${*:2}"
}

bound() { # bound NAME VALUE MAX: a number is there and not too large
    [ -n "$2" ] && [ "$2" -le "$3" ]
    verdict "$1" $? "${2:-nothing} is more than $3"
}

skip() { # skip NAME WHY: said aloud, counted nowhere
    echo "skipped: $1: $2"
}

# code NAME EXIT ARGUMENTS…: acequia ends with that exit code; output in out and err.
code() {
    local got
    # shellcheck disable=SC2086 # a prefix of words
    timeout "${limit:-100}" ${user-} "$program" "${@:3}" >out 2>err
    got=$?
    [ "$got" = "$2" ]
    verdict "$1" $? "exit $got, not $2: acequia ${*:3}"
}

code_among() { # code_among NAME EXITS ARGUMENTS…: with one of these
    local got
    timeout 100 "$program" "${@:3}" >out 2>err
    got=$?
    [[ " $2 " == *" $got "* ]]
    verdict "$1" $? "exit $got, none of $2: acequia ${*:3}"
}

# sync NAME ARGUMENTS…: succeeds; $wire bytes above TLS, $literal content, $files.
sync() {
    code "$1" 0 sync --json "${@:2}"
    count
}

count() { # takes the figures of the last run from out
    wire=$(($(member bytes_sent) + $(member bytes_received)))
    literal=$(member bytes_literal)
    files=$(member files)
}

member() { # member NAME: a number or word from the last line of JSON in out; 0 if none
    local value
    value=$(tail -n 1 "${2:-out}" 2>/dev/null | sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p")
    echo "${value:-0}"
}

differences() { # differences A B: as rsync and diff see them
    rsync -nrltcE -i --delete "$1/" "$2/" 2>&1
    diff -rq --no-dereference "$1" "$2" 2>&1
}

same() { # same A B: equal trees
    local found
    found=$(differences "$1" "$2" | head -n 5)
    [ -z "$found" ] && return 0
    echo "$found"
    return 1
}

same_hashes() { # same_hashes A B: b3sum says the same of every file
    local a b
    a=$(cd "$1" && find . -type f -print0 | sort -z | xargs -0 b3sum | b3sum)
    b=$(cd "$2" && find . -type f -print0 | sort -z | xargs -0 b3sum | b3sum)
    [ "$a" = "$b" ]
}

nothing_left() { # nothing_left DIR: no staging is there
    [ -z "$(find "$1" -name '.acequia*' ! -name .acequiaignore)" ]
}

start() { # start COMMAND…: in the background; $! is its number, cleanup ends it
    "$@" &
    children+=($!)
}

await() { # await SECONDS COMMAND…: until it succeeds
    local until=$(($(date +%s) + $1))
    while ! "${@:2}"; do
        [ "$(date +%s)" -ge "$until" ] && return 1
        sleep 0.03
    done
}

# serve ARGUMENTS…: starts a server on a free port: $url, $port, $server.
serve() {
    : >serve.log
    # shellcheck disable=SC2086 # a prefix of words
    start ${serve_user-} "$program" serve --json --listen "127.0.0.1:${at_port:-0}" "$@" >serve.log 2>serve.err
    server=$!
    await 20 grep -q '"listening"' serve.log || { cat serve.err; echo 'FAILED: no server'; }
    url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' serve.log | head -n 1)
    port=${url#*://*:}
    port=${port%%/*}
}

stop() { # stop [SIGNAL]: ends the last server
    kill "-${1:-TERM}" "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=
}

# through OPTIONS…: a proxy before the server; its URL in $proxied (see proxy.mjs).
through() {
    : >proxy.log
    start node "$here/proxy.mjs" "$port" "$@" >proxy.log
    proxy=$!
    await 20 grep -q port proxy.log || echo 'FAILED: no proxy'
    proxied=${url/:$port\//:$(sed -n 's/^port //p' proxy.log)/}
}

random() { # random SIZE [SEED]: bytes that nobody can compress, always the same
    openssl enc -aes-128-ctr -nosalt -pass "pass:${2:-1}" -md sha256 </dev/zero 2>/dev/null |
        head -c "$1"
}
