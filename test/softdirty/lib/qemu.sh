# shellcheck shell=bash disable=SC2153
# One guest: a qemu process without KVM, plugged into the lab's switch by a tap. STATE/HOST.pid names it.

guest_tap() { echo "tap-$1"; }

guest_pid() {
	local pid
	pid=$(cat "$STATE/$1.pid" 2>/dev/null) || return 1
	# A recycled pid is not our qemu.
	grep -qsa -- "pclive-$NAME-$1" "/proc/$pid/cmdline" || return 1
	echo "$pid"
}

guest_start() {
	local host=$1 switch tap
	switch=$(switch_name)
	tap=$(guest_tap "$host")
	ip -n "$switch" tuntap add "$tap" mode tap
	ip -n "$switch" link set "$tap" master br0 up
	# Without cx16: qemu 7.2 computes the flags of cmpxchg16b from stale state, and an interrupt at that very moment
	# saves them, garbage as they are: a double fault now and then. The kernel has another way to do the same.
	# snapshot=on: what a guest writes goes to a file without a name, and is gone with it.
	TMPDIR=$STATE ip netns exec "$switch" setsid --fork qemu-system-x86_64 -name "pclive-$NAME-$host" \
		-accel tcg -cpu max,-cx16 -smp "${GUEST_CPUS:-1}" -m "${GUEST_MB:-1536}" -nodefaults -no-user-config -display none -no-reboot \
		-kernel "$(kernel_file vmlinuz)" -initrd "$(kernel_file initrd.img)" \
		-append "console=ttyS0 root=/dev/vda ro init=/sbin/guest-init net.ifnames=0 panic=-1 quiet loglevel=4 mitigations=off pclive.host=$host pclive.address=$(host_address "$host")${GUEST_SYSTEMD:+ pclive.systemd=1}" \
		-drive "file=$(system_disk),format=raw,if=virtio,snapshot=on" \
		-drive "file=$STATE/payload.ext4,format=raw,if=virtio,readonly=on" \
		-netdev "tap,id=net,ifname=$tap,script=no,downscript=no" \
		-device "virtio-net-pci,netdev=net,mac=02:00:00:00:01:0$(($(printf '%d' "'$host") - 96))" \
		-device virtio-rng-pci -serial "file:$STATE/logs/$host.console.log" \
		-pidfile "$STATE/$host.pid" </dev/null >"$STATE/logs/$host.qemu.log" 2>&1
	# It goes on by itself: until it has written its pid, "not there" does not mean that it has ended.
	wait_for 30 guest_pid "$host" || fail "qemu for guest $host does not start: $(tail -n 3 "$STATE/logs/$host.qemu.log" | tr '\n' ' ')" "see $STATE/logs/$host.qemu.log"
}

guest_stop() {
	local pid
	pid=$(guest_pid "$1") || {
		rm -f "$STATE/$1.pid"
		return 0
	}
	kill -KILL "$pid"
	wait_for 10 guest_gone "$1" || fail "qemu of guest $1 (process $pid) does not end"
	rm -f "$STATE/$1.pid"
}

guest_gone() { ! guest_pid "$1"; }

# guest_exec HOST WORD…: run it in the guest as root, streams and exit code as they are
guest_exec() {
	local host=$1
	shift
	guest_pid "$host" >/dev/null || fail "guest $host does not run" "see $STATE/logs/$host.console.log"
	# One connection is kept: under emulation a handshake takes over a second.
	ip netns exec "$(switch_name)" ssh -q -F none -i "$STATE/key" -o BatchMode=yes -o ConnectTimeout=10 \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ServerAliveInterval=20 \
		-o ControlMaster=auto -o "ControlPath=$STATE/ssh-$host" -o ControlPersist=60 \
		"root@$(host_address "$host")" "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; exec ${*@Q}"
}

# guest_settled HOST: it is ready, or it is gone and never will be
guest_settled() { ! guest_pid "$1" || guest_ready "$1"; }
guest_ready() { guest_pid "$1" >/dev/null && guest_exec "$1" test -e /run/lab/ready; }

# guest_logs HOST: what lies in the guest and would go with it
guest_logs() {
	guest_pid "$1" >/dev/null || return 0
	mkdir -p "$STATE/logs/$1"
	guest_exec "$1" timeout 20 tar -C / --ignore-failed-read -cf - var/log run/pclive var/lib/pclive 2>/dev/null |
		timeout 30 tar -C "$STATE/logs/$1" --exclude='*.img' --exclude='*.sock' -xf - 2>/dev/null || true
}
