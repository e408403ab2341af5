#!/bin/bash
# filter.sh: random --include and --exclude patterns over a tree of awkward names: what a dry
# run would send is what rsync would send. The same patterns every time; SEED=n draws others.
# ACEQUIA names the program. The last line is `N passed, N failed`.
set -u
export LC_ALL=C
program=$(realpath "${ACEQUIA:-build/acequia}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config HOME=$work
passed=0
failed=0
RANDOM=${SEED:-7}

names=('a' 'b' 'ab' 'a.c' 'b.c' 'abc' 'a-b' '[a]' 'x*' 'c.d.e' '#c' 'a b')
tokens=('a' 'b' 'c' '.' '*' '**' '?' '/' '[ab]' '[!a]' 'a' 'b' '/' 'ab' '*.c' '\*' '[[:alpha:]]' '-' '**/' '/**' ' ')

tree_make() { # tree_make DIRECTORY DEPTH
    local name
    for name in "${names[@]}"; do
        if [ "$2" -lt 3 ] && [ $((RANDOM % 10)) -lt 4 ]; then
            mkdir "$1/$name"
            tree_make "$1/$name" $(($2 + 1))
        elif [ $((RANDOM % 10)) -lt 6 ]; then
            : >"$1/$name"
        fi
    done
}

pattern_make() { # into $pattern: no empty part, no lone slash, not only a sign
    while :; do
        pattern=
        [ $((RANDOM % 3)) = 0 ] && pattern=/
        for _ in $(seq $((RANDOM % 5 + 1))); do
            pattern+=${tokens[RANDOM % ${#tokens[@]}]}
        done
        [ $((RANDOM % 5)) = 0 ] && pattern+=/
        # rsync's "***" beyond a lone one at the end means what nobody would guess
        [[ $pattern != *//* && $pattern != / && $pattern != *'***'* &&
            $pattern != [-+]' '* && $pattern != ' '* ]] && return
    done
}

mkdir src
tree_make src 0
for _ in $(seq "${CASES:-60}"); do
    options=()
    for _ in $(seq $((RANDOM % 4 + 1))); do
        pattern_make
        [ $((RANDOM % 2)) = 0 ] && sign=include || sign=exclude
        options+=("--$sign=$pattern")
    done
    rsync -nr --out-format=%n "${options[@]}" src/ none/ 2>/dev/null |
        grep -v -e '^\./$' -e '^created directory' | sort >want
    "$program" sync -n "${options[@]}" src/ none 2>err | cut -c 13- | sort >got
    if cmp -s want got; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED:'
        printf ' %q' "${options[@]}"
        printf '\n'
        diff want got | head -n 5
        head -n 2 err
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
