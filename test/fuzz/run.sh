#!/usr/bin/env bash
# Fuzz what reads bytes from outside, FUZZ_JOBS (2) targets at a time: FUZZ_SECONDS (60) for each target, of FUZZ_TARGETS
# (all). FUZZ_SEED makes other inputs. Inputs that fail stay in build/fuzz.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
seconds=${FUZZ_SECONDS:-60}
seed=${FUZZ_SEED:-$RANDOM}
jobs=${FUZZ_JOBS:-2}
read -ra targets <<<"${FUZZ_TARGETS:-frames server client bundle flags bootstrap patches}"
out=build/fuzz
[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || { echo "fuzz: FUZZ_SECONDS must be a number of seconds" >&2; exit 2; }
[[ $jobs =~ ^[1-9][0-9]?$ ]] || { echo "fuzz: FUZZ_JOBS must be a number of targets" >&2; exit 2; }
mkdir -p "$out"

# A heap as small as the shim's, and a bound on an endless loop: the input is in TARGET.current then.
one() {
	timeout -k 10 $((seconds + 120)) node --max-old-space-size=128 build/js/test/fuzz/main.js "$1" "$seconds" "$seed" "$out" \
		>"$out/$1.log" 2>&1
	local status=$?
	tail -n 20 "$out/$1.log"
	((status == 0)) || echo "$1: status $status; the last input is $out/$1.current"
	return $status
}

echo "fuzz: ${#targets[@]} targets, $seconds s each, seed $seed"
passed=0
failed=0
count() { if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }
running=()
for target in "${targets[@]}"; do
	one "$target" &
	running+=($!)
	((${#running[@]} < jobs)) && continue
	count wait "${running[0]}"
	running=("${running[@]:1}")
done
for pid in "${running[@]}"; do count wait "$pid"; done
echo "$passed passed, $failed failed"
((failed == 0))
