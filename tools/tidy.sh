#!/bin/sh
# tidy.sh: rules about the tree itself that no compiler checks (docs/ARCHITECTURE.md). Each
# rule is one test; a breach is printed with its place. The last line is `N passed, N failed`.
#
#   layers    includes point one way: engine/base <- data <- sync <- swarm <- engine/*.c
#             <- include/acequia.h <- host/* <- app/*; hosts never include each other. Hosts
#             and apps may assert as the engine does, apps may hash and match by its rules
#   outside   engine/ includes stdint, stddef, stdbool and own files; SIMD headers in data/
#   bans      engine/ calls no libc, knows no errno and no floating point
#   sizes     no .c or .h over 800 lines: then there are two nouns in it
#   sources   every .c is listed in a meson.build and every listed one exists
#   headers   every .h is included by somebody
#   tools     every script of tools/ is named somewhere else
#   private   no path of somebody's machine and no package registry's host
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# Also files that are not added yet: they shall not surprise at the commit.
if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files -co --exclude-standard
else
    find . -type f -not -path './build*' -not -path './.git/*' | sed 's:^\./::'
fi | sort | while read -r file; do
    [ -f "$file" ] && printf '%s\n' "$file"
done >"$work/files"
grep -E '\.[ch]$' "$work/files" >"$work/code"
grep '^engine/' "$work/code" >"$work/engine"

# verdict RULE: counts the rule; its breaches stand in $work/out.
verdict() {
    if [ -s "$work/out" ]; then
        failed=$((failed + 1))
        sed "s/^/$1: /" "$work/out"
    else
        passed=$((passed + 1))
    fi
}

# "file line included-name" for every include in quotes; in angles with `<name`.
# shellcheck disable=SC2046 # names without spaces
awk 'match($0, /^[ \t]*#[ \t]*include[ \t]*["<][^">]+/) {
         name = substr($0, RSTART, RLENGTH)
         angle = name ~ /</
         sub(/^[^"<]*["<]/, "", name)
         print FILENAME, FNR, (angle ? "<" : "") name
     }' $(cat "$work/code") /dev/null >"$work/includes"

# "file line included-file" for own files, resolved as the compiler would.
awk 'function normal(path,   parts, n, i, out, k) {
         n = split(path, parts, "/")
         k = 0
         for (i = 1; i <= n; i++) {
             if (parts[i] == "..") k--
             else if (parts[i] != "." && parts[i] != "") out[++k] = parts[i]
         }
         path = out[1]
         for (i = 2; i <= k; i++) path = path "/" out[i]
         return path
     }
     FNR == NR { have[$1] = 1; next }
     $3 ~ /^</ { next }
     {
         dir = $1
         sub(/[^\/]*$/, "", dir)
         split(normal(dir $3) " include/" $3 " engine/" $3 " " $3, tried, " ")
         found = ""
         for (i = 1; i <= 4 && found == ""; i++)
             if (tried[i] in have) found = tried[i]
         print $1, $2, (found == "" ? "?" $3 : found)
     }' "$work/files" "$work/includes" >"$work/graph"

