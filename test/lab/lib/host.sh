# shellcheck shell=bash
# A host: namespaces over an overlay root, begun by host-init.sh. STATE/hosts/HOST/pid tells its process 1.

host_dir() { echo "$STATE/hosts/$1"; }
is_host() { [[ " $HOSTS " == *" $1 "* ]]; }
check_host() { is_host "$1" || fail "no host $1 in lab $NAME (its hosts: $HOSTS)"; }

# The client host of the lab, c, has no containerd: it is there to make load.
runs_containers() { [[ $1 != c ]]; }

# host_address HOST: 10.10.0.1 for a, .2 for b …
host_address() { echo "10.10.0.$(($(printf '%d' "'$1") - 96))"; }

# start_time PID: when it began, in clock ticks; with the pid it names a process for good
start_time() {
	local stat fields
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	read -ra fields <<<"${stat##*) }"
	echo "${fields[19]}"
}

# host_pid HOST: its process 1 as the machine sees it; false when it does not run
host_pid() {
	local pid began
	read -r pid began 2>/dev/null <"$(host_dir "$1")/pid" || return 1
	[[ -n $began && $(start_time "$pid") == "$began" ]] || return 1
	# A process 1 that was killed lingers, without a root, while something in its namespace cannot die.
	[[ -e /proc/$pid/root/run/lab/ready ]] || return 1
	echo "$pid"
}

require_host() {
	check_host "$1"
	host_pid "$1" >/dev/null || fail "host $1 of lab $NAME is not running" "start it: test/lab/lab up"
}

host_start() {
	local host=$1 dir logs pid parent
	dir=$(host_dir "$host")
	logs=$STATE/logs/$host
	mkdir -p "$dir/mnt" "$logs"
	cgroup_make "$host"
	(
		cgroup_enter "$host"
		exec setsid unshare --mount --net --pid --uts --ipc --cgroup --fork --propagation private \
			"$LAB_DIR/lib/host-init.sh" "$host" "$ROOTFS" "$dir" "$logs" "$ROOT" "$(cgroup_mode)" "$(readlink -f "$(command -v node)")"
	) </dev/null >"$logs/init.log" 2>&1 &
	parent=$!
	disown "$parent"
	wait_for 10 host_ready "$parent" || fail "host $host did not come up: $(tail -n 3 "$logs/init.log" | tr '\n' ' ')" "see $logs/init.log"
	pid=$(child_of "$parent")
	cgroup_settle "$host"
	echo "$pid $(start_time "$pid")" >"$dir/pid"
}

child_of() {
	local pid
	# The line has no end, so read fails even when it has read.
	read -r pid _ 2>/dev/null <"/proc/$1/task/$1/children" || [[ -n ${pid:-} ]] || return 1
	echo "$pid"
}

host_ready() {
	local pid
	pid=$(child_of "$1") && [[ -e /proc/$pid/root/run/lab/ready && ! -e /proc/$pid/root/old ]]
}

# host_stop HOST: kill all of it, by its process 1 and by its control groups; then the groups go
host_stop() {
	wait_for 20 cgroup_kill "$1" || fail "processes of host $1 do not die: $(cgroup_pids "$1" | tr '\n' ' ')" "look at them: cat /proc/PID/stack"
	wait_for 10 cgroup_remove "$1" || fail "control groups $(cgroup_name "$1") stay in use"
}

# enter HOST COMMAND…: replace this shell by the command, run inside the host with a clean environment
enter() {
	local host=$1 pid
	shift
	pid=$(host_pid "$host")
	cgroup_enter "$host"
	exec nsenter --target "$pid" --mount --net --pid --uts --ipc --cgroup --root -- \
		env -i -C / PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" "$@"
}

# in_host HOST COMMAND…: the same, and come back
in_host() { (enter "$@"); }
