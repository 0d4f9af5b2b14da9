#!/usr/bin/env bash
# The Debian package as a user has it: installed by apt on a host of the lab, used by its containerd, upgraded under
# running containers (from an older version too), removed and purged. Every file of the host's configuration must then be as it was before.
# usage: test/deb/run.sh [SUITE…] (bookworm trixie). The last line is "N passed, N failed".
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/test/deb
log=$root/build/test/deb.log
export LAB_NAME=deb LAB_HOSTS=a
passed=0
failed=0

lab() { timeout -k 10 "${LAB_TIMEOUT:-120}" "$root/test/lab/lab" "$@"; }
on_host() { lab exec a "$@"; }

# With this machine's network, for the archives; the host's own has no way out.
with_network() {
	local pid
	read -r pid _ <"$root/build/lab/deb/hosts/a/pid"
	timeout -k 10 300 nsenter --target "$pid" --mount --pid --uts --ipc --root -- \
		env -i -C / PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive "$@"
}

# check TEXT COMMAND…: one test
check() {
	local text=$1
	shift
	if "$@" >>"$log" 2>&1 </dev/null; then
		passed=$((passed + 1))
		echo "  ok    $text"
	else
		failed=$((failed + 1))
		echo "  FAIL  $text ($*; see $log)"
	fi
}

refuses() { ! "$@"; }
# says PATTERN COMMAND…: what the command prints has the pattern
says() {
	local pattern=$1
	shift
	# Not -q: it would end before the command has said all.
	"$@" 2>&1 | tee -a "$log" | grep -E -- "$pattern" >/dev/null
}

# source: this machine's archive, as the lab finds it
archive() {
	LAB_SUITE=$1 bash -c 'source "$1/common.sh"; source "$1/rootfs.sh"; mirror' _ "$root/test/lab/lib"
}

# A host as it comes from its distribution, without what the lab put there.
bare_host() {
	local suite=$1 uri target
	uri=$(archive "$suite") || return 1
	lab down && LAB_TIMEOUT=900 lab up || return 1
	target=/proc/$(cut -d' ' -f1 <"$root/build/lab/deb/hosts/a/pid")/root
	lab kill a pclived TERM
	on_host /repo/install/install.sh --uninstall /usr/local || return 1
	on_host rm -rf /etc/pclive /etc/containerd/config.toml /etc/criu /usr/local/bin/node /var/lib/pclive || return 1
	cp "$root"/build/deb/pclive_*.deb "$target/tmp/pclive.deb"
	cp "$older"/pclive_*.deb "$target/tmp/pclive-older.deb"
	cp /etc/resolv.conf "$target/etc/resolv.conf"
	printf 'deb [trusted=yes check-valid-until=no] %s %s main\n' "$uri" "$suite" >"$target/etc/apt/sources.list"
	mkdir -p "$target/var/log/apt"
	# Services are the lab's matter, and there is no systemd.
	printf '#!/bin/sh\nexit 101\n' >"$target/usr/sbin/policy-rc.d"
	chmod 755 "$target/usr/sbin/policy-rc.d"
	with_network apt-get update -qq
}

restart_containerd() {
	lab kill a containerd TERM && lab start a containerd
}

# Modes, owners and bytes of what PCLive may touch, and the names beside it.
configuration() {
	on_host sh -c 'cd /etc && find containerd docker pclive systemd/system -printf "%p %y %m %u:%g %l\n" 2>/dev/null | sort
		find containerd docker pclive -type f -print0 2>/dev/null | sort -z | xargs -0r sha256sum'
}

same_configuration() {
	configuration >"$work/after"
	diff "$work/before" "$work/after"
}

runs() { says '^hello$' on_host ctr run --rm --runtime io.containerd.pclive.v2 pclive.test/base:latest "$1" echo hello; }

# The handler is there, and runc's beside it, and CRI starts with them.
cri_has_handler() {
	on_host sh -c 'containerd --config /etc/containerd/config.toml config dump >/tmp/dump' &&
		says 'runtimes.pclive\]' on_host cat /tmp/dump && says 'runtimes.runc\]' on_host cat /tmp/dump &&
		says 'io.containerd.grpc.v1 +cri .* ok' on_host ctr plugins ls
}

