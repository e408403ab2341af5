#!/bin/bash
# trees.sh: trees that nobody made for us: a part of /usr, an npm package's, and one in a
# kernel's shape with tens of thousands of names; fresh, again and edited, over TLS.
# shellcheck source-path=SCRIPTDIR disable=SC2154 # url, wire, literal: see lib.sh
in_memory=yes
. "$(dirname "$0")/lib.sh"

# kernel DIR FILES: directories of many widths and depths, sources, headers, names in families.
kernel() {
    mkdir "$1"
    awk -v files="$2" -v root="$1" 'BEGIN {
        srand(7)
        split("arch drivers fs include kernel lib mm net sound tools Documentation", top, " ")
        split("x86 arm64 core gpu usb ext4 crypto sched ipv4 soc pci dt-bindings", mid, " ")
        split(".c .h .S .dts .rst .yaml Makefile Kconfig .txt", end, " ")
        for (i = 0; i < files; i++) {
            path = root "/" top[1 + int(rand() * 11)]
            depth = int(rand() * 5)
            for (j = 0; j < depth; j++)
                path = path "/" mid[1 + int(rand() * 12)] (rand() < .3 ? int(rand() * 4) : "")
            if (!(path in made)) { made[path] = 1; print path >root ".dirs" }
            suffix = end[1 + int(rand() * 9)]
            name = path "/" (suffix ~ /^[MK]/ ? suffix "." i : "file-" i suffix)
            names[i] = name
        }
        close(root ".dirs")
        system("xargs mkdir -p <" root ".dirs")
        for (i = 0; i < 1500; i++) text = text "static int value_" i " = " int(rand() * 1e9) ";\n"
        for (i = 0; i < files; i++) {
            printf "/* %d */\n%s", i, substr(text, 1 + int(rand() * 4000),
                rand() * rand() * rand() * 40000) >names[i]
            close(names[i])
        }
    }'
    rm "$1.dirs"
    (cd "$1/fs" && ln -s ../include link && ln -s nothing dangling &&
        : >' leading space' && : >$'tab\tand\nnewline' && : >'ünïcödé' && : >-n && mkdir -p 'a b/c d')
    find "$1/tools" -name '*.S' -exec chmod +x {} +
    touch -d '2019-05-05 05:05:05.123' "$1"/*/
}

# job NAME DIR: pull DIR, again, edited.
job() {
    local name=$1 dir=$2 size edited file slow
    size=$(du -sb "$dir" | cut -f1)
    serve "$dir"
    rm -rf copy
    sync "$name: fresh" "$url" copy
    ok "$name: equal" same "$dir" copy
    ok "$name: b3sum agrees" same_hashes "$dir" copy
    bound "$name: little beside the content" "$wire" $((size * 11 / 10 + 200 * files))
    sync "$name: again" "$url" copy
    # (where a scan takes long, the other end does not wait for its last word)
    [ "$(member seconds | tr -d .)" -gt 800 ] && slow=30 || slow=0
    bound "$name: unchanged costs next to nothing" "$wire" $((2048 + slow * $(find copy | wc -l)))
    find "$dir" -type f -size +0 | sort | awk 'NR % 397 == 0' >edits
    edited=0
    while read -r file; do
        echo edited >>"$file"
        edited=$((edited + $(stat -c %s "$file")))
    done <edits
    find "$dir" -type f | sort | awk 'NR % 401 == 0' | tr '\n' '\0' | xargs -0 rm -f
    mkdir "$dir/added"
    random 500000 >"$dir/added/large"
    edited=$((edited + 500000))
    sync "$name: edited" --delete "$url" copy
    ok "$name: equal after edits" same "$dir" copy
    bound "$name: the changed files and little more" "$wire" $((edited + 100000 + slow * $(find copy | wc -l)))
    mv "$dir/added" "$dir/zz-renamed"
    sync "$name: a directory renamed" --delete "$url" copy
    bound "$name: no content" "$literal" 1000
    sync "$name: back again" --delete copy/ "$url"
    ok "$name: nothing comes back" [ "$literal" = 0 ]
    ok "$name: equal at the end" same "$dir" copy
    stop
}

# take TO DIR…: a copy of the first that is there.
take() {
    local from
    for from in "${@:2}"; do
        [ -d "$from" ] && cp -a "$from" "$1" 2>/dev/null && return
    done
    return 1
}

if take system /usr/share/perl /usr/include /usr/share/doc; then
    job 'a system tree' system
fi
if take package /usr/lib/node_modules/npm /usr/share/nodejs/npm /usr/share/nodejs; then
    job 'an npm tree' package
else
    skip 'an npm tree' 'no npm here'
fi
if [ $sanitized ]; then kernel linux 3000; else kernel linux 20000; fi
job 'a kernel-like tree' linux
finish
