#!/usr/bin/env bash
# Check the handover model with spin: every property, every interleaving. Then check that the
# checker would have noticed: two deliberately broken protocols must fail.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# search PROPERTY MODEL: run the whole search; its output goes to $work/PROPERTY.log
search() {
	(
		cd "$work" && rm -f pan* ./*.trail && spin -a -DFAULTS="${FAULTS:-3}" "$2" >spin.log 2>&1 &&
			gcc -O2 -DCOLLAPSE -o pan pan.c 2>gcc.log &&
			timeout 300 ./pan -a -n -m1000000 -N "$1" >"$1.log" 2>&1
	)
}

# verify PROPERTY MODEL: 0 when the property holds in every reachable state
verify() {
	search "$1" "$2" && grep -q 'errors: 0' "$work/$1.log" && ! grep -q 'max search depth too small' "$work/$1.log"
}

# refute PROPERTY MODEL: 0 when the search ran and found a counterexample
refute() {
	search "$1" "$2"
	grep -q 'errors: [1-9]' "$work/$1.log"
}

report() {
	if [[ $1 == 0 ]]; then
		passed=$((passed + 1))
		echo "ok   $2"
	else
		failed=$((failed + 1))
		echo "FAIL $2"
		tail -n 20 "$work"/*.log
	fi
}

for property in never_two never_none commit_is_final; do
	verify $property "$here/handover.pml"
	report $? "$property ($(grep -o '[0-9.e+]* states, stored' "$work/$property.log"))"
done

# The checker must be able to fail: each of these broken protocols has a counterexample.
broken() {
	sed "$3" "$here/handover.pml" >"$work/broken.pml"
	if cmp -s "$here/handover.pml" "$work/broken.pml"; then
		report 1 "$1: the edit did not apply"
		return
	fi
	refute "$2" "$work/broken.pml"
	report $? "caught: $1"
}
broken "a destination that releases undecided" never_two \
	's/:: dst == held \&\& src_up \&\& (src == committed/:: dst == held \&\& src_up \&\& (src == moving || src == committed/'
broken "a source that thaws after its commit when the lease is lost" never_two \
	's/src == moving \&\& !lease_src -> src = rolled_back/(src == moving || src == committed) \&\& !lease_src -> src = rolled_back/'
broken "a source that never takes a refused container back" never_none \
	's/:: dst == refused -> hand_back()/:: false -> skip/'
broken "a destination that forgets to ask when its agent restarts" never_none \
	's/:: dst == held .*release()/:: false -> skip/'
broken "a commit that is told before it is recorded" never_two \
	's/if :: src_up -> commit() :: else fi;/if :: stream_src \&\& src_up -> to_dst!m_commit :: else fi; if :: src_up -> commit() :: else fi;/'

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
