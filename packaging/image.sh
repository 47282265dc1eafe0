#!/bin/sh
# Makes a container image of the platform, as an OCI layout, from Debian's packages and a built program:
#   packaging/image.sh target/release/peek OUT
# and prints the flags to run it. Needs root, debootstrap, umoci and dpkg-deb, but no daemon and no registry of images. The
# image has Python and Node.js, so that functions in both run; PACKAGES names others.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:?the built program: packaging/image.sh target/release/peek OUT}
out=${2:?where the OCI layout goes}
suite=${SUITE:-bookworm}
packages=${PACKAGES:-python3,nodejs}
for program in debootstrap umoci dpkg-deb; do
    command -v "$program" >/dev/null || { echo "image.sh: install $program" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "image.sh: debootstrap needs root" >&2; exit 1; }
[ ! -e "$out" ] || { echo "image.sh: $out is there already: choose another place" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
package=$("$here/packaging/deb.sh" "$binary" "$work")
version=$("$binary" --config none version | cut -d' ' -f2)
# The layout beside its final place: an image that is there is whole.
umoci init --layout "$out.new"
umoci new --image "$out.new:$version"
umoci unpack --image "$out.new:$version" "$work/bundle"
root=$work/bundle/rootfs
# The mirror of the host's own sources, and trust of them; a mirror of one's own by MIRROR.
debootstrap --variant=minbase --include="e2fsprogs,nftables,iproute2,ca-certificates,$packages" \
    "$suite" "$root" ${MIRROR:+"$MIRROR"} >"$work/debootstrap.log" 2>&1 \
    || { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
cp "$package" "$root/peek.deb"
chroot "$root" dpkg -i /peek.deb >/dev/null
rm -rf "$root/peek.deb" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
umoci repack --image "$out.new:$version" "$work/bundle"
umoci config --image "$out.new:$version" \
    --config.entrypoint /usr/bin/peek \
    --config.cmd serve --config.cmd --listen --config.cmd 127.0.0.1:9470 \
    --config.volume /var/lib/peek --config.exposedports 9470/tcp \
    --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mv "$out.new" "$out"
cat <<SAY
$out:$version
run it (functions get namespaces, control groups and a network of their own, which takes these rights):
  podman run --rm --privileged --network host --cgroupns host -v peek:/var/lib/peek oci:$out:$version
through TLS, reachable from elsewhere:
  podman run --rm --privileged --cgroupns host -p 9470:9470 -v peek:/var/lib/peek oci:$out:$version \\
    serve --listen 0.0.0.0:9470 --tls-self-signed
SAY
