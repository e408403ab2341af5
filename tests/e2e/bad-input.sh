#!/bin/bash
# bad-input.sh: whatever is wrong at either end or between them has its exit code and its words,
# and loses nothing. (Options, tokens and operands are in cli.sh.)
# shellcheck source-path=SCRIPTDIR disable=SC2154 # url, server, port: see lib.sh
. "$(dirname "$0")/lib.sh"

# The superuser may read and write everything: some cases are another user's.
other=
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    other='setpriv --reuid=65534 --regid=65534 --clear-groups'
    chmod 755 "$work"
    cp "$program" "$work/acequia" # where that user can reach it
    program=$work/acequia
fi
limited=$([ "$(id -u)" != 0 ] || [ -n "$other" ] && echo yes)

mkdir src
for i in $(seq 50); do echo "$i" >"src/$i"; done
random 3000000 >src/big

# words NAME TEXT: it was said, by message or problem
words() {
    ok "$1" grep -q -e "$2" out err
}

# ---- the source

mkdir kept
echo mine >kept/mine
code 'a missing source' 11 sync --delete none/ kept
words 'it is named' none
ok 'nothing is deleted' [ -e kept/mine ]
serve src
mv src away
code 'the served folder is gone' 11 sync --delete "$url" kept
ok 'nothing is deleted either' [ -e kept/mine ]
mv away src
code 'it is back' 0 sync "$url" kept
stop

if [ "$limited" ]; then
    [ "$other" ] && chown -R 65534:65534 "$work"
    user=$other
    echo secret >src/secret
    mkdir src/closed
    echo x >src/closed/x
    chmod 0 src/secret src/closed
    serve_user=$other
    for way in local pull push; do
        rm -rf to
        mkdir to
        echo old >to/secret
        mkdir to/closed
        echo old >to/closed/old
        [ "$other" ] && chown -R 65534:65534 to
        case $way in
        local) pair=(src/ to) ;;
        pull) serve src && pair=("$url" to) ;;
        push) serve to && pair=(src/ "$url") ;;
        esac
        code "$way: an unreadable file and directory" 23 sync --delete "${pair[@]}"
        words "$way: the file is named" secret
        words "$way: the directory is named" closed
        ok "$way: the rest goes on" cmp src/big to/big
        ok "$way: what was there stays" grep -q old to/secret
        ok "$way: nothing is deleted for it" [ -e to/closed/old ]
        [ "$way" = local ] || stop
    done
    serve_user=
    chmod 700 src/secret src/closed
    rm -r src/secret src/closed

    mkdir locked
    [ "$other" ] && chown 65534:65534 locked
    chmod 555 locked
    code 'a read-only destination' 23 sync src/ locked
    words 'it is named' locked
    ok 'nothing is there' [ -z "$(ls -A locked)" ]
    user=
else
    skip 'unreadable files, read-only destinations' 'the superuser may do everything'
fi

# Its listing is sent, then it is gone: before its turn in a slow transfer.
mkdir vanishing
for i in 1 2 3 4 5 6; do random 3000000 "$i" >vanishing/file$i; done
serve vanishing
start "$program" sync --json --bwlimit=off:3M "$url" vanished >out 2>err
client=$!
await 20 test -s vanished/file1 -o -d vanished/.acequia
sleep 0.7
rm vanishing/file6 vanishing/file5
wait "$client"
ok 'vanished files: exit 24' [ $? = 24 ]
words 'they are named' file6
ok 'the rest is there' cmp vanishing/file4 vanished/file4
stop

# It changes while it is read: never a mixture.
(while :; do
    random 3000000 "$RANDOM" >vanishing/.next && cat vanishing/.next >vanishing/file1 || exit
done) &
children+=($!)
for i in 1 2 3; do
    timeout 60 "$program" sync --exclude=.next vanishing/ changing >out 2>err
    case $? in 0 | 23 | 24) ;; *) verdict "a changing file: run $i" 1 exit ;; esac
done
kill "${children[-1]}"
wait "${children[-1]}" 2>/dev/null
sync 'a file that changed' --exclude=.next vanishing/ changing
ok 'is whole when it rests' cmp vanishing/file1 changing/file1

# A FIFO, a socket, a device: not synced, not waited for, and what has their name stays.
mkfifo src/pipe
code 'a FIFO in the source' 0 sync src/ special
ok 'is left out' [ ! -e special/pipe ]
rm src/pipe
mkfifo special/big.fifo
echo file >src/big.fifo
code 'a FIFO in the way' 23 sync --delete src/ special
ok 'stays' [ -p special/big.fifo ]
rm src/big.fifo

# ---- names

