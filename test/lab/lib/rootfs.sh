# shellcheck shell=bash
# The root file system of a host: Debian's minbase plus what a container host needs. Its cache entry is
# named by the suite and the recipe (packages, the functions that build), so a change of it makes a new one.

# What a host runs, and from what the container images are made (redis-server, busybox-static).
HOST_PACKAGES=(containerd runc iproute2 nftables iptables procps iputils-ping redis-server redis-tools
	attr openssl tini busybox-static strace libprotobuf-c1 libnl-3-200 libbsd0)
# What a test asks for besides: LAB_PACKAGES, words.
read -ra extra_packages <<<"${LAB_PACKAGES:-}"
HOST_PACKAGES+=("${extra_packages[@]}")

rootfs_path() {
	printf '%s/rootfs-%s-%s\n' "$CACHE" "$SUITE" "$( (echo "${HOST_PACKAGES[*]}" && declare -f build_rootfs trim_rootfs) | sha256sum | cut -c1-16)"
}

# mirror: the first archive that this machine's apt sources name and that has our suite
mirror() {
	local uri probe
	probe=$(mktemp)
	# shellcheck disable=SC2016 # apt's own placeholders
	while read -r uri; do
		if timeout 60 /usr/lib/apt/apt-helper download-file "${uri%/}/dists/$SUITE/Release" "$probe" >/dev/null 2>&1; then
			rm -f "$probe"
			printf '%s\n' "${uri%/}"
			return
		fi
	done < <(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | sort -u)
	rm -f "$probe"
	return 1
}

# debootstrap knows a suite by a script of that name; newer suites work with the script of sid
suite_script() {
	local scripts=/usr/share/debootstrap/scripts
	[[ -e $scripts/$SUITE ]] && echo "$scripts/$SUITE" || echo "$scripts/sid"
}

# The keys of this machine may be older than the suite: use the newest ring that is there.
keyring_option() {
	local ring=/usr/share/keyrings/debian-archive-keyring.gpg
	if [[ -e $ring ]]; then echo "--keyring=$ring"; else echo "--no-check-gpg"; fi
}

build_rootfs() {
	local target=$1 part include uri
	[[ -d $target ]] && return
	uri=$(mirror) || fail "no archive of this machine's apt sources has Debian $SUITE" "add one to /etc/apt/sources.list.d, or choose another LAB_SUITE"
	part=$target.part
	rm -rf --one-file-system "$part"
	say "making the hosts' root file system (Debian $SUITE, once; log: $target.log)"
	include=$(IFS=, && echo "${HOST_PACKAGES[*]}")
	env DEBIAN_FRONTEND=noninteractive timeout 1500 debootstrap --variant=minbase "$(keyring_option)" \
		--include="$include" "$SUITE" "$part" "$uri" "$(suite_script)" >"$target.log" 2>&1 </dev/null ||
		fail "debootstrap of Debian $SUITE failed: $(tail -n 3 "$target.log" | tr '\n' ' ')" "the whole log is in $target.log"
	trim_rootfs "$part"
	mv "$part" "$target"
}

# Nobody reads manuals in a host of the lab. What names the mirror goes too.
trim_rootfs() {
	local root=$1
	rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/* "$root"/var/log/*
	rm -f "$root"/etc/apt/sources.list "$root"/etc/resolv.conf "$root"/etc/machine-id
	mkdir -p "$root"/{repo,old,opt/node/bin} "$root"/etc/{containerd,pclive,criu}
}