# shellcheck disable=SC2016 # dpkg-query expands it
installed_version() { on_host dpkg-query -W -f '${Version}\n' pclive; }
shim_pid() { on_host sh -c "pgrep -f -- '-[n]amespace default .*-id deb1'"; }

# The administrator's own words in the files that the package has edited, and in its own folder.
edit_configuration() {
	# shellcheck disable=SC2016 # the host's shell expands it
	on_host sh -c 'sed -i "1i # kept by the administrator" /etc/containerd/config.toml
		mkdir -p /etc/pclive && printf "# mine\n" >/etc/pclive/mine.toml && chmod 600 /etc/pclive/mine.toml'
}
same_edited() {
	configuration >"$work/upgraded"
	diff "$work/edited" "$work/upgraded"
}
same_shim() { test "$(shim_pid)" == "$(cat "$work/shim")"; }
unedit_configuration() {
	on_host sh -c 'sed -i "/^# kept by the administrator$/d" /etc/containerd/config.toml; rm -r /etc/pclive'
}

# From an older version to this one, under a container that runs, by apt.
package_upgrade() {
	check "an older version is installed" with_network apt-get install -y --no-install-recommends /tmp/pclive-older.deb
	check "it is the older one" says "^$older_version\$" installed_version
	check "containerd takes its configuration" restart_containerd
	# shellcheck disable=SC2016 # the container's shell expands it
	check "a container runs with it" on_host ctr run -d --runtime io.containerd.pclive.v2 --log-uri file:///tmp/deb1.log \
		pclive.test/base:latest deb1 sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done'
	edit_configuration >>"$log" 2>&1
	configuration >"$work/edited"
	shim_pid >"$work/shim"
	check "it is upgraded by apt" with_network apt-get install -y --no-install-recommends /tmp/pclive.deb
	check "it is the newer one" refuses says "^$older_version\$" installed_version
	check "the configuration is as the administrator left it" same_edited
	check "the container runs on, in the same shim" same_shim
	# shellcheck disable=SC2016 # the host's shell expands it
	check "it goes on writing" on_host sh -c 'a=$(tail -n 1 /tmp/deb1.log); sleep 1; [ "$(tail -n 1 /tmp/deb1.log)" -gt "$a" ]'
	check "exec in it" says '^again$' on_host ctr task exec --exec-id e1 deb1 echo again
	check "containerd finds it after its own restart" restart_containerd
	check "exec in it again" says '^again$' on_host ctr task exec --exec-id e2 deb1 echo again
	check "a new one beside it" runs deb2
	check "it is killed" on_host ctr task kill -s KILL deb1
	# shellcheck disable=SC2016 # the host's shell expands it
	check "and deleted" on_host sh -c 'for i in $(seq 50); do ctr task rm deb1; ctr task ls | grep -q deb1 || break; sleep 0.1; done; ctr c rm deb1'
	check "its shim has gone" refuses shim_pid
	unedit_configuration >>"$log" 2>&1
	check "removal" with_network apt-get purge -y pclive
	check "takes all of both versions back" same_configuration
	check "containerd starts with it" restart_containerd
}

