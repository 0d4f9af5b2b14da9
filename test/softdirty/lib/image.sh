# shellcheck shell=bash disable=SC2153
# The guests' disks. The system (Debian trixie with its kernel) is made once and cached; what is PCLive's is a
# second, small disk, made for every run and shared read-only by both guests.

# The kernel that we are here for, the door through which commands come, and another process 1 for who asks.
HOST_PACKAGES+=(linux-image-cloud-amd64 openssh-server systemd dbus)

system_root() { rootfs_path; }

# A guest's init is our own, so it belongs to the cache key too.
system_disk() { printf '%s.%s.ext4\n' "$(rootfs_path)" "$(digest "$SOFTDIRTY/guest-init.sh" "$SOFTDIRTY/lib/image.sh")"; }

# kernel_file NAME: vmlinuz or initrd.img of the only kernel that the system holds
kernel_file() {
	local files=("$(system_root)/boot/$1"-*)
	[[ ${#files[@]} == 1 && -e ${files[0]} ]] || fail "the guests' system has not one $1 but: ${files[*]}" "rm -rf $(system_root)* and try again"
	echo "${files[0]}"
}

build_system() {
	local disk root
	disk=$(system_disk)
	root=$(system_root)
	build_rootfs "$root"
	[[ ! -e $disk ]] || return 0
	say "making the guests' disk"
	rm -f "$root".*.ext4
	install -m 755 "$SOFTDIRTY/guest-init.sh" "$root/sbin/guest-init"
	mkdir -p "$root/root/.ssh" "$root/opt/node/bin"
	make_disk "$root" "$disk" 2500
}

# make_disk FOLDER FILE MEGABYTES: an ext4 file system without a mount
make_disk() {
	rm -f "$2.part"
	timeout 300 mkfs.ext4 -q -F -L guest -O ^has_journal -E root_owner=0:0 -d "$1" "$2.part" "${3}m" >/dev/null || fail "mkfs.ext4 of $2 failed"
	mv "$2.part" "$2"
}

# make_overlay BASE FILE: a disk that is BASE but for what is written to it
make_overlay() {
	rm -f "$2"
	timeout 30 qemu-img create -q -f qcow2 -F raw -b "$1" "$2" || fail "qemu-img cannot make $2" "install/deps.sh"
}

# make_payload FILE: build/dist, the installer, images, the engine's own test, Node, the libraries that trixie lacks, each guest's own files
make_payload() {
	local stage=$STATE/payload
	rm -rf --one-file-system "$stage"
	mkdir -p "$stage/build/images" "$stage/build/test" "$stage/lib"
	cp -r "$BUILD/dist" "$stage/build/dist"
	cp -r "$ROOT/install" "$stage/install"
	stage_tests "$stage/build"
	cp -L "$(readlink -f "$(command -v node)")" "$stage/node"
	cp -r "$STATE/hosts" "$stage/hosts"
	stage_libraries "$stage/lib"
	make_disk "$stage" "$1" $(($(du -sm "$stage" | cut -f1) * 5 / 4 + 32))
	rm -rf --one-file-system "$stage"
}

# stage_tests FOLDER: what the tests of this set of guests run in them
stage_tests() {
	case $NAME in
	softdirty)
		cp -L "$BUILD/images/redis.tar" "$BUILD/images/churn.tar" "$1/images/"
		stage_oracle "$1/test"
		;;
	yardstick) cp -L "$BUILD/images/redis.tar" "$1/images/" ;;
	*) stage_repository "$1/.." ;;
	esac
}

# stage_repository FOLDER: of this repository what its compiled tests need where they run
stage_repository() {
	local part
	for part in js protos test/ttrpc-peer native/addon/pclive.node; do
		mkdir -p "$(dirname "$1/build/$part")"
		cp -r "$BUILD/$part" "$1/build/$part"
	done
	cp "$ROOT/package.json" "$1/"
	# Compilers and linters are most of it.
	tar -C "$ROOT" --exclude=node_modules/{@biomejs,@esbuild,@babel,@types,typescript} -cf - node_modules | tar -C "$1" -xf -
}

# stage_oracle FOLDER: the test of the engine's source side, which compares every page
stage_oracle() {
	local out=$BUILD/native/engine
	timeout 900 make -s -j2 -C "$ROOT/native/engine" OUT="$out" "$out/source_rounds" >&2 || fail "test/native/engine/source_rounds.cpp does not build"
	strip -o "$1/source_rounds" "$out/source_rounds"
}

# linked_libraries: "NAME PATH" of what PCLive's programs and Node are linked with on this machine
linked_libraries() {
	find "$BUILD/dist" "$(readlink -f "$(command -v node)")" -type f \( -perm -u+x -o -name '*.node' \) -exec ldd {} + 2>/dev/null |
		awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u
}

# stage_libraries FOLDER: those that the guests' Debian has not by that name
stage_libraries() {
	local name path
	# ldd fails at scripts; what is missing in the end shows when the programs start.
	{ linked_libraries || true; } | while read -r name path; do
		[[ -n $(find "$(system_root)/usr/lib" -name "$name" -print -quit) ]] || cp -L "$path" "$1/$name"
	done
}
