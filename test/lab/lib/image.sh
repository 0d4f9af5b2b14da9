# shellcheck shell=bash
# Container images without a registry or docker: an OCI layout in a tar, which `ctr image import` and
# `docker load` take. Names are pclive.test/<name>:latest.

# json_list WORD…: a JSON array of strings
json_list() {
	local word out=
	for word in "$@"; do
		word=${word//\\/\\\\}
		word=${word//\"/\\\"}
		out+=",\"$word\""
	done
	printf '[%s]' "${out#,}"
}

# store_blob LAYOUT FILE: move FILE to its place by digest; prints "<sha256> <bytes>"
store_blob() {
	local sum size
	sum=$(sha256sum <"$2" | cut -d' ' -f1)
	size=$(stat -c %s "$2")
	mv "$2" "$1/blobs/sha256/$sum"
	echo "$sum $size"
}

# make_image NAME ROOTFS OUT CMD…: write image NAME of the folder ROOTFS to the file OUT
make_image() {
	local name=$1 rootfs=$2 out=$3 work layer layer_size config config_size manifest manifest_size
	shift 3
	work=$(mktemp -d "$out.XXXXXX")
	mkdir -p "$work/blobs/sha256"
	tar -C "$rootfs" --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 --xattrs -cf "$work/layer" .
	read -r layer layer_size < <(store_blob "$work" "$work/layer")
	printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Env":["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"],"Cmd":%s,"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$(dpkg --print-architecture)" "$(json_list "$@")" "$layer" >"$work/config"
	read -r config config_size < <(store_blob "$work" "$work/config")
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d}]}' \
		"$config" "$config_size" "$layer" "$layer_size" >"$work/manifest"
	read -r manifest manifest_size < <(store_blob "$work" "$work/manifest")
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d,"annotations":{"io.containerd.image.name":"pclive.test/%s:latest","org.opencontainers.image.ref.name":"latest"}}]}' \
		"$manifest" "$manifest_size" "$name" >"$work/index.json"
	# The same blobs again in the words of docker's archive, for a docker that knows no OCI layout.
	printf '[{"Config":"blobs/sha256/%s","RepoTags":["pclive.test/%s:latest"],"Layers":["blobs/sha256/%s"]}]' "$config" "$name" "$layer" >"$work/manifest.json"
	printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci-layout"
	tar -C "$work" --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -cf "$out.part" oci-layout index.json manifest.json blobs
	rm -rf "$work"
	mv "$out.part" "$out"
}

# take ROOTFS DEST PROGRAM…: copy programs of ROOTFS with every library they are linked to
take() {
	local rootfs=$1 dest=$2 program file
	shift 2
	for program in "$@"; do
		for file in "$program" $(chroot "$rootfs" ldd "$program" | grep -o '/[^ ]*'); do
			[[ -e $dest$file ]] && continue
			mkdir -p "$dest$(dirname "$file")"
			cp -L "$rootfs$file" "$dest$file"
		done
	done
}

# empty_root DEST: the folders and accounts any container expects, with links where Debian has them
empty_root() {
	mkdir -p "$1"/{usr/bin,usr/sbin,usr/lib,usr/lib64,usr/local/bin,etc,proc,sys,dev,run,var/lib,root,data} "$1/tmp"
	chmod 1777 "$1/tmp"
	ln -s usr/bin "$1/bin"
	ln -s usr/sbin "$1/sbin"
	ln -s usr/lib "$1/lib"
	ln -s usr/lib64 "$1/lib64"
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
}

# add_busybox ROOTFS DEST: a shell and the usual small programs
add_busybox() {
	local applet
	cp "$(readlink -f "$1/usr/bin/busybox")" "$2/usr/bin/busybox"
	for applet in $("$2/usr/bin/busybox" --list); do
		[[ -e $2/usr/bin/$applet ]] || ln -s busybox "$2/usr/bin/$applet"
	done
}
