#!/usr/bin/env bash
# Build a client that Debian does not have, from its Go module, into build/cache; print the program's path.
# The module is checked by Go's checksum database, what it needs by its own go.sum.
# usage: tools.sh nerdctl|crictl
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/build/cache

case ${1:-} in
nerdctl) module=github.com/containerd/nerdctl/v2 version=v2.1.2 ;;
crictl) module=sigs.k8s.io/cri-tools version=v1.30.0 ;;
*) echo "usage: tools.sh nerdctl|crictl" >&2 && exit 2 ;;
esac
program=$cache/$1-$version

build() {
	local go=$1 name=$2 source
	# Standing in no module, or Go would look for what is newer.
	source=$(cd / && timeout 600 "$go" mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	[[ -d $source ]] || { echo "tools: $module $version cannot be fetched" >&2; return 1; }
	echo "tools: building $name $version" >&2
	# The module's folder is read-only, which is fine; it brings no vendored packages.
	(cd "$source" && CGO_ENABLED=0 GOFLAGS=-mod=readonly timeout 1500 nice "$go" build -p 2 -trimpath -ldflags='-s -w' -o "$program.part" "./cmd/$name") >&2
	mv "$program.part" "$program"
}

mkdir -p "$cache"
(
	flock -w 1800 9
	[[ -x $program ]] || build "$("$root/install/go.sh")" "$1" 9>&-
) 9>"$cache/.tools.lock"
echo "$program"
