#!/usr/bin/env bash
# Builds the Node addon with ASan and UBSan and runs its tests with it. Prints "N passed, N failed" at the end.
# Leaks are not looked for: Node itself leaves much to the end of the process.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
cd "$root"
make -s js
SAN=1 install/addon.sh build/native/addon-san

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
# Whatever a test starts inherits the library; a report anywhere makes its process fail, and so the test.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:halt_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	PCLIVE_ADDON=$root/build/native/addon-san/pclive.node \
	timeout -k 5 400 node_modules/.bin/mocha --exit --timeout 120000 build/js/test/unit/addon/*.test.js \
		build/js/test/unit/ttrpc/native.test.js >"$log" 2>&1 || status=$?
cat "$log"
passed=$(awk '/^ +[0-9]+ passing/ { print $1 }' "$log")
failed=$(awk '/^ +[0-9]+ failing/ { print $1 }' "$log")
if ((status != 0 && ${failed:-0} == 0)) || grep -qE 'AddressSanitizer|runtime error' "$log"; then
	echo "FAILED  ended with status $status"
	failed=$((${failed:-0} + 1))
fi
echo "${passed:-0} passed, ${failed:-0} failed"
((${failed:-0} == 0))
