#!/usr/bin/env bash
# A whole migration between two QEMU guests whose kernel has soft-dirty: run.sh [MOCHA OPTION…]
# Starts the guests (test/softdirty/guests), runs the tests against them, takes them away. Prints "N passed, N failed"
# last. The first run makes the guests' disk, which is cached. GUEST_KEEP=1 leaves the guests up afterwards.
set -uo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(cd "$here/../.." && pwd)
state=$root/build/softdirty
log=$state/test.log

finish() {
	trap - EXIT
	if [[ -n ${GUEST_KEEP:-} ]]; then
		echo "the guests are left up; end them: test/softdirty/guests down"
	else
		timeout -k 5 90 "$here/guests" down || failed=$((failed + 1))
	fi
	echo "$passed passed, $failed failed"
	((failed == 0 && passed > 0))
	exit
}

passed=0 failed=0
mkdir -p "$state"
trap 'failed=$((failed + 1)); finish' EXIT
trap 'exit 130' INT TERM
if ! timeout -k 5 900 "$here/guests" up; then
	echo "the guests do not start; their consoles: $state/logs"
	failed=1
	finish
fi
export LAB_COMMAND=$here/guests LAB_NAME=softdirty
timeout -k 10 480 "$root/node_modules/.bin/mocha" --forbid-only --forbid-pending "$root"/build/js/test/softdirty/*.test.js "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
passed=$(awk '/^ +[0-9]+ passing/ { n += $1 } END { print n + 0 }' "$log")
failed=$(awk '/^ +[0-9]+ failing/ { n += $1 } END { print n + 0 }' "$log")
if ((status != 0 && failed == 0)); then
	echo "the tests ended with status $status$( ((status != 124)) || echo ' (out of time)')"
	failed=1
fi
finish
