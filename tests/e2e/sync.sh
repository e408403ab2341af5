#!/bin/bash
# sync.sh: what a sync makes of trees: fresh, again, changes, deletions, renames, odd names,
# types, filters; from path to path, pulled and pushed over TLS.
# shellcheck source-path=SCRIPTDIR disable=SC2154 # url, wire, literal, files: see lib.sh
. "$(dirname "$0")/lib.sh"

# A tree with whatever a person may have.
tree_make() {
    local deep=$1/deep i
    mkdir -p "$1/empty" "$1/odd" "$1/bin" "$1/.hidden" "$1/lots"
    : >"$1/nothing"
    printf 'hello\n' >"$1/file"
    printf '#!/bin/sh\n' >"$1/bin/tool"
    chmod 755 "$1/bin/tool"
    random 3000000 3 >"$1/bin/large"
    printf x >"$1/.hidden/.dot"
    ln -s ../file "$1/bin/link"
    ln -s /nowhere/at/all "$1/bin/dangling"
    ln -s ../.. "$1/bin/outside"
    for i in $(seq 40); do deep=$deep/level$i; done
    mkdir -p "$deep"
    printf bottom >"$deep/bottom"
    for i in $(seq 300); do echo "$i" >"$1/lots/$i"; done
    printf 1 >"$1/odd/new
line"
    printf 2 >"$1/odd/  spaces  "
    printf 3 >"$1/odd/café ★ 日本"
    printf 4 >"$1/odd/-rf"
    printf 5 >"$1/odd/back\\slash"
    printf 6 >"$1/odd/quote'\"\$(x)"
    printf 7 >"$1/odd/$(printf '\001\033[31m')"
    printf 8 >"$1/odd/$(printf '%0255d' 0)"
    printf 9 >"$1/odd/CON"
    printf 10 >"$1/odd/Readme"
    printf 11 >"$1/odd/README"
    printf 12 >"$1/odd/trailing."
    mkdir "$1/odd/$(printf '%0255d' 1)"
    truncate -s 20000000 "$1/sparse"
    printf middle | dd of="$1/sparse" bs=1 seek=9000000 conv=notrunc 2>/dev/null
    touch -d '1969-07-20 20:17:40.123456789' "$1/file"
    touch -d '2106-02-07 06:28:17' "$1/nothing"
    touch -h -d '2001-02-03' "$1/bin/dangling"
    touch -d '1999-12-31 23:59:59.5' "$1/odd" "$1/empty"
}

tree_edit() { # some of everything
    printf 'hello again\n' >"$1/file"
    rm "$1/lots/7" "$1/lots/8"
    rm -r "$1/.hidden"
    printf changed >>"$1/bin/large"
    chmod 644 "$1/bin/tool"
    ln -sf ../elsewhere "$1/bin/link"
    printf new >"$1/lots/new"
    mkdir -p "$1/more/of/it"
    printf y >"$1/more/of/it/y"
    touch -d '2020-02-02' "$1/lots/9"
    : >"$1/odd/-rf"
}

snapshot() { # everything that a dry run must not change
    (cd "$1" && find . -printf '%p %y %s %T@ %C@ %m %l\n' | sort | b3sum)
}

# ---- path to path

tree_make src
sync 'fresh' src/ dst
ok 'equal' same src dst
ok 'b3sum agrees' same_hashes src dst
ok 'staging is gone' nothing_left dst
ok 'holes are kept' [ "$(du -k dst/sparse | cut -f1)" -lt 2000 ]
ok 'nanoseconds are kept' [ "$(stat -c %y src/file)" = "$(stat -c %y dst/file)" ]
ok "a link's time is kept" [ "$(stat -c %y src/bin/dangling)" = "$(stat -c %y dst/bin/dangling)" ]
before=$(snapshot dst)
sync 'again' src/ dst
ok 'nothing to do' [ "$files" = 0 ]
ok 'no content' [ "$literal" = 0 ]
ok 'nothing was touched' [ "$(snapshot dst)" = "$before" ]

tree_edit src
printf extra >dst/extra
mkdir -p dst/extras/more
printf extra >dst/extras/more/extra
before=$(snapshot dst)
code 'a dry run' 0 sync -n -i --delete src/ dst
sort out >predicted
ok 'changes nothing' [ "$(snapshot dst)" = "$before" ]
code 'the real one' 0 sync -i --delete src/ dst
ok 'does what was predicted' sh -c 'sort out | diff predicted -'
ok 'equal after edits' same src dst
ok 'deleted' [ ! -e dst/extras ]

# ---- over TLS, both ways

