#!/bin/sh
# Builds the control plane that the tests in ../ run against and prints its path. Minutes of work on a cold cache, so the
# result is kept in the user's cache directory under a hash of everything it depends on.
set -eu
cd "$(dirname "$0")"
hash=$(cat go.mod go.sum main.go build.sh | sha256sum | cut -c1-16)
directory=${XDG_CACHE_HOME:-$HOME/.cache}/keysluice/components-$hash
binary=$directory/components
if [ ! -x "$binary" ]; then
    mkdir -p "$directory"
    version=$(sed -n 's/^\tk8s.io\/kubernetes //p' go.mod)
    minor=${version#v1.}
    package=k8s.io/component-base/version
    # Without a version of its own the API server calls itself v0.0.0 and refuses feature gates.
    flags="-s -w -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
    # The name is taken by a rename, so that an interrupted build leaves nothing that looks finished.
    CGO_ENABLED=0 nice go build -mod=readonly -p "${JOBS:-2}" -trimpath -ldflags "$flags" -o "$binary.$$" . >&2
    mv "$binary.$$" "$binary"
fi
echo "$binary"