printf x >$'src/bad\xff\xfename'
code 'a name that is not UTF-8' 23 sync src/ names
words 'it is shown escaped' 'bad\\xff'
ok 'the rest is there' cmp src/big names/big
rm $'src/bad\xff\xfename'
(cd src && for i in $(seq 140); do mkdir d && cd d || exit; done && echo deep >deep)
code 'directories that are too deep' 23 sync src/ names
ok 'the rest is there' [ -e names/d/d/d/d ]
rm -r src/d
long=$(printf '%0250d' 0)
(cd src && for i in $(seq 20); do mkdir "$long" && cd "$long" || exit; done && echo far >far)
code 'a path that is too long' 23 sync src/ names
ok 'the rest is there' cmp src/big names/big
rm -r src/"$long"
mkdir src/.acequia
echo trap >src/.acequia/trap
code 'our own name in the source' 0 sync src/ names
ok 'is not a name to sync' [ ! -e names/.acequia ]
rm -r src/.acequia

# ---- the destination

mkdir small
if mount -t tmpfs -o size=8m tmpfs small 2>/dev/null; then
    mounts+=("$work/small")
    mkdir large
    cp src/big large/a
    random 20000000 9 >large/b
    echo before >small/b
    touch -d 2020-01-01 small/b
    code 'a full disk' 42 sync large/ small
    words 'it is said' 'full'
    ok 'the old file is there' grep -qx before small/b
    mkdir small/folder
    serve small/folder
    code 'a full disk at the other end' 42 sync large/ "$url"
    ok 'nothing half-written is visible' [ ! -e small/folder/b ]
    stop
    rm large/b
    code 'it fits now' 0 sync --delete large/ small
    ok 'and is equal' same large small
    umount small
    mounts=()
else
    skip 'a full disk' 'nothing can be mounted here'
fi

mkdir in-the-way other
mkdir in-the-way/1
echo own >in-the-way/1/own
code 'a directory in the way of a file' 23 sync src/ in-the-way
ok 'stays' [ -e in-the-way/1/own ]
ln -s ../other in-the-way/dir
mkdir src/dir
echo x >src/dir/x
code 'a link in the way of a directory' 23 sync src/ in-the-way
ok 'is not followed' [ -z "$(ls -A other)" ]
ln -s src linked
code 'a link as the source' 0 sync linked/ followed
ok 'is followed when the user names it' cmp src/big followed/big

# ---- the peer

for what in old new stranger garbage; do
    : >peer.log
    start node "$here/peer.mjs" serve "$what" >peer.log
    peer=$!
    await 20 grep -q port peer.log
    plain=acequia+ws://127.0.0.1:$(sed -n 's/^port //p' peer.log)/src
    code "a server that is $what" 2 sync --retries=0 "$plain" "from-$what"
    ok "$what: it is said" [ -s err ]
    ok "$what: nothing is there" [ -z "$(ls -A "from-$what" 2>/dev/null)" ]
    kill "$peer"
done
for what in http noise cut huge silent; do
    : >peer.log
    start node "$here/peer.mjs" serve "$what" >peer.log
    peer=$!
    await 20 grep -q port peer.log
    plain=127.0.0.1:$(sed -n 's/^port //p' peer.log)/src
    for scheme in acequia+ws acequia; do
        code_among "a server that is $what, $scheme" '2 12 30 35 44' \
            sync --retries=0 --timeout=2 --contimeout=2 "$scheme://$plain" "from-$what"
        ok "$what: it is said" [ -s err ]
    done
    kill "$peer"
done

serve --plain src
for what in old new stranger garbage huge cut noise; do
    ok "a client that is $what is hung up on" \
        grep -q closed <(node "$here/peer.mjs" call "$port" "$what")
done
code 'the server goes on' 0 sync "$url" after
ok 'and is right' same src after
stop
serve src
ok 'noise instead of TLS' grep -q closed <(node "$here/peer.mjs" call "$port" noise)
code 'another identity' 44 sync "${url%#*}#$(printf '%043d' 0 | tr 0 A)" wrong
ok 'nothing is there' [ -z "$(ls -A wrong 2>/dev/null)" ]

# ---- two processes, one folder

start "$program" sync --bwlimit=off:500K "$url" held >slow 2>&1
client=$!
await 20 test -d held/.acequia
code 'a second process on one folder' 45 sync small/ held
words 'the holder is named' "pid $client"
code 'serving it' 45 serve --listen 127.0.0.1:0 held
kill -KILL "$client"
wait "$client" 2>/dev/null
code 'when the holder is dead' 0 sync "$url" held
ok 'all is well' same src held
stop
finish
