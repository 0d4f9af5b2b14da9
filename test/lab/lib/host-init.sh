#!/usr/bin/env bash
# Process 1 of a host, in its fresh namespaces: makes its root, enters it and becomes tini, which reaps.
# host-init.sh HOST ROOTFS STATE LOGS REPO CGROUP_MODE NODE; size limits of the tmpfs in LAB_*_SIZE.
set -euo pipefail
host=$1 rootfs=$2 state=$3 logs=$4 repo=$5 mode=$6 node=$7
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=test/lab/lib/common.sh
source "$here/common.sh"
# shellcheck source=test/lab/lib/cgroup.sh
source "$here/cgroup.sh"

# The machine's /proc is still mounted here, so this is our pid as the machine sees it.
read -r outer_pid _ </proc/self/stat
cgroups=$(hierarchies)

mount -t tmpfs -o "size=${LAB_ROOT_SIZE:-2g},mode=755" tmpfs "$state/mnt"
mkdir "$state"/mnt/{upper,work,root}
mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$state/mnt/upper,workdir=$state/mnt/work" "$state/mnt/root"
root=$state/mnt/root

mount_devices() {
	local name kind
	mount -t tmpfs -o mode=755,size=1m tmpfs "$root/dev"
	mkdir "$root"/dev/{pts,shm,mqueue,net}
	mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
	mount -t tmpfs -o size=1g tmpfs "$root/dev/shm"
	mount -t mqueue mqueue "$root/dev/mqueue"
	while read -r name kind; do
		# shellcheck disable=SC2086 # major and minor are two words
		mknod -m 666 "$root/dev/$name" c $kind
	done <<-'LIST'
		null 1 3
		zero 1 5
		full 1 7
		random 1 8
		urandom 1 9
		tty 5 0
		fuse 10 229
		net/tun 10 200
	LIST
	if [[ -c /dev/userfaultfd ]]; then
		touch "$root/dev/userfaultfd"
		mount --bind /dev/userfaultfd "$root/dev/userfaultfd"
	fi
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	ln -s /proc/self/fd/0 "$root/dev/stdin"
	ln -s /proc/self/fd/1 "$root/dev/stdout"
	ln -s /proc/self/fd/2 "$root/dev/stderr"
}

# The host's groups are the roots of its hierarchies, through its cgroup namespace.
mount_cgroups() {
	local base=$root/sys/fs/cgroup point options name
	if [[ $mode == v2 ]]; then
		mount -t cgroup2 cgroup2 "$base"
		return
	fi
	mount -t tmpfs -o mode=755,size=1m tmpfs "$base"
	while read -r point options; do
		[[ $options != v2 ]] || continue
		name=${point##*/}
		mkdir "$base/$name"
		case $options in name=*) options=none,$options ;; esac
		mount -t cgroup -o "$options" cgroup "$base/$name"
	done <<<"$cgroups"
}

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount_devices
mount_cgroups
mount -t tmpfs -o "size=${LAB_RUN_SIZE:-8g},mode=755" tmpfs "$root/run"
mount -t tmpfs -o "size=${LAB_TMP_SIZE:-8g},mode=1777" tmpfs "$root/tmp"
mkdir -p "$root"/var/lib/{containerd,docker} "$root/var/log" "$root/repo" "$root/old" "$root/opt/node/bin"
mount -t tmpfs -o "size=${LAB_CONTAINERD_SIZE:-8g},mode=711" tmpfs "$root/var/lib/containerd"
mount -t tmpfs -o "size=${LAB_CONTAINERD_SIZE:-8g},mode=710" tmpfs "$root/var/lib/docker"
mount --bind "$logs" "$root/var/log"
mount --bind "$repo" "$root/repo"
mount -o remount,ro,bind "$root/repo"
touch "$root/opt/node/bin/node"
mount --bind "$node" "$root/opt/node/bin/node"
ln -sf /opt/node/bin/node "$root/usr/local/bin/node"

hostname "$host"
echo "$host" >"$root/etc/hostname"
ip link set lo up

cd "$root"
pivot_root . old
umount -l /old
rmdir /old
# As on a host that systemd booted: mounts propagate unless a namespace says otherwise.
mount --make-rshared /
mkdir -p /run/lab /run/netns
echo "$outer_pid" >/run/lab/ready
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
	tini -- sleep infinity
