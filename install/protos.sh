#!/usr/bin/env bash
# Generate the message code of protos/ into OUT, each file with its .d.ts: bootstrap.js, for the first moments of a shim;
# shim.js, what every shim needs; metrics.js and migration.js, which a shim loads when it is asked for them; agent.js.
# usage: install/protos.sh OUT
set -euo pipefail

[[ $# == 1 ]] || { echo "usage: install/protos.sh OUT" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
bin=$root/node_modules/.bin
[[ -x $bin/pbjs ]] || { echo "protos: $bin/pbjs is missing; remedy: npm ci" >&2; exit 1; }

# 64-bit integers are plain numbers in our code: every value that we handle fits 2^53 or is a power-of-two limit.
# protobufjs would hand out Long objects wherever it finds that package, so it is told here that there is none.
cat >"$out/runtime.js" <<'JS'
import protobuf from "protobufjs/minimal.js";
protobuf.util.Long = null;
protobuf.configure();
export default protobuf;
JS

# Comments are only wanted in the declarations; without them the code is a third of the size.
scratch=$(mktemp -d "$out/.new.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
generate() {
	local name=$1; shift
	local common=(-t static-module -w esm --force-number --no-delimited --no-verify --no-typeurl -p "$root/protos" -r "pclive-$name" -o "$scratch/$name.js")
	"$bin/pbjs" "${common[@]}" --dts "$@"
	"$bin/pbjs" "${common[@]}" --no-comments --dependency ./runtime.js "$@"
	# With Node's ECMAScript modules a declaration cannot require: the long package is imported as it exports itself.
	sed -i 's/^import Long = require("long");$/import Long from "long";/' "$scratch/$name.d.ts"
	mv "$scratch/$name.d.ts" "$scratch/$name.js" "$out/"
}

# Absolute names: a file named in two ways would be read twice.
cd "$root"
c=$root/protos/containerd p=$root/protos/pclive
mapfile -t core < <(printf '%s\n' "$c"/*.proto | grep -Ev '/(cgroups[12]|bootstrap).proto$')
generate bootstrap --no-service --no-convert --no-create "$c"/{bootstrap,runc}.proto
generate shim --no-service --no-convert --no-create "${core[@]}" "$p/incoming.proto"
generate metrics --no-service --no-convert --no-create "$c"/cgroups[12].proto
generate migration --no-service --no-convert --no-create "$p/shim.proto"
generate agent "$c"/{types,process,runc}.proto "$c"/services/*.proto "$p"/*.proto
