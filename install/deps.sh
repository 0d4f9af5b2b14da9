#!/usr/bin/env bash
# Install the Debian packages that building and testing PCLive need. Does nothing when all are there.
set -euo pipefail

build=(build-essential pkg-config python3 git ca-certificates xz-utils clang-format shellcheck
	libprotobuf-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libnl-3-dev libnl-genl-3-dev
	libnet1-dev libcap-dev libnftables-dev libgnutls28-dev libbsd-dev libaio-dev uuid-dev
	libssl-dev nlohmann-json3-dev libarchive-dev libzstd-dev)
lab=(debootstrap iproute2 nftables redis-tools util-linux)
test=(runc iptables busybox-static openssl spin qemu-system-x86 qemu-utils e2fsprogs openssh-client fonts-dejavu-core)

missing=()
for package in "${build[@]}" "${lab[@]}" "${test[@]}"; do
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

echo "installing: ${missing[*]}"
[[ $EUID == 0 ]] || { echo "deps: run as root, or install these packages yourself: ${missing[*]}" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
timeout 600 apt-get update -qq
timeout 1200 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
