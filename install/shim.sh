#!/usr/bin/env bash
# Make the shim's one file, OUT/containerd-shim-pclive-v2: the launcher, the Node addon, the JavaScript in three
# scripts (see shim/main.ts), and the code caches that V8 makes of them in trial runs (install/shim/trial.mjs, zod-cache.mjs). It works
# wherever it is copied.
# usage: install/shim.sh BUILD OUT
set -euo pipefail

[[ $# == 2 ]] || { echo "usage: install/shim.sh BUILD OUT" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
work=$out/work
mkdir -p "$work"
node=$(node -p 'fs.realpathSync(process.execPath)')

# Part of the key of V8's code cache: a cache made with other flags is not used.
# Names hash as in Node's own snapshot: to hash them anew takes a tenth of Node's start, and guards who shares a process
# with strangers' names; a shim reads those of its own containers.
flags=(--v8-pool-size=0 --no-rehash-snapshot)

# Without WebAssembly the library `long` does not compile a module for sums that we never do.
esbuild() { # ENTRY OUTPUT OPTION...: one script, in which every dynamic import is a call of a function that was not run before
	"$root/node_modules/.bin/esbuild" "$1" --bundle --platform=node --format=cjs --target=node20 --supported:dynamic-import=false \
		--define:WebAssembly=undefined --legal-comments=none --log-level=warning --outfile="$2" "${@:3}"
}

# Libraries that few shims need: pino is a function inside of the script, and what is not called costs nothing; zod, which a
# restore waits for, is a script of its own, for its code in the others' cache would cost every shim.
parts=(zod pino)

script() { # ENTRY NAME FILE...: the entry's bundle behind what the files say, as $work/NAME.js
	local externals=("${parts[@]}" '#shim/rest')
	esbuild "$1" "$work/$2.bundle.js" "${externals[@]/#/--external:}" --define:import.meta.url=__file
	cat "$root/install/shim/prologue.js" "${@:3}" "$work/$2.bundle.js" - >"$work/$2.js" <<<'return module.exports; })'
	one_byte "$work/$2.js"
}

one_byte() { # FILE: a character, as a string that is not copied must be; what is left outside of ASCII is in comments
	LC_ALL=C sed -i 's/[\x80-\xFF]/?/g' "$1"
}

wrapped() { # HEAD PART TAIL: a library's bundle between two lines
	printf '%s\n' "$1"
	cat "$work/$2.bundle.js"
	printf '%s\n' "$3"
}

bundle() {
	local part
	for part in "${parts[@]}"; do esbuild "$root/node_modules/$part" "$work/$part.bundle.js"; done
	wrapped "__parts.pino = function (module, exports, require) {" pino "};" >"$work/pino.part.js"
	wrapped "(function (module, exports, require) {" zod "})" >"$work/zod.js"
	one_byte "$work/zod.js"
	script "$build/js/shim/main.js" start "$root/install/shim/rest.js"
	script "$build/js/shim/rest.js" rest "$root/install/shim/zod.js" "$work/pino.part.js"
}

quoted() { printf '"%s", ' "$@"; }

compile() {
	local c=("${CC:-cc}" -O2 -g -fPIC -Wall -Wextra -Werror -fvisibility=hidden -fstack-protector-strong
		-I"$root/native/addon/src" -c)
	for source in "$root"/native/launcher/*.c; do
		"${c[@]}" -DPCLIVE_NODE_PATH="\"$node\"" -DPCLIVE_NODE_FLAGS="$(quoted "${flags[@]}")" \
			-o "$work/$(basename "$source" .c).o" "$source"
	done
	"${c[@]}" -Wa,-I"$work" -o "$work/payload.o" "$root/native/launcher/payload.S"
}

# A shared object for Node, with an entry point and an interpreter so that the kernel can execute it too. Symbols
# of Node are looked up when they are called: the launcher calls none.
link() { # OUTPUT
	local start source objects=()
	for source in "$root"/native/launcher/*.c; do objects+=("$work/$(basename "$source" .c).o"); done
	start=$("${CC:-cc}" -print-file-name=Scrt1.o)
	"${CXX:-c++}" -shared -static-libstdc++ -static-libgcc -Wl,-e,_start -Wl,-z,lazy -Wl,-z,relro -Wl,--build-id \
		-o "$1.new" "$start" "${objects[@]}" "$work/payload.o" \
		"$build"/native/addon/gyp/build/Release/obj.target/pclive/src/*.o
	mv "$1.new" "$1"
}

make_cache() {
	: >"$work/start.cache"
	: >"$work/rest.cache"
	esbuild "$build/js/runtime/migration/engine-messages.js" "$work/lines.js" --external:zod
	timeout 60 "$node" "${flags[@]}" "$root/install/shim/zod-cache.mjs" "$work"
	compile
	link "$work/trial"
	timeout 180 "$node" "${flags[@]}" "$root/install/shim/trial.mjs" "$work/trial" "$work"
}

key=$(cat "$0" "$root"/install/shim/* "$root"/native/launcher/* "$build/native/addon/pclive.node" <("$node" --version) | sha256sum | cut -c 1-32)
bundle
key+=$(cat "$work/start.js" "$work/rest.js" "$work/zod.js" | sha256sum | cut -c 1-32)
if [[ ! -x $out/containerd-shim-pclive-v2 || $(cat "$work/key" 2>/dev/null) != "$key" ]]; then
	make_cache
	compile
	link "$work/final"
	strip --strip-debug -o "$out/containerd-shim-pclive-v2.new" "$work/final"
	mv "$out/containerd-shim-pclive-v2.new" "$out/containerd-shim-pclive-v2"
	echo "$key" >"$work/key"
fi
