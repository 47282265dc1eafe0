#!/bin/sh
# Makes a Debian package of a built program:
#   packaging/deb.sh target/release/peek [DIRECTORY]
# and prints its path. It holds the program, its manual pages, completions, systemd unit, a configuration to edit, and the
# profiles. COMPRESSION names another one than xz (gzip is quick). Needs dpkg-deb and gzip, nothing else; the same input gives the same bytes.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:?the built program: packaging/deb.sh target/release/peek [DIRECTORY]}
out=${2:-.}
[ -x "$binary" ] || { echo "deb.sh: $binary is no program: cargo build --release" >&2; exit 1; }
case "$binary" in /*) ;; *) binary=$PWD/$binary ;; esac

version=$("$binary" --config none version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
chmod 755 "$root"

install -D -m 755 "$binary" "$root/usr/bin/peek"
install -D -m 644 "$here/packaging/peek.service" "$root/usr/lib/systemd/system/peek.service"
install -D -m 644 "$here/packaging/peek.toml" "$root/etc/peek/peek.toml"
install -D -m 644 "$here/LICENSE" "$root/usr/share/doc/peek/copyright"
for profile in "$here"/profiles/*.toml; do
    install -D -m 644 "$profile" "$root/usr/share/peek/profiles/$(basename "$profile")"
done
mkdir -p "$root/usr/share/man/man1" "$root/usr/share/bash-completion/completions" \
    "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
"$binary" --config none man --out "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*.1
"$binary" --config none completions bash >"$root/usr/share/bash-completion/completions/peek"
"$binary" --config none completions zsh >"$root/usr/share/zsh/vendor-completions/_peek"
"$binary" --config none completions fish >"$root/usr/share/fish/vendor_completions.d/peek.fish"

# What a dynamically linked program needs of the C library: no older one than it was linked with.
needs=
if ldd "$binary" >/dev/null 2>&1; then
    libc=$(objdump -T "$binary" 2>/dev/null | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -n1 | cut -d_ -f2)
    needs="libc6 (>= ${libc:-2.34}), libgcc-s1"
fi
mkdir -p "$root/DEBIAN"
{
    echo "Package: peek"
    echo "Version: $version"
    echo "Architecture: $architecture"
    echo "Maintainer: Peek <peek@localhost>"
    echo "Section: utils"
    echo "Priority: optional"
    [ -z "$needs" ] || echo "Depends: $needs"
    echo "Recommends: e2fsprogs, nftables, ca-certificates"
    echo "Suggests: python3, nodejs"
    echo "Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)"
    echo "Description: function platform that speaks the AWS Lambda API, and instrument that measures such"
    echo " Runs functions in containers of its own on one machine; AWS CLI, SDKs and function"
    echo " packages work unchanged. Measures any function platform from outside."
} >"$root/DEBIAN/control"
echo /etc/peek/peek.toml >"$root/DEBIAN/conffiles"
# The service is neither enabled nor started by itself: it runs foreign code as root, which someone has to decide.
cat >"$root/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
    if systemctl is-active --quiet peek.service; then systemctl restart peek.service || true; fi
fi
SCRIPT
cat >"$root/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl disable --now peek.service || true; fi
SCRIPT
cat >"$root/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = purge ]; then rm -rf /var/lib/peek; rmdir /etc/peek 2>/dev/null || true; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
SCRIPT
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
find "$root" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
mkdir -p "$out"
package=$out/peek_${version}_${architecture}.deb
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0} dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$root" "$package" >/dev/null
echo "$package"
