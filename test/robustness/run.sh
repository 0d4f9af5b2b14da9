#!/usr/bin/env bash
# Robustness tests, inside a host of a lab of their own: run.sh [quick|full] [MOCHA OPTION…]
# quick (a part of `make test`) does a little of everything, full what docs/dev/robustness.md tells.
# ROBUST_RUNTIME=io.containerd.runc.v2 asks the same of the runc shim, ROBUST_SEED repeats the instants of a run.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
mode=${1:-full}
(($# == 0)) || shift
case $mode in
quick) settings=(ROBUST_CONTAINERS=40 ROBUST_MIB=128 ROBUST_ROUNDS=2 ROBUST_PAUSE_MS=3000) limit=300 ;;
full) settings=(ROBUST_CONTAINERS=500 ROBUST_MIB=1024 ROBUST_ROUNDS=12 ROBUST_PAUSE_MS=15000) limit=3000 ;;
*) echo "usage: test/robustness/run.sh [quick|full] [MOCHA OPTION…]" >&2; exit 2 ;;
esac
for name in ROBUST_RUNTIME ROBUST_SEED; do
	[[ -z ${!name:-} ]] || settings+=("$name=${!name}")
done

export LAB_NAME=${ROBUST_LAB:-robust} LAB_HOSTS=a
lab_log=build/test/robustness-lab.log
mkdir -p "${lab_log%/*}"
down() { timeout -k 10 120 test/lab/lab down >>"$lab_log" 2>&1 || true; }
[[ -n ${ROBUST_KEEP:-} ]] || trap down EXIT
timeout -k 10 900 test/lab/lab up >"$lab_log" 2>&1 || {
	tail -n 3 "$lab_log"
	echo "0 passed, 1 failed"
	exit 1
}
mapfile -t tests < <(cd test/robustness && printf 'build/js/test/robustness/%s\n' *.test.ts | sed 's/ts$/js/')
timeout -k 10 "$limit" test/lab/lab exec a env -C /repo "${settings[@]}" \
	node_modules/.bin/mocha --exit --forbid-only "${tests[@]}" "$@"
