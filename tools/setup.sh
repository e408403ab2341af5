#!/bin/sh
# setup.sh PROFILE…: installs the Debian packages that are missing, and nothing else. Where
# all are there it touches neither the network nor apt. Profiles:
#   native  what `make` and `make demo` need
#   test    what `make test`, `make check` and `make wasm` need besides
#   bench   the tools that the benchmarks compare with
#   fuzz    libFuzzer
#   install the man pages' formatter
# ACEQUIA_SETUP=skip leaves the machine alone (other distributions, packagers).
set -eu

native='meson ninja-build gcc libc6-dev pkg-config libuv1-dev libgnutls28-dev libwslay-dev
    libhttp-parser-dev libsqlite3-dev libinih-dev rsync'
test='clang-19 lld-19 libclang-rt-19-dev-wasm32 wasi-libc nodejs b3sum valgrind git openssl
    clang-format-14 clang-tidy-14 cppcheck procps socat curl'
bench='iproute2 openssh-server openssh-client procps util-linux'
install='scdoc'
fuzz='clang-19 libclang-rt-19-dev'

[ "${ACEQUIA_SETUP:-}" = skip ] && exit 0

wanted=
for profile in "$@"; do
    case $profile in
    native) wanted="$wanted $native" ;;
    test) wanted="$wanted $native $test" ;;
    bench) wanted="$wanted $native $bench" ;;
    fuzz) wanted="$wanted $native $fuzz" ;;
    install) wanted="$wanted $native $install" ;;
    *)
        echo "setup.sh: no profile is called '$profile' (native, test, bench, fuzz, install)" >&2
        exit 1
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup.sh: not a Debian system; these packages are needed under whatever name:" >&2
    echo "$wanted" | tr -s ' \n' ' ' >&2
    echo >&2
    exit 0
fi

missing=
# shellcheck disable=SC2086 # a list of words
have=" $(dpkg-query -W -f='${db:Status-Status}:${Package} ' $wanted 2>/dev/null || :)"
for package in $wanted; do
    case "$have" in *" installed:$package "*) continue ;; esac
    case " $missing " in *" $package "*) continue ;; esac
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1; then
    as_root=sudo
else
    echo "setup.sh: please install as root:$missing" >&2
    exit 1
fi

echo "setup.sh: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        echo "setup.sh: 'apt-get $*' failed" >&2
        exit 1
    }
}
apt update
# shellcheck disable=SC2086 # a list of words
apt install --no-install-recommends $missing
