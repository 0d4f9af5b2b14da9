#!/usr/bin/env bash
# Make the Debian package of DIST: OUT/pclive_VERSION_ARCH.deb, for Debian 12 and newer and Ubuntu 24.04 and newer. It
# brings the very Node that built it, as Debian 12 and Ubuntu 24.04 have only Node 18. The same input gives the same
# bytes: SOURCE_DATE_EPOCH (default: the last commit's time) is the time of everything in it.
# DEB_COMPRESS (xz:6) is METHOD:LEVEL of dpkg-deb; DEB_MAINTAINER who answers for the package; DEB_VERSION another version
# than the source's, e.g. to try an upgrade.
# usage: install/deb.sh DIST OUT
set -euo pipefail

fail() { echo "deb: $1; remedy: $2" >&2; exit 1; }

[[ $# == 2 ]] || { echo "usage: install/deb.sh DIST OUT" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
dist=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
files=$root/install/deb
compress=${DEB_COMPRESS:-xz:6}
maintainer=${DEB_MAINTAINER:-PCLive <pclive@localhost>}
[[ $compress =~ ^(xz|gzip|zstd):[0-9]+$ ]] || fail "DEB_COMPRESS=$compress is not METHOD:LEVEL" "for example xz:6 or gzip:1"
[[ -x $dist/bin/containerd-shim-pclive-v2 ]] || fail "$dist holds no built PCLive" "make build"

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022
version=${DEB_VERSION:-$(node -p 'JSON.parse(fs.readFileSync(process.argv[1])).version' "$root/package.json")}
[[ $version =~ ^[0-9][0-9A-Za-z.+~-]*$ ]] || fail "DEB_VERSION=$version is no version" "for example 0.0.9"
arch=$(dpkg --print-architecture)
node=$(node -p 'fs.realpathSync(process.execPath)')
stage=$(mktemp -d "$out/.stage.XXXXXX")
trap 'rm -rf --one-file-system "$stage"' EXIT
pkg=$stage/pclive
doc=$pkg/usr/share/doc/pclive

put_files() {
	DESTDIR=$pkg PCLIVE_NODE=$node "$root/install/install.sh" "$dist" /usr >/dev/null
	# The package's own Node, wherever a link or a script names that of this machine.
	rm "$pkg/usr/lib/pclive/node"
	install -m 755 "$node" "$pkg/usr/lib/pclive/node"
	find "$pkg/usr/bin" -type f -exec grep -lIZ "^node=" {} + | xargs -0 sed -i "s|^node=.*|node=\${PCLIVE_NODE:-/usr/lib/pclive/node}|"
	install -d "$pkg/usr/share/pclive"
	# What `pclive install` would write there, so that it finds it and leaves it to the package.
	node -e 'import(process.argv[1]).then((file) => process.stdout.write(file.RUNTIME_CLASS))' \
		"$root/build/js/runtime/cli/install/runtime-class.js" >"$pkg/usr/share/pclive/runtimeclass.yaml"
	binaries | xargs -0 strip --strip-unneeded
	chmod 644 "$pkg/usr/lib/pclive/pclive.node"
}

# Programs and libraries of ours, without the shim: its payload is laid out already.
binaries() { find "$pkg/usr/lib/pclive" -type f \( -perm -u+x -o -name '*.node' \) -print0; }

put_documents() {
	# Debian keeps these texts for everybody.
	rm -f "$doc"/{LICENSE,Apache-2.0.txt,GPL-2.0-only.txt}
	install -m 644 "$files/copyright" "$doc/copyright"
	install -m 644 "$root"/docs/{install,use,limits,troubleshooting}.md "$doc/"
	local licence
	for licence in "${node%/bin/*}"/{LICENSE,share/doc/nodejs/LICENSE}; do
		[[ ! -f $licence ]] || { gzip -9nc "$licence" >"$doc/node-LICENSE.gz" && break; }
	done
	{
		printf 'pclive (%s) stable; urgency=medium\n\n  * See the history of the source.\n\n' "$version"
		printf ' -- %s  %s\n' "$maintainer" "$(date -Rd "@$SOURCE_DATE_EPOCH")"
	} | gzip -9n >"$doc/changelog.gz"
	install -Dm 644 "$files/lintian-overrides" "$pkg/usr/share/lintian/overrides/pclive"
}

# Packages of the libraries that the binaries are linked with; dpkg-shlibdeps wants to see a source package.
libraries() {
	local list
	mkdir -p "$stage/source/debian"
	printf 'Source: pclive\n\nPackage: pclive\nArchitecture: any\n' >"$stage/source/debian/control"
	mapfile -d '' list < <(binaries)
	(cd "$stage/source" && dpkg-shlibdeps -O "${list[@]/#/-e}" "-e$pkg/usr/bin/containerd-shim-pclive-v2" 2>"$stage/shlibdeps.log") |
		sed -n 's/^shlibs:Depends=//p'
}

put_control() {
	local depends script
	install -d "$pkg/DEBIAN"
	depends=$(libraries)
	[[ -n $depends ]] || fail "dpkg-shlibdeps found no libraries: $(tail -n 1 "$stage/shlibdeps.log")" "install dpkg-dev and the libraries' packages"
	sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$arch|" -e "s|@MAINTAINER@|$maintainer|" -e "s|@LIBRARIES@|$depends|" \
		-e "s|@SIZE@|$(du -sk --apparent-size "$pkg/usr" | cut -f1)|" "$files/control" >"$pkg/DEBIAN/control"
	for script in postinst prerm postrm; do
		install -m 755 "$files/$script" "$pkg/DEBIAN/$script"
	done
	(cd "$pkg" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$pkg/DEBIAN/md5sums"
}

put_files
put_documents
put_control
find "$pkg" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
deb=$out/pclive_${version}_$arch.deb
# A fixed number of threads, since the blocks that xz makes depend on it.
dpkg-deb --root-owner-group --threads-max=2 "-Z${compress%:*}" "-z${compress#*:}" --build "$pkg" "$deb.new" >/dev/null
mv "$deb.new" "$deb"
echo "$deb: $(($(stat -c %s "$deb") >> 20)) MiB, installed $(($(sed -n 's/^Installed-Size: //p' "$pkg/DEBIAN/control") >> 10)) MiB, of it Node $(($(stat -c %s "$pkg/usr/lib/pclive/node") >> 20)) MiB"
