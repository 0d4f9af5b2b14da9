#!/usr/bin/env bash
# Process 1 of a guest: mounts, network, then the daemons. Everything that differs between guests is on the
# second disk, /repo, by the name that the kernel's command line gives (pclive.host=a).
set -uo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8

word() { grep -o "pclive\.$1=[^ ]*" /proc/cmdline | cut -d= -f2-; }

mount_all() {
	mountpoint -q /proc || mount -t proc proc /proc
	mountpoint -q /sys || mount -t sysfs sysfs /sys
	mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
	mount -o remount,rw /
	mkdir -p /dev/pts /dev/shm /dev/mqueue
	mount -t devpts -o ptmxmode=0666,mode=0620,gid=5 devpts /dev/pts
	mount -t tmpfs tmpfs /dev/shm
	mount -t mqueue mqueue /dev/mqueue
	mountpoint -q /run || mount -t tmpfs -o mode=755 tmpfs /run
	# The initial file system may have made it without the right to execute.
	mount -o remount,exec,size=800m /run
	mount -t tmpfs -o mode=1777 tmpfs /tmp
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mount -o ro /dev/vdb /repo
	mount --make-rshared /
	mkdir -p /run/lab /run/netns /run/sshd /run/lock
}

# As in the lab: a bridge that holds the address and the network card, so that containers join by veth.
network() {
	local number=${1##*.}
	ip link set lo up
	ip -batch - <<-BATCH
		link add br0 address 02:00:00:00:00:$(printf '%02x' "$number") type bridge
		link set eth0 master br0 up
		link set br0 up
		addr add $1/16 dev br0
	BATCH
}

install_all() {
	install -m 755 /repo/node /opt/node/bin/node
	ln -sf /opt/node/bin/node /usr/local/bin/node
	cp /repo/lib/* /usr/local/lib/ 2>/dev/null
	ldconfig
	cp -r "/repo/hosts/$1/." /
	chmod 700 /root/.ssh /etc/pclive/tls
	/repo/install/install.sh /repo/build/dist /usr/local
}

# daemon NAME COMMAND…: its log goes to the console as well as to /var/log
daemon() {
	local name=$1
	shift
	setsid --fork "$@" </dev/null > >(tee "/var/log/$name.log" | sed -u "s/^/$name: /" >/dev/console) 2>&1
}

host=$(word host)
mount_all
hostname "$host"
network "$(word address)"
install_all "$host"
/usr/sbin/sshd -E /var/log/sshd.log
daemon containerd containerd --config /etc/containerd/config.toml
timeout 60 sh -c 'until ctr version; do sleep 0.3; done' >/dev/null 2>&1
daemon pclived pclived --config /etc/pclive/config.json
timeout 60 sh -c 'until [ -S /run/pclive/pclived.sock ]; do sleep 0.3; done'
for image in /repo/build/images/*.tar; do
	[[ -e $image ]] || continue
	ctr image import "$image" || echo "import of $image failed"
done
echo ready >/run/lab/ready
echo "guest $host is ready"
# What runs already stays where it is; systemd takes over from here.
[[ -z $(word systemd) ]] || exec /lib/systemd/systemd --unit=basic.target
exec tini -s -- sleep infinity
