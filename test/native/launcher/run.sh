#!/usr/bin/env bash
# run.sh: tests of the launcher's readers, built with ASan and UBSan, beside those of the shim
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/pclive-launcher-test.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
launcher=$root/native/launcher
"${CC:-cc}" -g -fsanitize=address,undefined -fno-sanitize-recover -Wall -Wextra -Werror -I"$launcher" \
	-I"$root/native/addon/src" -o "$work/probe" "$here/probe.c" "$launcher"/{spec,json,input,identifier}.c \
	"$root/native/addon/src/sha256.c"
cd "$root"
make -s js
PROBE=$work/probe timeout 120 node_modules/.bin/mocha --exit --forbid-only --forbid-pending --timeout 60000 \
	build/js/test/native/launcher/launcher.test.js
