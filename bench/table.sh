#!/bin/bash
# table.sh RESULTS: all.sh's figures as the tables of docs/BENCHMARKS.md. Medians over the runs.
# What is asked for stands in the list below, a line each:
#
#   row|what it is|tool it is compared with|measure|kind of limit|must|aim
#
# measures: wall, cpu (both ends, seconds); wire (both directions, bytes), above (the same
# above TLS), excess (wire without what cannot be avoided); memory (the larger end's peak).
# A limit of kind x is a multiple of the other tool's figure, one of kind = is absolute.
set -u
export LC_ALL=C

limits() {
    cat <<'END'
fresh-tls|big file, fresh, encrypted|rsync-ssh|wall|x|0.85|0.6
fresh-tls|big file, fresh, encrypted|rsync-ssh|cpu|x|1|0.8
fresh-tls|big file, fresh, encrypted|rsync-ssh|memory|=|134217728|
fresh-plain|the same, not encrypted|rsync|wall|x|2|1.3
byte1|1 byte changed in it|rsync|wire|=|120000|40000
byte1|1 byte changed in it|rsync|cpu|x|1.3|
ow100|100 × 4 KiB overwritten|rsync|wire|=|3400000|2000000
ow100|100 × 4 KiB overwritten|rsync|cpu|x|1.3|
ins1m|1 MiB inserted|rsync|wire|=|1200000|1100000
ins1m|1 MiB inserted|rsync|cpu|x|1.3|
ins7b|7 bytes inserted|rsync|wire|=|120000|40000
ins7b|7 bytes inserted|rsync|cpu|x|1.3|
move100m|100 MiB moved inside it|rsync|wire|=|600000|100000
killed|killed half-way: sent again|rsync|excess|=|88583700|
tree-fresh|small files, fresh, encrypted|rsync-ssh|wall|x|1|
tree-fresh|small files, fresh, encrypted|rsync-ssh|cpu|x|1|
tree-fresh|small files, fresh, encrypted|rsync-ssh|memory|=|268435456|
tree-fresh|the same against plain rsync|rsync|wall|x||1
tree-fresh|the same against plain rsync|rsync|cpu|x||1
tree-same|nothing changed, warm|rsync|above|=|2000|
tree-same|nothing changed, warm|rsync|wire|=|8000|
tree-same|nothing changed, warm|rsync|wall|x|1|0.5
tree-cold|nothing changed, both ends cold|rsync|wire|=|12000000|
tree-cold|nothing changed, both ends cold|rsync|wall|x|2|
tree-100|100 changed, warm: beyond their size|rsync|excess|=|100000|
renamed|directory renamed|rsync|wire|=|100000|10000
memory-10g|10 GiB file|none|memory|=|134217728|
memory-million|a million files|none|memory|=|268435456|
hash|scan + chunk hash + file hash, one core|none|speed|>|1.2|1.8
END
}

