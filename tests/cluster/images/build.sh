#!/bin/sh
# Builds the images that tests use beside ours and prints their directory: `pause.tar` and `busybox.tar` to load,
# `registry/library/busybox` to pull. Kept in the user's cache under a hash of what is in them.
set -eu
cd "$(dirname "$0")"
busybox=$(command -v busybox) || {
    echo "images: busybox is not installed (Debian: apt-get install busybox-static)" >&2
    exit 1
}
command -v buildah >/dev/null || {
    echo "images: buildah is not installed (Debian: apt-get install buildah)" >&2
    exit 1
}
hash=$(cat build.sh "$busybox" | sha256sum | cut -c1-16)
directory=${XDG_CACHE_HOME:-$HOME/.cache}/keysluice/images-$hash
if [ ! -d "$directory" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    new=$directory.$$
    mkdir -p "$new/registry/library" "$scratch/busybox/bin" "$scratch/busybox/tmp" "$scratch/busybox/etc" "$scratch/pause"
    cp "$busybox" "$scratch/busybox/bin/busybox"
    "$busybox" --list | while read -r name; do
        if [ "$name" != busybox ]; then ln -s busybox "$scratch/busybox/bin/$name"; fi
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$scratch/busybox/etc/passwd"
    printf 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n' >"$scratch/busybox.Containerfile"
    cp "$busybox" "$scratch/pause/pause"
    # The program that holds a pod's namespaces: waits, and ends at once when it is told to.
    printf 'FROM scratch\nCOPY pause /busybox\nENTRYPOINT ["/busybox", "sleep", "infinity"]\n' >"$scratch/pause.Containerfile"
    in_scratch() { buildah --storage-driver vfs --root "$scratch/storage" --runroot "$scratch/run" "$@"; }
    for name in busybox pause; do
        in_scratch build --quiet --isolation chroot --timestamp 0 --file "$scratch/$name.Containerfile" --tag "$name" \
            "$scratch/$name" >&2
        in_scratch push --quiet "$name" "oci-archive:$new/$name.tar:registry.test/$name:1" >&2
    done
    in_scratch push --quiet busybox "oci:$new/registry/library/busybox:latest" >&2
    mv "$new" "$directory"
fi
echo "$directory"
