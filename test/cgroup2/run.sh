#!/usr/bin/env bash
# What a machine with cgroup v1 cannot show, in a QEMU guest that has cgroup v2 and systemd: run.sh [PART…]
# Parts (default: all of them): kernel, tests, table, systemd. TABLE_ROWS and SYSTEMD_ROWS ("kill:|exec: before")
# name other rows of the conformance table. GUEST_KEEP=1 leaves the guest up; when it is up already it is used.
# Prints what each part prints and "N passed, N failed" last. The first run makes the guest's disk, which is cached.
set -uo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(cd "$here/../.." && pwd)
logs=$root/build/test
export GUEST_LAB=cgroup2 GUEST_NAMES=a GUEST_SYSTEMD=1 GUEST_CPUS=2 GUEST_MB=2048 GUEST_SECONDS=300
export LAB_COMMAND=$root/test/softdirty/guests LAB_NAME=$GUEST_LAB
# An emulated processor is some ten times slower; a machine with other work is slower still.
export PCLIVE_TEST_PATIENCE=${PCLIVE_TEST_PATIENCE:-20}
passed=0 failed=0

# What touches cgroups, and what a container needs at least; the rest of the table is the same on any kernel.
TABLE_ROWS=${TABLE_ROWS:-'create: created|init: from create|pause: and resume|update: created|stats: in every|kill: all of the created|kill: the paused|order: killed for want|checkpoint: restored|binary: delete without a server, of|cgroup:|containerd has 500|oom score: of a container and|user namespace: from|user namespace: owner|user namespace: every|user namespace: its root|user namespace: of another|idmapped:'}
SYSTEMD_ROWS=${SYSTEMD_ROWS:-'init: from create|pause: and resume|update: created|stats: in every|pids:|kill: the paused|order: killed for want|order: init in the host|checkpoint: restored|binary: delete without a server, of|user namespace: every|cgroup: of the shim, by'}

# guest SECONDS COMMAND…: run it there, in the repository; NAME=VALUE words may come first
guest() { timeout -k 10 "$1" "$LAB_COMMAND" exec a env -C /repo PCLIVE_TEST_PATIENCE="$PCLIVE_TEST_PATIENCE" "${@:2}"; }

# kernel_part: figures, out-of-memory events and the freezer, one shim after the other, leaf by leaf
kernel_part() {
	timeout -k 10 1200 "$root/node_modules/.bin/mocha" --forbid-only --forbid-pending "$root/build/js/test/e2e/kernel.test.js"
}

# tests_part: the project's own tests of what works with cgroups
tests_part() {
	local tests
	mapfile -t tests < <(cd "$root" && find test/unit/{addon,shim} test/integration/shim -name '*.test.ts' | sort | sed 's|^|build/js/|; s/ts$/js/')
	guest 1500 node_modules/.bin/mocha --exit --forbid-only --forbid-pending --timeout 20000 \
		--require build/js/test/lib/patient-mocha.js "${tests[@]}"
}

# table_part ROWS [OPTION…]: rows of the conformance table
table_part() {
	local words each only=()
	IFS='|' read -ra words <<<"$1"
	for each in "${words[@]}"; do
		only+=(--only "$each")
	done
	guest 1500 UV_THREADPOOL_SIZE=64 node /repo/build/js/test/conformance/main.js "${only[@]}" "${@:2}"
}

run_part() {
	case $1 in
	kernel) kernel_part ;;
	tests) tests_part ;;
	table) table_part "$TABLE_ROWS" ;;
	systemd) table_part "$SYSTEMD_ROWS" --systemd ;;
	*)
		echo "no part $1; there are: kernel tests table systemd"
		return 2
		;;
	esac
}

# count_part NAME: run it and count, by the lines that mocha and our programs end with
count_part() {
	local name=$1 log=$logs/cgroup2-$1.log status good bad begun=$SECONDS
	echo "== $name"
	run_part "$name" 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	read -r good bad < <(awk '/^ +[0-9]+ passing/ { good += $1 }
		/^ +[0-9]+ failing/ { bad += $1 }
		/^[0-9]+ passed, [0-9]+ failed$/ { good += $1; bad += $3 }
		END { print good + 0, bad + 0 }' "$log")
	((status == 0 || bad > 0)) || {
		bad=1
		echo "$name ended with status $status$( ((status != 124)) || echo ' (out of time)')"
	}
	passed=$((passed + good))
	failed=$((failed + bad))
	echo "== $name: $good passed, $bad failed in $((SECONDS - begun)) s ($log)"
}

finish() {
	trap - EXIT
	if [[ -n ${GUEST_KEEP:-} ]]; then
		echo "the guest is left up; end it: GUEST_LAB=$GUEST_LAB GUEST_NAMES=$GUEST_NAMES test/softdirty/guests down"
	else
		timeout -k 5 90 "$LAB_COMMAND" down || failed=$((failed + 1))
	fi
	echo "$passed passed, $failed failed"
	((failed == 0 && passed > 0))
	exit
}

is_up() { timeout 60 "$LAB_COMMAND" exec a test -e /run/lab/ready 2>/dev/null; }

main() {
	local name parts=("$@")
	((${#parts[@]})) || parts=(kernel tests table systemd)
	mkdir -p "$logs"
	trap 'failed=$((failed + 1)); finish' EXIT
	trap 'exit 130' INT TERM
	if ! is_up && ! timeout -k 5 1500 "$LAB_COMMAND" up; then
		echo "the guest does not start; its console: $root/build/$GUEST_LAB/logs"
		failed=1
		finish
	fi
	# It is ready before systemd is: that comes last.
	guest 400 sh -c 'until systemctl is-active --quiet basic.target && [ -S /run/dbus/system_bus_socket ]; do sleep 2; done' 2>/dev/null || {
		echo "systemd does not come up in the guest"
		failed=1
		finish
	}
	guest 60 sh -c 'uname -sr; stat -fc %T /sys/fs/cgroup; cat /sys/fs/cgroup/cgroup.controllers /proc/1/comm; containerd --version; runc --version | head -n 1'
	for name in "${parts[@]}"; do
		count_part "$name"
	done
	finish
}

main "$@"