package_life() {
	check "is installed by apt with what it needs" with_network apt-get install -y --no-install-recommends /tmp/pclive.deb
	check "a second configure changes nothing" with_network dpkg-reconfigure pclive
	check "pclive install has nothing left to do" refuses says '^(edit|create|link)' on_host pclive install --no-unit
	check "containerd takes the configuration" restart_containerd
	check "CRI has the handler, and runc's" cri_has_handler
	check "a container runs" runs deb1
	check "one for long" on_host ctr run -d --runtime io.containerd.pclive.v2 pclive.test/base:latest deb2 sleep 600
	check "removal is refused while it runs" refuses with_network apt-get remove -y pclive
	check "the package is still whole" on_host dpkg --verify pclive
	check "an upgrade replaces the files of its shim" with_network dpkg -i /tmp/pclive.deb
	check "the container runs on: exec" says '^again$' on_host ctr task exec --exec-id e1 deb2 echo again
	check "and is paused and resumed" on_host sh -c 'ctr task pause deb2 && ctr task resume deb2'
	check "containerd finds it after its own restart" restart_containerd
	check "and it can be killed" on_host ctr task kill -s KILL deb2
	# shellcheck disable=SC2016 # the host's shell expands it
	check "and deleted" on_host sh -c 'for i in $(seq 50); do ctr task rm deb2 && break; sleep 0.1; done; ctr c rm deb2'
	check "removal takes the configuration back" with_network apt-get remove -y pclive
	check "to the last byte, mode and owner" same_configuration
	check "containerd starts with it" restart_containerd
	check "purge" with_network apt-get purge -y pclive
	check "leaves no state" refuses on_host test -e /var/lib/pclive
	check "and nothing in /usr" says '^0$' on_host sh -c 'find /usr /etc -xdev -name "*pclive*" | wc -l'
}

# Docker of the distribution beside us, and no configuration of containerd's: with containerd 1.7 that is how Ubuntu
# 24.04 comes.
with_docker() {
	check "Docker is installed" with_network apt-get install -y -qq --no-install-recommends docker.io
	on_host sh -c 'rm -f /etc/containerd/config.toml; mkdir -p /etc/docker && printf "{\n\t\"mtu\": 1400\n}" >/etc/docker/daemon.json'
	configuration >"$work/before"
	check "the package again" with_network apt-get install -y -qq /tmp/pclive.deb
	check "containerd takes the new configuration" restart_containerd
	check "CRI has the handler, and runc's" cri_has_handler
	check "a container runs" runs deb3
	if says 'version 2[0-3]\.' on_host dockerd --version; then
		check "no runtime for a Docker that knows no shims" refuses on_host grep -q pclive /etc/docker/daemon.json
	else
		check "it gets the runtime" on_host grep -q '"runtimeType": "io.containerd.pclive.v2"' /etc/docker/daemon.json
		check "dockerd accepts it" on_host dockerd --validate --config-file /etc/docker/daemon.json
	fi
	check "removal" with_network apt-get purge -y -qq pclive
	check "gives all back" same_configuration
}

test_suite() {
	export LAB_SUITE=$1
	echo "== Debian $1"
	bare_host "$1" >>"$log" 2>&1 || {
		failed=$((failed + 1))
		echo "  FAIL  no host of Debian $1 (see $log)"
		return
	}
	# Debian 12 comes without a configuration; the other has one of a node of Kubernetes, with comments.
	[[ $1 == bookworm ]] || on_host tee /etc/containerd/config.toml <"$here/kubernetes.toml" >>"$log"
	restart_containerd >>"$log" 2>&1
	configuration >"$work/before"
	package_upgrade
	package_life
	with_docker
	lab down >>"$log" 2>&1
}

mkdir -p "${log%/*}"
: >"$log"
work=$(mktemp -d)
older=$root/build/deb/older older_version=0.0.9
trap 'lab down >>"$log" 2>&1; rm -rf "$work"' EXIT
suites=("$@")
((${#suites[@]})) || suites=(bookworm trixie)
if DEB_COMPRESS=gzip:1 "$root/install/deb.sh" "$root/build/dist" "$root/build/deb" >>"$log" 2>&1; then
	first=$(sha256sum "$root"/build/deb/*.deb)
	check "built again it has the same bytes" env DEB_COMPRESS=gzip:1 "$root/install/deb.sh" "$root/build/dist" "$root/build/deb"
	check "indeed" test "$first" == "$(sha256sum "$root"/build/deb/*.deb)"
	check "and as an older version" env DEB_COMPRESS=gzip:1 DEB_VERSION=$older_version "$root/install/deb.sh" "$root/build/dist" "$older"
	for suite in "${suites[@]}"; do
		test_suite "$suite"
	done
else
	failed=1
	echo "the package is not built (see $log)"
fi
echo "$passed passed, $failed failed"
((failed == 0))
