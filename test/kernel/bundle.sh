#!/usr/bin/env bash
# The probe as one file, for a machine without this repository: bundle.sh FILE. It needs PCLIVE_ADDON there.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
"$root/node_modules/.bin/esbuild" "$root/build/js/test/kernel/probe.js" --bundle --platform=node --format=esm --target=node20 \
	--log-level=warning --banner:js='import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' --outfile="$1"
