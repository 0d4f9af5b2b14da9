#!/usr/bin/env bash
# Run test suites: run.sh all | SUITE… (lint unit integration native model conformance robustness clients e2e). The output of each goes to
# build/test/SUITE.log; the last line is "N passed, N failed" over all of them. A suite that dies, hangs or
# has nothing to run although its sources are there counts as a failure. Skipped tests are failures too.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
logs=$root/build/test
all=(lint unit integration native model conformance robustness clients e2e)
declare -A limit=([lint]=300 [unit]=600 [integration]=600 [native]=900 [model]=900 [conformance]=900 [robustness]=600 [clients]=2400 [e2e]=1800)
passed=0
failed=0

# mocha_suite AREA TEST_TIMEOUT_MS: the compiled tests of test/AREA, by the list of their sources
mocha_suite() {
	local sources files=() source
	mapfile -t sources < <(find "test/$1" -name '*.test.ts' 2>/dev/null | sort)
	((${#sources[@]})) || {
		echo "there are no tests in test/$1"
		return
	}
	for source in "${sources[@]}"; do
		files+=("build/js/${source%.ts}.js")
	done
	# --exit: a failed test may leave something open, and must not hold up the rest.
	node_modules/.bin/mocha --exit --forbid-only --forbid-pending --timeout "$2" "${files[@]}"
}

# script_suite SCRIPT…: each prints its own "N passed, N failed"
script_suite() {
	local script status=0
	(($#)) || {
		echo "there is no script to run"
		return 1
	}
	for script in "$@"; do
		echo "== $script"
		"$script" || status=1
	done
	return $status
}

suite_lint() { install/lint.sh && echo "1 passed, 0 failed"; }
suite_unit() { mocha_suite unit 20000; }
suite_integration() { mocha_suite integration 60000; }
suite_native() {
	shopt -s nullglob
	script_suite test/native/*/run.sh
}
suite_model() { script_suite test/model/run.sh; }
suite_conformance() { script_suite test/conformance/run.sh; }
suite_robustness() { test/robustness/run.sh quick; }
# One generation, and no client that must be built: `make test-clients` has them all.
suite_clients() { FILES="ctr ctr-io containerd-restart docker" LIMIT=600 test/clients/run.sh bookworm; }
suite_e2e() { LAB_NAME=e2e mocha_suite e2e 300000; }

# count LOG: "PASSED FAILED", from the lines that mocha and our scripts end with
count() {
	awk '/^ +[0-9]+ passing/ { good += $1 }
		/^ +[0-9]+ failing/ { bad += $1 }
		/^[0-9]+ passed, [0-9]+ failed$/ { good += $1; bad += $3 }
		END { print good + 0, bad + 0 }' "$1"
}

# with_lab COMMAND…: run it while a fresh lab is up. The lab is outside of the suite's time limit, so that it
# goes down whatever becomes of the suite; its logs stay in build/lab/e2e/logs.
with_lab() {
	local status lab_log=$logs/e2e-lab.log
	export LAB_NAME=e2e
	if ! timeout -k 10 2000 test/lab/lab up --fresh >"$lab_log" 2>&1; then
		echo "the lab does not start: $(tail -n 3 "$lab_log" | tr '\n' ' ')(see $lab_log)"
		return 1
	fi
	"$@"
	status=$?
	((status == 0)) || timeout -k 10 60 test/lab/lab logs >"$logs/e2e-hosts.log" 2>&1
	timeout -k 10 120 test/lab/lab down >>"$lab_log" 2>&1 || status=1
	return $status
}

# run_suite NAME: run it bounded, count, tell
run_suite() {
	local name=$1 log=$logs/$1.log begun=$SECONDS status good bad wrap=()
	[[ $name != e2e || -z $(find test/e2e -name '*.test.ts' 2>/dev/null) ]] || wrap=(with_lab)
	"${wrap[@]}" timeout -k 10 "${limit[$name]}" "$root/test/run.sh" --one "$name" >"$log" 2>&1 </dev/null
	status=$?
	read -r good bad < <(count "$log")
	if ((status != 0 && bad == 0)); then
		bad=1
		echo "$name: ended with status $status$( ((status != 124)) || echo " (took over ${limit[$name]} s)")"
	fi
	passed=$((passed + good))
	failed=$((failed + bad))
	echo "$name: $good passed, $bad failed in $((SECONDS - begun)) s ($log)"
	((bad == 0)) || tail -n 60 "$log" | sed 's/^/    /'
}

main() {
	local name suites=("$@")
	[[ ${1:-all} != all ]] || suites=("${all[@]}")
	mkdir -p "$logs"
	for name in "${suites[@]}"; do
		[[ -n ${limit[$name]:-} ]] || {
			echo "no suite $name; there are: all ${all[*]}" >&2
			exit 2
		}
	done
	for name in "${suites[@]}"; do
		run_suite "$name"
	done
	echo "$passed passed, $failed failed"
	((failed == 0))
}

if [[ ${1:-} == --one ]]; then
	"suite_$2"
else
	main "$@"
fi
