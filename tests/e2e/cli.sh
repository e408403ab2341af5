#!/bin/bash
# shellcheck disable=SC2016,SC2013 # quoted for an inner shell; words without spaces
# cli.sh: the command as a person meets it: bad input, exit codes, what is printed where, and
# what SRC, DST and the options mean. Trees are compared by rsync, diff and b3sum, not by us.
# ACEQUIA names the program. The last line is `N passed, N failed`.
set -u
export LC_ALL=C
program=$(realpath "${ACEQUIA:-build/acequia}")
source_root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
servers=()
passed=0
failed=0
trap 'stop_servers; rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config HOME=$work
unset NO_COLOR ACEQUIA
for name in $(env | sed -n 's/^\(ACEQUIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done

# shellcheck disable=SC2086 # a prefix of words
acequia() { timeout 60 ${as-} "$program" "$@"; }

ok() { # ok NAME COMMAND…: the command succeeds
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name: $*"
        tail -n 5 out err 2>/dev/null
    fi
}

# code NAME EXIT ARGUMENTS…: acequia ends with that exit code; output in out and err.
code() {
    local name=$1 want=$2 got
    shift 2
    acequia "$@" >out 2>err
    got=$?
    if [ "$got" = "$want" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name: exit $got, not $want: acequia $*"
        tail -n 5 out err
    fi
}

same() { # same A B: equal trees, asked of rsync and diff
    [ -z "$(rsync -naci --delete --no-owner --no-group --no-perms "$1/" "$2/" 2>&1)" ] &&
        diff -r --no-dereference "$1" "$2" >/dev/null
}

# serve NAME ARGUMENTS…: starts a server; its URL in $url.
serve() {
    local log=$work/$1.log
    shift
    "$program" serve --json --listen 127.0.0.1:0 "$@" >"$log" 2>"$log.err" &
    servers+=($!)
    for _ in $(seq 100); do
        grep -q listening "$log" && break
        sleep 0.05
    done
    url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$log" | head -n 1)
}

stop_servers() {
    [ ${#servers[@]} -gt 0 ] && kill "${servers[@]}" 2>/dev/null && wait "${servers[@]}" 2>/dev/null
    servers=()
}

member() { # member NAME <LINE: a number or text from a line of JSON
    sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" | tail -n 1
}

tree_make() { # a small tree with odd names
    mkdir -p "$1/dir/deep" "$1/empty" "$1/.hidden"
    printf 'hello\n' >"$1/file"
    printf 'x' >"$1/dir/deep/x"
    head -c 300000 /dev/urandom >"$1/dir/big"
    : >"$1/dir/nothing"
    printf 'odd' >"$1/dir/with space"
    printf 'odd' >"$1/dir/new
line"
    printf 'odd' >"$1/dir/esc"$'\e'"[31mred"
    printf 'odd' >"$1/dir/-dash"
    printf 'odd' >"$1/dir/back\\slash"
    printf 'odd' >"$1/dir/café"
    printf 'odd' >"$1/.hidden/.dot"
    ln -s ../file "$1/dir/link"
    ln -s /nowhere "$1/dir/dangling"
    chmod +x "$1/file"
    touch -d '2001-02-03 04:05:06.789' "$1/dir/deep/x"
    touch -d '1999-01-01' "$1/dir/deep"
}

# ---- words: usage, help, errors

code 'no command' 1
code 'an unknown command' 1 frobnicate
ok 'it is named' grep -q frobnicate err
code 'help' 0 help
code 'help of a command' 0 help sync
code 'help by flag' 0 sync --help
code 'lone -h' 0 serve -h
code 'version' 0 version
ok 'version is printed' grep -q '^acequia [0-9]' out
code 'version by flag' 0 --version
for command in sync serve check diff hash status; do
    code "$command: an unknown option" 1 $command --no-such-option
    ok "$command: it is named" grep -q -e --no-such-option err
done
code 'one operand' 1 sync a
code 'three operands' 1 sync a b c
code 'no folder' 1 serve
code 'a bad size' 1 sync --max-transfer=much a b
code 'a bad rate' 1 sync --bwlimit=1M:2M:3M a b
code 'a bad limit' 1 sync --max-delete=200% a b
code 'a missing value' 1 sync a b --timeout
code 'a token on the command line' 1 sync --token=secret a b
code 'rsync -z' 1 sync -avz a b
code 'both URLs' 1 sync acequia://a/x acequia://b/y
code 'another scheme' 1 sync https://a/x b
code 'a broken URL' 1 sync acequia://host:port/x b
code 'a bad pattern' 1 sync --exclude='[a' . b
code 'an escape in the error' 1 sync $'a\e[31mb' c --bwlimit=$'\e[31m'
ok 'it is shown, not sent' grep -qF '\x1b[31m' err
ok 'no raw escape' sh -c '! grep -q "$(printf "\033")" err'
code 'errors as JSON' 1 sync --json a b --retries=x
code 'a missing source' 11 sync missing/ b
ok 'it is named' grep -q missing err
ok 'nothing was made' [ ! -e b ]
code 'a missing source, as JSON' 11 sync --json missing/ b
ok 'one line of JSON' grep -qx '{"event":"error","status":"ROOT","exit":11,"message":".*"}' out
ok 'and nothing on stderr' [ ! -s err ]

for command in sync serve check diff hash status; do
    page=$source_root/docs/man/acequia-$command.1.scd
    acequia help $command | grep -o -e '--[a-z][a-z0-9-]*[a-z0-9]' | sort -u >options
    for option in $(grep -vx -e --no options); do
        ok "man page of $command: $option" grep -q -e "\*$option\*" "$page"
        for shell in bash zsh; do
            ok "$shell completion: $option" \
                sh -c "'$program' completion $shell | grep -q -e '$option'"
        done
        ok "fish completion: $option" \
            sh -c "'$program' completion fish | grep -q -e '-l ${option#--}'"
    done
done
ok 'bash takes its completion' bash -c "eval \"\$('$program' completion bash)\" &&
    COMP_WORDS=(acequia sync --max-d) COMP_CWORD=2 && _acequia 2>/dev/null;
    [[ \${COMPREPLY[*]} == *--max-delete=* ]]"
code 'another shell' 1 completion tcsh

# ---- hash

printf 'abc' >abc
mkdir folder
code 'hash' 0 hash abc
ok 'as b3sum' sh -c '[ "$(cat out)" = "$(b3sum abc)" ]'
printf 'x' >$'new\nline'
printf 'y' >'back\slash'
code 'hash of odd names' 0 hash $'new\nline' 'back\slash' abc
ok 'as b3sum' sh -c 'b3sum "new
line" "back\slash" abc | cmp -s - out'
ok 'hash of stdin' sh -c "[ \"\$(printf abc | '$program' hash)\" = \"\$(printf abc | b3sum)\" ]"
code 'hash of a missing file' 24 hash abc missing
ok 'the others are hashed' grep -q abc out
code 'hash of a directory' 23 hash folder
code 'hash as JSON' 0 hash --json abc
ok 'size and hash' grep -qx \
    '{"event":"hash","path":"abc","size":3,"blake3":"6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"}' out

# ---- settings

mkdir -p config/acequia
echo 'no-such = 1' >config/acequia/config
code 'an unknown setting' 1 status
ok 'its line is named' grep -q 'line 1' err
code 'help in spite of it' 0 status --help
printf 'retries = 0\n[serve]\nread-only = yes\n' >config/acequia/config
code 'good settings' 0 status
rm config/acequia/config
ACEQUIA_DELETE=perhaps code 'a bad variable' 1 sync a b
ok 'it is named' grep -q ACEQUIA_DELETE err

# ---- path to path

tree_make src
code 'contents' 0 sync src/ dst
ok 'equal' same src dst
ok 'times are kept' [ "$(stat -c %y src/dir/deep/x)" = "$(stat -c %y dst/dir/deep/x)" ]
ok 'the exec bit is kept' [ -x dst/file ]
ok 'links are links' [ "$(readlink dst/dir/dangling)" = /nowhere ]
ok 'no staging is left' [ ! -e dst/.acequia ]
ok 'nor in the source' [ ! -e src/.acequia ]
ok 'quiet in a pipe' [ ! -s out ]
ok 'and on stderr' [ ! -s err ]
code 'again' 0 sync --json src/ dst
ok 'nothing to do' [ "$(tail -n 1 out | member files)" = 0 ]
ok 'it was local' [ "$(tail -n 1 out | member transport)" = local ]
ok 'the last line is done' grep -qx '{"event":"done","files":[0-9]*,"bytes_sent":[0-9]*,"bytes_received":[0-9]*,"bytes_literal":[0-9]*,"bytes_matched":[0-9]*,"seconds":[0-9.]*,"transport":"local"}' <(tail -n 1 out)
code 'the folder itself' 0 sync src parent
ok 'below its name' same src parent/src
code 'a single file' 0 sync src/file one/
ok 'alone' [ "$(ls -A one)" = file ]
code 'a file to another name' 1 sync src/file one/other
code 'onto itself' 1 sync src/ src
code 'into itself' 1 sync src/ src/dir/copy
ok 'nothing was made' [ ! -e src/dir/copy ]
code 'a file as DST' 23 sync src/ abc
code 'a missing parent of DST' 11 sync src/ no/such/parent
code 'dry run' 0 sync -n src/ never
ok 'it makes nothing' [ ! -e never ]
ok 'it lists all' [ "$(grep -c . out)" -ge 16 ]
ok 'as rsync does' grep -q '^>f+++++++++ dir/big$' out
ok 'escaped' grep -qF 'esc\x1b[31mred' out
cp -a dst changed
echo more >>changed/file
rm changed/dir/big
echo extra >changed/extra
code 'diff' 0 diff src/ changed
ok 'a changed file' grep -q 'file$' out
ok 'a missing file' grep -q '^>f+++++++++ dir/big$' out
ok 'no deletions' sh -c '! grep -q deleting out'
code 'diff --delete' 0 diff --delete src/ changed
ok 'deletions' grep -q '^\*deleting   extra$' out
code 'check: different' 41 check src/ changed
code 'check: equal' 0 check src/ dst
printf 'hallo\n' >dst/file
touch -r src/file dst/file
code 'same size and time' 0 sync src/ dst
ok 'is taken as equal' grep -q hallo dst/file
code 'check reads' 41 check src/ dst
code '-c reads' 0 sync -c src/ dst
ok 'and mends' same src dst
code 'extra files stay' 0 sync src/ changed
ok 'extra is there' [ -e changed/extra ]
code '--max-delete' 25 sync --delete --max-delete=0 src/ changed
ok 'extra is still there' [ -e changed/extra ]
code '--delete' 0 sync -v --delete src/ changed
ok 'it is named' grep -q 'deleting extra' out
ok 'equal' same src changed
echo new >src/file
touch -d '2020-01-01' src/file
code '--update' 0 sync -u src/ changed
ok 'newer files stay' grep -q hello changed/file
code '--ignore-existing' 0 sync --ignore-existing src/ changed
ok 'existing files stay' grep -q hello changed/file
echo fresh >src/fresh
code '--existing' 0 sync --existing src/ changed
ok 'no new file' [ ! -e changed/fresh ]
ok 'but a changed one' grep -q new changed/file
echo newer >src/file
code '--backup-dir' 0 sync --delete --backup-dir=old src/ changed
ok 'the replaced file is kept' grep -q '^new$' changed/old/file
ok 'the new one is there' grep -q newer changed/file
code '--exclude' 0 sync --exclude='*.o' --exclude=/dir/deep src/ picked
ok 'left out' [ ! -e picked/dir/deep ]
ok 'the rest is there' [ -e picked/dir/big ]
printf 'dir/big\nempty\n' >list
code '--files-from' 0 sync --files-from=list src/ listed
ok 'only those' [ "$(cd listed && find . | sort | tr '\n' ' ')" = '. ./dir ./dir/big ./empty ' ]
code '--stats' 0 sync --stats src/ counted
ok 'figures' grep -q '^Literal data: [0-9,]* bytes$' out
ok 'speedup' grep -q 'speedup is' out
code '--progress into a pipe' 0 sync --progress src/ progressed
ok 'no escapes' sh -c '! grep -q "$(printf "\033")" out'
code 'status' 0 status
ok 'knows the folder' grep -q "$work/dst" out
code 'status as JSON' 0 status --json dst
ok 'not in use' grep -q '"in_use":"no"' out
code 'status of a stranger' 24 status config

# The superuser may read and write everything: these cases are another user's.
if [ "$(id -u)" != 0 ] || command -v setpriv >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        other="setpriv --reuid=65534 --regid=65534 --clear-groups"
        chown -R 65534:65534 "$work"
    fi
    printf x >src/secret
    chmod 0 src/secret
    as=${other-} code 'an unreadable file' 23 sync src/ partly
    ok 'is named' grep -q secret err
    ok 'the rest goes on' [ -e partly/dir/big ]
    rm -f src/secret
    mkdir -m 555 readonly
    as=${other-} code 'a read-only destination' 23 sync src/ readonly
    ok 'nothing is there' [ -z "$(ls -A readonly)" ]
    chown -R "$(id -u):$(id -g)" "$work"
fi

# ---- over a link

serve pull src --read-only
ok 'a URL is printed' [ -n "$url" ]
code 'pull' 0 sync --json "$url" pulled
ok 'equal' same src pulled
ok 'the transport' [ "$(tail -n 1 out | member transport)" = websocket ]
ok 'bytes came' [ "$(tail -n 1 out | member bytes_received)" -gt 300000 ]
code 'pull again' 0 sync --json "$url" pulled
ok 'hardly any bytes' [ "$(tail -n 1 out | member bytes_received)" -lt 4000 ]
code 'check over the link' 0 check "$url" pulled
code 'a folder that is not there' 5 sync "${url/src#/none#}" none
ok 'nothing was made' [ ! -e none ]
code 'no right to write' 5 sync pulled/ "$url"
code 'another identity' 44 sync "${url%#*}#AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" wrong
code 'no identity' 44 sync "${url%#*}" wrong
code 'a server that is not there' 35 sync --retries=0 acequia://127.0.0.1:1/x none
code 'status of a served folder' 0 status --json src
ok 'it is in use' grep -q '"in_use":"reading","pid":' out

mkdir pushed
serve push pushed
code 'push' 0 sync src/ "$url"
ok 'equal' same src pushed
code 'the folder is held' 45 sync src/ pushed
ok 'the holder is named' grep -q 'pid [0-9]' err
rm src/fresh
code 'push --delete' 0 sync -i --delete src/ "$url"
ok 'deleted' [ ! -e pushed/fresh ]
ok 'itemized' grep -q '^\*deleting   fresh$' out
code 'push the folder itself' 0 sync src "$url"
ok 'below its name' same src pushed/src
ok 'beside the others' [ -e pushed/dir/big ]
code 'push a single file' 0 sync abc "$url"
ok 'it is there' [ -e pushed/abc ]

printf 'a secret\n' >token
chmod 600 token
mkdir guarded
serve guard --token-file token --read-only src
code 'without the token' 5 sync "$url" none
ok 'nothing is revealed' sh -c '! grep -q big out err'
printf 'wrong\n' >wrong-token
chmod 600 wrong-token
code 'a wrong token' 5 sync --token-file wrong-token "$url" none
code 'the token from a file' 0 sync --token-file token "$url" tokened
ok 'equal' same src tokened
ACEQUIA_TOKEN='a secret' code 'the token from the environment' 0 sync "$url" tokened
chmod 644 token
code 'a token that others can read' 23 sync --token-file token "$url" tokened
code 'a missing token file' 24 sync --token-file no-token "$url" tokened
stop_servers

code 'a port that is taken away' 35 sync --retries=0 "$url" tokened
code 'plain beyond loopback' 1 serve --plain --listen 0.0.0.0:0 src
code 'a missing folder' 11 serve missing
code 'two of one name' 1 serve src parent/src
code 'a bad address' 1 serve --listen nonsense:port src
code 'a key without certificate' 1 serve --key token src

# ---- runs that do not go through

mkdir slow
head -c 4000000 /dev/urandom >slow/data
for i in $(seq 20); do head -c 50000 /dev/urandom >"slow/$i"; done
serve slowly --read-only slow
code '--max-duration' 30 sync --bwlimit=:1M --max-duration=1 "$url" slowed
ok 'it says so' grep -q -e --max-duration err
code '--max-transfer' 23 sync --max-transfer=300K "$url" portion
ok 'it says so' grep -q -e --max-transfer err
"$program" sync --bwlimit=:1M "$url" slowed >out 2>err &
sleep 0.5
kill -INT $!
wait $!
ok 'Ctrl-C' [ $? = 20 ]
ok 'it tells how to go on' grep -q 'run it again' err
ok 'no half file is to be seen' sh -c '[ ! -e slowed/data ] || cmp -s slow/data slowed/data'
code 'and on it goes' 0 sync "$url" slowed
ok 'equal' same slow slowed
ok 'no staging is left' [ ! -e slowed/.acequia ]
rm -rf slowed
address=${url#acequia://} address=${address%%/*}
"$program" sync --json --bwlimit=:1M "$url" slowed >out 2>err &
client=$!
sleep 1
stop_servers
"$program" serve --json --listen "$address" --read-only slow >again.log 2>&1 &
servers+=($!)
wait $client
ok 'the run ends well' [ $? = 0 ]
ok 'a lost link is dialled again' grep -q '"event":"retry","status":"CLOSED"' out
ok 'and the sync goes on' same slow slowed
stop_servers

for i in $(seq 3000); do echo "slow/some-name-that-does-not-exist-$i"; done >list
echo slow/7 >>list
code 'very many paths' 0 sync --json --files-from=list . chosen
ok 'the one that is there' cmp -s slow/7 chosen/slow/7
ok 'and no other' [ "$(find chosen -type f | wc -l)" = 1 ]

# ---- much to say

mkdir crowd crowded
(cd crowd && seq 20000 | xargs touch)
code 'a dry run of very many files' 0 sync -n crowd/ crowded
ok 'tells all' [ "$(grep -c '^>f+++++++++ [0-9]*$' out)" = 20000 ]
serve crowds crowded
code 'the same over a link' 0 sync -n crowd/ "$url"
ok 'tells all' [ "$(grep -c '^<f+++++++++ [0-9]*$' out)" = 20000 ]
stop_servers

# ---- a terminal

if command -v script >/dev/null; then
    rm -rf terminal
    ok 'on a terminal' sh -c \
        "script -qec \"'$program' sync src/ terminal\" /dev/null >typed 2>&1"
    ok 'a summary' grep -q 'on the wire' typed
    rm -rf terminal
    NO_COLOR=1 script -qec "'$program' sync --progress src/ terminal" /dev/null >typed 2>&1
    ok 'NO_COLOR' sh -c '! grep -q "$(printf "\033\\[3")" typed'
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
