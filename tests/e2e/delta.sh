#!/bin/bash
# delta.sh: what a change inside a large file costs on the wire, both directions, above TLS.
# shellcheck source-path=SCRIPTDIR disable=SC2154 # url, wire: see lib.sh
in_memory=yes
. "$(dirname "$0")/lib.sh"

size=$((256 << 20))
[ $sanitized ] && size=$((160 << 20))
mkdir tree
random $size >old
cp old tree/big

at() { # at OFFSET: what is piped in stands there then
    dd of=tree/big bs=64k oflag=seek_bytes seek="$1" conv=notrunc 2>/dev/null
}

cut_out() { # cut_out FROM [SIZE]: bytes of the old file
    tail -c +$(($1 + 1)) old | if [ $# -gt 1 ]; then head -c "$2"; else cat; fi
}

# change NAME MOST: the edited file travels, then the old one comes back.
change() {
    sync "$1" "${pair[@]}"
    ok "$1: equal" cmp tree/big copy/big
    bound "$1: bytes on the wire" "$wire" "$2"
    cp old tree/big
    sync "$1, undone" "${pair[@]}"
    ok "$1, undone: equal" cmp old copy/big
    bound "$1, undone: bytes on the wire" "$wire" "$2"
}

for way in pull push; do
    rm -rf copy
    if [ $way = pull ]; then
        serve tree
        pair=("$url" copy)
    else
        mkdir copy
        serve copy
        pair=(tree/ "$url")
    fi
    sync "$way: fresh" "${pair[@]}"
    bound "$way: fresh: bytes on the wire" "$wire" $((size + size / 500))

    printf '\0' | at $((size / 3))
    change "$way: one byte" 120000

    { head -c $((size / 10)) old && printf 1234567 && cut_out $((size / 10)); } >tree/big
    change "$way: 7 bytes inserted" 120000

    [ $way = push ] && { stop; continue; }

    { head -c $((size / 10)) old && random 1048576 2 && cut_out $((size / 10)); } >tree/big
    sync "$way: 1 MiB inserted" "${pair[@]}"
    ok "$way: 1 MiB inserted: equal" cmp tree/big copy/big
    bound "$way: 1 MiB inserted: bytes on the wire" "$wire" 1150000
    cp old tree/big
    sync "$way: 1 MiB removed" "${pair[@]}"
    bound "$way: 1 MiB removed: bytes on the wire" "$wire" 120000
    ok "$way: 1 MiB removed: equal" cmp old copy/big

    for i in $(seq 100); do
        random 4096 "overwrite$i" | at $(((i * 7919 % 100 * size / 100) + i * 1237))
    done
    change "$way: 100 overwrites of 4 KiB" 3200000

    { cut_out 0 20000000 && cut_out $((20000000 + (64 << 20))) 60000000 &&
        cut_out 20000000 $((64 << 20)) && cut_out $((80000000 + (64 << 20))); } >tree/big
    change "$way: 64 MiB moved" 300000
    { cut_out 70000000 && cut_out 0 70000000; } >tree/big
    sync "$way: the beginning becomes the end" "${pair[@]}"
    ok "$way: it is equal" cmp tree/big copy/big
    bound "$way: its bytes on the wire" "$wire" 150000
    cp tree/big old

    random 5000000 3 >>tree/big
    sync "$way: 5 MB appended" "${pair[@]}"
    ok "$way: appended: equal" cmp tree/big copy/big
    bound "$way: appended: bytes on the wire" "$wire" 5100000
    truncate -s $((size / 2)) tree/big
    sync "$way: cut in half" "${pair[@]}"
    ok "$way: cut: equal" cmp tree/big copy/big
    bound "$way: cut: bytes on the wire" "$wire" 120000
    cp tree/big tree/twin
    sync "$way: a copy of it" "${pair[@]}"
    ok "$way: a copy: equal" cmp tree/twin copy/twin
    cp old tree/big
    rm tree/twin
    stop
done
finish
