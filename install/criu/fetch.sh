#!/usr/bin/env bash
# fetch.sh VERSION FOLDER SUITE…: download CRIU's source archive of that version into FOLDER, as criu_VERSION.orig.tar.xz.
# Uses apt with a configuration of its own; the system's apt sources only tell which Debian mirror to ask.
set -euo pipefail

version=$1 folder=$2
shift 2
state=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$state"' EXIT

# shellcheck disable=SC2016 # apt expands it
mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -E '/debian/?$' | head -n 1 || true)
if [[ -z $mirror ]]; then
	echo "criu: no Debian mirror among this system's apt sources" >&2
	exit 1
fi

mkdir -p "$state"/{lists/partial,cache/archives/partial,download}
: >"$state/status"
options=(-q -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
	-o "Dir::State=$state" -o "Dir::State::Lists=$state/lists" -o "Dir::State::status=$state/status"
	-o "Dir::Cache=$state/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root
	-o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)

for suite in "$@"; do
	echo "deb-src $mirror $suite main" >"$state/sources.list"
	timeout 120 apt-get "${options[@]}" update >"$state/log" 2>&1 || { cat "$state/log" >&2; continue; }
	offered=$(apt-cache "${options[@]}" showsrc --only-source criu 2>/dev/null | awk '/^Version:/ { print $2 }' | sort -u)
	echo "criu: $suite has ${offered//$'\n'/, }" >&2
	package=$(awk -v want="$version" 'index($0, want "-") == 1 { print; exit }' <<<"$offered")
	[[ -n $package ]] || continue
	(cd "$state/download" && timeout 120 apt-get "${options[@]}" source --download-only --tar-only "criu=$package") \
		>"$state/log" 2>&1 || { cat "$state/log" >&2; continue; }
	mv "$state/download/criu_$version.orig.tar.xz" "$folder/"
	exit 0
done
exit 1
