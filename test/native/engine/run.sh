#!/usr/bin/env bash
# Builds and runs the engine's tests: run.sh [DIR]; SAN=1 for ASan and UBSan; FILTER=name for some programs only.
# DIR (default build/native) gets engine/ or engine-san/. Prints "N passed, N failed" at the end.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
dir=${1:-$root/build/native}
mkdir -p "$dir"
out=$(cd "$dir" && pwd)/engine${SAN:+-san}
make -s -j2 -C "$root/native/engine" OUT="$out" ${SAN:+SAN=1} all
make -s -C "$root/test/programs/churn" OUT="$root/build/programs/churn"
# What is built for the tests finds the engine, CRIU and a program to checkpoint here.
export PCLIVE_ENGINE=$out/pclive-engine
export PCLIVE_CRIU=${PCLIVE_CRIU:-$root/build/criu/criu}
export PCLIVE_CHURN=$root/build/programs/churn/churn
# The sanitizers' shadow memory would be taken for a leak by a child that ends by _exit().
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for source in "$here"/*.cpp; do
	name=$(basename "$source" .cpp)
	[[ -z ${FILTER:-} || $name == *"$FILTER"* ]] || continue
	echo "== $name${SAN:+ (sanitizers)}"
	status=0
	timeout -k 5 300 "$out/$name" >"$log.out" 2>"$log" || status=$?
	sed 's/^/  /' "$log.out" # so that only the last line counts as the sum
	good=$(grep -E '^ok ' "$log.out" | grep -vc '# SKIP') || true
	bad=$(grep -Ec '^(FAILED|not ok) ' "$log.out") || true
	if ((status != 0 && bad == 0)); then
		echo "FAILED  $name ended with status $status"
		bad=1
	fi
	passed=$((passed + good)) failed=$((failed + bad))
	((status == 0)) || tail -40 "$log" >&2
	rm -f "$log.out"
done
echo "$passed passed, $failed failed"
((failed == 0))
