#!/usr/bin/env bash
# Our shim beside the stock one, in hosts of the lab: run.sh [OPTION…] (see main.ts; e.g. --only kill --messages).
# CONFORMANCE_SUITES (default: bookworm) names the Debian suites, each with its generation of containerd.
# Prints the table and the differences of each, and "N passed, N failed" last.
set -uo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(cd "$here/../.." && pwd)
export LAB_NAME=${LAB_NAME:-conformance} LAB_HOSTS=a
passed=0 failed=0

lab() { timeout -k 10 "$1" "$root/test/lab/lab" "${@:2}"; }

# Also when we are ended from outside, the hosts go.
trap 'lab 120 down >/dev/null 2>&1' EXIT
trap 'exit 130' INT TERM

# compare SUITE [OPTION…]: the whole table in a host of that suite
compare() {
	local suite=$1 log=$root/build/test/conformance-$1.log good bad
	shift
	export LAB_SUITE=$suite
	echo "== Debian $suite"
	if ! lab 1800 up --fresh >"$log" 2>&1; then
		tail -n 3 "$log"
		failed=$((failed + 1))
		return
	fi
	lab 20 exec a sh -c 'containerd --version; runc --version | head -n 1'
	# Fifos are opened in threads of Node, and may wait for their other end.
	lab 540 exec a env UV_THREADPOOL_SIZE=64 node /repo/build/js/test/conformance/main.js "$@" 2>&1 | tee "$log" | sed '$d'
	read -r good bad < <(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log")
	[[ -n ${bad:-} ]] || { tail -n 1 "$log" && good=0 bad=1 && echo "the driver did not come to its end (see $log)"; }
	passed=$((passed + good))
	failed=$((failed + bad))
	lab 120 down >/dev/null 2>&1 || failed=$((failed + 1))
}

mkdir -p "$root/build/test"
for suite in ${CONFORMANCE_SUITES:-bookworm}; do
	compare "$suite" "$@"
done
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
