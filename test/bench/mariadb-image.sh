#!/usr/bin/env bash
# Make what the evaluation needs of MariaDB from Debian packages, once: the image build/bench/mariadb.tar, a folder of fresh data
# build/bench/mariadb-data, the folder build/bench/mariadb-client with sysbench, and build/bench/shared for data in use.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/lab/lib/common.sh
source "$here/../lab/lib/common.sh"
# shellcheck source=test/lab/lib/rootfs.sh
source "$here/../lab/lib/rootfs.sh"
# shellcheck source=test/lab/lib/image.sh
source "$here/../lab/lib/image.sh"

# shellcheck disable=SC2034 # what rootfs.sh installs
HOST_PACKAGES=(mariadb-server-core mariadb-client-core sysbench busybox-static)
OUT=$BUILD/bench

# make_data ROOTFS: ROOTFS/data with the system tables
make_data() {
	local rootfs=$1
	rm -rf "$rootfs/data"
	chroot "$rootfs" mariadb-install-db --no-defaults --user=root --datadir=/data --auth-root-authentication-method=normal --skip-test-db \
		--skip-name-resolve --innodb-log-file-size=16M --force >"$OUT/install-db.log" 2>&1 ||
		fail "mariadb-install-db failed: $(tail -n 3 "$OUT/install-db.log" | tr '\n' ' ')" "see $OUT/install-db.log"
}

fill_root() {
	local rootfs=$1 root=$2
	make_data "$rootfs"
	empty_root "$root"
	add_busybox "$rootfs" "$root"
	take "$rootfs" "$root" /usr/sbin/mariadbd
	mkdir -p "$root/usr/share"
	cp -a "$rootfs/usr/share/mysql" "$root/usr/share/"
	mkdir -p "$root/var/lib/mysql"
	mv "$rootfs"/data/{ibdata1,aria_log*} "$root/var/lib/mysql/"
	# io_uring cannot be dumped; a client needs no password. What MariaDB locks stays in the container's own files: in files that both hosts see
	# the source still holds the lock when the destination takes it.
	cat >"$root/etc/my.cnf" <<-'CONF'
		[mariadbd]
		user = root
		datadir = /data
		aria_log_dir_path = /var/lib/mysql
		innodb_data_home_dir = /var/lib/mysql
		socket = /run/mariadbd.sock
		bind-address = 0.0.0.0
		skip-name-resolve
		skip-grant-tables
		innodb_use_native_aio = 0
		innodb_log_file_size = 16M
		innodb_flush_log_at_trx_commit = 2
		performance_schema = 0
	CONF
}

main() {
	local rootfs image root
	mkdir -p "$OUT/shared"
	rootfs=$(rootfs_path)
	build_rootfs "$rootfs"
	image=$CACHE/image-mariadb-$(echo "$rootfs" | cat - "$here/mariadb-image.sh" "$here/../lab/lib/image.sh" | sha256sum | cut -c1-16).tar
	if [[ ! -e $image ]]; then
		root=$(mktemp -d "$CACHE/mariadb.XXXXXX")
		fill_root "$rootfs" "$root"
		chmod 755 "$root"
		rm -rf "${image%.tar}.data"
		mv "$rootfs/data" "${image%.tar}.data"
		make_image mariadb "$root" "$image" mariadbd
		rm -rf --one-file-system "$root"
		say "image mariadb: $(($(stat -c %s "$image") >> 20)) MiB"
	fi
	ln -sfn "../cache/${image##*/}" "$OUT/mariadb.tar"
	ln -sfn "../cache/$(basename "$image" .tar).data" "$OUT/mariadb-data"
	ln -sfn "../cache/${rootfs##*/}" "$OUT/mariadb-client"
}

need_root
mkdir -p "$CACHE"
locked "$CACHE/.mariadb.lock" main
