# Sourced by the other scripts: what they need on a Debian or Ubuntu machine that has Rust, and how they speak.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/sbin:/sbin"

# Colours only for a person.
if [ -t 1 ]; then bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'; else bold='' red='' green='' plain=''; fi

say() { printf '%s== %s%s\n' "$bold" "$*" "$plain"; }
die() {
    printf '%s%s: %s%s\n' "$red" "$(basename "$0")" "$*" "$plain" >&2
    exit 1
}

# Packages, namespaces and TAPs need root.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else
        command -v sudo >/dev/null || die "needs root for: $* (no sudo here; start it as root)"
        sudo "$@"
    fi
}

# become COMMAND...: for `become ... &`: the background process is then the program itself (or sudo, which passes
# signals on), and not a shell whose death would leave the program alone.
become() { if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo "$@"; fi; }

# need PROGRAM=PACKAGE ...: installs the packages of the programs that are missing.
need() {
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# install_packages PACKAGE...
install_packages() {
    command -v apt-get >/dev/null || die "needs $*; install them and start again (only apt is known here)"
    say "installing $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need_rust() {
    if [ -f "$HOME/.cargo/env" ]; then . "$HOME/.cargo/env"; fi
    command -v cargo >/dev/null || die "needs Rust 1.95 or later: https://rustup.rs"
    # For linking, and for the cryptography below TLS.
    need cc=gcc
    [ -e /usr/include/stdlib.h ] || install_packages libc6-dev
}

need_tun() {
    [ -e /dev/net/tun ] && return
    as_root mkdir -p /dev/net
    as_root mknod /dev/net/tun c 10 200 || die "/dev/net/tun is missing and cannot be made: is this a container without devices?"
}

# A scanner of TLS that is no package of the distribution's, in a folder of its own.
need_sslyze() {
    sslyze=${CARGO_TARGET_DIR:-$PWD/target}/sslyze/bin/sslyze
    [ ! -x "$sslyze" ] || return 0
    say "installing sslyze"
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    python3 -m venv "${sslyze%/bin/*}"
    "${sslyze%/*}/pip" install --quiet 'sslyze>=6'
}
