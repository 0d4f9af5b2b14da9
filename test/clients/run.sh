#!/usr/bin/env bash
# Real clients against PCLive: ctr, Docker, nerdctl and crictl of three generations, each in a host of the lab.
# usage: run.sh [SUITE…]   (default: bookworm trixie forky; FILES="ctr docker" for a part of the tests)
# Ends with "N passed, N failed"; logs go to build/test/clients.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1
logs=$root/build/test/clients
limit=${LIMIT:-1200}
passed=0
failed=0

tests() {
	local name
	for name in ${FILES:-$(cd test/clients && ls -- *.test.ts)}; do
		echo "build/js/test/clients/${name%.test.ts}.test.js"
	done
}

# one_suite SUITE: in a fresh host with the clients of that Debian
one_suite() {
	local suite=$1 log=$logs/$1.log status good bad
	export LAB_SUITE=$suite LAB_NAME=cl$suite LAB_HOSTS=a
	export LAB_PACKAGES="docker.io docker-compose containernetworking-plugins"
	# From Debian 13 on Docker's command has a package of its own.
	[[ $suite == bookworm ]] || LAB_PACKAGES+=" docker-cli"
	if ! timeout -k 10 1800 test/lab/lab up --fresh >"$log" 2>&1; then
		bad=1 good=0
	else
		mapfile -t files < <(tests)
		timeout -k 10 "$limit" node_modules/.bin/mocha --exit --forbid-only --forbid-pending "${files[@]}" >>"$log" 2>&1 </dev/null
		status=$?
		good=$(awk '/^ +[0-9]+ passing/ { n += $1 } END { print n + 0 }' "$log")
		bad=$(awk '/^ +[0-9]+ failing/ { n += $1 } END { print n + 0 }' "$log")
		((status == 0 || bad > 0)) || bad=1
	fi
	((bad == 0)) || { tail -n 80 "$log" | sed 's/^/| /' && timeout 60 test/lab/lab logs >"$logs/$suite-host.log" 2>&1; }
	timeout -k 10 120 test/lab/lab down >>"$log" 2>&1 || bad=$((bad + 1))
	passed=$((passed + good))
	failed=$((failed + bad))
	echo "clients of $suite: $good passed, $bad failed (logs: $log, build/lab/cl$suite/logs)"
}

mkdir -p "$logs"
(($#)) || set -- bookworm trixie forky
for suite in "$@"; do
	one_suite "$suite"
done
echo "$passed passed, $failed failed"
((failed == 0))
