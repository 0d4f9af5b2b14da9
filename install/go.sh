#!/usr/bin/env bash
# Print the path of a Go that is new enough for the Go programs that tests build (clients, other shims' libraries).
# Taken in this order: the one in PATH; the one fetched before; the toolchain module, which any Go from 1.19 on
# (Debian 12's) fetches, checked by Go's checksum database. Debian's old one cannot switch by itself.
# usage: install/go.sh [CACHE]      (default: build/cache)
set -euo pipefail
readonly wanted=1.24.4
cache=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/cache}

# new_enough GO: its own version, not one that it would switch to
new_enough() {
	local version
	version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
	printf '%s\n' "go$wanted" "$version" | sort -CV
}

# any_go: some Go of this machine, of whatever age; Debian's is installed when there is none
any_go() {
	command -v go || {
		[[ $EUID == 0 ]] || { echo "go: there is no Go here; remedy: apt-get install golang-go" >&2; return 1; }
		echo "installing: golang-go" >&2
		timeout 600 apt-get update -qq >&2
		DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y -qq --no-install-recommends golang-go >&2
		command -v go
	}
}

fetch() {
	local helper module folder
	helper=$(any_go)
	module=golang.org/toolchain@v0.0.1-go$wanted.linux-$(dpkg --print-architecture)
	folder=$(mktemp -d "$cache/go.XXXXXX")
	# Outside of any module: its go.mod is none of the old Go's business.
	(cd "$folder" && env -u GOFLAGS GOPATH="$folder" timeout 600 "$helper" mod download "$module") >&2 || {
		rm -rf "$folder"
		echo "go: $module cannot be fetched by $("$helper" version); remedy: put Go $wanted or later into PATH" >&2
		return 1
	}
	# Modules are read-only and hold no executables.
	chmod -R u+w "$folder"
	chmod -R a+x "$folder/pkg/mod/$module"/{bin,pkg/tool}
	rm -rf "$1"
	mv "$folder/pkg/mod/$module" "$1"
	rm -rf "$folder"
}

if own=$(command -v go) && new_enough "$own"; then
	echo "$own"
	exit
fi
mkdir -p "$cache"
toolchain=$cache/go-$wanted
(
	flock -w 1200 9
	new_enough "$toolchain/bin/go" || fetch "$toolchain" 9>&-
) 9>"$cache/.go.lock"
new_enough "$toolchain/bin/go" || { echo "go: $toolchain/bin/go does not run" >&2; exit 1; }
echo "$toolchain/bin/go"