awk 'function layer(file) {
         if (file ~ /^engine\/base\//) return 1
         if (file ~ /^engine\/data\//) return 2
         if (file ~ /^engine\/sync\//) return 3
         if (file ~ /^engine\/swarm\//) return 4
         if (file ~ /^engine\//) return 5
         if (file ~ /^host\//) return 7
         if (file ~ /^app\//) return 8
         return 0
     }
     function house(file,   parts) { # host/native, app/cli
         split(file, parts, "/")
         return parts[1] "/" parts[2]
     }
     $3 ~ /^\?/ {
         print $1 ":" $2 ": includes " substr($3, 2) ", which is nowhere"
         next
     }
     {
         from = layer($1)
         to = layer($3)
         if ($1 == "include/acequia.h") print $1 ":" $2 ": the public header stands alone"
         if (from == 0 || $3 == "include/acequia.h") next
         if (from >= 7 && $3 == "engine/base/assert.h") next
         if (from == 8 && $3 ~ /^engine\/(data\/blake3|sync\/filter)\.h$/) next
         bad = to == 0 || to > from
         if (from >= 7 && to < 7) bad = 1
         if (from >= 7 && to == from && house($1) != house($3)) bad = 1
         if (bad) print $1 ":" $2 ": must not include " $3
     }' "$work/graph" >"$work/out"
verdict layers

awk '$1 ~ /^engine\// && $3 ~ /^</ {
         name = substr($3, 2)
         if (name ~ /^(stdint|stddef|stdbool)\.h$/) next
         if ($1 ~ /^engine\/data\// && name ~ /^(immintrin|wasm_simd128|arm_neon)\.h$/) next
         print $1 ":" $2 ": must not include <" name ">"
     }' "$work/includes" >"$work/out"
verdict outside

# Comments and strings are blanked first; a character literal may hold a quote.
# shellcheck disable=SC2046
awk 'function bare(line,   out, c, two) {
         out = ""
         while (line != "") {
             if (within) {
                 if (!match(line, /\*\//)) return out
                 line = substr(line, RSTART + 2)
                 within = 0
                 continue
             }
             c = substr(line, 1, 1)
             two = substr(line, 1, 2)
             if (two == "//") return out
             if (two == "/*") { within = 1; line = substr(line, 3); continue }
             if (c == "\"" && match(line, /^"([^"\\]|\\.)*"/) ||
                 c == "\047" && match(line, /^\047([^\047\\]|\\.)*\047/)) {
                 out = out "\"\""
                 line = substr(line, RLENGTH + 1)
                 continue
             }
             out = out c
             line = substr(line, 2)
         }
         return out
     }
     function ban(pattern, why) {
         if (text ~ pattern) print FILENAME ":" FNR ": " why
     }
     FNR == 1 { within = 0 }
     {
         text = " " bare($0) " "
         if (text ~ /^ *#[ \t]*include/) next
         ban("[^A-Za-z0-9_.>](malloc|calloc|realloc|free|alloca)[ \t]*\\(", "no allocation")
         ban("[^A-Za-z0-9_.>](time|clock|clock_gettime|rand|random|getrandom)[ \t]*\\(",
             "time and chance enter through acequia.h")
         ban("[^A-Za-z0-9_.>]([fs]?n?printf|puts|putchar|abort|exit|assert)[ \t]*\\(",
             "no libc")
         ban("[^A-Za-z0-9_.>](errno|float|double)[^A-Za-z0-9_]", "no errno, no floating point")
         ban("[^A-Za-z0-9_.][0-9]+\\.[0-9]", "no floating point")
         if (FILENAME == "engine/base/bytes.h" || FILENAME == "engine/wasm.c") next
         ban("[^A-Za-z0-9_.>](mem(cpy|move|set|cmp|chr)|str(len|n?cmp|n?cpy|chr))[ \t]*\\(",
             "use base/bytes.h")
         if (FILENAME !~ /^engine\/data\//) # vectors of a constant size move there
             ban("__builtin_(mem|str)", "use base/bytes.h")
     }' $(cat "$work/engine") /dev/null >"$work/out"
verdict bans

grep -v -E 'vectors' "$work/code" | xargs wc -l |
    awk '$2 != "total" && $1 > 800 { print $2 ": " $1 " lines: two nouns in one file" }' \
        >"$work/out"
verdict sizes

# A quoted name in a meson.build names a file beside it, or in tests/ a program's source.
grep -E '(^|/)meson\.build$' "$work/files" | while read -r list; do
    dir=$(dirname "$list")
    grep -v '^ *#' "$list" | grep -oE "'[A-Za-z0-9_./-]+'" | tr -d "'" |
        sed -n -e "s:^\(..*\.c\)$:$dir/\1:p" -e "s:^\(test_[a-z0-9_]*\)$:$dir/unit/\1.c:p"
done | sed 's:^\./::' | grep -vxE 'tests/unit/test_native(_sim)?\.c' | sort -u >"$work/listed"
{
    grep -vxF -f "$work/files" "$work/listed" | sed 's/$/: listed in a meson.build, but not there/'
    grep '\.c$' "$work/code" | grep -vx 'engine/wasm.c' | grep -vxF -f "$work/listed" |
        while read -r file; do
            grep -q " $file\$" "$work/graph" && continue
            case $file in
            bench/* | tests/fuzz/* | tests/e2e/*)
                stem=$(basename "$file" .c)
                grep -E '(\.sh|\.mk|Makefile)$' "$work/files" | xargs grep -qw -e "$stem" &&
                    continue
                case $file in tests/fuzz/fuzz_*) continue ;; esac
                ;;
            esac
            echo "$file: in no meson.build: nobody builds it"
        done
} >"$work/out"
verdict sources

cut -d' ' -f3 "$work/graph" | sort -u >"$work/included"
grep '\.h$' "$work/code" | grep -vx 'include/acequia.h' | grep -vxF -f "$work/included" |
    sed 's/$/: nobody includes it/' >"$work/out"
verdict headers

grep '^tools/' "$work/files" | while read -r file; do
    grep -vxF "$file" "$work/files" | xargs grep -qF -e "$(basename "$file")" ||
        echo "$file: nobody names it"
done >"$work/out"
verdict tools

xargs grep -nIE '(^|[^A-Za-z0-9_./-])/(wor[k]|far[m]|roo[t])/|\.\./share[d]\b|registry\.npmj[s]|deb\.debia[n]\.org|security\.debia[n]\.org' \
    <"$work/files" | cut -c1-160 >"$work/out"
verdict private

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