limits | awk -F '\t' '
    function median(list,   n, i, j, t, a) {
        n = split(list, a, " ")
        for (i = 2; i <= n; i++) {
            t = a[i] + 0
            for (j = i - 1; j > 0 && a[j] + 0 > t; j--) a[j + 1] = a[j]
            a[j + 1] = t
        }
        return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
    }
    function put(measure, value) {
        all[$1, $2, measure] = all[$1, $2, measure] " " value
    }
    function get(row, tool, measure) {
        return median(all[row, tool, measure])
    }
    function bytes(n,   i, unit) {
        split("B kB MB GB", unit, " ")
        for (i = 1; n >= 999.5 && i < 4; i++) n /= 1000
        return sprintf(i == 1 ? "%d %s" : n < 9.995 ? "%.2f %s" : n < 99.95 ? "%.1f %s" : \
                       "%.0f %s", n, unit[i])
    }
    function show(measure, n) {
        if (n == "") return ""
        if (measure == "speed") return n " GB/s"
        if (measure == "memory") return sprintf("%.0f MiB", n / 1048576)
        if (measure ~ /^(wall|cpu)$/) return sprintf("%.2f s", n)
        return bytes(n)
    }
    function limit(kind, measure, n) {
        if (n == "") return ""
        if (kind == "x") return "≤ " n " ×"
        return (kind == ">" ? "≥ " : "≤ ") show(measure, n)
    }
    function holds(kind, n, other, most) {
        if (most == "") return -1
        return kind == ">" ? n >= most : kind == "=" ? n <= most : n <= most * other
    }
    function verdict(kind, n, other, must, aim,   over) {
        if (aim != "" && holds(kind, n, other, aim)) return must == "" ? "aim met" : "met, and the aim"
        if (holds(kind, n, other, must) == 1) return "met"
        if (must == "") return "aim missed"
        over = kind == "x" ? n / other / must : kind == ">" ? 2 - n / must : n / must
        if (over < 3) return sprintf("**missed by %.0f %%**", (over - 1) * 100)
        return sprintf("**missed, %.1f times**", over)
    }
    FILENAME == ARGV[1] && $1 == "hash" {
        speeds[++speeds_count] = "| " $2 " | " $4 " GB/s |"
        if ($2 == "scan + chunk hash + file hash") all["hash", "acequia", "speed"] = $4
        next
    }
    FILENAME == ARGV[1] {
        if (!(($1, $2) in runs)) pairs[++pairs_count] = $1 SUBSEP $2
        runs[$1, $2]++
        put("wall", $4); put("cpu", $5 + $6); put("cpu_a", $5); put("cpu_b", $6)
        put("wire", $7 + $8); put("down", $7); put("up", $8); put("above", $11)
        put("excess", $7 + $8 - $12)
        put("memory", 1024 * ($9 > $10 ? $9 : $10))
        put("memory_a", 1024 * $9); put("memory_b", 1024 * $10)
        if ($13 != "equal" && $13 != "-") bad[$1, $2] = " (" $13 "!)"
        next
    }
    FNR == 1 {
        print "| work | measure | ours | rsync | ours / rsync | must | aim | |"
        print "| --- | --- | ---: | ---: | ---: | --- | --- | --- |"
    }
    {
        split($0, f, "|")
        row = f[1]; other = f[3]; measure = f[4]; kind = f[5]; must = f[6]; aim = f[7]
        own = row == "fresh-plain" ? "acequia-plain" : "acequia"
        if (!((row, own, measure) in all)) next
        n = get(row, own, measure)
        known = ((row, other, measure) in all)
        theirs = known ? get(row, other, measure) : ""
        ratio = known && theirs > 0 ? sprintf("%.2g", n / theirs) : ""
        if (kind == "x" && !known) next
        printf "| %s | %s | %s%s | %s%s | %s | %s | %s | %s |\n", f[2], measure,
            show(measure, n), bad[row, own], show(measure, theirs),
            known && other == "rsync-ssh" ? " (ssh)" : "",
            ratio,
            limit(kind, measure, must), limit(kind, measure, aim),
            bad[row, own] != "" ? "**failed**" : verdict(kind, n, theirs, must, aim)
    }
    END {
        print ""
        print "| work | tool | runs | wall | CPU A + B | wire from A | to A | above TLS | peak memory A, B |"
        print "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        for (i = 1; i <= pairs_count; i++) {
            split(pairs[i], k, SUBSEP)
            printf "| %s | %s%s | %d | %.2f s | %.2f + %.2f s | %s | %s | %s | %.0f, %.0f MiB |\n",
                k[1], k[2], bad[k[1], k[2]], runs[k[1], k[2]], get(k[1], k[2], "wall"),
                get(k[1], k[2], "cpu_a"), get(k[1], k[2], "cpu_b"),
                bytes(get(k[1], k[2], "down")), bytes(get(k[1], k[2], "up")),
                bytes(get(k[1], k[2], "above")),
                get(k[1], k[2], "memory_a") / 1048576, get(k[1], k[2], "memory_b") / 1048576
        }
        if (speeds_count) print "\n| one core, random bytes in memory | |\n| --- | ---: |"
        for (i = 1; i <= speeds_count; i++) print speeds[i]
    }' "$1" FS='|' -
