# shellcheck shell=bash disable=SC2153
# One guest: a qemu process, plugged into the lab's switch by a tap. STATE/HOST.pid, .tap and .qmp tell of it; while
# the guest moves there is a second process, HOST-in (lib/move.sh).

guest_tap() { cat "$STATE/$1.tap" 2>/dev/null; }

guest_pid() {
	local pid
	pid=$(cat "$STATE/$1.pid" 2>/dev/null) || return 1
	# A recycled pid is not our qemu.
	grep -qsa -- "pclive-$NAME-$1" "/proc/$pid/cmdline" || return 1
	echo "$pid"
}

guest_start() {
	local host=$1
	tap_add "$host" "tap-$host"
	ip -n "$(switch_name)" link set "tap-$host" master br0
	rm -f "$STATE/logs/$host.console.log"
	[[ -z ${GUEST_MOVES:-} ]] || make_overlay "$(system_disk)" "$STATE/$host.qcow2"
	qemu_start "$host"
}

# tap_add PROCESS TAP: its cable, not yet in the switch
tap_add() {
	ip -n "$(switch_name)" tuntap add "$2" mode tap
	ip -n "$(switch_name)" link set "$2" up
	echo "$2" >"$STATE/$1.tap"
}

# guest_drive HOST: what a guest writes goes to a file without a name (snapshot=on), and is gone with it; that of a
# guest that moves has a name, because two processes open it.
guest_drive() {
	if [[ -z ${GUEST_MOVES:-} ]]; then
		echo "file=$(system_disk),format=raw,if=virtio,snapshot=on"
	else
		echo "file=$STATE/$1.qcow2,format=qcow2,if=virtio"
	fi
}

# guest_memory: in KiB. When it migrates memory that is a multiple of 256 KiB, qemu before 9.0 takes a short cut through
# its bitmap of written pages and forgets to tell TCG: writes are missed, and the guest crashes where it has moved to.
# 8 KiB more, and it looks page by page.
guest_memory() { echo $((${GUEST_MB:-1536} * 1024${GUEST_MOVES:+ + 8})); }

# qemu_start HOST[-in] [OPTION…]: both processes of a guest that moves are the same machine
qemu_start() {
	local process=$1 host=${1%-in}
	shift
	# Without cx16: qemu 7.2 computes the flags of cmpxchg16b from stale state, and an interrupt at that very moment
	# saves them, garbage as they are: a double fault now and then. The kernel has another way to do the same.
	TMPDIR=$STATE ip netns exec "$(switch_name)" setsid --fork qemu-system-x86_64 -name "pclive-$NAME-$process" \
		-accel "${GUEST_ACCEL:-tcg}" -cpu max,-cx16 -smp "${GUEST_CPUS:-1}" -m "$(guest_memory)K" -nodefaults -no-user-config -display none -no-reboot \
		-kernel "$(kernel_file vmlinuz)" -initrd "$(kernel_file initrd.img)" \
		-append "console=ttyS0 root=/dev/vda ro init=/sbin/guest-init net.ifnames=0 panic=-1 quiet loglevel=4 mitigations=off pclive.host=$host pclive.address=$(host_address "$host")${GUEST_SYSTEMD:+ pclive.systemd=1}" \
		-drive "$(guest_drive "$host")" \
		-drive "file=$STATE/payload.ext4,format=raw,if=virtio,readonly=on" \
		-netdev "tap,id=net,ifname=$(guest_tap "$process"),script=no,downscript=no" \
		-device "virtio-net-pci,netdev=net,mac=02:00:00:00:01:0$(($(printf '%d' "'$host") - 96))" \
		-device virtio-rng-pci -chardev "file,id=console,path=$STATE/logs/$host.console.log,append=on" -serial chardev:console \
		-qmp "unix:$STATE/$process.qmp,server=on,wait=off" -pidfile "$STATE/$process.pid" "$@" \
		</dev/null >"$STATE/logs/$process.qemu.log" 2>&1
	# It goes on by itself: until it has written its pid, "not there" does not mean that it has ended.
	wait_for 30 guest_pid "$process" || fail "qemu for guest $process does not start: $(tail -n 3 "$STATE/logs/$process.qemu.log" | tr '\n' ' ')" "see $STATE/logs/$process.qemu.log"
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
