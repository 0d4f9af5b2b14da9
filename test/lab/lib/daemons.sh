# shellcheck shell=bash
# The long-running programs of a host: containerd, pclived and, where a test asks for it, dockerd. Each has a pid file /run/lab/NAME.pid (the pid
# inside the host) and a log /var/log/NAME.log, which is STATE/logs/HOST/NAME.log outside.

readonly DAEMONS="containerd pclived dockerd"

daemon_command() {
	case $1 in
	containerd) echo containerd ;; # it reads /etc/containerd/config.toml, and does without it
	pclived) echo "pclived --config /etc/pclive/config.json" ;;
	dockerd) echo "dockerd --containerd /run/containerd/containerd.sock" ;;
	*) fail "no daemon $1 (there are: $DAEMONS)" ;;
	esac
}

daemon_log() { echo "$STATE/logs/$2/$1.log"; }

# daemon_running NAME HOST. Read through /proc, which costs no entry into the host.
daemon_running() {
	local root pid
	root=/proc/$(host_pid "$2")/root || return 1
	pid=$(cat "$root/run/lab/$1.pid" 2>/dev/null) || return 1
	[[ -e $root/proc/$pid/exe ]]
}

daemon_start() {
	local name=$1 host=$2 log
	! daemon_running "$name" "$host" || return 0
	log=$(daemon_log "$name" "$host")
	in_host "$host" setsid --fork sh -c "echo \$\$ >/run/lab/$name.pid; exec $(daemon_command "$name")" </dev/null >>"$log" 2>&1
	wait_for 15 daemon_ready "$name" "$host" ||
		fail "$name on host $host does not answer: $(tail -n 3 "$log" | tr '\n' ' ')" "see $log"
}

daemon_ready() {
	daemon_running "$1" "$2" || return 1
	case $1 in
	containerd) in_host "$2" timeout 2 ctr version ;;
	# A killed agent leaves its socket behind, so only an answer counts.
	pclived) in_host "$2" timeout 5 pclive status ;;
	dockerd) in_host "$2" timeout 5 docker version ;;
	esac
}

# daemon_kill NAME HOST SIGNAL: signal it and, where the signal ends it, wait for its end
daemon_kill() {
	local name=$1 host=$2 signal=$3 root
	daemon_running "$name" "$host" || fail "$name does not run on host $host" "test/lab/lab start $host $name"
	root=/proc/$(host_pid "$host")/root
	in_host "$host" kill "-$signal" "$(<"$root/run/lab/$name.pid")"
	case $signal in KILL | TERM | INT | 9 | 15) ;; *) return 0 ;; esac
	wait_for 15 daemon_gone "$name" "$host" || fail "$name on host $host got $signal and still runs after 15 s" "see $(daemon_log "$name" "$host")"
}

daemon_gone() { ! daemon_running "$1" "$2"; }
