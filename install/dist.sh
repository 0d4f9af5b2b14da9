#!/usr/bin/env bash
# Put together what is shipped: DIST gets the same folders as a prefix. Parts that are not built are named and left out.
# usage: install/dist.sh BUILD DIST
set -euo pipefail

[[ $# == 2 ]] || { echo "usage: install/dist.sh BUILD DIST" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd)
mkdir -p "$2"
dist=$(cd "$2" && pwd)
lib=$dist/lib/pclive
mkdir -p "$lib/criu" "$dist/bin" "$dist/lib/systemd/system" "$dist/share/doc/pclive"

missing=()

node=$(node -p 'fs.realpathSync(process.execPath)')

# Some packages are CommonJS: inside a module they need a require, and the names that Node gives to such files.
banner='import { createRequire as __createRequire } from "node:module";
import { fileURLToPath as __fileURLToPath } from "node:url";
const require = __createRequire(import.meta.url);
const __filename = __fileURLToPath(import.meta.url);
const __dirname = __filename.slice(0, __filename.lastIndexOf("/"));'

# jsonc-parser names a file for Node whose requires no bundler can follow.
bundle() { # ENTRY NAME
	local entry=$build/js/$1
	[[ -f $entry ]] || { missing+=("$2"); return 0; }
	"$root/node_modules/.bin/esbuild" "$entry" --bundle --platform=node --format=esm --target=node20 \
		--alias:jsonc-parser=jsonc-parser/lib/esm/main.js \
		--legal-comments=eof --log-level=warning --banner:js="$banner" --outfile="$lib/$2.new"
	mv "$lib/$2.new" "$lib/$2"
}

# Renamed into place, as the old file may be running.
ship() { # FILE DESTINATION
	[[ -f $1 ]] || { missing+=("${2##*/}"); return 0; }
	cmp -s "$1" "$2" && return 0
	cp "$1" "$2.new"
	mv "$2.new" "$2"
}

launcher() { # NAME LINE, with "node" and "lib" set
	cat >"$dist/bin/$1.new" <<EOF
#!/bin/sh
# Starts the file of the same installation, wherever that was moved. PCLIVE_NODE names another Node.
self=\$(readlink -f -- "\$0")
lib=\${self%/bin/*}/lib/pclive
node=\${PCLIVE_NODE:-$node}
$2
EOF
	chmod 755 "$dist/bin/$1.new"
	mv "$dist/bin/$1.new" "$dist/bin/$1"
}

# Names hash as in Node's own snapshot: to hash them anew takes a tenth of Node's start, and the command reads no strangers' names.
# A code cache is good for the flags that it was made with.
cli_flags=--no-rehash-snapshot

# The command is started often, and people wait for it: a script with its code cache (install/cli/start.cjs), of a run that connects.
cli() {
	local entry=$build/js/runtime/cli/main.js
	[[ -f $entry ]] || { missing+=(pclive.js); return 0; }
	"$root/node_modules/.bin/esbuild" "$entry" --bundle --platform=node --format=cjs --target=node20 \
		--supported:dynamic-import=false --define:WebAssembly=undefined --define:import.meta.url=__file \
		--alias:jsonc-parser=jsonc-parser/lib/esm/main.js --legal-comments=eof --log-level=warning --minify-whitespace \
		--banner:js='(function (require, exports, module, __file) {' --footer:js='})' --outfile="$lib/pclive.js.new"
	ship "$root/install/cli/start.cjs" "$lib/pclive.cjs"
	if ! cmp -s "$lib/pclive.js.new" "$lib/pclive.js" || [[ ! -s $lib/pclive.cache ]]; then
		mv "$lib/pclive.js.new" "$lib/pclive.js"
		rm -f "$lib/pclive.cache"
		PCLIVE_KEEP_CODE=$lib/pclive.cache timeout 60 "$node" "$cli_flags" "$lib/pclive.cjs" --agent /nobody/is/here status >/dev/null 2>&1 || true
		[[ -s $lib/pclive.cache ]] || missing+=(pclive.cache)
	fi
	rm -f "$lib/pclive.js.new"
}

bundle runtime/agent/main.js pclived.js
cli
# Without it Node would take the agent for CommonJS.
echo '{ "type": "module" }' >"$lib/package.json"

rm -f "$lib/shim.js"
"$root/install/shim.sh" "$build" "$build/shim"
ship "$build/shim/containerd-shim-pclive-v2" "$dist/bin/containerd-shim-pclive-v2"
ship "$build/native/addon/pclive.node" "$lib/pclive.node"
ship "$build/native/engine/pclive-engine" "$lib/pclive-engine"
ship "$build/criu/criu" "$lib/criu/criu"
ship "$root/install/pclived.service" "$dist/lib/systemd/system/pclived.service"
for text in "$root/LICENSE" "$root"/LICENSES/*; do ship "$text" "$dist/share/doc/pclive/${text##*/}"; done

# shellcheck disable=SC2016 # the lines are expanded by the launchers
launchers() {
	launcher pclived 'exec "$node" --max-semi-space-size=4 --max-old-space-size=512 "$lib/pclived.js" "$@"'
	launcher pclive 'exec "$node" '"$cli_flags"' "$lib/pclive.cjs" "$@"'
	launcher pclive-criu 'exec "$lib/criu/criu" "$@"'
}
launchers

((${#missing[@]} == 0)) || echo "dist: not built, left out: ${missing[*]}"
