#!/usr/bin/env bash
# Put the package ttrpc-ts together, compiled, as `npm pack` or `npm install FOLDER` take it.
# usage: shim/ttrpc/pack.sh FOLDER
set -euo pipefail
[[ $# == 1 ]] || { echo "usage: shim/ttrpc/pack.sh FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
"$root/node_modules/.bin/tsc" -p "$here" --outDir "$out/dist"
cp "$here/package.json" "$here/README.md" "$root/LICENSE" "$out/"
