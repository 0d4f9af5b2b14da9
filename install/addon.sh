#!/usr/bin/env bash
# Build the Node addon: OUT/pclive.node. Needs no network: the headers are those beside the Node in use.
# usage: install/addon.sh OUT; SAN=1 builds it with ASan and UBSan
set -euo pipefail

[[ $# == 1 ]] || { echo "usage: install/addon.sh OUT" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)

prefix=$(node -p 'path.dirname(path.dirname(fs.realpathSync(process.execPath)))')
[[ -f $prefix/include/node/node_api.h ]] || {
	echo "addon: no headers in $prefix/include/node; remedy: install Node from an archive or package that brings them" >&2
	exit 1
}

# node-gyp builds beside binding.gyp, and the source tree stays clean: it gets links to the sources in OUT.
work=$out/gyp
mkdir -p "$work"
ln -sfn "$root/native/addon/src" "$work/src"
ln -sfn "$root/node_modules" "$work/node_modules"
cp -u "$root/native/addon/binding.gyp" "$work/binding.gyp"

if [[ -n ${SAN:-} ]]; then
	export CXXFLAGS="-fsanitize=address,undefined -fno-sanitize=vptr -fno-omit-frame-pointer -g" LDFLAGS="-fsanitize=address,undefined"
fi
log=$out/build.log
steps=(build)
[[ -f $work/build/Makefile && ! $work/binding.gyp -nt $work/build/Makefile ]] || steps=(configure build)
for step in "${steps[@]}"; do
	(cd "$work" && timeout 600 "$root/node_modules/.bin/node-gyp" "$step" --nodedir="$prefix" --jobs=2) >"$log" 2>&1 || {
		cat "$log" >&2
		echo "addon: node-gyp $step failed (log: $log)" >&2
		exit 1
	}
done
# Renamed into place: a running process may have the old one mapped.
cp "$work/build/Release/pclive.node" "$out/pclive.node.new"
mv "$out/pclive.node.new" "$out/pclive.node"
