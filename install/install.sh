#!/usr/bin/env bash
# Copy DIST to PREFIX, or take an installation away. What runs goes on with the files that it has open.
# DESTDIR is put before PREFIX for packages.
# usage: install/install.sh DIST PREFIX | install/install.sh --uninstall PREFIX
set -euo pipefail

usage() { echo "usage: install/install.sh DIST PREFIX | install/install.sh --uninstall PREFIX" >&2; exit 2; }
[[ $# == 2 ]] || usage
prefix=${2%/}
[[ $prefix == /* ]] || { echo "install: PREFIX must be an absolute path, not '$2'" >&2; exit 2; }
into=${DESTDIR:-}$prefix
unit=lib/systemd/system/pclived.service
programs=(containerd-shim-pclive-v2 pclived pclive pclive-criu)

reload_systemd() {
	[[ -z ${DESTDIR:-} && -d /run/systemd/system ]] || return 0
	systemctl daemon-reload || echo "install: systemctl daemon-reload failed; run it again before starting pclived" >&2
}

uninstall() {
	# What `pclive install` set up goes first: containerd must not be left with a handler that has no shim.
	if [[ -z ${DESTDIR:-} && -f /var/lib/pclive/install.json && -x $into/bin/pclive ]]; then
		"$into/bin/pclive" uninstall || exit 1
	fi
	if [[ -z ${DESTDIR:-} && -d /run/systemd/system && -f $into/$unit ]]; then
		systemctl disable --now pclived.service >/dev/null 2>&1 || true
	fi
	rm -f "${programs[@]/#/$into/bin/}" "$into/$unit"
	rm -rf --one-file-system "$into/lib/pclive" "$into/share/doc/pclive"
	reload_systemd
	echo "pclive: taken away from $prefix; configuration in /etc/pclive and state in /var/lib/pclive are kept"
}

# Renamed into place: a program that runs keeps its old file.
put() { # FILE TARGET MODE
	mkdir -p "${2%/*}"
	install -m "$3" "$1" "$2.new.$$"
	mv -T "$2.new.$$" "$2"
}

put_all() {
	local dist=$1 node file program
	node=${PCLIVE_NODE:-$(command -v node || true)}
	[[ -x $node ]] || { echo "install: node is not on PATH; remedy: install Node 20 or later, or set PCLIVE_NODE" >&2; exit 1; }
	node=$(readlink -f -- "$node")
	"$node" -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' ||
		{ echo "install: $node is older than Node 20" >&2; exit 1; }

	while IFS= read -r -d '' file; do
		local mode=644
		[[ -x $dist/$file ]] && mode=755
		put "$dist/$file" "$into/$file" "$mode"
	done < <(cd "$dist" && find lib/pclive share/doc/pclive -type f ! -name '*.new*' -printf '%p\0')
	# Which Node it will be is decided here, not by the PATH of whoever starts it: containerd's may lack it.
	ln -sfn "$node" "$into/lib/pclive/node"
	put "$dist/bin/containerd-shim-pclive-v2" "$into/bin/containerd-shim-pclive-v2" 755
	for program in "${programs[@]:1}"; do
		[[ -f $dist/bin/$program ]] || continue
		sed "s|^node=.*|node=\${PCLIVE_NODE:-$node}|" "$dist/bin/$program" >"$into/.pclive.$$"
		put "$into/.pclive.$$" "$into/bin/$program" 755
		rm -f "$into/.pclive.$$"
	done
	sed "s|@PREFIX@|$prefix|g" "$dist/$unit" >"$into/.pclive.$$"
	put "$into/.pclive.$$" "$into/$unit" 644
	rm -f "$into/.pclive.$$"
	reload_systemd
	echo "pclive: installed in $prefix, with $node; next: $prefix/bin/pclive install (--dry-run shows what it would do)"
}

if [[ $1 == --uninstall ]]; then
	uninstall
else
	[[ -d $1/lib/pclive && -d $1/bin ]] || { echo "install: $1 holds no built PCLive; remedy: make build" >&2; exit 1; }
	mkdir -p "$into"
	put_all "$(cd "$1" && pwd)"
fi
