#!/usr/bin/env bash
# criu.sh OUTDIR: fetch CRIU's source, build it with the overlay of native/criu, leave OUTDIR/criu (a link to the binary).
#
# CRIU_VERSION=4.1.1      another version of native/criu/versions than the first
# CRIU_SOURCE=FILE.tar.xz a source archive that is there already (any version of the list)
# CRIU_ANY=1              accept a CRIU_SOURCE that is not in the list, at your own risk
# JOBS=2                  how many compilers at a time
#
# Everything is kept under OUTDIR, by content: archives in source/, builds in folders named by what went into them.
set -euo pipefail

fail() {
	echo "criu: $1" >&2
	[[ -z ${2:-} ]] || echo "criu: remedy: $2" >&2
	exit 1
}

[[ $# == 1 ]] || fail "usage: criu.sh OUTDIR"
here=$(cd "$(dirname "$0")" && pwd)
overlay=$(cd "$here/../native/criu" && pwd)
mkdir -p "$1/source"
out=$(cd "$1" && pwd)

known() { # known COLUMN VALUE: the line of the list whose column has that value
	awk -v column="$1" -v value="$2" '!/^#/ && $column == value { print; exit }' "$overlay/versions"
}

digest() { sha256sum "$1" | cut -d ' ' -f 1; }

fetch() { # fetch VERSION SHA SUITE…: sets archive
	local version=$1 sha=$2
	shift 2
	archive=$out/source/criu_$version.orig.tar.xz
	if [[ -f $archive && $(digest "$archive") != "$sha" ]]; then rm -f "$archive"; fi
	[[ -f $archive ]] || "$here/criu/fetch.sh" "$version" "$out/source" "$@" || return 1
	[[ $(digest "$archive") == "$sha" ]] && return 0
	rm -f "$archive"
	fail "the archive of CRIU $version has another SHA-256 than native/criu/versions says" \
		"do not use it; try again later or give an archive with CRIU_SOURCE="
}

choose() { # sets archive
	local list line
	if [[ -n ${CRIU_SOURCE:-} ]]; then
		archive=$CRIU_SOURCE
		[[ -r $archive ]] || fail "cannot read CRIU_SOURCE $archive" "give the path of criu_VERSION.orig.tar.xz"
		[[ -n $(known 2 "$(digest "$archive")") || -n ${CRIU_ANY:-} ]] || fail \
			"$archive is none of the known versions: $(awk '!/^#/ { printf "%s ", $1 }' "$overlay/versions")" \
			"use one of these, or set CRIU_ANY=1 to try at your own risk"
		return
	fi
	if [[ -n ${CRIU_VERSION:-} ]]; then
		list=$(known 1 "$CRIU_VERSION")
		[[ -n $list ]] || fail "CRIU $CRIU_VERSION is not in native/criu/versions" "choose one of that list"
	else
		list=$(grep -v '^#' "$overlay/versions")
	fi
	while read -r line; do
		# shellcheck disable=SC2086 # version, digest and suites are words
		if fetch $line; then return; fi
		echo "criu: CRIU ${line%% *} is not to be had" >&2
	done <<<"$list"
	fail "none of the known versions of CRIU could be fetched" \
		"check the network, or put an archive on this machine and set CRIU_SOURCE=/path/criu_4.2.1.orig.tar.xz"
}

content_key() {
	{
		digest "$archive"
		(cd "$overlay" && sha256sum -- *.c *.h wrap.list)
		sha256sum <"$here/criu/ld"
		digest "$0"
		uname -m
		"${CC:-cc}" --version | head -n 1
	} | sha256sum | cut -c 1-16
}

overlay_objects() { # overlay_objects TREE: one at a time, since CRIU's make makes its restorer blob anew, and at once, for each goal
	local object
	for object in $PCLIVE_OBJECTS; do
		timeout 900 make -C "$1" -j "${JOBS:-2}" "$object" || return 1
	done
}

no_sigpipe() { # no_sigpipe TREE: a parasite that answers a CRIU that was killed must not get the signal that would then end its task
	local -A sends=(
		[compel/plugins/std/infect.c]='sys_sendto(tsock, &m, sizeof(m), 0,'
		[include/common/scm-code.c]='__sys(sendmsg)(sock, &fdset.hdr, 0)'
	)
	local file old new
	for file in "${!sends[@]}"; do
		old=${sends[$file]}
		new=${old/, 0/, 0x4000 \/* MSG_NOSIGNAL *\/}
		grep -qF "$old" "$1/$file" || fail "$file of this CRIU sends in another way than known" "choose a version of native/criu/versions"
		OLD=$old NEW=$new perl -pi -e 's/\Q$ENV{OLD}\E/$ENV{NEW}/' "$1/$file"
	done
}

build() { # build FOLDER
	local folder=$1 log=$1.log tree source
	tree=$folder/tree
	rm -rf "$folder"
	mkdir -p "$tree"
	tar -xf "$archive" -C "$tree" --strip-components=1
	mkdir "$tree/criu/pclive"
	cp "$overlay"/*.c "$overlay"/*.h "$tree/criu/pclive/"
	no_sigpipe "$tree"

	PCLIVE_LD=${LD:-ld} PCLIVE_WRAP=$(sed '/^#/d; s/^/--wrap=/' "$overlay/wrap.list" | tr '\n' ' ') PCLIVE_OBJECTS=
	for source in "$overlay"/*.c; do
		source=${source##*/}
		PCLIVE_OBJECTS+="criu/pclive/${source%.c}.o "
	done
	export PCLIVE_LD PCLIVE_WRAP PCLIVE_OBJECTS
	# Called inside of a library that is joined last of all.
	export WRAPFLAGS=-Wl,--wrap=compel_execute_syscall
	# The number marks CRIU's cache of kernel features: builds must not take each other's.
	export SOURCE_DATE_EPOCH=$((16#${key:0:7}))
	if ! {
		overlay_objects "$tree" && timeout 900 make -C "$tree" -j "${JOBS:-2}" "LD=$here/criu/ld" criu
	} >"$log" 2>&1; then
		grep -E -B 2 'rror|\*\*\*' "$log" | tail -n 25 >&2
		fail "the build failed; all of it is in $log" "make deps installs the packages that it needs"
	fi
	nm "$tree/criu/criu" | grep -c __wrap_cr_restore_tasks >/dev/null || fail "the overlay was not linked in" "see $log"
	mv "$tree/criu/criu" "$folder/criu"
	rm -rf "$tree" "$log"
}

exec 9>"$out/.lock"
flock -w 1800 9 || fail "another build holds $out/.lock" "wait for it to end"
choose
key=$(content_key)
if [[ ! -x $out/$key/criu ]]; then
	echo "criu: building $(basename "$archive") with the overlay in $out/$key"
	build "$out/$key"
fi
ln -sfn "$key/criu" "$out/criu"
echo "criu: $out/criu is $("$out/criu" --version | head -n 1)"
