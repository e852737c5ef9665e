#!/bin/sh
# Builds the programs that Keysluice replaces or works with, from their own modules, and prints the directory: `bin` for what
# runs beside the cluster, `images` for what runs in it, `charts` and `crds` as their modules have them. Kept in the user's
# cache under a hash of what they depend on; minutes of work on a cold cache.
set -eu
cd "$(dirname "$0")"
azure_workload_identity=github.com/Azure/azure-workload-identity@v1.6.0
driver=sigs.k8s.io/secrets-store-csi-driver@v1.6.0
provider=github.com/Azure/secrets-store-csi-driver-provider-azure@v1.8.2

hash=$(cat build.sh cert-manager/* registrar/* mlog/* | sha256sum | cut -c1-16)
directory=${XDG_CACHE_HOME:-$HOME/.cache}/keysluice/peers-$hash
if [ -d "$directory" ]; then
    echo "$directory"
    exit
fi
for program in go:golang buildah:buildah busybox:busybox-static; do
    if ! command -v "${program%:*}" >/dev/null; then
        echo "peers: ${program%:*} is not installed (Debian: ${program#*:}), and $directory was not built before" >&2
        exit 1
    fi
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Programs stay here when a build is interrupted; the name of the whole is taken by a rename.
new=$directory.part
rm -rf "$new/images" "$new/charts" "$new/crds"
mkdir -p "$new/bin" "$new/images" "$new/charts" "$new/crds"

source_of() { go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }
mlog=$PWD/mlog
build() { # NAME, DIRECTORY, PACKAGE
    if [ -x "$new/bin/$1" ]; then return; fi
    echo "peers: building $1" >&2
    cp "$2/go.mod" "$scratch/$1.mod"
    cp "$2/go.sum" "$scratch/$1.sum"
    # The requirements of its release, but for the logger that not every proxy serves.
    if grep -q monis.app/mlog "$2/go.mod"; then echo "replace monis.app/mlog => $mlog" >>"$scratch/$1.mod"; fi
    (cd "$2" && CGO_ENABLED=0 nice go build -mod=readonly -modfile "$scratch/$1.mod" -p "${JOBS:-2}" -trimpath \
        -ldflags "-s -w" -o "$scratch/$1" "$3" >&2)
    mv "$scratch/$1" "$new/bin/$1"
}
build cert-manager cert-manager .
build registrar registrar .
build azure-workload-identity "$(source_of "$azure_workload_identity")" ./cmd/webhook
build driver "$(source_of "$driver")" ./cmd/secrets-store-csi-driver
build provider "$(source_of "$provider")" ./cmd

chart() { # NAME, MODULE
    cp -r "$(source_of "$2")/charts/$1" "$new/charts/"
    chmod -R u+w "$new/charts/$1"
}
chart workload-identity-webhook "$azure_workload_identity"
chart secrets-store-csi-driver "$driver"
chart csi-secrets-store-provider-azure "$provider"
# The driver is installed by its own chart; the archive of the other that this one names is not in the module.
sed -i '/^dependencies:/,$d' "$new/charts/csi-secrets-store-provider-azure/Chart.yaml"
rm -f "$new/charts/csi-secrets-store-provider-azure/Chart.lock"
cert_manager=$(cd cert-manager && go list -mod=readonly -m -f '{{.Dir}}' github.com/cert-manager/cert-manager)
cp "$cert_manager"/deploy/crds/cert-manager.io_*.yaml "$cert_manager"/deploy/crds/acme.*.yaml "$new/crds/"

in_scratch() { buildah --storage-driver vfs --root "$scratch/storage" --runroot "$scratch/run" "$@"; }
image() { # PROGRAM, its path in the image, the image's name in its chart
    name=$(basename "$2")
    mkdir -p "$scratch/$name/$(dirname "$2")" "$scratch/$name/bin" "$scratch/$name/tmp"
    cp "$new/bin/$1" "$scratch/$name/$2"
    # The driver mounts by `mount`.
    cp "$(command -v busybox)" "$scratch/$name/bin/busybox"
    for command in mount umount; do ln -s busybox "$scratch/$name/bin/$command"; done
    printf 'FROM scratch\nCOPY . /\nENV PATH=/bin\nENTRYPOINT ["%s"]\n' "$2" >"$scratch/$name.Containerfile"
    in_scratch build --quiet --isolation chroot --timestamp 0 --file "$scratch/$name.Containerfile" --tag "$name" \
        "$scratch/$name" >&2
    in_scratch push --quiet "$name" "oci-archive:$new/images/$name.tar:$3" >&2
}
image azure-workload-identity /manager mcr.microsoft.com/oss/azure/workload-identity/webhook:v1.6.0
image driver /secrets-store-csi registry.k8s.io/csi-secrets-store/driver:v1.6.0
image registrar /csi-node-driver-registrar registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.16.0
image registrar /livenessprobe registry.k8s.io/sig-storage/livenessprobe:v2.18.0
image provider /bin/secrets-store-csi-driver-provider-azure \
    mcr.microsoft.com/oss/v2/azure/secrets-store/provider-azure:v1.8.2
mv "$new" "$directory"
echo "$directory"
