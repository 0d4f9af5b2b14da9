# shellcheck shell=bash disable=SC2034
# Paths, messages and small helpers that every script of the lab uses. Sourced, never run.

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(cd "$LAB_DIR/../.." && pwd)
BUILD=$ROOT/build
CACHE=$BUILD/cache
SUITE=${LAB_SUITE:-bookworm}

say() { printf 'lab: %s\n' "$*" >&2; }

# fail MESSAGE [REMEDY]: one clear error, with what to do about it
fail() {
	printf 'lab: error: %s\n' "$1" >&2
	[[ -z ${2:-} ]] || printf 'lab: remedy: %s\n' "$2" >&2
	exit 1
}

need_root() { [[ $EUID == 0 ]] || fail "the lab needs root" "run it as root (namespaces, mounts and cgroups are made)"; }

# wait_for SECONDS COMMAND…: try every 50 ms until it succeeds; 1 when the time is over
wait_for() {
	local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@" >/dev/null 2>&1; do
		((${EPOCHREALTIME/./} < deadline)) || return 1
		sleep 0.05
	done
}

# digest FILE…: SHA-256 over the files' contents, first 16 hex digits: the name of a cache entry
digest() { cat "$@" | sha256sum | cut -c1-16; }

# locked FILE COMMAND…: one at a time, so that two builds of the same cache entry do not meet
locked() {
	local lock=$1
	shift
	(
		flock -w 1200 9 || fail "waited 20 minutes for $lock" "another build holds it: look with fuser $lock"
		# The lock ends with us: what we start must not inherit it.
		"$@" 9>&-
	) 9>"$lock"
}
