#!/usr/bin/env bash
# Make what the lab runs: the hosts' root file system and the container images, from Debian packages.
# Cached by content under build/cache; quick when nothing changed. `images.sh --paths` prints where they are.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/lab/lib/common.sh
source "$here/lib/common.sh"
# shellcheck source=test/lab/lib/rootfs.sh
source "$here/lib/rootfs.sh"
# shellcheck source=test/lab/lib/image.sh
source "$here/lib/image.sh"

rootfs=$(rootfs_path)

image_base() {
	empty_root "$1"
	add_busybox "$rootfs" "$1"
}
# shellcheck disable=SC2034 # by name in build_image
command_base=(sleep 1000000)

image_redis() {
	empty_root "$1"
	add_busybox "$rootfs" "$1"
	take "$rootfs" "$1" /usr/bin/redis-server /usr/bin/redis-cli
	cat >"$1/etc/redis.conf" <<-'CONF'
		bind 0.0.0.0
		protected-mode no
		daemonize no
		save ""
		appendonly no
		dir /data
		enable-debug-command yes
	CONF
}
# shellcheck disable=SC2034
command_redis=(redis-server /etc/redis.conf)

# build_image NAME: image_NAME fills the root, command_NAME is what runs in it
build_image() {
	local name=$1 out=$2 root
	[[ -e $out ]] && return
	local -n command=command_$name
	root=$(mktemp -d "$CACHE/$name.XXXXXX")
	"image_$name" "$root"
	chmod 755 "$root"
	make_image "$name" "$root" "$out" "${command[@]}"
	rm -rf --one-file-system "$root"
	say "image $name: $(($(stat -c %s "$out") >> 20)) MiB"
}

# A program of our own is one static binary, built by its folder's make: image NAME runs /usr/bin/NAME.
build_program_image() {
	local name=$1 binary=$BUILD/programs/$1/$1 out root
	timeout 600 make -s -C "$ROOT/test/programs/$name" OUT="$BUILD/programs/$name" >&2 ||
		fail "test/programs/$name does not build" "make -C test/programs/$name OUT=$BUILD/programs/$name"
	[[ -x $binary ]] || fail "test/programs/$name built no $binary" "its Makefile puts the program into OUT"
	out=$CACHE/image-$name-$(digest "$binary" "$here/lib/image.sh").tar
	if [[ ! -e $out ]]; then
		root=$(mktemp -d "$CACHE/$name.XXXXXX")
		empty_root "$root"
		add_busybox "$rootfs" "$root"
		install -m 755 "$binary" "$root/usr/bin/$name"
		chmod 755 "$root"
		make_image "$name" "$root" "$out" "$name"
		rm -rf --one-file-system "$root"
	fi
	ln -sfn "../cache/${out##*/}" "$BUILD/images/$name.tar"
}

main() {
	local name out key program
	build_rootfs "$rootfs"
	key=$(echo "$rootfs" | cat - "$here/images.sh" "$here/lib/image.sh" | sha256sum | cut -c1-16)
	mkdir -p "$BUILD/images"
	for name in base redis; do
		out=$CACHE/image-$name-$key.tar
		build_image "$name" "$out"
		ln -sfn "../cache/${out##*/}" "$BUILD/images/$name.tar"
	done
	for program in "$ROOT"/test/programs/*/Makefile; do
		[[ -e $program ]] || continue
		build_program_image "$(basename "$(dirname "$program")")"
	done
}

if [[ ${1:-} == --paths ]]; then
	echo "rootfs $rootfs"
	echo "images $BUILD/images"
	exit
fi
need_root
mkdir -p "$CACHE"
locked "$CACHE/.images.lock" main
