# shellcheck shell=bash disable=SC2153
# What is put into a host before its daemons start: PCLive, configuration, certificates, images.

# host_root HOST: the host's file system, as this machine sees it
host_root() { echo "/proc/$(host_pid "$1")/root"; }

# write_file HOST PATH: standard input becomes the file, made from outside
write_file() {
	local path
	path=$(host_root "$1")$2
	mkdir -p "$(dirname "$path")"
	cat >"$path"
}

configure_containerd() {
	write_file "$1" /etc/containerd/config.toml <<-'TOML'
		version = 2
		root = "/var/lib/containerd"
		state = "/run/containerd"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
		  "io.containerd.nri.v1.nri", "io.containerd.podsandbox.controller.v1.podsandbox", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing",
		  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
		  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile"]
		[debug]
		  level = "info"
	TOML
}

# is_built PROGRAM: build/dist has this part of PCLive
is_built() { [[ -e $BUILD/dist/lib/pclive/$1.js ]]; }

# Every program of a host is built on this machine. Where the host's Debian is another, it may lack a library
# by that name: then it gets the machine's. (An older library runs under a newer libc.)
lend_libraries() {
	local host=$1 root name path
	root=$(host_root "$host")
	[[ -d $BUILD/dist ]] || return 0
	find "$BUILD/dist" -type f \( -perm -u+x -o -name '*.node' \) -exec ldd {} + 2>/dev/null |
		awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u | while read -r name path; do
		[[ -z $(find "$root/usr/lib" "$root/usr/local/lib" -name "$name" -print -quit) ]] || continue
		cp -L "$path" "$root/usr/local/lib/$name"
	done
	in_host "$host" ldconfig
}

# install_pclive HOST: build/dist goes to /usr/local, as a user would put it there
install_pclive() {
	local host=$1 log=$STATE/logs/$1/install.log
	[[ -d $BUILD/dist ]] || return 0
	lend_libraries "$host"
	in_host "$host" /repo/install/install.sh /repo/build/dist /usr/local >"$log" 2>&1 ||
		fail "install/install.sh failed on host $host: $(tail -n 3 "$log" | tr '\n' ' ')" "see $log"
}

# make_certificates: one authority for the lab, one certificate for each host, by the command that users have
make_certificates() {
	local tls=$STATE/tls pairs=() host
	mkdir -p "$tls"
	for host in $HOSTS; do
		! runs_containers "$host" || pairs+=("$host=$(host_address "$host")")
	done
	((${#pairs[@]})) || return 0
	node "$BUILD/dist/lib/pclive/pclive.cjs" certs --out "$tls" "${pairs[@]}" >"$STATE/logs/certs.log" 2>&1 ||
		fail "pclive certs failed: $(tail -n 3 "$STATE/logs/certs.log" | tr '\n' ' ')" "see $STATE/logs/certs.log"
}

# configure_agent HOST: who it is, who its peers are, and how a container gets its network there
configure_agent() {
	local host=$1 other peers='' tls
	[[ -d $STATE/tls/$host ]] || return 0
	tls=$(host_root "$host")/etc/pclive/tls
	mkdir -p "$tls"
	chmod 700 "$tls"
	cp "$STATE/tls/$host"/* "$tls/"
	for other in $HOSTS; do
		if [[ $other != "$host" ]] && runs_containers "$other"; then
			peers+=",\"$other\":\"$(host_address "$other")\""
		fi
	done
	write_file "$host" /etc/pclive/config.json <<-JSON
		{
		  "host": "$host",
		  "listen": { "host": "$(host_address "$host")" },
		  "hosts": {${peers#,}},
		  "network": { "driver": "bridge", "bridge": "br0" },
		  "log": "debug"
		}
	JSON
}

# import_image HOST NAME: an image of build/images, as pclive.test/NAME:latest
import_image() {
	local host=$1 name=$2
	[[ -e $BUILD/images/$name.tar ]] || fail "no image $name in build/images (there are: $(cd "$BUILD/images" 2>/dev/null && echo *.tar))" "test/lab/images.sh"
	in_host "$host" timeout 120 ctr image import - <"$BUILD/images/$name.tar" >>"$STATE/logs/$host/images.log" 2>&1 ||
		fail "ctr image import of $name failed on host $host" "see $STATE/logs/$host/images.log"
}

import_images() {
	local image
	for image in "$BUILD"/images/*.tar; do
		import_image "$1" "$(basename "$image" .tar)"
	done
}

# collect_logs HOST: what lies outside /var/log and would go with the host: logs of CRIU, runC, migrations
collect_logs() {
	local pid root
	pid=$(host_pid "$1") || return 0
	root=/proc/$pid/root
	# A container's root file system is no place for our logs: stay out of it.
	(cd "$root" && find run/pclive run/containerd run/runc var/lib/pclive -xdev -name rootfs -prune -o -type f \
		\( -name '*.log' -o -name 'log.json' -o -name '*.json' -path '*pclive*' \) -size -20M -print0 2>/dev/null) |
		timeout 20 tar -C "$root" --null --files-from=- -cf - 2>/dev/null |
		(mkdir -p "$STATE/logs/$1/collected" && tar -C "$STATE/logs/$1/collected" -xf - 2>/dev/null) || true
}
