# What the tests on other machines share. Sourced, with the repository's root as the working directory.

MIRROR=${MIRROR:-http://deb.debian.org/debian}
UBUNTU_MIRROR=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
# Root file systems are kept here from one run to the next; removing it costs only time.
KEPT=${KEPT:-$PWD/target/machine}
BINARY=${PEEK_BINARY:-$PWD/target/release/peek}

say() { printf '\033[1mmachine:\033[0m %s\n' "$*" >&2; }
fail() { printf 'machine: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Installs the package $2 unless program $1 is there.
need() {
    have "$1" && return
    have apt-get || fail "$1 is missing and there is no apt-get: install it by this machine's own means"
    say "installing $2"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

# Root, a binary, and debootstrap.
set_up() {
    [ "$(id -u)" = 0 ] || fail "only root can make and enter another system's root: run this with sudo"
    [ -x "$BINARY" ] || { say "building peek"; ./run build; }
    need debootstrap debootstrap
    mkdir -p "$KEPT"
}

# Prints nothing and succeeds where a mirror has a suite.
has_suite() {
    need curl curl
    curl -sSf -m 20 -o /dev/null "$1/dists/$2/Release"
}

# Fetches the keys that Ubuntu signs with, which Debian does not have, by the checksum of their package.
ubuntu_keys() {
    [ ! -e "$KEPT/ubuntu-archive-keyring.gpg" ] || return 0
    curl -sSf -o "$KEPT/keys.deb" "$1/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
    echo "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8  $KEPT/keys.deb" |
        sha256sum --check --quiet || fail "the keys of Ubuntu have the wrong checksum"
    dpkg-deb -x "$KEPT/keys.deb" "$KEPT/keys"
    cp "$KEPT/keys/usr/share/keyrings/ubuntu-archive-keyring.gpg" "$KEPT/"
}

# Makes the root file system of suite $2 from mirror $1 in directory $3, with packages $4 (comma-separated), unless it is there.
make_root() {
    [ ! -e "$3/.complete" ] || return 0
    say "making a root of $2 from $1 (minutes)"
    rm -rf "$3"
    script=
    # Suites newer than this machine's debootstrap are made as their family is.
    if [ ! -e "/usr/share/debootstrap/scripts/$2" ]; then
        case "$1" in
        *ubuntu*) script=/usr/share/debootstrap/scripts/gutsy ;;
        *) script=/usr/share/debootstrap/scripts/sid ;;
        esac
    fi
    verify=
    case "$1" in
    *ubuntu*)
        ubuntu_keys "$1"
        verify=--keyring=$KEPT/ubuntu-archive-keyring.gpg
        ;;
    esac
    components=main
    case "$1" in *ubuntu*) components=main,universe ;; esac
    # shellcheck disable=SC2086
    debootstrap --variant=minbase $verify --components="$components" --include="$4" "$2" "$3" "$1" $script \
        >"$KEPT/$2.log" 2>&1 || fail "debootstrap of $2 failed: see $KEPT/$2.log"
    rm -rf "$3"/var/cache/apt/archives/*.deb "$3"/var/lib/apt/lists/*
    touch "$3/.complete"
}