for way in pull push; do
    rm -rf a b
    tree_make a
    if [ $way = pull ]; then
        serve a --read-only
        pair=("$url" b)
    else
        mkdir b
        serve b
        pair=(a/ "$url")
    fi
    ok "$way: a fingerprint is in the URL" grep -q '#...........................................$' <<<"$url"
    sync "$way: fresh" "${pair[@]}"
    ok "$way: equal" same a b
    ok "$way: b3sum agrees" same_hashes a b
    ok "$way: staging is gone" nothing_left b
    ok "$way: holes are kept" [ "$(du -k b/sparse | cut -f1)" -lt 2000 ]
    sync "$way: again" "${pair[@]}"
    bound "$way: unchanged costs next to nothing" "$wire" 2000
    ok "$way: nothing was done" [ "$files$literal" = 00 ]
    tree_edit a
    sync "$way: edited" --delete "${pair[@]}"
    ok "$way: equal after edits" same a b
    sync "$way: compared by contents" -c --delete "${pair[@]}"
    ok "$way: no content" [ "$literal" = 0 ]

    # Names that move cost no content: one file, a directory, both at once, a swap.
    mv a/bin/large a/lots/moved
    sync "$way: a file is renamed" --delete "${pair[@]}"
    ok "$way: equal after a rename" same a b
    ok "$way: no content for a rename" [ "$literal" = 0 ]
    mv a/lots a/many
    sync "$way: a directory is renamed" --delete "${pair[@]}"
    ok "$way: equal after it" same a b
    ok "$way: no content for a directory" [ "$literal" = 0 ]
    bound "$way: few bytes for a directory" "$wire" 20000
    mkdir a/below
    mv a/many a/below/lots
    mv a/below/lots/moved a/large
    sync "$way: moved down, a file out of it" --delete "${pair[@]}"
    ok "$way: equal after moves" same a b
    # (a few bytes are sooner sent than proved)
    bound "$way: the large one is not sent" "$literal" 3000
    mv a/large a/tmp
    mv a/sparse a/large
    mv a/tmp a/sparse
    sync "$way: two files swapped" --delete "${pair[@]}"
    ok "$way: equal after a swap" same a b

    # Types change into each other.
    rm -r a/bin/tool a/below a/file a/bin/link a/empty
    mkdir -p a/bin/tool
    printf inside >a/bin/tool/inside
    printf 'a file now' >a/below
    ln -s bin a/file
    printf 'was a link' >a/bin/link
    ln -s nowhere a/empty
    sync "$way: types change" --delete "${pair[@]}"
    ok "$way: equal after it" same a b
    stop
done

# ---- what is chosen

rm -rf a b
tree_make a
printf 'object' >a/lots/x.o
printf 'kept' >a/lots/keep.o
sync '--exclude' --include=keep.o --exclude='*.o' --exclude=/deep --exclude='odd/' a/ b
ok 'left out' [ ! -e b/lots/x.o ]
ok 'included before' [ -e b/lots/keep.o ]
ok 'an anchored directory is left out' [ ! -e b/deep ]
ok 'a directory is left out' [ ! -e b/odd ]
printf mine >b/lots/own.o
rm a/lots/5
sync '--exclude with --delete' --delete --include=keep.o --exclude='*.o' a/ b
ok 'what is left out is not deleted' [ -e b/lots/own.o ]
ok 'the rest is' [ ! -e b/lots/5 ]
rsync -rltE --delete --include=keep.o --exclude='*.o' a/ c/
rm b/lots/own.o
touch -r a/lots b/lots
ok 'as rsync does it' same c b

printf '%s\0' file lots/3 odd $'odd/new\nline' >list
code '--files-from' 0 sync --files-from=list -0 a/ some
ok 'what is listed is there' [ -e some/lots/3 ]
ok 'nothing else is' [ ! -e some/lots/4 ]
ok 'a listed directory with all below' same a/odd some/odd

# ---- what is kept and what is refused

rm -rf b
sync 'a copy' a/ b
printf 'other contents' >a/lots/1
rm a/lots/2
sync '--backup-dir' --delete --backup-dir=kept a/ b
ok 'the replaced is kept' grep -qx 1 b/kept/lots/1
ok 'the deleted is kept' grep -qx 2 b/kept/lots/2
ok 'the new is there' grep -qx 'other contents' b/lots/1
sync 'the backups stay' --delete --backup-dir=kept a/ b
ok 'they are there' [ -e b/kept/lots/2 ]
rm -r b/kept
before=$(find b | wc -l)
rm -r a/lots
code '--max-delete' 25 sync --delete --max-delete=10 a/ b
bound 'at most ten are gone' $((before - $(find b | wc -l))) 10
mkdir away
mv a/* away
mv a a-was
code 'a missing source' 11 sync --delete a/ b
ok 'deletes nothing' [ -e b/file ]

same_size() { # same size and time, other contents: only -c sees it
    printf 'bbbbb' >"$1/twin"
    touch -d 2020-01-01 "$1/twin"
}
mkdir x y
printf 'aaaaa' >x/twin
touch -d 2020-01-01 x/twin
same_size y
sync 'equal size and time' x/ y
ok 'are taken as equal' grep -q b y/twin
sync '-c' -c x/ y
ok 'reads' grep -q a y/twin
finish
