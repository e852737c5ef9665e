#!/bin/sh
# Builds what the tests in ../ run and prints its path: `build.sh` the components of Kubernetes, `build.sh helm` Helm.
# Minutes of work on a cold cache, so the result is kept in the user's cache directory under a hash of what it depends on.
set -eu
cd "$(dirname "$0")/${1:+../$1}"
name=${1:-components}
hash=$(cat go.mod go.sum main.go | sha256sum | cut -c1-16)
directory=${XDG_CACHE_HOME:-$HOME/.cache}/keysluice/$name-$hash
binary=$directory/$name
if [ ! -x "$binary" ]; then
    if ! command -v go >/dev/null; then
        echo "$name: go is not installed, and $binary was not built before" >&2
        exit 1
    fi
    mkdir -p "$directory"
    flags="-s -w"
    version=$(sed -n 's/^\tk8s.io\/kubernetes //p' go.mod)
    if [ -n "$version" ]; then
        # Without a version of its own the API server calls itself v0.0.0 and refuses feature gates.
        minor=${version#v1.}
        package=k8s.io/component-base/version
        flags="$flags -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
    fi
    # The name is taken by a rename, so that an interrupted build leaves nothing that looks finished.
    CGO_ENABLED=0 nice go build -mod=readonly -p "${JOBS:-2}" -trimpath -ldflags "$flags" -o "$binary.$$" . >&2
    mv "$binary.$$" "$binary"
fi
echo "$binary"
