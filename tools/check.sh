#!/bin/sh
# check.sh [FILE…]: formatting, clang-tidy and cppcheck over the named files, or over all of
# them. Needs a configured build (`make check` sees to it). Exit status 1 on any finding.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
jobs=${JOBS:-2}
if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046 # names without spaces
    set -- $(git ls-files -co --exclude-standard '*.c' '*.h')
fi
bad=0

clang-format-14 --dry-run -Werror "$@" || bad=1

# clang-tidy reads how each file is compiled from Meson; files it does not list are headers
# or templates, seen through those that include them. Tests prove themselves by running.
for file in "$@"; do
    case $file in tests/*) continue ;; esac
    case $file in *.c) grep -qF "$file\"" "$build/compile_commands.json" && echo "$file" ;; esac
done | xargs -r -n 4 -P "$jobs" clang-tidy-14 --quiet -p "$build" 2>/dev/null || bad=1

printf '%s\n' "$@" | grep '\.c$' |
    xargs -r cppcheck --quiet --std=c11 --platform=unix64 -j "$jobs" --inline-suppr \
        --enable=warning,performance,portability --error-exitcode=1 \
        --suppressions-list=tools/cppcheck.txt -Iinclude -Iengine -I. || bad=1

[ "$bad" -eq 0 ] && echo "check: nothing found"
exit "$bad"
