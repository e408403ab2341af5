#!/bin/bash
# resume.sh: whatever ends or holds up a transfer, the next run or the same one goes on: at most
# 64 MiB + 1 % are sent twice, and nobody ever sees half a file. Bytes are counted by a proxy
# between the two, TLS included.
# shellcheck source-path=SCRIPTDIR disable=SC2154 # url, proxied, server: see lib.sh
in_memory=yes
. "$(dirname "$0")/lib.sh"

size=$((192 << 20))
[ $sanitized ] && size=$((96 << 20))
mkdir tree
random $size >tree/big
mkdir tree/small
for i in $(seq 200); do random 3000 $i >tree/small/$i; done
all=$(du -sb tree | cut -f1)
spare=$(((64 << 20) + all / 100))
rate=90M

reset() {
    rm -rf copy state
    mkdir copy
}

whole() { # nothing under the final names is shorter than it shall be
    [ ! -e copy/big ] || [ "$(stat -c %s copy/big)" = $size ]
}

arrived() { # arrived PERCENT: so much lies at the destination
    whole || verdict 'half a file is visible' 1 "$(stat -c %s copy/big)"
    [ "$(du -sk copy | cut -f1)" -gt $((all / 1024 * $1 / 100)) ]
}

dead() { # dead PID
    ! kill -0 "$1" 2>/dev/null
}

run() { # run ARGUMENTS…: a sync in the background; $client
    start "$program" sync --json "$@" >out 2>err
    client=$!
}

ends() { # ends NAME: the background sync ends well, and so do the trees
    await 60 dead "$client" || kill -KILL "$client"
    wait "$client"
    verdict "$1: ends by itself" $? "$(tail -n 1 out)"
    ok "$1: equal" same tree copy
    ok "$1: b3sum agrees" same_hashes tree copy
    ok "$1: staging is gone" nothing_left copy
}

murder() { # murder NAME PERCENT: the sync is killed when so much has arrived
    await 30 arrived "$2"
    no "$1: it is under way" dead "$client"
    kill -KILL "$client"
    wait "$client" 2>/dev/null
    ok "$1: no file is half there" whole
    no "$1: the big file is not there" [ -e copy/big ]
}

twice() { # twice NAME ALLOWED: bytes beyond the trees' own; 2 % are overhead
    await 10 grep -q total proxy.log
    sleep 0.2
    bound "$1: bytes sent twice" $(($(sed -n 's/^total //p' proxy.log | tail -n 1) - all)) \
        $(($2 + all / 50))
    kill "$proxy"
}

direction() { # direction pull|push: $pair is what to sync
    reset
    if [ "$1" = pull ]; then
        serve ${server_options-} tree
    else
        serve ${server_options-} copy
    fi
    through ${proxy_options-}
    if [ "$1" = pull ]; then pair=("$proxied" copy); else pair=(tree/ "$proxied"); fi
}

# The server is started again where it was.
again() {
    at_port=$port
    if [ "$1" = pull ]; then serve tree; else serve copy; fi
    at_port=
}

for way in pull push; do
    limited=--bwlimit=off:$rate
    [ $way = push ] && limited=--bwlimit=$rate:off

    name="$way, client killed twice"
    direction $way
    run $limited "${pair[@]}"
    murder "$name" 30
    run $limited "${pair[@]}"
    murder "$name" 60
    run "${pair[@]}"
    ends "$name"
    twice "$name" $((2 * spare))
    stop

    name="$way, server killed and restarted"
    direction $way
    run $limited --timeout=5 "${pair[@]}"
    await 30 arrived 50
    stop KILL
    ok "$name: no file is half there" whole
    sleep 0.7
    again $way
    ends "$name"
    ok "$name: it was dialled again" grep -q '"retry"' out
    twice "$name" $spare
    stop

    name="$way, connections are cut"
    proxy_options=--cut=$((all / 4)) direction $way
    run "${pair[@]}"
    ends "$name"
    twice "$name" $spare
    stop
done

name='a connection hangs'
proxy_options="--stall=$((all / 2)) --times=1" server_options=--timeout=3 direction pull
run --timeout=3 "${pair[@]}"
ends "$name"
twice "$name" $spare
stop

name='a slow network'
proxy_options="--rate=$((all / 5))" direction pull
run --timeout=3 "${pair[@]}"
ends "$name"
twice "$name" 0
stop

name='the server sleeps'
direction pull
run $limited --bwlimit=off:$rate --timeout=2 "${pair[@]}"
await 30 arrived 40
kill -STOP "$server"
sleep 4
kill -CONT "$server"
ends "$name"
ok "$name: it was given up meanwhile" grep -q '"retry"' out
twice "$name" $spare
stop

name='the client sleeps'
server_options=--timeout=2 direction pull
run --bwlimit=off:$rate --timeout=2 "${pair[@]}"
await 30 arrived 40
kill -STOP "$client"
sleep 4
kill -CONT "$client"
ends "$name"
twice "$name" $spare
stop

name='Ctrl-C'
direction pull
run --bwlimit=off:$rate "${pair[@]}"
await 30 arrived 40
kill -INT "$client"
wait "$client"
ok "$name: exit 20" [ $? = 20 ]
ok "$name: no file is half there" whole
run "${pair[@]}"
ends "$name"
twice "$name" $((32 << 20))
stop
finish
